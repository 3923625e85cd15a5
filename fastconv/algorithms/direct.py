"""Direct convolution on channels-last arrays: contiguous runs.

With channels last a kernel row of ``kw * ci`` numbers is one contiguous run of the image at any stride, and
neighbouring output pixels are ``sw * ci`` numbers apart. A block of output pixels x vectors of output channels
stays in registers while the runs of a kernel stream by (Georganas et al., "Anatomy of high-performance deep
learning convolutions on SIMD architectures", 2018; Zhang, Franchetti and Low, "High performance zero-memory
overhead direct convolutions", 2018): one loop for every kernel and stride, and the image is read in place.

grad_input is the same loop over dy, phase by phase: dx rows of one remainder modulo the stride meet the same taps.
In grad_weight numbers of a kernel row x vectors of outputs stay in registers while pixels stream by.
Arrays are (n, h, w, c); weights stay (co, ci // groups, kh, kw).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from ..core.flops import compulsory_bytes, nominal_flops, valid_tap_flops
from ..core.problem import ConvProblem
from ..engines.records import DirectPass, DirectPhase, pack
from .axes import Axis, adjoint_axes, forward_axis
from .base import Array, Backend, Cost, Epilogue, Rates, plain_bound

BLOCKS = {64: {1: 14, 2: 14, 3: 9, 4: 7}, 32: {1: 12, 2: 6, 3: 4}}  # vectors of outputs: pixels at most beside them
_PANEL = 640 << 10  # bytes of packed weights that a core keeps beside what it reads
_PACK = 0.9, 2.1, 4.5  # vectors that are multiplied while a weight is packed: 1x1, other kernels, these swapped
_READ, _UNPACK = 0.3, 1.7  # while a number of the source is fetched, a weight of dw comes to its place
_FLIP = 1.5  # while a number goes from planes to channels last or back
_BLOCK = 40  # until a block of sums is at work
_FEW = 4  # pixels of a 1x1 kernel up to which weights are read as they lie
_SMALL = 1 << 16  # weights of such that one thread multiplies sooner than two begin
_BAND = 256 << 10  # bytes of the source that stay in a core's cache while panels of weights pass
_SETS = 4096  # bytes after which numbers meet in one set of the first cache
_KEPT = 512 << 10  # bytes of packed weights that a thread keeps from band to band
_COPY = 32 << 20  # bytes of a thread's copy where weights are packed anew for every band
_SUMS = 1 << 20  # bytes of a thread's own sums
_STRIP = 192  # pixels over which grad_weight sums before it adds to what is in memory
_TURN = 64  # pixels of outputs that lie side by side before they go to their planes
_NOTHING = Epilogue(None, None, "")


class DirectConfig(NamedTuple):
    """Block sizes of one pass."""

    nv: int  # vectors of outputs and pixels (in grad_weight: numbers of a run) of a register block;
    nr: int = 0  # 0: a matrix times few vectors
    ways: int = 1  # shares of the outputs; threads beyond it share the pixels
    chunk: int = 1  # channels at a time
    private: int = 0  # grad_weight: threads share the pixels and have sums of their own


def _few(p: ConvProblem, pass_: str) -> bool:
    """Whether the pass is a matrix times few vectors."""
    few = pass_ == "forward" and p.kh == p.kw == 1 and p.n * p.oh * p.ow <= _FEW
    return few and p.x_shape[2:] == p.y_shape[2:]


class Pass(NamedTuple):
    """What a pass hands to its steps: numbers of packed weights, of sums, of scratch; the place of every tap of the
    kernel among the packed ones, -1 if none of its outputs is met."""

    record: Array
    phases: Array
    order: Array
    size: int
    work: int
    end: int


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
        lanes, most = self._lanes(p), BLOCKS.get(self.vector_bytes, BLOCKS[32])
        r, phases = shape(p, pass_)
        terms, far = r.cg * r.taps, r.cs * r.c * p.itemsize % _SETS == 0
        options = []
        for nv, nr in most.items():
            chunk = -(-r.cg // max(1, -(-(terms * nv * lanes * p.itemsize) // _PANEL)))
            panels = r.groups * -(-r.og // (nv * lanes))
            ways = (k for k in range(1, min(threads, panels) + 1) if threads % k == 0)
            options += [DirectConfig(nv, min(nr, 7) if far else nr, k, chunk) for k in ways]
        return min(options, key=lambda cfg: _pass_cycles(r, phases, cfg, threads, lanes))

    def _configure_sums(self, p: ConvProblem, threads: int) -> DirectConfig:
        lanes, most = self._lanes(p), BLOCKS.get(self.vector_bytes, BLOCKS[32])
        vectors = -(-(p.co // p.g) // lanes)
        nv = min(2, vectors)
        size = p.g * _width(p.co // p.g, nv, lanes) * (p.ci // p.g) * p.kh * p.kw * p.itemsize
        return DirectConfig(nv, most[nv], 1, p.ci // p.g, int(size <= _SUMS and p.n * p.oh >= 2 * threads))

    def workspace(self, p: ConvProblem, pass_: str, cfg: DirectConfig, threads: int) -> int:
        return self._pass(p, pass_, cfg, threads).end * p.itemsize if cfg.nv else 0

    def cost(self, p: ConvProblem, pass_: str, cfg: DirectConfig, threads: int, rates: Rates) -> Cost:
        flops, moved, lanes = valid_tap_flops(p), compulsory_bytes(p), self._lanes(p)
        if cfg.nv == 0:
            return Cost(flops, moved, moved / (2 * rates.copy_gbs * 1e9) + 1e-6)
        if pass_ == "grad_weight":
            cycles = _sum_cycles(*shape(p, pass_), cfg, threads, lanes)
            work = cycles * 2 * lanes + _UNPACK * 2 * lanes * p.co * (p.ci // p.g) * p.kh * p.kw
            seconds = work / (rates.fma_gflops * 1e9 * threads)
        else:
            cycles = _pass_cycles(*shape(p, pass_), cfg, threads, lanes)
            seconds = cycles * 2 * lanes / (rates.fma_gflops * 1e9) * flops / nominal_flops(p)
        return Cost(flops, moved, seconds + rates.launch_us * 1e-6 * (threads > 1))

    def saves(self, p: ConvProblem, cfg: DirectConfig, threads: int, rates: Rates) -> float:
        if cfg.nv == 0:
            return 0.0
        (r, _), lanes = shape(p, "forward"), self._lanes(p)
        cycles = _PACK[0 if r.kernel == 1 else 1] * r.groups * _width(r.og, cfg.nv, lanes) * r.cg * r.taps / cfg.ways
        return cycles * 2 * lanes / (rates.fma_gflops * 1e9) * valid_tap_flops(p) / nominal_flops(p)

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        return valid_tap_flops(p) / (rates.fma_gflops * 1e9 * threads) if p.n * p.oh * p.ow > _FEW else 0.0

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        """grad_weight sums the pixels of a strip, then the strips."""
        if pass_ != "grad_weight":
            return plain_bound(p, pass_)
        return plain_bound(p, pass_, max(1, _STRIP // p.ow) * p.ow)

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
        self, p: ConvProblem, cfg: DirectConfig, x: Array, w: Array, bias: Epilogue | None, y: Array, work: Array,
        threads: int, packed: Any = None,
    ) -> None:  # fmt: skip
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
        self, p: ConvProblem, pass_: str, cfg: DirectConfig, x: Array, w: Array, after: Epilogue, y: Array,
        work: Array, threads: int, packed: Any,
    ) -> None:  # fmt: skip
        steps, job = self.steps(p.dtype), self._pass(p, pass_, cfg, threads)
        steps.direct_products(
            x, packed, w, after.bias, after.residual, y, work, job.record, job.phases, job.order, after.code, threads
        )

    def _pass(self, p: ConvProblem, pass_: str, cfg: DirectConfig, threads: int) -> Pass:
        return _pass(p, pass_, cfg, threads, self._lanes(p))

    def _lanes(self, p: ConvProblem) -> int:
        return self.vector_bytes // p.itemsize


@lru_cache(maxsize=1024)
def shape(p: ConvProblem, pass_: str) -> tuple[DirectPass, tuple[DirectPhase, ...]]:
    """A pass without block sizes, and its phases."""
    if pass_ == "grad_input":
        rows = adjoint_axes(p.ih, p.kh, p.sh, p.pt, p.dh)
        cols = adjoint_axes(p.iw, p.kw, p.sw, p.pl, p.dw)
        h, w, c, co, oh, ow, read, wrote = p.oh, p.ow, p.co, p.ci, p.ih, p.iw, p.y_last, p.x_last
    else:
        rows, cols = [forward_axis(p.oh, p.kh, p.sh, p.pt, p.dh)], [forward_axis(p.ow, p.kw, p.sw, p.pl, p.dw)]
        h, w, c, co, oh, ow, read, wrote = p.ih, p.iw, p.ci, p.co, p.oh, p.ow, p.x_last, p.y_last
    read, wrote = read or c == 1, wrote or co == 1  # a single plane lies either way
    n, xplane, yplane = p.n, 0 if read else h * w, 0 if wrote else oh * ow
    if p.kh == p.kw == p.sh == p.sw == 1 and (h, w) == (oh, ow) and rows[0].source == cols[0].source == 0:
        pixels = h * w  # the same pixels of one row, or one column
        if read and wrote:
            n, pixels = 1, n * pixels
        if pass_ != "grad_weight":
            h, w = oh, ow = 1, pixels
        elif read and wrote:
            h, w = oh, ow = pixels, 1
        rows, cols = [forward_axis(oh, 1, 1, 0, 1)], [forward_axis(ow, 1, 1, 0, 1)]
    row, pixel = (ow * co, co) if wrote else (ow, 1)
    phases, before = [], 0
    for a, b in product(rows, cols):
        place = a.first * row + b.first * pixel
        phases.append(
            DirectPhase(a.outs, b.outs, a.taps, b.taps, a.source, a.dilation, b.source, b.dilation, place, before)
        )
        before += a.taps * b.taps
    (r0, high), (c0, wide) = _extent(rows), _extent(cols)
    v, u = rows[0], cols[0]
    pick = u.step if not read and wide == 1 and c0 == 0 and (u.outs - 1) * u.step < w else 1
    return DirectPass(
        n, h, w, c, p.g, c // p.g, co // p.g, v.outs, u.outs, len(phases), before, r0, v.step, high, c0, u.step, wide,
        oh * ow * co, v.every * row, u.every * pixel, p.kh * p.kw, int(pass_ == "grad_input"), xplane, yplane, pick,
        nv=0, nr=0, chunk=0, ways=0, band=0, room=0, copied=0, tile=0, keep=0, private=0,
    ), tuple(phases)  # fmt: skip


@lru_cache(maxsize=1024)
def _order(p: ConvProblem, pass_: str) -> Array:
    if pass_ != "grad_input":
        return np.arange(p.kh * p.kw)
    order, place = np.full((p.kh, p.kw), -1), 0
    rows, cols = adjoint_axes(p.ih, p.kh, p.sh, p.pt, p.dh), adjoint_axes(p.iw, p.kw, p.sw, p.pl, p.dw)
    for a, b in product(rows, cols):
        for i, j in product(range(a.taps), range(b.taps)):
            order[a.tap + i * a.skip, b.tap + j * b.skip] = place
            place += 1
    return order.reshape(-1)


def _extent(axes: list[Axis]) -> tuple[int, int]:
    """Where the first output of any phase begins to read, and how far it reads."""
    met = [a for a in axes if a.taps] or axes
    first = min(a.source for a in met)
    return first, max(a.source + max(0, a.taps - 1) * a.dilation for a in met) - first + 1


@lru_cache(maxsize=1024)
def _pass(p: ConvProblem, pass_: str, cfg: DirectConfig, threads: int, lanes: int) -> Pass:
    r, phases = shape(p, pass_)
    r = _sized(p, pass_, r, phases, cfg, threads, lanes)
    size = r.groups * _width(r.og, cfg.nv, lanes) * r.taps * r.cg
    kept = _round(size * (threads if cfg.private else 1)) if pass_ == "grad_weight" else 0
    return Pass(pack(r), pack(phases), _order(p, pass_), size, kept, kept + threads * r.room)


def _sized(
    p: ConvProblem,
    pass_: str,
    r: DirectPass,
    phases: tuple[DirectPhase, ...],
    cfg: DirectConfig,
    threads: int,
    lanes: int,
) -> DirectPass:
    """A pass with its block sizes and the scratch memory that a thread needs."""
    right = r.c0 + (r.ow - 1) * r.cs + r.wide
    copied = r.xplane > 0 or r.c0 < 0 or right > r.w
    row = (-(-(right - r.c0) // r.pick) if copied else r.w) * r.c * p.itemsize  # bytes
    tile = 0
    if pass_ == "grad_weight":
        band = rows = max(1, min(r.oh, _STRIP // r.ow))
        keep, images, panel = False, 1, band * r.ow * cfg.nv * lanes
    else:
        columns = -(-r.ow // cfg.nr)
        own = (r.groups * _width(r.og, cfg.nv, lanes) // cfg.ways + cfg.nv * lanes) * r.cg * r.taps
        keep = own * p.itemsize <= _KEPT
        room = _BAND if keep else _COPY
        if r.oh == 1:
            band = max(1, room // (-(-row // columns)))
        else:
            band = max(1, room // (row * r.rs)) * columns
        rows, images = min(r.oh, band // columns + 2), max(1, min(r.n, band // (r.oh * columns)))
        panel = own if keep else r.taps * cfg.chunk * cfg.nv * lanes
        if r.yplane:
            pixels = max(cfg.nr, _TURN) if cfg.chunk >= r.cg else min(band * cfg.nr, r.n * r.oh * r.ow)
            tile = _round(pixels * cfg.nv * lanes) * r.phases
    high = min(r.h, (rows - 1) * r.rs + r.high)
    copy = _round(images * high * (row // p.itemsize)) + 48 if copied else 0
    return r._replace(
        nv=cfg.nv, nr=cfg.nr, chunk=cfg.chunk, ways=cfg.ways, band=band, copied=copy, tile=tile, keep=int(keep),
        room=_round(copy + tile + panel) + 16, private=cfg.private,
    )  # fmt: skip


def _width(outputs: int, nv: int, lanes: int) -> int:
    """Numbers of all panels of a group, whole."""
    return -(-outputs // (nv * lanes)) * nv * lanes


def _pass_cycles(r: DirectPass, phases: tuple[DirectPhase, ...], cfg: DirectConfig, threads: int, lanes: int) -> float:
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
    pack = _PACK[0 if r.kernel == 1 else 1 + r.swapped]
    read = (_READ + (_FLIP if r.xplane else 0)) * r.n * r.h * r.w * r.c / r.pick / crews
    wrote = _FLIP * r.n * r.oh * r.ow * r.phases * r.groups * r.og / threads if r.yplane else 0
    return work * rows * terms + pack * own * lanes * terms + read + wrote


def _sum_cycles(r: DirectPass, phases: tuple[DirectPhase, ...], cfg: DirectConfig, threads: int, lanes: int) -> float:
    """Cycles of all threads in grad_weight: multiply-adds, beginnings of blocks, outputs laid side by side, reading."""
    (f,) = phases
    run, runs = (f.kw * r.cg, f.kh) if f.cd * r.c == r.cg else (r.cg, f.kh * f.kw)
    blocks, pixels = -(-run // cfg.nr), r.n * r.oh * r.ow
    panels = r.groups * -(-r.og // (cfg.nv * lanes))
    busy = max(1.0, 4 / (cfg.nv * min(cfg.nr, run)))  # sums that are too few wait for each other
    work = pixels * r.groups * _width(r.og, 1, lanes) / lanes * r.cg * r.taps / 0.85 * busy
    strips = r.n * -(-r.oh // max(1, _STRIP // r.ow))
    read = (_READ + (_FLIP if r.xplane else 0)) * r.n * r.h * r.w * r.c * (1 if cfg.private else threads)
    laid = (_READ + (_FLIP if r.yplane else 0)) * pixels * r.groups * _width(r.og, cfg.nv, lanes)
    return work + strips * panels * runs * blocks * _BLOCK + read + laid


def _row_cycles(ow: int, columns: int, vectors: int) -> float:
    """Cycles of a step of a row of outputs: multiply-adds, loads, or what a chain of sums waits for."""
    wide, narrow = -(-ow // columns), ow // columns
    many = ow - narrow * columns
    return many * _block(wide, vectors) + (columns - many) * _block(narrow, vectors)


def _block(pixels: int, vectors: int) -> float:
    loads = pixels * (1 if vectors < 4 else 2) + vectors
    return max(pixels * vectors, 4) + 0.1 * loads


def _round(numbers: int) -> int:
    return -(-numbers // 16) * 16
