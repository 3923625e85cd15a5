"""What the filters of `ndimage_filters` share: which calls can be computed here, and passes along one axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.arrays import tell_of_mask
from ..core.typing import Array
from . import filtering
from .filtering import MODES

#: axis, sigma or size, order or origin, mode, radius
Pass = tuple[Any, Any, Any, Any, Any]
EPSILON = np.finfo(np.float64).eps


class Call(NamedTuple):
    """An image that can be filtered here, and the array of its result."""

    x: Array
    output: Array

    def results(self) -> Array:
        """(H, W, 1) for the steps to fill: the output itself where they can write to it."""
        y = self.output
        if filtering.computable(y.dtype) and y.flags.c_contiguous and y.flags.aligned and not self.overlaps():
            return y[:, :, None]
        return np.empty((*y.shape, 1), y.dtype if filtering.computable(y.dtype) else np.float64)

    def finish(self, y: Array) -> Array:
        if not np.may_share_memory(y, self.output):
            self.output[...] = as_c_casts(y[:, :, 0], self.output.dtype)
        return self.output

    def overlaps(self) -> bool:
        return bool(np.may_share_memory(self.x, self.output))


def as_c_casts(y: Any, dtype: Any) -> Any:
    """Whole numbers for such a dtype, by way of 32 bits where these hold all of it: that matters out of range."""
    if y.dtype.kind != "f" or dtype.kind not in "iub":
        return y
    small = np.can_cast(dtype, np.int32) and dtype.kind in "iu"
    with np.errstate(invalid="ignore"):
        return y.astype(np.int32 if small else np.int64)


def call_of(input: Any, output: Any, mode: Any, cval: Any) -> Call | None:
    """None where SciPy must do it: no plain 2-D image of real numbers, or arguments that deserve its errors."""
    if not isinstance(mode, str) or mode not in MODES or not isinstance(cval, (int, float, np.integer, np.floating)):
        return None
    tell_of_mask("input", input, 4)
    x = np.asarray(input)
    if x.ndim != 2 or not x.size or not is_real(x.dtype):
        return None
    if output is None:
        output = x.dtype.name
    if isinstance(output, (type, str, np.dtype)):
        try:
            dtype = np.dtype(output)
        except TypeError:
            return None
        out = np.zeros(x.shape, dtype) if is_real(dtype) else None
    elif isinstance(output, np.ndarray) and output.shape == x.shape and output.flags.writeable:
        out = output if is_real(output.dtype) else None
    else:
        out = None
    return None if out is None else Call(x, out)


def is_real(dtype: Any) -> bool:
    return (dtype.kind in "iu" and dtype != np.uint64) or dtype in (np.dtype("f4"), np.dtype("f8"))


def image_of(x: Array) -> Array:
    """(H, W, 1) as the steps read it."""
    if not filtering.computable(x.dtype):
        x = x.astype(np.float64)  # exact up to 2**53, as SciPy does it
    return np.require(x, None, ("C", "A"))[:, :, None]


def along(call: Call, weights: Any, axis: int, mode: str, cval: float, origin: int) -> Array:
    n = len(weights)
    y = call.results()
    filtering.line(image_of(call.x), weights, sign_of(weights), y, window_of(call, n, axis, mode, cval, origin))
    return call.finish(y)


def window_of(call: Call, n: int, axis: int, mode: str, cval: float, origin: int) -> filtering.Window:
    """The window of n taps along one axis."""
    first, count = [0, 0], list(call.x.shape)
    first[axis], count[axis] = -(n // 2) - origin, count[axis] + n - 1
    name = MODES[mode]
    return filtering.window(call.x.shape, (first[0], first[1]), (count[0], count[1]), (name, name), cval)


def sign_of(weights: Any) -> int:
    """1 or -1 for weights that SciPy takes for (anti-)symmetric: an odd number of them, equal to within epsilon."""
    if len(weights) % 2 == 0:
        return 0
    left, right = weights[: len(weights) // 2], weights[: len(weights) // 2 : -1]
    if (np.abs(left - right) <= EPSILON).all():
        return 1
    return -1 if (np.abs(left + right) <= EPSILON).all() else 0


def real_weights(weights: Any) -> Any:
    """Real weights as SciPy uses them, or None."""
    w = np.asarray(weights)
    return w.astype(np.float64) if w.dtype.kind in "iufb" and w.size else None


def axis_of(axis: Any) -> int | None:
    return int(axis) % 2 if isinstance(axis, (int, np.integer)) and -2 <= axis < 2 else None


def origin_of(origin: Any, n: int) -> int | None:
    """The origin if it is legal for n taps."""
    return int(origin) if isinstance(origin, (int, np.integer)) and -(n // 2) <= origin <= (n - 1) // 2 else None


def is_finite(x: Any) -> bool:
    return x.dtype.kind != "f" or bool(np.isfinite(x).all())


def pair_of(value: Any) -> tuple[int, ...] | None:
    """Two integers from one or two, or None."""
    values = (value, value) if isinstance(value, (int, np.integer)) else value
    if not isinstance(values, (tuple, list, np.ndarray)) or len(values) != 2:
        return None
    return tuple(int(v) for v in values) if all(isinstance(v, (int, np.integer)) for v in values) else None


def in_turn(call: Call, passes: list[tuple[Any, int, str]], cval: float) -> Array:
    """One correlation along an axis after the other, each rounded to the dtype of the output as SciPy does."""
    if not passes:
        call.output[...] = call.x
    for weights, axis, mode in passes:
        along(call, weights, axis, mode, cval, 0)
        call = Call(call.output, call.output)
    return call.output


def gaussian_weights(sigma: float, order: Any, radius: Any, truncate: float) -> Any:
    """SciPy's weights for a correlation, by its own formula; None for arguments that it refuses."""
    if not isinstance(order, (int, np.integer)) or order < 0:
        return None
    r = int(float(truncate) * float(sigma) + 0.5) if radius is None else radius
    if not isinstance(r, (int, np.integer)) or r < 0:
        return None
    x, variance = np.arange(-r, r + 1), float(sigma) * float(sigma)
    phi = np.exp(-0.5 / variance * x**2)
    phi = phi / phi.sum()
    if order == 0:
        return phi[::-1]
    # the derivative of q(x) phi(x) is (q' - x q / variance) phi: a matrix acts on the coefficients of q
    exponents = np.arange(order + 1)
    q = np.zeros(order + 1)
    q[0] = 1
    matrix = np.diag(exponents[1:], 1) + np.diag(np.ones(order) / -variance, -1)
    for _ in range(order):
        q = matrix.dot(q)
    return ((x[:, None] ** exponents).dot(q) * phi)[::-1]


def each_axis(axes: Any, sigma: Any, order: Any, mode: Any, radius: Any) -> list[Pass] | None:
    """(axis, sigma, order, mode, radius) of each axis that is filtered, or None for SciPy to judge."""
    chosen = (0, 1) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    numbers = [axis_of(a) for a in chosen]
    if None in numbers or len(set(numbers)) != len(numbers):
        return None
    each = [sequence_of(v, len(numbers)) for v in (sigma, order, mode, radius)]
    if any(v is None for v in each):
        return None
    lines: list[Pass] = list(zip(numbers, *each, strict=True))  # type: ignore[arg-type]
    if not all(isinstance(s, (int, float, np.integer, np.floating)) and isinstance(m, str) for _, s, _, m, _ in lines):
        return None
    return [one for one in lines if one[1] > 1e-15]


def sequence_of(value: Any, n: int) -> list[Any] | None:
    """n values from one or n, or None."""
    if isinstance(value, (str, int, float, np.number)) or value is None:
        return [value] * n
    if isinstance(value, (Sequence, np.ndarray)) and len(value) == n:
        return list(value)
    return None
