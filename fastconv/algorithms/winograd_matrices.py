"""Winograd (Cook-Toom) transforms of short one-dimensional convolutions, from exact rationals.

``F(m, r)`` computes m outputs of an r-tap filter with n = m + r - 1 products instead of m * r:
``y = A ((G g) * (B d))``, Lavin and Gray, "Fast algorithms for convolutional neural networks" (CVPR 2016),
equation 7. The matrices come from polynomial interpolation (Toom 1963, Cook 1966) at n points; here
zero, pairs of opposite ones, whose even and odd parts share their work, and infinity if n is even.
Rounding errors depend on the points: Barabasz, Anderson, Soodhalter and Gregg, "Error analysis and improving
the accuracy of Winograd convolution for deep neural networks" (ACM TOMS 2020), section 6. As there, these come
from a search over small fractions, for the least `growth`; all are sums of few powers of two, so that A and B
are exact in float32.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from itertools import product
from operator import mul

Matrix = tuple[tuple[Fraction, ...], ...]

PAIRS: dict[int, tuple[Fraction, ...]] = {  # n: the points are 0, +-p for these p, and infinity if n is even
    4: (Fraction(1),),
    5: (Fraction(7, 8), Fraction(15, 8)),
    6: (Fraction(3, 4), Fraction(11, 8)),
    8: (Fraction(5, 8), Fraction(1), Fraction(13, 8)),
    10: (Fraction(1, 2), Fraction(7, 8), Fraction(9, 8), Fraction(2)),
}


@cache
def matrices(m: int, r: int) -> tuple[Matrix, Matrix, Matrix]:
    """Exact ``A`` (m, n), ``B`` (n, n) and ``G`` (n, r) of F(m, r); identities for F(1, 1).

    Rows stand for the points 0, p1, -p1, p2, -p2, ..., and infinity if n is even.
    """
    if (m, r) == (1, 1):
        one = ((Fraction(1),),)
        return one, one, one
    points = [Fraction(0)]
    for p in PAIRS[m + r - 1]:
        points += [p, -p]
    infinity = (m + r) % 2
    zero = [Fraction(0)] * infinity
    b, g = [], []
    for i, p in enumerate(points):
        others = points[:i] + points[i + 1 :]
        norm = math.prod((p - other for other in others), start=Fraction(1))
        b.append((*_polynomial(others), *zero))
        g.append(tuple(p**j / norm for j in range(r)))
    if infinity:
        b.append(tuple(_polynomial(points)))
        g.append((*[Fraction(0)] * (r - 1), Fraction(1)))
    a = tuple((*[p**j for p in points], *[Fraction(j == m - 1)] * infinity) for j in range(m))
    return a, tuple(b), tuple(g)


@cache
def table(m: int, r: int) -> tuple[float, ...]:
    """The coefficients that an engine needs, for P = (n - 1) // 2 pairs of points; empty for F(1, 1).

    =================  =====================================================================================
    z[P]               ``v[0] = d[2P] + sum z[k] d[2k]``; for infinity ``v[n-1]`` likewise, one place further
    (p, q[P-1]) x P    of each pair: ``e = d[2P] + sum q[k] d[2k+2]``, ``o = d[2P-1] + sum q[k] d[2k+1]``,
                       ``v = e +- p o``
    a[m][P]            ``y[j] = sum a[j][i] (v+ +- v-)``, plus ``v[0]`` for the first and infinity's ``v[n-1]``
                       for the last
    g0, g[P][r]        ``u[0] = g0 w[0]``, infinity's ``u[n-1] = w[r-1]``; pairs: even and odd parts of
                       ``sum g[i][j] w[j]``, their sum and difference
    =================  =====================================================================================
    """
    if (m, r) == (1, 1):
        return ()
    a, b, g = matrices(m, r)
    pairs = range((m + r) // 2 - 1)
    plus = [1 + 2 * i for i in pairs]  # rows of the positive points
    numbers = [b[0][2 * k] for k in pairs]
    for i in pairs:
        numbers += [PAIRS[m + r - 1][i], *[b[plus[i]][2 * k + 2] for k in pairs[:-1]]]
    numbers += [a[j][plus[i]] for j in range(m) for i in pairs]
    numbers += [g[0][0], *[g[plus[i]][j] for i in pairs for j in range(r)]]
    return tuple(float(v) for v in numbers)


@cache
def growth(m: int, r: int) -> tuple[float, float, float]:
    """How much F(m, r) magnifies rounding errors relative to ``max|d| * sum|g|``: (probable, worst), and how many.

    The worst case adds the sizes: the product at point f is at most ``max|G_f| * sum|B_f|`` of that norm and
    enters output o times A_of. Independent errors add as squares: the probable growth is the largest
    ``||A_of G_fj (B x)_f||`` of any output o, tap j and signs x. Two dimensions multiply.

    The third number is that of the transforms' own roundings along one axis, each as large as one of a product
    (Higham and Mary 2019): those that `_roundings` counts, averaged over the points with their shares of the square
    of the growth. They add to those of the sum over channels; two axes have twice as many.
    """
    a, b, g = matrices(m, r)
    worst = max(
        sum(abs(x) * max(map(abs, gf)) * sum(map(abs, bf)) for x, gf, bf in zip(row, g, b, strict=True)) for row in a
    )
    signs = product((1.0, -1.0), repeat=m + r - 2)  # one sign is free
    squares = [[sum(s * float(v) for s, v in zip((1.0, *x), bf, strict=True)) ** 2 for bf in b] for x in signs]
    probable = most = 0.0
    for o, row in enumerate(a):
        for j in range(r):
            weights = [float(x * gf[j]) ** 2 for x, gf in zip(row, g, strict=True)]
            counted = list(map(mul, weights, _roundings(m, r, o, j)))
            probable = max(probable, *(sum(map(mul, weights, v)) for v in squares))
            most = max(most, *(sum(map(mul, counted, v)) for v in squares))
    return math.sqrt(probable), float(worst), most / probable


def _roundings(m: int, r: int, o: int, j: int) -> list[int]:
    """For each point, how many roundings are on the way from tap j to output o, and of its input, as `table` has it.

    With P pairs of points: P multiply-adds of the input, whose coefficients are exact; of a pair's weight the
    coefficient, multiply-adds from tap j on in its even or odd part, the sum of both; of the output the pair's sum,
    multiply-adds from its place on. The first point has a product and P sums, infinity nothing but its own sum.
    """
    pairs = (m + r) // 2 - 1
    infinity = (m + r) % 2
    tail = infinity * (o == m - 1)
    middle = [pairs + 1 + (r - j + 1) // 2 + 1 + 1 + pairs - i + tail for i in range(pairs) for _ in "+-"]
    return [pairs + 2 + pairs + tail, *middle, *[pairs + 1] * infinity]


def _polynomial(roots: list[Fraction]) -> list[Fraction]:
    """Coefficients of the product of ``x - root``, lowest power first."""
    c = [Fraction(1)]
    for root in roots:
        c = [below - root * same for below, same in zip([Fraction(0), *c], [*c, Fraction(0)], strict=True)]
    return c
