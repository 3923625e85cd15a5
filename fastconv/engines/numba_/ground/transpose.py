"""Blocks of `lanes` vectors, loaded to be transposed and stored where they belong."""

from __future__ import annotations

from numba import extending, types
from numba.core import cgutils

from . import emit
from .control import merge
from .emit import I64, vector_of

intrinsic = extending.intrinsic(prefer_literal=True)


@intrinsic
def load_block(typingctx, a, i, stride, rows, n):
    """load_block(a, i, stride, rows, n) -> `v.load_rows`, quick where n >= lanes: no masks, and prefetches."""
    vec = vector_of(a)
    L = vec.lanes

    def codegen(context, b, sig, args):
        array, i, stride, rows, n = args
        places = [emit.pointer(context, b, a, array, b.add(i, b.mul(stride, I64(k)))) for k in range(L)]
        zeros = cgutils.global_constant(b, "zeros", emit.zero(vec))
        zeros = b.bitcast(zeros, places[0].type)  # stands for rows that are missing
        with b.if_else(b.icmp_signed(">=", n, I64(L))) as (then, otherwise):
            with then:
                full = []
                for k, place in enumerate(places):
                    full.append(emit.load(b, vec, b.select(b.icmp_signed("<", I64(k), rows), place, zeros)))
                    emit.prefetch(b, b.gep(place, [I64(4 * L)]))
                after = b.block
            with otherwise:
                masks = emit.row_masks(b, vec, rows, n)
                part = [emit.load_masked(b, vec, place, mask) for place, mask in zip(places, masks, strict=True)]
                other = b.block
        return context.make_tuple(b, sig.return_type, merge(b, full, after, part, other))

    return types.UniTuple(vec, L)(a, *[types.intp] * 4), codegen


@intrinsic
def store_block(typingctx, a, i, stride, values, rows, n):
    """store_block(a, i, stride, values, rows, n): `v.store_rows`, quick where both are at least lanes: no masks."""
    vec = values.dtype

    def codegen(context, b, sig, args):
        array, i, stride, block, rows, n = args
        places = [emit.pointer(context, b, a, array, b.add(i, b.mul(stride, I64(k)))) for k in range(vec.lanes)]
        block = cgutils.unpack_tuple(b, block)
        whole = b.and_(b.icmp_signed(">=", rows, I64(vec.lanes)), b.icmp_signed(">=", n, I64(vec.lanes)))
        with b.if_else(whole) as (then, otherwise):
            with then:
                for value, place in zip(block, places, strict=True):
                    emit.store(b, vec, value, place)
            with otherwise:
                for value, place, mask in zip(block, places, emit.row_masks(b, vec, rows, n), strict=True):
                    emit.store_masked(b, vec, value, place, mask)
        return context.get_dummy_value()

    m = types.intp
    return types.void(a, m, m, values, m, m), codegen


@intrinsic
def load_every_other(typingctx, a, i, stride, rows, n):
    """load_every_other(a, i, stride, rows, n) -> `v.load_rows` of elements 0, 2, 4, ... of every row."""
    vec = vector_of(a)

    def codegen(context, b, sig, args):
        array, i, stride, rows, n = args
        block = []
        for k in range(vec.lanes):
            address = emit.pointer(context, b, a, array, b.add(i, b.mul(stride, I64(k))))
            valid = b.select(b.icmp_signed("<", I64(k), rows), b.sub(b.mul(n, I64(2)), I64(1)), I64(0))
            low = emit.load_part(b, vec, address, valid)
            high = emit.load_part(b, vec, b.gep(address, [I64(vec.lanes)]), b.sub(valid, I64(vec.lanes)))
            for ahead in (4, 5):
                emit.prefetch(b, b.gep(address, [I64(ahead * vec.lanes)]))
            block.append(emit.shuffle(b, low, high, [2 * k for k in range(vec.lanes)]))
        return context.make_tuple(b, sig.return_type, block)

    return types.UniTuple(vec, vec.lanes)(a, *[types.intp] * 4), codegen


def _places(context, b, vec, a, places, args):
    """Address and number of lanes (all or none) of every vector of a block."""
    array, i, step, table, k, n = args
    for j in range(vec.lanes):
        some = b.icmp_signed("<", I64(j), n)
        index = b.add(k, b.select(some, I64(j), I64(0)))
        place = b.load(emit.pointer(context, b, places, table, index))
        yield emit.pointer(context, b, a, array, b.add(i, b.mul(step, place))), b.select(some, I64(vec.lanes), I64(0))


@intrinsic
def store_each(typingctx, a, i, step, places, k, n, values):
    """store_each(a, i, step, places, k, n, values): the first n > 0 vectors, the j-th to i + step * places[k + j]."""
    vec = values.dtype

    def codegen(context, b, sig, args):
        block = cgutils.unpack_tuple(b, args[-1])
        for value, (address, count) in zip(block, _places(context, b, vec, a, places, args[:-1]), strict=True):
            with b.if_then(b.icmp_signed("!=", count, I64(0))):
                emit.store(b, vec, value, address)
        return context.get_dummy_value()

    n = types.intp
    return types.void(a, n, n, places, n, n, values), codegen
