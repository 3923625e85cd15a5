"""Image filters: a bordered row of the image at a time, added tap by tap to a row of results.

The steps of the Cython engine under the same names, simpler: whole rows, no blocks. Images of other dtypes than
the one computed in are converted as a whole. Where scipy.ndimage is matched number by number, nothing is fused.
Shapes: x (H, W, C), y (OH, OW, C); rows and cols are the tables of borders.
"""

import numpy as np
from numba import prange

from .ground import vector as v
from .ground.launch import step

# ---- one row ----


@v.inline
def _row(x, lines, to, rows, cols, i, cval):
    """Bordered row i, to number `to` of lines."""
    W, C = x.shape[1], x.shape[2]
    r = v.at(rows, i)
    for q in range(cols.shape[0]):
        at = v.at(cols, q)
        for c in range(C):
            v.put(lines, to + q * C + c, v.at(x, (r * W + at) * C + c) if r >= 0 and at >= 0 else x.dtype.type(cval))


@step("y", "lines", fused=False)
def _direct(x, w, y, rows, cols, lines, cval, kh, kw, share, shares):
    OH, n, C = y.shape[0], y.shape[1] * y.shape[2], y.shape[2]
    for s in prange(shares):
        line = s * share
        for i in range(OH * s // shares, OH * (s + 1) // shares):
            for j in range(n):
                v.put(y, i * n + j, x.dtype.type(0))
            for a in range(kh):
                _row(x, lines, line, rows, cols, i + a, cval)
                for b in range(kw):
                    tap = v.at(w, b * kh + kh - 1 - a)
                    for j in range(n):
                        v.put(y, i * n + j, v.at(y, i * n + j) + tap * v.at(lines, line + j + b * C))


@step("y", "lines")
def _separable(x, column, row, y, rows, cols, lines, cval, share, shares):
    """lines: for each share a bordered row and its column sums."""
    OH, n, C, kh, kw = y.shape[0], y.shape[1] * y.shape[2], y.shape[2], column.shape[0], row.shape[0]
    width = share // 2
    for s in prange(shares):
        line, sums = s * share, s * share + width
        for i in range(OH * s // shares, OH * (s + 1) // shares):
            for j in range(width):
                v.put(lines, sums + j, x.dtype.type(0))
            for a in range(kh):
                _row(x, lines, line, rows, cols, i + a, cval)
                tap = v.at(column, kh - 1 - a)
                for j in range(width):
                    v.put(lines, sums + j, v.at(lines, sums + j) + tap * v.at(lines, line + j))
            for j in range(n):
                v.put(y, i * n + j, x.dtype.type(0))
            for b in range(kw):
                tap = v.at(row, b)
                for j in range(n):
                    v.put(y, i * n + j, v.at(y, i * n + j) + tap * v.at(lines, sums + j + b * C))


@step("y", "lines", fused=False)
def _line(x, w, y, rows, cols, lines, cval, sign, share, shares):
    """lines: for each share the bordered rows of all taps; along a row they are one row, shifted."""
    OH, n, C, taps = y.shape[0], y.shape[1] * y.shape[2], y.shape[2], w.shape[0]
    width = cols.shape[0] * C
    down = rows.shape[0] > OH
    first = taps // 2 if sign != 0 else taps - 1
    for s in prange(shares):
        line = s * share
        start, end = OH * s // shares, OH * (s + 1) // shares
        for i in range(start, end):
            if down:  # the ring of rows: all of them at first, then one more a row
                for a in range(0 if i == start else taps - 1, taps):
                    ring = (i + a) % taps
                    _row(x, lines, line + ring * width, rows, cols, i + a, cval)
            else:
                _row(x, lines, line, rows, cols, i, cval)
            at = line + ((i + first) % taps * width if down else first * C)
            for j in range(n):
                v.put(y, i * n + j, v.at(w, first) * v.at(lines, at + j))
            for k in range(first):
                p = line + ((i + k) % taps * width if down else k * C)
                q = line + ((i + taps - 1 - k) % taps * width if down else (taps - 1 - k) * C)
                tap = v.at(w, k)
                if sign > 0:
                    for j in range(n):
                        v.put(y, i * n + j, v.at(y, i * n + j) + tap * (v.at(lines, p + j) + v.at(lines, q + j)))
                elif sign < 0:
                    for j in range(n):
                        v.put(y, i * n + j, v.at(y, i * n + j) + tap * (v.at(lines, p + j) - v.at(lines, q + j)))
                else:
                    for j in range(n):
                        v.put(y, i * n + j, v.at(y, i * n + j) + tap * v.at(lines, p + j))


@step("y")
def _running(x, y, rows, cols, cval, shares):
    """Each line by itself: columns, or rows and channels."""
    (OH, OW, C), size = y.shape, max(rows.shape[0] - y.shape[0], cols.shape[0] - y.shape[1]) + 1
    down = rows.shape[0] > OH
    length, count = (OH, OW * C) if down else (OW, OH * C)
    for s in prange(shares):
        for k in range(count * s // shares, count * (s + 1) // shares):
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
def _pixel(x, r, q, c, cval):
    return float(v.at(x, (r * x.shape[1] + q) * x.shape[2] + c)) if r >= 0 and q >= 0 else cval


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


def filter_direct(x, w, y, rows, cols, in0, in1, cval, fold, strip, band, pitch, work, share, threads):
    """y[i, j, c] = sum over a, b of w[b, kh - 1 - a] x[rows[i + a], cols[j + b], c]; fold: w is the left half."""
    kh, kw = w.shape[1], len(cols) - y.shape[1] + 1
    if fold:
        w = w.copy()
        w[-1] *= 1 + kw % 2
        w = np.concatenate([w, fold * w[: kw // 2][::-1]])
    out, lines = _results(y, w.dtype), np.empty((threads, len(cols) * y.shape[2]), w.dtype)
    _direct(
        x.astype(w.dtype, copy=False),
        w,
        out,
        rows,
        cols,
        lines.ravel(),
        float(cval),
        kh,
        kw,
        lines.shape[1],
        threads,
        threads,
    )
    _finish(y, out)


def filter_separable(x, column, row, y, rows, cols, in0, in1, cval, strip, band, pitch, work, share, threads):
    """y[i, j, c] = sum over b of row[b] sum over a of column[kh - 1 - a] x[rows[i + a], cols[j + b], c]."""
    out, lines = _results(y, row.dtype), np.empty((threads, 2 * len(cols) * y.shape[2]), row.dtype)
    _separable(
        x.astype(row.dtype, copy=False),
        column,
        row,
        out,
        rows,
        cols,
        lines.ravel(),
        float(cval),
        lines.shape[1],
        threads,
        threads,
    )
    _finish(y, out)


def filter_line(x, w, y, rows, cols, in0, in1, cval, sign, strip, band, pitch, work, share, threads):
    """y[i, j, c] = sum over k of w[k] x[rows[i + k], cols[j], c], or of w[k] x[rows[i], cols[j + k], c]."""
    ring = len(w) if len(rows) > y.shape[0] else 1
    out, lines = _results(y, w.dtype), np.empty((threads, ring * len(cols) * y.shape[2]), w.dtype)
    _line(
        x.astype(w.dtype, copy=False),
        w,
        out,
        rows,
        cols,
        lines.ravel(),
        float(cval),
        sign,
        lines.shape[1],
        threads,
        threads,
    )
    _finish(y, out)


def filter_running(x, y, rows, cols, in0, in1, cval, strip, pitch, work, share, threads):
    """Running means of y OUT along the axis whose table is longer; each sum is the last one plus (new - old)."""
    out = _results(y, work.dtype)
    _running(x.astype(work.dtype, copy=False), out, rows, cols, float(cval), threads, threads)
    _finish(y, out)


def filter_split(x, planes, rows, cols, in0, in1, cval, work, share, threads):
    """planes[c, i, j] = x[rows[i], cols[j], c]; planes OUT."""
    for q in (*range(in0), *range(in1, len(cols))):
        planes[:, :, q] = x[rows, cols[q]].T if cols[q] >= 0 else cval
    if in1 > in0:
        planes[:, :, in0:in1] = x[rows, cols[in0] : cols[in0] + in1 - in0].transpose(2, 0, 1)
    planes[:, rows < 0] = cval


def filter_join(planes, y, work, share, threads):
    """y[i, j, c] OUT = planes[c, i, j], rounded if y holds integers; returns whether all of them are finite."""
    _finish(y, planes.transpose(1, 2, 0))
    return bool(np.isfinite(planes).all())
