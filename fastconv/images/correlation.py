"""An image and a kernel become a call of the algorithm that suits them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import BackendRefused
from ..core.threads import get_num_threads
from ..core.typing import Array
from ..engines.loader import vector_bytes
from ..planning.rates import rates
from . import filtering, spectral
from .filtering import Bound, Window
from .recent import ByKernel

_NARROW = 24  # numbers of a row that fill no vector: an image of as many rows as _TALL lies down for it
_TALL = 64
_LYING = "lying"
FEW = 1 << 14  # elements of a kernel whose preparation is kept
_FACTORED = 1 << 12  # and of one whose factors are always looked for
_GAIN = 0.8  # of the time, for which factors of larger ones are looked for
# Of the peak, direct and separable: measured on an AMD EPYC 9005 (Zen 5, AVX-512), and on one of the 7003 (Zen 3, AVX2)
_WIDE = {"float32": (0.92, 0.4), "float64": (0.92, 0.4)}
_ELSE = {"float32": (0.65, 0.35), "float64": (0.38, 0.26)}
_HELP, _WAKE = 0.7, 30e-6  # what each thread more adds to the first, and seconds until it does
_LOOK = 10e-6  # seconds below which a transform is not thought of


def correlate(
    x: Array,
    kernel: Array,
    y: Array,
    see: Window,
    how: str = "auto",
    engine: str | None = None,
    spreads: bool = False,
) -> None:
    """Fill ``y`` (OH, OW, C) by the algorithm ``how``; ``x`` (H, W, C) and ``y`` are images that steps can read.

    ``kernel`` (KH, KW) holds real numbers. Sums are of float64 if either image is, and then ``y`` must be; else of
    float32. What is not finite stays where it is seen, unless it may spread.
    """
    kinds = x.dtype.char + y.dtype.char
    if see.kept and kernel.size <= FEW:
        way = _kept(
            kernel.tobytes(), kernel.dtype, kernel.shape, x.shape, kinds, see, how, engine, get_num_threads(), spreads
        )
    else:
        way = _way(kernel, kernel.shape, x.shape, kinds, see, how, engine, get_num_threads())
    if not isinstance(way, str):
        way(x, y)
        return
    if way == _LYING:
        lying, turned = (np.empty((a.shape[1], a.shape[0], a.shape[2]), a.dtype) for a in (x, y))
        _turn(x, lying)
        correlate(lying, kernel.T, turned, see.turned, how, engine, spreads)
        _turn(turned, y)
        return
    dtype = _computed(kinds)
    if not spectral.filter_bands(x, kernel, y, see, dtype, way, engine, spreads):
        filtering.direct(x, kernel, y, see, dtype, engine)


def _turn(x: Array, y: Array) -> None:
    """Fill ``y`` (W, H, C) with ``x`` (H, W, C), along the longer side."""
    tall = x.shape[0] > x.shape[1]
    for j, c in np.ndindex(min(x.shape[:2]), x.shape[2]):
        if tall:
            y[j, :, c] = x[:, j, c]
        else:
            y[:, j, c] = x[j, :, c]


def _computed(kinds: str) -> str:
    """The dtype of the sums."""
    return "float64" if "d" in kinds else "float32"


def bound(
    kernel: Array,
    image: tuple[int, ...],
    kinds: str,
    see: Window,
    how: str,
    engine: str | None,
    threads: int,
    spreads: bool = False,
) -> Bound | None:
    """What `correlate` runs for images of this shape (H, W, C), if that is something that only needs the arrays."""
    way = _ready(kernel, kernel.shape, image, kinds, see, how, engine, threads, spreads)
    return None if isinstance(way, str) else way


@ByKernel
def _kept(kernel: bytes, dtype: Any, shape: tuple[int, int], *rest: Any) -> Bound | str:
    return _ready(np.frombuffer(kernel, dtype).reshape(shape), shape, *rest)


def _ready(
    kernel: Array,
    shape: tuple[int, int],
    image: tuple[int, ...],
    kinds: str,
    see: Window,
    how: str,
    engine: str | None,
    threads: int,
    spreads: bool,
) -> Bound | str:
    """`_way`, and transforms of small images ready to be called again."""
    way = _way(kernel, shape, image, kinds, see, how, engine, threads)
    if way != "fft" or engine is not None:
        return way
    output = len(see.rows) - shape[0] + 1, len(see.cols) - shape[1] + 1, image[2]
    return spectral.bind(kernel, image, output, see, kinds, _computed(kinds), threads, spreads) or way


def _way(
    kernel: Array,
    shape: tuple[int, int],
    image: tuple[int, ...],
    kinds: str,
    see: Window,
    how: str,
    engine: str | None,
    threads: int,
) -> Bound | str:
    """A step that only needs the arrays; or "fft", a backend of `conv2d`, or that the image has to lie down."""
    if how == "auto" and image[1] * image[2] <= _NARROW and image[0] >= _TALL:
        return _LYING
    dtype, output = _computed(kinds), (len(see.rows) - shape[0] + 1, len(see.cols) - shape[1] + 1, image[2])
    sizes = image, shape, output, see.zeros, dtype, threads
    if how == "auto":
        small = kernel.size <= (8 if kinds[0] == "B" else 15) or 1 in shape  # two passes would not pay
        large = kernel.size > _FACTORED
        look = not (small or (large and estimate(*sizes, True)[1] >= _GAIN * estimate(*sizes, False)[1]))
    else:
        look = how == "separable"
    factors = filtering.factors(kernel.astype(np.float64), dtype) if look else None
    if how == "separable" and factors is None:
        raise BackendRefused("method 'separable' refuses: the kernel is not a column times a row")
    if how == "auto":
        how = estimate(*sizes, factors is not None)[0]
    if how == "separable" and factors is not None:
        return filtering.bind_separable(*factors, output, see, dtype, engine)
    return filtering.bind_direct(kernel, output, see, dtype, engine) if how == "direct" else how


def estimate(
    image: tuple[int, ...],
    kernel: tuple[int, int],
    output: tuple[int, ...],
    zeros: tuple[int, int] | None,
    dtype: str,
    threads: int,
    separable: bool,
) -> tuple[str, float]:
    """The algorithm that takes the least time by a model, "separable", "direct" or "fft", and its seconds."""
    (kh, kw), (oh, ow, c) = kernel, output
    peak = rates(dtype).fma_gflops * 1e9 / 2  # multiplications
    whole, by_two = (_WIDE if vector_bytes() == 64 else _ELSE)[dtype]
    if separable:
        how, seconds = "separable", oh * c * ((ow + kw - 1) * kh + ow * kw) / (by_two * peak)
    else:
        how, seconds = "direct", oh * ow * c * kh * kw / (whole * peak)
    if threads > 1:
        seconds = min(seconds, _WAKE + seconds / (1 + _HELP * (threads - 1)))
    other = spectral.cheaper(image, kernel, output, zeros, dtype, threads)[1] if seconds > _LOOK else seconds
    return ("fft", other) if other < seconds else (how, seconds)
