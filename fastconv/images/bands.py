"""Large images that the steps cannot read or write as they lie: bands of rows are converted, never the whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.typing import Array
from .correlation import correlate
from .filtering import Window

BAND_BYTES = 1 << 25  # of a band; images that are smaller are converted at once


def plain(a: Array, dtype: Any) -> bool:
    """Whether the steps read and write an array of ``dtype`` as it lies."""
    return a.dtype == dtype and a.flags.c_contiguous and a.flags.aligned


def correlate_at_once(image: Array, kernel: Array, out: Array, see: Window, how: str, engine: Any, dtype: Any) -> None:
    """`correlate`, computed in ``dtype``, of an ``image`` (H, W, ...) into a `plain` ``out`` as wide."""
    x = np.require(image, dtype, ("C", "A"))
    width, channels = x.shape[1], x.size // (x.shape[0] * x.shape[1])
    correlate(x.reshape(-1, width, channels), kernel, out.reshape(-1, width, channels), see, how, engine)


def correlate_in_bands(image: Array, kernel: Array, out: Array, see: Window, how: str, engine: Any, dtype: Any) -> None:
    """The same for any ``out`` that does not overlap the image.

    Borders are part of the window's tables, so every band finds the rows that it sees, wherever they are.
    """
    row = image.nbytes // image.itemsize // len(image) * np.dtype(dtype).itemsize
    band = max(len(kernel), BAND_BYTES // row)
    for i in range(0, len(image), band):
        part = out[i : i + band]
        table = see.rows[i : i + len(part) + len(kernel) - 1]
        needed, places = np.unique(table[table >= 0], return_inverse=True)
        rows = np.full(len(table), -1, np.intp)
        rows[table >= 0] = places
        y = part if plain(part, dtype) else np.empty(part.shape, dtype)
        correlate_at_once(image[needed], kernel, y, see._replace(rows=rows), how, engine, dtype)
        if y is not part:
            part[...] = y
