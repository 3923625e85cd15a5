"""SIMD vectors for the Numba engine: a Numba type over LLVM's ``<lanes x float>`` or ``<lanes x double>``.

Kernels import this module as ``v`` and read like arithmetic::

    for j in range(0, n, v.lanes(x)):
        v.store(y, j, v.load(y, j) + v.splat(s) * v.load(x, j))

* An array argument, or an address, stands for memory: C-contiguous, float32 or float64. Offsets count elements from
  the first one; there is no bounds check, and a negative offset does not wrap around. Scalars are ``at`` and ``put``.
* ``lanes=None`` is the native width of the array's dtype, an integer literal (a power of two) another one.
  Vectors mix only with vectors of their own type.
* ``n`` valid lanes of a partial access: below 0 is none, above the width all. Other memory is never touched.
* ``+ - * /`` and negation work lane by lane. ``a * b + c`` may become one fused multiply-add; LLVM has no other
  licence, so NaN and Inf propagate.

Every intrinsic is inlined into the kernel; a helper on vectors is decorated with `inline`.
"""

from __future__ import annotations

import operator
from functools import partial

from numba import extending, njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import lower_builtin, type_callable

from . import emit
from .emit import Vector, vector_of

#: no reference counts (_nrt): in helpers with branches they are not optimised away, and double the time
inline = partial(njit, _nrt=False, forceinline=True, error_model="numpy", fastmath=set(emit.FLAGS))
#: for small helpers, and large ones that are called once: their source is copied, and not compiled by itself as well
copied = njit(inline="always")
intrinsic = extending.intrinsic(prefer_literal=True)


# ---- memory ----


def _load(a, lanes):
    vec = vector_of(a, lanes)

    def codegen(context, builder, sig, args):
        return emit.load(builder, vec, emit.pointer(context, builder, a, *args[:2]))

    return vec(a, types.intp, lanes or types.none), codegen


def _store(a, value):
    _check_store(a, value)

    def codegen(context, builder, sig, args):
        emit.store(builder, value, args[2], emit.pointer(context, builder, a, *args[:2]))
        return context.get_dummy_value()

    return types.void(a, types.intp, value), codegen


def _check_store(a, value):
    if not (isinstance(value, Vector) and vector_of(a).dtype == value.dtype and getattr(a, "mutable", True)):
        raise TypingError(f"cannot store {value} in {a}")


def _prefetch(a, write):
    def codegen(context, builder, sig, args):
        emit.prefetch(builder, emit.pointer(context, builder, a, *args), write)
        return context.get_dummy_value()

    return types.void(a, types.intp), codegen


@intrinsic
def lanes(typingctx, a):
    """lanes(a) -> number of lanes of a native vector of the array's dtype, a compile-time constant."""
    n = vector_of(a).lanes
    return types.literal(n)(a), lambda context, builder, sig, args: emit.I64(n)


@intrinsic
def load(typingctx, a, i, lanes=None):
    """load(a, i, lanes=None) -> the vector at offset i."""
    return _load(a, lanes)


@intrinsic
def store(typingctx, a, i, value):
    """store(a, i, value): write a vector to offset i."""
    return _store(a, value)


@intrinsic
def load_part(typingctx, a, i, n, lanes=None):
    """load_part(a, i, n, lanes=None) -> the first n lanes from offset i on, the others zero."""
    vec = vector_of(a, lanes)

    def codegen(context, builder, sig, args):
        return emit.load_part(builder, vec, emit.pointer(context, builder, a, *args[:2]), args[2])

    return vec(a, types.intp, types.intp, lanes or types.none), codegen


@intrinsic
def store_part(typingctx, a, i, value, n):
    """store_part(a, i, value, n): write the first n lanes to offset i and nothing else."""
    _check_store(a, value)

    def codegen(context, builder, sig, args):
        emit.store_part(builder, value, args[2], emit.pointer(context, builder, a, *args[:2]), args[3])
        return context.get_dummy_value()

    return types.void(a, types.intp, value, types.intp), codegen


def _each_row(context, builder, a, vec, args, rows, n):
    """Address and mask of each row of a block."""
    array, i, stride = args
    for k, mask in enumerate(emit.row_masks(builder, vec, rows, n)):
        yield emit.pointer(context, builder, a, array, builder.add(i, builder.mul(stride, emit.I64(k)))), mask


@intrinsic
def load_rows(typingctx, a, i, stride, rows, n, lanes=None):
    """load_rows(a, i, stride, rows, n, lanes=None) -> tuple of `lanes` vectors: row k from offset i + k * stride.

    The first n lanes of the first `rows` rows are read, everything else is zero. A block changes its layout by
    ``store_rows(b, j, other_stride, transpose(load_rows(a, i, stride, rows, n)), n, rows)``.
    """
    vec = vector_of(a, lanes)

    def codegen(context, builder, sig, args):
        block = [
            emit.load_masked(builder, vec, address, mask)
            for address, mask in _each_row(context, builder, a, vec, args[:3], *args[3:5])
        ]
        return context.make_tuple(builder, sig.return_type, block)

    return types.UniTuple(vec, vec.lanes)(a, *[types.intp] * 4, lanes or types.none), codegen


@intrinsic
def store_rows(typingctx, a, i, stride, values, rows, n):
    """store_rows(a, i, stride, values, rows, n): the first n lanes of the first `rows` vectors of a tuple,
    vector k to offset i + k * stride."""
    vec = values.dtype
    _check_store(a, vec)

    def codegen(context, builder, sig, args):
        block = cgutils.unpack_tuple(builder, args[3])
        places = _each_row(context, builder, a, vec, args[:3], *args[4:])
        for value, (address, mask) in zip(block, places, strict=True):
            emit.store_masked(builder, vec, value, address, mask)
        return context.get_dummy_value()

    return types.void(a, types.intp, types.intp, values, types.intp, types.intp), codegen


