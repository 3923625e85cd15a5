"""Kernels as sums of products of columns and rows: w[o, c, u, v] = sum over r of col[r, c, u] * row[o, r, v].

For one channel that is the rank of the kernel as a matrix: a Gaussian has rank 1, a Sobel kernel too. For
several it is the rank of the matrix ((c, u), (o, v)) (Jaderberg, Vedaldi and Zisserman, "Speeding up
convolutional neural networks with low rank expansions", 2014, scheme 2). Rank 1 is recognised by a pivot: the
row and the column of the largest number either explain all others or do not. Higher ranks come from the
singular values (Eckart and Young 1936). What an approximation leaves out is not estimated but summed up from
the factors as they are used.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..core.rank_one import pivot_factors, seems_outer
from .base import UNIT_ROUNDOFF, Array

EXACT = 16  # roundings of a kernel that was computed as a product, Gaussians included


def exact(rank: int, dtype: str) -> float:
    """What factors may leave out and still count as exact: some roundings, and those of the decomposition itself."""
    return EXACT * (UNIT_ROUNDOFF[dtype] + 4 * math.sqrt(rank) * UNIT_ROUNDOFF["float64"])


class Factors(NamedTuple):
    """``col`` (groups, rank, inputs, KH) and ``row`` (groups, outputs, rank, KW); see the head of this file."""

    col: Array
    row: Array
    left_out: float  # largest sum|w - factors| of an output, relative to its sum|w|
    growth: float  # largest sum of |col| |row| of an output, relative to its sum|w|

    @property
    def rank(self) -> int:
        """Terms of the sum: the largest rank of a group, and at least one (a zero kernel is one term of zeros)."""
        return int(self.col.shape[1])


def may_be_outer(kernel: Array) -> bool:
    """Whether a kernel (KH, KW) may be of rank 1: most are found out here, in microseconds."""
    return seems_outer(kernel, 4 * EXACT * UNIT_ROUNDOFF[kernel.dtype.name])


def by_pivot(w: Array) -> Factors | None:
    """Factors of a kernel (groups, outputs, inputs, KH, KW) whose groups all have rank 1 (or 0), else None.

    Row and column of the largest number of each group, if they explain all the others.
    """
    g, o, c, kh, kw = w.shape
    matrix = w.transpose(0, 2, 3, 1, 4).reshape(g, c * kh, o * kw)
    col, row = pivot_factors(matrix)
    found = _judged(w, col.reshape(g, 1, c, kh).astype(w.dtype), row.reshape(g, o, 1, kw).astype(w.dtype))
    return found if found.left_out <= EXACT * UNIT_ROUNDOFF[w.dtype.name] else None


def by_values(w: Array, allowed: float) -> Factors:
    """Factors of the lowest rank that leave out no more than ``allowed`` and err no more than a plain sum."""
    found = by_pivot(w)
    if found is not None:
        return found
    g, o, c, kh, kw = w.shape
    full = _identity(w)
    if not np.isfinite(w).all():
        return full
    sizes = np.abs(w.astype(np.float64)).sum(axis=(2, 3, 4), keepdims=True)  # outputs of different size count alike
    matrix = (w / np.where(sizes > 0, sizes, 1)).transpose(0, 2, 3, 1, 4).reshape(g, c * kh, o * kw)
    left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    root = np.sqrt(values)
    col = (left * root[:, None, :]).transpose(0, 2, 1).reshape(g, -1, c, kh)
    row = (right * root[:, :, None]).reshape(g, -1, o, kw).swapaxes(1, 2) * sizes.reshape(g, o, 1, 1)
    best, low, high = full, 1, full.rank  # `best` has rank `high`
    while low < high:
        rank = (low + high) // 2
        trial = _judged(w, col[:, :rank].astype(w.dtype), row[:, :, :rank].astype(w.dtype))
        if trial.left_out <= allowed and trial.growth <= 4:
            high, best = rank, trial
        else:
            low = rank + 1
    return best


def _identity(w: Array) -> Factors:
    """Full rank, without any arithmetic: rows of the kernel itself, or columns, whichever are fewer."""
    g, o, c, kh, kw = w.shape
    if c * kh <= o * kw:
        col = np.broadcast_to(np.eye(c * kh, dtype=w.dtype), (g, c * kh, c * kh)).reshape(g, -1, c, kh)
        row = w.reshape(g, o, c * kh, kw)
    else:
        col = w.transpose(0, 1, 4, 2, 3).reshape(g, o * kw, c, kh)
        row = np.broadcast_to(np.eye(o * kw, dtype=w.dtype).reshape(o, kw, o * kw).swapaxes(1, 2), (g, o, o * kw, kw))
    return Factors(np.ascontiguousarray(col), np.ascontiguousarray(row), 0.0, 1.0)


def _judged(w: Array, col: Array, row: Array) -> Factors:
    """Factors with what they leave out, and how much larger than the kernel their terms are."""
    g, o, c, kh, kw = w.shape
    exact = w.astype(np.float64).transpose(0, 2, 3, 1, 4).reshape(g, c * kh, o * kw)
    a = col.astype(np.float64).reshape(g, -1, c * kh).swapaxes(1, 2)
    b = row.astype(np.float64).swapaxes(1, 2).reshape(g, -1, o * kw)
    with np.errstate(invalid="ignore", over="ignore"):
        sizes, made, terms = (
            m.reshape(g, c * kh, o, kw).sum(axis=(1, 3))
            for m in (np.abs(exact), np.abs(exact - _product(a, b)), _product(np.abs(a), np.abs(b)))
        )
        least = np.where(sizes > 0, sizes, np.finfo(np.float64).tiny)
        left_out, growth = (made / least).max(), (terms / least).max() if sizes.any() else 1.0
    if not np.isfinite(left_out + growth):
        left_out = np.inf
    return Factors(np.ascontiguousarray(col), np.ascontiguousarray(row), float(left_out), float(growth))


def _product(a: Array, b: Array) -> Array:
    out: Array = a * b if a.shape[2] == 1 else a @ b
    return out
