"""The filters of scipy.ndimage on images of two axes; each returns None where SciPy must do it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.typing import Array
from . import filtering
from .filtering import MODES
from .ndimage_calls import (
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

#: pixels of a window or of a row from which on running sums buffer more than the image holds
LONGEST = 1 << 16


def line(
    input: Any, weights: Any, axis: Any, output: Any, mode: Any, cval: Any, origin: Any, convolution: bool
) -> Array | None:
    """A correlation or convolution along one axis."""
    call, w, k = call_of(input, output, mode, cval), real_weights(weights), axis_of(axis)
    if call is None or w is None or w.ndim != 1 or k is None:
        return None
    if convolution and isinstance(origin, (int, np.integer)):
        w, origin = w[::-1], -origin - (len(w) % 2 == 0)
    shift = origin_of(origin, len(w))
    return None if shift is None else along(call, w, k, mode, cval, shift)


_BOTH = ((0, 1), (-2, -1), (0, -1), (-2, 1))


def kernel(
    input: Any, weights: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any, convolution: bool
) -> Array | None:
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
        shape,
        (-(w.shape[0] // 2) - shifts[0], -(w.shape[1] // 2) - shifts[1]),
        (shape[0] + w.shape[0] - 1, shape[1] + w.shape[1] - 1),
        (name, name),
        cval,
    )
    if not used.all() and not (is_finite(call.x) and np.isfinite(cval)):
        return None  # SciPy leaves out what it takes for zero, and so does not make NaN of 0 * Inf
    y = call.results()
    filtering.direct(image_of(call.x), np.where(used, w, 0.0), y, see, "float64")
    return call.finish(y)


def gaussian(
    input: Any, sigma: Any, order: Any, output: Any, mode: Any, cval: Any, truncate: Any, radius: Any, axes: Any
) -> Array | None:
    """One line of weights after the other."""
    lines = each_axis(axes, sigma, order, mode, radius)
    call = None if lines is None else call_of(input, output, lines[0][3] if lines else "reflect", cval)
    if lines is None or call is None or any(m not in MODES for *_, m, _ in lines):
        return None
    kernels = [gaussian_weights(s, o, r, truncate) for _, s, o, _, r in lines]
    if any(k is None for k in kernels):
        return None
    return in_turn(call, [(k, axis, m) for k, (axis, _, _, m, _) in zip(kernels, lines, strict=True)], cval)


def uniform(input: Any, size: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any) -> Array | None:
    """One running mean after the other."""
    lines = each_axis(axes, size, origin, mode, None)
    call = None if lines is None else call_of(input, output, lines[0][3] if lines else "reflect", cval)
    if lines is None or call is None:
        return None
    lines = [one for one in lines if not one[1] <= 1]
    for axis, n, o, m, _ in lines:
        if not isinstance(n, (int, np.integer)) or m not in MODES or origin_of(o, int(n)) is None:
            return None
        if n > LONGEST or (axis == 1 and call.x.shape[1] > LONGEST):
            return None
    if not lines:
        call.output[...] = call.x
    for axis, n, shift, m, _ in lines:
        y = call.results()
        filtering.running(image_of(call.x), y, window_of(call, int(n), axis, m, cval, int(shift)))
        call.finish(y)
        call = Call(call.output, call.output)
    return call.output


_DIFFERENCE, _SECOND = np.array([-1.0, 0.0, 1.0]), np.array([1.0, -2.0, 1.0])
_ACROSS = {"sobel": np.array([1.0, 2.0, 1.0]), "prewitt": np.array([1.0, 1.0, 1.0])}


def gradient(name: str, input: Any, axis: Any, output: Any, mode: Any, cval: Any) -> Array | None:
    """Differences along an axis, smoothed along the other."""
    k, modes = axis_of(axis), sequence_of(mode, 2)
    call = None if k is None or modes is None else call_of(input, output, modes[k], cval)
    if call is None or k is None or modes is None or not isinstance(modes[1 - k], str) or modes[1 - k] not in MODES:
        return None
    return in_turn(call, [(_DIFFERENCE, k, modes[k]), (_ACROSS[name], 1 - k, modes[1 - k])], cval)


def laplace(input: Any, output: Any, mode: Any, cval: Any, axes: Any) -> Array | None:
    """The sum of second differences."""
    lines = each_axis(axes, 1, 0, mode, None)
    call = call_of(input, output, lines[0][3], cval) if lines else None
    if call is None or not lines or any(m not in MODES for *_, m, _ in lines):
        return None
    along(call, _SECOND, lines[0][0], lines[0][3], cval, 0)
    for axis, _, _, m, _ in lines[1:]:
        more = Call(call.x, np.empty_like(call.output, order="C"))
        np.add(call.output, along(more, _SECOND, axis, m, cval, 0), call.output, casting="unsafe")
    return call.output
