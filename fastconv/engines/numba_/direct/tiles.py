"""What the steps of `direct` keep in registers: tiles of products, and blocks to be transposed."""

from __future__ import annotations

import numpy as np
from numba import extending, types
from numba.core import cgutils

from ..ground import emit
from ..ground.control import cases, loop, merge
from ..ground.emit import AHEAD, I64, LINE, vector_of
from ..ground.target import VECTOR_BYTES

intrinsic = extending.intrinsic(prefer_literal=True)

TILE = 14 if VECTOR_BYTES == 64 else 6  # pixels x 2 vectors of a tile, or half as many x 4
TILE1 = 14 if VECTOR_BYTES == 64 else 12  # pixels where one vector holds all outputs
#: the tiles that are compiled, by vectors; an odd number of pixels is done by the next tile but for 7
PIXELS = {1: range(2, TILE1 + 1, 2), 2: range(2, TILE + 1, 2), 4: (2, 4, 6, 7) if VECTOR_BYTES == 64 else ()}


def multiply_add(b, vec, vectors, scalars, sums):
    """sums[t][s] += scalars[t] * vectors[s], the scalars at addresses."""
    k = 0
    for address in scalars:
        scalar = emit.splat(b, vec.llvm, b.load(address))
        for vector in vectors:
            sums[k] = emit.fma(b, vec, vector, scalar, sums[k])
            k += 1


