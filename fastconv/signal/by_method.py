"""`convolve` and `correlate`: the way is chosen here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike as Numbers

from ..core.arrays import tell_of_mask
from ..core.typing import Array
from .convolutions import _by_size, _plain, _sliding, door
from .known import known

#: elements of a kernel up to which exact sums of integers take less time than transforms
_LARGEST_EXACT = 32 * 32


@door
def convolve(in1: Numbers, in2: Numbers, mode: str = "full", method: str = "auto") -> Array | None:
    """Convolve two arrays.

    Parameters
    ----------
    in1 : array (H, W) of real or complex numbers
    in2 : array (KH, KW) of real or complex numbers
        Of other ranks and dtypes both are SciPy's.
    mode, method
        As in `scipy.signal.convolve`; the way is chosen here.

    Returns
    -------
    ndarray (OH, OW)
        Of the promoted dtype; integers are exact.

    Raises
    ------
    TypeError, ValueError
        As SciPy does.
    """
    return _by_method(in1, in2, mode, method, convolution=True)  # type: ignore[no-any-return]


@door
def correlate(in1: Numbers, in2: Numbers, mode: str = "full", method: str = "auto") -> Array | None:
    """Correlate two arrays.

    Parameters
    ----------
    in1 : array (H, W) of real or complex numbers
    in2 : array (KH, KW) of real or complex numbers
        Of other ranks and dtypes both are SciPy's.
    mode, method
        As in `scipy.signal.correlate`; the way is chosen here.

    Returns
    -------
    ndarray (OH, OW)
        Of the promoted dtype; integers are exact.

    Raises
    ------
    TypeError, ValueError
        As SciPy does.
    """
    return _by_method(in1, in2, mode, method, convolution=False)  # type: ignore[no-any-return]


def _by_method(in1: Numbers, in2: Numbers, mode: Any, method: Any, convolution: bool) -> Any:
    """The result of `convolve` or `correlate`, or None for SciPy to do it."""
    if method == "auto" or method == "direct":
        y = known(in1, in2, mode, "fill", convolution, True, False, method == "auto", 1)
        if y is not None:
            return y
    tell_of_mask("in1", in1, 4)
    tell_of_mask("in2", in2, 4)
    x, w = np.asarray(in1), np.asarray(in2)
    if method not in ("auto", "direct", "fft") or not _plain(x, w, mode):
        return None
    if any(a < b for a, b in zip(x.shape, w.shape, strict=True)):
        return None  # SciPy swaps them
    if not convolution:  # the centre of "same" too is that of a convolution, unlike `correlate2d`'s
        w = w[::-1, ::-1].conj()
    if np.result_type(x, w).kind in "iu":
        return _sliding(x, w, mode, "fill", 0, True, w.size > _LARGEST_EXACT)
    if method == "fft":
        y = _by_size(x, w, mode, None)
        return None if y is None else y.astype(np.result_type(x, w), copy=False)
    y = _sliding(x, w, mode, "fill", 0, True)
    # SciPy may choose transforms, which spread what is not finite
    return y if y is None or method == "direct" or np.isfinite(y).all() else None
