"""The arguments of scipy.ndimage: what can be computed here, in a form that can be looked up; None is SciPy's to judge.

A call of a small image takes a few microseconds, so that whatever does not depend on pixels is kept between calls,
by its arguments: they are made hashable here, and never two that SciPy tells apart look alike.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..core.typing import Array
from .filtering import MODES

_PLAIN = {str, bytes, int, float, bool, type(None)}
#: radius of the longest weights that are kept
_LONGEST = 1 << 14
_NUMBERS = (int, float, np.integer, np.floating)


class Odd(Exception):
    """An argument that SciPy must judge."""


class Listed(NamedTuple):
    """A sequence: 1 and 1.0 are equal, but float32 numbers give another Gaussian, and no radius is 1.0."""

    values: tuple[Any, ...]
    types: tuple[type, ...]


class Line(NamedTuple):
    """A pass along one axis."""

    axis: int
    weights: Array | None  # of a correlation; None: a running mean
    size: int
    mode: str  # of `core.borders`
    cval: float
    origin: int

    @property
    def first(self) -> int:
        """Where the window of the first pixel begins."""
        return -(self.size // 2) - self.origin


class Terms(NamedTuple):
    """Each chain of passes is a term; the result is their sum, or the root of the sum of their squares."""

    chains: list[list[Line]]
    magnitude: bool = False


def freeze(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments that can be looked up."""
    return args if _PLAIN.issuperset(map(type, args)) else tuple(map(frozen, args))


def frozen(value: Any) -> Any:
    """An argument that can be looked up."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray):
        value = value[()] if value.ndim == 0 else list(value)
    if isinstance(value, (list, tuple)):
        values = [frozen(v) for v in value]
        if any(isinstance(v, Listed) for v in values):
            raise Odd
        return Listed(tuple(values), tuple(map(type, values)))
    if isinstance(value, np.generic):
        return value
    raise Odd


def is_real(dtype: Any) -> bool:
    """Dtypes whose numbers are computed here."""
    return (dtype.kind in "iu" and dtype.itemsize <= 8 and dtype != np.uint64) or (
        dtype.kind == "f" and dtype.itemsize in (4, 8)
    )


def number(value: Any) -> float:
    if not isinstance(value, _NUMBERS):
        raise Odd
    return float(value)


def whole(value: Any, low: int | None = None) -> int:
    if not isinstance(value, (int, np.integer)) or (low is not None and value < low):
        raise Odd
    return int(value)


def border(mode: Any) -> str:
    if not isinstance(mode, str) or mode not in MODES:
        raise Odd
    return MODES[mode]


def axis_of(axis: Any, ndim: int) -> int:
    if not -ndim <= whole(axis) < ndim:
        raise Odd
    return int(axis) % ndim


def axes_of(axes: Any, ndim: int) -> list[int]:
    """All axes, or those that are named."""
    if axes is None:
        return list(range(ndim))
    found = [axis_of(a, ndim) for a in (axes.values if isinstance(axes, Listed) else (axes,))]
    if len(set(found)) < len(found):
        raise Odd
    return found


def each(value: Any, n: int) -> list[Any]:
    """n values from one or n."""
    if not isinstance(value, Listed):
        return [value] * n
    if len(value.values) != n:
        raise Odd
    return list(value.values)


def origin_of(origin: Any, n: int) -> int:
    """The origin, if it is legal for n taps."""
    if not -(n // 2) <= whole(origin) <= (n - 1) // 2:
        raise Odd
    return int(origin)


def correlation(axis: int, weights: Array, mode: Any, cval: Any, origin: Any = 0) -> Line:
    return Line(axis, weights, len(weights), border(mode), number(cval), origin_of(origin, len(weights)))


def gaussian_lines(
    axes: list[int], sigma: Any, order: Any, mode: Any, cval: Any, truncate: Any, radius: Any
) -> list[Line]:
    """One pass for each axis whose sigma is not nought."""
    asked = zip(axes, *(each(v, len(axes)) for v in (sigma, order, mode, radius)), strict=True)
    return [
        correlation(axis, gaussian_weights(s, o, r, truncate), m, cval)
        for axis, s, o, m, r in asked
        if number(s) > 1e-15
    ]


@lru_cache(256, typed=True)
def gaussian_weights(sigma: Any, order: Any, radius: Any, truncate: Any) -> Array:
    """SciPy's weights for a correlation, by its own formula in the precision of ``sigma``."""
    number(truncate)
    if not np.isfinite(sigma) or not np.isfinite(truncate):
        raise Odd
    o, r = whole(order, 0), whole(int(truncate * float(sigma) + 0.5) if radius is None else radius, 0)
    if r > _LONGEST:
        raise Odd
    with np.errstate(all="ignore"):
        x, variance = np.arange(-r, r + 1), sigma * sigma
        phi = np.exp(-0.5 / variance * x**2)
        phi = phi / phi.sum()
        if o > 0:  # the derivative of q(x) phi(x) is (q' - x q / variance) phi: a matrix acts on the coefficients of q
            exponents = np.arange(o + 1)
            q = np.zeros(o + 1)
            q[0] = 1
            matrix = np.diag(exponents[1:], 1) + np.diag(np.ones(o) / -variance, -1)
            for _ in range(o):
                q = matrix.dot(q)
            phi = (x[:, None] ** exponents).dot(q) * phi
    weights = np.ascontiguousarray(phi[::-1], np.float64)
    weights.flags.writeable = False
    return weights


def weights_of(weights: Any) -> bytes | None:
    """Real weights along an axis, as the bytes of float64 numbers."""
    w = np.asarray(weights)
    return w.astype(np.float64, copy=False).tobytes() if w.ndim == 1 and w.size and w.dtype.kind in "iufb" else None
