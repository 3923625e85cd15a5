"""grad_weight of channels-last arrays, lanes = channels, as in cython_/depthwise/last_weight.h.

A job is a chunk of channels and a part of all bands. The tiles are in tiles.py.
"""

from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import address, clear_vectors
from . import tiles
from .last import at, axis, ceil, from_planes, kernel_of, source_of
from .tiles import last_sums

_together = v.copied(tiles.sum_rows)


def depthwise_last_grad_weight(dy, x, dw_, record, axes, order, work, threads):
    """dy (n, oh, ow, co), x (n, h, w, ci) IN; dw_ (co, 1, kh, kw) OUT; work WORK."""
    _weight_sums(dy, x, record, axes, work, threads)
    _weight_end(work, dw_, record, axes, order, threads)


@step("work")
def _weight_sums(dy, x, record, axes, work, ithr, nthr):
    """Sums [part][vector][tap][lanes] in work."""
    r, L = record, v.lanes(x)
    channels, chunk, taps, parts = r[at.channels], r[at.chunk], r[at.taps], r[at.parts]
    vectors, outputs, a, h = ceil(channels, L), axes[0, axis.outputs], axes[0], axes[1]
    chunks, bands, size = ceil(vectors, chunk), ceil(outputs, r[at.rows]), r[at.out_width] * r[at.pixel]
    items, room = r[at.images] * bands, parts * vectors * taps * L + ithr * r[at.share]
    plane, result = r[at.out_height] * r[at.out_width], room + r[at.source]
    for job in range(parts * chunks * ithr // nthr, parts * chunks * (ithr + 1) // nthr):
        part, v0 = job // chunks, job % chunks * chunk
        mine, sums, c0 = min(channels - v0 * L, chunk * L), (part * vectors + v0) * taps * L, v0 * L
        clear_vectors(work, sums, sums + ceil(mine, L) * L * taps)
        for item in range(items * part // parts, items * (part + 1) // parts):
            n, i0 = item // bands, item % bands * r[at.rows]
            i1 = min(i0 + r[at.rows], outputs)
            source, lanes = source_of(r, axes, x, n, c0, i0, i1, work, room), mine
            of = address(dy, n * plane * channels + c0)
            if r[at.planes]:
                start = (n * channels + c0) * plane + i0 * r[at.out_width]
                from_planes(dy, start, plane, (i1 - i0) * r[at.out_width], mine, work, result)
                of, lanes = address(work, result - i0 * size), L
            for i in range(i0, i1, tiles.SUM_BLOCK):
                _sum_rows(r, a, h, source, address(of, i * size), work, sums, i, min(i1 - i, tiles.SUM_BLOCK), lanes)


@v.copied
def _sum_rows(r, a, h, x, dy, work, sums, i, rows, channels):
    """Some rows of dy, all kernel rows and channels of the job."""
    L, pixel, width, full = v.lanes(work), r[at.pixel], r[at.width], channels // v.lanes(work)
    step, reach, panel = h[axis.step], (h[axis.taps] - 1) * h[axis.dilation], r[at.taps] * v.lanes(work)
    kernel, unrolled = kernel_of(h[axis.taps], h[axis.dilation], step)
    group = h[axis.dilation] if kernel == tiles.ANY else unrolled
    column = step if kernel == tiles.ANY else 1
    groups, line = h[axis.taps] // unrolled, width * pixel
    together = _together(unrolled)
    j, wide = 0, tiles.SUM_WIDE
    while j < h[axis.outputs]:
        cols = wide if h[axis.outputs] - j >= wide else 1
        first = h[axis.source] + j * step
        edge = first < 0 or first + (cols - 1) * step + reach >= width
        u = 0
        while u < a[axis.taps]:
            many = together if cols > 1 and u + together <= a[axis.taps] else 1
            kind = tiles.SUMS_ROW if many < together else (tiles.SUMS_EDGE if edge else tiles.SUMS_INSIDE)
            kind = tiles.SUMS_ONE if cols == 1 else kind
            i_ = a[axis.source] + i * a[axis.step] + u * a[axis.dilation]
            to = sums + u * h[axis.taps] * L
            if full:
                last_sums(kernel * 4 + kind, x, address(dy, j * pixel), address(work, to), full, panel, line,
                          pixel, r[at.out_width] * pixel, pixel, r[at.height], width, i_, first, a[axis.step],
                          a[axis.dilation], column, group, groups, rows, L)  # fmt: skip
            u += many
        if channels % L:
            c = full * L
            for t in range(cols):
                for u in range(a[axis.taps]):
                    i_ = a[axis.source] + i * a[axis.step] + u * a[axis.dilation]
                    last_sums(kernel * 4 + tiles.SUMS_ONE, address(x, c), address(dy, (j + t) * pixel + c),
                              address(work, sums + full * panel + u * h[axis.taps] * L), 1, panel, line, pixel,
                              r[at.out_width] * pixel, pixel, r[at.height], width, i_, first + t * step, a[axis.step],
                              a[axis.dilation], column, group, groups, rows, channels - c)  # fmt: skip
        j += cols


@step("dw_", "work")
def _weight_end(work, dw_, record, axes, order, ithr, nthr):
    """Parts added in their order, and out."""
    L, channels, taps, parts = v.lanes(work), record[at.channels], record[at.taps], record[at.parts]
    vectors = ceil(channels, L)
    for k in range(vectors * ithr // nthr, vectors * (ithr + 1) // nthr):
        s = k * taps * L
        for p in range(1, parts):
            for t in range(s, s + taps * L, L):
                v.store(work, t, v.load(work, t) + v.load(work, p * vectors * taps * L + t))
        for q in range(0, taps, L):
            block = v.transpose(v.load_rows(work, s + q * L, L, taps - q, L))
            v.store_rows(dw_, k * L * taps + q, taps, block, channels - k * L, taps - q)
