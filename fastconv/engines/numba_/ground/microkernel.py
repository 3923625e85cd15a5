"""The outer-product microkernel: a tile of the output stays in registers while inputs and weights stream by.

And a probe of the fused multiply-add peak, which the microkernel is measured against.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from numba import extending, prange, types
from numba.core.errors import TypingError

from . import emit
from . import vector as v
from .emit import I64, vector_of
from .launch import step

intrinsic = extending.intrinsic(prefer_literal=True)

AHEAD = 12  # steps from the prefetch of weights to their use
LINE = 64  # bytes of a cache line
CHAINS = 12  # independent sums of the probe: enough to hide the latency of two FMA units, few enough for 16 registers


@contextmanager
def _loop(builder, start, stop, carried) -> Iterator[tuple]:
    """``for i in range(start, stop)``, run at least once: yields i and a list of loop-carried values.

    The body replaces the list's entries by their next values; after the loop it holds the final ones.
    """
    before, body, after = builder.block, builder.append_basic_block("body"), builder.append_basic_block("after")
    builder.branch(body)
    builder.position_at_end(body)
    i, *phis = (builder.phi(value.type) for value in (start, *carried))
    values = list(phis)
    yield i, values
    following = builder.add(i, I64(1))
    for phi, first, next_ in zip((i, *phis), (start, *carried), (following, *values), strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(next_, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, stop), body, after)
    builder.position_at_end(after)


def _merge(builder, values, block, others, other_block):
    """One phi for each pair of values that arrive from two blocks."""
    merged = [builder.phi(value.type) for value in values]
    for phi, value, other in zip(merged, values, others, strict=True):
        phi.add_incoming(value, block)
        phi.add_incoming(other, other_block)
    return merged


@intrinsic
def outer_product(typingctx, tr, nv, ps, inner, x, ix, off, r0, r1, u, iu, m, im, mc, first):
    """outer_product(tr, nv, ps, inner, x, ix, off, r0, r1, u, iu, m, im, mc, first): m (+)= x * u for one tile.

    A tile is `tr` pixels by `nv` native vectors of `lanes` output channels::

        acc[t][s] = 0 if first else m[im + s*mc + t*lanes :+ lanes]
        for r in range(r0, r1):
            p = ix + off[r]
            for l in range(inner):
                for s, t in range(nv), range(tr):
                    acc[t][s] += x[p + t*ps + l] * u[iu + s*lanes :+ lanes]
                iu += nv*lanes
        m[im + s*mc + t*lanes :+ lanes] = acc[t][s]

    Parameters
    ----------
    tr, nv, ps, inner : int literals
        Pixels and vectors of the tile, elements from a pixel to the next, steps of a run. ``tr*nv + nv + 1``
        registers are used: 14x2, 9x3, 6x4 fill the 32 of AVX-512 and 6x2 the 16 of AVX2; larger tiles spill.
    x, u : IN arrays, float32 or float64
        Inputs, and weights in the order of their use; `ix` and `iu` are the offsets of the first elements.
    off : IN int64 array
        Offset of each run in x, relative to `ix`; entries r0 .. r1-1 are used (none of them is fine).
    m : OUT, or INOUT unless `first`
        `mc` elements lie between the vectors of one pixel.
    first : bool
        Start from zero instead of from the values in m.
    """
    sizes = (tr, nv, ps, inner)
    if not all(isinstance(n, types.IntegerLiteral) and n.literal_value > 0 for n in sizes):
        raise TypingError(f"tr, nv, ps and inner must be positive integer literals, not {sizes}")
    vec = vector_of(x)
    if not (vector_of(u) == vector_of(m) == vec and off.dtype == types.int64):
        raise TypingError(f"x, u and m must have one dtype and off int64, not {x}, {u}, {m}, {off}")
    TR, NV, PS, L = (n.literal_value for n in sizes)
    size = vec.lanes * vec.itemsize

    def codegen(context, b, sig, args):
        x_, ix, off_, r0, r1, u_, iu, m_, im, mc, first = args[4:]
        pixels = emit.pointer(context, b, x, x_, ix)
        runs = emit.pointer(context, b, off, off_, I64(0))
        weights = emit.pointer(context, b, u, u_, iu)
        out = emit.pointer(context, b, m, m_, im)
        places = [b.gep(out, [b.add(b.mul(mc, I64(s)), I64(t * vec.lanes))]) for t in range(TR) for s in range(NV)]

        entry = b.block
        with b.if_then(b.not_(first)):
            old = [emit.load(b, vec, place) for place in places]
            loaded = b.block
        acc = _merge(b, [emit.zero(vec)] * len(old), entry, old, loaded)

        before = b.block
        with b.if_then(b.icmp_signed("<", r0, r1)):
            with _loop(b, r0, r1, [weights, *acc]) as (r, sums):
                p = b.gep(pixels, [b.load(b.gep(runs, [r]))])
                with _loop(b, I64(0), I64(L), sums) as (k, inner_sums):
                    _step(b, vec, b.gep(p, [k]), inner_sums)
                sums[:] = inner_sums
            summed = b.block
        for value, place in zip(_merge(b, acc, before, sums[1:], summed), places, strict=True):
            emit.store(b, vec, value, place)
        return context.get_dummy_value()

    def _step(b, vec, p, sums):
        """One inner step: the outer product of TR scalars and NV vectors onto the accumulators."""
        w = sums[0]
        us = [emit.load(b, vec, b.gep(w, [I64(s * vec.lanes)])) for s in range(NV)]
        for byte in range(0, NV * size, LINE):
            emit.prefetch(b, b.gep(w, [I64((AHEAD * NV * size + byte) // vec.itemsize)]))
        for t in range(TR):
            scalar = emit.splat(b, vec.llvm, b.load(b.gep(p, [I64(t * PS)])))
            for s in range(NV):
                k = 1 + t * NV + s
                sums[k] = emit.fma(b, vec, us[s], scalar, sums[k])
        sums[0] = b.gep(w, [I64(NV * vec.lanes)])

    n = types.intp
    return types.void(*sizes, x, n, off, n, n, u, n, m, n, n, types.boolean), codegen


@intrinsic
def _fma_chains(typingctx, a, i, n):
    """n rounds of CHAINS independent vector FMAs on the values from a[i] on, which multiply by and add a[i]."""
    vec = vector_of(a)

    def codegen(context, b, sig, args):
        places = [emit.pointer(context, b, a, args[0], b.add(args[1], I64(k * vec.lanes))) for k in range(CHAINS)]
        factor = emit.splat(b, vec.llvm, b.load(places[0]))
        with _loop(b, I64(0), args[2], [emit.load(b, vec, place) for place in places]) as (_, sums):
            sums[:] = [emit.fma(b, vec, value, factor, factor) for value in sums]
        for value, place in zip(sums, places, strict=True):
            emit.store(b, vec, value, place)
        return context.get_dummy_value()

    return types.void(a, types.intp, types.intp), codegen


@step("scratch")
def fma_probe(scratch, n):
    """fma_probe(scratch, n, threads) -> floating-point operations done: the multiply-add peak, for the caller to time.

    Parameters
    ----------
    scratch : INOUT (k, m >= 192) float32 or float64
        Filled with ones. The rows are k independent probes, done in parallel.
    n : int
        Rounds of 12 vector FMAs for each row (1.6 ns a round on a fast core).
    """
    rows, size = scratch.shape
    for row in prange(rows):
        _fma_chains(scratch, row * size, n)
    return 2 * CHAINS * v.lanes(scratch) * n * rows
