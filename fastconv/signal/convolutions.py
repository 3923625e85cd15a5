"""Convolutions of two arrays: those that slide a window, and those by size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike as Numbers

from ..core.arrays import tell_of_mask
from ..core.typing import Array
from ..images import filtering
from ..images.correlation import correlate
from ..images.originals import or_scipys
from .known import BOUNDARIES, ROUNDED, count_of, known, lead_of

PACKAGE = "scipy.signal"
_FLOAT64 = np.dtype(np.float64)
_FLOATS = {np.dtype(np.float32), _FLOAT64}
_COMPLEX = {np.dtype(np.complex64), np.dtype(np.complex128)}
#: multiplications below which SciPy is as fast, for floats and for integers
_SMALL, _SMALL_WHOLE = 1500, 6000

door = or_scipys(PACKAGE)


@door
def convolve2d(
    in1: Numbers, in2: Numbers, mode: str = "full", boundary: str = "fill", fillvalue: float = 0
) -> Array | None:
    """Convolve two arrays.

    Parameters
    ----------
    in1 : array (H, W) of real or complex numbers
    in2 : array (KH, KW) of real or complex numbers
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
    return _by_windows(in1, in2, mode, boundary, fillvalue, convolution=True)


@door
def correlate2d(
    in1: Numbers, in2: Numbers, mode: str = "full", boundary: str = "fill", fillvalue: float = 0
) -> Array | None:
    """Correlate two arrays.

    Parameters
    ----------
    in1 : array (H, W) of real or complex numbers
    in2 : array (KH, KW) of real or complex numbers
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
    return _by_windows(in1, in2, mode, boundary, fillvalue, convolution=False)


@door
def fftconvolve(
    in1: Numbers, in2: Numbers, mode: str = "full", axes: int | Sequence[int] | None = None
) -> Array | None:
    """Convolve two arrays by FFTs, or by what is faster.

    Parameters
    ----------
    in1 : array (H, W) of real or complex numbers
    in2 : array (KH, KW) of real or complex numbers
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
    return _by_size(in1, in2, mode, axes) if _whole(axes) else None


