"""grad_weight on the channel-blocked copy of the input (direct.py): lanes are output channels, summed over pixels.

dy is transposed strip by strip into a buffer that stays in the first-level cache.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from . import vector as v
from .direct import columns, pack_run
from .direct_tiles import CHANNELS, TILE, load_each, tile_sums
from .launch import step
from .target import VECTOR_BYTES

_SUMS = 8 if VECTOR_BYTES == 64 else 4  # channels of a tile, at most the lanes
_SIZES = np.array(CHANNELS)


def direct_sums(copy, dy, sums, taps, work, source, outputs, blocks, lanes, threads):
    """sums INOUT, a band added; what the tuples hold: see `Direct.grad_weight` in algorithms/direct.py."""
    per, splits, _, *steps = map(int, blocks)
    _sums(copy, dy, sums, taps, work, *source, *outputs, per, splits, *steps, threads, threads)


@step("sums", "work")
def _sums(copy, dy, sums, taps, work, image, plane, row, first, pt, pl, h, wd, C, block, n0, nb, o0, nout, ng, i0, i1,
          per, splits, step, sh, sw, zero, shares):  # fmt: skip
    """sums [group][panel][channel block][KH][KW][block][2 * lanes]; a task: a panel's share of the kernel rows."""
    _, Co, OH, OW = dy.shape
    L = v.lanes(sums)
    groups, strips, panels = (C + block - 1) // block, (i1 - i0 + per - 1) // per, (nout + 2 * L - 1) // (2 * L)
    tasks = ng * panels * splits
    nkh, nkw = v.at(taps, 0), v.at(taps, 1)
    items, size = groups * nkh, nkw * block * 2 * L  # numbers of an item
    for share in prange(shares):
        buffer = share * 2 * per * OW * L
        for task in range(tasks * share // shares, tasks * (share + 1) // shares):
            group, panel, split = task // splits // panels, task // splits % panels, task % splits
            a, b = items * split // splits, items * (split + 1) // splits
            to = (group * panels + panel) * items * size
            if zero:
                for k in range(a * size, b * size, L):
                    v.store(sums, to + k, v.zero(sums))
            for t in range(nb * strips):
                n, k = t // strips, t % strips
                top, end = i0 + (i1 - i0) * k // strips, i0 + (i1 - i0) * (k + 1) // strips
                pixels = (end - top) * OW
                for j in range(2):
                    o = (2 * panel + j) * L
                    first_dy = (((n0 + n) * Co + o0 + group * nout + o) * OH + top) * OW
                    pack_run(dy, first_dy, OH * OW, min(L, max(0, nout - o)), pixels, 1, work, buffer + j * pixels * L)
                for item in range(a, b):
                    ro = v.at(taps, 2 + item % nkh)
                    r0, r1 = top, end  # rows that this kernel row meets
                    while r0 < r1 and not pt <= r0 * sh + ro < pt + h:
                        r0 += 1
                    while r1 > r0 and not pt <= (r1 - 1) * sh + ro < pt + h:
                        r1 -= 1
                    if r0 < r1:
                        ix = n * image + (group * groups + item // nkh) * plane + (r0 * sh - first) * row
                        count = min(block, C - item // nkh * block)
                        id_ = buffer + (r0 - top) * OW * L
                        _sum_item(copy, ix, sh * row, step, block, count, taps, item % nkh, work, id_, pixels * L,
                                  r1 - r0, OW, sw, pl, wd, sums, to + item * size)  # fmt: skip


@v.inline
def _sum_item(copy, ix, row, step, block, count, taps, u, d, id_, dv, rows, OW, sw, pl, wd, sums, to):
    """All taps of kernel row u of one channel block; sums [nkw][block][2 * lanes]."""
    L = v.lanes(sums)
    nkh, nkw = v.at(taps, 0), v.at(taps, 1)
    off = 2 + nkh + nkw + u * nkw
    together = block == 1 and (nkw == 1 or v.at(taps, 2 + nkh + 1) == 1)  # taps that are neighbours
    width = nkw if together else count  # numbers side by side in the copy
    most = TILE if block == 1 else min(_SUMS, L)
    for tap in range(0, nkw, nkw if together else 1):
        j0, j1 = (0, OW) if together else columns(wd, sw, pl - v.at(taps, 2 + nkh + tap), OW)
        k = 0 if j0 < j1 else width
        while k < width:
            n, s = min(most, width - k), 0
            while _SIZES[s] > n:
                s += 1
            n = _SIZES[s]
            tile_sums(n, copy, ix + v.at(taps, off + tap) + j0 * step + k, row, step, d, id_ + j0 * L, dv,
                      (OW - (j1 - j0)) * L, rows, j1 - j0, sums, to + (tap * block + k) * 2 * L)  # fmt: skip
            k += n


def direct_unpack_sums(sums, dw, o0, nout, C, KH, KW, block, groups, swapped, own, shares, threads):
    """dw OUT (outputs from o0 on) from sums [group][panel][channel block][KH][KW][block][2 * lanes]."""
    c, t = np.arange(C)[:, None], np.arange(KH * KW)
    places = ((c // block * KH * KW + t) * block + c % block).ravel()
    _unpack_sums(sums, dw, places, o0, nout, -(-C // block) * block * KH * KW, groups, threads, threads)


@step("dw")
def _unpack_sums(sums, dw, places, o0, nout, size, groups, shares):
    L = v.lanes(dw)
    K, vectors = places.size, (nout + L - 1) // L
    for share in prange(shares):
        for task in range(groups * vectors * share // shares, groups * vectors * (share + 1) // shares):
            group, i = task // vectors, task % vectors
            start = (group * ((vectors + 1) // 2) + i // 2) * size * 2 + i % 2
            for k in range(0, K, L):
                rows = load_each(sums, start * L, 2 * L, places, k, min(L, K - k))
                v.store_rows(dw, (o0 + group * nout + i * L) * K + k, K, v.transpose(rows), nout - i * L, K - k)
