"""SIMD vectors for the Numba engine: a Numba type over LLVM's ``<lanes x float|double>``.

Kernels import this module as ``v`` and read like arithmetic::

    for j in range(0, n, v.lanes(x)):
        v.store(y, j, v.fma(v.load(x, j), v.splat(s), v.load(y, j)))

* An array argument stands for its memory: C-contiguous, float32 or float64, and an offset counts elements from
  its first one. There is no bounds check and no wrap-around of negative offsets.
* ``lanes=None`` means the native width of the array's dtype (`lanes`); an integer literal asks for another one.
  Vectors of different lanes or dtypes do not mix.
* ``n`` lanes of a partial load or store: below 0 counts as none, above the width as all; memory behind the other
  lanes is never touched.
* The only licence that LLVM gets is to contract ``a * b + c`` into a fused multiply-add: NaN and Inf propagate.
"""
import operator
from functools import partial

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from .target import VECTOR_BYTES

FLAGS = ("contract",)
I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)

#: decorator of helpers that take or return vectors: always inlined into the kernel that calls them
inline = partial(njit, forceinline=True, error_model="numpy", fastmath=set(FLAGS))


class Vector(types.Type):
    """The Numba type of `lanes` values of `dtype` (float32 or float64) in one register."""

    def __init__(self, dtype, lanes):
        self.dtype, self.lanes, self.itemsize = dtype, lanes, dtype.bitwidth // 8
        super().__init__(f"vector({dtype} x {lanes})")

    @property
    def llvm(self):
        return ir.VectorType(ir.FloatType() if self.dtype == types.float32 else ir.DoubleType(), self.lanes)

    @property
    def suffix(self):
        """What LLVM appends to the names of its intrinsics for this type."""
        return f"v{self.lanes}f{self.dtype.bitwidth}"


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, fe_type.llvm)


def native_lanes(dtype):
    """Lanes of `dtype` (a Numba type) in the widest register that kernels may use."""
    return VECTOR_BYTES * 8 // dtype.bitwidth


def vector_of(array, lanes=None):
    """The vector type that loads from `array` (a Numba type) have; `lanes` is None or a literal."""
    if not (isinstance(array, types.Array) and array.layout == "C" and array.dtype in (types.float32, types.float64)):
        raise TypingError(f"vectors need a C-contiguous float32 or float64 array, not {array}")
    if lanes in (None, types.none):
        return Vector(array.dtype, native_lanes(array.dtype))
    if not isinstance(lanes, types.IntegerLiteral):
        raise TypingError(f"lanes must be an integer literal, not {lanes}")
    return Vector(array.dtype, lanes.literal_value)


# ---- pieces of LLVM IR, shared with microkernel.py ----

