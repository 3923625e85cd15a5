"""Drop-in for the 2-D convolutions of `scipy.signal`: same arguments, same results, many times as fast.

Real arrays of two axes are computed here: floats in their own precision, integers exactly (in float64, where no sum
can reach 2**53). Everything else (other ranks and dtypes, complex numbers, odd arguments) is handed to SciPy, whose
errors are therefore the ones that a caller sees. Results are plain arrays: a unit (of an astropy Quantity) is dropped,
as by SciPy, and so is the mask of a masked array, but with a warning. scipy.signal is imported on the first call that
needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike as Numbers

from .core.arrays import tell_of_mask
from .core.typing import Array
from .images import filtering
from .images.correlation import correlate

__all__ = ["convolve2d", "correlate2d", "fftconvolve", "oaconvolve"]

#: SciPy's names of borders: their names in `core.borders`
_BOUNDARIES = {
    "fill": "zeros",
    "pad": "zeros",
    "wrap": "circular",
    "circular": "circular",
    "symm": "symmetric",
    "symmetric": "symmetric",
}


def _scipy(name: str, *args: Any, **kwargs: Any) -> Array:
    from scipy import signal

    found: Array = getattr(signal, name)(*args, **kwargs)
    return found


def convolve2d(in1: Numbers, in2: Numbers, mode: str = "full", boundary: str = "fill", fillvalue: float = 0) -> Array:
    """Convolve two arrays.

    Parameters
    ----------
    in1 : array (H, W) of real numbers
    in2 : array (KH, KW) of real numbers
        Of other ranks and dtypes both are SciPy's.
    mode, boundary, fillvalue
        As in `scipy.signal.convolve2d`.

    Returns
    -------
    ndarray (OH, OW)
        Of the promoted dtype; integers are exact.

    Raises
    ------
    TypeError, ValueError
        As SciPy does.
    """
    found = _sliding(in1, in2, mode, boundary, fillvalue, convolution=True)
    return _scipy("convolve2d", in1, in2, mode, boundary, fillvalue) if found is None else found


def correlate2d(in1: Numbers, in2: Numbers, mode: str = "full", boundary: str = "fill", fillvalue: float = 0) -> Array:
    """Correlate two arrays.

    Parameters
    ----------
    in1 : array (H, W) of real numbers
    in2 : array (KH, KW) of real numbers
        Of other ranks and dtypes both are SciPy's.
    mode, boundary, fillvalue
        As in `scipy.signal.correlate2d`.

    Returns
    -------
    ndarray (OH, OW)
        Of the promoted dtype; integers are exact.

    Raises
    ------
    TypeError, ValueError
        As SciPy does.
    """
    found = _sliding(in1, in2, mode, boundary, fillvalue, convolution=False)
    return _scipy("correlate2d", in1, in2, mode, boundary, fillvalue) if found is None else found


def fftconvolve(in1: Numbers, in2: Numbers, mode: str = "full", axes: int | Sequence[int] | None = None) -> Array:
    """Convolve two arrays by FFTs, or by what is faster.

    Parameters
    ----------
    in1 : array (H, W) of real numbers
    in2 : array (KH, KW) of real numbers
        Of other ranks and dtypes both are SciPy's.
    mode, axes
        As in `scipy.signal.fftconvolve`.

    Returns
    -------
    ndarray (OH, OW)
        Of the promoted dtype, float64 for integers.

    Raises
    ------
    TypeError, ValueError
        As SciPy does.
    """
    found = _by_size(in1, in2, mode, axes)
    return _scipy("fftconvolve", in1, in2, mode, axes) if found is None else found


def oaconvolve(in1: Numbers, in2: Numbers, mode: str = "full", axes: int | Sequence[int] | None = None) -> Array:
    """Convolve two arrays in tiles, or by what is faster.

    Parameters
    ----------
    in1 : array (H, W) of real numbers
    in2 : array (KH, KW) of real numbers
        Of other ranks and dtypes both are SciPy's.
    mode, axes
        As in `scipy.signal.oaconvolve`.

    Returns
    -------
    ndarray (OH, OW)
        Of the promoted dtype, float64 for integers.

    Raises
    ------
    TypeError, ValueError
        As SciPy does.
    """
    found = _by_size(in1, in2, mode, axes)
    return _scipy("oaconvolve", in1, in2, mode, axes) if found is None else found


def _sliding(in1: Numbers, in2: Numbers, mode: Any, boundary: Any, fillvalue: Any, convolution: bool) -> Any:
    """The result of a 2-D convolution or correlation, or None for SciPy to do it."""
    tell_of_mask("in1", in1, 3)
    tell_of_mask("in2", in2, 3)
    x, w = np.asarray(in1), np.asarray(in2)
    if not (_plain(x, w, mode) and isinstance(boundary, str) and boundary in _BOUNDARIES):
        return None
    if not isinstance(fillvalue, (int, float, np.integer, np.floating)):
        return None
    dtype = np.result_type(x, w)
    if dtype.kind in "iu" and not _exact(x, w, fillvalue, dtype):
        return None
    if convolution:
        w = w[::-1, ::-1]
    if mode == "valid" and any(a < b for a, b in zip(x.shape, w.shape, strict=True)):
        return None  # SciPy swaps them, or refuses
    lead = _lead(w.shape, mode, convolution)
    return _correlate(x, w, dtype, lead, _count(x.shape, w.shape, mode), _BOUNDARIES[boundary], float(fillvalue))


def _plain(x: Any, w: Any, mode: Any) -> bool:
    """Two matrices of real numbers that are not empty."""
    return (
        x.ndim == w.ndim == 2
        and bool(x.size and w.size)
        and mode in ("full", "same", "valid")
        and all(a.dtype.kind in "iu" or a.dtype in (np.dtype("f4"), np.dtype("f8")) for a in (x, w))
    )


def _exact(x: Any, w: Any, fillvalue: Any, dtype: Any) -> bool:
    """Whether every sum is an integer below 2**53 that also fits the dtype of the result."""
    if int(fillvalue) != fillvalue:
        return False
    largest = max(abs(int(x.max())), abs(int(x.min())), abs(int(fillvalue)))
    bound = largest * int(np.abs(w.astype(np.float64)).sum())
    low = 0 if min(int(x.min()), int(w.min()), int(fillvalue)) >= 0 else -bound
    limits = np.iinfo(dtype)
    return bound < min(2**53, int(limits.max) + 1) and low >= int(limits.min)


def _lead(shape: tuple[int, ...], mode: str, convolution: bool) -> tuple[int, ...]:
    """How many positions before the first pixel the windows begin."""
    if mode == "valid":
        return (0, 0)
    if mode == "full":
        return tuple(k - 1 for k in shape)
    return tuple(k // 2 if convolution else (k - 1) // 2 for k in shape)


def _correlate(
    x: Any, w: Any, dtype: Any, lead: tuple[int, ...], count: tuple[int, ...], mode: str, fill: float
) -> Any:
    """The windows of ``w`` over ``x``, the first of them ``lead`` positions before it, in ``dtype``."""
    compute = np.dtype(np.float64) if dtype.kind in "iu" else dtype.newbyteorder("=")
    image = np.require(x, compute, ("C", "A"))[:, :, None]
    see = filtering.window(x.shape, (-lead[0], -lead[1]), (count[0], count[1]), (mode, mode), float(fill))
    y = np.empty((count[0] - w.shape[0] + 1, count[1] - w.shape[1] + 1, 1), compute)
    if dtype.kind in "iu":
        filtering.direct(image, w, y, see, compute.name)
    else:
        correlate(image, w.astype(np.float64), y, see)
    return y[:, :, 0] if compute == dtype else y[:, :, 0].astype(dtype)


def _by_size(in1: Numbers, in2: Numbers, mode: Any, axes: Any) -> Any:
    """The convolution of an image with a kernel that is not larger; None for SciPy to do it."""
    tell_of_mask("in1", in1, 3)
    tell_of_mask("in2", in2, 3)
    x, w = np.asarray(in1), np.asarray(in2)
    if not _plain(x, w, mode) or (axes is not None and sorted(np.atleast_1d(axes).tolist()) not in _BOTH):
        return None
    if any(not a >= b > 1 for a, b in zip(x.shape, w.shape, strict=True)):
        return None  # SciPy has rules of its own for axes of one element
    floats = x.dtype.kind == w.dtype.kind == "f"
    dtype = np.result_type(x, w) if floats else np.dtype(np.float64)
    lead, count = _lead(w.shape, mode, True), _count(x.shape, w.shape, mode)
    y = _correlate(x, w[::-1, ::-1], dtype, lead, count, "zeros", 0.0)
    return y if np.isfinite(y).all() else None  # FFTs spread what is not finite: so does SciPy then


_BOTH = ([0, 1], [-2, -1], [-1, 0], [-2, 1])


def _count(shape: tuple[int, ...], kernel: tuple[int, ...], mode: str) -> tuple[int, ...]:
    """Positions that the windows see along each axis."""
    more = {"full": 2, "same": 1, "valid": 0}[mode]
    return tuple(n + more * (k - 1) for n, k in zip(shape, kernel, strict=True))
