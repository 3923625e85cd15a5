"""Borders other than zeros: written once into a padded copy, and folded back for the gradient."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .problem import ConvProblem

_NUMPY_MODE = {"reflect": "reflect", "symmetric": "symmetric", "replicate": "edge", "circular": "wrap"}


@lru_cache(maxsize=256)
def sources(size: int, before: int, after: int, mode: str) -> Any:
    """For every padded position the image position that it shows, (before + size + after,) intp."""
    index = np.pad(np.arange(size), (before, after), _NUMPY_MODE[mode])  # type: ignore[call-overload]
    index.flags.writeable = False
    return index


def pad(p: ConvProblem, x: Any, out: Any) -> None:
    """Fill ``out`` (N, C, H + pt + pb, W + pl + pr) with ``x`` and its border."""
    rows, cols = sources(p.ih, p.pt, p.pb, p.mode), sources(p.iw, p.pl, p.pr, p.mode)
    inside = out[:, :, p.pt : p.pt + p.ih]
    inside[..., p.pl : p.pl + p.iw] = x
    for j in (*range(p.pl), *range(p.pl + p.iw, cols.size)):
        inside[..., j] = x[..., cols[j]]
    for i in (*range(p.pt), *range(p.pt + p.ih, rows.size)):
        out[:, :, i] = inside[:, :, rows[i]]


def fold(p: ConvProblem, padded: Any, dx: Any) -> None:
    """The adjoint of `pad`: every border number is added to the pixel that it showed. Changes ``padded``."""
    rows, cols = sources(p.ih, p.pt, p.pb, p.mode), sources(p.iw, p.pl, p.pr, p.mode)
    inside = padded[:, :, p.pt : p.pt + p.ih]
    for i in (*range(p.pt), *range(p.pt + p.ih, rows.size)):
        inside[:, :, rows[i]] += padded[:, :, i]
    dx[...] = inside[..., p.pl : p.pl + p.iw]
    for j in (*range(p.pl), *range(p.pl + p.iw, cols.size)):
        dx[..., cols[j]] += inside[..., j]
