"""Normalised convolution: the mean of the pixels that are there, weighed with the kernel.

``sum(w k x) / sum(w k)`` over the window of every pixel, where the weight w of a pixel is zero if it is missing
(Knutsson and Westin, "Normalized and differential convolution", 1993). Both sums are ordinary filters; as two channels
of one image they take as long as one after the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..core.arrays import foreign
from ..core.typing import Array
from . import filtering
from .correlation import correlate
from .filtering import Window


def presence(x: Array, weights: Array | None, ignore_nan: bool, holes: Array | None) -> Array | None:
    """Weights of an image (H, W, C) as (H, W, C) or (H, W, 1), zero where a pixel is missing; None if all are one.

    Boolean where no ``weights``, as `weights_of` has them, are given; ``holes`` are missing pixels.
    """
    missing = np.isnan(x) if ignore_nan and x.dtype.kind == "f" else None
    if missing is not None and not missing.any():
        missing = None
    if holes is not None:
        missing = holes.reshape(x.shape) if missing is None else missing | holes.reshape(x.shape)
    if weights is None:
        return None if missing is None else ~missing
    return weights if missing is None else np.where(missing, 0, weights)


def weights_of(weights: Any, shape: tuple[int, ...]) -> Array:
    """Those of an image of ``shape`` as (H, W, C) or (H, W, 1).

    Raises
    ------
    TypeError, ValueError
        If ``weights`` are not of this shape, or (H, W), or hold anything but finite real numbers of at least 0.
    """
    w = foreign("weights", weights)
    if w.dtype.kind not in "buif":
        raise TypeError(f"weights must hold real numbers, got {w.dtype}")
    if w.shape not in (shape, shape[:2]):
        raise ValueError(f"weights must have shape {' or '.join(map(str, {shape[:2], shape}))}, got {w.shape}")
    if w.dtype.kind != "b" and not (np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError("weights must be finite and at least 0")
    return w if w.ndim == 3 else w[:, :, None]


def sums(
    x: Array, there: Array | None, kernel: Array, see: Window, how: str, engine: str | None, dtype: Any, fill: float
) -> tuple[Array, Array]:
    """Numerator (OH, OW, C) and denominator (OH, OW, C), (OH, OW, 1) or (1, 1, 1), of the float ``dtype``.

    Pixels outside count ``fill`` where the window shows none, 0 or 1.
    """
    top = np.empty((len(see.rows) - len(kernel) + 1, len(see.cols) - kernel.shape[1] + 1, x.shape[2]), dtype)
    if there is None and fill == 1:
        correlate(x, kernel, top, see, how, engine)
        return top, np.full((1, 1, 1), kernel.sum(), dtype)
    if there is None:
        w, seen = np.ones((*x.shape[:2], 1), np.uint8), x
    elif there.dtype == bool:
        w, seen = np.require(there, requirements="C").view(np.uint8), np.where(there, x, 0)
    else:
        w = there.astype(dtype)
        seen = np.where(w > 0, x, 0) * w  # not x alone: zero times NaN would be NaN
    below = np.empty((*top.shape[:2], w.shape[2]), dtype)
    outside = see if fill == 1 else replace(see, cval=0.0, kept=False)
    correlate(np.require(seen, requirements="C"), kernel, top, outside, how, engine)
    correlate(w, kernel, below, replace(see, cval=fill, zeros=None, kept=False), how, engine)
    return top, below


def means(
    x: Array,
    there: Array | None,
    kernel: Array,
    see: Window,
    how: str,
    engine: str | None,
    dtype: Any,
    ignore_nan: bool,
) -> Array:
    """The quotient (OH, OW, C), for an image of ``dtype``: NaN, or 0 for integers, where the denominator is zero.

    Raises
    ------
    ValueError
        If the kernel sums to zero, as kernels of derivatives do.
    """
    compute = np.result_type(x.dtype, dtype, np.float32)
    size, epsilon = np.abs(kernel).sum(), np.finfo(compute).eps
    if abs(kernel.sum()) <= 4 * epsilon * size:
        raise ValueError("kernel must not sum to zero where pixels are weighed (weights, or nan='ignore')")
    fill = 0.0 if ignore_nan and np.isnan(see.cval) else 1.0
    how = exact(kernel, how, compute.name)
    top, below = sums(x, there, kernel, see, how, engine, compute, fill)
    largest = 1.0 if there is None else max(1.0, float(there.max()))
    none = np.abs(below) <= (16 * epsilon * size * largest if how == "fft" else 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        top /= below
    if none.any():
        np.copyto(top, np.nan if np.dtype(dtype).kind == "f" else 0, where=none)
    return top


def exact(kernel: Array, how: str, dtype: str) -> str:
    """The algorithm, of those in which windows without a pixel sum to zero unless another is named."""
    if how != "auto":
        return how
    if kernel.size <= 15 or 1 in kernel.shape:  # two passes would not pay
        return "direct"
    factors = filtering.factors(kernel, dtype)
    return "direct" if factors is None or (np.outer(*factors)[kernel == 0] != 0).any() else "separable"
