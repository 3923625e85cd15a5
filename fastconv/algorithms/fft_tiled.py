"""Convolution by tiles of FFTs that stay in cache: the fewest operations for kernels from about 5x5 up.

The convolution theorem on overlapping tiles (overlap-save: Stockham, "High-speed convolution and
correlation", 1966), with transforms of our own that take a vector of channels (or of tiles) side by side.
Spectra of tiles are kept for a block of tiles; those of the weights never exist as a whole, each column is
made from the transforms of the kernel's rows when it is multiplied. Stride and dilation become phases of a
dense problem (fft_tiled_layout); grad_input is the same with flipped, swapped weights; grad_weight sums the
products over tiles and images and transforms back once.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from ..core.flops import compulsory_bytes
from ..core.problem import ConvProblem
from .base import UNIT_ROUNDOFF, Array, Backend, Cost, Rates
from .fft_tiled_layout import (
    CHANNELS,
    IMAGES,
    LENGTHS,
    POINTWISE,
    Line,
    Tiles,
    arrays,
    ceil_div,
    factors,
    layout,
    lines,
    split,
)

_LONGEST = 72  # taps: beyond, tiles and kernels no longer fit in cache
_SPECTRA = 12 << 20  # bytes of transformed tiles, and of sums, that are kept together
_COLUMN = 560 << 10  # bytes of one column of weights, in a core's own cache
_CACHE = 700 << 10  # bytes of a tile's rows in that cache
_OWN = 2 << 20  # bytes of all arrays that the cores' own caches hold
_SHARED = 24 << 20  # bytes from which on most comes from memory
_KEPT = 16 << 20  # bytes of row transforms of weights that a plan keeps
_POINTS = 32  # inputs of a group whose lanes are not channels

# Costs in fused multiply-adds of a vector, measured on an AMD EPYC 9005 (Zen 5, AVX-512), 2026-11-22
_BUTTERFLY = 4.3  # a transform of length t: so many t log2(t)
_FEW = 0.6  # of that if the first pass is left out
_COPY = 4.0  # a row of a column on its way to a transform, or back
_PIXEL, _EDGE, _STRIDED = 9.0, 30.0, 60.0  # a vector of pixels to or from its place: in a row; if lanes differ; apart
_TILE = 2000.0  # where the lanes of a tile are
_PRODUCT = 1.25  # over the peak
_NEAR = 0.48, 0.59, 0.73  # time against the count, for each kind of lanes: while everything is in cache
_FAR = 1.13, 1.3, 1.02  # and beyond
_MOVED = 0.9  # of the time that a copy of all arrays takes
_BYTE = 0.3  # of spectra written or read


class FftTiled(Backend):
    """Tiles of 16x16 to 144x144; lanes are channels, or tiles of one channel."""

    algorithm = "fft_tiled"
    adds_bias = True
    spreads_nonfinite = True

    def refuse(self, p: ConvProblem, pass_: str) -> str | None:
        taps = max(line.taps for line in lines(p, pass_))
        if taps > _LONGEST:
            return f"kernel {p.kh}x{p.kw}: more than {_LONGEST} taps along an axis, tiles would not stay in cache"
        return None

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Tiles:
        return _configure(p, pass_, threads, self.vector_bytes // p.itemsize)

    def workspace(self, p: ConvProblem, pass_: str, cfg: Tiles, threads: int) -> int:
        """The most of all vector lengths."""
        return max(layout(p, pass_, cfg, threads, lanes)[3] for lanes in (2, 4, 8, 16)) * p.itemsize

    def cost(self, p: ConvProblem, pass_: str, cfg: Tiles, threads: int, rates: Rates) -> Cost:
        lanes = self.vector_bytes // p.itemsize
        flops = 2.0 * lanes * _work(p, pass_, cfg, 1, lanes)
        moved = compulsory_bytes(p)
        held = moved + layout(p, pass_, cfg, threads, lanes)[3] * p.itemsize
        far = min(1.0, max(0.0, (held - _OWN) / (_SHARED - _OWN)))
        measured = _NEAR[cfg.mode] + far * (_FAR[cfg.mode] - _NEAR[cfg.mode])
        seconds = measured * 2.0 * lanes * _work(p, pass_, cfg, threads, lanes) / (rates.fma_gflops * 1e9)
        seconds += _MOVED * moved / ((rates.copy_gbs if threads == 1 else rates.copy_gbs_all) * 1e9)
        launches = 0 if threads == 1 else 3 * p.g if cfg.mode == CHANNELS else 2
        return Cost(flops, moved, seconds + 3e-6 + launches * rates.launch_us * 1e-6)

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        return _bound(p, pass_)[0]

    def worst_case_bound(self, p: ConvProblem, pass_: str) -> float:
        return _bound(p, pass_)[1]

    def prepare(self, p: ConvProblem, cfg: Tiles, w: Array) -> Array | None:
        """Row transforms of the weights; their spectra would take longer to fetch than to make from these."""
        steps = self.steps(p.dtype)
        lanes = steps.fft_tiled_lanes(w)
        grid, twiddles, s = arrays(p, "forward", cfg, 1, lanes)
        size = p.g * s.sblocks // s.cib * s.ci * s.dblocks * s.unit_r * lanes
        if cfg.mode != CHANNELS or size * p.itemsize > _KEPT:
            return None
        rows, work = _aligned(size, p.dtype), _aligned(layout(p, "forward", cfg, 1, lanes)[3], p.dtype)
        steps.fft_tiled_weights(w, rows, work, grid, twiddles, 1)
        return rows

    def forward(
        self, p: ConvProblem, cfg: Tiles, x: Array, w: Array, bias: Array | None, y: Array, work: Array, threads: int,
        packed: Array | None = None,
    ) -> None:  # fmt: skip
        self._run(p, "forward", cfg, x, w, bias, y, work, threads, packed)

    def grad_input(self, p: ConvProblem, cfg: Tiles, dy: Array, w: Array, dx: Array, work: Array, threads: int) -> None:
        if math.gcd(p.sh, p.dh) > 1 or math.gcd(p.sw, p.dw) > 1:
            dx[...] = 0  # pixels that no tap meets
        self._run(p, "grad_input", cfg, dy, w, None, dx, work, threads, None)

    def grad_weight(
        self, p: ConvProblem, cfg: Tiles, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        steps = self.steps(p.dtype)
        grid, twiddles, _ = arrays(p, "grad_weight", cfg, threads, steps.fft_tiled_lanes(x))
        if cfg.mode == CHANNELS:
            steps.fft_tiled_channels_grad_weight(dy, x, dw, work, grid, twiddles, threads)
        else:
            steps.fft_tiled_points_grad_weight(dy, x, dw, work, grid, twiddles, threads)

    def _run(
        self, p: ConvProblem, pass_: str, cfg: Tiles, x: Array, w: Array, bias: Array | None, y: Array, work: Array,
        threads: int, rows: Array | None,
    ) -> None:  # fmt: skip
        steps = self.steps(p.dtype)
        grid, twiddles, _ = arrays(p, pass_, cfg, threads, steps.fft_tiled_lanes(x))
        none = twiddles[:0]
        rows, bias = none if rows is None else rows, none if bias is None else bias
        if cfg.mode == CHANNELS:
            steps.fft_tiled_channels(x, w, rows, bias, y, work, grid, twiddles, threads)
        else:
            steps.fft_tiled_points(x, w, bias, y, work, grid, twiddles, threads)


def _aligned(size: int, dtype: str) -> Array:
    """So many numbers, from a cache line on."""
    room = np.empty(size + 16, dtype)
    first = -room.ctypes.data % 64 // room.itemsize
    return room[first : first + size]


@lru_cache(4096)
def _configure(p: ConvProblem, pass_: str, threads: int, lanes: int) -> Tiles:
    h, w = lines(p, pass_)
    able = [
        _blocks(p, pass_, mode, th, tw, lanes)
        for mode in _modes(p, pass_)
        for th in _lengths(h)
        for tw in _lengths(w)
    ]  # fmt: skip
    return min(able, key=lambda cfg: _work(p, pass_, cfg, threads, lanes))


def _modes(p: ConvProblem, pass_: str) -> list[int]:
    """What lanes may be."""
    h, w = lines(p, pass_)
    inputs = (p.co if pass_ == "grad_input" else p.ci) // p.g * h.sp * w.sp
    if inputs * h.dp * w.dp > _POINTS:
        return [CHANNELS]
    return [CHANNELS, POINTWISE, IMAGES] if p.g > 1 else [CHANNELS, IMAGES]


@lru_cache(4096)
def _lengths(line: Line) -> list[int]:
    """Transforms worth a try: those that take the axis with the least work, and the short ones."""
    able = [t for t in LENGTHS if t >= line.taps + min(line.outputs, line.taps, 8) - 1]
    order = sorted(able, key=lambda t: (split(line, t)[1] * t * math.log2(t), t))
    return sorted({*order[:5], *able[:2]})


def _blocks(p: ConvProblem, pass_: str, mode: int, th: int, tw: int, lanes: int) -> Tiles:
    """Blocks of tiles and channels whose spectra stay in the shared cache."""
    if mode != CHANNELS:
        return Tiles(mode, th, tw, 1, 1, 1)
    _, _, s, _ = layout(p, pass_, Tiles(mode, th, tw, 1, 1, 1), 1, lanes)
    line = lanes * p.itemsize
    most = max(4, _SPECTRA // ((s.sblocks + s.dblocks * (pass_ == "grad_weight")) * s.unit_x * line))
    tiles = ceil_div(s.tiles, ceil_div(s.tiles, most))
    most = max(2, _SPECTRA // (tiles * s.unit_z * line) // 2 * 2)
    blocks = ceil_div(ceil_div(s.dblocks, ceil_div(s.dblocks, most)), 2) * 2
    return Tiles(mode, th, tw, tiles, blocks, max(1, _COLUMN // (th * 4 * lanes * line)))


@lru_cache(1 << 16)
def _transform(t: int, count: int | None = None) -> float:
    """A complex transform, of which only `count` numbers may not be zero."""
    few = count is not None and factors(t, count)[1] >= count
    return _BUTTERFLY * t * math.log2(t) * (_FEW if few else 1.0)


def _pixel(mode: int, step: int) -> float:
    return _STRIDED if step > 1 else _EDGE if mode == IMAGES else _PIXEL


@lru_cache(1 << 16)
def _work(p: ConvProblem, pass_: str, cfg: Tiles, threads: int, lanes: int) -> float:
    """Fused multiply-adds of a vector, or the time of so many, for the thread that has most."""
    h, w, s, _ = layout(p, pass_, cfg, 1, lanes)
    columns, line, inputs = w.t // 2 + 1, lanes * p.itemsize, s.ci * h.sp * w.sp
    load, store = (_pixel(cfg.mode, step) for step in (w.src_step, w.dst_step))
    rows = _TILE + ceil_div(h.t, 2) * (_transform(w.t) + 2 * load * w.t)  # of a tile
    back = _TILE + ceil_div(h.out, 2) * (_transform(w.t) + 2 * store * w.out)
    column = columns * (_transform(h.t) + _COPY * h.t)
    kernel = ceil_div(h.taps, 2) * _transform(w.t, w.taps) + 2 * _PIXEL * h.taps * w.taps
    weights = columns * (_transform(h.t, h.taps) + _COPY * h.taps)
    product = columns * h.t * 4
    if pass_ == "grad_weight":
        weights = columns * (_transform(h.t) + _COPY * h.taps)
    if cfg.mode == CHANNELS:
        tiles, units = s.tiles, columns * ceil_div(s.dblocks, 2)
        kernels = s.ci * s.dblocks * h.sp * w.sp
        work = tiles * (s.sblocks * (rows + column) + s.dblocks * (back + column))
        work += tiles * (s.sblocks * s.unit_x + s.dblocks * s.unit_z) * line * 2 * _BYTE
        work += kernels * (kernel + s.unit_r * line * 2 * _BYTE) + ceil_div(tiles, s.tile_block) * kernels * weights
        work += kernels * tiles * product * _PRODUCT
        return p.g * work * ceil_div(units, threads) / units
    images = cfg.mode == IMAGES
    blocks = ceil_div(s.tiles, lanes) if images else s.tiles
    outputs = p.g * s.co if images else ceil_div(p.g * s.co, lanes)
    if pass_ == "grad_weight":
        units = outputs * s.ci * max(1, min(blocks, threads))
        work = outputs * inputs * (blocks * (rows + back + 2 * column + 2 * product) + kernel + weights)
    elif images:
        phases = h.dp * w.dp
        units = p.g * blocks
        work = units * (inputs * rows + s.co * phases * (inputs * (column + 2 * product) + column + back))
        work += p.g * s.co * inputs * phases * (product + (kernel + weights) / lanes)
    else:
        units = outputs * blocks * h.dp * w.dp
        work = units * (inputs * (rows + column + weights + 2 * product) + column + back)
        work += outputs * inputs * kernel
    held = line * (inputs * (s.unit_a + (0 if images else s.unit_r)))  # while a tile is in work
    work += units * max(0, held - _CACHE) * 4 * _BYTE
    return work * ceil_div(units, threads) / units


@lru_cache(4096)
def _bound(p: ConvProblem, pass_: str) -> tuple[float, float]:
    """Errors of the three transforms and of the sums of products, relative to max|x| sum|w|.

    A transform of n numbers errs by about ``sqrt(log2 n) u`` of its 2-norm (Higham and Mary 2019; Schatzman,
    "Accuracy of the discrete Fourier transform and the fast Fourier transform", 1996). By Parseval a
    relative error of a tile's spectrum is one of ``|x|_2 |w|_2 / T <= max|x| sum|w|`` in its n = T * T outputs;
    tiles and channels add as squares. In the worst case errors grow with log2 n and all meet in one output.
    """
    h, w = lines(p, pass_)
    n = LENGTHS[-1] ** 2
    count = (p.co if pass_ == "grad_input" else p.ci) // p.g
    if pass_ == "grad_weight":
        count = p.n * math.prod(split(line, _lengths(line)[0])[1] * line.images for line in (h, w))
    u = UNIT_ROUNDOFF[p.dtype]
    return u * (6 * math.sqrt(math.log2(n)) + math.sqrt(count)), u * (9 * math.log2(n) + count) * math.sqrt(n)
