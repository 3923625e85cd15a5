"""Image filters through `conv2d` or FFTs, band by band: whatever works on a bordered copy gets it in small pieces."""

from __future__ import annotations

from typing import Any

import numpy as np

from .api import conv2d
from .errors import BackendRefused
from .filtering import Window
from .registry import list_backends
from .threads import get_num_threads

BAND_BYTES = 1 << 25  # of the bordered copy
_TILES = "fft_tiled"


def pays_from() -> int:
    """Number of kernel elements from which FFTs beat the direct filter."""
    return 13 * 13 if has_tiles() else 45 * 45


def has_tiles() -> bool:
    """Whether convolution in tiles of FFTs is there, the fastest for large kernels."""
    return any(name.startswith(_TILES + "/") for name in list_backends())


def filter_bands(x: Any, kernel: Any, y: Any, see: Window, dtype: str, how: str, engine: str | None) -> bool:
    """Fill ``y`` (OH, OW, C) with the correlation of ``x`` (H, W, C) with ``kernel``; False if a result is not finite.

    ``how`` is "fft", or a backend of `conv2d`, whose results stand as they are.
    """
    spread = how == "fft"
    if spread and has_tiles():
        how = _TILES
    name = how if engine is None or how == "fft" else f"{how}/{engine}"
    (kh, kw), (oh, ow, c) = kernel.shape, y.shape
    w = kernel.astype(dtype)
    band = max(kh, 64, BAND_BYTES // ((ow + kw - 1) * c * w.itemsize) - kh)
    for i in range(0, oh, band):
        n = min(band, oh - i)
        planes = bordered(x, see, i, n + kh - 1, dtype)
        out = None
        if how != "fft":
            try:
                out = conv2d(planes[:, None], w[None, None], backend=name)[:, 0]
            except BackendRefused:
                if not spread:
                    raise
        if out is None:
            out = overlap_save(planes, w)
        if spread and not np.isfinite(out).all():
            return False
        y[i : i + n] = to_image(out.transpose(1, 2, 0), y.dtype)
    return True


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


def overlap_save(planes: Any, w: Any) -> Any:
    """Valid correlation of planes (C, H, W) with w (KH, KW) by FFTs of tiles that overlap by the kernel.

    Circular products of a tile are right where the kernel does not wrap around: "overlap-save", Oppenheim and
    Schafer, Discrete-Time Signal Processing, section 8.7.
    """
    from scipy import fft

    (kh, kw), (c, h, width) = w.shape, planes.shape
    oh, ow = h - kh + 1, width - kw + 1
    th, tw = (fft.next_fast_len(min(n, max(256, 4 * k)), real=True) for n, k in ((h, kh), (width, kw)))
    sh, sw = th - kh + 1, tw - kw + 1
    threads = get_num_threads()
    spectrum = np.conj(fft.rfft2(w, (th, tw)))
    out = np.empty((c, oh, ow), w.dtype)
    for i in range(0, oh, sh):
        for j in range(0, ow, sw):
            tile = planes[:, i : i + th, j : j + tw]
            product = fft.rfft2(tile, (th, tw), workers=threads)
            product *= spectrum
            valid = fft.irfft2(product, (th, tw), workers=threads, overwrite_x=True)
            out[:, i : i + sh, j : j + sw] = valid[:, : min(sh, oh - i), : min(sw, ow - j)]
    return out
