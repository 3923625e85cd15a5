"""Channel-wise convolution of channels-last arrays, lanes = channels: forward and grad_input, as in cython_/.../last.h.

A job is a band of rows of an image and a chunk of channels. The tiles are in tiles.py.
"""

import numpy as np

from ...records import DepthwiseAxis, DepthwiseLast, places
from ..ground import vector as v
from ..ground.epilogue import activate
from ..ground.launch import step
from ..ground.memory import address, local
from ..ground.transpose import load_block, store_each
from . import tiles
from .tiles import BIAS, RESIDUAL, last_tile

at, axis = places(DepthwiseLast), places(DepthwiseAxis)


def depthwise_last_forward(x, w, packed, bias, residual, y, record, axes, order, code, work, threads):
    """x (n, h, w, ci), w (co, 1, kh, kw), packed, bias (co), residual (as y) IN, the last three may be None;
    y (n, oh, ow, co) OUT; work WORK. grad_input is the same with axes of its own."""
    none = work[:0]
    packed, bias = none if packed is None else packed, none if bias is None else bias
    residual = none if residual is None else residual.reshape(-1)
    _forward(x, w, packed, bias, residual, y, record, axes, order, code, work, threads)


@v.copied
def ceil(a, b):
    return (a + b - 1) // b


@v.copied
def kernel_of(taps, dilation, step):
    """The first of `tiles.KERNELS` that divides a kernel's width, and its taps."""
    if dilation == 1 and step == 1:
        if taps % 7 == 0:
            return 0, 7
        if taps % 5 == 0:
            return 1, 5
        if taps % 3 == 0:
            return 2, 3
        if taps % 2 == 0:
            return 3, 2
    if dilation == 1 and step == 2:
        if taps % 5 == 0:
            return 4, 5
        if taps % 3 == 0:
            return 5, 3
    return tiles.ANY, 1


@v.copied
def _pack(w, c, n, taps, order, d, to):
    """Weights [channel][tap] of n channels from c on as vectors: tap t at d[to + order[t] * lanes]."""
    L = v.lanes(d)
    for q in range(0, taps, L):
        block = v.transpose(v.load_rows(w, c * taps + q, taps, n, taps - q))
        store_each(d, to, L, order, q, min(L, taps - q), block)


