"""The vector type, and the pieces of LLVM IR that vector.py and the kernels are made of.

In the functions `vec` is a `Vector` type, `address` an LLVM pointer to an element, and the rest are LLVM values.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import models, register_model

from .target import VECTOR_BYTES

I32, I64, BYTES = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()

AHEAD = 12  # steps of a product from the prefetch of weights to their use
LINE = 64  # bytes of a cache line

#: the one licence for floating point: a * b + c may be fused. NaN and Inf propagate, nothing is reordered
FLAGS = ("contract",)


class Vector(types.Type):
    """The Numba type of `lanes` values of `dtype` (float32 or float64) in a register."""

    def __init__(self, dtype, lanes):
        self.dtype, self.lanes, self.itemsize = dtype, lanes, dtype.bitwidth // 8
        self.suffix = f"v{lanes}f{dtype.bitwidth}"  # of the names of LLVM's intrinsics
        super().__init__(f"vector({dtype} x {lanes})")

    @property
    def llvm(self):
        return ir.VectorType(ir.FloatType() if self.dtype == types.float32 else ir.DoubleType(), self.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, fe_type.llvm)


def vector_of(a, lanes=None):
    """The vector type of an array or scalar type; `lanes` is None or the Numba type of an integer literal."""
    whole = isinstance(a, types.CPointer) or (isinstance(a, types.Array) and a.layout == "C")
    dtype = a.dtype if whole else a
    if dtype not in (types.float32, types.float64):
        raise TypingError(f"vectors hold float32 or float64, of a C-contiguous array if of any; not {a}")
    if lanes in (None, types.none):
        return Vector(dtype, VECTOR_BYTES * 8 // dtype.bitwidth)
    if not isinstance(lanes, types.IntegerLiteral):
        raise TypingError(f"lanes must be an integer literal, not {lanes}")
    return Vector(dtype, lanes.literal_value)


def pointer(context, builder, array_type, array, offset):
    """The address of element `offset` of an array, or behind an address."""
    if isinstance(array_type, types.CPointer):
        return builder.gep(array, [offset])
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])


def call(builder, name, result, args, **flags):
    """Call an LLVM intrinsic by its full name."""
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args, **flags)


def load(builder, vec, address):
    """One vector from the address of its first element."""
    ptr = builder.bitcast(address, vec.llvm.as_pointer())
    return builder.load(ptr, align=vec.itemsize)


def store(builder, vec, value, address):
    """Write one vector to the address of its first element."""
    ptr = builder.bitcast(address, vec.llvm.as_pointer())
    builder.store(value, ptr, align=vec.itemsize)


def load_part(builder, vec, address, n):
    """The first n lanes (i64, clamped to the width), the others zero; memory behind those is not touched."""
    return load_masked(builder, vec, address, mask(builder, vec, n))


def load_masked(builder, vec, address, lanes):
    """The lanes of a mask, the others zero; memory of those is not touched."""
    ptr = builder.bitcast(address, vec.llvm.as_pointer())
    return call(builder, f"llvm.masked.load.{vec.suffix}.p0", vec.llvm, [ptr, I32(vec.itemsize), lanes, zero(vec)])


def store_part(builder, vec, value, address, n):
    """Write the first n lanes (i64, clamped to the width) and touch nothing else."""
    store_masked(builder, vec, value, address, mask(builder, vec, n))


def store_masked(builder, vec, value, address, lanes):
    """Write the lanes of a mask and touch nothing else."""
    ptr = builder.bitcast(address, vec.llvm.as_pointer())
    call(builder, f"llvm.masked.store.{vec.suffix}.p0", ir.VoidType(), [value, ptr, I32(vec.itemsize), lanes])


def row_masks(builder, vec, rows, n):
    """The masks of `lanes` rows: lanes 0 .. n-1 of rows 0 .. rows-1."""
    some = mask(builder, vec, n)
    none = ir.Constant(some.type, [0] * vec.lanes)
    return [builder.select(builder.icmp_signed("<", I64(k), rows), some, none) for k in range(vec.lanes)]


def mask(builder, vec, n):
    """Lanes 0 .. n-1 set."""
    n = call(builder, "llvm.smax.i64", I64, [n, I64(0)])
    n = builder.trunc(call(builder, "llvm.smin.i64", I64, [n, I64(vec.lanes)]), I32)
    count = ir.VectorType(I32, vec.lanes)
    return builder.icmp_signed("<", count(list(range(vec.lanes))), splat(builder, count, n))


def prefetch(builder, address, write=False):
    """Ask for the cache line of an address; any address is harmless."""
    call(builder, "llvm.prefetch.p0", ir.VoidType(), [builder.bitcast(address, BYTES), I32(int(write)), I32(3), I32(1)])


def zero(vec):
    return ir.Constant(vec.llvm, [0.0] * vec.lanes)


def splat(builder, vector_type, scalar):
    """The scalar in every lane of an LLVM vector type."""
    undefined = ir.Constant(vector_type, ir.Undefined)
    return shuffle(builder, builder.insert_element(undefined, scalar, I32(0)), undefined, [0] * vector_type.count)


def shuffle(builder, x, y, order):
    """The lanes of x followed by y that `order` lists."""
    return builder.shuffle_vector(x, y, ir.VectorType(I32, len(order))(list(order)))


def fma(builder, vec, a, b, c):
    """a * b + c. By fmuladd: where a target has no such instruction, llvm.fma is a library call for each lane."""
    return call(builder, f"llvm.fmuladd.{vec.suffix}", vec.llvm, [a, b, c])


def above(builder, vec, x, a, p, q):
    """p where x is above a or is NaN, else q."""
    taken = builder.or_(builder.fcmp_ordered(">", x, a), builder.fcmp_unordered("uno", x, x))
    return builder.select(taken, p, q)


def lane_sum(builder, vec, x):
    """Sum of the lanes, pairwise: halves are added until one lane is left."""
    k = vec.lanes // 2
    while k:
        halves = (shuffle(builder, x, x, list(range(first, first + k))) for first in (0, k))
        x, k = builder.fadd(*halves), k // 2
    return builder.extract_element(x, I32(0))


def transpose(builder, rows):
    """The transpose of n vectors of n lanes: log2(n) stages, which exchange blocks of 1, 2, 4, ... lanes."""
    n, k = len(rows), 1
    while k < n:
        low = [n + i - k if i & k else i for i in range(n)]
        high = [n + i if i & k else i + k for i in range(n)]
        rows = [
            shuffle(builder, rows[i ^ k], rows[i], high) if i & k else shuffle(builder, rows[i], rows[i | k], low)
            for i in range(n)
        ]
        k *= 2
    return rows
