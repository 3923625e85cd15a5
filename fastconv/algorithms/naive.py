"""The textbook loops: one sum a number, written as the formula stands in the lectures.

``y[n, o, i, j] = sum_{c, u, v} w[o, c, u, v] * x[n, c, i * sh + u * dh - pt, j * sw + v * dw - pl]``,
summed in float64 and rounded once, so this is also the most exact backend.
"""

from __future__ import annotations

import math
from typing import Any

from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from .base import UNIT_ROUNDOFF, Array, Backend, Cost, Rates, geometry, terms

_GFLOPS = 1.6  # one core; scalar code, every term behind a conversion to float64


class Naive(Backend):
    """Plain loops, refuses nothing."""

    algorithm = "naive"

    def cost(self, p: ConvProblem, pass_: str, cfg: Any, threads: int, rates: Rates) -> Cost:
        flops = nominal_flops(p)
        return Cost(flops, compulsory_bytes(p), flops / (_GFLOPS * 1e9 * threads) + rates.launch_us * 1e-6)

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        return nominal_flops(p) / (_GFLOPS * 1e9 * threads)

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        return UNIT_ROUNDOFF[p.dtype] + 2.0**-53 * math.sqrt(terms(p, pass_))

    def worst_case_bound(self, p: ConvProblem, pass_: str) -> float:
        return UNIT_ROUNDOFF[p.dtype] + 2.0**-53 * (terms(p, pass_) + 1)

    def forward(
        self,
        p: ConvProblem,
        cfg: Any,
        x: Array,
        w: Array,
        bias: Array | None,
        y: Array,
        work: Array,
        threads: int,
        packed: Any = None,
    ) -> None:
        self.steps(p.dtype).naive_forward(x, w, y, geometry(p), threads)

    def grad_input(self, p: ConvProblem, cfg: Any, dy: Array, w: Array, dx: Array, work: Array, threads: int) -> None:
        self.steps(p.dtype).naive_grad_input(dy, w, dx, geometry(p), threads)

    def grad_weight(self, p: ConvProblem, cfg: Any, dy: Array, x: Array, dw: Array, work: Array, threads: int) -> None:
        self.steps(p.dtype).naive_grad_weight(dy, x, dw, geometry(p), threads)