@intrinsic
def tile_products(
    typingctx, n, nv, block, x, ix, taps, it, nkw, u0, u1, v0, v1, plane, c, w, iw, m, im, mt, mv, bias, ib, nb
):
    """Products of n <= TILE * 2 // nv (or TILE1) pixels and nv (1, 2, 4) vectors, taps [u0, u1) x [v0, v1)::

        m[im + t*mt + s*mv :+ lanes] = bias[ib + s*lanes :+ lanes]      (nb numbers from ib on, then zeros)
            + sum over u, v, k of x[ix + taps[it + u*nkw + v] + k//block*plane + t*block + k%block]
                                  * w[iw + ((u*nkw + v)*c + k)*nv*lanes + s*lanes :+ lanes]

    x, taps (int64), w, bias IN, m OUT; `block` is 1 or the number of lanes. Where n is odd, the pixel behind the
    last one may be read, and comes to nothing.
    """
    vec = vector_of(x)
    L = vec.lanes

    def codegen(context, b, sig, args):
        n, nv, block, x_, ix, taps_, it, nkw, u0, u1, v0, v1, plane, c, w_, iw, m_, im, mt, mv, bias_, ib, nb = args
        pixels = emit.pointer(context, b, x, x_, ix)
        offsets = emit.pointer(context, b, taps, taps_, it)
        weights = emit.pointer(context, b, w, w_, iw)
        out = emit.pointer(context, b, m, m_, im)
        start = emit.pointer(context, b, bias, bias_, ib)
        some = b.and_(b.icmp_signed("<", u0, u1), b.icmp_signed("<", v0, v1))

        def channels(tap, nt, NV, PS, vectors, sums):
            """All channels of one tap."""
            p = b.gep(pixels, [b.load(b.gep(offsets, [tap]))])
            f = b.gep(weights, [b.add(b.mul(b.mul(tap, c), I64(NV * L)), I64(vectors[0] * L))])
            groups = b.sdiv(b.add(c, I64(PS - 1)), I64(PS))
            with loop(b, I64(0), groups, [p, f, *sums]) as (g, outer):
                following = b.gep(outer[0], [plane])
                if PS == 1:
                    step(outer[0], nt, NV, PS, len(vectors), outer)
                else:
                    left = b.sub(c, b.mul(g, I64(PS)))
                    left = emit.call(b, "llvm.smin.i64", I64, [left, I64(PS)])
                    with loop(b, I64(0), left, outer[1:]) as (k, inner):
                        emit.prefetch(b, b.gep(following, [b.mul(k, I64(L))]))  # the next pixels, a line a step
                        values = [following, *inner]
                        step(b.gep(outer[0], [k]), nt, NV, PS, len(vectors), values)
                        inner[:] = values[1:]
                    outer[1:] = inner
                outer[0] = following
            return outer[2:]

        def step(p, nt, NV, PS, count, values):
            """One channel; values: the next pixels, the weights, the sums."""
            f = values[1]
            vectors = [emit.load(b, vec, b.gep(f, [I64(s * L)])) for s in range(count)]
            for byte in range(0, count * VECTOR_BYTES, LINE):
                emit.prefetch(b, b.gep(f, [I64((AHEAD * NV * VECTOR_BYTES + byte) // vec.itemsize)]))
            sums = values[2:]
            multiply_add(b, vec, vectors, [b.gep(p, [I64(t * PS)]) for t in range(nt)], sums)
            values[1:] = [b.gep(f, [I64(NV * L)]), *sums]

        def tile(nt, NV, PS, vectors):
            first = [emit.load_part(b, vec, b.gep(start, [I64(s * L)]), b.sub(nb, I64(s * L))) for s in vectors]
            before = b.block
            with b.if_then(some):
                with loop(b, u0, u1, first * nt) as (u, rows):
                    with loop(b, v0, v1, rows) as (v, columns):
                        columns[:] = channels(b.add(b.mul(u, nkw), v), nt, NV, PS, vectors, columns)
                    rows[:] = columns
                summed = b.block
            sums = merge(b, first * nt, before, rows, summed)
            places = [b.add(b.mul(mt, I64(t)), b.mul(mv, I64(s))) for t in range(nt) for s in vectors]
            sure = (nt - 1) * len(vectors)
            store(sums[:sure], places[:sure])
            with b.if_then(b.icmp_signed("==", n, I64(nt))):
                store(sums[sure:], places[sure:])

        def store(sums, places):
            for value, place in zip(sums, places, strict=True):
                emit.store(b, vec, value, b.gep(out, [place]))

        even = b.add(n, b.and_(n, I64(1)))
        size = b.select(b.and_(b.icmp_signed("==", nv, I64(4)), b.icmp_signed("==", n, I64(7))), n, even)
        key = b.add(b.mul(b.add(b.mul(nv, I64(64)), block), I64(64)), size)
        with cases(b, key) as case:
            for NV, sizes in PIXELS.items():
                for PS in (1, L):
                    for nt in sizes:
                        with case((NV * 64 + PS) * 64 + nt):
                            halves = 2 if nt * NV + NV + 1 > 32 else 1  # registers
                            for vectors in np.split(np.arange(NV), halves):
                                tile(nt, NV, PS, vectors.tolist())
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, i, x, i, taps, i, *[i] * 7, w, i, m, i, i, i, bias, i, i), codegen


@intrinsic
def deal(typingctx, a, i, phase, split, apart, n, values):
    """deal(a, i, phase, split, apart, n, values): the first n vectors, one to each of `split` runs, `apart` numbers
    from each other, in turn; the first to the run `phase`, whose next place is i + phase * apart."""
    vec = values.dtype

    def codegen(context, b, sig, args):
        array, i, phase, split, apart, n, block = args
        place = b.add(i, b.mul(phase, apart))
        back = b.sub(I64(vec.lanes), b.mul(split, apart))
        for j, value in enumerate(cgutils.unpack_tuple(b, block)):
            with b.if_then(b.icmp_signed("<", I64(j), n)):
                emit.store(b, vec, value, emit.pointer(context, b, a, array, place))
            place, phase = b.add(place, apart), b.add(phase, I64(1))
            last = b.icmp_signed("==", phase, split)
            place = b.select(last, b.add(place, back), place)
            phase = b.select(last, I64(0), phase)
        return context.get_dummy_value()

    k = types.intp
    return types.void(a, k, k, k, k, k, values), codegen
