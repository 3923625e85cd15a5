"""Winograd convolution: small tiles are transformed, so that a convolution becomes fewer products.

Lavin and Gray, "Fast algorithms for convolutional neural networks" (CVPR 2016). A tile of F(m, r) gives
m x m outputs from n x n = (m + r - 1)^2 products a channel pair instead of (m r)^2: 4 times fewer for
F(4x4, 3x3). The products of one frequency are a matrix product over channels; tiles are taken through all
stages in blocks that stay in cache. Dilated problems use tiles of strided pixels, 1xK and Kx1 kernels the
one-dimensional transforms. At stride 1 grad_input is the forward pass of the flipped, swapped weights.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from ..core.workspace import Scratch, aligned
from ..engines.records import pack
from . import winograd_matrices as transforms
from .base import UNIT_ROUNDOFF, Array, Backend, Cost, Epilogue, Rates
from .winograd_layout import (
    ROWS,
    Blocks,
    ceil_div,
    count_tiles,
    dense,
    layout,
    segment_of,
    weights_size,
)

_L2 = 1 << 20  # bytes of a core's own cache
_L3 = 12 << 20  # bytes of transformed weights that stay in the shared cache
_CHUNKS = 64, 256  # input channels of weights: transformed when needed, or beforehand
_OWN = 56  # tiles of a thread's own block in grad_weight
_FEW = 112  # tiles for which weights are better transformed again than fetched from memory
_TOLERANCE = {"float32": 2e-5, "float64": 1e-12}  # tiles and sums are chosen to stay below
_SUMS = 64, 48, 32, 16  # products that may be summed by themselves: whole vectors of channels
_TILE_SUMS = 64, 56, 48, 40, 32, 28, 24, 20, 16, 12, 8  # in grad_weight
_PRODUCT = 0.85  # of the FMA peak, reached by the products
# bytes of V, M and U made or read by the other stages, per operation of the FMA peak, by bytes of a vector
_STAGE = {64: 0.13, 32: 0.45}  # EPYC 9005 (Zen 5), EPYC 7003 (Zen 3), 2026-12-01
_NEAR = 0.5  # the time of a byte of weights or sums, which stay in a core's cache, beside that of the others
#: tiles whose products take as long as the weights, which may be prepared; in grad_weight also sums begin and end
_WEIGHTS = {"forward": 3, "grad_input": 3, "grad_weight": 12}
_OUTPUTS: dict[int, tuple[int, ...]] = {3: (4, 3, 2), 5: (4, 2)}  # taps: outputs of a tile along an axis
_FLAT_OUTPUTS: dict[int, tuple[int, ...]] = {3: (4,), 5: (4,), 7: (4, 2)}  # for kernels of one axis

_NOTHING = Epilogue(None, None, "")


class Job(NamedTuple):
    """What a pass hands to its steps."""

    record: Array
    coef: Array
    room: Scratch  # the transformed weights, where they are kept; the rest is the steps' own


@lru_cache(4096)
def _job(p: ConvProblem, pass_: str, cfg: Blocks, threads: int, lanes: int) -> Job:
    grid, _ = layout(p, pass_, cfg, threads, lanes)
    room = Scratch(p.dtype)
    room.book("weights", weights_size(grid, lanes))
    return Job(pack(grid), np.array(transforms.table(grid.m, grid.r), p.dtype), room)


class Winograd(Backend):
    """F(2x2,3x3), F(3x3,3x3), F(4x4,3x3), F(2x2,5x5) and one-dimensional forms."""

    algorithm = "winograd"
    fuses = True
    spreads_nonfinite = True

    def refuse(self, p: ConvProblem, pass_: str) -> str | None:
        if (p.sh, p.sw) != (1, 1):
            return f"stride {p.sh}x{p.sw}: tiles need stride 1"
        if not _outputs(p):
            return f"no transform for kernel {p.kh}x{p.kw}: only 3x3, 5x5, and 3, 5 or 7 taps along one axis"
        if p.g > 1 and min(p.ci, p.co) // p.g < 8:
            return f"{min(p.ci, p.co) // p.g} channels a group: fewer than 8 leave the vectors empty"
        return None

    def layout(self, p: ConvProblem, pass_: str) -> tuple[bool, bool]:
        """Both, each as it lies: channels that lie last are vectors already."""
        return p.x_last, p.y_last

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Blocks:
        m = _tile(p, pass_)
        by_panels, most, rows, per_row = _split(p, pass_, m)
        q = dense(p, pass_)
        wide = ceil_div(q.ow, (1 if q.kw == 1 else m) * q.dw)
        if rows * wide < threads:
            by_panels, most = True, _FEW
        chunk, length = _CHUNKS[0 if by_panels else 1], _sum(p, pass_, m)[0]
        if per_row > most:
            return Blocks(m, int(by_panels), rows, min(wide, ceil_div(per_row, most)), chunk, length)
        row_blocks = ceil_div(rows, most // per_row)
        if not by_panels:
            row_blocks = min(ceil_div(row_blocks, threads) * threads, rows)  # the same work for all
        return Blocks(m, int(by_panels), row_blocks, 1, chunk, length)

    def workspace(self, p: ConvProblem, pass_: str, cfg: Blocks, threads: int) -> int:
        size = layout(p, pass_, cfg, threads, self._lanes(p))[1] * p.itemsize
        return size if pass_ == "grad_weight" else size + self._weights(p, pass_, cfg)

    def spares(self, p: ConvProblem, cfg: Blocks, threads: int) -> int:
        return self._weights(p, "forward", cfg)

    def _weights(self, p: ConvProblem, pass_: str, cfg: Blocks) -> int:
        """Bytes of all transformed weights, unless every thread transforms its own."""
        job = _job(p, pass_, cfg, 1, self._lanes(p))
        return 0 if cfg.by_panels else job.room.nbytes

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        return _bound(p, pass_, _tile(p, pass_))

    def worst_case_bound(self, p: ConvProblem, pass_: str) -> float:
        return _bound(p, pass_, _tile(p, pass_), worst=True)

    def cost(self, p: ConvProblem, pass_: str, cfg: Blocks, threads: int, rates: Rates) -> Cost:
        grid, _ = layout(p, pass_, cfg, threads, 64 // p.itemsize)
        tiles, frequencies = count_tiles(dense(p, pass_), cfg.m)
        panel = 2 * 64 // p.itemsize
        co, blocks = ceil_div(grid.co, panel) * panel, cfg.row_blocks * cfg.col_blocks
        flops = 2.0 * p.g * tiles * frequencies * grid.ci * co
        again, product = blocks if cfg.by_panels else 1, _PRODUCT  # times that weights are transformed
        pieces = p.g * co // panel if cfg.by_panels else blocks
        if pass_ == "grad_weight":
            again, length = ceil_div(again, max(1, grid.batch)), min(tiles, cfg.sum)  # times that sums are added to
            product = 0.95 * length / (length + 5)
            flops = 2.0 * p.g * tiles * frequencies * grid.cip * ceil_div(grid.co, ROWS) * ROWS
            co = ceil_div(grid.co, panel // 2) * (panel // 2)
            if cfg.by_panels:
                pieces = p.g * ceil_div(grid.co, grid.rows) * ceil_div(grid.cip * p.itemsize, 64 * grid.cols)
        stages = p.g * frequencies * p.itemsize * (tiles * (grid.cip + co) + again * _NEAR * grid.ci * co)
        if min(grid.ci, grid.co) < 3:  # nearly empty vectors, packed in parts
            stages *= 2
        share = ceil_div(pieces, threads) / pieces  # of the work, for the thread that has most
        seconds = share * (
            flops / (product * rates.fma_gflops * 1e9) + stages / (self._stage() * rates.fma_gflops * 1e9)
        )
        launches = 0 if threads == 1 else 2 * blocks if cfg.by_panels else 2
        return Cost(flops, compulsory_bytes(p) + 2 * stages, seconds + 3e-6 + launches * rates.launch_us * 1e-6)

    def _stage(self) -> float:
        return _STAGE.get(self.vector_bytes, _STAGE[32])

    def saves(self, p: ConvProblem, cfg: Blocks, threads: int, rates: Rates) -> float:
        grid, _ = layout(p, "forward", cfg, threads, 64 // p.itemsize)
        numbers = p.g * count_tiles(dense(p, "forward"), cfg.m)[1] * grid.ci * grid.co
        if cfg.by_panels and numbers * p.itemsize > _L3:
            return 0.0
        again = cfg.row_blocks * cfg.col_blocks if cfg.by_panels else 1
        return again * _NEAR * numbers * p.itemsize / (self._stage() * rates.fma_gflops * 1e9 * threads)

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        """Products of the largest tiles, were they all whole."""
        fewer, m = 1.0, _outputs(p)[0]
        for k in (p.kh, p.kw):
            fewer *= 1.0 if k == 1 else (m + k - 1) / (m * k)
        return nominal_flops(dense(p, pass_)) * fewer / (0.95 * rates.fma_gflops * 1e9 * threads)

    def prepare(self, p: ConvProblem, cfg: Blocks, w: Array) -> Any:
        """All weights transformed, unless they are so many that transforming them again is faster."""
        steps = self.steps(p.dtype)
        job = _job(p, "forward", cfg, 1, self._lanes(p))
        if cfg.by_panels and job.room.nbytes > _L3:
            return None
        u = aligned(p.dtype, job.room.nbytes)
        steps.winograd_weights(w, u, job.record, job.coef, 1)
        return u

    def forward(
        self,
        p: ConvProblem,
        cfg: Blocks,
        x: Array,
        w: Array,
        bias: Epilogue | None,
        y: Array,
        work: Array,
        threads: int,
        packed: Any = None,
    ) -> None:
        self._run(p, "forward", cfg, x, w, bias or _NOTHING, y, work, threads, packed)

    def grad_input(
        self, p: ConvProblem, cfg: Blocks, dy: Array, w: Array, dx: Array, work: Array, threads: int
    ) -> None:
        self._run(p, "grad_input", cfg, dy, w, _NOTHING, dx, work, threads, None)

    def grad_weight(
        self, p: ConvProblem, cfg: Blocks, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        steps = self.steps(p.dtype)
        job = _job(p, "grad_weight", cfg, threads, self._lanes(p))
        steps.winograd_grad_weight(dy, x, dw, work, job.record, job.coef, bool(cfg.by_panels), threads)

    def _run(
        self,
        p: ConvProblem,
        pass_: str,
        cfg: Blocks,
        x: Array,
        w: Array,
        after: Epilogue,
        y: Array,
        work: Array,
        threads: int,
        u: Any,
    ) -> None:
        steps = self.steps(p.dtype)
        job = _job(p, pass_, cfg, threads, self._lanes(p))
        none = job.coef[:0]
        bias, residual = (none if a is None else a for a in (after.bias, after.residual))
        if cfg.by_panels:
            u = none if u is None else u
            steps.winograd_panels(x, w, u, bias, residual, y, work, job.record, job.coef, after.code, threads)
            return
        if u is None:
            room = job.room.take(work)
            u, work = room["weights"], room["rest"]
            steps.winograd_weights(w, u, job.record, job.coef, threads)
        steps.winograd_tiles(x, u, bias, residual, y, work, job.record, job.coef, after.code, threads)


def _outputs(p: ConvProblem) -> tuple[int, ...]:
    """The tiles that there are for a kernel."""
    if min(p.kh, p.kw) == 1:
        return _FLAT_OUTPUTS.get(max(p.kh, p.kw), ())
    return _OUTPUTS.get(p.kh, ()) if p.kh == p.kw else ()


@lru_cache(4096)
def _tile(p: ConvProblem, pass_: str) -> int:
    """Outputs of a tile: the fewest products, and transforms of weights, of those within the default tolerance."""

    def work(m: int) -> int:
        tiles, frequencies = count_tiles(dense(p, pass_), m)
        return (tiles + _WEIGHTS[pass_]) * frequencies

    able = [m for m in _outputs(p) if _bound(p, pass_, m) <= _TOLERANCE[p.dtype]] or [min(_outputs(p))]
    return min(able, key=work)


def _split(p: ConvProblem, pass_: str, m: int) -> tuple[bool, int, int, int]:
    """Whether threads share blocks of tiles; tiles of a block; rows of tiles, and tiles in one."""
    q = dense(p, pass_)
    mh, mw = (1 if k == 1 else m for k in (q.kh, q.kw))
    rows, wide = q.n * ceil_div(q.oh, mh * q.dh), ceil_div(q.ow, mw * q.dw)
    per_row = wide * min(q.dh, q.oh) * min(q.dw, q.ow)
    inputs = count_tiles(q, m)[1] * (q.ci // q.g) * q.itemsize  # bytes of a tile, transformed
    limit = _L2 if pass_ == "grad_weight" else _L3 // q.g
    if rows * per_row <= _FEW or inputs * (q.co // q.g) > limit:
        return True, _FEW, rows, per_row
    return False, _OWN if pass_ == "grad_weight" else max(_L2 * 6 // 10 // inputs, 14), rows, per_row


def _sum(p: ConvProblem, pass_: str, m: int) -> tuple[int, float]:
    """Products that are summed by themselves, and the roundings of all stages as squares."""
    block = segment = 0
    if pass_ != "grad_weight":
        return _shortest_chain(p.kh, p.kw, m, p.dtype, False, (p.co if pass_ == "grad_input" else p.ci) // p.g, 0, 0)
    count = count_tiles(p, m)[0]
    shared, tiles, _, per_row = _split(p, pass_, m)
    if not shared:  # sums of a block, of a segment of blocks, of all
        block = tiles // per_row * per_row or per_row // ceil_div(per_row, tiles)
        segment = segment_of(ceil_div(count, block))
    return _shortest_chain(p.kh, p.kw, m, p.dtype, True, count, block, segment)


@lru_cache(4096)
def _shortest_chain(
    kh: int, kw: int, m: int, dtype: str, weights: bool, count: int, block: int, segment: int
) -> tuple[int, float]:
    """Long sums are fast; the longest whose error stays within the tolerance is taken, else the least error."""
    form = (max(kh, kw), m) if weights else (m, max(kh, kw))
    axes, growth = (kh > 1) + (kw > 1), transforms.growth(*form)
    most = (_TOLERANCE[dtype] / UNIT_ROUNDOFF[dtype] / growth[0] ** axes) ** 2
    found = []
    for length in _TILE_SUMS if weights else _SUMS:
        chain = min(count, length) + count / length
        if block:
            chain = min(block, length) + segment * max(1, block / length) + count / (block * segment)
        found.append((length, chain + axes * growth[2]))
        if found[-1][1] <= most:
            return found[-1]
    return min(found, key=lambda pair: pair[1])


def _bound(p: ConvProblem, pass_: str, m: int, worst: bool = False) -> float:
    """Higham and Mary 2019: independent errors, of all stages and of sums in blocks, add as squares."""
    k, axes, chain = max(p.kh, p.kw), (p.kh > 1) + (p.kw > 1), _sum(p, pass_, m)[1]
    growth = transforms.growth(k, m) if pass_ == "grad_weight" else transforms.growth(m, k)
    return UNIT_ROUNDOFF[p.dtype] * (chain * growth[1] ** axes if worst else math.sqrt(chain) * growth[0] ** axes)
