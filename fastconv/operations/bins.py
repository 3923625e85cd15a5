"""Bins of adaptive pooling, PyTorch's, along an axis.

They start at ``i * size // n`` and end before ``ceil((i + 1) * size / n)``: they may overlap, and their lengths differ
by one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..core.typing import Array


class Bins(NamedTuple):
    """Bins of an axis: each of ``k`` pixels, one behind the other."""

    k: int
    pixels: Array  # where each lies in the image, (n * k,)
    twice: Array  # those that are there for a second time, positions in `pixels`
    lengths: Array  # of the bins in the image, (n,)
    windows: bool  # whether every pixel is in one bin, and all are of one length


@lru_cache(256)
def bins_of(size: int, n: int) -> Bins:
    i = np.arange(n)
    first, end = i * size // n, -((i + 1) * size // -n)
    k = int((end - first).max())
    at = first[:, None] + np.arange(k)
    twice = np.flatnonzero(at >= end[:, None])
    return Bins(k, np.minimum(at, end[:, None] - 1).ravel(), twice, end - first, not twice.size and n * k == size)


def folded(ufunc: np.ufunc, a: Array, bins: Bins, axis: int) -> Array:
    """The sum, or the largest, of every bin along an axis, read where it lies."""
    first, lengths = bins.pixels[:: bins.k], bins.lengths
    ahead: tuple[Any, ...] = (slice(None),) * axis
    if bins.k < first.size:  # the k-th pixel of all bins
        found: Array = a.take(first, axis)
        for k in range(1, bins.k):
            longer = np.flatnonzero(lengths > k)
            at = (*ahead, longer if longer.size < first.size else slice(None))
            found[at] = ufunc(found[at], a.take(first[longer] + k, axis))
        return found
    found = np.empty((*a.shape[:axis], first.size, *a.shape[axis + 1 :]), a.dtype)
    for i, (start, n) in enumerate(zip(first.tolist(), lengths.tolist(), strict=True)):
        ufunc.reduce(a[(*ahead, slice(start, start + n))], axis, out=found[(*ahead, i)])
    return found


def shared(dy: Array, size: int, axis: int) -> Array:
    """Along an axis of ``dy``, of bins, the sum over the bins of each of ``size`` pixels."""
    if dy.shape[axis] == 1:
        return np.broadcast_to(dy, (*dy.shape[:axis], size, *dy.shape[axis + 1 :]))
    bins = bins_of(size, dy.shape[axis])
    first, at = np.delete(bins.pixels, bins.twice), np.delete(np.arange(bins.pixels.size) // bins.k, bins.twice)
    order = np.argsort(first, kind="stable")
    pixel, at = first[order], at[order]
    turn = np.arange(pixel.size) - np.searchsorted(pixel, pixel)  # of the bins of a pixel
    dx: Array = dy.take(at[turn == 0], axis)
    for k in range(1, int(turn.max()) + 1):
        dx[(*[slice(None)] * axis, pixel[turn == k])] += dy.take(at[turn == k], axis)
    return dx
