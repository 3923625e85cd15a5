"""Correlations, convolutions and means."""

from __future__ import annotations

from numpy.typing import ArrayLike as Numbers

from ..core.typing import Array
from ..images import ndimage_filters as lines
from ..images.ndimage_calls import weights_of
from ..images.ndimage_kernels import kernel
from ..images.ndimage_plans import filtered
from .arguments import Ints, Modes, Output, door


@door
def correlate1d(
    input: Numbers,
    weights: Numbers,
    axis: int = -1,
    output: Output = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Array | None:
    """Correlate along one axis.

    Parameters
    ----------
    input : array (..., H, W) of real numbers
        Of any rank; complex numbers and other dtypes are SciPy's.
    weights : sequence of numbers
    axis, output, mode, cval, origin
        As in `scipy.ndimage.correlate1d`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return filtered(lines.line, input, output, weights_of(weights), axis, mode, cval, origin, False)


@door
def convolve1d(
    input: Numbers,
    weights: Numbers,
    axis: int = -1,
    output: Output = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Array | None:
    """Convolve along one axis.

    Parameters
    ----------
    input : array (..., H, W) of real numbers
        Of any rank; complex numbers and other dtypes are SciPy's.
    weights : sequence of numbers
    axis, output, mode, cval, origin
        As in `scipy.ndimage.convolve1d`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return filtered(lines.line, input, output, weights_of(weights), axis, mode, cval, origin, True)


@door
def correlate(
    input: Numbers,
    weights: Numbers,
    output: Output = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: Ints = 0,
    *,
    axes: Ints | None = None,
) -> Array | None:
    """Correlate with a kernel.

    Parameters
    ----------
    input : array (H, W) of real numbers
        Or a stack, any two neighbouring axes of which are named by ``axes``; anything else is SciPy's.
    weights : array (KH, KW)
    output, mode, cval, origin, axes
        As in `scipy.ndimage.correlate`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return kernel(input, weights, output, mode, cval, origin, axes, False)


@door
def convolve(
    input: Numbers,
    weights: Numbers,
    output: Output = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: Ints = 0,
    *,
    axes: Ints | None = None,
) -> Array | None:
    """Convolve with a kernel.

    Parameters
    ----------
    input : array (H, W) of real numbers
        Or a stack, any two neighbouring axes of which are named by ``axes``; anything else is SciPy's.
    weights : array (KH, KW)
    output, mode, cval, origin, axes
        As in `scipy.ndimage.convolve`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return kernel(input, weights, output, mode, cval, origin, axes, True)


@door
def uniform_filter1d(
    input: Numbers,
    size: int,
    axis: int = -1,
    output: Output = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Array | None:
    """Mean along one axis.

    Parameters
    ----------
    input : array (..., H, W) of real numbers
        Of any rank; complex numbers and other dtypes are SciPy's.
    size, axis, output, mode, cval, origin
        As in `scipy.ndimage.uniform_filter1d`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return filtered(lines.uniform1d, input, output, size, axis, mode, cval, origin)


@door
def uniform_filter(
    input: Numbers,
    size: Ints = 3,
    output: Output = None,
    mode: Modes = "reflect",
    cval: float = 0.0,
    origin: Ints = 0,
    *,
    axes: Ints | None = None,
) -> Array | None:
    """Mean of a box.

    Parameters
    ----------
    input : array (..., H, W) of real numbers
        Of any rank; complex numbers and other dtypes are SciPy's.
    size, output, mode, cval, origin, axes
        As in `scipy.ndimage.uniform_filter`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return filtered(lines.uniform, input, output, size, mode, cval, origin, axes)