@intrinsic
def at(typingctx, a, i):
    """at(a, i) -> the scalar at offset i, of an array of any dtype."""

    def codegen(context, builder, sig, args):
        return context.unpack_value(builder, a.dtype, emit.pointer(context, builder, a, *args))

    return a.dtype(a, types.intp), codegen


@intrinsic
def put(typingctx, a, i, scalar):
    """put(a, i, scalar): write a scalar of the array's dtype to offset i."""

    def codegen(context, builder, sig, args):
        context.pack_value(builder, a.dtype, args[2], emit.pointer(context, builder, a, *args[:2]))
        return context.get_dummy_value()

    return types.void(a, types.intp, a.dtype), codegen


@intrinsic
def prefetch(typingctx, a, i):
    """prefetch(a, i): ask for the cache line of offset i, to read it soon. Any offset is harmless."""
    return _prefetch(a, write=False)


@intrinsic
def prefetch_write(typingctx, a, i):
    """prefetch_write(a, i): claim the cache line of offset i, to write it soon. Any offset is harmless."""
    return _prefetch(a, write=True)


# ---- values ----


@intrinsic
def splat_at(typingctx, a, i, lanes=None):
    """splat_at(a, i, lanes=None) -> the scalar at offset i in every lane."""
    vec = vector_of(a, lanes)

    def codegen(context, builder, sig, args):
        return emit.splat(builder, vec.llvm, builder.load(emit.pointer(context, builder, a, *args[:2])))

    return vec(a, types.intp, lanes or types.none), codegen


@intrinsic
def splat(typingctx, scalar, lanes=None):
    """splat(scalar, lanes=None) -> a float32 or float64 scalar in every lane; ``x.dtype.type(2)`` fits either x."""
    vec = vector_of(scalar, lanes)
    return vec(scalar, lanes or types.none), lambda context, builder, sig, args: emit.splat(builder, vec.llvm, args[0])


@intrinsic
def zero(typingctx, a, lanes=None):
    """zero(a, lanes=None) -> a vector of zeros of the array's dtype."""
    vec = vector_of(a, lanes)
    return vec(a, lanes or types.none), lambda context, builder, sig, args: emit.zero(vec)


@intrinsic
def lane_sum(typingctx, a):
    """lane_sum(a) -> the scalar sum of the lanes, added pairwise: halves, quarters, ..."""
    return a.dtype(a), lambda context, builder, sig, args: emit.lane_sum(builder, a, *args)


@intrinsic
def transpose(typingctx, rows):
    """transpose(rows) -> the transpose of a tuple of as many vectors as each has lanes."""
    if not (isinstance(rows, types.UniTuple) and isinstance(rows.dtype, Vector) and rows.count == rows.dtype.lanes):
        raise TypingError(f"transpose needs as many vectors as they have lanes, not {rows}")

    def codegen(context, builder, sig, args):
        return context.make_tuple(builder, rows, emit.transpose(builder, cgutils.unpack_tuple(builder, args[0])))

    return rows(rows), codegen


def _lanewise(name, arity, doc, emitter):
    """The intrinsic `name` of vectors of one type; ``emitter(builder, vec, *values)`` writes its IR."""

    def signature(vec, *others):
        if isinstance(vec, Vector) and all(other == vec for other in others):
            return vec(vec, *others), lambda context, builder, sig, args: emitter(builder, vec, *args)
        raise TypingError(f"{name} needs vectors of one type, not {(vec, *others)}")

    typer = {
        2: lambda ctx, a, b: signature(a, b),
        3: lambda ctx, a, b, c: signature(a, b, c),
        4: lambda ctx, a, b, c, d: signature(a, b, c, d),
    }[arity]
    typer.__name__, typer.__doc__ = name, doc
    return intrinsic(typer)


def _shuffle(order):
    return lambda b, vec, *args: emit.shuffle(b, *args, [order(i, vec.lanes) for i in range(vec.lanes)])


fma = _lanewise("fma", 3, "fma(a, b, c) -> a * b + c, fused where the CPU can.", emit.fma)
above = _lanewise("above", 4, "above(x, a, p, q) -> p where x is above a or is NaN, else q.", emit.above)
even = _lanewise("even", 2, "even(a, b) -> lanes 0, 2, 4, ... of a followed by b.", _shuffle(lambda i, n: 2 * i))
odd = _lanewise("odd", 2, "odd(a, b) -> lanes 1, 3, 5, ... of a followed by b.", _shuffle(lambda i, n: 2 * i + 1))
zip_low = _lanewise(
    "zip_low", 2, "zip_low(a, b) -> the first half of a0, b0, a1, b1, ...", _shuffle(lambda i, n: i // 2 + n * (i % 2))
)
zip_high = _lanewise(
    "zip_high",
    2,
    "zip_high(a, b) -> the second half of a0, b0, a1, b1, ...",
    _shuffle(lambda i, n: (n + i) // 2 + n * (i % 2)),
)


def _operator(op, instruction, arity):
    @type_callable(op)
    def type_operator(context):
        if arity == 1:
            return lambda a: a if isinstance(a, Vector) else None
        return lambda a, b: a if isinstance(a, Vector) and a == b else None

    @lower_builtin(op, *[Vector] * arity)
    def lower_operator(context, builder, sig, args):
        return getattr(builder, instruction)(*args, flags=emit.FLAGS)


_operator(operator.neg, "fneg", 1)
for _name, _instruction in (("add", "fadd"), ("sub", "fsub"), ("mul", "fmul"), ("truediv", "fdiv")):
    _operator(getattr(operator, _name), _instruction, 2)
    _operator(getattr(operator, "i" + _name), _instruction, 2)
