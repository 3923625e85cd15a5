"""Pooling, lanes = neighbouring output pixels of a row; see engines/cython_/pooling/forward.pxi for the way it goes.

The rows of a window are merged first into one padded line whose columns are split by their remainder modulo the
stride; there a tap is a fixed displacement. A share of the work is a range of tasks: bands of rows of one plane.
"""

import numpy as np
from numba import prange

from .ground import vector as v
from .ground.launch import step
from .im2col import _gather


def max_pool(x, y, taps, work, numbers, threads):
    """x IN (planes, H, W); y OUT (planes, OH, OW); NaN where the window holds one."""
    none = np.zeros(1, x.dtype)
    _pool(x, y, none, none, taps, work, *numbers, True, threads, threads)


def avg_pool(x, y, rows, cols, taps, work, numbers, threads):
    """The same for the mean: a window has rows[i] * cols[j] pixels; `cols` is longer by a vector."""
    _pool(x, y, rows, cols, taps, work, *numbers, False, threads, threads)


def max_pool_indices(x, y, index, taps, offsets, dw, work, numbers, threads):
    """x IN; y OUT; index OUT, int64: flat in the plane; `offsets` is that of each tap from the window's corner."""
    _indices(x, y, index, taps, offsets, work, *numbers, dw, threads, threads)


def max_pool_backward(x, dy, dx, taps, offsets, dw, work, numbers, threads):
    """x, dy IN; dx OUT: each dy at the pixel that was the largest."""
    _max_backward(x, dy, dx, taps, offsets, work, *numbers, dw, threads, threads)


def max_pool_scatter(index, dy, dx, taps, numbers, threads):
    """index, dy IN; dx OUT: each dy at its index. Returns how often an index was outside of its window's rows."""
    bad = np.zeros(threads, np.int64)
    kh, _, sh, _, pt, _, dh, _, _, _, band, _ = numbers
    _scatter(dx, dy, index, bad, kh, sh, pt, dh, band, threads, threads)
    return int(bad.sum())


def avg_pool_backward(dy, dx, rows, cols, taps, work, numbers, threads):
    """dy IN; dx OUT: the sum of dy[i, j] / (rows[i] * cols[j]) over the windows that hold the pixel."""
    _avg_backward(dy, dx, rows, cols, work, *numbers, threads, threads)


