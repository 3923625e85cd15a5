"""What the steps of rows.py do with one row of an image: the pieces of their loops.

``source = (place, height, width, col)`` is an image that is looked at from column ``col`` on: `place` is the address
of its first number. Rows outside of the image are zeros, and so are columns.
"""

from __future__ import annotations

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from ..ground import emit
from ..ground.emit import I64, vector_of
from .blocks import MASKS

intrinsic = extending.intrinsic(prefer_literal=True)

_AHEAD = 2048  # so many numbers before they are read, or written, lines are asked for


def _place(b, vec, source, row):
    """Where a row begins; zeros, with a number before them, stand for one that is not there."""
    image, height, width, col = source
    number = vec.llvm.element
    kind = ir.ArrayType(number, 6 * vec.lanes)
    nothing = b.module.globals.get("no_row") or cgutils.global_constant(b, "no_row", ir.Constant(kind, None))
    zeros = b.gep(b.bitcast(nothing, number.as_pointer()), [I64(vec.lanes)])
    place = b.gep(image, [b.add(b.mul(row, width), col)])
    return b.select(b.icmp_unsigned("<", row, height), place, zeros), zeros


def _fetch(b, vec, p, count, write=False):
    for k in range(count):
        emit.prefetch(b, b.gep(p, [I64(_AHEAD + k * vec.lanes)]), write)


def _whole(b, n, count, yes, no):
    """`yes()` where n is at least `count`, else `no()`: lists of vectors."""
    with b.if_else(b.icmp_signed(">=", n, I64(count))) as (then, otherwise):
        with then:
            values, block = yes(), b.block
        with otherwise:
            others, other = no(), b.block
    merged = [b.phi(value.type) for value in values]
    for phi, value, instead in zip(merged, values, others, strict=True):
        phi.add_incoming(value, block)
        phi.add_incoming(instead, other)
    return merged


def _mask(b, vec, n):
    """Lanes 0 .. n - 1, as `emit.mask`; of this form LLVM computes masks before a loop, and not again in it."""
    n = emit.call(b, "llvm.smax.i64", I64, [n, I64(0)])
    kind = ir.VectorType(ir.IntType(1), vec.lanes)
    return emit.call(b, f"llvm.get.active.lane.mask.v{vec.lanes}i1.i64", kind, [I64(0), n])


def _load(b, vec, p, count, n):
    """`count` vectors, of which n numbers are there."""
    places = [(b.gep(p, [I64(k)]), b.sub(n, I64(k))) for k in range(0, count * vec.lanes, vec.lanes)]

    def some():
        return [emit.load_masked(b, vec, place, _mask(b, vec, left)) for place, left in places]

    return some() if MASKS else _whole(b, n, count * vec.lanes, lambda: [emit.load(b, vec, q) for q, _ in places], some)


def _beside(b, vec, p, source, zeros, k):
    """Number k of a row, counted from the column that is looked at, in every lane; zero if it is not there."""
    there = b.icmp_unsigned("<", b.add(source[3], I64(k)), source[2])
    return emit.splat(b, vec.llvm, b.load(b.gep(b.select(there, p, zeros), [I64(k)])))


def _slide(b, vec, x, y, k):
    return emit.shuffle(b, x, y, range(k, k + vec.lanes))


def _keep(b, vec, x, n):
    return b.select(_mask(b, vec, n), x, emit.zero(vec))


def _row(b, vec, p, n, count):
    """`count` vectors; the columns of all but the last one are there."""
    last = I64((count - 1) * vec.lanes)
    whole = [emit.load(b, vec, b.gep(p, [I64(k * vec.lanes)])) for k in range(count - 1)]
    return whole + _load(b, vec, b.gep(p, [last]), 1, b.sub(n, last))


def _columns1(b, vec, source, row, count, across):
    """Of each of `count` vectors of outputs: the columns on their left, those above them, those on their right.

    Where `across` is not None it is the number of outputs from here on, and columns behind the last ones are zero.
    """
    (p, zeros), n = _place(b, vec, source, row), b.sub(source[2], source[3])
    _fetch(b, vec, p, count)
    before = _beside(b, vec, p, source, zeros, -1)
    after = _beside(b, vec, p, source, zeros, count * vec.lanes)
    ring = [before, *_row(b, vec, p, n, count), after]
    for k in range(1, count + 1):
        left = _slide(b, vec, ring[k - 1], ring[k], vec.lanes - 1)
        if across is not None and k == count:
            left = _keep(b, vec, left, b.sub(across, I64((k - 1) * vec.lanes)))
        yield left, ring[k], _slide(b, vec, ring[k], ring[k + 1], 1)


def _columns2(b, vec, source, row, count, across):
    """The same at stride 2: columns 2j - 1, 2j and 2j + 1 for outputs j."""
    (p, zeros), n = _place(b, vec, source, row), b.sub(source[2], source[3])
    _fetch(b, vec, p, 2 * count)
    odd = _beside(b, vec, p, source, zeros, -1)
    if across is not None:
        n = emit.call(b, "llvm.smin.i64", I64, [n, b.shl(across, I64(1))])
    xs = _load(b, vec, p, 2 * count, n)
    for k in range(count):
        before, pair = odd, xs[2 * k : 2 * k + 2]
        even, odd = (emit.shuffle(b, *pair, range(first, 2 * vec.lanes, 2)) for first in (0, 1))
        left = _slide(b, vec, before, odd, vec.lanes - 1)
        if across is not None and k == count - 1:
            left = _keep(b, vec, left, b.sub(across, I64(k * vec.lanes)))
        yield left, even, odd


_COLUMNS = {1: _columns1, 2: _columns2}


