"""A kernel that is a sum of columns times rows: columns first, a band of output rows at a time, then rows.

The band's rows between the two stay in cache; both filters keep four vectors of a row in registers.
"""

from __future__ import annotations

from ..records import SeparableBands, places
from .ground import vector as v
from .ground.launch import step
from .ground.memory import clear

at = places(SeparableBands)


@step("y", "work")
def separable_rows(x, a, b, bias, y, work, q, ithr, nthr):
    """y (N, G*o, OH, OW) OUT: x (N, G*c, H, W) filtered by columns a (G, R, c, KH), then by rows b (G, o, R, KW).

    bias may be empty. Parallel over images, groups and bands.
    """
    N, G, R, OH, sw, wph, rows = x.shape[0], a.shape[0], a.shape[1], y.shape[2], q[at.sw], q[at.wph], q[at.rows]
    bands, row, base = q[at.bands], sw * wph, ithr * q[at.per_thread]
    reach = (y.shape[3] - 1) * sw + (b.shape[3] - 1) * q[at.dw] + 1
    jobs = N * G * bands
    for job in range(jobs * ithr // nthr, jobs * (ithr + 1) // nthr):
        ng, i0, i1 = job // bands, OH * (job % bands) // bands, OH * (job % bands + 1) // bands
        for r in range(R):
            for i in range(i0, i1):
                to = base + (r * rows + i - i0) * row
                _column(x, a, work, q, ng, r, i * q[at.sh] - q[at.pt], to, base + R * rows * row, reach)
        _rows(work, b, bias, y, q, ng, i0, i1, base)


@v.inline
def _column(x, a, work, q, ng, r, h, to, line, reach):
    """One row of the column filter, padded, its columns split by their remainder modulo sw; h meets the first tap."""
    (_, _, H, W), (G, R, c, KH), L = x.shape, a.shape, v.lanes(x)
    sw, dh, wph, left, skip = q[at.sw], q[at.dh], q[at.wph], max(0, q[at.pl]), max(0, -q[at.pl])
    width = max(0, min(W - skip, reach - left))
    out = to + left if sw == 1 else line
    for j in range(0, width, 4 * L):
        t0, t1, t2, t3 = v.zero(x), v.zero(x), v.zero(x), v.zero(x)
        n = width - j
        for ch in range(c):
            for k in range(KH):
                if 0 <= h + k * dh < H:
                    f = v.splat_at(a, ((ng % G * R + r) * c + ch) * KH + k)
                    source = ((ng * c + ch) * H + h + k * dh) * W + skip + j
                    t0 = t0 + f * v.load_part(x, source, n)
                    t1 = t1 + f * v.load_part(x, source + L, n - L)
                    t2 = t2 + f * v.load_part(x, source + 2 * L, n - 2 * L)
                    t3 = t3 + f * v.load_part(x, source + 3 * L, n - 3 * L)
        v.store_part(work, out + j, t0, n)
        v.store_part(work, out + j + L, t1, n - L)
        v.store_part(work, out + j + 2 * L, t2, n - 2 * L)
        v.store_part(work, out + j + 3 * L, t3, n - 3 * L)
    if sw == 1:
        clear(work, to, left)
        clear(work, to + left + width, wph - left - width)
    else:
        clear(work, to, sw * wph)
        for j in range(width):
            v.put(work, to + (left + j) % sw * wph + (left + j) // sw, v.at(work, line + j))


@v.inline
def _rows(work, b, bias, y, q, ng, i0, i1, base):
    """The row filter of a band, four vectors at a time: sums over the rank and the taps."""
    (G, o, R, KW), (_, _, OH, OW), L = b.shape, y.shape, v.lanes(y)
    sw, dw, wph = q[at.sw], q[at.dw], q[at.wph]
    row = sw * wph
    plane = q[at.rows] * row
    for out in range(o):
        taps = (ng % G * o + out) * R * KW
        first = v.splat_at(bias, ng % G * o + out) if bias.size else v.zero(y)
        for i in range(i0, i1):
            to = ((ng * o + out) * OH + i) * OW
            for j in range(0, OW, 4 * L):
                t0, t1, t2, t3 = first, first, first, first
                for r in range(R):
                    for k in range(KW):
                        f = v.splat_at(b, taps + r * KW + k)
                        source = base + r * plane + (i - i0) * row + k * dw % sw * wph + k * dw // sw + j
                        t0 = t0 + f * v.load(work, source)
                        t1 = t1 + f * v.load(work, source + L)
                        t2 = t2 + f * v.load(work, source + 2 * L)
                        t3 = t3 + f * v.load(work, source + 3 * L)
                v.store_part(y, to + j, t0, OW - j)
                v.store_part(y, to + j + L, t1, OW - j - L)
                v.store_part(y, to + j + 2 * L, t2, OW - j - 2 * L)
                v.store_part(y, to + j + 3 * L, t3, OW - j - 3 * L)
