"""Filters by one Fourier transform of the whole image, for kernels that tiles in cache cannot hold.

The convolution theorem on a circle that is just long enough (Stockham, "High-speed convolution and correlation",
1966): pixels that come round from the other side meet outputs that nobody asked for. The transforms are those of
`scipy.fft`, imported when first needed; rows that hold only zeros, or no output, are not transformed.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..core.blas import no_fork
from ..core.threads import get_num_threads
from ..core.typing import Array
from ..core.workspace import Scratch, borrow, give_back
from ..engines.loader import vector_bytes

_SHORT = {"float32": 1 << 20, "float64": 1 << 17}  # numbers from which on a second thread pays
# Seconds of the calls, and of each number there and back, in cache; measured on an AMD EPYC 9005 (Zen 5), and on one of
# the 7003 (Zen 3) for narrower vectors, 2026-12-01
_WIDE, _ELSE = (25e-6, {"float32": 4.6e-9, "float64": 8e-9}), (120e-6, {"float32": 9.5e-9, "float64": 11e-9})
_KEPT_TAPS, _KEPT_NUMBERS = 1 << 14, 1 << 17  # largest kernel, and spectrum of it, that is kept
_KEPT_BYTES = 1 << 26  # of scratch memory that the next call finds again
_CACHE = 4 << 20  # bytes; beyond, it takes twice as long


def correlate(x: Array, kernel: Array, lead: tuple[int, ...], y: Array) -> None:
    """Fill ``y`` with the windows of a kernel over planes of pixels with zeros around them.

    Parameters
    ----------
    x : array (..., H, W), float32 or float64
    kernel : array (KH, KW)
    lead : pair of int, at least 0
        The first window begins so many pixels before the first one.
    y : array (..., OH, OW)
        Of the dtype of ``x``, which is computed in; any strides.
    """
    from scipy import fft

    (h, w), (kh, kw), (oh, ow) = x.shape[-2:], kernel.shape, y.shape[-2:]
    sides = th, tw = _circle((h, w), (kh, kw), lead, (oh, ow))
    threads = 1 if th * tw < _SHORT[x.dtype.name] else get_num_threads()
    room = _room(x.dtype.name, max(h, kh), th, tw)
    work = borrow(x.dtype.name, room.nbytes)
    try:
        with no_fork(threads):
            parts = room.take(work)
            if kernel.size <= _KEPT_TAPS and th * tw <= _KEPT_NUMBERS:
                turned = _kept(kernel.tobytes(), kernel.dtype, kernel.shape, th, tw, x.dtype)
            else:
                turned = _forward(kernel[::-1, ::-1], sides, parts["rows"], parts["kernel"], threads)
            for plane in np.ndindex(x.shape[:-2]):  # one by one they stay in cache
                spectra = _forward(x[plane], sides, parts["rows"], parts["image"], threads)
                spectra *= turned
                spectra = fft.ifft(spectra, axis=0, overwrite_x=True, workers=threads)[kh - 1 - lead[0] :][:oh]
                rows = fft.irfft(spectra, tw, axis=1, overwrite_x=True, workers=threads)
                y[plane] = rows[:, kw - 1 - lead[1] :][:, :ow]
    finally:
        if work.nbytes <= _KEPT_BYTES:
            give_back(x.dtype.name, work)


@lru_cache(16)
def _kept(kernel: bytes, number: Any, taps: tuple[int, int], th: int, tw: int, dtype: Any) -> Array:
    """The spectrum of a kernel that may come again."""
    w, rows = np.frombuffer(kernel, number).reshape(taps)[::-1, ::-1], np.empty((taps[0], tw), dtype)
    spectrum = _forward(w, [th, tw], rows, np.empty((th, 2 * (tw // 2 + 1)), dtype), 1)
    spectrum.flags.writeable = False
    return spectrum


@lru_cache(256)
def _room(dtype: str, rows: int, th: int, tw: int) -> Scratch:
    room = Scratch(dtype)
    room.book("rows", rows, tw)
    room.book("kernel", th, 2 * (tw // 2 + 1))
    room.book("image", th, 2 * (tw // 2 + 1))
    return room


def seconds(
    shape: tuple[int, ...], kernel: tuple[int, ...], lead: tuple[int, ...], output: tuple[int, ...], dtype: str
) -> float:
    """What `correlate` takes for ``shape`` (C, H, W), roughly; threads help little."""
    numbers = math.prod(_circle(shape[1:], kernel, lead, output))
    far = numbers * np.dtype(dtype).itemsize > _CACHE
    calls, number = _WIDE if vector_bytes() == 64 else _ELSE
    kept = math.prod(kernel) <= _KEPT_TAPS and numbers <= _KEPT_NUMBERS
    return ((not kept) + 2 * shape[0]) / 3 * (calls + (1 + far) * number[dtype] * numbers)


def _circle(
    shape: tuple[int, ...], kernel: tuple[int, ...], lead: tuple[int, ...], output: tuple[int, ...]
) -> list[int]:
    """Lengths of transforms along both axes: what lies before the image and behind it are the same zeros."""
    from scipy import fft

    sizes = zip(shape, kernel, lead, output, strict=True)
    least = [max(n + before, k - 1 + m - before, k) for n, k, before, m in sizes]
    return [fft.next_fast_len(least[0]), fft.next_fast_len(least[1], real=True)]


def _forward(a: Array, sides: list[int], rows: Array, spectra: Array, threads: int) -> Array:
    """Real to half-complex: first the rows that there are, then all columns. What is returned lies in ``spectra``."""
    from scipy import fft

    (h, w), full = a.shape, spectra.view(np.result_type(spectra, 1j))
    rows[:h, :w] = a
    rows[:h, w:] = 0
    full[:h] = fft.rfft(rows[:h], axis=1, workers=threads)
    full[h:] = 0
    found: Array = fft.fft(full, axis=0, overwrite_x=True, workers=threads)
    return found
