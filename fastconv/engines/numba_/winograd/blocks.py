"""What the steps of `winograd` keep in registers: one-dimensional transforms, and tiles of products."""

from __future__ import annotations

from numba import extending, types
from numba.core import cgutils

from ..ground import emit
from ..ground.control import cases, loop, merge
from ..ground.emit import I64, LINE, vector_of
from ..ground.target import REGISTERS, VECTOR_BYTES

intrinsic = extending.intrinsic(prefer_literal=True)

TILES = 14 if REGISTERS == 32 else 6  # tiles of a block of products: 28 (or 12) sums
ROWS = 8 if VECTOR_BYTES == 64 else 4  # the same of grad_weight, where they are outputs
AHEAD = 16  # steps from the prefetch of weights to their use
_INPUTS = 4, 5, 6, 8, 10  # points
_OUTPUTS = (4, 2), (5, 3), (6, 4), (6, 2), (8, 4), (8, 2), (10, 4)  # points, outputs
_SUMS = (4, 3), (5, 3), (6, 3), (6, 5), (8, 5), (8, 7), (10, 7)  # the same of grad_weight, whose outputs are taps
#: points and taps of weights; those of dy are its outputs
_TAPS, _DY = _SUMS, _OUTPUTS


def _input(b, vec, n, d, z):
    """n pixels to n frequencies; z: the coefficients, see algorithms/winograd_matrices.py."""
    P, ends, middle = (n - 1) // 2, [], []
    for i in range(2 - n % 2):  # zero, infinity
        e = d[2 * P + i]
        for k in range(P):
            e = emit.fma(b, vec, z(k), d[2 * k + i], e)
        ends.append(e)
    for i in range(P):
        e, o, row = d[2 * P], d[2 * P - 1], P + i * P
        for k in range(P - 1):
            c = z(row + 1 + k)
            e, o = emit.fma(b, vec, c, d[2 * k + 2], e), emit.fma(b, vec, c, d[2 * k + 1], o)
        scale = z(row)
        middle += [emit.fma(b, vec, scale, o, e), emit.fma(b, vec, b.fneg(scale), o, e)]
    return [ends[0], *middle, *ends[1:]]


def _output(b, vec, n, m, v, a):
    """n frequencies to m outputs."""
    P = (n - 1) // 2
    even = [b.fadd(v[2 * i + 1], v[2 * i + 2]) for i in range(P)]
    odd = [b.fsub(v[2 * i + 1], v[2 * i + 2]) for i in range(P)]
    outputs = []
    for j in range(m):
        terms = odd if j % 2 else even
        if j == 0:
            total = v[0]
            for term in terms:
                total = b.fadd(total, term)
        else:
            total = b.fmul(a(j * P), terms[0])
            for i in range(1, P):
                total = emit.fma(b, vec, a(j * P + i), terms[i], total)
        outputs.append(b.fadd(total, v[-1]) if j == m - 1 and n % 2 == 0 else total)
    return outputs


