"""Filters of images for dask arrays: each says how far its windows reach."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import ndimage
from ..images import filter2d as filters
from .blocks import Axes, Windows, door


def _filtered(name: str, x: Any, lines: Iterable[tuple[Any, Any, Any, Any]], ranks: tuple[int, ...] = (2,)) -> Axes:
    """Windows of an image, from (axis, taps, taps in front, mode) of each axis that is filtered."""
    if x.ndim not in ranks:
        raise ValueError(f"{name} must have {' or '.join(map(str, ranks))} axes, got shape {x.shape}")
    axes = {k: Windows(1, 0, x.shape[k]) for k in (0, 1)}
    for axis, n, before, mode in lines:
        axes[axis % 2] = Windows(int(n), int(before), x.shape[axis % 2], mode in ("wrap", "grid-wrap"))
    return axes


def _each(axes: Any, *values: Any) -> Iterable[tuple[Any, ...]]:
    """The values of every axis, from one for all or one each."""
    chosen = (0, 1) if axes is None else np.atleast_1d(axes).tolist()
    return zip(chosen, *([v] * len(chosen) if np.ndim(v) == 0 else v for v in values), strict=True)


@door(filters.filter2d, "(H, W) or (H, W, C)")
def filter2d(x: Any, kernel: Any, mode: Any, flip: bool, anchor: Any, **_: Any) -> Axes:
    """Filter an image with a kernel, every channel alike."""
    shape = np.shape(kernel)
    before = [n // 2 for n in shape] if anchor is None else anchor
    lines = ((k, n, n - 1 - b if flip else b, mode) for k, (n, b) in enumerate(zip(shape, before, strict=True)))
    return _filtered("image", x, lines, (2, 3))


def _taps(weights: Any, origin: Any, mode: Any, axes: Any, convolution: bool) -> Iterable[tuple[Any, Any, Any, Any]]:
    """What `_filtered` wants, of SciPy's correlations and convolutions."""
    for axis, n, o in _each(axes, np.shape(weights), origin):
        yield axis, n, n // 2 + (-o - (n % 2 == 0) if convolution else o), mode


@door(ndimage.correlate1d, "(H, W)")
def correlate1d(x: Any, weights: Any, axis: Any, mode: Any, origin: Any, **_: Any) -> Axes:
    """Correlate along one axis."""
    return _filtered("input", x, _taps(weights, origin, mode, axis, convolution=False))


@door(ndimage.convolve1d, "(H, W)")
def convolve1d(x: Any, weights: Any, axis: Any, mode: Any, origin: Any, **_: Any) -> Axes:
    """Convolve along one axis."""
    return _filtered("input", x, _taps(weights, origin, mode, axis, convolution=True))


@door(ndimage.correlate, "(H, W)")
def correlate(x: Any, weights: Any, mode: Any, origin: Any, axes: Any, **_: Any) -> Axes:
    """Correlate with a kernel."""
    return _filtered("input", x, _taps(weights, origin, mode, axes, convolution=False))


@door(ndimage.convolve, "(H, W)")
def convolve(x: Any, weights: Any, mode: Any, origin: Any, axes: Any, **_: Any) -> Axes:
    """Convolve with a kernel."""
    return _filtered("input", x, _taps(weights, origin, mode, axes, convolution=True))


@door(ndimage.gaussian_filter, "(H, W)")
def gaussian_filter(x: Any, sigma: Any, mode: Any, truncate: Any, radius: Any, axes: Any, **_: Any) -> Axes:
    """Gaussian filter."""
    each = ((k, int(truncate * s + 0.5) if r is None else r, m) for k, s, r, m in _each(axes, sigma, radius, mode))
    return _filtered("input", x, ((k, 2 * r + 1, r, m) for k, r, m in each))


@door(ndimage.uniform_filter, "(H, W)")
def uniform_filter(x: Any, size: Any, mode: Any, origin: Any, axes: Any, **_: Any) -> Axes:
    """Mean of a box."""
    return _filtered("input", x, ((k, n, n // 2 + o, m) for k, n, o, m in _each(axes, size, origin, mode) if n > 1))


@door(ndimage.sobel, "(H, W)")
def sobel(x: Any, mode: Any, **_: Any) -> Axes:
    """Sobel filter."""
    return _filtered("input", x, ((k, 3, 1, m) for k, m in _each(None, mode)))


@door(ndimage.prewitt, "(H, W)")
def prewitt(x: Any, mode: Any, **_: Any) -> Axes:
    """Prewitt filter."""
    return _filtered("input", x, ((k, 3, 1, m) for k, m in _each(None, mode)))


@door(ndimage.laplace, "(H, W)")
def laplace(x: Any, mode: Any, axes: Any, **_: Any) -> Axes:
    """Sum of second differences."""
    return _filtered("input", x, ((k, 3, 1, m) for k, m in _each(axes, mode)))
