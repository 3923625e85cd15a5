"""1x1 kernels on planes: a matrix product whose lanes are pixels, so that nothing is turned.

With one tap the convolution of an image (C, pixels) is the product of the weights (outputs, C) with it, and that of dy
with the transposed weights its gradient; at a stride, pixels are picked as they are read, or spread as they are
written (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 2008: a panel of the
right matrix is copied side by side, then met by all rows of the left one). `direct` does the same with channels last;
on planes it turns what it reads and writes, which costs as much as the product where channels are few. In grad_weight
the lanes are channels: x is turned, rows of dy are read as they lie.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from ..core.workspace import Scratch
from ..engines.records import PointwisePass, pack
from .base import Array, Backend, Cost, Epilogue, Rates, plain_bound
from .direct import blocks

_STRIP = 192  # pixels over which grad_weight sums before it adds to what is in memory
_KEPT = 192 << 10  # bytes of pixels that a core brings together at a time
_NEAR = 8192  # vectors of weights that stay in a core's own cache
_ALIKE = 4096  # bytes after which numbers meet in one set of the first cache
_NOTHING = Epilogue(None, None, "")


class Costs(NamedTuple):
    """Vectors that are multiplied meanwhile."""

    load: float  # a vector of pixels comes to its panel
    pick: float  # at a stride
    line: float  # the first of a row that is read
    turn: float  # a vector of x is turned
    weight: float  # a vector of weights is read that is not in a core's own cache
    block: float  # a block begins and ends
    store: float  # a vector of results is written
    spread: float  # at a stride, with the zeros beside it
    sum: float  # one of sums is read and written


# by bytes of a vector, so that direct and this rank as measured: EPYC 9005 (Zen 5; pick and spread are those of the
# other, in proportion), EPYC 7003 (Zen 3), 2026-12-01
_COSTS = {
    64: Costs(24.0, 48.0, 64.0, 14.0, 4.0, 80.0, 20.0, 80.0, 8.0),
    32: Costs(9.0, 24.0, 150.0, 7.0, 8.0, 60.0, 20.0, 80.0, 32.0),
}


class Pointwise(Backend):
    """Products of weights and planes."""

    algorithm = "pointwise"
    adds_bias = fuses = True

    def refuse(self, p: ConvProblem, pass_: str) -> str | None:
        if (p.kh, p.kw) != (1, 1) or any((p.pt, p.pb, p.pl, p.pr)):
            return "only for 1x1 kernels without padding"
        if p.ci == p.g:
            return "only for several channels a group"
        if p.oh * p.ow * p.itemsize < self.vector_bytes:
            return "only for planes of at least one vector"
        return None

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> PointwisePass:
        return _configure(p, pass_, threads, self.vector_bytes)

    def workspace(self, p: ConvProblem, pass_: str, cfg: PointwisePass, threads: int) -> int:
        return _scratch(p, pass_, cfg, threads).nbytes

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        return plain_bound(p, pass_, _STRIP) if pass_ == "grad_weight" else plain_bound(p, pass_)

    def cost(self, p: ConvProblem, pass_: str, cfg: PointwisePass, threads: int, rates: Rates) -> Cost:
        lanes, moved = self._lanes(p), compulsory_bytes(p)
        cycles = (_sums if pass_ == "grad_weight" else _products)(cfg, lanes, threads, _costs(self.vector_bytes))
        seconds = cycles * 2 * lanes / (rates.fma_gflops * 1e9) + rates.launch_us * 1e-6 * (threads > 1)
        weights = p.co * (p.ci // p.g) * p.itemsize
        extra = {"forward": 0, "grad_input": 2, "grad_weight": threads + 1}[pass_] * weights
        return Cost(nominal_flops(p), moved + extra, seconds + extra / (2 * rates.copy_gbs * 1e9))

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        return nominal_flops(p) / (rates.fma_gflops * 1e9 * threads)

    def forward(
        self,
        p: ConvProblem,
        cfg: PointwisePass,
        x: Array,
        w: Array,
        bias: Epilogue | None,
        y: Array,
        work: Array,
        threads: int,
        packed: Array | None = None,
    ) -> None:
        after, record = bias or _NOTHING, _record(cfg)
        self.steps(p.dtype).pointwise_products(x, w, after.bias, after.residual, y, work, record, after.code, threads)

    def grad_input(
        self, p: ConvProblem, cfg: PointwisePass, dy: Array, w: Array, dx: Array, work: Array, threads: int
    ) -> None:
        room, steps = _scratch(p, "grad_input", cfg, threads).take(work), self.steps(p.dtype)
        turned = room["weights"].reshape(p.g, p.ci // p.g, 1, p.co // p.g)
        weights = w.reshape(p.g, p.co // p.g, p.ci // p.g, 1)
        steps.to_channels_last(weights, turned, threads if w.size > _NEAR else 1)
        own = room["own"].reshape(-1)
        steps.pointwise_products(dy, turned, None, None, dx, own, _record(cfg), _NOTHING.code, threads)

    def grad_weight(
        self, p: ConvProblem, cfg: PointwisePass, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        room = _scratch(p, "grad_weight", cfg, threads).take(work)
        self.steps(p.dtype).pointwise_sums(x, dy, room["sums"], room["own"], _record(cfg), threads)
        np.add.reduce(room["sums"].reshape(threads, *dw.shape), 0, out=dw)


@lru_cache(1024)
def _configure(p: ConvProblem, pass_: str, threads: int, vector_bytes: int) -> PointwisePass:
    """The block of least work; ways only where pixels are too few for all threads."""
    most, lanes = blocks(vector_bytes), vector_bytes // p.itemsize
    channels, outputs, pixels = p.ci // p.g, p.co // p.g, p.oh * p.ow
    if pass_ == "grad_input":
        channels, outputs = outputs, channels
    sums, strided = pass_ == "grad_weight", (p.sh, p.sw) != (1, 1)
    strides = int(strided and pass_ != "grad_input"), int(strided and pass_ == "grad_input")
    far = (pixels if sums else channels) * p.itemsize % _ALIKE == 0  # rows that are read side by side
    options = []
    for nv, nr in most.items():
        panel = nv * lanes * (_STRIP if sums else channels)
        keep = 1 if sums else max(1, min(-(-pixels // (nv * lanes)), _KEPT // (panel * p.itemsize)))
        rows = min(nr, 7) if far else nr
        options += [
            PointwisePass(
                p.n, p.g, channels, outputs, pixels, p.ow, *strides, p.sh, p.sw, p.iw, p.ih * p.iw,
                nv, rows, ways, keep, _STRIP, keep * panel,
            )
            for ways in ({1} if sums else {1, threads})
        ]  # fmt: skip
    return min(options, key=lambda cfg: (_sums if sums else _products)(cfg, lanes, threads, _costs(vector_bytes)))


def _costs(vector_bytes: int) -> Costs:
    return _COSTS.get(vector_bytes, _COSTS[32])


def _rows(outputs: int, nr: int, nv: int) -> float:
    """Vectors that are multiplied, or the time of so many, while a channel meets all outputs."""
    blocks = -(-outputs // nr)
    rows = outputs / blocks
    return blocks * (max(rows * nv, 4) + 0.1 * (rows + nv))


def _products(r: PointwisePass, lanes: int, threads: int, c: Costs) -> float:
    """Those of the thread that has most."""
    vectors = -(-r.pixels // lanes)
    panels, tail = divmod(vectors, r.nv)
    images, outputs = r.n * r.groups, -(-r.outputs // r.ways)  # a share of panels has few tails
    far = c.weight * outputs * r.channels / lanes if outputs * r.channels > _NEAR * lanes else 0.0

    load, line = (c.pick, c.line) if r.picks else (c.load, c.line / r.keep)
    store = c.spread if r.spreads else c.store

    def panel(nv: int) -> float:
        each = r.channels * (_rows(outputs, r.nr, nv) + load * nv + line) + far
        return each + -(-outputs // r.nr) * c.block + outputs * nv * store

    units, crews, full = images * (panels + (tail > 0)), threads // r.ways, panel(r.nv)
    most = -(-units // crews)
    tails = most // (panels + 1) if tail else 0
    return (most - tails) * full + (tails * panel(tail) if tail else 0)


def _sums(r: PointwisePass, lanes: int, threads: int, c: Costs) -> float:
    """The same in grad_weight."""
    strips = -(-r.pixels // r.strip)
    vectors = -(-r.channels // lanes)
    panels, tail = divmod(vectors, r.nv)
    blocks, pixels = -(-r.outputs // r.nr), r.pixels / strips
    work = panels * _rows(r.outputs, r.nr, r.nv) + (_rows(r.outputs, r.nr, tail) if tail else 0)
    each = pixels * (work + vectors * c.turn * (1 + r.picks)) + (panels + (tail > 0)) * blocks * c.block
    each += r.outputs * vectors * c.sum
    units = r.n * strips
    return r.groups * each * -(-units // threads)


@lru_cache(1024)
def _record(cfg: PointwisePass) -> Array:
    return pack(cfg)


@lru_cache(1024)
def _scratch(p: ConvProblem, pass_: str, cfg: PointwisePass, threads: int) -> Scratch:
    room, weights = Scratch(p.dtype), p.co * (p.ci // p.g)
    if pass_ == "grad_weight":
        room.book("sums", threads, weights)
    elif pass_ == "grad_input":
        room.book("weights", weights)
    room.book("own", threads, cfg.room)
    return room
