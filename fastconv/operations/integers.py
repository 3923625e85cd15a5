"""Integers and booleans through the loops of floats, exactly: only their order matters to the largest of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arrays import check_out
from ..core.typing import Array

_EXACT = 2**53  # up to here every integer is a float64


def ordered(x: Array) -> tuple[Array, Array | None]:
    """Floats in the order of ``x``, lying as it does; and, if they are no numbers but places, the numbers there."""
    if x.itemsize <= 2:
        return x.astype(np.float32), None
    if x.itemsize < 8 or not x.size or (x.min() >= -_EXACT and x.max() <= _EXACT):
        return x.astype(np.float64), None
    numbers, places = np.unique(x, return_inverse=True)
    floats: Array = np.empty_like(x, np.float64)
    floats[...] = places.reshape(x.shape)
    return floats, numbers


def restored(y: Array, dtype: Any, numbers: Array | None, out: Array | None) -> Array:
    """The integers that floats of `ordered` stand for, in ``out`` if it is given; the least for minus infinity."""
    none = np.isneginf(y)
    if none.any():
        y = np.where(none, 0, y)
    found: Array = (y if numbers is None else numbers[y.astype(np.intp)]).astype(dtype.newbyteorder("="))
    if none.any():
        found[none] = np.iinfo(dtype).min if dtype.kind in "ui" else False
    if out is None:
        return found
    check_out(out, found.shape, found.dtype.name)
    out[...] = found
    return out
