"""Weights as register blocks stream them: panels of nv vectors of outputs, [chunk][tap, phase by phase][channel]
[nv * lanes]."""

from __future__ import annotations

from numba import extending, types
from numba.core import cgutils

from ..ground import emit
from ..ground import vector as v
from ..ground.emit import I64
from ..ground.launch import step
from ..ground.memory import local
from ..ground.transpose import load_block
from .numbers import SQUARE, at, ceil, split


@extending.intrinsic
def store_walk(typingctx, a, i, step, t, count, turn, n, values):
    """store_walk(a, i, step, t, count, turn, n, values): the first n vectors of a tuple, from offset i on.

    A place and the next lie `step` numbers apart; behind place `count` of a round it goes on by `turn` numbers more.
    The first is number t of its round.
    """
    vec = values.dtype

    def codegen(context, b, sig, args):
        array, i, step, t, count, turn, n, block = args
        block = cgutils.unpack_tuple(b, block)

        def walk(i, t):
            for k in range(vec.lanes):
                yield k, emit.pointer(context, b, a, array, i)
                t, i = b.add(t, I64(1)), b.add(i, step)
                last = b.icmp_signed("==", t, count)
                t, i = b.select(last, I64(0), t), b.select(last, b.add(i, turn), i)

        with b.if_else(b.icmp_signed(">=", n, I64(vec.lanes))) as (then, otherwise):
            with then:
                for k, address in walk(i, t):
                    emit.store(b, vec, block[k], address)
            with otherwise:
                for k, address in walk(i, t):
                    with b.if_then(b.icmp_signed("<", I64(k), n)):
                        emit.store(b, vec, block[k], address)
        return context.get_dummy_value()

    m = types.intp
    return types.void(a, m, m, m, m, m, m, values), codegen


@v.copied
def pack(r, order, w, g, first, outputs, nv, c0, c1, u, iu):
    """Channels [c0, c1) of a panel of group g: outputs from `first` on -> u [tap][channel][nv * lanes].

    order[t]: place of tap t, negative if it is not wanted.
    """
    start = g * r[at.cg] * r[at.og] * r[at.kernel]
    if r[at.swapped]:
        _pack_swapped(r, order, w, start, first, outputs, nv, c0, c1, u, iu)
    else:
        _pack_plain(r, w, start, first, outputs, nv, c0, c1, u, iu)


@v.copied
def _pack_plain(r, w, start, first, outputs, nv, c0, c1, u, iu):
    """w [output][channel][tap]: blocks of outputs x numbers are transposed; every tap has its place."""
    L, taps, size = v.lanes(u), r[at.kernel], c1 - c0
    row, n, width = r[at.cg] * taps, size * taps, nv * L
    start += first * row + c0 * taps
    for j in range(nv):
        for k in range(0, n, L):
            rows = load_block(w, start + j * L * row + k, row, outputs - j * L, n - k)
            c, t = k // taps, k % taps
            store_walk(u, iu + (t * size + c) * width + j * L, size * width, t, taps, (1 - n) * width, n - k,
                       v.transpose(rows))  # fmt: skip


@v.copied
def _pack_swapped(r, order, w, start, first, outputs, nv, c0, c1, u, iu):
    """The same for w [channel][output][tap]."""
    L, taps, size, block = v.lanes(u), r[at.kernel], c1 - c0, local(u, SQUARE)
    width = nv * L
    for c in range(size):
        for j in range(0, width, L):
            i, o = start + ((c0 + c) * r[at.og] + first + j) * taps, iu + c * width + j
            if taps == 1:
                v.store(u, o, v.load_part(w, i, outputs - j))
                continue
            for k in range(0, taps, L):  # lanes = taps, turned: lanes = outputs
                v.store_rows(block, 0, L, v.transpose(v.load_rows(w, i + k, taps, outputs - j, taps - k)), L, L)
                for t in range(k, min(taps, k + L)):
                    if order[t] >= 0:
                        v.store(u, o + order[t] * size * width, v.load(block, (t - k) * L))


@step("u")
def direct_pack(w, u, record, order, share, shares):
    """u OUT [groups][panels][chunks][tap][channel][nv * lanes] from w IN (co, ci // groups, kh, kw)."""
    r, L = record, v.lanes(u)
    width, taps, cg, chunk = r[at.nv] * L, r[at.taps], r[at.cg], r[at.chunk]
    panels = ceil(r[at.og], width)
    for p in range(split(r[at.groups] * panels, shares, share), split(r[at.groups] * panels, shares, share + 1)):
        first = p % panels * width
        outputs = min(width, r[at.og] - first)
        nv, start = ceil(outputs, L), p * width * taps * cg
        for c in range(0, cg, chunk):
            pack(r, order, w, p // panels, first, outputs, nv, c, min(cg, c + chunk), u, start + c * taps * nv * L)
