"""Gaussians and their derivatives."""

from __future__ import annotations

from numpy.typing import ArrayLike as Numbers

from ..core.typing import Array
from ..images import ndimage_filters as lines
from ..images.ndimage_plans import filtered
from .arguments import Floats, Ints, Modes, Output, door


@door
def gaussian_filter1d(
    input: Numbers,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: Output = None,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Array | None:
    """Gaussian filter along one axis, or a derivative of it.

    Parameters
    ----------
    input : array (..., H, W) of real numbers
        Of any rank; complex numbers and other dtypes are SciPy's.
    sigma, axis, order, output, mode, cval, truncate, radius
        As in `scipy.ndimage.gaussian_filter1d`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return filtered(lines.gaussian1d, input, output, sigma, axis, order, mode, cval, truncate, radius)


@door
def gaussian_filter(
    input: Numbers,
    sigma: Floats,
    order: Ints = 0,
    output: Output = None,
    mode: Modes = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: Ints | None = None,
    axes: Ints | None = None,
) -> Array | None:
    """Gaussian filter, or a derivative of it.

    Parameters
    ----------
    input : array (..., H, W) of real numbers
        Of any rank; complex numbers and other dtypes are SciPy's.
    sigma, order, output, mode, cval, truncate, radius, axes
        As in `scipy.ndimage.gaussian_filter`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return filtered(lines.gaussian, input, output, sigma, order, mode, cval, truncate, radius, axes)


@door
def gaussian_laplace(
    input: Numbers,
    sigma: Floats,
    output: Output = None,
    mode: Modes = "reflect",
    cval: float = 0.0,
    *,
    axes: Ints | None = None,
    truncate: float = 4.0,
    radius: Ints | None = None,
) -> Array | None:
    """Sum of second derivatives of a Gaussian.

    Parameters
    ----------
    input : array (..., H, W) of real numbers
        Of any rank; complex numbers and other dtypes are SciPy's.
    sigma, output, mode, cval, axes
        As in `scipy.ndimage.gaussian_laplace`.
    truncate, radius
        As in `scipy.ndimage.gaussian_filter`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return filtered(lines.gaussian_laplace, input, output, sigma, mode, cval, truncate, radius, axes)


@door
def gaussian_gradient_magnitude(
    input: Numbers,
    sigma: Floats,
    output: Output = None,
    mode: Modes = "reflect",
    cval: float = 0.0,
    *,
    axes: Ints | None = None,
    truncate: float = 4.0,
    radius: Ints | None = None,
) -> Array | None:
    """Length of the gradient by derivatives of a Gaussian.

    Parameters
    ----------
    input : array (..., H, W) of real numbers
        Of any rank; complex numbers and other dtypes are SciPy's.
    sigma, output, mode, cval, axes
        As in `scipy.ndimage.gaussian_gradient_magnitude`.
    truncate, radius
        As in `scipy.ndimage.gaussian_filter`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return filtered(lines.gaussian_gradient_magnitude, input, output, sigma, mode, cval, truncate, radius, axes)