def _groups(rows):
    """The Numba type of the vectors of one row, of several of which some are None."""
    return next(kind for kind in rows.types if kind != types.none)


def _unpack(b, rows, kinds):
    return [
        None if kind == types.none else cgutils.unpack_tuple(b, row)
        for row, kind in zip(cgutils.unpack_tuple(b, rows), kinds.types, strict=True)
    ]


@intrinsic
def weights(typingctx, w, i, turned):
    """weights(w, i, turned) -> nine vectors, a weight each, of those from number i on; turned: the last one first."""
    vec = vector_of(w)

    def codegen(context, b, sig, args):
        w_, i, turned = args
        first, step = b.add(i, b.mul(turned, I64(8))), b.sub(I64(1), b.shl(turned, I64(1)))
        places = [emit.pointer(context, b, w, w_, b.add(first, b.mul(step, I64(k)))) for k in range(9)]
        return context.make_tuple(b, sig.return_type, [emit.splat(b, vec.llvm, b.load(p)) for p in places])

    return types.UniTuple(vec, 9)(w, types.intp, types.intp), codegen


@intrinsic
def filter_row(typingctx, stride, source, row, w, sums):
    """filter_row(stride, source, row, w, sums) -> sums with the products of a row of the image.

    ``sums[i]``: of the output row that the image row meets with kernel row i, a tuple of vectors; or None.
    """
    vec, count, columns = _groups(sums).dtype, _groups(sums).count, _COLUMNS[stride.literal_value]

    def codegen(context, b, sig, args):
        _, source_, row, w_, sums_ = args
        ks, rows = cgutils.unpack_tuple(b, w_), _unpack(b, sums_, sums)
        for k, taps in enumerate(columns(b, vec, cgutils.unpack_tuple(b, source_), row, count, None)):
            for j, tap in enumerate(taps):
                for i in (2, 1, 0):
                    if rows[i]:
                        rows[i][k] = emit.fma(b, vec, ks[3 * i + j], tap, rows[i][k])
        packed = [
            context.make_tuple(b, kind, row) if row else context.get_dummy_value()
            for kind, row in zip(sums.types, rows, strict=True)
        ]
        return context.make_tuple(b, sums, packed)

    return sums(stride, source, types.intp, w, sums), codegen


@intrinsic
def gather_row(typingctx, stride, source, row, n, sums, rows):
    """gather_row(stride, source, row, n, sums, rows) -> the nine sums, with the products of a row of the image.

    ``rows[i]``: the row of dy that it meets with kernel row i, a tuple of vectors of which n numbers are there; or
    None. Columns of the image meet no others: they may be infinite.
    """
    vec, count, columns = sums.dtype, _groups(rows).count, _COLUMNS[stride.literal_value]

    def codegen(context, b, sig, args):
        _, source_, row, n, sums_, rows_ = args
        totals, dys = cgutils.unpack_tuple(b, sums_), _unpack(b, rows_, rows)
        for k, taps in enumerate(columns(b, vec, cgutils.unpack_tuple(b, source_), row, count, n)):
            for j, tap in enumerate(taps):
                for i, dy in enumerate(dys):
                    if dy:
                        totals[3 * j + i] = emit.fma(b, vec, dy[k], tap, totals[3 * j + i])
        return context.make_tuple(b, sums, totals)

    return sums(stride, source, types.intp, types.intp, sums, rows), codegen


@intrinsic
def take_row(typingctx, a, i, n, like):
    """take_row(a, i, n, like) -> as many vectors as in `like` from offset i on; n numbers are there."""
    vec, count = like.dtype, like.count

    def codegen(context, b, sig, args):
        p = emit.pointer(context, b, a, *args[:2])
        _fetch(b, vec, p, count)
        return context.make_tuple(b, like, _row(b, vec, p, args[2], count))

    return like(a, types.intp, types.intp, like), codegen


@intrinsic
def put_row(typingctx, a, i, values, n):
    """put_row(a, i, values, n): write n numbers of a tuple of vectors, more than all but the last one have."""
    vec, count = values.dtype, values.count

    def codegen(context, b, sig, args):
        p, rows = emit.pointer(context, b, a, *args[:2]), cgutils.unpack_tuple(b, args[2])
        places = [b.gep(p, [I64(k * vec.lanes)]) for k in range(count)]
        _fetch(b, vec, p, count, write=True)
        for value, place in zip(rows[:-1], places, strict=False):
            emit.store(b, vec, value, place)
        left = b.sub(args[3], I64((count - 1) * vec.lanes))
        if MASKS:
            emit.store_part(b, vec, rows[-1], places[-1], left)
        else:
            with b.if_else(b.icmp_signed(">=", left, I64(vec.lanes))) as (then, otherwise):
                with then:
                    emit.store(b, vec, rows[-1], places[-1])
                with otherwise:
                    emit.store_part(b, vec, rows[-1], places[-1], left)
        return context.get_dummy_value()

    return types.void(a, types.intp, values, types.intp), codegen


@intrinsic
def spread_row(typingctx, source, row):
    """spread_row(source, row) -> a vector of a row of the image, and the columns to its right."""
    vec = vector_of(source[0])

    def codegen(context, b, sig, args):
        source = cgutils.unpack_tuple(b, args[0])
        (p, zeros), n = _place(b, vec, source, args[1]), b.sub(source[2], source[3])
        _fetch(b, vec, p, 1)
        here = _row(b, vec, p, n, 1)[0]
        after = _beside(b, vec, p, source, zeros, vec.lanes)
        return context.make_tuple(b, sig.return_type, [here, _slide(b, vec, here, after, 1)])

    return types.UniTuple(vec, 2)(source, types.intp), codegen
