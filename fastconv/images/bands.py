"""What `filter2d` does with an image: all of it at once, or band by band.

Large images that the steps cannot read or write as they lie are converted a band of rows at a time, never the whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..core.typing import Array
from . import filtering, normalized
from .correlation import correlate
from .filtering import Window

BAND_BYTES = 1 << 25  # of a band; images that are smaller are converted at once


class Filter(NamedTuple):
    """A kernel, and what is done besides."""

    kernel: Array
    how: str
    engine: str | None
    delta: float
    ignore_nan: bool
    weights: Array | None  # of the pixels, (H, W, C) or (H, W, 1)
    holes: Array | None  # pixels that are missing, in the image's shape

    def fill(self, x: Array, y: Array, see: Window) -> None:
        """An image (H, W, C) into ``y`` (OH, OW, C), both such as steps read and write."""
        if self.ignore_nan or self.weights is not None:
            there = normalized.presence(x, self.weights, self.ignore_nan, self.holes)
            kernel = self.kernel.astype(np.float64)
            sums = normalized.means(x, there, kernel, see, self.how, self.engine, y.dtype, self.ignore_nan)
        elif self.delta or x.itemsize == 8 != y.itemsize:  # the steps round sums of float32 only
            sums = np.empty(y.shape, np.result_type(x.dtype, y.dtype, np.float32))
            correlate(x, self.kernel, sums, see, self.how, self.engine)
        else:
            correlate(x, self.kernel, y, see, self.how, self.engine)
            return
        if self.delta:
            sums += self.delta
        _round(sums, y)

    def seen(self, rows: Array) -> Filter:
        """The same for these rows of the image."""
        weights, holes = (None if a is None else a[rows] for a in (self.weights, self.holes))
        return self._replace(weights=weights, holes=holes)


def needed(image: Array, read: Any, out: Array | None, compute: Any) -> bool:
    """Whether an image that is read as one dtype and written as another is converted in bands."""
    if image.size * read.itemsize <= BAND_BYTES:
        return False
    return not _plain(image, read) or (isinstance(out, np.ndarray) and not _plain(out, compute))


def _plain(a: Array, dtype: Any) -> bool:
    """Whether the steps read and write an array of ``dtype`` as it lies."""
    return a.dtype == dtype and a.flags.c_contiguous and a.flags.aligned


def at_once(job: Filter, image: Array, read: Any, out: Array, compute: Any, see: Window) -> None:
    """Fill ``out`` (H, W, ...), C-contiguous and of the dtype ``compute``, from an image that is read as ``read``."""
    x = filtering.readable(image, read)
    x, y = (x, out) if x.ndim == 3 else (x[:, :, None], out[:, :, None])
    job.fill(x, y, see)


def in_bands(job: Filter, image: Array, read: Any, out: Array, compute: Any, see: Window) -> None:
    """The same for any ``out`` that does not overlap the image.

    Borders are part of the window's tables, so every band finds the rows that it sees, wherever they are.
    """
    kh = len(see.rows) - len(image) + 1
    row = image.size // len(image) * max(read.itemsize, compute.itemsize)
    band = max(kh, BAND_BYTES // row)
    for i in range(0, len(image), band):
        part = out[i : i + band]
        table = see.rows[i : i + len(part) + kh - 1]
        shown, places = np.unique(table[table >= 0], return_inverse=True)
        rows = np.full(len(table), -1, np.intp)
        rows[table >= 0] = places
        y = part if _plain(part, compute) else np.empty(part.shape, compute)
        at_once(
            job.seen(shown),
            image[shown],
            read,
            y,
            compute,
            replace(see, image=(len(shown), see.image[1]), rows=rows, inside_rows=(0, 0), zeros=None, kept=False),
        )
        if y is not part:
            part[...] = y


def _round(sums: Array, y: Array) -> None:
    """Fill ``y`` with sums, to the nearest integers and saturated if it holds such. Changes ``sums``."""
    if y.dtype.kind in "iu":
        limits = np.iinfo(y.dtype)
        np.clip(np.rint(sums, out=sums), limits.min, limits.max, out=sums)
    y[...] = sums
