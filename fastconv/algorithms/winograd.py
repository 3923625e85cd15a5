"""Winograd convolution: small tiles are transformed, so that a convolution becomes fewer products.

Lavin and Gray, "Fast algorithms for convolutional neural networks" (CVPR 2016). A tile of F(m, r) gives
m x m outputs from n x n = (m + r - 1)^2 products a channel pair instead of (m r)^2: 4 times fewer for
F(4x4, 3x3). The products of one frequency are a matrix product over channels; tiles are taken through all
stages in blocks that stay in cache. Dilated problems use tiles of strided pixels, 1xK and Kx1 kernels the
one-dimensional transforms. At stride 1 grad_input is the forward pass of the flipped, swapped weights.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..flops import compulsory_bytes
from ..problem import ConvProblem
from . import transforms
from .base import UNIT_ROUNDOFF, Array, Backend, Cost, Rates

_L2 = 1 << 20  # bytes of a core's own cache
_L3 = 12 << 20  # bytes of transformed weights that stay in the shared cache
_CHUNK = 64  # input channels whose products are summed at a time: bounds the error and the weights in cache
_FEW = 112  # tiles for which weights are better transformed again than fetched from memory
_TOLERANCE = {"float32": 2e-5, "float64": 1e-12}  # tiles are chosen to stay below
_PRODUCT = 0.85  # of the FMA peak, reached by the products
_STAGE = 0.13  # bytes of V, M and U made or read by the other stages, per operation of the FMA peak
_OUTPUTS: dict[int, tuple[int, ...]] = {3: (4, 2), 5: (4, 2)}  # taps: outputs of a tile along an axis
_FLAT_OUTPUTS: dict[int, tuple[int, ...]] = {3: (4,), 5: (4,), 7: (4, 2)}  # for kernels of one axis


class Blocks(NamedTuple):
    """Outputs of a tile (one axis), what threads share, and blocks."""

    m: int
    by_panels: int  # 1: threads share a block of tiles and split the outputs; 0: they split the tiles
    row_blocks: int
    col_blocks: int
    chunk: int  # input channels


class Grid(NamedTuple):
    """What the steps want to know, in the order of the engines' struct; see winograd.pxi."""

    n: int
    ci: int
    ih: int
    iw: int
    co: int
    oh: int
    ow: int
    g: int
    pt: int
    pl: int
    dh: int
    dw: int
    mh: int
    rh: int
    mw: int
    rw: int
    so: int
    sc: int
    flip: int
    pairs: int
    m: int
    r: int
    flat: int
    along_w: int
    row_blocks: int
    col_blocks: int
    kc: int
    cip: int
    tiles: int
    in_slots: int
    in_pixels: int
    out_pixels: int
    runs: int
    vf: int
    mf: int
    uf: int
    chunk: int
    group_v: int
    shared: int
    at_v: int
    at_m: int
    at_in: int
    at_out: int
    at_u: int
    at_table: int
    per_thread: int


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _line(a: int) -> int:
    """Numbers, rounded up to whole cache lines of either dtype."""
    return _ceil(a, 16) * 16


def _dense(p: ConvProblem, pass_: str) -> ConvProblem:
    """The stride-1 forward problem that the pass amounts to."""
    return (p.adjoint() or p) if pass_ == "grad_input" else p


