"""Image filters through `conv2d` or FFTs, band by band: whatever works on a bordered copy gets it in small pieces."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import BackendRefused
from ..operations.conv2d import conv2d
from . import filtering
from .filtering import Window

BAND_BYTES = 1 << 25  # of the bordered copy


def pays_from(channels: int) -> int:
    """Number of kernel elements from which FFTs beat the direct filter, as measured on images of 1024x1024.

    The planes of a colour image are split and joined, and leave the cache.
    """
    return 16 * 16 if channels == 1 else 20 * 20


def filter_bands(x: Any, kernel: Any, y: Any, see: Window, dtype: str, how: str, engine: str | None) -> bool:
    """Fill ``y`` (OH, OW, C) with the correlation of ``x`` (H, W, C) with ``kernel``; False if a result is not finite.

    ``how`` is "fft", or a backend of `conv2d`, whose results stand as they are.
    """
    spread = how == "fft"
    names = [how if engine is None else f"{how}/{engine}"]
    if spread:
        names.insert(0, names[0].replace("fft", "fft_tiled"))
    (kh, kw), (oh, ow, c) = kernel.shape, y.shape
    w = kernel.astype(dtype)
    band = max(kh, 64, BAND_BYTES // ((ow + kw - 1) * c * w.itemsize) - kh)
    for i in range(0, oh, band):
        n = min(band, oh - i)
        planes = np.empty((c, n + kh - 1, ow + kw - 1), dtype)
        filtering.split(x, planes, see._replace(rows=see.rows[i : i + n + kh - 1]), engine)
        out = _first(names, planes[:, None], w[None, None])[:, 0]
        if not filtering.join(np.ascontiguousarray(out), y[i : i + n], engine) and spread:
            return False
    return True


def _first(names: list[str], x: Any, w: Any) -> Any:
    """By the first backend that does it; the last one says why not."""
    for name in names[:-1]:
        try:
            return conv2d(x, w, backend=name)
        except BackendRefused:  # kernels too large for tiles in cache
            continue
    return conv2d(x, w, backend=names[-1])
