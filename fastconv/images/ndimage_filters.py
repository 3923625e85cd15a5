"""The filters of scipy.ndimage that are passes along axes: what each of them asks for, axis by axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from .ndimage_calls import (
    Line,
    Listed,
    Odd,
    Terms,
    axes_of,
    axis_of,
    border,
    correlation,
    each,
    gaussian_lines,
    number,
    origin_of,
    whole,
)

_DIFFERENCE, _SECOND = np.array([-1.0, 0.0, 1.0]), np.array([1.0, -2.0, 1.0])
_ACROSS = {"sobel": np.array([1.0, 2.0, 1.0]), "prewitt": np.array([1.0, 1.0, 1.0])}


def line(ndim: int, weights: bytes | None, axis: Any, mode: Any, cval: Any, origin: Any, convolution: bool) -> Terms:
    """A correlation or convolution along one axis, by the bytes of float64 weights."""
    if not isinstance(weights, bytes):
        raise Odd
    w = np.frombuffer(weights)
    if convolution:
        w, origin = w[::-1], -whole(origin) - (len(w) % 2 == 0)
    return Terms([[correlation(axis_of(axis, ndim), w, mode, cval, origin)]])


def gaussian1d(ndim: int, sigma: Any, axis: Any, order: Any, mode: Any, cval: Any, truncate: Any, radius: Any) -> Terms:
    """One pass, also for a sigma that `gaussian` leaves out."""
    if isinstance(radius, Listed) or not number(sigma) > 1e-15:
        raise Odd
    return Terms([gaussian_lines([axis_of(axis, ndim)], sigma, order, mode, cval, truncate, radius)])


def gaussian(ndim: int, sigma: Any, order: Any, mode: Any, cval: Any, truncate: Any, radius: Any, axes: Any) -> Terms:
    """One line of weights after the other."""
    return Terms([gaussian_lines(axes_of(axes, ndim), sigma, order, mode, cval, truncate, radius)])


def uniform1d(ndim: int, size: Any, axis: Any, mode: Any, cval: Any, origin: Any) -> Terms:
    """A running mean."""
    n = whole(size, 1)
    return Terms([[Line(axis_of(axis, ndim), None, n, border(mode), number(cval), origin_of(origin, n))]])


def uniform(ndim: int, size: Any, mode: Any, cval: Any, origin: Any, axes: Any) -> Terms:
    """One running mean after the other; SciPy cuts sizes to whole numbers."""
    chosen = axes_of(axes, ndim)
    asked = zip(chosen, *(each(v, len(chosen)) for v in (size, origin, mode)), strict=True)
    kept = [(axis, int(n), o, m) for axis, n, o, m in asked if 1 < number(n) < float("inf")]
    return Terms([[Line(axis, None, n, border(m), number(cval), origin_of(o, n)) for axis, n, o, m in kept]])


def gradient(ndim: int, name: str, axis: Any, mode: Any, cval: Any) -> Terms:
    """Differences along an axis, smoothed along the others."""
    k, modes = axis_of(axis, ndim), each(mode, ndim)
    others = [correlation(j, _ACROSS[name], modes[j], cval) for j in range(ndim) if j != k]
    return Terms([[correlation(k, _DIFFERENCE, modes[k], cval), *others]])


def laplace(ndim: int, mode: Any, cval: Any, axes: Any) -> Terms:
    """The sum of second differences."""
    chosen = axes_of(axes, ndim)
    modes = zip(chosen, each(mode, len(chosen)), strict=True)
    return Terms([[correlation(k, _SECOND, m, cval)] for k, m in modes] or [[]])


def gaussian_laplace(ndim: int, sigma: Any, mode: Any, cval: Any, truncate: Any, radius: Any, axes: Any) -> Terms:
    """The sum of second Gaussian derivatives; other axes than those named have a sigma of nought."""
    chosen = axes_of(axes, ndim)
    sigmas: list[Any] = [0] * ndim
    for axis, s in zip(chosen, each(sigma, len(chosen)), strict=True):
        sigmas[axis] = s
    return _derivatives(2, ndim, chosen, sigmas, mode, cval, truncate, radius)


def gaussian_gradient_magnitude(
    ndim: int, sigma: Any, mode: Any, cval: Any, truncate: Any, radius: Any, axes: Any
) -> Terms:
    """The root of the sum of squared first Gaussian derivatives; sigma is that of all axes."""
    chosen = axes_of(axes, ndim)
    if not chosen:
        return Terms([[]])
    terms = _derivatives(1, ndim, chosen, each(sigma, ndim), mode, cval, truncate, radius)
    return Terms(terms.chains, magnitude=True)


def _derivatives(
    order: int, ndim: int, chosen: list[int], sigmas: list[Any], mode: Any, cval: Any, truncate: Any, radius: Any
) -> Terms:
    """A Gaussian derivative along each chosen axis, smoothed along all; its mode is that of all its passes."""
    sigma, chains = Listed(tuple(sigmas), ()), []
    for axis, m in zip(chosen, each(mode, len(chosen)), strict=True):
        orders = Listed(tuple(order if k == axis else 0 for k in range(ndim)), ())
        chains.append(gaussian_lines(list(range(ndim)), sigma, orders, m, cval, truncate, radius))
    return Terms(chains or [[]])
