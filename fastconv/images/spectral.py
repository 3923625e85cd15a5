"""Image filters through plans of convolutions, band by band: what works on a bordered copy gets it in pieces."""

from __future__ import annotations

import numpy as np

from ..core.errors import BackendRefused
from ..core.problem import ConvProblem
from ..core.threads import get_num_threads
from ..core.typing import Array
from ..planning import planner
from . import filtering
from .filtering import Window

BAND_BYTES = 1 << 25  # of the bordered copy


def pays_from(channels: int) -> int:
    """Number of kernel elements from which FFTs beat the direct filter, as measured on images of 1024x1024.

    The planes of a colour image are split and joined, and leave the cache.
    """
    return 16 * 16 if channels == 1 else 20 * 20


def filter_bands(x: Array, kernel: Array, y: Array, see: Window, dtype: str, how: str, engine: str | None) -> bool:
    """Fill ``y`` (OH, OW, C) with the correlation of ``x`` (H, W, C) with ``kernel``; False if a result is not finite.

    ``how`` is "fft", or a backend of `conv2d`, whose results stand as they are.
    """
    spread = how == "fft"
    names = [how if engine is None else f"{how}/{engine}"]
    if spread:
        names.insert(0, names[0].replace("fft", "fft_tiled"))
    (kh, kw), (oh, ow, c) = kernel.shape, y.shape
    w = np.ascontiguousarray(kernel, dtype)[None, None]
    band = max(kh, 64, BAND_BYTES // ((ow + kw - 1) * c * w.itemsize) - kh)
    for i in range(0, oh, band):
        n = min(band, oh - i)
        planes = np.empty((c, 1, n + kh - 1, ow + kw - 1), dtype)
        filtering.split(x, planes[:, 0], see._replace(rows=see.rows[i : i + n + kh - 1]), engine)
        out = np.empty((c, 1, n, ow), dtype)
        _convolve(names, planes, w, out)
        if not filtering.join(out[:, 0], y[i : i + n], engine) and spread:
            return False
        del planes, out  # before the next band's are made
    return True


def _convolve(names: list[str], x: Array, w: Array, y: Array) -> None:
    """Fill ``y`` by the first backend that can; the last one says why not."""
    p, threads = ConvProblem.from_shapes(x.shape, w.shape, dtype=w.dtype.name), get_num_threads()
    for name in names:
        try:
            plan = planner.plan(p, "forward", name, None, threads, w=w)
        except BackendRefused:  # kernels too large for tiles in cache
            if name == names[-1]:
                raise
        else:
            break
    plan.run(x, w, y)
