"""Borders: which pixel stands where; written once into a padded copy, and folded back for the gradient."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .problem import ConvProblem
from .typing import Array

_KEPT = 1 << 16  # tables of longer axes are not kept


def sources(size: int, first: int, count: int, mode: str) -> Array:
    """For ``count`` positions from ``first`` on of an axis extended without end the position that each shows.

    -1 where the mode "zeros" shows none. (count,) intp, read-only.
    """
    return (_kept if count <= _KEPT else _table)(size, first, count, mode)


def _table(size: int, first: int, count: int, mode: str) -> Array:
    i = np.arange(first, first + count)
    if mode == "reflect":  # d c b | a b c d | c b a
        period = max(2 * size - 2, 1)
        i %= period
        i = np.minimum(i, period - i) if size > 1 else i
    elif mode == "symmetric":  # d c b a | a b c d | d c b a
        i %= 2 * size
        i = np.minimum(i, 2 * size - 1 - i)
    elif mode == "replicate":
        i = i.clip(0, size - 1)
    elif mode == "circular":
        i %= size
    else:
        i = np.where((i < 0) | (i >= size), -1, i)
    i = i.astype(np.intp)
    i.flags.writeable = False
    return i


_kept = lru_cache(maxsize=256)(_table)


def of_rows(p: ConvProblem) -> Array:
    """For every row of the padded image the row that it shows."""
    return sources(p.ih, -p.pt, p.pt + p.ih + p.pb, p.mode)


def of_cols(p: ConvProblem) -> Array:
    """For every column of the padded image the column that it shows."""
    return sources(p.iw, -p.pl, p.pl + p.iw + p.pr, p.mode)


def pad(p: ConvProblem, x: Array, out: Array) -> None:
    """Fill ``out`` (N, C, H + pt + pb, W + pl + pr) with ``x`` and its border."""
    rows, cols = of_rows(p), of_cols(p)
    inside = out[:, :, p.pt : p.pt + p.ih]
    inside[..., p.pl : p.pl + p.iw] = x
    for j in (*range(p.pl), *range(p.pl + p.iw, cols.size)):
        inside[..., j] = x[..., cols[j]]
    for i in (*range(p.pt), *range(p.pt + p.ih, rows.size)):
        out[:, :, i] = inside[:, :, rows[i]]


def fold(p: ConvProblem, padded: Array, dx: Array) -> None:
    """The adjoint of `pad`: every border number is added to the pixel that it showed. Changes ``padded``."""
    rows, cols = of_rows(p), of_cols(p)
    inside = padded[:, :, p.pt : p.pt + p.ih]
    for i in (*range(p.pt), *range(p.pt + p.ih, rows.size)):
        inside[:, :, rows[i]] += padded[:, :, i]
    dx[...] = inside[..., p.pl : p.pl + p.iw]
    for j in (*range(p.pl), *range(p.pl + p.iw, cols.size)):
        dx[..., cols[j]] += inside[..., j]
