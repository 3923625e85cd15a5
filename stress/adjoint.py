"""<dy, conv(x, w)> = <dx, x> = <dw, w> in float64, within 1e-13 of the sum of the products' magnitudes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import fastconv
from fastconv.core.problem import PASSES, ConvProblem
from stress import Line
from stress.cases import problem
from tests import battery, oracle
from tests.problems import geometry, real_data

LIMIT = 1e-13


def residual(name: str, p: ConvProblem) -> float:
    """The larger of the two relative differences, through one backend's public calls."""
    d = real_data(p)
    y, dx, dw = (battery.public(name, pass_, p, d) for pass_ in PASSES)
    size = np.vdot(np.abs(d.dy), oracle.forward(np.abs(d.x), np.abs(d.w), None, geometry(p)))
    sums = [np.vdot(d.dy, y), np.vdot(dx, d.x), np.vdot(dw, d.w)]
    return float((max(sums) - min(sums)) / (size or 1))


def run(seed: int, quick: bool) -> Iterator[Line]:
    """1,000 problems, each through `auto` and one backend that does all three passes."""
    rng, failures, worst, done = np.random.default_rng(seed), [], 0.0, 0
    names = [n for n in battery.backends() if not (quick and n.endswith("/numba"))]
    for _ in range(50 if quick else 1000):
        p = problem(rng)._replace(dtype="float64")
        able = [n for n in names if not any(fastconv.get_backend(n).refuse(battery.inner(p), q) for q in PASSES)]
        for name in ("auto", str(rng.choice(able))):
            off, done = residual(name, p), done + 1
            worst = max(worst, off)
            if not off <= LIMIT:
                failures.append(f"{name} {p}  # {off:.1e}")
    yield Line("adjoint identity", done, failures, f"worst {worst:.1e}, allowed {LIMIT:.0e}")
