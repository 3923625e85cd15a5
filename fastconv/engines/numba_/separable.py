"""A kernel that is a sum of columns times rows: columns first, a band of output rows at a time, then rows.

The band's rows between the two stay in cache; both filters keep four vectors of a row in registers.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .ground import vector as v
from .ground.launch import step
from .im2col import _clear


def separable_rows(x, a, b, bias, y, work, sh, sw, pt, pl, dh, dw, bands, rows, wph, share, threads):
    """y (N, G*o, OH, OW) OUT: x (N, G*c, H, W) filtered by columns a (G, R, c, KH), then by rows b (G, o, R, KW).

    Stride, padding (pt, pl may be negative) and dilation as in `conv2d`. An image and group is cut into `bands` of at
    most `rows` output rows; a thread has `share` numbers of `work`: R buffers of `rows` rows of sw * wph numbers, and a
    few rows. bias may be empty. Parallel over images, groups and bands.
    """
    bias = bias if bias.size else np.zeros(y.shape[1], y.dtype)
    _filter(x, a, b, bias, y, work, sh, sw, pt, pl, dh, dw, bands, rows, wph, share, threads, threads)


@step("y", "work")
def _filter(x, a, b, bias, y, work, sh, sw, pt, pl, dh, dw, bands, rows, wph, share, shares):
    N, G, R, OH = x.shape[0], a.shape[0], a.shape[1], y.shape[2]
    row, jobs = sw * wph, N * G * bands
    for s in prange(shares):
        base = s * share
        for job in range(jobs * s // shares, jobs * (s + 1) // shares):
            ng, i0, i1 = job // bands, OH * (job % bands) // bands, OH * (job % bands + 1) // bands
            for r in range(R):
                for i in range(i0, i1):
                    _column(
                        x,
                        a,
                        work,
                        ng,
                        r,
                        i * sh - pt,
                        base + (r * rows + i - i0) * row,
                        base + R * rows * row,
                        sw,
                        pl,
                        dh,
                        wph,
                        (y.shape[3] - 1) * sw + (b.shape[3] - 1) * dw + 1,
                    )
            _rows(work, b, bias, y, ng, i0, i1, base, rows * row, row, sw, dw, wph)


@v.inline
def _column(x, a, work, ng, r, h, to, line, sw, pl, dh, wph, reach):
    """One row of the column filter, padded, its columns split by their remainder modulo sw; h meets the first tap."""
    (_, _, H, W), (G, R, c, KH), L = x.shape, a.shape, v.lanes(x)
    left, skip = max(0, pl), max(0, -pl)
    width = max(0, min(W - skip, reach - left))
    out = to + left if sw == 1 else line
    for j in range(0, width, 4 * L):
        t0, t1, t2, t3 = v.zero(x), v.zero(x), v.zero(x), v.zero(x)
        n = width - j
        for ch in range(c):
            for k in range(KH):
                if 0 <= h + k * dh < H:
                    f = v.splat_at(a, ((ng % G * R + r) * c + ch) * KH + k)
                    at = ((ng * c + ch) * H + h + k * dh) * W + skip + j
                    t0 = t0 + f * v.load_part(x, at, n)
                    t1 = t1 + f * v.load_part(x, at + L, n - L)
                    t2 = t2 + f * v.load_part(x, at + 2 * L, n - 2 * L)
                    t3 = t3 + f * v.load_part(x, at + 3 * L, n - 3 * L)
        v.store_part(work, out + j, t0, n)
        v.store_part(work, out + j + L, t1, n - L)
        v.store_part(work, out + j + 2 * L, t2, n - 2 * L)
        v.store_part(work, out + j + 3 * L, t3, n - 3 * L)
    if sw == 1:
        _clear(work, to, left)
        _clear(work, to + left + width, wph - left - width)
    else:
        _clear(work, to, sw * wph)
        for j in range(width):
            v.put(work, to + (left + j) % sw * wph + (left + j) // sw, v.at(work, line + j))


@v.inline
def _rows(work, b, bias, y, ng, i0, i1, base, plane, row, sw, dw, wph):
    """The row filter of a band, four vectors at a time: sums over the rank and the taps."""
    (G, o, R, KW), (_, _, OH, OW), L = b.shape, y.shape, v.lanes(y)
    for out in range(o):
        taps = (ng % G * o + out) * R * KW
        first = v.splat_at(bias, ng % G * o + out)
        for i in range(i0, i1):
            to = ((ng * o + out) * OH + i) * OW
            for j in range(0, OW, 4 * L):
                t0, t1, t2, t3 = first, first, first, first
                for r in range(R):
                    for k in range(KW):
                        f = v.splat_at(b, taps + r * KW + k)
                        at = base + r * plane + (i - i0) * row + k * dw % sw * wph + k * dw // sw + j
                        t0 = t0 + f * v.load(work, at)
                        t1 = t1 + f * v.load(work, at + L)
                        t2 = t2 + f * v.load(work, at + 2 * L)
                        t3 = t3 + f * v.load(work, at + 3 * L)
                v.store_part(y, to + j, t0, OW - j)
                v.store_part(y, to + j + L, t1, OW - j - L)
                v.store_part(y, to + j + 2 * L, t2, OW - j - 2 * L)
                v.store_part(y, to + j + 3 * L, t3, OW - j - 3 * L)
