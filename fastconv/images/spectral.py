"""Large kernels by Fourier transforms, or by any backend of `conv2d`: band by band of a bordered copy.

Tiles that stay in cache (the backend ``fft_tiled``) are the fastest for kernels that fit in them, one transform of
all is for larger ones (`transform`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ..core.errors import BackendRefused
from ..core.problem import ConvProblem
from ..core.threads import get_num_threads
from ..core.typing import Array
from ..planning import planner
from . import filtering, transform
from .filtering import Window

BAND_BYTES = 1 << 25  # of the bordered copy
_WHOLE_BYTES = 1 << 28  # of an image that is transformed at once, where it needs no bordered copy
_CALLS, _TILES = 15e-6, 1.4  # seconds of borders and plan, and tiles of one channel against their prediction (Zen 3)
_SHORT = 150e-6  # seconds of tiles with one thread, below which a second one is of no help


def filter_bands(
    x: Array, kernel: Array, y: Array, see: Window, dtype: str, how: str, engine: str | None, spreads: bool = False
) -> bool:
    """Fill ``y`` (OH, OW, C) with the correlation of ``x`` (H, W, C) with ``kernel``; False if a result is not finite.

    ``how`` is "fft", or a backend of `conv2d`, whose results stand as they are; others too if what is not finite may
    spread.
    """
    if how != "fft" or engine is not None:
        names = [how if engine is None else f"{how}/{engine}"]
        if how == "fft":
            names.insert(0, f"fft_tiled/{engine}")
    else:
        names = ["fft_tiled"] if cheaper(x.shape, kernel.shape, y.shape, see.zeros, dtype, get_num_threads())[0] else []
    (kh, kw), (oh, ow, c) = kernel.shape, y.shape
    if not names and _at_once(y.shape, see.zeros, dtype):
        planes = np.ascontiguousarray(x.transpose(2, 0, 1), dtype)
        out = y.transpose(2, 0, 1) if y.dtype == dtype else np.empty((c, oh, ow), dtype)
        transform.correlate(planes, kernel, see.zeros or (0, 0), out)
        return (spreads or filtering.finite(y)) if y.dtype == dtype else filtering.join(out, y)
    w = np.ascontiguousarray(kernel, dtype)[None, None]
    band = _band(kernel.shape, y.shape, dtype)
    for i in range(0, oh, band):
        n = min(band, oh - i)
        planes = np.empty((c, 1, n + kh - 1, ow + kw - 1), dtype)
        filtering.split(x, planes[:, 0], replace(see, rows=see.rows[i : i + n + kh - 1]), engine)
        out = np.empty((c, 1, n, ow), dtype)
        if names:
            _convolve(names, planes, w, out)
        else:
            transform.correlate(planes[:, 0], kernel, (0, 0), out[:, 0])
        if not filtering.join(out[:, 0], y[i : i + n], engine) and how == "fft" and not spreads:
            return False
        del planes, out  # before the next band's are made
    return True


def bind(
    kernel: Array,
    image: tuple[int, ...],
    output: tuple[int, ...],
    see: Window,
    kinds: str,
    dtype: str,
    threads: int,
    spreads: bool,
) -> filtering.Bound | None:
    """What `filter_bands` does by "fft" with one band, and directly for what is not finite; None for more bands."""
    (kh, kw), (oh, ow, c) = kernel.shape, output
    tiles = cheaper(image, (kh, kw), output, see.zeros, dtype, threads)[0]
    whole = not tiles and _at_once(output, see.zeros, dtype)
    if not whole and oh > _band((kh, kw), output, dtype):
        return None
    plain, number = kinds == 2 * np.dtype(dtype).char and c == 1, np.dtype(dtype)
    lead = see.zeros if whole and see.zeros else (0, 0)
    inner = (image[0], image[1]) if whole else (oh + kh - 1, ow + kw - 1)
    split = filtering.bind("split", (), (*inner, c), see.inner if whole else see, dtype)
    join, direct = filtering.bind("join", (), output, None, dtype), filtering.bind_direct(kernel, output, see, dtype)
    w = np.ascontiguousarray(kernel, number)
    if tiles:
        p = ConvProblem.from_shapes((c, 1, *inner), (1, 1, kh, kw), dtype=dtype)
        plan = planner.plan(p, "forward", "fft_tiled", None, _threads(p, threads))
        weights = w[None, None]
    else:
        once = transform.bind(inner, kernel, lead, (oh, ow), dtype)

    def run(x: Array, y: Array) -> None:
        planes = x.reshape(1, *inner) if whole and plain else np.empty((c, *inner), number)
        if not (whole and plain):
            split(x, planes)
        sums = y.reshape(1, oh, ow) if plain else np.empty((c, oh, ow), number)
        if tiles:
            plan.run(planes[:, None], weights, sums[:, None])
        else:
            once(planes, sums)
        if not (filtering.finite(sums) if plain else join(sums, y)) and not spreads:
            direct(x, y)

    return run


@lru_cache(1024)
def cheaper(
    image: tuple[int, ...],
    kernel: tuple[int, int],
    output: tuple[int, ...],
    zeros: tuple[int, int] | None,
    dtype: str,
    threads: int,
) -> tuple[bool, float]:
    """Whether tiles are faster than one transform, and the seconds of what is."""
    (oh, ow, c), band = output, min(_band(kernel, output, dtype), output[0])
    bordered = band + kernel[0] - 1, ow + kernel[1] - 1
    if _at_once(output, zeros, dtype):
        one = transform.seconds((c, *image[:2]), kernel, zeros or (0, 0), output[:2], dtype)
    else:
        one = oh / band * transform.seconds((c, *bordered), kernel, (0, 0), (band, ow), dtype)
    p = ConvProblem.from_shapes((c, 1, *bordered), (1, 1, *kernel), dtype=dtype)
    try:
        tiles = planner.plan(p, "forward", "fft_tiled", None, _threads(p, threads)).row.predicted_seconds
    except BackendRefused:  # kernels too large for tiles in cache
        return False, one
    tiles = _CALLS + _TILES * oh / band * tiles
    return tiles < one, min(tiles, one)


def _threads(p: ConvProblem, threads: int) -> int:
    """Threads for tiles."""
    return 1 if planner.plan(p, "forward", "fft_tiled", None, 1).row.predicted_seconds < _SHORT else threads


def _at_once(output: tuple[int, ...], zeros: tuple[int, int] | None, dtype: str) -> bool:
    """Whether the whole image is transformed as it is."""
    return zeros is not None and math.prod(output) * np.dtype(dtype).itemsize <= _WHOLE_BYTES


def _band(kernel: tuple[int, ...], output: tuple[int, ...], dtype: str) -> int:
    """Rows of a band."""
    (kh, kw), (_, ow, c) = kernel, output
    return max(kh, 64, BAND_BYTES // ((ow + kw - 1) * c * np.dtype(dtype).itemsize) - kh)


def _convolve(names: list[str], x: Array, w: Array, y: Array) -> None:
    """Fill ``y`` by the first backend that can; the last one says why not."""
    p = ConvProblem.from_shapes(x.shape, w.shape, dtype=w.dtype.name)
    threads = _threads(p, get_num_threads()) if "fft_tiled" in names else get_num_threads()
    for name in names:
        try:
            plan = planner.plan(p, "forward", name, None, threads, w=w)
        except BackendRefused:  # kernels too large for tiles in cache
            if name == names[-1]:
                raise
        else:
            break
    plan.run(x, w, y)
