"""SciPy's transforms of tiles, and the memory that they take: for fft.py."""

from __future__ import annotations

import numpy as np

from ..core.blas import no_fork
from .base import Array
from .overlap_save import Tiles


def numbers(cfg: Tiles) -> int:
    """Real numbers of a spectrum."""
    return 2 * cfg.th * (cfg.tw // 2 + 1)


def transforming(cfg: Tiles, rows: int, cols: int) -> int:
    """Real numbers that `transform` holds at most, for each array of so many rows and columns."""
    half = rows * 2 * (cfg.tw // 2 + 1)  # padded rows beside their transforms, these beside padded columns
    return max(half + rows * cfg.tw * (cols < cfg.tw), half + numbers(cfg) * (rows < cfg.th))


def transform(a: Array, cfg: Tiles, workers: int, norm: str = "backward") -> Array:
    """Real to half-complex, over the last two axes, from as many rows and columns as there are."""
    from scipy import fft

    with no_fork(workers):
        rows = fft.rfft(a, cfg.tw, axis=-1, norm=norm, workers=workers)
        out: Array = fft.fft(rows, cfg.th, axis=-2, norm=norm, overwrite_x=True, workers=workers)
    return out


def inverse(spectra: Array, cfg: Tiles, rows: slice, workers: int) -> Array:
    """Half-complex to some rows of the real tiles; changes ``spectra``."""
    from scipy import fft

    z = spectra.view(np.result_type(spectra, 1j)).reshape(*spectra.shape[:-1], cfg.th, -1)
    with no_fork(workers):
        z = fft.ifft(z, axis=-2, norm="forward", overwrite_x=True, workers=workers)
        out: Array = fft.irfft(z[..., rows, :], cfg.tw, axis=-1, norm="forward", workers=workers)
    return out
