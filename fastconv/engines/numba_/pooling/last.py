"""Pooling of channels-last arrays, lanes = channels; see engines/cython_/pooling/last.h for the order of things.

A share of the work is a run of jobs (image, row of the result, vector of channels), taken row by row.
"""

import numpy as np

from ...records import PoolWindows, places
from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import local
from .planes import _first as first_window
from .planes import _join as join

at = places(PoolWindows)
COLUMNS = 128  # of the line of columns that windows share; operations/windows.py knows it
LINE = COLUMNS * 16  # numbers: 16 is the widest vector


@step("y")
def max_pool_last(x, y, q, ithr, nthr):
    """x IN (images, H, W, C); y OUT (images, OH, OW, C); NaN where the window holds one."""
    _pool(x, y, x, x, q, True, ithr, nthr)


@step("y")
def avg_pool_last(x, y, rows, cols, q, ithr, nthr):
    """The same for the mean: a window has rows[i] * cols[j] pixels."""
    _pool(x, y, rows, cols, q, False, ithr, nthr)


@v.copied
def _next(job, end, rows, channels, lanes):
    """The next piece of the jobs [job, end): image, row, channels [c0, c1), and the job behind it."""
    vectors = (channels + lanes - 1) // lanes
    row, k = job // vectors, job % vectors
    stop = min(vectors, k + end - job)
    return row // rows, row % rows, k * lanes, min(channels, stop * lanes), job + stop - k


