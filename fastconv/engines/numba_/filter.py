"""Image filters: tap by tap, a row of the image is added to a row of results.

The steps of the Cython engine under the same names, simpler: no register blocks. Images of other dtypes than the one
computed in are converted as a whole. Where scipy.ndimage is matched number by number, nothing is fused.
Shapes: x (H, W, C), y (OH, OW, C); rows and cols are the tables of borders.
"""

import numpy as np

from ..records import FilterTasks, places
from .ground import vector as v
from .ground.launch import step

at = places(FilterTasks)

# ---- tasks: bands of rows of strips of columns ----


@v.inline
def _tasks(y, q):
    """How many."""
    return -(-y.shape[0] // q[at.band]) * -(-y.shape[1] // q[at.strip])


@v.inline
def _task(y, q, task):
    """Output rows [i, end), first column, numbers of a row."""
    strips = -(-y.shape[1] // q[at.strip])
    i, first = task // strips * q[at.band], task % strips * q[at.strip]
    return i, min(i + q[at.band], y.shape[0]), first, min(q[at.strip], y.shape[1] - first) * y.shape[2]


@v.inline
def _rows(x, work, ring, rows, cols, cval, q, i, new, first, n):
    """The `new` last rows of the window at output row i, at their places in the ring."""
    W, C, kh = x.shape[1], x.shape[2], q[at.kh]
    for k in range(i + kh - new, i + kh):
        to, r = ring + k % kh * q[at.pitch], v.at(rows, k)
        for p in range(n // C + q[at.kw] - 1):
            s = v.at(cols, first + p)
            for c in range(C):
                seen = r >= 0 and s >= 0
                v.put(work, to + p * C + c, v.at(x, (r * W + s) * C + c) if seen else x.dtype.type(cval))


@v.inline
def _set(a, i, n):
    """a[i :+ n] = 0"""
    for j in range(n):
        v.put(a, i + j, a.dtype.type(0))


@v.copied  # fused where its caller is
def _add(a, i, n, tap, source, k):
    """a[i :+ n] += tap * source[k :+ n]"""
    for j in range(n):
        v.put(a, i + j, v.at(a, i + j) + tap * v.at(source, k + j))


# ---- kernels ----


@step("y", "work", fused=False)
def _direct(x, w, y, rows, cols, cval, work, q, ithr, nthr):
    kh, pitch, C, ring = q[at.kh], q[at.pitch], y.shape[2], ithr * q[at.per_thread] + q[at.ring]
    for task in range(_tasks(y, q) * ithr // nthr, _tasks(y, q) * (ithr + 1) // nthr):
        start, end, first, n = _task(y, q, task)
        for i in range(start, end):
            _rows(x, work, ring, rows, cols, cval, q, i, kh if i == start else 1, first, n)
            to = (i * y.shape[1] + first) * C
            _set(y, to, n)
            for a in range(kh):
                for b in range(q[at.kw]):
                    _add(y, to, n, v.at(w, b * kh + kh - 1 - a), work, ring + (i + a) % kh * pitch + b * C)


@step("y", "work")
def _separable(x, column, row, y, rows, cols, cval, work, q, ithr, nthr):
    kh, kw, pitch, C = q[at.kh], q[at.kw], q[at.pitch], y.shape[2]
    ring, sums = ithr * q[at.per_thread] + q[at.ring], ithr * q[at.per_thread] + q[at.sums]
    for task in range(_tasks(y, q) * ithr // nthr, _tasks(y, q) * (ithr + 1) // nthr):
        start, end, first, n = _task(y, q, task)
        for i in range(start, end):
            _rows(x, work, ring, rows, cols, cval, q, i, kh if i == start else 1, first, n)
            to, wide = (i * y.shape[1] + first) * C, n + (kw - 1) * C
            _set(work, sums, wide)
            for a in range(kh):
                _add(work, sums, wide, v.at(column, kh - 1 - a), work, ring + (i + a) % kh * pitch)
            _set(y, to, n)
            for b in range(kw):
                _add(y, to, n, v.at(row, b), work, sums + b * C)


@step("y", "work", fused=False)
def _line(x, w, y, rows, cols, cval, work, q, ithr, nthr):
    """Taps are the rows of the ring; along a row they are that row, shifted."""
    kh, taps, sign, C = q[at.kh], w.shape[0], q[at.sign], y.shape[2]
    middle = taps // 2 if sign != 0 else taps - 1
    ring = ithr * q[at.per_thread] + q[at.ring]
    for task in range(_tasks(y, q) * ithr // nthr, _tasks(y, q) * (ithr + 1) // nthr):
        start, end, first, n = _task(y, q, task)
        for i in range(start, end):
            _rows(x, work, ring, rows, cols, cval, q, i, kh if i == start else 1, first, n)
            to = (i * y.shape[1] + first) * C
            p = ring + _tap(q, C, i, middle)
            for j in range(n):
                v.put(y, to + j, v.at(w, middle) * v.at(work, p + j))
            for k in range(middle):
                p, o, tap = ring + _tap(q, C, i, k), ring + _tap(q, C, i, taps - 1 - k), v.at(w, k)
                if sign > 0:
                    for j in range(n):
                        v.put(y, to + j, v.at(y, to + j) + tap * (v.at(work, p + j) + v.at(work, o + j)))
                elif sign < 0:
                    for j in range(n):
                        v.put(y, to + j, v.at(y, to + j) + tap * (v.at(work, p + j) - v.at(work, o + j)))
                else:
                    _add(y, to, n, tap, work, p)


@v.inline
def _tap(q, C, i, k):
    """Where tap k of output row i lies in the ring."""
    return (i + k) % q[at.kh] * q[at.pitch] if q[at.kh] > 1 else k * C


@step("y")
def _running(x, y, rows, cols, cval, q, ithr, nthr):
    """Each line by itself: columns, or rows and channels."""
    (OH, OW, C), size, down = y.shape, max(q[at.kh], q[at.kw]), q[at.kh] > 1
    length, count = (OH, OW * C) if down else (OW, OH * C)
    for k in range(count * ithr // nthr, count * (ithr + 1) // nthr):
        other, c = k // C, k % C
        total = 0.0
        for a in range(size):
            total += _pixel(x, v.at(rows, a if down else other), v.at(cols, other if down else a), c, cval)
        for j in range(length):
            if j > 0:
                new, old = j + size - 1, j - 1
                total += _pixel(
                    x, v.at(rows, new if down else other), v.at(cols, other if down else new), c, cval
                ) - _pixel(x, v.at(rows, old if down else other), v.at(cols, other if down else old), c, cval)
            v.put(y, ((j * OW + other) if down else (other * OW + j)) * C + c, y.dtype.type(total / size))


@v.inline
def _pixel(x, r, s, c, cval):
    return float(v.at(x, (r * x.shape[1] + s) * x.shape[2] + c)) if r >= 0 and s >= 0 else cval


# ---- the steps ----


def _results(y, dtype):
    """Where results go: y itself, or an array of the computed dtype to be converted."""
    return y if y.dtype == dtype else np.empty(y.shape, dtype)


def _finish(y, results):
    """To whole numbers as the compiled steps do: float32 rounded and saturated, float64 truncated."""
    if results is y:
        return
    if y.dtype.kind in "ui" and results.dtype == np.float32:
        limits = np.iinfo(y.dtype)
        results = np.clip(np.nan_to_num(np.rint(results), nan=limits.min), limits.min, limits.max)
    with np.errstate(invalid="ignore"):
        y[...] = results.astype(np.int32) if y.dtype.kind in "ui" else results


def _images(x, y, q):
    """Both as (H, W, C)."""
    c = q[at.c]
    return x.reshape(q[at.ih], q[at.iw], c), y.reshape(q[at.oh], q[at.ow], c)


def filter_direct(x, w, y, rows, cols, cval, work, q, threads):
    """y[i, j, c] = sum over a, b of w[b, kh - 1 - a] x[rows[i + a], cols[j + b], c]; mirrored: w is the left half."""
    x, y = _images(x, y, q)
    kw, sign = int(q[at.kw]), int(q[at.sign])
    if sign:
        w = w.copy()
        w[-1] *= 1 + kw % 2
        w = np.concatenate([w, sign * w[: kw // 2][::-1]])
    out = _results(y, w.dtype)
    _direct(x.astype(w.dtype, copy=False), w, out, rows, cols, cval, work, q, threads)
    _finish(y, out)


def filter_separable(x, column, row, y, rows, cols, cval, work, q, threads):
    """y[i, j, c] = sum over b of row[b] sum over a of column[kh - 1 - a] x[rows[i + a], cols[j + b], c]."""
    x, y = _images(x, y, q)
    out = _results(y, row.dtype)
    _separable(x.astype(row.dtype, copy=False), column, row, out, rows, cols, cval, work, q, threads)
    _finish(y, out)


def filter_line(x, w, y, rows, cols, cval, work, q, threads):
    """y[i, j, c] = sum over k of w[k] x[rows[i + k], cols[j], c], or of w[k] x[rows[i], cols[j + k], c]."""
    x, y = _images(x, y, q)
    out = _results(y, w.dtype)
    _line(x.astype(w.dtype, copy=False), w, out, rows, cols, cval, work, q, threads)
    _finish(y, out)


def filter_running(x, y, rows, cols, cval, work, q, threads):
    """Running means of y OUT along the longer axis of the window; each sum is the last one plus (new - old)."""
    x, y = _images(x, y, q)
    out = _results(y, work.dtype)
    _running(x.astype(work.dtype, copy=False), out, rows, cols, cval, q, threads)
    _finish(y, out)


def filter_split(x, planes, rows, cols, cval, work, q, threads):
    """planes[c, i, j] = x[rows[i], cols[j], c]; planes OUT."""
    in0, in1 = q[at.in0], q[at.in1]
    for s in (*range(in0), *range(in1, len(cols))):
        planes[:, :, s] = x[rows, cols[s]].T if cols[s] >= 0 else cval
    if in1 > in0:
        planes[:, :, in0:in1] = x[rows, cols[in0] : cols[in0] + in1 - in0].transpose(2, 0, 1)
    planes[:, rows < 0] = cval


def filter_join(planes, y, work, q, threads):
    """y[i, j, c] OUT = planes[c, i, j], rounded if y holds integers; returns whether all of them are finite."""
    _finish(y, planes.transpose(1, 2, 0))
    return bool(np.isfinite(planes).all())
