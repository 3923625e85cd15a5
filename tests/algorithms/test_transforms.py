"""Cook-Toom matrices and the coefficient tables of the engines, in exact arithmetic."""

from fractions import Fraction

import pytest

from fastconv.algorithms import winograd_matrices as transforms

FORMS = [(2, 3), (3, 3), (4, 3), (2, 5), (4, 5), (2, 7), (4, 7), (3, 2), (3, 4), (5, 2), (5, 4), (7, 2), (7, 4)]


def apply(matrix: transforms.Matrix, vector: list[Fraction]) -> list[Fraction]:
    return [sum((a * b for a, b in zip(row, vector, strict=True)), Fraction(0)) for row in matrix]


@pytest.mark.parametrize(("m", "r"), [(1, 1), *FORMS])
def test_transforms_compute_the_convolution_exactly(m: int, r: int) -> None:
    """Bilinear, so that every pair of unit vectors decides."""
    a, b, g = transforms.matrices(m, r)
    n = m + r - 1
    for j in range(r):
        u = apply(g, [Fraction(i == j) for i in range(r)])
        for k in range(n):
            v = apply(b, [Fraction(i == k) for i in range(n)])
            y = apply(a, [p * q for p, q in zip(u, v, strict=True)])
            assert y == [Fraction(i + j == k) for i in range(m)]


@pytest.mark.parametrize(("m", "r"), FORMS)
def test_table_is_the_matrices(m: int, r: int) -> None:
    """The even and odd parts of the table, put together as its docstring says, are the rows of A, B and G."""
    n = m + r - 1
    pairs, infinity = (n - 1) // 2, n % 2 == 0
    numbers = iter(transforms.table(m, r))

    def take(count: int) -> list[float]:
        return [next(numbers) for _ in range(count)]

    a, b, g = ([[0.0] * columns for _ in range(rows)] for rows, columns in ((m, n), (n, n), (n, r)))
    z = take(pairs)
    for end in range(1 + infinity):  # the rows of zero and infinity
        row = b[end * (n - 1)]
        row[2 * pairs + end] = 1.0
        for k in range(pairs):
            row[2 * k + end] = z[k]
    for i in range(pairs):
        point, *q = take(pairs)
        for sign, row in ((1, b[1 + 2 * i]), (-1, b[2 + 2 * i])):
            for k, value in enumerate([*q, 1.0]):
                row[2 * k + 2], row[2 * k + 1] = value, sign * point * value
    for j in range(m):
        powers = take(pairs)
        for i in range(pairs):
            a[j][1 + 2 * i], a[j][2 + 2 * i] = powers[i], (-1) ** j * powers[i]
    a[0][0], g[0][0] = 1.0, take(1)[0]
    if infinity:
        a[m - 1][n - 1] = g[n - 1][r - 1] = 1.0
    for i in range(pairs):
        row = take(r)
        g[1 + 2 * i], g[2 + 2 * i] = row, [(-1) ** j * v for j, v in enumerate(row)]
    assert next(numbers, None) is None
    for made, matrix in zip((a, b, g), transforms.matrices(m, r), strict=True):
        for row, exact in zip(made, matrix, strict=True):
            assert row == pytest.approx([float(v) for v in exact], rel=1e-15, abs=1e-300)


def test_growth() -> None:
    """F(2, 3) by hand: rows of B hold two ones, G at most one half (a unit vector at 0 and infinity).

    Signs can make 2 of point 0 and of one of +-1, then the other is 0.
    """
    probable, worst, roundings = transforms.growth(2, 3)
    assert worst == pytest.approx(1 * 2 + 0.5 * 2 + 0.5 * 2)
    assert probable == pytest.approx(((1 * 2) ** 2 + (0.5 * 2) ** 2) ** 0.5)
    assert roundings == pytest.approx((4 * (1 + 2 + 1) + 1 * (1 + 4 + 2)) / 5)  # input, weight, output of each point
    assert all(transforms.growth(m, r)[0] < transforms.growth(m, r)[1] for m, r in FORMS)
    sizes = [transforms.growth(m, r) for m, r in ((2, 3), (3, 3), (4, 3), (4, 5), (4, 7))]
    assert sizes == sorted(sizes)
