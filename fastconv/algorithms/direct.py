"""Direct convolution: contiguous runs.

With channels last a kernel row of ``kw * ci`` numbers is one contiguous run of the image at any stride, and
neighbouring output pixels are ``sw * ci`` numbers apart. A block of output pixels x vectors of output channels
stays in registers while the runs of a kernel stream by (Georganas et al., "Anatomy of high-performance deep
learning convolutions on SIMD architectures", 2018; Zhang, Franchetti and Low, "High performance zero-memory
overhead direct convolutions", 2018): one loop for every kernel and stride, and the image is read in place.
Where channels are planes a thread turns its band of the image first, and its outputs last, in its own cache.

grad_input is the same loop over dy, phase by phase: dx rows of one remainder modulo the stride meet the same taps.
In grad_weight numbers of a kernel row x vectors of outputs stay in registers while pixels stream by.
Arrays are (n, h, w, c) or (n, c, h, w); weights stay (co, ci // groups, kh, kw). Records: direct_layout.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.flops import compulsory_bytes, nominal_flops, valid_tap_flops
from ..core.problem import ConvProblem
from ..core.vectors import ARM
from ..engines.records import DirectPass, DirectPhase
from .base import Array, Backend, Cost, Epilogue, Rates, plain_bound
from .direct_layout import STRIP, DirectConfig, Pass, layout_of, shape, width

_PANEL = 640 << 10  # bytes of packed weights that a core keeps beside what it reads
_FEW = 4  # pixels of a 1x1 kernel up to which weights are read as they lie
_SMALL = 1 << 16  # weights of such that one thread multiplies sooner than two begin
_SETS = 4096  # bytes after which numbers meet in one set of the first cache
_SUMS = 1 << 20  # bytes of a thread's own sums
_NOTHING = Epilogue(None, None, "")


class Costs(NamedTuple):
    """Vectors that are multiplied meanwhile."""

    work: float  # one is multiplied, with the loads that this takes
    pack: tuple[float, float, float, float]  # a weight is packed: 1x1, swapped; other kernels, swapped
    sum: float  # one is multiplied in grad_weight
    read: float  # a number of the source is fetched
    flip: float  # a number goes from planes to channels last or back
    unpack: float  # a weight of dw comes to its place
    block: float  # a block of sums begins


# by bytes of a vector, so that algorithms rank as measured: EPYC 9005 (Zen 5), EPYC 7003 (Zen 3), 2026-12-01
_COSTS = {
    64: Costs(1.0, (0.9, 0.9, 2.1, 4.5), 1.18, 0.3, 1.5, 1.7, 40.0),
    32: Costs(1.3, (6.0, 20.0, 2.1, 2.3), 1.42, 0.3, 1.7, 4.8, 57.0),
}


def blocks(vector_bytes: int) -> dict[int, int]:
    """Vectors of outputs: pixels at most beside them, whose sums fit the registers."""
    if ARM:
        return {1: 14, 2: 14, 3: 9, 4: 6}
    return {1: 14, 2: 14, 3: 9, 4: 7} if vector_bytes == 64 else {1: 12, 2: 6, 3: 4}


def _few(p: ConvProblem, pass_: str) -> bool:
    """Whether the pass is a matrix times few vectors."""
    few = pass_ == "forward" and p.kh == p.kw == 1 and p.n * p.oh * p.ow <= _FEW
    return few and p.x_shape[2:] == p.y_shape[2:]


class Direct(Backend):
    """Register-blocked loops over contiguous runs of the image."""

    algorithm = "direct"
    adds_bias = fuses = True

    def layout(self, p: ConvProblem, pass_: str) -> tuple[bool, bool]:
        """As the arrays lie, but for a matrix times few vectors."""
        return (True, True) if _few(p, pass_) and (p.ih, p.iw) != (1, 1) else (p.x_last, p.y_last)

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> DirectConfig:
        if pass_ == "grad_weight":
            return self._configure_sums(p, threads)
        if _few(p, pass_):
            return DirectConfig(0)
        lanes, most = self._lanes(p), blocks(self.vector_bytes)
        r, _ = shape(p, pass_)
        terms, far = r.cg * r.taps, r.cs * r.c * p.itemsize % _SETS == 0
        options = []
        for nv, nr in most.items():
            nv = min(nv, -(-r.og // lanes))
            chunk = -(-r.cg // max(1, -(-(terms * nv * lanes * p.itemsize) // _PANEL)))
            panels = r.groups * -(-r.og // (nv * lanes))
            ways = (k for k in range(1, min(threads, panels) + 1) if threads % k == 0)
            options += [DirectConfig(nv, min(nr, 7) if far else nr, k, chunk) for k in ways]
        return min(options, key=lambda cfg: _pass_cycles(r, cfg, threads, lanes, self._costs()))

    def _configure_sums(self, p: ConvProblem, threads: int) -> DirectConfig:
        lanes, most = self._lanes(p), blocks(self.vector_bytes)
        vectors = -(-(p.co // p.g) // lanes)
        nv = min(2, vectors)
        size = p.g * width(p.co // p.g, nv, lanes) * (p.ci // p.g) * p.kh * p.kw * p.itemsize
        return DirectConfig(nv, most[nv], 1, p.ci // p.g, int(size <= _SUMS and p.n * p.oh >= 2 * threads))

    def workspace(self, p: ConvProblem, pass_: str, cfg: DirectConfig, threads: int) -> int:
        return self._pass(p, pass_, cfg, threads).end * p.itemsize if cfg.nv else 0

    def spares(self, p: ConvProblem, cfg: DirectConfig, threads: int) -> int:
        whole = self.workspace(p, "forward", cfg, threads)
        return whole - self._pass(p, "forward", cfg, threads, True).end * p.itemsize if cfg.nv else 0

    def cost(self, p: ConvProblem, pass_: str, cfg: DirectConfig, threads: int, rates: Rates) -> Cost:
        flops, moved, lanes, c = valid_tap_flops(p), compulsory_bytes(p), self._lanes(p), self._costs()
        if cfg.nv == 0:
            return Cost(flops, moved, moved / (2 * rates.copy_gbs * 1e9) + 1e-6)
        if pass_ == "grad_weight":
            cycles = _sum_cycles(*shape(p, pass_), cfg, threads, lanes, c)
            work = cycles * 2 * lanes + c.unpack * 2 * lanes * p.co * (p.ci // p.g) * p.kh * p.kw
            seconds = work / (rates.fma_gflops * 1e9 * threads)
        else:
            cycles = _pass_cycles(shape(p, pass_)[0], cfg, threads, lanes, c)
            seconds = cycles * 2 * lanes / (rates.fma_gflops * 1e9) * flops / nominal_flops(p)
        return Cost(flops, moved, seconds + rates.launch_us * 1e-6 * (threads > 1))

    def saves(self, p: ConvProblem, cfg: DirectConfig, threads: int, rates: Rates) -> float:
        if cfg.nv == 0:
            return 0.0
        (r, _), lanes = shape(p, "forward"), self._lanes(p)
        pack = self._costs().pack[2 * (r.kernel > 1)]
        cycles = pack * r.groups * width(r.og, cfg.nv, lanes) * r.cg * r.taps / cfg.ways
        return cycles * 2 * lanes / (rates.fma_gflops * 1e9) * valid_tap_flops(p) / nominal_flops(p)

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        return valid_tap_flops(p) / (rates.fma_gflops * 1e9 * threads) if p.n * p.oh * p.ow > _FEW else 0.0

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        """grad_weight sums the pixels of a strip, then the strips."""
        if pass_ != "grad_weight":
            return plain_bound(p, pass_)
        return plain_bound(p, pass_, max(1, STRIP // p.ow) * p.ow)

    def prepare(self, p: ConvProblem, cfg: DirectConfig, w: Array) -> Array | None:
        if cfg.nv == 0:
            return None
        job = self._pass(p, "forward", cfg, 1)
        raw = np.empty(job.size + 16, w.dtype)
        start = -raw.ctypes.data % 64 // p.itemsize
        packed = raw[start : start + job.size]
        self.steps(p.dtype).direct_pack(w, packed, job.record, job.order, 1)
        return packed

    def forward(
        self,
        p: ConvProblem,
        cfg: DirectConfig,
        x: Array,
        w: Array,
        bias: Epilogue | None,
        y: Array,
        work: Array,
        threads: int,
        packed: Any = None,
    ) -> None:
        """Fill y = activation(conv + bias + residual)."""
        after = bias or _NOTHING
        if cfg.nv == 0:
            threads, pixels = threads if w.size > _SMALL else 1, p.n * p.oh * p.ow
            few = self.steps(p.dtype).direct_few_pixels
            few(x, w, after.bias, after.residual, y, pixels, p.g, after.code, threads)
            return
        self._products(p, "forward", cfg, x, w, after, y, work, threads, packed)

    def grad_input(
        self, p: ConvProblem, cfg: DirectConfig, dy: Array, w: Array, dx: Array, work: Array, threads: int
    ) -> None:
        self._products(p, "grad_input", cfg, dy, w, _NOTHING, dx, work, threads, None)

    def grad_weight(
        self, p: ConvProblem, cfg: DirectConfig, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        steps, job = self.steps(p.dtype), self._pass(p, "grad_weight", cfg, threads)
        sums, scratch = work[: job.work], work[job.work :]
        steps.direct_sums(x, dy, sums, scratch, job.record, job.phases, threads)
        steps.direct_weights(sums, dw, job.record, threads if cfg.private else 1, threads)

    def _products(
        self,
        p: ConvProblem,
        pass_: str,
        cfg: DirectConfig,
        x: Array,
        w: Array,
        after: Epilogue,
        y: Array,
        work: Array,
        threads: int,
        packed: Any,
    ) -> None:
        steps, job = self.steps(p.dtype), self._pass(p, pass_, cfg, threads, packed is not None)
        steps.direct_products(
            x, packed, w, after.bias, after.residual, y, work, job.record, job.phases, job.order, after.code, threads
        )

    def _pass(self, p: ConvProblem, pass_: str, cfg: DirectConfig, threads: int, packed: bool = False) -> Pass:
        return layout_of(p, pass_, cfg, threads, self._lanes(p), packed)

    def _costs(self) -> Costs:
        return _COSTS.get(self.vector_bytes, _COSTS[32])


def _pass_cycles(r: DirectPass, cfg: DirectConfig, threads: int, lanes: int, c: Costs) -> float:
    """Cycles of the busiest thread: multiply-adds of register blocks, packing of its weights, reading of its pixels."""
    crews, columns, vectors = threads // cfg.ways, -(-r.ow // cfg.nr), -(-r.og // lanes)
    panels, tail = -(-vectors // cfg.nv), (vectors - 1) % cfg.nv + 1  # of a group; vectors of the last one
    whole, part = _row_cycles(r.ow, columns, cfg.nv), _row_cycles(r.ow, columns, tail)
    rows, terms, work, own = -(-r.n * r.oh * columns // crews) / columns, r.cg * r.taps, 0.0, 0
    for k in range(cfg.ways):
        first, end = (r.groups * panels * i // cfg.ways for i in (k, k + 1))
        tails = end // panels - first // panels
        work = max(work, (end - first - tails) * whole + tails * part)
        own = max(own, (end - first - tails) * cfg.nv + tails * tail)
    pack = c.pack[2 * (r.kernel > 1) + r.swapped]
    read = (c.read + (c.flip if r.xplane else 0)) * r.n * r.h * r.w * r.c / r.pick / crews
    wrote = c.flip * r.n * r.oh * r.ow * r.phases * r.groups * r.og / threads if r.yplane else 0
    return c.work * work * rows * terms + pack * own * lanes * terms + read + wrote


def _sum_cycles(
    r: DirectPass, phases: tuple[DirectPhase, ...], cfg: DirectConfig, threads: int, lanes: int, c: Costs
) -> float:
    """Cycles of all threads in grad_weight: multiply-adds, beginnings of blocks, outputs laid side by side, reading."""
    (f,) = phases
    run, runs = (f.kw * r.cg, f.kh) if f.cd * r.c == r.cg else (r.cg, f.kh * f.kw)
    blocks, pixels = -(-run // cfg.nr), r.n * r.oh * r.ow
    panels = r.groups * -(-r.og // (cfg.nv * lanes))
    busy = max(1.0, 4 / (cfg.nv * min(cfg.nr, run)))  # sums that are too few wait for each other
    work = c.sum * pixels * r.groups * width(r.og, 1, lanes) / lanes * r.cg * r.taps * busy
    strips = r.n * -(-r.oh // max(1, STRIP // r.ow))
    read = (c.read + (c.flip if r.xplane else 0)) * r.n * r.h * r.w * r.c * (1 if cfg.private else threads)
    laid = (c.read + (c.flip if r.yplane else 0)) * pixels * r.groups * width(r.og, cfg.nv, lanes)
    return work + strips * panels * runs * blocks * c.block + read + laid


def _row_cycles(ow: int, columns: int, vectors: int) -> float:
    """Cycles of a step of a row of outputs: multiply-adds, loads, or what a chain of sums waits for."""
    wide, narrow = -(-ow // columns), ow // columns
    many = ow - narrow * columns
    return many * _block(wide, vectors) + (columns - many) * _block(narrow, vectors)


def _block(pixels: int, vectors: int) -> float:
    loads = pixels * (1 if vectors < 4 else 2) + vectors
    return max(pixels * vectors, 4) + 0.1 * loads
