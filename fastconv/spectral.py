"""Image filters through `conv2d` or FFTs, band by band: whatever works on a bordered copy gets it in small pieces."""

from __future__ import annotations

from typing import Any

import numpy as np

from .api import conv2d
from .engines.loader import absent
from .errors import BackendRefused
from .filtering import Window

BAND_BYTES = 1 << 25  # of the bordered copy


def pays_from() -> int:
    """Number of kernel elements from which FFTs beat the direct filter, as measured on images of 1024x1024."""
    return 16 * 16 if has_tiles() else 45 * 45


def has_tiles() -> bool:
    """Whether the tiles of FFTs that stay in cache are compiled here; SciPy's transforms pay later."""
    return absent("cython") is None


def filter_bands(x: Any, kernel: Any, y: Any, see: Window, dtype: str, how: str, engine: str | None) -> bool:
    """Fill ``y`` (OH, OW, C) with the correlation of ``x`` (H, W, C) with ``kernel``; False if a result is not finite.

    ``how`` is "fft", or a backend of `conv2d`, whose results stand as they are.
    """
    spread = how == "fft"
    names = [how if engine is None else f"{how}/{engine}"]
    if spread and has_tiles() and engine != "numba":
        names.insert(0, "fft_tiled")
    (kh, kw), (oh, ow, c) = kernel.shape, y.shape
    w = kernel.astype(dtype)
    band = max(kh, 64, BAND_BYTES // ((ow + kw - 1) * c * w.itemsize) - kh)
    for i in range(0, oh, band):
        n = min(band, oh - i)
        planes = bordered(x, see, i, n + kh - 1, dtype)
        out = _first(names, planes[:, None], w[None, None])[:, 0]
        if spread and not np.isfinite(out).all():
            return False
        y[i : i + n] = to_image(out.transpose(1, 2, 0), y.dtype)
    return True


def _first(names: list[str], x: Any, w: Any) -> Any:
    """By the first backend that does it; the last one says why not."""
    for name in names[:-1]:
        try:
            return conv2d(x, w, backend=name)
        except BackendRefused:  # kernels too large for tiles in cache
            continue
    return conv2d(x, w, backend=names[-1])


def bordered(x: Any, see: Window, first: int, count: int, dtype: str) -> Any:
    """Rows ``first : first + count`` of the bordered image as planes (C, count, columns)."""
    rows, cols = see.rows[first : first + count], see.cols
    planes = np.empty((x.shape[2], count, len(cols)), dtype)
    start, end = see.inside
    for q in (*range(start), *range(end, len(cols))):
        planes[:, :, q] = x[rows, cols[q]].T if cols[q] >= 0 else see.cval
    if end > start:
        planes[:, :, start:end] = x[rows, cols[start] : cols[start] + end - start].transpose(2, 0, 1)
    planes[:, rows < 0] = see.cval
    return planes


def to_image(a: Any, dtype: Any) -> Any:
    """Results of a float dtype as numbers of an image: integers are rounded and saturated."""
    if dtype.kind == "f":
        return a
    limits = np.iinfo(dtype)
    return np.fmin(np.fmax(np.rint(a), limits.min), limits.max)  # NaN becomes the least