def _weight(b, vec, n, r, w, g):
    """r taps to n frequencies."""
    middle = []
    for i in range((n - 1) // 2):
        parts = [b.fmul(g(1 + i * r), w[0]), b.fmul(g(2 + i * r), w[1])]
        for j in range(2, r):
            parts[j % 2] = emit.fma(b, vec, g(1 + i * r + j), w[j], parts[j % 2])
        middle += [b.fadd(*parts), b.fsub(*parts)]
    return [b.fmul(g(0), w[0]), *middle, *([] if n % 2 else w[-1:])]


def _along(context, b, vec, args, count, make):
    """``count`` vectors, `gap` apart, through `make`, for every one of `many` rows."""
    source, gap, row, out, out_gap, out_row, many, coef = args
    lanes = I64(vec.lanes)
    gap, row, out_gap, out_row = (b.mul(n, lanes) for n in (gap, row, out_gap, out_row))

    def constant(i):
        return emit.splat(b, vec.llvm, b.load(b.gep(coef, [I64(i)])))

    with loop(b, I64(0), many, [source, out]) as (_, places):
        place, values = places[0], []
        for _ in range(count):
            values.append(emit.load(b, vec, place))
            place = b.gep(place, [gap])
        place = places[1]
        for value in make(values, constant):
            emit.store(b, vec, value, place)
            place = b.gep(place, [out_gap])
        places[:] = [b.gep(places[0], [row]), b.gep(places[1], [out_row])]


def _transform(name, doc, variants):
    """The intrinsic `name`; ``variants(kind)`` yields (key, vectors read, maker of the vectors written)."""

    def typer(typingctx, kind, key, a, gap, row, out, out_gap, out_row, many, coef, ic):
        vec = vector_of(coef)

        def codegen(context, b, sig, args):
            _, key, source, gap, row, to, out_gap, out_row, many, coef_, ic = args
            numbers = emit.pointer(context, b, coef, coef_, ic)
            with cases(b, key) as case:
                for value, count, make in variants(kind.literal_value):
                    with case(value):
                        _along(
                            context,
                            b,
                            vec,
                            (source, gap, row, to, out_gap, out_row, many, numbers),
                            count,
                            lambda values, z, make=make: make(b, vec, values, z),
                        )
            return context.get_dummy_value()

        i = types.intp
        return types.void(kind, i, a, i, i, out, i, i, i, coef, i), codegen

    typer.__name__, typer.__doc__ = name, doc
    return intrinsic(typer)


_ARGUMENTS = """{}(kind, key, a, gap, row, out, out_gap, out_row, many, coef, ic)

    {} for `many` rows of vectors: they begin at `a` (an `address`), `row` vectors apart, and each has vectors `gap`
    apart; likewise `out`. The coefficients begin at coef[ic]. kind: an integer literal, {}.
    """

inputs_1d = _transform(
    "inputs_1d",
    _ARGUMENTS.format("inputs_1d", "Pixels to frequencies", "0; key: points"),
    lambda kind: [(n, n, lambda b, vec, d, z, n=n: _input(b, vec, n, d, z)) for n in _INPUTS],
)
outputs_1d = _transform(
    "outputs_1d",
    _ARGUMENTS.format("outputs_1d", "Frequencies to outputs", "1 for grad_weight, else 0; key: 8*points + outputs"),
    lambda kind: [
        (8 * n + m, n, lambda b, vec, v, a, n=n, m=m: _output(b, vec, n, m, v, a))
        for n, m in (_SUMS if kind else _OUTPUTS)
    ],
)
weights_1d = _transform(
    "weights_1d",
    _ARGUMENTS.format("weights_1d", "Taps to frequencies", "1 for dy, else 0; key: 8*points + taps"),
    lambda kind: [
        (8 * n + r, r, lambda b, vec, w, g, n=n, r=r: _weight(b, vec, n, r, w, g)) for n, r in (_DY if kind else _TAPS)
    ],
)


@intrinsic
def scatter(typingctx, a, i, places, k, n, values):
    """scatter(a, i, places, k, n, values): the first n (> 0) vectors, the j-th to a[i + places[k + j]*lanes]."""
    vec = values.dtype

    def codegen(context, b, sig, args):
        array, i, table, k, n, block = args
        block = cgutils.unpack_tuple(b, block)
        out, numbers = emit.pointer(context, b, a, array, i), emit.pointer(context, b, places, table, k)

        def put(j):
            place = b.sext(b.load(b.gep(numbers, [I64(j)])), I64)
            emit.store(b, vec, block[j], b.gep(out, [b.mul(place, I64(vec.lanes))]))

        with b.if_else(b.icmp_signed(">=", n, I64(len(block)))) as (whole, part):
            with whole:
                for j in range(len(block)):
                    put(j)
            with part:
                for j in range(len(block) - 1):
                    with b.if_then(b.icmp_signed("<", I64(j), n)):
                        put(j)
        return context.get_dummy_value()

    i = types.intp
    return types.void(a, i, places, i, i, values), codegen


@intrinsic
def gather(typingctx, a, i, places, k, n):
    """gather(a, i, places, k, n) -> tuple of vectors: the j-th from a[i + places[k + min(j, n - 1)]*lanes]."""
    vec = vector_of(a)

    def codegen(context, b, sig, args):
        array, i, table, k, n = args
        source, numbers = emit.pointer(context, b, a, array, i), emit.pointer(context, b, places, table, k)
        last, block = b.sub(n, I64(1)), []
        for j in range(vec.lanes):
            place = b.load(b.gep(numbers, [emit.call(b, "llvm.smin.i64", I64, [last, I64(j)])]))
            block.append(emit.load(b, vec, b.gep(source, [b.mul(b.sext(place, I64), I64(vec.lanes))])))
        return context.make_tuple(b, sig.return_type, block)

    i = types.intp
    return types.UniTuple(vec, vec.lanes)(a, i, places, i, i), codegen


@intrinsic
def store_block(typingctx, a, i, stride, values, bias, rows, n):
    """store_block(a, i, stride, values, bias, rows, n): the transpose of the vectors, each with `bias` added.

    As `v.store_rows`, quick where nothing is missing: no masks, and the lines to be written next are claimed.
    """
    vec = values.dtype

    def codegen(context, b, sig, args):
        array, i, stride, block, bias, rows, n = args
        block = emit.transpose(b, [b.fadd(value, bias) for value in cgutils.unpack_tuple(b, block)])
        places = [emit.pointer(context, b, a, array, b.add(i, b.mul(stride, I64(k)))) for k in range(vec.lanes)]
        complete = b.and_(b.icmp_signed(">=", rows, I64(vec.lanes)), b.icmp_signed(">=", n, I64(vec.lanes)))
        with b.if_else(complete) as (whole, part):
            with whole:
                for value, place in zip(block, places, strict=True):
                    emit.prefetch(b, b.gep(place, [I64(4 * vec.lanes)]), write=True)
                    emit.store(b, vec, value, place)
            with part:
                for value, place, mask in zip(block, places, emit.row_masks(b, vec, rows, n), strict=True):
                    emit.store_masked(b, vec, value, place, mask)
        return context.get_dummy_value()

    i = types.intp
    return types.void(a, i, i, values, vec, i, i), codegen


@intrinsic
def products(typingctx, ps, n, x, ix, step, jump, group, u, iu, us, uv, ahead, m, im, mt, mv, count, first):
    """Products of n <= TILES scalars and 2 vectors, summed over count (> 0) steps, prefetching u[ahead + k*us]::

        m[im + t*mt + s*mv :+ lanes] (+)= sum over k < count of
            x[ix + k//group*jump + k%group*step + t*ps] * u[iu + k*us + s*uv :+ lanes]

    x, u IN, m OUT, or INOUT unless `first`. ps: an integer literal.
    """
    vec, PS = vector_of(x), ps.literal_value

    def codegen(context, b, sig, args):
        _, n, x_, ix, step, jump, group, u_, iu, us, uv, ahead, m_, im, mt, mv, count, first = args
        scalars, vectors = emit.pointer(context, b, x, x_, ix), emit.pointer(context, b, u, u_, iu)
        out = emit.pointer(context, b, m, m_, im)
        ahead = b.sub(ahead, iu)
        lines = [b.add(ahead, I64(byte // vec.itemsize)) for byte in range(0, 2 * VECTOR_BYTES, LINE)]
        groups = b.sdiv(b.add(count, b.sub(group, I64(1))), group)

        def tile(nt):
            with loop(b, I64(0), groups, [scalars, vectors, *[emit.zero(vec)] * (2 * nt)]) as (g, outer):
                left = b.sub(count, b.mul(g, group))
                left = emit.call(b, "llvm.smin.i64", I64, [left, group])
                with loop(b, I64(0), left, list(outer)) as (_, inner):
                    p, f, *sums = inner
                    pair = [emit.load(b, vec, place) for place in (f, b.gep(f, [uv]))]
                    for distance in lines:
                        emit.prefetch(b, b.gep(f, [distance]))
                    for t in range(nt):
                        scalar = emit.splat(b, vec.llvm, b.load(b.gep(p, [I64(t * PS)])))
                        for s in range(2):
                            sums[2 * t + s] = emit.fma(b, vec, pair[s], scalar, sums[2 * t + s])
                    inner[:] = [b.gep(p, [step]), b.gep(f, [us]), *sums]
                outer[:] = [b.gep(outer[0], [jump]), *inner[1:]]
            places = []
            place = out
            for _ in range(nt):
                places += [place, b.gep(place, [mv])]
                place = b.gep(place, [mt])
            entry = b.block
            with b.if_then(b.not_(first)):
                more = [b.fadd(emit.load(b, vec, place), value) for place, value in zip(places, outer[2:], strict=True)]
                added = b.block
            for value, place in zip(merge(b, outer[2:], entry, more, added), places, strict=True):
                emit.store(b, vec, value, place)

        with cases(b, n) as case:
            for nt in range(1, TILES + 1):
                with case(nt):
                    tile(nt)
        return context.get_dummy_value()

    i = types.intp
    return types.void(ps, i, x, i, i, i, i, u, i, i, i, i, m, i, i, i, i, types.boolean), codegen
