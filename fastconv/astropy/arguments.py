"""Arguments of astropy.convolution as plain arrays, None where astropy must look at them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from astropy.convolution import Kernel
from astropy.utils.exceptions import AstropyUserWarning

from ..core.typing import Array
from ..images import filtering

#: astropy's names of borders: their names in `core.borders`
BOUNDARIES = {None: "zeros", "fill": "zeros", "wrap": "circular", "extend": "replicate"}


def pixels(array: Any, mask: Any) -> Array | None:
    """An image (H, W) in float64, NaN where it is masked; it may be the caller's own array."""
    if isinstance(array, Kernel) or not (mask is None or type(mask) is np.ndarray):
        return None
    value = _plain(array)
    if value is None or (mask is not None and mask.shape != value.shape):
        return None
    x: Array = np.asarray(value, np.float64)
    for holes in (np.ma.getmaskarray(value) if np.ma.is_masked(value) else None, mask):
        if holes is not None:
            x = np.where(holes != 0, np.nan, x)
    return x


def weights(kernel: Any) -> Array | None:
    """A kernel (KH, KW) in float64, without masked elements."""
    value = _plain(kernel.array if isinstance(kernel, Kernel) else kernel)
    return None if value is None or np.ma.is_masked(value) else np.asarray(value, np.float64)


def _plain(array: Any) -> Any:
    """Real numbers with two axes, maybe masked, without their unit."""
    try:
        value = np.asanyarray(array.value if hasattr(array, "unit") else array)
    except (TypeError, ValueError, AttributeError):
        return None
    return value if value.ndim == 2 and value.size and value.dtype.kind in "buif" else None


def window_of(
    x: Array, kernel: Array, boundary: str | None, fill_value: float, inside: bool = False
) -> filtering.Window:
    """What a kernel that is turned around sees; only the image itself if `inside`."""
    (h, w), (kh, kw), name = x.shape, kernel.shape, BOUNDARIES[boundary]
    first, count = ((0, 0), (h, w)) if inside else ((-((kh - 1) // 2), -((kw - 1) // 2)), (h + kh - 1, w + kw - 1))
    return filtering.window(x.shape, first, count, (name, name), fill_value)


def warn(text: str) -> None:
    """As astropy's, in the file of the caller: of `convolve`, its decorator and the function itself."""
    warnings.warn(text, AstropyUserWarning, stacklevel=4)
