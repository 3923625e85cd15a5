"""Pooling of planes (planes, H, W), C-contiguous and of the dtype computed in: calls of the engine's loops.

The loops buffer whole rows. Long rows are cut into strips of columns, so that scratch memory stays bounded; and of
wide windows the columns are merged first, by NumPy, so that only their rows are left to the loops.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ..core import workspace
from ..core.threads import get_num_threads
from ..core.typing import Array
from ..engines.loader import first as _steps
from .windows import VECTOR, Axis, Windows

if TYPE_CHECKING:
    from ..engines.kernels import Kernels

_LAUNCH = 1 << 15  # pixels below which threads are not worth their start
_AT_ONCE = 1 << 20  # numbers of windows that are reduced in one go


def max_pool(x: Array, y: Array, geo: Windows) -> None:
    """Fill ``y`` (planes, OH, OW) with the largest of each window, NaN where one holds a NaN."""
    if geo.wide:
        max_pool(_merged(x, geo.cols, largest=True), y, _rows_only(geo))
    elif geo.long:
        for strip, pixels, outputs in _strips(geo):
            max_pool(np.ascontiguousarray(x[:, :, pixels]), part := _empty(y, strip), strip)
            y[:, :, outputs] = part
    else:
        threads = _threads(x)
        with _scratch(x, geo, threads) as work:
            _steps(_dtype(x)).max_pool(x, y, geo.taps, work, geo.record, threads)


def max_pool_indices(x: Array, y: Array, index: Array, geo: Windows) -> None:
    """The same, and where in its plane each was found: the first of equals, the last of NaNs, -1 without a pixel."""
    width = geo.cols.size
    if geo.wide:
        top, column = _merged_indices(x, geo.cols)
        max_pool_indices(top, y, index, _rows_only(geo))
        p, row, j = np.arange(len(x))[:, None, None], index // geo.cols.n, np.arange(geo.cols.n)
        found = column[p, row, j]  # of row -1 any: there is no pixel
        index[...] = np.where((index < 0) | (found < 0), -1, row * width + found)
    elif geo.long:
        for strip, pixels, outputs in _strips(geo):
            part, places = _empty(y, strip), _empty(index, strip)
            max_pool_indices(np.ascontiguousarray(x[:, :, pixels]), part, places, strip)
            row, column = np.divmod(places, strip.cols.size)
            y[:, :, outputs] = part
            index[:, :, outputs] = np.where(places < 0, -1, row * width + column + pixels.start)
    else:
        threads = _threads(x)
        with _scratch(x, geo, threads) as work:
            args = geo.taps, geo.offsets, work, geo.record, threads
            _steps(_dtype(x)).max_pool_indices(x, y, index, *args)


def max_pool_backward(x: Array, dy: Array, dx: Array, geo: Windows) -> None:
    """Fill ``dx`` (planes, H, W) with each ``dy`` at the pixel that was the largest."""
    if geo.wide or geo.long:
        index = np.empty(dy.shape, np.int64)
        max_pool_indices(x, np.empty_like(dy), index, geo)
        max_pool_scatter(index, dy, dx, geo)
        return
    threads = _threads(dx)
    with _scratch(dx, geo, threads) as work:
        args = geo.taps, geo.offsets, work, geo.record, threads
        _steps(_dtype(dx)).max_pool_backward(x, dy, dx, *args)


def max_pool_scatter(index: Array, dy: Array, dx: Array, geo: Windows) -> bool:
    """Fill ``dx`` with each ``dy`` at its index; False if one does not lie in the rows of its window."""
    cols = _plain(geo.cols.size)  # no column of a window matters here
    geo = Windows(geo.rows, cols)
    threads = _threads(dx)
    bad = np.zeros(threads, np.intp)
    _steps(_dtype(dx)).max_pool_scatter(dy, index, dx, bad, geo.record, threads)
    return not bad.any()


def avg_pool(x: Array, y: Array, counts: tuple[Array, Array], geo: Windows) -> None:
    """Fill ``y`` with the sum of each window (i, j) divided by counts[0][i] * counts[1][j]."""
    if geo.wide:
        avg_pool(_merged(x, geo.cols, largest=False), y, counts, _rows_only(geo))
    elif geo.long:
        for strip, pixels, outputs in _strips(geo):
            part = _empty(y, strip)
            avg_pool(np.ascontiguousarray(x[:, :, pixels]), part, _counts_of(counts, outputs), strip)
            y[:, :, outputs] = part
    else:
        threads = _threads(x)
        with _scratch(x, geo, threads) as work:
            _steps(_dtype(x)).avg_pool(x, y, *counts, geo.taps, work, geo.record, threads)


def avg_pool_backward(dy: Array, dx: Array, counts: tuple[Array, Array], geo: Windows) -> None:
    """Fill ``dx`` with the sum over the windows of each pixel of dy[i, j] / (counts[0][i] * counts[1][j])."""
    if geo.wide:
        merged = np.empty((*dx.shape[:2], geo.cols.n), dx.dtype)
        avg_pool_backward(dy, merged, counts, _rows_only(geo))
        dx[...] = 0
        for first, windows, _ in _runs(dx, geo.cols, apart=True):
            windows += merged[:, :, first : first + windows.shape[2], None]
    elif geo.long:
        dx[...] = 0
        for strip, pixels, outputs in _strips(geo):
            part = np.empty((*dx.shape[:2], strip.cols.size), dx.dtype)
            avg_pool_backward(np.ascontiguousarray(dy[:, :, outputs]), part, _counts_of(counts, outputs), strip)
            dx[:, :, pixels] += part
    else:
        threads = _threads(dx)
        with _scratch(dx, geo, threads) as work:
            _steps(_dtype(dx)).avg_pool_backward(dy, dx, *counts, work, geo.record, threads)


# ---- long rows ----


def _strips(geo: Windows) -> Iterator[tuple[Windows, slice, slice]]:
    """Windows on a strip of columns, the strip's pixels, and its outputs."""
    c = geo.cols
    most = (c.most - c.span) // c.stride + 1
    for first in range(0, c.n, most):
        n = min(most, c.n - first)
        start = first * c.stride - c.before
        stop = start + (n - 1) * c.stride + c.span
        low, high = max(start, 0), min(stop, c.size)
        cols = c._replace(size=high - low, before=low - start, after=stop - high, n=n)
        yield Windows(geo.rows, cols), slice(low, high), slice(first, first + n)


