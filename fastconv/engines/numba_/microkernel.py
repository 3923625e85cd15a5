"""The outer-product microkernel: a tile of the output stays in registers while inputs and weights stream by."""
from __future__ import annotations

from contextlib import contextmanager

from numba import extending, types
from numba.core.errors import TypingError

from . import emit
from .emit import I64
from .vector import vector_of

intrinsic = extending.intrinsic(prefer_literal=True)

AHEAD = 8  # steps between the prefetch of weights and their use
UNROLL = 4  # inner steps written out


@contextmanager
def _loop(builder, start, stop, step, carried):
    """A counted loop that runs at least once: yields (counter, carried values, the list of their next values)."""
    before, body, after = builder.block, builder.append_basic_block("body"), builder.append_basic_block("after")
    builder.branch(body)
    builder.position_at_end(body)
    counter = builder.phi(I64)
    phis = [builder.phi(value.type) for value in carried]
    values = list(phis)
    yield counter, values
    following = builder.add(counter, I64(step))
    for phi, first, last in zip([counter, *phis], [start, *carried], [following, *values]):
        phi.add_incoming(first, before)
        phi.add_incoming(last, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, stop), body, after)
    builder.position_at_end(after)


@intrinsic
def outer_product(typingctx, tr, nv, ps, inner, x, ix, off, r0, r1, u, iu, m, im, mc, first):
    literals = (tr, nv, ps, inner)
    if not all(isinstance(n, types.IntegerLiteral) for n in literals):
        raise TypingError(f"tr, nv, ps and inner must be integer literals, not {literals}")
    TR, NV, PS, L = (n.literal_value for n in literals)
    vec = vector_of(x)

    def codegen(context, builder, sig, args):
        b, lanes = builder, vec.lanes
        ix, r0, r1, iu, im, mc, first = (args[k] for k in (5, 7, 8, 10, 12, 13, 14))
        px = emit.pointer(context, b, x, args[4], ix)
        pu = emit.pointer(context, b, u, args[9], iu)
        pm = emit.pointer(context, b, m, args[11], im)
        poff = emit.pointer(context, b, off, args[6], I64(0))
        places = [b.gep(pm, [b.add(b.mul(mc, I64(s)), I64(t * lanes))]) for t in range(TR) for s in range(NV)]
        with b.if_else(first) as (fresh, go_on):
            with fresh:
                b0 = b.block
            with go_on:
                old = [emit.load(b, vec, p) for p in places]
                b1 = b.block
        acc = []
        for value in old:
            acc.append(b.phi(vec.llvm))
            acc[-1].add_incoming(emit.zero(vec), b0)
            acc[-1].add_incoming(value, b1)
        entry = b.block
        with b.if_then(b.icmp_signed("<", r0, r1)):
            with _loop(b, r0, r1, 1, [pu, *acc]) as (r, outer):
                p = b.gep(px, [b.load(b.gep(poff, [r]))])
                unroll = max(k for k in range(1, UNROLL + 1) if L % k == 0)
                with _loop(b, I64(0), I64(L), unroll, outer) as (l, values):
                    for k in range(unroll):
                        w = values[0]
                        us = [emit.load(b, vec, b.gep(w, [I64(s * lanes)])) for s in range(NV)]
                        for s in range(NV):
                            emit.prefetch(b, b.gep(w, [I64((AHEAD * NV + s) * lanes)]))
                        for t in range(TR):
                            c = b.load(b.gep(p, [b.add(l, I64(t * PS + k))]))
                            c = emit.splat(b, vec.llvm, c)
                            for s in range(NV):
                                j = 1 + t * NV + s
                                values[j] = emit.fma(b, vec, us[s], c, values[j])
                        values[0] = b.gep(w, [I64(NV * lanes)])
                    inside = values
                outer[:] = inside
            results, last = outer[1:], b.block
        end = []
        for a, res in zip(acc, results):
            e = b.phi(vec.llvm); e.add_incoming(a, entry); e.add_incoming(res, last); end.append(e)
        for value, place in zip(end, places):
            emit.store(b, vec, value, place)
        return context.get_dummy_value()
    n = types.intp
    return types.void(tr, nv, ps, inner, x, n, off, n, n, u, n, m, n, n, types.boolean), codegen


@intrinsic
def fma_probe(typingctx, chains, a, n):
    vec = vector_of(a)
    K = chains.literal_value

    def codegen(context, builder, sig, args):
        b = builder
        p = emit.pointer(context, b, a, args[1], I64(0))
        one, tiny = (emit.splat(b, vec.llvm, b.load(b.gep(p, [I64(k)]))) for k in (0, 1))
        with _loop(b, I64(0), args[2], 1, [emit.load(b, vec, b.gep(p, [I64(k)])) for k in range(K)]) as (_, acc):
            for k in range(K):
                acc[k] = emit.fma(b, vec, acc[k], one, tiny)
        for k in range(K):
            emit.store(b, vec, acc[k], b.gep(p, [I64(k * vec.lanes)]))
        return context.get_dummy_value()
    return types.void(chains, a, types.intp), codegen
