"""Filters by one Fourier transform of the whole image, for kernels that tiles in cache cannot hold.

The convolution theorem on a circle that is just long enough (Stockham, "High-speed convolution and correlation",
1966): pixels that come round from the other side meet outputs that nobody asked for. The transforms are those of
`scipy.fft`, imported when first needed; rows that hold only zeros, or no output, are not transformed.
"""

from __future__ import annotations

import math

import numpy as np

from ..core.blas import no_fork
from ..core.threads import get_num_threads
from ..core.typing import Array

# Measured on an AMD EPYC 9005 (Zen 5), 2026-12-01
_SHORT = {"float32": 1 << 20, "float64": 1 << 17}  # numbers from which on a second thread pays
_CALLS = 25e-6  # of the transforms' Python
_NUMBER = {"float32": 4.6e-9, "float64": 8e-9}  # each, there and back, in cache
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

    output = y.shape[-2:]

    sides = _circle(x.shape[-2:], kernel.shape, lead, output)
    threads = 1 if math.prod(sides) < _SHORT[x.dtype.name] else get_num_threads()
    rows, cols = (slice(k - 1 - n, k - 1 - n + m) for k, n, m in zip(kernel.shape, lead, output, strict=True))
    with no_fork(threads):
        turned = _forward(np.ascontiguousarray(kernel[::-1, ::-1], x.dtype), sides, threads)
        for plane in np.ndindex(x.shape[:-2]):  # one by one they stay in cache
            spectra = _forward(x[plane], sides, threads)
            spectra *= turned
            spectra = fft.ifft(spectra, axis=0, overwrite_x=True, workers=threads)[rows]
            y[plane] = fft.irfft(spectra, sides[1], axis=1, overwrite_x=True, workers=threads)[:, cols]


def seconds(
    shape: tuple[int, ...], kernel: tuple[int, ...], lead: tuple[int, ...], output: tuple[int, ...], dtype: str
) -> float:
    """What `correlate` takes for ``shape`` (C, H, W), roughly; threads help little."""
    numbers = math.prod(_circle(shape[1:], kernel, lead, output))
    far = numbers * np.dtype(dtype).itemsize > _CACHE
    return (1 + 2 * shape[0]) / 3 * (_CALLS + (1 + far) * _NUMBER[dtype] * numbers)


def _circle(
    shape: tuple[int, ...], kernel: tuple[int, ...], lead: tuple[int, ...], output: tuple[int, ...]
) -> list[int]:
    """Lengths of transforms along both axes: what lies before the image and behind it are the same zeros."""
    from scipy import fft

    sizes = zip(shape, kernel, lead, output, strict=True)
    least = [max(n + before, k - 1 + m - before, k) for n, k, before, m in sizes]
    return [fft.next_fast_len(least[0]), fft.next_fast_len(least[1], real=True)]


def _forward(a: Array, sides: list[int], threads: int) -> Array:
    """Real to half-complex: first the rows that there are, then all columns."""
    from scipy import fft

    rows = fft.rfft(a, sides[1], axis=1, workers=threads)
    spectra: Array = fft.fft(rows, sides[0], axis=0, overwrite_x=True, workers=threads)
    return spectra