@cache
def layout(p: ConvProblem, pass_: str, cfg: Blocks, threads: int, lanes: int) -> tuple[Grid, int]:
    """Sizes and places, and the numbers of workspace, for vectors of so many lanes."""
    q = _dense(p, pass_)
    ci, co, taps = q.ci // q.g, q.co // q.g, q.kh * q.kw
    mh, mw = (1 if k == 1 else cfg.m for k in (q.kh, q.kw))
    frequencies = (mh + q.kh - 1) * (mw + q.kw - 1)
    step_h, step_w = mh * q.dh, mw * q.dw
    high, wide = _ceil(q.oh, step_h), _ceil(q.ow, step_w)  # steps of dh * dw tiles
    rows, cols = _ceil(q.n * high, cfg.row_blocks), _ceil(wide, cfg.col_blocks)
    images = min(rows, _ceil(rows - 1, high) + 1)
    tiles = rows * cols * min(q.dh, q.oh) * min(q.dw, q.ow)
    in_rows, in_width = rows * step_h + images * (q.kh - 1) * q.dh, cols * step_w + (q.kw - 1) * q.dw
    in_slots, out_slots = in_rows * in_width, rows * step_h * cols * step_w
    in_pixels, out_pixels = in_rows * (q.iw if cfg.col_blocks == 1 else in_width), out_slots
    runs = max(images, in_rows)
    cip, kc = _ceil(ci, lanes) * lanes, min(cfg.chunk, ci)
    vf, mf, uf = tiles * cip + lanes, 2 * tiles * lanes + lanes, kc * 2 * lanes + lanes
    chunk, group_v = frequencies * uf, _line(frequencies * vf)
    itemsize = q.itemsize
    table = 256 + 2 * runs * 24 + 4 * (in_pixels + out_pixels + 2 * tiles)  # bytes
    sizes = (
        0 if cfg.by_panels else group_v, frequencies * mf, (in_slots + 1) * lanes, out_slots * lanes,
        chunk if cfg.by_panels else 0, _ceil(table, itemsize),
    )  # fmt: skip
    places = [0]
    for size in sizes:
        places.append(places[-1] + _line(size))
    shared = q.g * group_v if cfg.by_panels else 0
    backward = pass_ == "grad_input"
    so, sc = (taps, co * taps) if backward else (ci * taps, taps)
    m, r = cfg.m, max(q.kh, q.kw)
    flat = q.kh == 1 or q.kw == 1
    grid = Grid(
        q.n, ci, q.ih, q.iw, co, q.oh, q.ow, q.g, q.pt, q.pl, q.dh, q.dw, mh, q.kh, mw, q.kw, so, sc, int(backward),
        (m + r) // 2 - 1, m, r, int(flat), int(not flat or q.kh == 1), cfg.row_blocks, cfg.col_blocks, kc, cip,
        tiles, in_slots, in_pixels, out_pixels, runs, vf, mf, uf, chunk, group_v, shared, *places,
    )  # fmt: skip
    return grid, shared + threads * places[-1]


def _weights_size(grid: Grid, lanes: int) -> int:
    return grid.g * _ceil(grid.co, 2 * lanes) * _ceil(grid.ci, grid.kc) * grid.chunk


@cache
def _arrays(p: ConvProblem, pass_: str, cfg: Blocks, threads: int, lanes: int) -> tuple[Array, Array, int]:
    """Grid and coefficients as arrays, and the numbers of transformed weights."""
    grid, _ = layout(p, pass_, cfg, threads, lanes)
    return np.array(grid, np.intp), np.array(transforms.table(grid.m, grid.r), p.dtype), _weights_size(grid, lanes)