@v.copied
def _inside(start, size, k, d):
    """Taps [first, first + count) of a window lie in the image."""
    first = max(0, -start)
    stop = min(k, size - start)
    if d > 1:
        first = (first + d - 1) // d
        stop = min(k, (size - 1 - start) // d + 1)
    return first, max(0, stop - first)


@v.inline
def _pool(x, y, rows, cols, q, top, ithr, nthr):
    (N, H, W, C), (OH, OW), L = x.shape, y.shape[1:3], v.lanes(x)
    kh, kw, sh, sw, pt, pl, dh, dw = (
        q[at.kh], q[at.kw], q[at.sh], q[at.sw], q[at.pt], q[at.pl], q[at.dh], q[at.dw]
    )  # fmt: skip
    jobs = N * OH * ((C + L - 1) // L)
    job, end = jobs * ithr // nthr, jobs * (ithr + 1) // nthr
    shared, span = OW > 1 and kw >= 2 * sw, dw * (kw - 1) + 1
    zero, line = x.dtype.type(0), local(x, LINE)
    lowest = x.dtype.type(-np.inf) if top else zero
    down, across, most = dh * W * C, dw * C, max(1, (COLUMNS - span) // sw + 1)
    while job < end:
        n, i, c0, c1, job = _next(job, end, OH, C, L)
        u0, count = _inside(i * sh - pt, H, kh, dh)
        row = n * H + (i * sh - pt + u0 * dh if count else 0)
        to = (n * OH + i) * OW
        if not shared:
            for j in range(OW):
                v0, across_count = _inside(j * sw - pl, W, kw, dw)
                across_count = across_count if count else 0
                start = lowest if top or across_count < kw else -zero  # -0.0 changes no sum
                x0 = (row * W + (j * sw - pl + v0 * dw if across_count else 0)) * C
                for c in range(c0, c1, L):
                    a = v.splat(start)
                    for k in range(across_count):
                        a = join(top, a, _column(x, x0 + k * across + c, down, count, C - c, top))
                    if not top:
                        a = a / (v.splat_at(rows, i) * v.splat_at(cols, j))
                    v.store_part(y, (to + j) * C + c, a, C - c)
            continue
        for c in range(c0, c1, L):
            for j0 in range(0, OW, most):
                left = j0 * sw - pl
                windows = min(most, OW - j0)
                for k in range((windows - 1) * sw + span):
                    a = v.splat(lowest)
                    if count and 0 <= left + k < W:
                        a = _column(x, (row * W + left + k) * C + c, down, count, C - c, top)
                    v.store(line, k * L, a)
                for j in range(j0, j0 + windows):
                    o = (j - j0) * sw * L
                    a = v.load(line, o)
                    for k in range(1, kw):
                        a = join(top, a, v.load(line, o + k * dw * L))
                    if not top:
                        a = a / (v.splat_at(rows, i) * v.splat_at(cols, j))
                    v.store_part(y, (to + j) * C + c, a, C - c)


@v.inline
def _column(x, i, down, n, left, top):
    """n pixels, one below the other, joined."""
    a = v.load_part(x, i, left)
    for u in range(1, n):
        a = join(top, a, v.load_part(x, i + u * down, left))
    return a


@v.inline
def _argmax(x, i, down, across, u0, rows, v0, cols, kw, left):
    """The largest of a window, and by which tap, -1 without one. Of equals the first, of NaNs the last."""
    a, t = v.splat(x.dtype.type(-np.inf)), v.splat(x.dtype.type(-1))
    for u in range(rows):
        for k in range(cols):
            z = v.load_part(x, i + u * down + k * across, left)
            t = v.above(z, a, v.splat(x.dtype.type((u0 + u) * kw + v0 + k)), t)
            a = v.above(z, a, z, a)
    return a, t


@step("y", "index")
def max_pool_last_indices(x, y, index, offsets, q, ithr, nthr):
    """x IN; y OUT; index OUT, int64: flat in the plane; `offsets`: of each tap."""
    (N, H, W, C), (OH, OW), L = x.shape, y.shape[1:3], v.lanes(x)
    kh, kw, sh, sw, pt, pl, dh, dw = (
        q[at.kh], q[at.kw], q[at.sh], q[at.sw], q[at.pt], q[at.pl], q[at.dh], q[at.dw]
    )  # fmt: skip
    jobs = N * OH * ((C + L - 1) // L)
    job, end, taps = jobs * ithr // nthr, jobs * (ithr + 1) // nthr, local(x, 16)
    while job < end:
        n, i, c0, c1, job = _next(job, end, OH, C, L)
        u0, rows = _inside(i * sh - pt, H, kh, dh)
        for j in range(OW):
            v0, cols = _inside(j * sw - pl, W, kw, dw)
            corner = (i * sh - pt) * W + j * sw - pl
            there = rows > 0 and cols > 0
            lowest = corner + u0 * dh * W + v0 * dw if there else -1
            x0, down = (n * H * W + max(lowest, 0)) * C, dh * W * C
            for c in range(c0, c1, L):
                a, t = _argmax(x, x0 + c, down, dw * C, u0, rows if there else 0, v0, cols, kw, C - c)
                to = ((n * OH + i) * OW + j) * C + c
                v.store_part(y, to, a, C - c)
                v.store(taps, 0, t)
                for k in range(min(L, C - c)):
                    tap = int(v.at(taps, k))
                    v.put(index, to + k, corner + v.at(offsets, tap) if tap >= 0 else lowest)


@v.copied
def _clear(dx, n, row, stop, H, W, C, c0, c1):
    """Channels [c0, c1) of rows [row, stop) of an image."""
    for pixel in range((n * H + row) * W, (n * H + stop) * W):
        for c in range(c0, c1, v.lanes(dx)):
            v.store_part(dx, pixel * C + c, v.zero(dx), c1 - c)


@v.copied
def _rows_of(n, i, c0, c1, behind, end, rows, channels, lanes):
    """A piece that is a whole row goes on for as many rows of its image as are whole; the row and the job behind."""
    if c0 or c1 < channels:
        return i + 1, behind
    vectors = (channels + lanes - 1) // lanes
    more = min(rows - i - 1, (end - behind) // vectors)
    return i + 1 + more, behind + more * vectors


@step("dx")
def max_pool_last_backward(x, dy, dx, offsets, q, ithr, nthr):
    """x, dy IN; dx OUT: each dy at the pixel that was the largest."""
    (N, H, W, C), (OH, OW), L = x.shape, dy.shape[1:3], v.lanes(x)
    kh, kw, sh, sw, pt, pl, dh, dw = (
        q[at.kh], q[at.kw], q[at.sh], q[at.sw], q[at.pt], q[at.pl], q[at.dh], q[at.dw]
    )  # fmt: skip
    jobs = N * H * ((C + L - 1) // L)
    job, end = jobs * ithr // nthr, jobs * (ithr + 1) // nthr
    while job < end:
        n, r0, c0, c1, job = _next(job, end, H, C, L)
        r1, job = _rows_of(n, r0, c0, c1, job, end, H, C, L)
        _clear(dx, n, r0, r1, H, W, C, c0, c1)
        for i in range(first_window(r0, pt, dh, kh, sh), min(OH, (r1 - 1 + pt) // sh + 1)):
            u0, rows = _inside(i * sh - pt, H, kh, dh)
            for j in range(OW):
                v0, cols = _inside(j * sw - pl, W, kw, dw)
                corner = (i * sh - pt) * W + j * sw - pl
                there = rows > 0 and cols > 0
                lowest = corner + u0 * dh * W + v0 * dw if there else -1
                x0, down = (n * H * W + max(lowest, 0)) * C, dh * W * C
                if not there:
                    continue
                first = v.splat(x.dtype.type(u0 * kw + v0))
                for c in range(c0, c1, L):
                    _, t = _argmax(x, x0 + c, down, dw * C, u0, rows, v0, cols, kw, C - c)
                    t = v.above(t, v.splat(x.dtype.type(-1)), t, first)
                    g = v.load_part(dy, ((n * OH + i) * OW + j) * C + c, C - c)
                    for u in range(rows):
                        if r0 <= i * sh - pt + (u0 + u) * dh < r1:
                            for k in range(cols):
                                tap, to = v.splat(x.dtype.type((u0 + u) * kw + v0 + k)), x0 + u * down + k * dw * C + c
                                mine = v.above(t, tap, v.zero(x), v.above(tap, t, v.zero(x), g))
                                v.store_part(dx, to, v.load_part(dx, to, C - c) + mine, C - c)


@step("dx", "bad")
def max_pool_last_scatter(dy, index, dx, bad, q, ithr, nthr):
    """dy, index IN; dx OUT: each dy at its index. bad INOUT: how many lay outside of their windows' rows, added."""
    (N, H, W, C), (OH, OW), L = dx.shape, dy.shape[1:3], v.lanes(dx)
    kh, sh, pt, dh = q[at.kh], q[at.sh], q[at.pt], q[at.dh]
    jobs = N * H * ((C + L - 1) // L)
    job, end, wrong = jobs * ithr // nthr, jobs * (ithr + 1) // nthr, 0
    while job < end:
        n, r0, c0, c1, job = _next(job, end, H, C, L)
        r1, job = _rows_of(n, r0, c0, c1, job, end, H, C, L)
        _clear(dx, n, r0, r1, H, W, C, c0, c1)
        for i in range(first_window(r0, pt, dh, kh, sh), min(OH, (r1 - 1 + pt) // sh + 1)):
            low, high = max(0, i * sh - pt) * W, min(H, i * sh - pt + dh * (kh - 1) + 1) * W
            for j in range(OW):
                to = ((n * OH + i) * OW + j) * C
                for c in range(c0, c1):
                    place = v.at(index, to + c)
                    if not low <= place < high:
                        wrong += place != -1
                    elif r0 * W <= place < r1 * W:
                        d = (n * H * W + place) * C + c
                        v.put(dx, d, v.at(dx, d) + v.at(dy, to + c))
    v.put(bad, ithr, v.at(bad, ithr) + wrong)


@step("dx")
def avg_pool_last_backward(dy, dx, rows, cols, q, ithr, nthr):
    """dy IN; dx OUT: the sum of dy[i, j] / (rows[i] * cols[j]) over the windows that hold the pixel.

    The quotients of the windows of each column, summed, are put in a line; a pixel takes the last of its columns first.
    """
    (N, H, W, C), (OH, OW), L = dx.shape, dy.shape[1:3], v.lanes(dx)
    kh, kw, sh, sw, pt, pl = q[at.kh], q[at.kw], q[at.sh], q[at.sw], q[at.pt], q[at.pl]
    jobs = N * H * ((C + L - 1) // L)
    job, end, line = jobs * ithr // nthr, jobs * (ithr + 1) // nthr, local(dx, LINE)
    most = max(1, COLUMNS - min(OW, (kw - 1) // sw + 1)) * sw
    while job < end:
        n, r, c0, c1, job = _next(job, end, H, C, L)
        low, high = first_window(r, pt, 1, kh, sh), min(OH, (r + pt) // sh + 1)
        for c in range(c0, c1, L):
            for p0 in range(0, W, most):
                p1 = min(W, p0 + most)
                j0, j1 = first_window(p0, pl, 1, kw, sw), min(OW, (p1 - 1 + pl) // sw + 1)
                for j in range(j0, j1):
                    total = v.zero(dx)
                    for i in range(low, high):
                        part = v.load_part(dy, ((n * OH + i) * OW + j) * C + c, C - c)
                        total += part / (v.splat_at(rows, i) * v.splat_at(cols, j))
                    v.store(line, (j - j0) * L, total)
                first, stop = j0, j0  # the windows that hold the column
                for p in range(p0, p1):
                    while stop < j1 and stop * sw <= p + pl:
                        stop += 1
                    while first < stop and first * sw + kw <= p + pl:
                        first += 1
                    total = v.zero(dx)
                    for j in range(stop - 1, first - 1, -1):
                        total += v.load(line, (j - j0) * L)
                    v.store_part(dx, ((n * H + r) * W + p) * C + c, total, C - c)
