"""Drop-in for the 2-D linear filters of `scipy.ndimage`: same arguments, same results, many times as fast.

Real images of two axes are computed here in float64, by the sums of SciPy in SciPy's order, so that results are the
same numbers, also where integers are truncated. Everything else (other ranks and dtypes, complex numbers, masked or
odd arguments) is handed to SciPy, whose errors are therefore the ones that a caller sees. scipy.ndimage is imported
on the first call that needs it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .images import filtering
from .images.filtering import MODES
from .images.ndimage_calls import (
    EPSILON,
    Call,
    along,
    axis_of,
    call_of,
    each_axis,
    gaussian_weights,
    image_of,
    in_turn,
    is_finite,
    origin_of,
    pair_of,
    real_weights,
    sequence_of,
    window_of,
)

__all__ = [
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "laplace",
    "prewitt",
    "sobel",
    "uniform_filter",
]


def _scipy(name: str, *args: Any, **kwargs: Any) -> Any:
    from scipy import ndimage

    return getattr(ndimage, name)(*args, **kwargs)


def correlate1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Any:
    """Correlate along one axis; see `scipy.ndimage.correlate1d` for the arguments, the result and the errors."""
    call, w, k = call_of(input, output, mode, cval), real_weights(weights), axis_of(axis)
    if call is not None and w is not None and w.ndim == 1 and k is not None:
        shift = origin_of(origin, len(w))
        if shift is not None:
            return along(call, w, k, mode, cval, shift)
    return _scipy("correlate1d", input, weights, axis, output, mode, cval, origin)


def convolve1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Any:
    """Convolve along one axis; see `scipy.ndimage.convolve1d` for the arguments, the result and the errors."""
    call, w, k = call_of(input, output, mode, cval), real_weights(weights), axis_of(axis)
    if call is not None and w is not None and w.ndim == 1 and k is not None and isinstance(origin, (int, np.integer)):
        shift = origin_of(-origin - (len(w) % 2 == 0), len(w))
        if shift is not None:
            return along(call, w[::-1], k, mode, cval, shift)
    return _scipy("convolve1d", input, weights, axis, output, mode, cval, origin)


# ---- kernels of two axes ----


def correlate(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Any:
    """Correlate with a kernel; see `scipy.ndimage.correlate` for the arguments, the result and the errors."""
    found = _with_kernel(input, weights, output, mode, cval, origin, axes, convolution=False)
    return _scipy("correlate", input, weights, output, mode, cval, origin, axes=axes) if found is None else found


def convolve(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Any:
    """Convolve with a kernel; see `scipy.ndimage.convolve` for the arguments, the result and the errors."""
    found = _with_kernel(input, weights, output, mode, cval, origin, axes, convolution=True)
    return _scipy("convolve", input, weights, output, mode, cval, origin, axes=axes) if found is None else found


def _with_kernel(
    input: Any, weights: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any, convolution: bool
) -> Any:
    """The result, or None for SciPy to do it."""
    call, w = call_of(input, output, mode, cval), real_weights(weights)
    if call is None or w is None or w.ndim != 2 or (axes is not None and tuple(np.atleast_1d(axes)) not in _BOTH):
        return None
    shifts = pair_of(origin)
    if shifts is None:
        return None
    if convolution:
        w = w[::-1, ::-1]
        shifts = tuple(-s - (n % 2 == 0) for s, n in zip(shifts, w.shape, strict=True))
    if any(origin_of(s, n) is None for s, n in zip(shifts, w.shape, strict=True)):
        return None
    used = np.abs(w) > EPSILON
    shape, name = call.x.shape, MODES[mode]
    see = filtering.window(
        shape, (-(w.shape[0] // 2) - shifts[0], -(w.shape[1] // 2) - shifts[1]),
        (shape[0] + w.shape[0] - 1, shape[1] + w.shape[1] - 1), (name, name), cval,
    )  # fmt: skip
    if not used.all() and not (is_finite(call.x) and np.isfinite(cval)):
        return None  # SciPy leaves out what it takes for zero, and so does not make NaN of 0 * Inf
    y = call.results()
    filtering.direct(image_of(call.x), np.where(used, w, 0.0), y, see, "float64")
    return call.finish(y)


_BOTH = ((0, 1), (-2, -1), (0, -1), (-2, 1))


# ---- filters made of these ----


def gaussian_filter(
    input: Any,
    sigma: Any,
    order: Any = 0,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: Any = None,
    axes: Any = None,
) -> Any:
    """Gaussian filter; see `scipy.ndimage.gaussian_filter` for the arguments, the result and the errors."""
    lines = each_axis(axes, sigma, order, mode, radius)
    call = None if lines is None else call_of(input, output, lines[0][3] if lines else "reflect", cval)
    if lines is not None and call is not None:
        kernels = [gaussian_weights(s, o, r, truncate) for _, s, o, _, r in lines]
        if all(k is not None for k in kernels) and all(m in MODES for *_, m, _ in lines):
            return in_turn(call, [(k, axis, m) for k, (axis, _, _, m, _) in zip(kernels, lines, strict=True)], cval)
    return _scipy("gaussian_filter", input, sigma, order, output, mode, cval, truncate, radius=radius, axes=axes)


def uniform_filter(
    input: Any,
    size: Any = 3,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Any:
    """Mean of a box; see `scipy.ndimage.uniform_filter` for the arguments, the result and the errors."""
    lines = each_axis(axes, size, origin, mode, None)
    call = None if lines is None else call_of(input, output, lines[0][3] if lines else "reflect", cval)
    if lines is not None and call is not None:
        lines = [one for one in lines if not one[1] <= 1]
        if all(
            isinstance(n, (int, np.integer)) and m in MODES and origin_of(o, int(n)) is not None
            for _, n, o, m, _ in lines
        ):
            if not lines:
                call.output[...] = call.x
            for axis, n, shift, m, _ in lines:
                y = call.results()
                filtering.running(image_of(call.x), y, window_of(call, int(n), axis, m, cval, int(shift)))
                call.finish(y)
                call = Call(call.output, call.output)
            return call.output
    return _scipy("uniform_filter", input, size, output, mode, cval, origin, axes=axes)


_DIFFERENCE, _SECOND = np.array([-1.0, 0.0, 1.0]), np.array([1.0, -2.0, 1.0])
_ACROSS = {"sobel": np.array([1.0, 2.0, 1.0]), "prewitt": np.array([1.0, 1.0, 1.0])}


def _gradient(name: str, input: Any, axis: Any, output: Any, mode: Any, cval: Any) -> Any:
    """Differences along an axis, smoothed along the other."""
    k, modes = axis_of(axis), sequence_of(mode, 2)
    call = None if k is None or modes is None else call_of(input, output, modes[k], cval)
    if call is None or k is None or modes is None or not isinstance(modes[1 - k], str) or modes[1 - k] not in MODES:
        return _scipy(name, input, axis, output, mode, cval)
    return in_turn(call, [(_DIFFERENCE, k, modes[k]), (_ACROSS[name], 1 - k, modes[1 - k])], cval)


def sobel(input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: float = 0.0) -> Any:
    """Sobel filter; see `scipy.ndimage.sobel` for the arguments, the result and the errors."""
    return _gradient("sobel", input, axis, output, mode, cval)


def prewitt(input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: float = 0.0) -> Any:
    """Prewitt filter; see `scipy.ndimage.prewitt` for the arguments, the result and the errors."""
    return _gradient("prewitt", input, axis, output, mode, cval)


def laplace(input: Any, output: Any = None, mode: Any = "reflect", cval: float = 0.0, *, axes: Any = None) -> Any:
    """Sum of second differences; see `scipy.ndimage.laplace` for the arguments, the result and the errors."""
    lines = each_axis(axes, 1, 0, mode, None)
    call = call_of(input, output, lines[0][3], cval) if lines else None
    if call is None or not lines or any(m not in MODES for *_, m, _ in lines):
        return _scipy("laplace", input, output, mode, cval, axes=axes)
    along(call, _SECOND, lines[0][0], lines[0][3], cval, 0)
    for axis, _, _, m, _ in lines[1:]:
        more = Call(call.x, np.empty_like(call.output, order="C"))
        np.add(call.output, along(more, _SECOND, axis, m, cval, 0), call.output, casting="unsafe")
    return call.output