@door
def oaconvolve(in1: Numbers, in2: Numbers, mode: str = "full", axes: int | Sequence[int] | None = None) -> Array | None:
    """Convolve two arrays in tiles, or by what is faster.

    Parameters
    ----------
    in1 : array (H, W) of real or complex numbers
    in2 : array (KH, KW) of real or complex numbers
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
    return _by_size(in1, in2, mode, axes) if _whole(axes) else None


def _whole(axes: Any) -> bool:
    """None or integers: SciPy refuses others, also those that equal an axis."""
    return axes is None or np.asarray(axes).dtype.kind in "iu"


def _by_windows(
    in1: Numbers, in2: Numbers, mode: Any, boundary: Any, fillvalue: Any, convolution: bool
) -> Array | None:
    """The result of a 2-D convolution or correlation, or None for SciPy to do it."""
    plain = type(fillvalue) in (int, float) and not fillvalue
    y = known(in1, in2, mode, boundary, convolution, convolution) if plain else None
    return _sliding(in1, in2, mode, boundary, fillvalue, convolution) if y is None else y


def _sliding(
    in1: Numbers, in2: Numbers, mode: Any, boundary: Any, fillvalue: Any, convolution: bool, many: bool = False
) -> Any:
    """The result of a 2-D convolution or correlation, or None for SciPy to do it.

    ``many``: SciPy transforms such a kernel, so that sums of integers that must be exact are left to it.
    """
    tell_of_mask("in1", in1, 4)
    tell_of_mask("in2", in2, 4)
    x, w = np.asarray(in1), np.asarray(in2)
    if x.size * w.size < (_SMALL if x.dtype.kind in "fc" else _SMALL_WHOLE):
        return None  # SciPy is done before arguments are looked at
    if not (_plain(x, w, mode) and isinstance(boundary, str) and boundary in BOUNDARIES):
        return None
    if isinstance(fillvalue, np.ndarray) and fillvalue.size == 1:
        fillvalue = fillvalue.reshape(())[()]
    if not isinstance(fillvalue, (int, float, np.integer, np.floating)):
        return None
    dtype = np.result_type(x, w)
    whole = dtype.kind in "iu"
    bound = _largest_sum(x, w, fillvalue, dtype) if whole else 0
    if bound is None or (many and bound >= ROUNDED):
        return None
    if dtype.kind == "c" and fillvalue != 0:
        return None  # real and imaginary parts would have borders of their own
    w = w[::-1, ::-1] if convolution else w.conj()
    if mode == "valid" and any(a < b for a, b in zip(x.shape, w.shape, strict=True)):
        return None  # SciPy swaps them, or refuses
    lead = lead_of(w.shape, mode, convolution)
    how = "auto" if bound < ROUNDED else "direct"
    return _correlate(x, w, dtype, lead, count_of(x.shape, w.shape, mode), BOUNDARIES[boundary], float(fillvalue), how)


def _plain(x: Any, w: Any, mode: Any) -> bool:
    """Two matrices that are not empty, of real numbers, or of complex numbers and floats."""
    numbers = (x.dtype, w.dtype)
    return (
        x.ndim == w.ndim == 2
        and bool(x.size and w.size)
        and mode in ("full", "same", "valid")
        and (all(n.kind in "iu" or n in _FLOATS for n in numbers) or all(n in _FLOATS | _COMPLEX for n in numbers))
    )


def _largest_sum(x: Any, w: Any, fillvalue: Any, dtype: Any) -> int | None:
    """What no sum of integers exceeds, if that is below 2**53 and they all fit the dtype of the result."""
    if not np.isfinite(fillvalue) or int(fillvalue) != fillvalue:
        return None
    least, most = min(int(x.min()), int(fillvalue)), max(int(x.max()), int(fillvalue))
    bound = max(most, -least) * int(np.abs(w.astype(np.float64)).sum())
    low = 0 if least >= 0 and int(w.min()) >= 0 else -bound
    limits = np.iinfo(dtype)
    return bound if bound < min(2**53, int(limits.max) + 1) and low >= int(limits.min) else None


def _correlate(
    x: Any,
    w: Any,
    dtype: Any,
    lead: tuple[int, ...],
    count: tuple[int, ...],
    mode: str,
    fill: float,
    how: str = "auto",
    spreads: bool = False,
) -> Any:
    """The windows of ``w`` over ``x``, the first of them ``lead`` positions before it, in ``dtype``.

    None if a complex result is not finite: SciPy's products mix the parts of what is not.
    """
    if dtype.kind == "c":
        return _by_parts(x, w, dtype, lead, count, mode, how, spreads)
    compute = _FLOAT64 if dtype.kind in "iu" else dtype.newbyteorder("=")
    image = filtering.readable(x, compute)[:, :, None]
    see = filtering.window(x.shape, (-lead[0], -lead[1]), (count[0], count[1]), (mode, mode), float(fill))
    y = np.empty((count[0] - w.shape[0] + 1, count[1] - w.shape[1] + 1, 1), compute)
    correlate(image, w, y, see, how, spreads=spreads)
    if dtype.kind in "iu" and how == "auto":
        np.rint(y, out=y)
    return y[:, :, 0] if compute == dtype else y[:, :, 0].astype(dtype)


def _by_parts(
    x: Any,
    w: Any,
    dtype: Any,
    lead: tuple[int, ...],
    count: tuple[int, ...],
    mode: str,
    how: str,
    spreads: bool,
) -> Any:
    """The same of complex numbers: those of an image are two channels of one real call, those of a kernel two calls."""
    real = np.dtype(f"f{dtype.itemsize // 2}")
    native = x.astype(dtype if x.dtype.kind == "c" else real, order="C", copy=False)
    image = native.view(real).reshape(*x.shape, native.itemsize // real.itemsize)
    see = filtering.window(x.shape, (-lead[0], -lead[1]), (count[0], count[1]), (mode, mode), 0.0)
    found = []
    for part in (w.real, w.imag) if w.dtype.kind == "c" else (w,):
        sums = np.empty((count[0] - w.shape[0] + 1, count[1] - w.shape[1] + 1, image.shape[2]), real)
        correlate(image, part, sums, see, how, spreads=spreads)
        found.append((sums if image.shape[2] == 1 else sums.view(dtype))[:, :, 0])
    y = found[0] if len(found) == 1 else found[0] + 1j * found[1]
    return y if filtering.finite(y.view(real)) else None


def _by_size(in1: Numbers, in2: Numbers, mode: Any, axes: Any) -> Any:
    """The convolution of an image with a kernel that is not larger; None for SciPy to do it."""
    y = known(in1, in2, mode, "fill", True, True, True, True, 2) if axes is None else None
    if y is not None:
        return y
    tell_of_mask("in1", in1, 4)
    tell_of_mask("in2", in2, 4)
    x, w = np.asarray(in1), np.asarray(in2)
    if not _plain(x, w, mode) or (axes is not None and sorted(np.atleast_1d(axes).tolist()) not in _BOTH):
        return None
    if any(not a >= b > 1 for a, b in zip(x.shape, w.shape, strict=True)):
        return None  # SciPy has rules of its own for axes of one element
    dtype = _FLOAT64 if x.dtype.kind in "iu" or w.dtype.kind in "iu" else np.result_type(x, w)
    lead, count = lead_of(w.shape, mode, True), count_of(x.shape, w.shape, mode)
    y = _correlate(x, w[::-1, ::-1], dtype, lead, count, "zeros", 0.0, spreads=True)
    if y is None or (dtype.kind == "f" and not filtering.finite(y)):
        return None  # FFTs spread what is not finite: so does SciPy then
    return y


_BOTH = ([0, 1], [-2, -1], [-1, 0], [-2, 1])