def _counts_of(counts: tuple[Array, Array], outputs: slice) -> tuple[Array, Array]:
    """Those of a strip: a vector of divisors follows them, as the loops want it."""
    return counts[0], counts[1][outputs.start : outputs.stop + VECTOR]


def _empty(like: Array, strip: Windows) -> Array:
    return np.empty((len(like), *strip.out), like.dtype)


# ---- wide windows ----


def _runs(x: Array, c: Axis, apart: bool = False) -> Iterator[tuple[int, Array, Array]]:
    """Windows along the rows of ``x``: number of the first, views (planes, H, windows, taps), their first columns.

    Those that the image cuts come one by one, the others together as far as `_AT_ONCE` allows, or, with ``apart``,
    as long as none shares a pixel with another.
    """
    whole = range(-(-c.before // c.stride), (c.size + c.before - c.span) // c.stride + 1)
    most = max(1, _AT_ONCE // max(1, len(x) * x.shape[1] * c.k)) if not apart or c.stride >= c.span else 1
    j = 0
    while j < c.n:
        start, n, low, high = j * c.stride - c.before, 1, 0, c.k
        if j in whole:
            n = min(most, c.n - j, whole.stop - j)
        else:
            low, high = max(0, -(start // c.dilation)), min(c.k, (c.size - 1 - start) // c.dilation + 1)
        at = start + low * c.dilation
        if low < high:
            step = x.strides[2]
            shape, strides = (*x.shape[:2], n, high - low), (*x.strides[:2], c.stride * step, c.dilation * step)
            yield j, np.lib.stride_tricks.as_strided(x[:, :, at:], shape, strides), at + np.arange(n) * c.stride
        j += n


def _merged(x: Array, cols: Axis, largest: bool) -> Array:
    """(planes, H, OW): the largest, or the sum, of the columns of each window."""
    out = np.full((*x.shape[:2], cols.n), -np.inf if largest else 0, x.dtype)
    for j, windows, _ in _runs(x, cols):
        (np.maximum if largest else np.add).reduce(windows, axis=3, out=out[:, :, j : j + windows.shape[2]])
    return out


def _merged_indices(x: Array, cols: Axis) -> tuple[Array, Array]:
    """The largest of the columns of each window, and its column, -1 if there is none."""
    out = np.full((*x.shape[:2], cols.n), -np.inf, x.dtype)
    column = np.full(out.shape, -1, np.int64)
    for j, windows, starts in _runs(x, cols):
        windows = np.ascontiguousarray(windows)
        at = windows.argmax(axis=3)
        top = np.take_along_axis(windows, at[..., None], axis=3)[..., 0]
        none = np.isnan(top)
        if none.any():  # of NaNs the last
            at[none] = windows.shape[3] - 1 - np.isnan(windows[none][:, ::-1]).argmax(axis=1)
        out[:, :, j : j + len(starts)], column[:, :, j : j + len(starts)] = top, starts + at * cols.dilation
    return out, column


def _rows_only(geo: Windows) -> Windows:
    """The windows' rows over columns that are merged."""
    return Windows(geo.rows, _plain(geo.cols.n))


def _plain(size: int) -> Axis:
    return Axis(size, 1, 1, 0, 0, 1, size)


# ---- the loops' needs ----


def engine(a: Array) -> tuple[Kernels, int]:
    """The loops for an array, and the threads that it is worth."""
    return _steps(_dtype(a)), _threads(a)


def _threads(a: Array) -> int:
    return get_num_threads() if a.size >= _LAUNCH else 1


def _dtype(a: Array) -> str:
    return "float64" if a.itemsize == 8 else "float32"


@contextmanager
def _scratch(a: Array, geo: Windows, threads: int) -> Iterator[Array]:
    dtype = _dtype(a)
    array = workspace.borrow(dtype, a.itemsize * geo.per_thread * threads)
    try:
        yield array
    finally:
        workspace.give_back(dtype, array)
