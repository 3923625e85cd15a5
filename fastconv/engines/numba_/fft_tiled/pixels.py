"""Pixels of a tile's row in all lanes: from planes to vectors of lanes, and back; `k` is the table of lanes."""

from __future__ import annotations

from llvmlite import ir
from numba import extending, types

from ..ground import emit
from ..ground import vector as v
from ..ground.control import merge
from ..ground.emit import I32, I64, vector_of
from ..ground.memory import address
from . import tables as tb
from .tables import ceil

intrinsic = extending.intrinsic(prefer_literal=True)


def _lanes(context, b, vec, planes, k, r, j):
    """Of every lane: where pixel j of row r is, and which of the pixels from there on are inside, from, to."""

    def number(place):
        return b.load(b.gep(k, [I64(place)]))

    first = b.add(b.mul(r, number(tb.PITCH)), j)
    places = [b.gep(planes, [b.add(first, number(tb.ORIGIN + lane))]) for lane in range(vec.lanes)]

    def bounds(lane):
        row = b.and_(b.icmp_signed("<=", number(tb.TOP + lane), r), b.icmp_signed("<", r, number(tb.BOTTOM + lane)))
        start, stop = b.sub(number(tb.LEFT + lane), j), b.sub(number(tb.RIGHT + lane), j)
        return start, b.select(row, stop, I64(0))

    return places, bounds


def _mask(b, vec, start, stop):
    """The lanes start .. stop - 1."""
    kind = ir.VectorType(I32, vec.lanes)
    index = kind(list(range(vec.lanes)))
    start, stop = (emit.splat(b, kind, b.trunc(n, I32)) for n in (start, stop))
    return b.and_(b.icmp_signed(">=", index, start), b.icmp_signed("<", index, stop))


@intrinsic
def load_block(typingctx, planes, k, r, j, whole, out):
    """load_block(planes, k, r, j, whole, out): out[2 * i] = pixel j + i of row r in all planes, for a vector of i.

    whole: all of them are inside; others are zero.
    """
    vec = vector_of(planes)

    def codegen(context, b, sig, args):
        planes_, k, r, j, whole, out = args
        places, bounds = _lanes(context, b, vec, planes_, k, r, j)
        with b.if_else(whole) as (then, otherwise):
            with then:
                full = [emit.load(b, vec, place) for place in places]
                after = b.block
            with otherwise:
                part = [emit.load_masked(b, vec, p, _mask(b, vec, *bounds(lane))) for lane, p in enumerate(places)]
                other = b.block
        for value in emit.transpose(b, merge(b, full, after, part, other)):
            emit.store(b, vec, value, out)
            out = b.gep(out, [I64(2 * vec.lanes)])
        return context.get_dummy_value()

    i = types.intp
    return types.void(planes, k, i, i, types.boolean, out), codegen


@intrinsic
def store_block(typingctx, planes, k, r, j, whole, end, source):
    """store_block(planes, k, r, j, whole, end, source): the reverse, of pixels below `end`."""
    vec = vector_of(planes)

    def codegen(context, b, sig, args):
        planes_, k, r, j, whole, end, source = args
        places, bounds = _lanes(context, b, vec, planes_, k, r, j)
        values = [emit.load(b, vec, b.gep(source, [I64(2 * vec.lanes * lane)])) for lane in range(vec.lanes)]
        values = emit.transpose(b, values)
        with b.if_else(whole) as (then, otherwise):
            with then:
                for value, place in zip(values, places, strict=True):
                    emit.store(b, vec, value, place)
            with otherwise:
                for lane, (value, place) in enumerate(zip(values, places, strict=True)):
                    start, stop = bounds(lane)
                    stop = emit.call(b, "llvm.smin.i64", I64, [stop, b.sub(end, j)])
                    all_ = b.and_(b.icmp_signed("<=", start, I64(0)), b.icmp_signed(">=", stop, I64(vec.lanes)))
                    with b.if_else(all_) as (complete, some):
                        with complete:
                            emit.store(b, vec, value, place)
                        with some, b.if_then(b.icmp_signed("<", start, stop)):
                            emit.store_masked(b, vec, value, place, _mask(b, vec, start, stop))
        return context.get_dummy_value()

    i = types.intp
    return types.void(planes, k, i, i, types.boolean, i, source), codegen


@v.copied
def load_row(planes, k, r, columns, row):
    """row[2 * j] = pixel j of row r in all planes; whole vectors of pixels are written."""
    L = v.lanes(planes)
    inside, some = v.at(k, tb.FIRST) <= r < v.at(k, tb.LAST), v.at(k, tb.STEP) == 1
    if not inside or not some:
        for j in range(ceil(columns, L) * L):
            v.store(row, 2 * j * L, v.zero(row))
    if inside and some:
        high = v.at(k, tb.TOP_ALL) <= r < v.at(k, tb.BOTTOM_ALL)
        for j in range(0, columns, L):
            whole = high and v.at(k, tb.LEFT_ALL) <= j and j + L <= v.at(k, tb.RIGHT_ALL)
            load_block(planes, k, r, j, whole, address(row, 2 * j * L))
    elif inside and v.at(k, tb.BESIDE):
        place = v.at(k, tb.ORIGIN) + r * v.at(k, tb.PITCH)
        for j in range(v.at(k, tb.LEFT), min(columns, v.at(k, tb.RIGHT))):
            v.store(row, 2 * j * L, v.load_part(planes, place + j * v.at(k, tb.STEP), v.at(k, tb.LANES)))
    elif inside:
        for lane in range(v.at(k, tb.LANES)):
            if v.at(k, tb.TOP + lane) <= r < v.at(k, tb.BOTTOM + lane):
                place = v.at(k, tb.ORIGIN + lane) + r * v.at(k, tb.PITCH)
                for j in range(v.at(k, tb.LEFT + lane), min(columns, v.at(k, tb.RIGHT + lane))):
                    v.put(row, 2 * j * L + lane, v.at(planes, place + j * v.at(k, tb.STEP)))


@v.copied
def store_row(planes, k, r, columns, row):
    """Pixels of row r to all planes that have them; whole vectors of pixels are read."""
    L = v.lanes(planes)
    if v.at(k, tb.STEP) == 1:
        high = v.at(k, tb.TOP_ALL) <= r < v.at(k, tb.BOTTOM_ALL)
        for j in range(0, columns if v.at(k, tb.FIRST) <= r < v.at(k, tb.LAST) else 0, L):
            whole = high and v.at(k, tb.LEFT_ALL) <= j and j + L <= min(columns, v.at(k, tb.RIGHT_ALL))
            store_block(planes, k, r, j, whole, columns, address(row, 2 * j * L))
    elif v.at(k, tb.BESIDE):
        place, right = v.at(k, tb.ORIGIN) + r * v.at(k, tb.PITCH), min(columns, v.at(k, tb.RIGHT))
        for j in range(v.at(k, tb.LEFT), right if v.at(k, tb.TOP) <= r < v.at(k, tb.BOTTOM) else 0):
            v.store_part(planes, place + j * v.at(k, tb.STEP), v.load(row, 2 * j * L), v.at(k, tb.LANES))
    else:
        for lane in range(v.at(k, tb.LANES)):
            if v.at(k, tb.TOP + lane) <= r < v.at(k, tb.BOTTOM + lane):
                place = v.at(k, tb.ORIGIN + lane) + r * v.at(k, tb.PITCH)
                for j in range(v.at(k, tb.LEFT + lane), min(columns, v.at(k, tb.RIGHT + lane))):
                    v.put(planes, place + j * v.at(k, tb.STEP), v.at(row, 2 * j * L + lane))