@step("y", "work")
def _pool(x, y, rows, cols, taps, work, kh, kw, sh, sw, pt, pl, dh, left, width, row, band, share, top, shares):
    (planes, H, W), (OH, OW), L = x.shape, y.shape[1:], v.lanes(x)
    bands = (OH + band - 1) // band
    outside = x.dtype.type(-np.inf) if top else x.dtype.type(0)
    for part in prange(shares):
        line = part * share
        for task in range(planes * bands * part // shares, planes * bands * (part + 1) // shares):
            p, first = task // bands, task % bands * band
            _fill(work, line, sw * width, outside)
            for i in range(first, min(OH, first + band)):
                above = pt - i * sh
                u0, u1 = max(0, (above + dh - 1) // dh), min(kh, (H - 1 + above) // dh + 1)
                if u0 < u1:
                    at = (p * H + u0 * dh - above) * W
                    _merge(x, at, dh * W, u1 - u0, W, work, line, left, width, sw, outside, top)
                else:
                    _fill(work, line, sw * width, outside)
                for j in range(0, OW, L):
                    a = v.load(work, line + v.at(taps, 0) + j)
                    for k in range(1, kw):
                        a = _join(top, a, v.load(work, line + v.at(taps, k) + j))
                    if not top:
                        a = a / (v.splat_at(rows, i) * v.load(cols, j))
                    v.store_part(y, (p * OH + i) * OW + j, a, OW - j)


@step("y", "index", "work")
def _indices(x, y, index, taps, offsets, work, kh, kw, sh, sw, pt, pl, dh, left, width, row, band, share, dw, shares):
    (planes, H, W), (OH, OW) = x.shape, y.shape[1:]
    bands = (OH + band - 1) // band
    for part in prange(shares):
        line = part * share
        arg = line + sw * width + row
        for task in range(planes * bands * part // shares, planes * bands * (part + 1) // shares):
            p, first = task // bands, task % bands * band
            _fill(work, line, sw * width, x.dtype.type(-np.inf))
            for i in range(first, min(OH, first + band)):
                _argmax(x, p, H, W, OW, taps, work, line, arg, arg + row, kh, kw, i * sh - pt, sw, dh, left, width)
                for j in range(OW):
                    to = (p * OH + i) * OW + j
                    v.put(y, to, v.at(work, arg + row + j))
                    tap = int(v.at(work, arg + j))
                    v.put(index, to, _place(tap, offsets, i * sh - pt, j * sw - pl, dh, dw, H, W))


@step("dx", "work")
def _max_backward(
    x, dy, dx, taps, offsets, work, kh, kw, sh, sw, pt, pl, dh, left, width, row, band, share, dw, shares
):  # fmt: skip
    (planes, H, W), (OH, OW) = x.shape, dy.shape[1:]
    bands = (H + band - 1) // band
    for part in prange(shares):
        line = part * share
        arg = line + sw * width + row
        for task in range(planes * bands * part // shares, planes * bands * (part + 1) // shares):
            p, r0 = task // bands, task % bands * band
            r1 = min(H, r0 + band)
            _fill(work, line, sw * width, x.dtype.type(-np.inf))
            _fill(dx, (p * H + r0) * W, (r1 - r0) * W, x.dtype.type(0))
            for i in range(_first(r0, pt, dh, kh, sh), min(OH, (r1 - 1 + pt) // sh + 1)):
                _argmax(x, p, H, W, OW, taps, work, line, arg, arg + row, kh, kw, i * sh - pt, sw, dh, left, width)
                for j in range(OW):
                    at = _place(int(v.at(work, arg + j)), offsets, i * sh - pt, j * sw - pl, dh, dw, H, W)
                    if r0 * W <= at < r1 * W:
                        to = p * H * W + at
                        v.put(dx, to, v.at(dx, to) + v.at(dy, (p * OH + i) * OW + j))


@step("dx", "bad")
def _scatter(dx, dy, index, bad, kh, sh, pt, dh, band, shares):
    (planes, H, W), (OH, OW) = dx.shape, dy.shape[1:]
    bands = (H + band - 1) // band
    for part in prange(shares):
        wrong = 0
        for task in range(planes * bands * part // shares, planes * bands * (part + 1) // shares):
            p, r0 = task // bands, task % bands * band
            r1 = min(H, r0 + band)
            _fill(dx, (p * H + r0) * W, (r1 - r0) * W, dx.dtype.type(0))
            for i in range(_first(r0, pt, dh, kh, sh), min(OH, (r1 - 1 + pt) // sh + 1)):
                low, high = max(0, i * sh - pt) * W, min(H, i * sh - pt + dh * (kh - 1) + 1) * W
                for j in range(OW):
                    at = v.at(index, (p * OH + i) * OW + j)
                    if not low <= at < high:
                        wrong += at != -1
                    elif r0 * W <= at < r1 * W:
                        to = p * H * W + at
                        v.put(dx, to, v.at(dx, to) + v.at(dy, (p * OH + i) * OW + j))
        v.put(bad, part, wrong)


@step("dx", "work")
def _avg_backward(dy, dx, rows, cols, work, kh, kw, sh, sw, pt, pl, dh, left, width, row, band, share, shares):
    """Every row of dx once: the quotients of the windows that hold it, summed, are spread over their columns."""
    (planes, H, W), (OH, OW), L = dx.shape, dy.shape[1:], v.lanes(dy)
    n = (W + sw - 1) // sw
    for part in prange(shares):
        line, out = part * share, part * share + width
        _fill(work, line, width, dx.dtype.type(0))
        for task in range(planes * H * part // shares, planes * H * (part + 1) // shares):
            p, r = task // H, task % H
            low, high = _first(r, pt, 1, kh, sh), min(OH, (r + pt) // sh + 1)
            for j in range(0, OW, L):
                total = v.zero(dy)
                for i in range(low, high):
                    total += v.load_part(dy, (p * OH + i) * OW + j, OW - j) / (v.splat_at(rows, i) * v.load(cols, j))
                v.store(work, line + left + j, total)
            for q in range(sw):  # column j * sw + q meets window j + (q + pl - k) / sw
                for j in range(0, n, L):
                    total = v.zero(dy)
                    for k in range((q + pl) % sw, kw, sw):
                        total += v.load(work, line + left + j + (q + pl - k) // sw)
                    v.store(work, out + q * width + j, total)
            for q in range(sw):
                for j in range((W - q + sw - 1) // sw):
                    v.put(dx, task * W + j * sw + q, v.at(work, out + q * width + j))


@v.inline
def _join(top, a, x):
    return v.above(x, a, x, a) if top else a + x


@v.inline
def _fill(a, i, n, value):
    for k in range(0, n, v.lanes(a)):
        v.store_part(a, i + k, v.splat(value), n - k)


@v.inline
def _merge(x, i, stride, n, W, work, line, left, width, sw, outside, top):
    """Columns of the line that show the image: the largest, or the sum, of n rows `stride` apart."""
    L = v.lanes(x)
    plain = line + left if sw == 1 else line + sw * width
    for j in range(0, W, L):
        a = v.load_part(x, i + j, W - j)
        for u in range(1, n):
            a = _join(top, a, v.load_part(x, i + u * stride + j, W - j))
        v.store(work, plain + j, a)
    v.store(work, plain + W, v.splat(outside))
    if sw > 1:
        for q in range(sw):
            _gather(work, line + q * width + left, work, plain + q, (W - q + sw - 1) // sw, sw)


@v.inline
def _argmax(x, p, H, W, OW, taps, work, line, arg, best, kh, kw, top, sw, dh, left, width):
    """The windows of a row that start at row `top`: maxima, and by which tap. Of equals the first, of NaNs the last."""
    L, lowest = v.lanes(x), x.dtype.type(-np.inf)
    _fill(work, best, OW, lowest)
    _fill(work, arg, OW, x.dtype.type(-1))
    for u in range(kh):
        r = top + u * dh
        if 0 <= r < H:
            _merge(x, (p * H + r) * W, 0, 1, W, work, line, left, width, sw, lowest, True)
            for j in range(0, OW, L):
                a, t = v.load(work, best + j), v.load(work, arg + j)
                for k in range(kw):
                    z = v.load(work, line + v.at(taps, k) + j)
                    t = v.above(z, a, v.splat(x.dtype.type(u * kw + k)), t)
                    a = v.above(z, a, z, a)
                v.store(work, best + j, a)
                v.store(work, arg + j, t)


@v.inline
def _place(tap, offsets, r, c, dh, dw, H, W):
    """Flat index of a tap of the window that starts at (r, c); without a tap (all are -Inf) the first pixel, or -1."""
    if tap >= 0:
        return r * W + c + v.at(offsets, tap)
    if r < 0:
        r += -(r // dh) * dh
    if c < 0:
        c += -(c // dw) * dw
    return -1 if r >= H or c >= W else r * W + c


@v.inline
def _first(row, pt, dh, kh, sh):
    """The first output row whose window may reach an input row."""
    return max(0, -((dh * (kh - 1) - row - pt) // sh))