def pointer(context, builder, array_type, array, offset):
    """The address of element `offset` of an array."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])


def load_ir(builder, vec, address, aligned=False):
    """One vector from the address of its first element."""
    ptr = builder.bitcast(address, vec.llvm.as_pointer())
    return builder.load(ptr, align=vec.itemsize * (vec.lanes if aligned else 1))


def store_ir(builder, vec, value, address, aligned=False):
    """Write one vector to the address of its first element."""
    ptr = builder.bitcast(address, vec.llvm.as_pointer())
    builder.store(value, ptr, align=vec.itemsize * (vec.lanes if aligned else 1))


def call_ir(builder, name, result, args, **flags):
    """Call an LLVM intrinsic by its full name."""
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args, **flags)


def shuffle_ir(builder, x, y, lanes):
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))


def splat_ir(builder, vec, scalar):
    first = builder.insert_element(ir.Constant(vec.llvm, ir.Undefined), scalar, I32(0))
    return shuffle_ir(builder, first, ir.Constant(vec.llvm, ir.Undefined), [0] * vec.lanes)


def fma_ir(builder, vec, a, b, c):
    # fmuladd, not fma: where the target has no FMA instruction, fma is a library call for each lane
    return call_ir(builder, f"llvm.fmuladd.{vec.suffix}", vec.llvm, [a, b, c])


def prefetch_ir(builder, address, write=False):
    ptr = builder.bitcast(address, ir.IntType(8).as_pointer())
    call_ir(builder, "llvm.prefetch.p0", ir.VoidType(), [ptr, I32(int(write)), I32(3), I32(1)])


def transpose_ir(builder, rows):
    """The transpose of n vectors of n lanes: log2(n) stages that exchange blocks of 1, 2, 4, ... lanes."""
    n, k = len(rows), 1
    while k < n:
        low = [i if not i & k else n + i - k for i in range(n)]
        high = [i + k if not i & k else n + i for i in range(n)]
        new = list(rows)
        for i in (i for i in range(n) if not i & k):
            new[i] = shuffle_ir(builder, rows[i], rows[i + k], low)
            new[i + k] = shuffle_ir(builder, rows[i], rows[i + k], high)
        rows, k = new, 2 * k
    return rows


def _mask(builder, vec, n):
    """Lanes 0 .. n-1 set."""
    n = call_ir(builder, "llvm.smin.i64", I64, [n, I64(vec.lanes)])
    n = builder.trunc(call_ir(builder, "llvm.smax.i64", I64, [n, I64(0)]), I32)
    ints = ir.VectorType(I32, vec.lanes)
    first = builder.insert_element(ir.Constant(ints, ir.Undefined), n, I32(0))
    limit = shuffle_ir(builder, first, ir.Constant(ints, ir.Undefined), [0] * vec.lanes)
    return builder.icmp_signed("<", ir.Constant(ints, list(range(vec.lanes))), limit)


def _row_mask(builder, vec, k, rows, n):
    """_mask(n) for row k of a block of `rows` rows."""
    return _mask(builder, vec, builder.select(builder.icmp_signed("<", I64(k), rows), n, I64(0)))


def _masked_load(builder, vec, address, mask):
    ptr = builder.bitcast(address, vec.llvm.as_pointer())
    return call_ir(builder, f"llvm.masked.load.{vec.suffix}.p0", vec.llvm,
                   [ptr, I32(vec.itemsize), mask, ir.Constant(vec.llvm, [0.0] * vec.lanes)])


def _masked_store(builder, vec, value, address, mask):
    ptr = builder.bitcast(address, vec.llvm.as_pointer())
    call_ir(builder, f"llvm.masked.store.{vec.suffix}.p0", ir.VoidType(),
            [value, ptr, I32(vec.itemsize), mask])


# ---- memory ----

@intrinsic
def lanes(typingctx, a):
    """lanes(a) -> the native number of lanes of an array's dtype, as a compile-time constant."""
    n = vector_of(a).lanes
    return types.literal(n)(a), lambda context, builder, sig, args: I64(n)


def _loader(a, lanes, aligned):
    vec = vector_of(a, lanes)

    def codegen(context, builder, sig, args):
        return load_ir(builder, vec, pointer(context, builder, a, *args[:2]), aligned)
    return vec(a, types.intp, lanes or types.none), codegen


def _storer(a, value, aligned):
    _check(a, value)

    def codegen(context, builder, sig, args):
        store_ir(builder, value, args[2], pointer(context, builder, a, *args[:2]), aligned)
        return context.get_dummy_value()
    return types.void(a, types.intp, value), codegen


def _check(a, value):
    if not (isinstance(value, Vector) and vector_of(a).dtype == value.dtype and a.mutable):
        raise TypingError(f"cannot store {value} in {a}")


@intrinsic(prefer_literal=True)
def load(typingctx, a, i, lanes=None):
    """load(a, i, lanes=None) -> the vector at offset i, which may be unaligned."""
    return _loader(a, lanes, aligned=False)


@intrinsic(prefer_literal=True)
def load_aligned(typingctx, a, i, lanes=None):
    """load_aligned(a, i, lanes=None): as load, from an address that is a multiple of the vector's size."""
    return _loader(a, lanes, aligned=True)


@intrinsic(prefer_literal=True)
def load_part(typingctx, a, i, n, lanes=None):
    """load_part(a, i, n, lanes=None) -> the first n lanes from offset i on, the others zero."""
    vec = vector_of(a, lanes)

    def codegen(context, builder, sig, args):
        address = pointer(context, builder, a, *args[:2])
        return _masked_load(builder, vec, address, _mask(builder, vec, args[2]))
    return vec(a, types.intp, types.intp, lanes or types.none), codegen


