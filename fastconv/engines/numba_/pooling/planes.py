"""Pooling, lanes = neighbouring output pixels of a row; see engines/cython_/pooling/forward.pxi for the way it goes.

The rows of a window are merged first into one padded line whose columns are split by their remainder modulo the
stride; there a tap is a fixed displacement. A share of the work is a range of tasks: bands of rows of one plane.
"""

import numpy as np

from ...records import PoolWindows, places
from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import copy_strided

at = places(PoolWindows)


@step("y", "work")
def max_pool(x, y, taps, work, q, ithr, nthr):
    """x IN (planes, H, W); y OUT (planes, OH, OW); NaN where the window holds one."""
    _pool(x, y, x, x, taps, work, q, True, ithr, nthr)


@step("y", "work")
def avg_pool(x, y, rows, cols, taps, work, q, ithr, nthr):
    """The same for the mean: a window has rows[i] * cols[j] pixels; `cols` is longer by a vector."""
    _pool(x, y, rows, cols, taps, work, q, False, ithr, nthr)


@v.inline
def _pool(x, y, rows, cols, taps, work, q, top, ithr, nthr):
    (planes, H, W), (OH, OW), L = x.shape, y.shape[1:], v.lanes(x)
    kh, kw, sh, sw, pt, dh = q[at.kh], q[at.kw], q[at.sh], q[at.sw], q[at.pt], q[at.dh]
    left, width, band = q[at.left], q[at.width], q[at.band]
    bands, line = (OH + band - 1) // band, ithr * q[at.per_thread]
    outside = x.dtype.type(-np.inf) if top else x.dtype.type(0)
    for task in range(planes * bands * ithr // nthr, planes * bands * (ithr + 1) // nthr):
        p, first = task // bands, task % bands * band
        _fill(work, line, sw * width, outside)
        for i in range(first, min(OH, first + band)):
            above = pt - i * sh
            u0, u1 = max(0, (above + dh - 1) // dh), min(kh, (H - 1 + above) // dh + 1)
            if u0 < u1:
                _merge(x, (p * H + u0 * dh - above) * W, dh * W, u1 - u0, W, work, line, left, width, sw, outside, top)
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
def max_pool_indices(x, y, index, taps, offsets, work, q, ithr, nthr):
    """x IN; y OUT; index OUT, int64: flat in the plane; `offsets` is that of each tap from the window's corner."""
    sh, sw, pt, pl = q[at.sh], q[at.sw], q[at.pt], q[at.pl]
    width, row, band = q[at.width], q[at.row], q[at.band]
    (planes, H, W), (OH, OW) = x.shape, y.shape[1:]
    bands = (OH + band - 1) // band
    line = ithr * q[at.per_thread]
    arg = line + sw * width + row
    for task in range(planes * bands * ithr // nthr, planes * bands * (ithr + 1) // nthr):
        p, first = task // bands, task % bands * band
        _fill(work, line, sw * width, x.dtype.type(-np.inf))
        for i in range(first, min(OH, first + band)):
            _argmax(x, p, H, W, OW, taps, work, q, line, arg, arg + row, i * sh - pt)
            for j in range(OW):
                to = (p * OH + i) * OW + j
                v.put(y, to, v.at(work, arg + row + j))
                tap = int(v.at(work, arg + j))
                v.put(index, to, _place(tap, offsets, q, i * sh - pt, j * sw - pl, H, W))


@step("dx", "work")
def max_pool_backward(x, dy, dx, taps, offsets, work, q, ithr, nthr):
    """x, dy IN; dx OUT: each dy at the pixel that was the largest."""
    kh, sh, sw, pt, pl, dh = q[at.kh], q[at.sh], q[at.sw], q[at.pt], q[at.pl], q[at.dh]
    width, row, band = q[at.width], q[at.row], q[at.band]
    (planes, H, W), (OH, OW) = x.shape, dy.shape[1:]
    bands = (H + band - 1) // band
    line = ithr * q[at.per_thread]
    arg = line + sw * width + row
    for task in range(planes * bands * ithr // nthr, planes * bands * (ithr + 1) // nthr):
        p, r0 = task // bands, task % bands * band
        r1 = min(H, r0 + band)
        _fill(work, line, sw * width, x.dtype.type(-np.inf))
        _fill(dx, (p * H + r0) * W, (r1 - r0) * W, x.dtype.type(0))
        for i in range(_first(r0, pt, dh, kh, sh), min(OH, (r1 - 1 + pt) // sh + 1)):
            _argmax(x, p, H, W, OW, taps, work, q, line, arg, arg + row, i * sh - pt)
            for j in range(OW):
                place = _place(int(v.at(work, arg + j)), offsets, q, i * sh - pt, j * sw - pl, H, W)
                if r0 * W <= place < r1 * W:
                    to = p * H * W + place
                    v.put(dx, to, v.at(dx, to) + v.at(dy, (p * OH + i) * OW + j))


@step("dx", "bad")
def max_pool_scatter(dy, index, dx, bad, q, ithr, nthr):
    """dy, index IN; dx OUT: each dy at its index. bad INOUT: how many lay outside of their windows' rows, added."""
    kh, sh, pt, dh, band = q[at.kh], q[at.sh], q[at.pt], q[at.dh], q[at.band]
    (planes, H, W), (OH, OW) = dx.shape, dy.shape[1:]
    bands = (H + band - 1) // band
    wrong = 0
    for task in range(planes * bands * ithr // nthr, planes * bands * (ithr + 1) // nthr):
        p, r0 = task // bands, task % bands * band
        r1 = min(H, r0 + band)
        _fill(dx, (p * H + r0) * W, (r1 - r0) * W, dx.dtype.type(0))
        for i in range(_first(r0, pt, dh, kh, sh), min(OH, (r1 - 1 + pt) // sh + 1)):
            low, high = max(0, i * sh - pt) * W, min(H, i * sh - pt + dh * (kh - 1) + 1) * W
            for j in range(OW):
                place = v.at(index, (p * OH + i) * OW + j)
                if not low <= place < high:
                    wrong += place != -1
                elif r0 * W <= place < r1 * W:
                    to = p * H * W + place
                    v.put(dx, to, v.at(dx, to) + v.at(dy, (p * OH + i) * OW + j))
    v.put(bad, ithr, v.at(bad, ithr) + wrong)


@step("dx", "work")
def avg_pool_backward(dy, dx, rows, cols, work, q, ithr, nthr):
    """dy IN; dx OUT: the sum of dy[i, j] / (rows[i] * cols[j]) over the windows that hold the pixel.

    Every row of dx once: the quotients of the windows that hold it, summed, are spread over their columns.
    """
    kh, kw, sh, sw, pt, pl = q[at.kh], q[at.kw], q[at.sh], q[at.sw], q[at.pt], q[at.pl]
    left, width = q[at.left], q[at.width]
    (planes, H, W), (OH, OW), L = dx.shape, dy.shape[1:], v.lanes(dy)
    n = (W + sw - 1) // sw
    line = ithr * q[at.per_thread]
    out = line + width
    _fill(work, line, width, dx.dtype.type(0))
    for task in range(planes * H * ithr // nthr, planes * H * (ithr + 1) // nthr):
        p, r = task // H, task % H
        low, high = _first(r, pt, 1, kh, sh), min(OH, (r + pt) // sh + 1)
        for j in range(0, OW, L):
            total = v.zero(dy)
            for i in range(low, high):
                total += v.load_part(dy, (p * OH + i) * OW + j, OW - j) / (v.splat_at(rows, i) * v.load(cols, j))
            v.store(work, line + left + j, total)
        for b in range(sw):  # column j * sw + b meets window j + (b + pl - k) / sw
            for j in range(0, n, L):
                total = v.zero(dy)
                for k in range((b + pl) % sw, kw, sw):
                    total += v.load(work, line + left + j + (b + pl - k) // sw)
                v.store(work, out + b * width + j, total)
        for b in range(sw):
            for j in range((W - b + sw - 1) // sw):
                v.put(dx, task * W + j * sw + b, v.at(work, out + b * width + j))


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
            copy_strided(work, line + q * width + left, work, plain + q, (W - q + sw - 1) // sw, sw)


@v.inline
def _argmax(x, p, H, W, OW, taps, work, q, line, arg, best, top):
    """The windows of a row that start at row `top`: maxima, and by which tap. Of equals the first, of NaNs the last."""
    L, lowest = v.lanes(x), x.dtype.type(-np.inf)
    kh, kw, sw, dh, left, width = q[at.kh], q[at.kw], q[at.sw], q[at.dh], q[at.left], q[at.width]
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
def _place(tap, offsets, q, r, c, H, W):
    """Flat index of a tap of the window that starts at (r, c); without a tap (all are -Inf) the first pixel, or -1."""
    if tap >= 0:
        return r * W + c + v.at(offsets, tap)
    if r < 0:
        r += -(r // q[at.dh]) * q[at.dh]
    if c < 0:
        c += -(c // q[at.dw]) * q[at.dw]
    return -1 if r >= H or c >= W else r * W + c


@v.inline
def _first(row, pt, dh, kh, sh):
    """The first output row whose window may reach an input row."""
    return max(0, -((dh * (kh - 1) - row - pt) // sh))
