"""Whether matrices are a column times a row, found by a pivot.

The row and the column of the largest number of a matrix of rank 1 explain all its others; those of any other matrix
do not.
"""

from __future__ import annotations

import numpy as np

from .typing import Array

_LARGE = 1 << 12  # numbers of a matrix of which a few rows are looked at first


def seems_outer(matrix: Array, tolerance: float) -> bool:
    """Whether a matrix (M, N) may be of rank 1, to within ``tolerance`` of its largest number: in microseconds."""
    i, j = divmod(int(np.abs(matrix).argmax()), matrix.shape[1])
    pivot = matrix[i, j]
    if pivot == 0:
        return True
    with np.errstate(invalid="ignore", over="ignore"):
        row = matrix[i] / pivot

    def explained(part: Array) -> bool:
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = part / pivot  # NaN if anything is not finite
            return bool(np.abs(scaled - scaled[:, j, None] * row).max() <= tolerance)

    return (matrix.size < _LARGE or explained(matrix[:: len(matrix) // 8 + 1])) and explained(matrix)


def pivot_factors(matrices: Array) -> tuple[Array, Array]:
    """Columns (G, M) and rows (G, N) whose outer products matrices (G, M, N) are if their rank is 1 (or 0).

    The column is divided by the pivot, or by what makes of a row of integers the smallest ones: then products of
    integers have integer factors.
    """
    g, _, n = matrices.shape
    i, j = np.divmod(np.abs(matrices).reshape(g, -1).argmax(axis=1), n)
    every = np.arange(g)
    row, column = matrices[every, i], matrices[every, :, j]
    if (np.abs(row) < 2**24).all() and (row == np.rint(row)).all():
        row = row / np.maximum(np.gcd.reduce(row.astype(np.int64), axis=1), 1)[:, None].astype(row.dtype)
    pivot = row[every, j][:, None]
    with np.errstate(invalid="ignore", over="ignore"):
        column = column / np.where(pivot == 0, 1, pivot)
    return column, row


def outer_factors(matrix: Array, tolerance: float) -> tuple[Array, Array] | None:
    """Column (M,) and row (N,) of a matrix of rank 1, to within ``tolerance`` of its largest number, or None."""
    if not matrix.any() or not seems_outer(matrix, tolerance):
        return None
    (column,), (row,) = pivot_factors(matrix[None])
    return column, row
