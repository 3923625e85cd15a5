"""Derivatives by differences, and sums of any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from numpy.typing import ArrayLike as Numbers

from ..core.arrays import tell_of_mask
from ..core.typing import Array
from ..images import ndimage_filters as lines
from ..images.ndimage_plans import filtered
from .arguments import Ints, Modes, Output, door, scipys
from .correlations import correlate1d
from .gaussians import gaussian_filter1d


@door
def sobel(
    input: Numbers,
    axis: int = -1,
    output: Output = None,
    mode: Modes = "reflect",
    cval: float = 0.0,
) -> Array | None:
    """Sobel filter.

    Parameters
    ----------
    input : array (..., H, W) of real numbers
        Of any rank; complex numbers and other dtypes are SciPy's.
    axis, output, mode, cval
        As in `scipy.ndimage.sobel`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return filtered(lines.gradient, input, output, "sobel", axis, mode, cval)


@door
def prewitt(
    input: Numbers,
    axis: int = -1,
    output: Output = None,
    mode: Modes = "reflect",
    cval: float = 0.0,
) -> Array | None:
    """Prewitt filter.

    Parameters
    ----------
    input : array (..., H, W) of real numbers
        Of any rank; complex numbers and other dtypes are SciPy's.
    axis, output, mode, cval
        As in `scipy.ndimage.prewitt`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return filtered(lines.gradient, input, output, "prewitt", axis, mode, cval)


@door
def laplace(
    input: Numbers,
    output: Output = None,
    mode: Modes = "reflect",
    cval: float = 0.0,
    *,
    axes: Ints | None = None,
) -> Array | None:
    """Sum of second differences.

    Parameters
    ----------
    input : array (..., H, W) of real numbers
        Of any rank; complex numbers and other dtypes are SciPy's.
    output, mode, cval, axes
        As in `scipy.ndimage.laplace`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    return filtered(lines.laplace, input, output, mode, cval, axes)


def generic_laplace(
    input: Numbers,
    derivative2: Callable[..., Array],
    output: Output = None,
    mode: Modes = "reflect",
    cval: float = 0.0,
    extra_arguments: Sequence[object] = (),
    extra_keywords: Mapping[str, object] | None = None,
    *,
    axes: Ints | None = None,
) -> Array:
    """Sum of second derivatives by a function of the caller.

    Parameters
    ----------
    input : array (..., H, W) of numbers
    derivative2 : callable, as SciPy calls it
        Of SciPy's filters, those of this module are called instead.
    output, mode, cval, extra_arguments, extra_keywords, axes
        As in `scipy.ndimage.generic_laplace`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    tell_of_mask("input", input, 2)
    return scipys("generic_laplace")(  # type: ignore[no-any-return]
        input, ours(derivative2), output, mode, cval, extra_arguments, extra_keywords, axes=axes
    )


def generic_gradient_magnitude(
    input: Numbers,
    derivative: Callable[..., Array],
    output: Output = None,
    mode: Modes = "reflect",
    cval: float = 0.0,
    extra_arguments: Sequence[object] = (),
    extra_keywords: Mapping[str, object] | None = None,
    *,
    axes: Ints | None = None,
) -> Array:
    """Length of the gradient by a function of the caller.

    Parameters
    ----------
    input : array (..., H, W) of numbers
    derivative : callable, as SciPy calls it
        Of SciPy's filters, those of this module are called instead.
    output, mode, cval, extra_arguments, extra_keywords, axes
        As in `scipy.ndimage.generic_gradient_magnitude`.

    Returns
    -------
    ndarray, of the shape of ``input``
        ``output``, or an array of its dtype, or of that of ``input``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As SciPy does.
    """
    tell_of_mask("input", input, 2)
    return scipys("generic_gradient_magnitude")(  # type: ignore[no-any-return]
        input, ours(derivative), output, mode, cval, extra_arguments, extra_keywords, axes=axes
    )


def ours(function: Callable[..., Array]) -> Callable[..., Array]:
    """The counterpart here of a derivative of SciPy's; any other function itself."""
    for mine in (sobel, prewitt, correlate1d, gaussian_filter1d):
        if function is scipys(mine.__name__):
            return mine
    return function
