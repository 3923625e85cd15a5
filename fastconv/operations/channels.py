"""Pooling of channels-last arrays (N, H, W, C), C-contiguous and of the dtype computed in: calls of the engine's loops.

They need no scratch memory. `Windows.by_channels` says which windows they are for.
"""

from __future__ import annotations

import numpy as np

from ..core.typing import Array
from .planes import engine
from .windows import Windows


def max_pool(x: Array, y: Array, geo: Windows) -> None:
    """Fill ``y`` (N, OH, OW, C) with the largest of each window, NaN where one holds a NaN."""
    steps, threads = engine(x)
    steps.max_pool_last(x, y, geo.record, threads)


def max_pool_indices(x: Array, y: Array, index: Array, geo: Windows) -> None:
    """The same, and where in its plane each was found: the first of equals, the last of NaNs, -1 without a pixel."""
    steps, threads = engine(x)
    steps.max_pool_last_indices(x, y, index, geo.offsets, geo.record, threads)


def max_pool_backward(x: Array, dy: Array, dx: Array, geo: Windows) -> None:
    """Fill ``dx`` (N, H, W, C) with each ``dy`` at the pixel that was the largest."""
    steps, threads = engine(dx)
    steps.max_pool_last_backward(x, dy, dx, geo.offsets, geo.record, threads)


def max_pool_scatter(index: Array, dy: Array, dx: Array, geo: Windows) -> bool:
    """Fill ``dx`` with each ``dy`` at its index; False if one does not lie in the rows of its window."""
    steps, threads = engine(dx)
    bad = np.zeros(threads, np.intp)
    steps.max_pool_last_scatter(dy, index, dx, bad, geo.record, threads)
    return not bad.any()


def avg_pool(x: Array, y: Array, counts: tuple[Array, Array], geo: Windows) -> None:
    """Fill ``y`` with the sum of each window (i, j) divided by counts[0][i] * counts[1][j]."""
    steps, threads = engine(x)
    steps.avg_pool_last(x, y, *counts, geo.record, threads)


def avg_pool_backward(dy: Array, dx: Array, counts: tuple[Array, Array], geo: Windows) -> None:
    """Fill ``dx`` with the sum over the windows of each pixel of dy[i, j] / (counts[0][i] * counts[1][j])."""
    steps, threads = engine(dx)
    steps.avg_pool_last_backward(dy, dx, *counts, geo.record, threads)