@step("packed")
def depthwise_last_pack(w, packed, record, axes, order, ithr, nthr):
    """w (co, 1, kh, kw) IN; packed (vectors of channels, taps, lanes) OUT."""
    L, channels, taps = v.lanes(w), record[at.channels], record[at.taps]
    vectors = ceil(channels, L)
    for k in range(vectors * ithr // nthr, vectors * (ithr + 1) // nthr):
        _pack(w, k * L, min(L, channels - k * L), taps, order, packed, k * L * taps)


@v.copied
def from_planes(x, start, plane, size, n, d, to):
    """Pixels of n channels, whose planes are `plane` numbers apart, as vectors."""
    L = v.lanes(d)
    for q in range(0, size, L):
        v.store_rows(d, to + q * L, L, v.transpose(load_block(x, start + q, plane, n, size - q)), size - q, L)


@v.copied
def _to_planes(d, start, plane, size, n, y, to):
    """And back."""
    L = v.lanes(d)
    for q in range(0, size, L):
        v.store_rows(y, to + q, plane, v.transpose(load_block(d, start + q * L, L, size - q, L)), n, size - q)


@v.copied
def source_of(r, axes, x, n, c0, i0, i1, work, room):
    """Where pixel (0, 0) of image n would be, channel c0, for the rows that a band meets, a number for every lane."""
    height, width, repeat, pixel = r[at.height], r[at.width], r[at.repeat], r[at.pixel]
    channels = r[at.channels] // repeat
    start = n * height * width * channels
    place = address(x, start + c0)
    if repeat > 1 or r[at.planes]:
        first, end = height, 0
        for k in range(r[at.phases_v]):
            a = axes[k]
            if a[axis.taps] > 0 and a[axis.outputs] > i0:
                top = a[axis.source]
                last = top + (min(i1, a[axis.outputs]) - 1) * a[axis.step] + (a[axis.taps] - 1) * a[axis.dilation]
                first, end = min(first, top + i0 * a[axis.step]), max(end, last + 1)
        first = max(first, 0)
        end = max(min(end, height), first)
        if r[at.planes]:
            plane, n = height * width, min(channels - c0, v.lanes(x))
            from_planes(x, start + c0 * plane + first * width, plane, (end - first) * width, n, work, room)
            c0 = 0
        else:
            for q in range((end - first) * width * channels):
                number = v.at(x, start + first * width * channels + q)
                for t in range(repeat):
                    v.put(work, room + q * repeat + t, number)
        place = address(work, room - first * width * pixel + c0)
    return place


@step("y", "work")
def _forward(x, w, packed, bias, residual, y, record, axes, order, code, work, ithr, nthr):
    r, L = record, v.lanes(x)
    channels, chunk, taps, fold = r[at.channels], r[at.chunk], r[at.taps], r[at.fold]
    vectors, outputs, every = ceil(channels, L), axes[0, axis.outputs], axes[0, axis.every]
    chunks, bands, line = ceil(vectors, chunk), ceil(outputs, r[at.rows]), r[at.out_width] * r[at.pixel]
    plane, planes = r[at.out_height] * r[at.out_width], r[at.planes]
    jobs, size = r[at.images] * bands * chunks, plane * channels // fold
    weights = ithr * r[at.share]
    room, ready = weights + chunk * taps * L, -1
    result, padded = room + r[at.source], local(x, 16)
    for job in range(jobs * ithr // nthr, jobs * (ithr + 1) // nthr):
        n, i0, v0 = job // chunks // bands, job // chunks % bands * r[at.rows], job % chunks * chunk
        i1, c0 = min(i0 + r[at.rows], outputs), v0 * L
        mine = min(channels - c0, chunk * L)
        if packed.size == 0 and ready != v0:
            for c in range(0, mine, L):
                _pack(w, c0 + c, min(L, mine - c), taps, order, work, weights + c * taps)
            ready = v0
        source = source_of(r, axes, x, n, c0, i0, i1, work, room)
        kernel = address(packed, c0 * taps) if packed.size else address(work, weights)
        top, end = i0 * every, min(i1 * every, r[at.out_height])
        direct = fold == 1 and planes == 0
        out = address(y, n * size + c0) if direct else address(work, result - top * line)
        offsets, lanes = address(bias, c0), mine
        if planes:
            lanes, offsets = L, address(padded, 0)
            if bias.size:
                v.store(padded, 0, v.load_part(bias, c0, mine))
        _band(r, axes, source, kernel, bias, offsets, residual, n * size + c0, out, i0, i1, lanes, code)
        if planes:
            to = n * size + c0 * plane + top * r[at.out_width]
            _to_planes(work, result, plane, (end - top) * r[at.out_width], mine, y, to)
        elif fold > 1:  # results of all lanes first, then their sums
            for q in range((end - top) * line // fold):
                total = v.at(work, result + q * fold)
                for t in range(1, fold):
                    total += v.at(work, result + q * fold + t)
                v.put(y, n * size + top * line // fold + q, total)


@v.copied
def _band(r, axes, x, w, bias, offsets, residual, of, y, i0, i1, channels, code):
    """Outputs [i0, i1) of every phase; x, w, offsets (the bias), y: at the job's first channel."""
    L, phases = v.lanes(bias), r[at.phases_v]
    for i in range(i0, i1, tiles.BLOCK):
        taps = 0
        for p in range(phases):
            rows = min(min(i1, axes[p, axis.outputs]) - i, tiles.BLOCK)
            for q in range(phases, phases + r[at.phases_h]):
                if rows > 0:
                    kernel = address(w, taps * L)
                    _rows(r, axes[p], axes[q], x, kernel, bias, offsets, residual, of, y, i, rows, channels, code)
                taps += axes[p, axis.taps] * axes[q, axis.taps]


@v.copied
def _rows(r, a, h, x, w, bias, offsets, residual, of, y, i, rows, channels, code):
    """Some rows of outputs of one phase (axes a and h), all channels of the job."""
    L, pixel, width, full = v.lanes(bias), r[at.pixel], r[at.width], channels // v.lanes(bias)
    step, reach, panel = h[axis.step], (h[axis.taps] - 1) * h[axis.dilation], r[at.taps] * v.lanes(bias)
    kernel, unrolled = kernel_of(h[axis.taps], h[axis.dilation], step)
    group = h[axis.dilation] if kernel == tiles.ANY else unrolled
    column = step if kernel == tiles.ANY else 1
    groups = h[axis.taps] // unrolled
    line, out_pixel = width * pixel, h[axis.every] * pixel
    out_line = a[axis.every] * r[at.out_width] * pixel
    corner = a[axis.first] * r[at.out_width] * pixel + h[axis.first] * pixel + i * out_line
    adds = (BIAS if bias.size else 0) + (RESIDUAL if residual.size else 0)
    zero = bias.dtype.type(0)
    low = zero if code == 1 else bias.dtype.type(-np.inf)
    j = 0
    while j < h[axis.outputs]:
        left, first = h[axis.outputs] - j, h[axis.source] + j * step
        narrow = left <= tiles.NARROW or left == 2 * tiles.NARROW
        most = tiles.NARROW if narrow else tiles.WIDE
        high = tiles.NARROW_ROWS if narrow else tiles.WIDE_ROWS
        cols = min(left, most)
        edge = cols < most or first < 0 or first + (cols - 1) * step + reach >= width
        kind = tiles.PART if narrow else (tiles.EDGE if edge else tiles.INSIDE)
        for s in range(0, rows, high):
            i_ = a[axis.source] + (i + s) * a[axis.step]
            to = corner + s * out_line + j * out_pixel
            if full:
                last_tile(kernel * 3 + kind, x, w, address(y, to), offsets, address(residual, of + to),
                          full, panel, line, pixel, out_line, out_pixel, r[at.height], width, i_, first, a[axis.step],
                          a[axis.dilation], a[axis.taps], column, group, groups, rows - s, cols, L, adds,
                          low)  # fmt: skip
        if channels % L:
            c = full * L
            for t in range(0, cols, tiles.NARROW):
                for s in range(0, rows, tiles.NARROW_ROWS):
                    i_ = a[axis.source] + (i + s) * a[axis.step]
                    to = corner + s * out_line + (j + t) * out_pixel + c
                    last_tile(kernel * 3 + tiles.PART, address(x, c), address(w, full * panel), address(y, to),
                              address(offsets, c), address(residual, of + to), 1, panel, line, pixel, out_line,
                              out_pixel, r[at.height], width, i_, first + t * step, a[axis.step], a[axis.dilation],
                              a[axis.taps], column, group, groups, rows - s, min(cols - t, tiles.NARROW), channels - c,
                              adds, low)  # fmt: skip
        if code > 1:
            for s in range(rows):
                for t in range(cols):
                    to = corner + s * out_line + (j + t) * out_pixel
                    for c in range(0, channels, L):
                        value = activate(v.load_part(y, to + c, channels - c), code)
                        v.store_part(y, to + c, value, channels - c)
        j += cols