@intrinsic
def store(typingctx, a, i, value):
    """store(a, i, value): write a vector at offset i, which may be unaligned."""
    return _storer(a, value, aligned=False)


@intrinsic
def store_aligned(typingctx, a, i, value):
    """store_aligned(a, i, value): as store, to an address that is a multiple of the vector's size."""
    return _storer(a, value, aligned=True)


@intrinsic
def store_part(typingctx, a, i, value, n):
    """store_part(a, i, value, n): write the first n lanes at offset i and nothing else."""
    _check(a, value)

    def codegen(context, builder, sig, args):
        address = pointer(context, builder, a, *args[:2])
        _masked_store(builder, value, args[2], address, _mask(builder, value, args[3]))
        return context.get_dummy_value()
    return types.void(a, types.intp, value, types.intp), codegen


@intrinsic
def at(typingctx, a, i):
    """at(a, i) -> the scalar at offset i: a.flat[i] without the test for a negative index."""
    def codegen(context, builder, sig, args):
        return builder.load(pointer(context, builder, a, *args))
    return vector_of(a).dtype(a, types.intp), codegen


@intrinsic(prefer_literal=True)
def splat_at(typingctx, a, i, lanes=None):
    """splat_at(a, i, lanes=None) -> the scalar at offset i in every lane."""
    vec = vector_of(a, lanes)

    def codegen(context, builder, sig, args):
        return splat_ir(builder, vec, builder.load(pointer(context, builder, a, *args[:2])))
    return vec(a, types.intp, lanes or types.none), codegen


def _prefetcher(a, write):
    def codegen(context, builder, sig, args):
        prefetch_ir(builder, pointer(context, builder, a, *args), write)
        return context.get_dummy_value()
    vector_of(a)
    return types.void(a, types.intp), codegen


@intrinsic
def prefetch(typingctx, a, i):
    """prefetch(a, i): ask for the cache line of offset i, to read it soon. Any offset is harmless."""
    return _prefetcher(a, write=False)


@intrinsic
def prefetch_write(typingctx, a, i):
    """prefetch_write(a, i): claim the cache line of offset i, to write it soon. Any offset is harmless."""
    return _prefetcher(a, write=True)


@intrinsic(prefer_literal=True)
def load_rows(typingctx, a, i, stride, rows, n, lanes=None):
    """load_rows(a, i, stride, rows, n, lanes=None) -> tuple of `lanes` vectors: row k from offset i + k * stride.

    The first n lanes of the first `rows` rows are read, the others are zero. With `transpose` and `store_rows`
    it moves a block into the other layout.
    """
    vec = vector_of(a, lanes)

    def codegen(context, builder, sig, args):
        array, i, stride, rows, n = args[:5]
        out = []
        for k in range(vec.lanes):
            address = pointer(context, builder, a, array, builder.add(i, builder.mul(stride, I64(k))))
            out.append(_masked_load(builder, vec, address, _row_mask(builder, vec, k, rows, n)))
        return context.make_tuple(builder, sig.return_type, out)
    return types.UniTuple(vec, vec.lanes)(a, *[types.intp] * 4, lanes or types.none), codegen


@intrinsic
def store_rows(typingctx, a, i, stride, values, rows, n):
    """store_rows(a, i, stride, values, rows, n): the first n lanes of the first `rows` vectors of a tuple,
    row k to offset i + k * stride."""
    vec = values.dtype
    _check(a, vec)

    def codegen(context, builder, sig, args):
        array, i, stride, values, rows, n = args
        for k, value in enumerate(cgutils.unpack_tuple(builder, values)):
            address = pointer(context, builder, a, array, builder.add(i, builder.mul(stride, I64(k))))
            _masked_store(builder, vec, value, address, _row_mask(builder, vec, k, rows, n))
        return context.get_dummy_value()
    return types.void(a, types.intp, types.intp, values, types.intp, types.intp), codegen


# ---- values ----

@intrinsic
def splat(typingctx, scalar):
    """splat(scalar) -> a float32 or float64 scalar in every native lane."""
    if scalar not in (types.float32, types.float64):
        raise TypingError(f"splat needs a float32 or float64 scalar, not {scalar}")
    vec = Vector(scalar, native_lanes(scalar))
    return vec(scalar), lambda context, builder, sig, args: splat_ir(builder, vec, args[0])


