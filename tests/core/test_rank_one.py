"""Kernels that are a column times a row, found by a pivot."""

import numpy as np
import pytest

from fastconv.core.rank_one import outer_factors, seems_outer


@pytest.mark.parametrize("shape", [(3, 5), (64, 64), (200, 31), (1, 9000)])
def test_outer_products_and_what_is_nearly_one(shape: tuple[int, int]) -> None:
    """One number beside the rows that are looked at first decides too."""
    rng = np.random.default_rng(0)
    column, row = rng.standard_normal(shape[0]), np.exp(-np.linspace(0, 40, shape[1]))  # small beside the largest
    matrix = np.outer(column, row)
    found = outer_factors(matrix, 1e-14)
    assert found is not None
    np.testing.assert_allclose(np.outer(*found), matrix, atol=1e-14 * np.abs(matrix).max())
    for i, j in ((0, 0), (shape[0] - 1, shape[1] // 2), (1 % shape[0], shape[1] - 1)) if shape[0] > 1 else ():
        other = matrix.copy()
        other[i, j] += 0.5
        assert not seems_outer(other, 1e-14)


def test_zeros_and_what_is_not_finite() -> None:
    assert seems_outer(np.zeros((4, 4)), 0) and outer_factors(np.zeros((4, 4)), 0) is None
    for bad in (np.nan, np.inf):
        matrix = np.ones((80, 80))
        matrix[7, 7] = bad
        assert not seems_outer(matrix, 1e-14)