class Winograd(Backend):
    """F(2x2,3x3), F(4x4,3x3), F(2x2,5x5) and one-dimensional forms."""

    algorithm = "winograd"
    adds_bias = True
    spreads_nonfinite = True

    def refuse(self, p: ConvProblem, pass_: str) -> str | None:
        if (p.sh, p.sw) != (1, 1):
            return f"stride {p.sh}x{p.sw}: tiles need stride 1"
        if not _outputs(p):
            return f"no transform for kernel {p.kh}x{p.kw}: only 3x3, 5x5, and 3, 5 or 7 taps along one axis"
        if p.g > 1 and min(p.ci, p.co) // p.g < 8:
            return f"{min(p.ci, p.co) // p.g} channels a group: fewer than 8 leave the vectors empty"
        if pass_ == "grad_weight":
            return "no tiles for grad_weight"
        return None

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Blocks:
        m = _tile(p, pass_)
        q = _dense(p, pass_)
        mh, mw = (1 if k == 1 else m for k in (q.kh, q.kw))
        frequencies = (mh + q.kh - 1) * (mw + q.kw - 1)
        ci = q.ci // q.g
        rows, wide = q.n * _ceil(q.oh, mh * q.dh), _ceil(q.ow, mw * q.dw)
        per_row = wide * min(q.dh, q.oh) * min(q.dw, q.ow)
        by_panels = rows * per_row <= _FEW or frequencies * ci * q.co * q.itemsize > _L3
        if by_panels:
            most = max(_FEW, 1)
        else:
            most = max(_L2 * 6 // 10 // (frequencies * ci * q.itemsize), 14)
        if per_row <= most:
            row_blocks = _ceil(rows * per_row, most) if by_panels else _ceil(rows * per_row, most * threads) * threads
            row_blocks, col_blocks = min(row_blocks, rows), 1
        else:
            row_blocks, col_blocks = rows, min(wide, _ceil(per_row, most))
        return Blocks(m, int(by_panels), row_blocks, col_blocks, _CHUNK)

    def workspace(self, p: ConvProblem, pass_: str, cfg: Blocks, threads: int) -> int:
        """The most of all vector lengths; transformed weights included."""
        sizes = []
        for lanes in (2, 4, 8, 16):
            grid, size = layout(p, pass_, cfg, threads, lanes)
            sizes.append(size + (0 if cfg.by_panels else _line(_weights_size(grid, lanes))))
        return max(sizes) * p.itemsize

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        return _bound(p, pass_, _tile(p, pass_))

    def cost(self, p: ConvProblem, pass_: str, cfg: Blocks, threads: int, rates: Rates) -> Cost:
        grid, _ = layout(p, pass_, cfg, threads, 64 // p.itemsize)
        tiles, frequencies = _tiles(_dense(p, pass_), cfg.m)
        panel = 2 * 64 // p.itemsize
        co, blocks = _ceil(grid.co, panel) * panel, cfg.row_blocks * cfg.col_blocks
        flops = 2.0 * p.g * tiles * frequencies * grid.ci * co
        again = blocks if cfg.by_panels else 1  # times that weights are transformed
        stages = p.g * frequencies * p.itemsize * (tiles * (grid.cip + co) + again * grid.ci * co)
        pieces = p.g * co // panel if cfg.by_panels else blocks
        share = _ceil(pieces, threads) / pieces  # of the work, for the thread that has most
        seconds = share * (flops / (_PRODUCT * rates.fma_gflops * 1e9) + stages / (_STAGE * rates.fma_gflops * 1e9))
        launches = 0 if threads == 1 else 2 * blocks if cfg.by_panels else 2
        return Cost(flops, compulsory_bytes(p) + 2 * stages, seconds + 10e-6 + launches * rates.launch_us * 1e-6)

    def prepare(self, p: ConvProblem, cfg: Blocks, w: Array) -> Any:
        """All weights transformed, unless they are so many that transforming them again is faster."""
        steps = self.steps(p.dtype)
        grid, coef, size = _arrays(p, "forward", cfg, 1, steps.winograd_lanes())
        if cfg.by_panels and size * p.itemsize > _L3:
            return None
        u = np.empty(size, p.dtype)
        steps.winograd_weights(w, u, grid, coef, 1)
        return u

    def forward(
        self, p: ConvProblem, cfg: Blocks, x: Array, w: Array, bias: Array | None, y: Array, work: Array, threads: int,
        packed: Any = None,
    ) -> None:  # fmt: skip
        self._run(p, "forward", cfg, x, w, bias, y, work, threads, packed)

    def grad_input(
        self, p: ConvProblem, cfg: Blocks, dy: Array, w: Array, dx: Array, work: Array, threads: int
    ) -> None:
        self._run(p, "grad_input", cfg, dy, w, None, dx, work, threads, None)

    def _run(
        self, p: ConvProblem, pass_: str, cfg: Blocks, x: Array, w: Array, bias: Array | None, y: Array, work: Array,
        threads: int, u: Any,
    ) -> None:  # fmt: skip
        steps = self.steps(p.dtype)
        grid, coef, size = _arrays(p, pass_, cfg, threads, steps.winograd_lanes())
        none = coef[:0]
        bias = none if bias is None else bias
        if cfg.by_panels:
            steps.winograd_panels(x, w, none if u is None else u, bias, y, work, grid, coef, threads)
            return
        if u is None:
            u, work = work[:size], work[_line(size) :]
            steps.winograd_weights(w, u, grid, coef, threads)
        steps.winograd_tiles(x, u, bias, y, work, grid, coef, threads)


def _outputs(p: ConvProblem) -> tuple[int, ...]:
    """The tiles that there are for a kernel."""
    if min(p.kh, p.kw) == 1:
        return _FLAT_OUTPUTS.get(max(p.kh, p.kw), ())
    return _OUTPUTS.get(p.kh, ()) if p.kh == p.kw else ()


@cache
def _tile(p: ConvProblem, pass_: str) -> int:
    """Outputs of a tile: the fewest products of those within the default tolerance."""
    q = _dense(p, pass_)
    able = [m for m in _outputs(p) if _bound(p, pass_, m) <= _TOLERANCE[p.dtype]] or [min(_outputs(p))]

    return min(able, key=lambda m: math.prod(_tiles(q, m)))


def _tiles(q: ConvProblem, m: int) -> tuple[int, int]:
    """How many tiles, of how many frequencies."""
    tiles, frequencies = q.n, 1
    for k, size, d in ((q.kh, q.oh, q.dh), (q.kw, q.ow, q.dw)):
        outputs = 1 if k == 1 else m
        whole, rest = divmod(size, outputs * d)
        tiles *= whole * d + min(rest, d)
        frequencies *= outputs + k - 1
    return tiles, frequencies


def _bound(p: ConvProblem, pass_: str, m: int) -> float:
    ci = (p.co if pass_ == "grad_input" else p.ci) // p.g
    axes = (p.kh > 1) + (p.kw > 1)
    depth = math.sqrt(min(ci, _CHUNK)) + math.sqrt(ci / _CHUNK) + 2 * axes
    return UNIT_ROUNDOFF[p.dtype] * depth * transforms.growth(m, max(p.kh, p.kw))[0] ** axes
