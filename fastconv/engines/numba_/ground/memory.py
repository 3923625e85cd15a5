"""Memory that steps clear, copy, and hold on the stack."""

from __future__ import annotations

from llvmlite import ir
from numba import extending, types
from numba.np.arrayobj import populate_array

from . import emit
from . import vector as v
from .emit import I64, vector_of

intrinsic = extending.intrinsic(prefer_literal=True)


@intrinsic
def address(typingctx, a, i):
    """address(a, i) -> where element i is, to hand one of several arrays to a block."""
    kind = types.CPointer(a.dtype)
    return kind(a, types.intp), lambda context, builder, sig, args: emit.pointer(context, builder, a, *args)


@intrinsic
def local(typingctx, a, n):
    """local(a, n) -> n (an integer literal) numbers of a's dtype on the stack, of unknown content."""
    vec, kind, n = vector_of(a), types.Array(a.dtype, 1, "C"), n.literal_value

    def codegen(context, builder, sig, args):
        with builder.goto_entry_block():  # cgutils.alloca_once would clear it every time
            room = builder.alloca(ir.ArrayType(vec.llvm, -(-n // vec.lanes)))
        array = context.make_array(kind)(context, builder)
        data = builder.bitcast(room, array.data.type)
        populate_array(array, data, [I64(n)], [I64(vec.itemsize)], I64(vec.itemsize), meminfo=None)
        return array._getvalue()

    return kind(a, types.literal(n)), codegen


@v.inline
def clear(dst, o, n):
    """dst[o :+ n] = 0"""
    for k in range(0, n, v.lanes(dst)):
        v.store_part(dst, o + k, v.zero(dst), n - k)


@v.inline
def clear_vectors(a, i, end):
    """a[i : end] = 0 by whole vectors: the last one may reach beyond."""
    for k in range(i, end, v.lanes(a)):
        v.store(a, k, v.zero(a))


@v.inline
def copy_strided(dst, o, src, i, n, stride):
    """dst[o + k] = src[i + k*stride] for k < n"""
    L = v.lanes(dst)
    if stride == 1:
        full = n // L * L
        for k in range(0, full, L):
            v.store(dst, o + k, v.load(src, i + k))
        v.store_part(dst, o + full, v.load_part(src, i + full, n - full), n - full)
    elif stride == 2:
        for k in range(0, n, L):
            valid = 2 * (n - k) - 1  # what lies behind the last one may lie behind the array
            pair = v.load_part(src, i + 2 * k, valid), v.load_part(src, i + 2 * k + L, valid - L)
            v.store_part(dst, o + k, v.even(*pair), n - k)
    else:
        for k in range(n):
            v.put(dst, o + k, v.at(src, i + k * stride))


@v.inline
def inside(width, stride, shift):
    """The range of q for which 0 <= q*stride - shift < width."""
    return -(-shift // stride), (width - 1 + shift) // stride + 1
