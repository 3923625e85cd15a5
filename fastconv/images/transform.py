"""Filters by one Fourier transform of the whole image, for kernels that tiles in cache cannot hold.

The convolution theorem on a circle that is just long enough (Stockham, "High-speed convolution and correlation",
1966): pixels that come round from the other side meet outputs that nobody asked for. Lengths of transforms are products
of the engines' radices; rows that hold only zeros, or no output, are not transformed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from ..core.threads import get_num_threads
from ..core.typing import Array
from ..core.workspace import Scratch, aligned, borrow, give_back
from ..engines import loader
from ..engines.records import FftPlane, pack

#: time of a pass for each number, by its radix, as a multiple of that of radix 4
_RADICES = {4: 1.0, 5: 1.25, 6: 1.25, 8: 1.35, 9: 1.75, 10: 1.7, 12: 1.8}
_SHORT = {"float32": 1 << 16, "float64": 1 << 15}  # numbers from which on a second thread pays
#: by engine, seconds of the calls, and of each number there and back, in cache; measured on an AMD EPYC 7003 (Zen 3),
#: 2026-12-01
_SECONDS: dict[str, tuple[float, dict[str, float]]] = {
    "cython": (15e-6, {"float32": 5e-9, "float64": 8e-9}),
    "numba": (120e-6, {"float32": 9.5e-9, "float64": 11e-9}),
}
_KEPT_TAPS, _KEPT_NUMBERS = 1 << 14, 1 << 17  # largest kernel, and spectrum of it, that is kept
_KEPT_BYTES = 1 << 26  # of scratch memory that the next call finds again
_CACHE, _FAR = 2 << 20, 1.7  # bytes; beyond, it takes so many times as long


def correlate(x: Array, kernel: Array, lead: tuple[int, ...], y: Array) -> None:
    """Fill ``y`` with the windows of a kernel over planes of pixels with zeros around them.

    Parameters
    ----------
    x : array (C, H, W), float32 or float64
    kernel : array (KH, KW)
    lead : pair of int, at least 0
        The first window begins so many pixels before the first one.
    y : array (C, OH, OW)
        Of the dtype of ``x``, which is computed in; any strides.
    """
    out = y if y.flags.c_contiguous else np.empty(y.shape, y.dtype)
    bind(x.shape[1:], kernel, lead, y.shape[1:], x.dtype.name)(np.ascontiguousarray(x), out)
    if out is not y:
        y[...] = out


def bind(
    shape: tuple[int, ...], kernel: Array, lead: tuple[int, ...], output: tuple[int, ...], dtype: str
) -> Callable[[Array, Array], None]:
    """What `correlate` does with planes and results that are C-contiguous."""
    sides = _circle(shape, kernel.shape, lead, output)
    threads = 1 if math.prod(sides) < _SHORT[dtype] else get_num_threads()
    of, run_step = _sizes(shape, lead, output, sides, dtype, threads), _steps(dtype)[1].fft_plane_correlate
    keeps = kernel.size <= _KEPT_TAPS and math.prod(sides) <= _KEPT_NUMBERS
    if keeps:
        key = kernel.tobytes(), kernel.dtype, kernel.shape, sides, dtype

    def run(x: Array, y: Array) -> None:
        spectrum = _kept(*key) if keeps else _spectrum(kernel, sides, dtype, threads)
        work = borrow(dtype, of.nbytes)
        try:
            for plane, result in zip(x, y, strict=True):  # one by one they stay in cache
                run_step(plane, spectrum, result, work, *of.tables, threads)
        finally:
            if work.nbytes <= _KEPT_BYTES:
                give_back(dtype, work)

    return run


@lru_cache(16)
def _kept(kernel: bytes, number: Any, taps: tuple[int, int], sides: tuple[int, int], dtype: str) -> Array:
    """The spectrum of a kernel that may come again."""
    return _spectrum(np.frombuffer(kernel, number).reshape(taps), sides, dtype, 1)


def _spectrum(kernel: Array, sides: tuple[int, int], dtype: str, threads: int) -> Array:
    of = _sizes(kernel.shape, (0, 0), (1, 1), sides, dtype, threads)
    found: Array = aligned(dtype, of.numbers * np.dtype(dtype).itemsize)[: of.numbers]
    work = borrow(dtype, of.nbytes)
    _steps(dtype)[1].fft_plane_spectrum(np.ascontiguousarray(kernel, dtype), found, work, *of.tables, threads)
    give_back(dtype, work)
    return found


def _steps(dtype: str) -> tuple[str, Any]:
    """The engine in use and its steps."""
    engine = "numba" if loader.absent("cython") else "cython"
    return engine, loader.unrecorded(engine, dtype)


class _Sizes(NamedTuple):
    numbers: int  # of a spectrum
    nbytes: int  # of scratch memory
    tables: tuple[Array, Array, Array]  # record, radices, twiddle factors


@lru_cache(256)
def _sizes(
    shape: tuple[int, int],
    lead: tuple[int, int],
    output: tuple[int, int],
    sides: tuple[int, int],
    dtype: str,
    threads: int,
) -> _Sizes:
    (th, tw), lanes = sides, loader.vector_bytes(_steps(dtype)[0]) // np.dtype(dtype).itemsize
    (passes_h, down), (passes_w, across) = (_passes(t) for t in sides)
    signal, room = max(th, tw + lanes), Scratch(dtype)
    room.book("spectrum", -(-(tw // 2 + 1) // lanes), th, 2, lanes)
    own = room.book("own", threads, 4 * signal, lanes)
    q = FftPlane(*shape, *lead, *output, th, tw, len(passes_h), len(passes_w), down.size, lanes, signal, own)
    radices = np.array((*passes_h, *passes_w), np.intp)
    return _Sizes(own, room.nbytes, (pack(q), radices, np.concatenate([down, across]).astype(dtype)))


@lru_cache(256)
def _passes(t: int) -> tuple[tuple[int, ...], Array]:
    """Radices of a transform, and the twiddle factors of all passes but the last."""
    passes, found = _factors(t), [np.zeros(0)]
    for r, left in zip(passes[:-1], accumulate(passes, lambda n, r: n // r, initial=t), strict=False):
        w = np.exp(-2j * np.pi * np.outer(np.arange(left // r), np.arange(1, r)) / left)
        found.append(np.stack([w.real, w.imag], -1).ravel())
    return passes, np.concatenate(found)


@lru_cache(1 << 14)
def _factors(t: int) -> tuple[int, ...]:
    """The radices of least time whose product is ``t``, the largest first; none if there are none."""
    parts = [(r, _factors(t // r)) for r in _RADICES if t % r == 0]
    ways = [(r, *rest) for r, rest in parts if rest or r == t]
    return tuple(sorted(min(ways, key=_work), reverse=True)) if ways else ()


def _work(passes: Iterable[int]) -> float:
    return sum(_RADICES[r] for r in passes)


@lru_cache(1024)
def _length(least: int) -> int:
    """The length, of those from ``least`` on, whose transform takes the least time."""
    some = (t for t in range(max(least, 4), 5 * least // 4 + 5) if _factors(t))
    return min(some, key=lambda t: t * _work(_factors(t)))


def seconds(
    shape: tuple[int, ...], kernel: tuple[int, ...], lead: tuple[int, ...], output: tuple[int, ...], dtype: str
) -> float:
    """What `correlate` takes for ``shape`` (C, H, W), roughly, with one thread."""
    numbers = math.prod(_circle(shape[1:], kernel, lead, output))
    far = _FAR if numbers * np.dtype(dtype).itemsize > _CACHE else 1.0
    kept = math.prod(kernel) <= _KEPT_TAPS and numbers <= _KEPT_NUMBERS
    calls, number = _SECONDS[_steps(dtype)[0]]
    return ((not kept) + 2 * shape[0]) / 3 * (calls + far * number[dtype] * numbers)


def _circle(
    shape: tuple[int, ...], kernel: tuple[int, ...], lead: tuple[int, ...], output: tuple[int, ...]
) -> tuple[int, int]:
    """Lengths of transforms along both axes: what lies before the image and behind it are the same zeros."""
    sizes = zip(shape, kernel, lead, output, strict=True)
    th, tw = (_length(max(n + before, k - 1 + m - before, k)) for n, k, before, m in sizes)
    return th, tw
