"""An image and a kernel become a call of the algorithm that suits them."""

from __future__ import annotations

import numpy as np

from ..core.errors import BackendRefused
from ..core.typing import Array
from . import filtering, spectral
from .filtering import Window


def correlate(x: Array, kernel: Array, y: Array, see: Window, how: str = "auto", engine: str | None = None) -> None:
    """Fill ``y`` (OH, OW, C) by the algorithm ``how``; ``x`` (H, W, C) and ``y`` are images that steps can read.

    Sums are of float64 if either is, and then ``y`` must be; else of float32.
    """
    dtype = "float64" if 8 in (x.itemsize, y.itemsize) else "float32"
    small = kernel.size <= (8 if x.dtype == np.uint8 else 15) or 1 in kernel.shape  # two passes would not pay
    factors = filtering.factors(kernel, dtype) if how == "separable" or (how == "auto" and not small) else None
    if how == "separable" and factors is None:
        raise BackendRefused("method 'separable' refuses: the kernel is not a column times a row")
    if how == "auto":
        how = choose(kernel.shape, factors is not None, x.shape[2])
    if how == "separable" and factors is not None:
        filtering.separable(x, *factors, y, see, dtype, engine)
    elif how == "direct" or not spectral.filter_bands(x, kernel, y, see, dtype, how, engine):
        filtering.direct(x, kernel, y, see, dtype, engine)


def choose(shape: tuple[int, int], separable: bool, channels: int = 1) -> str:
    """The algorithm for a kernel of ``shape``: where each begins to pay, from measurements of 1024x1024 images."""
    kh, kw = shape
    if separable:
        return "separable"
    return "fft" if kh * kw >= spectral.pays_from(channels) and min(kh, kw) > 8 else "direct"