@intrinsic(prefer_literal=True)
def zero(typingctx, a, lanes=None):
    """zero(a, lanes=None) -> a vector of zeros of the array's dtype."""
    vec = vector_of(a, lanes)
    return vec(a, lanes or types.none), lambda context, builder, sig, args: ir.Constant(vec.llvm, [0.0] * vec.lanes)


def _same(vec, *others):
    """Whether all are one vector type."""
    return isinstance(vec, Vector) and all(o == vec for o in others)


@intrinsic
def fma(typingctx, a, b, c):
    """fma(a, b, c) -> a * b + c in one instruction where there is one."""
    if _same(a, b, c):
        return a(a, a, a), lambda context, builder, sig, args: fma_ir(builder, a, *args)


@intrinsic
def maximum(typingctx, a, b):
    """maximum(a, b) -> the larger lane by lane; NaN where either is NaN."""
    if _same(a, b):
        return a(a, a), lambda context, builder, sig, args: call_ir(
            builder, f"llvm.maximum.{a.suffix}", a.llvm, args, fastmath=("nsz",))


@intrinsic
def minimum(typingctx, a, b):
    """minimum(a, b) -> the smaller lane by lane; NaN where either is NaN."""
    if _same(a, b):
        return a(a, a), lambda context, builder, sig, args: call_ir(
            builder, f"llvm.minimum.{a.suffix}", a.llvm, args, fastmath=("nsz",))


@intrinsic
def lane_sum(typingctx, a):
    """lane_sum(a) -> the scalar sum of all lanes, added pairwise: halves, quarters, ..."""
    def codegen(context, builder, sig, args):
        x, k = args[0], a.lanes // 2
        while k:
            x = builder.fadd(shuffle_ir(builder, x, x, list(range(k))), shuffle_ir(builder, x, x, list(range(k, 2 * k))))
            k //= 2
        return builder.extract_element(x, I32(0))
    if _same(a):
        return a.dtype(a), codegen


@intrinsic
def transpose(typingctx, rows):
    """transpose(rows) -> the transpose of a tuple of as many vectors as a vector has lanes."""
    def codegen(context, builder, sig, args):
        return context.make_tuple(builder, rows, transpose_ir(builder, cgutils.unpack_tuple(builder, args[0])))
    if isinstance(rows, types.UniTuple) and _same(rows.dtype) and rows.count == rows.dtype.lanes:
        return rows(rows), codegen


def _shuffle(name, doc, lanes_of):
    def typer(typingctx, a, b):
        if _same(a, b):
            order = lanes_of(a.lanes)
            return a(a, a), lambda context, builder, sig, args: shuffle_ir(builder, *args, order)
    typer.__name__, typer.__doc__ = name, doc
    return intrinsic(typer)


even = _shuffle("even", "even(a, b) -> lanes 0, 2, 4, ... of a followed by b.", lambda n: list(range(0, 2 * n, 2)))
odd = _shuffle("odd", "odd(a, b) -> lanes 1, 3, 5, ... of a followed by b.", lambda n: list(range(1, 2 * n, 2)))
zip_low = _shuffle("zip_low", "zip_low(a, b) -> a0 b0 a1 b1 ..., the first half.",
                   lambda n: [i // 2 + n * (i % 2) for i in range(n)])
zip_high = _shuffle("zip_high", "zip_high(a, b) -> the second half of a0 b0 a1 b1 ...",
                    lambda n: [(n + i) // 2 + n * (i % 2) for i in range(n)])


def _operator(op, instruction, arity):
    @type_callable(op)
    def type_operator(context):
        if arity == 1:
            return lambda a: a if _same(a) else None
        return lambda a, b: a if _same(a, b) else None

    @lower_builtin(op, *[Vector] * arity)
    def lower_operator(context, builder, sig, args):
        return getattr(builder, instruction)(*args, flags=FLAGS)


for _op, _name, _arity in ((operator.add, "fadd", 2), (operator.sub, "fsub", 2), (operator.mul, "fmul", 2),
                           (operator.neg, "fneg", 1)):
    _operator(_op, _name, _arity)
