"""Drop-in for the 2-D linear filters of `scipy.ndimage`: same arguments, same results, many times as fast.

Real images of two axes are computed here in float64, by the sums of SciPy in SciPy's order, so that results are the
same numbers, also where integers are truncated. Everything else (other ranks and dtypes, complex numbers, masked or
odd arguments) is handed to SciPy, whose errors are therefore the ones that a caller sees. scipy.ndimage is imported
on the first call that needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import filtering
from .filters import MODES

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

#: axis, sigma or size, order or origin, mode, radius
_Pass = tuple[Any, Any, Any, Any, Any]
_EPSILON = np.finfo(np.float64).eps


def _scipy(name: str, *args: Any, **kwargs: Any) -> Any:
    from scipy import ndimage

    return getattr(ndimage, name)(*args, **kwargs)


# ---- what can be computed here, and where the result goes ----


class _Call(NamedTuple):
    """An image that can be filtered here, and the array of its result."""

    x: Any
    output: Any

    def results(self) -> Any:
        """(H, W, 1) for the steps to fill: the output itself where they can write to it."""
        y = self.output
        if filtering.computable(y.dtype) and y.flags.c_contiguous and y.flags.aligned and not self._overlaps():
            return y[:, :, None]
        return np.empty((*y.shape, 1), y.dtype if filtering.computable(y.dtype) else np.float64)

    def finish(self, y: Any) -> Any:
        if not np.may_share_memory(y, self.output):
            self.output[...] = _as_integers(y[:, :, 0]) if self.output.dtype.kind in "iub" else y[:, :, 0]
        return self.output

    def _overlaps(self) -> bool:
        return bool(np.may_share_memory(self.x, self.output))


def _as_integers(y: Any) -> Any:
    return y.astype(np.int64) if y.dtype.kind == "f" else y


def _call(input: Any, output: Any, mode: Any, cval: Any) -> _Call | None:
    """None where SciPy must do it: no plain 2-D image of real numbers, or arguments that deserve its errors."""
    if not isinstance(mode, str) or mode not in MODES or not isinstance(cval, (int, float, np.integer, np.floating)):
        return None
    x = np.asarray(input)
    if x.ndim != 2 or not x.size or not _real(x.dtype):
        return None
    if output is None:
        output = x.dtype.name
    if isinstance(output, (type, str, np.dtype)):
        try:
            dtype = np.dtype(output)
        except TypeError:
            return None
        out = np.zeros(x.shape, dtype) if _real(dtype) else None
    elif isinstance(output, np.ndarray) and output.shape == x.shape and output.flags.writeable:
        out = output if _real(output.dtype) else None
    else:
        out = None
    return None if out is None else _Call(x, out)


def _real(dtype: Any) -> bool:
    return (dtype.kind in "iu" and dtype != np.uint64) or dtype in (np.dtype("f4"), np.dtype("f8"))


def _image(x: Any) -> Any:
    """(H, W, 1) as the steps read it."""
    if not filtering.computable(x.dtype):
        x = x.astype(np.float64)  # exact up to 2**53, as SciPy does it
    return np.require(x, None, ("C", "A"))[:, :, None]


# ---- along one axis ----


def _along(call: _Call, weights: Any, axis: int, mode: str, cval: float, origin: int) -> Any:
    n = len(weights)
    y = call.results()
    filtering.line(_image(call.x), weights, _sign(weights), y, _see(call, n, axis, mode, cval, origin))
    return call.finish(y)


def _see(call: _Call, n: int, axis: int, mode: str, cval: float, origin: int) -> filtering.Window:
    """The window of n taps along one axis."""
    first, count = [0, 0], list(call.x.shape)
    first[axis], count[axis] = -(n // 2) - origin, count[axis] + n - 1
    name = MODES[mode]
    return filtering.window(call.x.shape, (first[0], first[1]), (count[0], count[1]), (name, name), cval)


def _sign(weights: Any) -> int:
    """1 or -1 for weights that SciPy takes for (anti-)symmetric: an odd number of them, equal to within epsilon."""
    if len(weights) % 2 == 0:
        return 0
    left, right = weights[: len(weights) // 2], weights[: len(weights) // 2 : -1]
    if (np.abs(left - right) <= _EPSILON).all():
        return 1
    return -1 if (np.abs(left + right) <= _EPSILON).all() else 0


def _weights(weights: Any) -> Any:
    """Real weights as SciPy uses them, or None."""
    w = np.asarray(weights)
    return w.astype(np.float64) if w.dtype.kind in "iufb" and w.size else None


def _axis(axis: Any) -> int | None:
    return int(axis) % 2 if isinstance(axis, (int, np.integer)) and -2 <= axis < 2 else None


def _origin(origin: Any, n: int) -> int | None:
    """The origin if it is legal for n taps."""
    return int(origin) if isinstance(origin, (int, np.integer)) and -(n // 2) <= origin <= (n - 1) // 2 else None


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
    call, w, k = _call(input, output, mode, cval), _weights(weights), _axis(axis)
    if call is not None and w is not None and w.ndim == 1 and k is not None:
        shift = _origin(origin, len(w))
        if shift is not None:
            return _along(call, w, k, mode, cval, shift)
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
    call, w, k = _call(input, output, mode, cval), _weights(weights), _axis(axis)
    if call is not None and w is not None and w.ndim == 1 and k is not None and isinstance(origin, (int, np.integer)):
        shift = _origin(-origin - (len(w) % 2 == 0), len(w))
        if shift is not None:
            return _along(call, w[::-1], k, mode, cval, shift)
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
    call, w = _call(input, output, mode, cval), _weights(weights)
    if call is None or w is None or w.ndim != 2 or (axes is not None and tuple(np.atleast_1d(axes)) not in _BOTH):
        return None
    shifts = _pair(origin)
    if shifts is None:
        return None
    if convolution:
        w = w[::-1, ::-1]
        shifts = tuple(-s - (n % 2 == 0) for s, n in zip(shifts, w.shape, strict=True))
    if any(_origin(s, n) is None for s, n in zip(shifts, w.shape, strict=True)):
        return None
    used = np.abs(w) > _EPSILON
    shape, name = call.x.shape, MODES[mode]
    see = filtering.window(
        shape, (-(w.shape[0] // 2) - shifts[0], -(w.shape[1] // 2) - shifts[1]),
        (shape[0] + w.shape[0] - 1, shape[1] + w.shape[1] - 1), (name, name), cval,
    )  # fmt: skip
    if not used.all() and not (_finite(call.x) and np.isfinite(cval)):
        return None  # SciPy leaves out what it takes for zero, and so does not make NaN of 0 * Inf
    y = call.results()
    filtering.direct(_image(call.x), np.where(used, w, 0.0), y, see, "float64")
    return call.finish(y)


_BOTH = ((0, 1), (-2, -1), (0, -1), (-2, 1))


def _finite(x: Any) -> bool:
    return x.dtype.kind != "f" or bool(np.isfinite(x).all())


def _pair(value: Any) -> tuple[int, ...] | None:
    """Two integers from one or two, or None."""
    values = (value, value) if isinstance(value, (int, np.integer)) else value
    if not isinstance(values, (tuple, list, np.ndarray)) or len(values) != 2:
        return None
    return tuple(int(v) for v in values) if all(isinstance(v, (int, np.integer)) for v in values) else None


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
    lines = _each_axis(axes, sigma, order, mode, radius)
    call = None if lines is None else _call(input, output, lines[0][3] if lines else "reflect", cval)
    if lines is not None and call is not None:
        kernels = [_gaussian(s, o, r, truncate) for _, s, o, _, r in lines]
        if all(k is not None for k in kernels) and all(m in MODES for *_, m, _ in lines):
            return _in_turn(call, [(k, axis, m) for k, (axis, _, _, m, _) in zip(kernels, lines, strict=True)], cval)
    return _scipy("gaussian_filter", input, sigma, order, output, mode, cval, truncate, radius=radius, axes=axes)


def _in_turn(call: _Call, passes: list[tuple[Any, int, str]], cval: float) -> Any:
    """One correlation along an axis after the other, each rounded to the dtype of the output as SciPy does."""
    if not passes:
        call.output[...] = call.x
    for weights, axis, mode in passes:
        _along(call, weights, axis, mode, cval, 0)
        call = _Call(call.output, call.output)
    return call.output


def _gaussian(sigma: float, order: Any, radius: Any, truncate: float) -> Any:
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


def _each_axis(axes: Any, sigma: Any, order: Any, mode: Any, radius: Any) -> list[_Pass] | None:
    """(axis, sigma, order, mode, radius) of each axis that is filtered, or None for SciPy to judge."""
    chosen = (0, 1) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    numbers = [_axis(a) for a in chosen]
    if None in numbers or len(set(numbers)) != len(numbers):
        return None
    each = [_sequence(v, len(numbers)) for v in (sigma, order, mode, radius)]
    if any(v is None for v in each):
        return None
    lines: list[_Pass] = list(zip(numbers, *each, strict=True))  # type: ignore[arg-type]
    if not all(isinstance(s, (int, float, np.integer, np.floating)) and isinstance(m, str) for _, s, _, m, _ in lines):
        return None
    return [one for one in lines if one[1] > 1e-15]


def _sequence(value: Any, n: int) -> list[Any] | None:
    """n values from one or n, or None."""
    if isinstance(value, (str, int, float, np.number)) or value is None:
        return [value] * n
    if isinstance(value, (Sequence, np.ndarray)) and len(value) == n:
        return list(value)
    return None


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
    lines = _each_axis(axes, size, origin, mode, None)
    call = None if lines is None else _call(input, output, lines[0][3] if lines else "reflect", cval)
    if lines is not None and call is not None:
        lines = [one for one in lines if not one[1] <= 1]
        if all(
            isinstance(n, (int, np.integer)) and m in MODES and _origin(o, int(n)) is not None
            for _, n, o, m, _ in lines
        ):
            if not lines:
                call.output[...] = call.x
            for axis, n, shift, m, _ in lines:
                y = call.results()
                filtering.running(_image(call.x), y, _see(call, int(n), axis, m, cval, int(shift)))
                call.finish(y)
                call = _Call(call.output, call.output)
            return call.output
    return _scipy("uniform_filter", input, size, output, mode, cval, origin, axes=axes)


_DIFFERENCE, _SECOND = np.array([-1.0, 0.0, 1.0]), np.array([1.0, -2.0, 1.0])
_ACROSS = {"sobel": np.array([1.0, 2.0, 1.0]), "prewitt": np.array([1.0, 1.0, 1.0])}


def _gradient(name: str, input: Any, axis: Any, output: Any, mode: Any, cval: Any) -> Any:
    """Differences along an axis, smoothed along the other."""
    k, modes = _axis(axis), _sequence(mode, 2)
    call = None if k is None or modes is None else _call(input, output, modes[k], cval)
    if call is None or k is None or modes is None or not isinstance(modes[1 - k], str) or modes[1 - k] not in MODES:
        return _scipy(name, input, axis, output, mode, cval)
    return _in_turn(call, [(_DIFFERENCE, k, modes[k]), (_ACROSS[name], 1 - k, modes[1 - k])], cval)


def sobel(input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: float = 0.0) -> Any:
    """Sobel filter; see `scipy.ndimage.sobel` for the arguments, the result and the errors."""
    return _gradient("sobel", input, axis, output, mode, cval)


def prewitt(input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: float = 0.0) -> Any:
    """Prewitt filter; see `scipy.ndimage.prewitt` for the arguments, the result and the errors."""
    return _gradient("prewitt", input, axis, output, mode, cval)


def laplace(input: Any, output: Any = None, mode: Any = "reflect", cval: float = 0.0, *, axes: Any = None) -> Any:
    """Sum of second differences; see `scipy.ndimage.laplace` for the arguments, the result and the errors."""
    lines = _each_axis(axes, 1, 0, mode, None)
    call = _call(input, output, lines[0][3], cval) if lines else None
    if call is None or not lines or any(m not in MODES for *_, m, _ in lines):
        return _scipy("laplace", input, output, mode, cval, axes=axes)
    _along(call, _SECOND, lines[0][0], lines[0][3], cval, 0)
    for axis, _, _, m, _ in lines[1:]:
        more = _Call(call.x, np.empty_like(call.output, order="C"))
        np.add(call.output, _along(more, _SECOND, axis, m, cval, 0), call.output, casting="unsafe")
    return call.output
