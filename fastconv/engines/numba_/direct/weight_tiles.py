"""What grad_weight of `direct` keeps in registers: sums over pixels of numbers of the image times vectors of dy."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import extending, types

from ..ground import emit
from ..ground.control import cases, loop
from ..ground.emit import I64, vector_of
from ..ground.target import VECTOR_BYTES
from .tiles import multiply_add

intrinsic = extending.intrinsic(prefer_literal=True)

SUMS = 8 if VECTOR_BYTES == 64 else 4  # channels beside two vectors, at most the lanes
#: rows of a tile, for (neighbouring taps, vectors): whole kernel rows, or single taps of any channels
if VECTOR_BYTES == 64:
    TILES = {(1, 1): 8, (1, 2): 8, (3, 1): 3, (3, 2): 3, (5, 1): 5, (5, 2): 1, (7, 1): 2, (7, 2): 1}
else:
    TILES = {(1, 1): 8, (1, 2): 6, (3, 1): 3, (3, 2): 2, (5, 1): 2, (5, 2): 1}
#: the same as [taps, vectors]; 0: there is no such tile
ROWS = np.array([[TILES.get((taps, vectors), 0) for vectors in range(3)] for taps in range(8)])


def _held(b, address):
    """The address, in a register of its own: LLVM would count every sum of it and an offset by itself."""
    return b.asm(ir.FunctionType(address.type, [address.type]), "", "=r,0", [address], False)


def _tile(b, vec, shape, pixels, offsets, row, step, start, dv, skip, rows, cols):
    """Emits the loops of a tile; returns the sums [row][neighbour][vector]."""
    nr, width, nv = shape
    starts = [pixels] if nr > 1 and width == 1 else [b.gep(pixels, [offset]) for offset in offsets]
    sums = [emit.zero(vec)] * (nr * width * nv)  # a strip's own: errors grow with its length only
    with loop(b, I64(0), rows, [start, *sums]) as (i, outer):
        points = [b.gep(p, [b.mul(i, row)]) for p in starts]
        with loop(b, I64(0), cols, [*points, *outer]) as (_, inner):
            points, f, sums = inner[: len(starts)], inner[len(starts)], inner[len(starts) + 1 :]
            points = [_held(b, p) for p in points]
            vectors = [emit.load(b, vec, f if s == 0 else b.gep(f, [dv])) for s in range(nv)]
            firsts = points if len(points) == nr else [b.gep(points[0], [offset]) for offset in offsets]
            multiply_add(b, vec, vectors, [b.gep(p, [I64(t)]) for p in firsts for t in range(width)], sums)
            inner[:] = [*(b.gep(p, [step]) for p in points), b.gep(f, [I64(vec.lanes)]), *sums]
        outer[:] = [b.gep(inner[len(starts)], [skip]), *inner[len(starts) + 1 :]]
    return outer[1:]


@intrinsic
def row_sums(typingctx, width, nv, n, x, ix, at, iat, row, step, d, id_, dv, rows, cols, a, ia):
    """Sums over rows x cols pixels, for the first n of a tile's ROWS[width, nv] rows of `width` neighbours::

        a[ia + (2*(t*width + k) + s)*lanes :+ lanes] += sum over i, j of
            x[ix + at[iat + t*width] + k + i*row + j*step] * d[id_ + s*dv + (i*cols + j)*lanes :+ lanes]

    x, at (int64; all rows of a tile are read), d IN, a INOUT; rows and cols are positive.
    """
    vec = vector_of(x)
    L = vec.lanes

    def codegen(context, b, sig, args):
        width, nv, n, x_, ix, at_, iat, row, step, d_, id_, dv, rows, cols, a_, ia = args
        pixels = emit.pointer(context, b, x, x_, ix)
        table = emit.pointer(context, b, at, at_, iat)
        start = emit.pointer(context, b, d, d_, id_)
        out = emit.pointer(context, b, a, a_, ia)
        with cases(b, b.add(b.mul(width, I64(4)), nv)) as case:
            for (taps, vectors), nr in TILES.items():
                with case(4 * taps + vectors):
                    offsets = [b.load(b.gep(table, [I64(t * taps)])) for t in range(nr)]
                    shape = nr, taps, vectors
                    sums = _tile(b, vec, shape, pixels, offsets, row, step, start, dv, I64(0), rows, cols)
                    for t in range(nr):
                        with b.if_then(b.icmp_signed("<", I64(t), n)):
                            for k in range(t * taps * vectors, (t + 1) * taps * vectors):
                                to = (2 * (k // vectors) + k % vectors) * L
                                _add(b, vec, sums[k], b.gep(out, [I64(to)]))
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, i, x, i, at, i, i, i, d, i, i, i, i, a, i), codegen


@intrinsic
def channel_sums(typingctx, x, ix, row, step, d, id_, dv, skip, rows, cols, a, ia):
    """The same for min(SUMS, lanes) neighbouring channels and 2 vectors; `skip` numbers of d behind a row are left."""
    vec = vector_of(x)
    count = min(SUMS, vec.lanes)

    def codegen(context, b, sig, args):
        x_, ix, row, step, d_, id_, dv, skip, rows, cols, a_, ia = args
        pixels = emit.pointer(context, b, x, x_, ix)
        start = emit.pointer(context, b, d, d_, id_)
        out = emit.pointer(context, b, a, a_, ia)
        sums = _tile(b, vec, (1, count, 2), pixels, [I64(0)], row, step, start, dv, skip, rows, cols)
        for k, value in enumerate(sums):
            _add(b, vec, value, b.gep(out, [I64(k * vec.lanes)]))
        return context.get_dummy_value()

    i = types.intp
    return types.void(x, i, i, i, d, i, i, i, i, i, a, i), codegen


def _add(b, vec, value, place):
    emit.store(b, vec, b.fadd(emit.load(b, vec, place), value), place)
