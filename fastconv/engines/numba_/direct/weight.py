"""grad_weight on the channel-blocked copy of the input (direct.py): lanes are output channels, summed over pixels.

For 1x1 kernels the roles may be swapped: lanes are input channels, and "the input" below is dy (`Direct._sides`).
dy is transposed strip by strip into a small buffer. Threads have strips and sums of their own (cores read faster what
no other core has read), or, where sums are large, panels of outputs.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import prange

from ..ground import vector as v
from ..ground.launch import shared_step, step
from ..ground.transpose import load_each
from .steps import columns, pack_run
from .weight_tiles import ROWS, SUMS, channel_sums, row_sums


def direct_sums(copy, dy, sums, taps, work, source, outputs, blocks, lanes, threads):
    """sums INOUT, a band added; what the tuples hold: see `Direct.grad_weight` in algorithms/direct.py."""
    at = _pairs(taps.tobytes(), source[8], source[1]) if source[9] == 1 else taps
    _sums(copy, dy, sums, taps, at, work, *source, *outputs, *map(int, blocks), *lanes, threads)


@lru_cache(maxsize=256)
def _pairs(taps, C, plane):
    """Where pairs of a channel and a tap read, channel by channel, and room for a whole tile more."""
    taps = np.frombuffer(taps, np.intp)
    off = taps[2 + taps[0] + taps[1] :]
    at = (np.arange(C)[:, None] * plane + off).ravel()
    return np.concatenate((at, np.repeat(at[:1], (ROWS * np.arange(len(ROWS))[:, None]).max())))


@shared_step("sums", "work")
def _sums(copy, dy, sums, taps, at, work, image, plane, row, first, pt, pl, h, wd, C, block, n0, nb, o0, nout, ng,
          i0, i1, per, splits, own, step, sh, sw, zero, OW, down, dot, share, shares):  # fmt: skip
    """sums [group][panel][channel block][KH][KW][block][2 * lanes]; a unit: a panel's share of (channel block, kernel
    row) items. A share has some units, or all units of some strips."""
    _, Co, H, W = dy.shape
    L = v.lanes(sums)
    groups, strips, panels = (C + block - 1) // block, (i1 - i0 + per - 1) // per, (nout + 2 * L - 1) // (2 * L)
    nkh, nkw = v.at(taps, 0), v.at(taps, 1)
    items, size = groups * nkh, nkw * block * 2 * L  # numbers of an item
    units, buffer, start = ng * panels * splits, share * 2 * per * OW * L, 0
    u0, u1 = units * share // shares, units * (share + 1) // shares
    while own and nb * strips % shares and strips < i1 - i0:  # as many for every thread
        strips += 1
    t0, t1 = 0, nb * strips
    if own:
        u0, u1, t0, t1, start = 0, units, t1 * share // shares, t1 * (share + 1) // shares, share * own
    if zero:
        for k in range(start + u0 * items // splits * size, start + u1 * items // splits * size, L):
            v.store(sums, k, v.zero(sums))
    for t in range(t0, t1):
        n, k = t // strips, t % strips
        top, end = i0 + (i1 - i0) * k // strips, i0 + (i1 - i0) * (k + 1) // strips
        dv = (end - top) * OW * L
        for u in range(u0, u1):
            group, panel, split = u // splits // panels, u // splits % panels, u % splits
            a, b = items * split // splits, items * (split + 1) // splits
            o = panel * 2 * L
            nv = 1 if block == 1 and nout - o <= L else 2
            for j in range(nv):
                id_ = (((n0 + n) * Co + o0 + group * nout + o + j * L) * H + top * down) * W
                _to_lanes(dy, id_, H * W, down * W, dot, min(L, max(0, nout - o - j * L)), end - top, OW, work,
                          buffer + j * dv)  # fmt: skip
            ix, to = n * image + group * groups * plane - first * row, start + u // splits * items * size
            if block == 1:
                _sum_pairs(copy, ix + top * sh * row, sh * row, step, taps, at, a * nkw, b * nkw, nv, work, buffer, dv,
                           end - top, OW, sums, to)  # fmt: skip
                continue
            for item in range(a, b):
                ro = v.at(taps, 2 + item % nkh)
                r0, r1 = top, end  # rows that this kernel row meets
                while r0 < r1 and not pt <= r0 * sh + ro < pt + h:
                    r0 += 1
                while r1 > r0 and not pt <= (r1 - 1) * sh + ro < pt + h:
                    r1 -= 1
                if r0 < r1:
                    at_x, count = ix + item // nkh * plane + r0 * sh * row, min(block, C - item // nkh * block)
                    id_ = buffer + (r0 - top) * OW * L
                    _sum_item(copy, at_x, sh * row, step, block, count, taps, item % nkh, work, id_, dv, r1 - r0, OW,
                              sw, pl, wd, sums, to + item * size)  # fmt: skip


@v.inline
def _to_lanes(dy, i, plane, line, dot, nc, rows, OW, work, to):
    """Rows of nc <= lanes planes -> [pixel][lanes]."""
    if line == OW and dot == 1:  # they follow each other
        OW, rows = rows * OW, 1
    for r in range(rows):
        pack_run(dy, i + r * line, plane, nc, OW, dot, work, to + r * OW * v.lanes(work))


@v.inline
def _sum_pairs(copy, ix, row, step, taps, at, a, b, nv, d, id_, dv, rows, OW, sums, to):
    """Pairs [a, b) of a channel and a tap, of whole kernel rows; sums [pair][2 * lanes]."""
    L = v.lanes(sums)
    nkh, nkw = v.at(taps, 0), v.at(taps, 1)
    width = 1
    if 1 < nkw < len(ROWS) and v.at(taps, 2 + nkh + 1) == 1 and ROWS[nkw, nv]:
        width = nkw
    most = ROWS[width, nv]
    for k in range(a, b, most * width):
        row_sums(width, nv, min(most, (b - k) // width), copy, ix, at, k, row, step, d, id_, dv, rows, OW, sums,
                 to + k * 2 * L)  # fmt: skip


@v.inline
def _sum_item(copy, ix, row, step, block, count, taps, u, d, id_, dv, rows, OW, sw, pl, wd, sums, to):
    """All taps of kernel row u of one channel block; sums [nkw][block][2 * lanes]."""
    L = v.lanes(sums)
    nkh, nkw = v.at(taps, 0), v.at(taps, 1)
    off = 2 + nkh + nkw + u * nkw
    for tap in range(nkw):
        j0, j1 = columns(wd, sw, pl - v.at(taps, 2 + nkh + tap), OW)
        for k in range(0, count if j0 < j1 else 0, min(SUMS, L)):
            channel_sums(copy, ix + v.at(taps, off + tap) + j0 * step + k, row, step, d, id_ + j0 * L, dv,
                         (OW - (j1 - j0)) * L, rows, j1 - j0, sums, to + (tap * block + k) * 2 * L)  # fmt: skip


def direct_unpack_sums(sums, dw, o0, nout, C, KH, KW, block, groups, swapped, own, shares, threads):
    """dw OUT (outputs from o0 on) from sums [group][panel][channel block][KH][KW][block][2 * lanes], or swapped: 1x1
    kernels, [group][panel of channels][outputs][2 * lanes]; so many shares, `own` numbers apart, are added up."""
    if swapped:
        _unpack_swapped(sums, dw, o0, nout, C, groups, own, shares, threads, threads)
        return
    size = -(-C // block) * block * KH * KW
    _unpack_sums(sums, dw, _places(C, KH * KW, block), o0, nout, size, groups, own, shares, threads, threads)


@lru_cache(maxsize=256)
def _places(C, taps, block):
    """Where [channel block][tap][block] holds [channel][tap]."""
    c, t = np.arange(C)[:, None], np.arange(taps)
    return ((c // block * taps + t) * block + c % block).ravel()


@v.inline
def _add_shares(sums, start, step, count, own, shares):
    """Vectors `step` numbers apart become the sums of those of all shares."""
    for i in range(start, start + (count * step if shares > 1 else 0), step):
        total = v.load(sums, i)
        for k in range(1, shares):
            total += v.load(sums, i + k * own)
        v.store(sums, i, total)


@step("sums", "dw")
def _unpack_sums(sums, dw, places, o0, nout, size, groups, own, parts, shares):
    L = v.lanes(dw)
    K, vectors = places.size, (nout + L - 1) // L
    for share in prange(shares):
        for task in range(groups * vectors * share // shares, groups * vectors * (share + 1) // shares):
            group, i = task // vectors, task % vectors
            start = (group * ((vectors + 1) // 2) + i // 2) * size * 2 + i % 2
            _add_shares(sums, start * L, 2 * L, size, own, parts)
            for k in range(0, K, L):
                rows = load_each(sums, start * L, 2 * L, places, k, min(L, K - k))
                v.store_rows(dw, (o0 + group * nout + i * L) * K + k, K, v.transpose(rows), nout - i * L, K - k)


@step("sums", "dw")
def _unpack_swapped(sums, dw, o0, nout, C, groups, own, parts, shares):
    L = v.lanes(dw)
    vectors = (C + L - 1) // L
    for share in prange(shares):
        for task in range(groups * vectors * share // shares, groups * vectors * (share + 1) // shares):
            group, i = task // vectors, task % vectors
            start = ((group * ((vectors + 1) // 2) + i // 2) * nout * 2 + i % 2) * L
            _add_shares(sums, start, 2 * L, nout, own, parts)
            for o in range(nout):
                v.store_part(dw, (o0 + group * nout + o) * C + i * L, v.load(sums, start + o * 2 * L), C - i * L)
