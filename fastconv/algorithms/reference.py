"""The definition itself, in float64: einsum over the shifted views of the input. Slow and obviously right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from .base import UNIT_ROUNDOFF, Array, Backend, Cost, Rates, terms


def _taps(p: ConvProblem, padded: Array) -> Any:
    """(i, j, view): the (N, g, Ci/g, OH, OW) pixels under tap (i, j) of every output."""
    v = padded.reshape(p.n, p.g, p.ci // p.g, *padded.shape[2:])
    for i in range(p.kh):
        for j in range(p.kw):
            rows = slice(i * p.dh, i * p.dh + (p.oh - 1) * p.sh + 1, p.sh)
            cols = slice(j * p.dw, j * p.dw + (p.ow - 1) * p.sw + 1, p.sw)
            yield i, j, v[..., rows, cols]


def _pad(p: ConvProblem, x: Array) -> Array:
    return np.pad(x.astype(np.float64), ((0, 0), (0, 0), (p.pt, p.pb), (p.pl, p.pr)))


class Reference(Backend):
    """float64 NumPy, refuses nothing."""

    algorithm = "reference"

    def cost(self, p: ConvProblem, pass_: str, cfg: Any, threads: int, rates: Rates) -> Cost:
        flops = nominal_flops(p)
        return Cost(flops, p.kh * p.kw * compulsory_bytes(p), flops / 0.5e9 + p.kh * p.kw * 20e-6)

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        return nominal_flops(p) / 0.5e9

    def workspace(self, p: ConvProblem, pass_: str, cfg: Any, threads: int) -> int:
        pads = p.padded()
        return 8 * p.n * (p.ci * pads.ih * pads.iw + p.co * p.oh * p.ow)

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
        w64 = w.astype(np.float64).reshape(p.g, p.co // p.g, *w.shape[1:])
        out = np.zeros((p.n, p.g, p.co // p.g, p.oh, p.ow))
        for i, j, v in _taps(p, _pad(p, x)):
            out += np.einsum("goc,ngchw->ngohw", w64[..., i, j], v)
        y[...] = out.reshape(y.shape)

    def grad_input(self, p: ConvProblem, cfg: Any, dy: Array, w: Array, dx: Array, work: Array, threads: int) -> None:
        w64 = w.astype(np.float64).reshape(p.g, p.co // p.g, *w.shape[1:])
        d = dy.astype(np.float64).reshape(p.n, p.g, p.co // p.g, p.oh, p.ow)
        padded = np.zeros((p.n, p.ci, p.ih + p.pt + p.pb, p.iw + p.pl + p.pr))
        for i, j, v in _taps(p, padded):
            v += np.einsum("goc,ngohw->ngchw", w64[..., i, j], d)
        dx[...] = padded[:, :, p.pt : p.pt + p.ih, p.pl : p.pl + p.iw]

    def grad_weight(self, p: ConvProblem, cfg: Any, dy: Array, x: Array, dw: Array, work: Array, threads: int) -> None:
        d = dy.astype(np.float64).reshape(p.n, p.g, p.co // p.g, p.oh, p.ow)
        out = np.empty((p.g, p.co // p.g, *dw.shape[1:]))
        for i, j, v in _taps(p, _pad(p, x)):
            out[..., i, j] = np.einsum("ngohw,ngchw->goc", d, v)
        dw[...] = out.reshape(dw.shape)
