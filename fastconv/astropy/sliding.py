"""`convolve`: sums over windows, with holes filled by the mean of what is around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from astropy.convolution.convolve import convolve as _astropy
from astropy.convolution.core import MAX_NORMALIZATION
from astropy.nddata import support_nddata
from numpy.typing import ArrayLike as Numbers

from ..core.typing import Array
from ..images import normalized
from ..images.correlation import correlate
from .arguments import BOUNDARIES, pixels, warn, weights, window_of

Normalize: TypeAlias = bool | Callable[[Array], complex]

_HOLES_LEFT = (
    "nan_treatment='interpolate', however, NaN values detected post convolution. A contiguous region of NaN values, "
    "larger than the kernel size, are present in the input array. Increase the kernel size to avoid this."
)


@support_nddata(data="array")
def convolve(
    array: Numbers,
    kernel: Numbers,
    boundary: str | None = "fill",
    fill_value: float = 0.0,
    nan_treatment: str = "interpolate",
    normalize_kernel: Normalize = True,
    mask: Array | None = None,
    preserve_nan: bool = False,
    normalization_zero_tol: float = 1e-8,
) -> Array:
    """Convolve an image with a kernel, with holes filled from around them.

    Parameters
    ----------
    array : array (H, W) of real numbers, masked array, Quantity or NDData
        Anything else is astropy's.
    kernel : array (KH, KW) of real numbers or Kernel2D
        Of odd sizes.
    boundary, fill_value, nan_treatment, normalize_kernel, preserve_nan, normalization_zero_tol
        As in `astropy.convolution.convolve`.
    mask : array like ``array``, optional
        What is not zero here is a hole.

    Returns
    -------
    ndarray (H, W), or a Quantity of the unit of ``array``
        float64, or of the float dtype of ``array``; computed in float64, with astropy's results to within rounding.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        As astropy does.
    """
    options = boundary, fill_value, nan_treatment, normalize_kernel, mask, preserve_nan, normalization_zero_tol
    x, w = pixels(array, mask), weights(kernel)
    if x is None or w is None or boundary not in BOUNDARIES or nan_treatment not in ("interpolate", "fill"):
        return _handed_on(array, kernel, *options)
    if not all(k % 2 and (k <= n or boundary is not None) for k, n in zip(w.shape, x.shape, strict=True)):
        return _handed_on(array, kernel, *options)
    gone, total = boundary == "fill" and bool(np.isnan(fill_value)), w.sum()
    interpolate = nan_treatment == "interpolate" and (gone or bool(np.isnan(x.sum())))
    null = total < 1 / MAX_NORMALIZATION or abs(total) <= normalization_zero_tol
    if null and (normalize_kernel or interpolate):
        return _handed_on(array, kernel, *options)
    holes = np.isnan(x) if interpolate or preserve_nan or nan_treatment == "fill" else None
    if holes is not None and nan_treatment == "fill":
        x = np.where(holes, fill_value, x)
    result = _filtered(x, holes if interpolate else None, w, boundary, fill_value, 0.0 if gone else 1.0)
    if normalize_kernel and not interpolate:
        result /= total
    elif interpolate and not normalize_kernel:
        result *= total
    if interpolate and not preserve_nan and np.isnan(result.sum()):
        warn(_HOLES_LEFT)
    if preserve_nan:
        result[holes] = np.nan
    return _like(array, result)


def _handed_on(*args: Any) -> Array:
    found: Array = _astropy(*args)
    return found


def _filtered(
    x: Array, holes: Array | None, w: Array, boundary: str | None, fill_value: float, outside: float
) -> Array:
    """Sums over windows, divided by the weights of what is no hole; zero where a window leaves a borderless image.

    The weights of windows that hold nothing sum to zero; there the image stays as it is.
    """
    inside = boundary is None
    see, turned = window_of(x, w, boundary, fill_value, inside), w[::-1, ::-1]
    how, image = normalized.exact(w, "auto", "float64"), np.require(x, np.float64, ("C", "A"))[:, :, None]
    seen = tuple(slice(k // 2, n - k // 2) if inside else slice(0, n) for n, k in zip(x.shape, w.shape, strict=True))
    if holes is None:
        y = np.empty((*image[seen].shape[:2], 1))
        correlate(image, turned, y, see, how)
    else:
        y, below = normalized.sums(image, ~holes[:, :, None], turned, see, how, None, np.float64, outside)
        with np.errstate(invalid="ignore", divide="ignore"):
            y /= below
        np.copyto(y, image[seen], where=below == 0)
    if not inside:
        return y[:, :, 0]
    result = np.zeros(x.shape)
    result[seen] = y[:, :, 0]
    return result


def _like(array: Any, result: Array) -> Array:
    """With the unit of ``array``, and in its dtype if that is of floats."""
    unit, dtype = getattr(array, "unit", None), getattr(array, "dtype", result.dtype)
    if unit is not None:
        result = result << unit
    return result.astype(dtype, copy=False) if dtype.kind == "f" else result
