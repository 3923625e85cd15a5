"""`convolve_fft`: astropy's transforms in effect; what computes them depends on the kernel's size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from astropy.convolution.convolve import convolve_fft as _astropy
from astropy.convolution.core import MAX_NORMALIZATION
from astropy.nddata import support_nddata
from numpy.typing import ArrayLike as Numbers
from numpy.typing import DTypeLike

from ..core.typing import Array
from ..images import normalized
from ..images.correlation import correlate
from .arguments import pixels, warn, weights, window_of
from .sliding import Normalize

Transform: TypeAlias = Callable[[Array], Array]

_NO_BOUNDARY = (
    "The convolve_fft version of boundary=None is equivalent to the convolve boundary='fill'.  There is no FFT "
    "equivalent to convolve's zero-if-kernel-leaves-boundary"
)
#: bytes of astropy's complex arrays from which on ``allow_huge`` matters, with room for its padding
_HUGE = 0.5e9
_NOTHING = 10 * np.finfo(np.float64).eps  # a smaller weight is none


@support_nddata(data="array")
def convolve_fft(
    array: Numbers,
    kernel: Numbers,
    boundary: str | None = "fill",
    fill_value: float = 0.0,
    nan_treatment: str = "interpolate",
    normalize_kernel: Normalize = True,
    normalization_zero_tol: float = 1e-8,
    preserve_nan: bool = False,
    mask: Array | None = None,
    crop: bool = True,
    return_fft: bool = False,
    fft_pad: bool | None = None,
    psf_pad: bool | None = None,
    min_wt: float = 0.0,
    allow_huge: bool = False,
    fftn: Transform = np.fft.fftn,
    ifftn: Transform = np.fft.ifftn,
    complex_dtype: DTypeLike = complex,
    dealias: bool = False,
) -> Array:
    """Convolve an image with a kernel of any size, with holes filled from around them.

    Parameters
    ----------
    array : array (H, W) of real numbers, masked array, Quantity or NDData
        Anything else is astropy's.
    kernel : array (KH, KW) of real numbers or Kernel2D
    boundary, fill_value, nan_treatment, normalize_kernel, normalization_zero_tol, preserve_nan, min_wt
        As in `astropy.convolution.convolve_fft`; pixels that are not finite are holes.
    mask : array like ``array``, optional
        What is not zero here is a hole.
    fft_pad, dealias, allow_huge
        As astropy's, where they change a result or an error; nothing else is padded here.
    crop, return_fft, psf_pad, fftn, ifftn, complex_dtype
        Other than the defaults they are astropy's.

    Returns
    -------
    ndarray (H, W), float64, or a Quantity of the unit of ``array``
        astropy's results to within the rounding of its transforms.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        As astropy does.
    """
    x, w = pixels(array, mask), weights(kernel)
    ours = (
        crop and not return_fft and psf_pad is not False and fftn is np.fft.fftn and ifftn is np.fft.ifftn
        and complex_dtype in (complex, np.complex128) and nan_treatment in ("interpolate", "fill")
    )  # fmt: skip
    if not ours or x is None or w is None or not _fits(x, w, boundary, bool(fft_pad or psf_pad or dealias), allow_huge):
        scale = None
    else:
        w = np.where(np.isfinite(w), w, 0)
        scale = _scale(w, normalize_kernel, normalization_zero_tol, nan_treatment)
    if scale is None or (nan_treatment == "fill" and not np.isfinite(fill_value)):
        found: Array = _astropy(
            array, kernel, boundary, fill_value, nan_treatment, normalize_kernel, normalization_zero_tol, preserve_nan,
            mask, crop, return_fft, fft_pad, psf_pad, min_wt, allow_huge, fftn, ifftn, complex_dtype, dealias,
        )  # fmt: skip
        return found
    assert x is not None and w is not None
    if boundary is None:
        warn(_NO_BOUNDARY)
    holes = ~np.isfinite(x)
    result = _filtered(x, holes, w / scale, boundary, fill_value, nan_treatment == "interpolate", min_wt)
    if normalize_kernel is not True:
        result *= scale
    if preserve_nan:
        result[holes] = np.nan
    unit = getattr(array, "unit", None)
    return result if unit is None else result << unit


def _fits(x: Array, w: Array, boundary: str | None, padded: bool, allow_huge: bool) -> bool:
    """Whether these borders and sizes are computed here."""
    if boundary == "wrap":
        known = not padded and w.shape[0] <= x.shape[0] and w.shape[1] <= x.shape[1]
    else:
        known = boundary in (None, "fill")
    across = [a + b for a, b in zip(x.shape, w.shape, strict=True)]
    return known and (allow_huge or across[0] * across[1] * 16 < _HUGE)


def _scale(w: Array, normalize: Any, tolerance: float, treatment: str) -> Any:
    """What the kernel is divided by; None where astropy must do it, or refuse."""
    total = w.sum()
    if normalize is True:
        return None if total < 1 / MAX_NORMALIZATION else total
    if normalize:
        scale = np.asarray(normalize(w.astype(complex)))
        real = scale.ndim == 0 and scale.dtype.kind in "iufc" and np.isfinite(scale) and scale.imag == 0
        return float(scale.real) if real and scale != 0 else None
    if abs(total) < tolerance:
        return None if treatment == "interpolate" else 1.0
    return total


def _filtered(
    x: Array, holes: Array, w: Array, boundary: str | None, fill_value: float, interpolate: bool, min_wt: float
) -> Array:
    """Sums over windows; holes count ``fill_value``, or nothing, and then sums are divided by the weights they have."""
    turned, gone = w[::-1, ::-1], boundary != "wrap" and not np.isfinite(fill_value)
    see = window_of(x, w, "wrap" if boundary == "wrap" else "fill", 0.0 if gone else fill_value)
    if not interpolate:
        y = np.empty((*x.shape, 1))
        correlate(np.where(holes, fill_value, x)[:, :, None], turned, y, see)
        return y[:, :, 0]
    there = ~holes[:, :, None] if holes.any() else None
    image = np.require(x, np.float64, ("C", "A"))[:, :, None]
    top, below = normalized.sums(image, there, turned, see, "auto", None, np.float64, 0.0 if gone else 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        top /= below
    np.copyto(top, np.nan if min_wt > 0 else 0.0, where=below < (min_wt if min_wt > 0 else _NOTHING))
    return top[:, :, 0]
