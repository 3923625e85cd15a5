"""Which tiles: the work of every pair of lengths of transforms, as far as it may decide.

Work is a sum of products of something along the height and something along the width. So the axes are looked at
one by one and kept, a lower bound of a pair takes few operations, and the whole sum is made for the few pairs
whose bound is below the best.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from ..core.problem import ConvProblem
from .fft_tiled_layout import CHANNELS, IMAGES, LENGTHS, POINTWISE, Line, Tiles, ceil_div, factors, lines, split

_SPECTRA = 12 << 20  # bytes of transformed tiles, and of sums, that are kept together
_COLUMN = 560 << 10  # bytes of one column of weights, in a core's own cache
_CACHE = 700 << 10  # bytes of a tile's rows in that cache
_POINTS = 32  # inputs of a group whose lanes are not channels

# Costs in fused multiply-adds of a vector, measured on an AMD EPYC 9005 (Zen 5, AVX-512), 2026-11-22
_BUTTERFLY = 4.3  # a transform of length t: so many t log2(t)
_FEW = 0.6  # of that if the first pass is left out
_COPY = 4.0  # a row of a column on its way to a transform, or back
_PIXEL, _EDGE, _STRIDED = 9.0, 30.0, 60.0  # a vector of pixels to or from its place: in a row; if lanes differ; apart
_TILE = 2000.0  # where the lanes of a tile are
_PRODUCT = 1.25  # over the peak
_BYTE = 0.3  # of spectra written or read


class Length(NamedTuple):
    """What a transform of a length costs along one axis."""

    t: int
    out: int  # outputs of a tile
    tiles: int
    pairs: int  # of rows of a tile
    out_pairs: int
    columns: int  # of a half-complex spectrum
    full: float  # a transform
    few: float  # one whose numbers beyond the taps are zero
    column: float  # a transform of a column, and its way there
    load: float  # a pair of rows of pixels, transformed
    store: float
    kernel_column: float  # of a kernel, at least


class Least(NamedTuple):
    """Lower bounds along one axis, over all lengths, of `Length`'s figures times the tiles."""

    pairs: float
    out_pairs: float
    columns: float
    points: float
    column: float
    load: float
    store: float
    few: float  # these without the tiles
    kernel_column: float
    one_columns: int
    one_length: int


class Work(NamedTuple):
    """What is the same for all tiles of a problem."""

    h: Line
    w: Line
    g: int
    ci: int  # inputs and outputs of a group, without phases
    co: int
    images: int
    backward: bool  # grad_weight
    threads: int
    lanes: int
    line: int  # bytes of a vector
    last: bool  # an array has its channels last

    def least(
        self, mode: int, rows: float, back: float, column: float, product: float, sums: float, kernel: float
    ) -> float:
        """Work of all tiles at least; the arguments are totals over the tiles of a plane, ``kernel`` that of one."""
        sp, dp = self.h.sp * self.w.sp, self.h.dp * self.w.dp
        inputs = self.ci * sp
        if mode == CHANNELS:
            sblocks, dblocks = sp * ceil_div(self.ci, self.lanes), dp * ceil_div(self.co, self.lanes)
            each = sblocks * (rows + column) + dblocks * (back + column) + inputs * dblocks * product * _PRODUCT
            each += (sblocks * product / 2 + dblocks * sums) * self.line * 2 * _BYTE
            each += inputs * dblocks * kernel / self.images
        elif self.backward:
            outputs = self.co / self.lanes if mode == IMAGES else ceil_div(self.g * self.co, self.lanes) / self.g
            each = outputs * inputs * (rows + back + 2 * column + 2 * product)
        elif mode == IMAGES:
            each = inputs * rows + self.co * dp * (inputs * (column + 2 * product) + column + back)
            each /= self.lanes
        else:
            outputs = ceil_div(self.g * self.co, self.lanes) * dp / self.g
            each = outputs * (inputs * (rows + column + 2 * product) + column + back)
        return self.g * self.images * each / self.threads * (1 - 1e-9)

    def kernel(self, few: float, t: int, columns: int, column: float) -> float:
        """A vector of kernels, transformed: rows of length t, then so many columns."""
        taps, pairs = self.h.taps, ceil_div(self.h.taps, 2)
        rows = pairs * few + 2 * _PIXEL * taps * self.w.taps + t * (2 * pairs + 1) * self.line * 2 * _BYTE
        return rows + columns * column

    def of(self, mode: int, h: Length, w: Length) -> float:
        """Fused multiply-adds of a vector, or the time of so many, for the thread that has most."""
        sp, dp, lanes, line, threads = self.h.sp * self.w.sp, self.h.dp * self.w.dp, self.lanes, self.line, self.threads
        columns, inputs, taps, pairs = w.columns, self.ci * sp, self.h.taps, ceil_div(self.h.taps, 2)
        rows = _TILE + h.pairs * w.load  # of a tile
        back = _TILE + h.out_pairs * w.store
        column = columns * h.column
        kernel = pairs * w.few + 2 * _PIXEL * taps * self.w.taps
        weights = columns * ((h.full if self.backward else h.few) + _COPY * taps)
        product = columns * h.t * 4
        tiles, unit_r = self.images * h.tiles * w.tiles, w.t * (2 * pairs + 1)
        if mode == CHANNELS:
            sblocks, dblocks = sp * ceil_div(self.ci, lanes), dp * ceil_div(self.co, lanes)
            unit_x, unit_z = columns * (2 * h.t + 2) + 2, w.t * (2 * h.out_pairs + 2) + 2
            units, kernels = columns * ceil_div(dblocks, 2), inputs * dblocks
            block = _block(tiles, (sblocks + dblocks * self.backward) * unit_x * line)
            work = tiles * (sblocks * (rows + column) + dblocks * (back + column))
            work += tiles * (sblocks * unit_x + dblocks * unit_z) * line * 2 * _BYTE
            work += kernels * (kernel + unit_r * line * 2 * _BYTE) + ceil_div(tiles, block) * kernels * weights
            work += kernels * tiles * product * _PRODUCT
            return self.g * work * ceil_div(units, threads) / units
        images = mode == IMAGES
        blocks = ceil_div(tiles, lanes) if images else tiles
        outputs = self.g * self.co if images else ceil_div(self.g * self.co, lanes)
        if self.backward:
            units = outputs * self.ci * max(1, min(blocks, threads))
            work = outputs * inputs * (blocks * (rows + back + 2 * column + 2 * product) + kernel + weights)
        elif images:
            units = self.g * blocks
            work = units * (inputs * rows + self.co * dp * (inputs * (column + 2 * product) + column + back))
            work += self.g * self.co * inputs * dp * (product + (kernel + weights) / lanes)
        else:
            units = outputs * blocks * dp
            work = units * (inputs * (rows + column + weights + 2 * product) + column + back)
            work += outputs * inputs * kernel
        held = line * (inputs * (w.t * (2 * h.pairs + 2) + (0 if images else unit_r)))  # while a tile is in work
        work += units * max(0, held - _CACHE) * 4 * _BYTE
        return work * ceil_div(units, threads) / units


@lru_cache(1024)
def work_of(p: ConvProblem, pass_: str, threads: int, lanes: int) -> Work:
    h, w = lines(p, pass_)
    ci, co = p.ci // p.g, p.co // p.g
    ci, co = (co, ci) if pass_ == "grad_input" else (ci, co)
    images = p.n * h.images * w.images
    return Work(
        h, w, p.g, ci, co, images, pass_ == "grad_weight", threads, lanes, lanes * p.itemsize, p.x_last or p.y_last
    )


@lru_cache(1024)
def choose(p: ConvProblem, pass_: str, threads: int, lanes: int) -> Tiles:
    """Lanes, lengths and blocks of the least work."""
    all_work = work_of(p, pass_, threads, lanes)
    pairs: list[tuple[float, int, int, Length, Length]] = []
    for mode in _modes(all_work):
        across = lengths(all_work.w, mode == IMAGES)
        for h in lengths(all_work.h, mode == IMAGES):
            for w in across:
                tiles = h.tiles * w.tiles
                rows, back = tiles * (_TILE + h.pairs * w.load), tiles * (_TILE + h.out_pairs * w.store)
                columns, kernel = tiles * w.columns, all_work.kernel(w.few, w.t, w.columns, h.kernel_column)
                sums = tiles * w.t * 2 * h.out_pairs
                least = all_work.least(mode, rows, back, columns * h.column, columns * h.t * 4, sums, kernel)
                pairs.append((least, len(pairs), mode, h, w))
    best, found = (math.inf, 0), pairs[0]
    for pair in sorted(pairs):
        if pair[0] > best[0]:
            break
        mine = all_work.of(*pair[2:]), pair[1]
        if mine < best:
            best, found = mine, pair
    return _blocks(all_work, *found[2:])


def floors(p: ConvProblem, pass_: str, threads: int, lanes: int) -> list[tuple[int, float, int]]:
    """Of every mode, work that no tiles are below, and bytes of scratch memory."""
    of, found = work_of(p, pass_, threads, lanes), []
    for mode in _modes(of):
        h, w = _least(of.h, mode == IMAGES), _least(of.w, mode == IMAGES)
        column, product, sums = w.columns * h.column, w.columns * h.points * 4, w.points * 2 * h.out_pairs
        kernel, held = of.kernel(w.few, w.one_length, w.one_columns, h.kernel_column), 0
        if mode == CHANNELS:
            pairs = of.ci * of.h.sp * of.w.sp * of.h.dp * of.w.dp * ceil_div(of.co, lanes)
            held = pairs * w.one_length * (2 * ceil_div(of.h.taps, 2) + 1) * of.line
        least = of.least(mode, h.pairs * w.load, h.out_pairs * w.store, column, product, sums, kernel)
        found.append((mode, least, held))
    return found


def work(p: ConvProblem, pass_: str, cfg: Tiles, threads: int, lanes: int) -> float:
    """Work of tiles that were chosen."""
    all_work = work_of(p, pass_, threads, lanes)
    h, w = (_length(line, t, cfg.mode == IMAGES) for line, t in ((all_work.h, cfg.th), (all_work.w, cfg.tw)))
    return all_work.of(cfg.mode, h, w)


def shortest(line: Line) -> int:
    """The shortest transform that may be chosen."""
    return _candidates(line)[0]


def _modes(work: Work) -> tuple[int, ...]:
    """What lanes may be."""
    if work.last or work.ci * work.h.sp * work.w.sp * work.h.dp * work.w.dp > _POINTS:
        return (CHANNELS,)
    return (CHANNELS, POINTWISE, IMAGES) if work.g > 1 else (CHANNELS, IMAGES)


@lru_cache(1024)
def _candidates(line: Line) -> list[int]:
    """Transforms worth a try: those that take the axis with the least work, and the short ones."""
    able = [t for t in LENGTHS if t >= line.taps + min(line.outputs, line.taps, 8) - 1]
    order = sorted(able, key=lambda t: (split(line, t)[1] * t * math.log2(t), t))
    return sorted({*order[:5], *able[:2]})


@lru_cache(1024)
def lengths(line: Line, images: bool) -> tuple[Length, ...]:
    """The candidates with their costs; ``images``: lanes are tiles of several images."""
    return tuple(_length(line, t, images) for t in _candidates(line))


@lru_cache(1024)
def _least(line: Line, images: bool) -> Least:
    every = lengths(line, images)
    return Least(
        min(a.tiles * a.pairs for a in every),
        min(a.tiles * a.out_pairs for a in every),
        min(a.tiles * a.columns for a in every),
        min(a.tiles * a.t for a in every),
        min(a.tiles * a.column for a in every),
        min(a.tiles * a.load for a in every),
        min(a.tiles * a.store for a in every),
        min(a.few for a in every),
        min(a.kernel_column for a in every),
        min(a.columns for a in every),
        every[0].t,
    )


@lru_cache(4096)
def _length(line: Line, t: int, images: bool) -> Length:
    out, tiles = split(line, t)
    full, few = _transform(t), _transform(t, line.taps)
    load, store = (_STRIDED if step > 1 else _EDGE if images else _PIXEL for step in (line.src[1], line.dst[1]))
    return Length(
        t, out, tiles, ceil_div(t, 2), ceil_div(out, 2), t // 2 + 1, full, few, full + _COPY * t,
        full + 2 * load * t, full + 2 * store * out, few + _COPY * line.taps,
    )  # fmt: skip


@lru_cache(4096)
def _transform(t: int, count: int | None = None) -> float:
    """A complex transform, of which only `count` numbers may not be zero."""
    few = count is not None and factors(t, count)[1] >= count
    return _BUTTERFLY * t * math.log2(t) * (_FEW if few else 1.0)


def _block(tiles: int, each: int) -> int:
    """Tiles that are kept together, of so many bytes each; blocks are even."""
    return ceil_div(tiles, ceil_div(tiles, max(4, _SPECTRA // each)))


def _blocks(work: Work, mode: int, h: Length, w: Length) -> Tiles:
    """Blocks of tiles and channels whose spectra stay in the shared cache."""
    if mode != CHANNELS:
        return Tiles(mode, h.t, w.t, 1, 1, 1)
    sblocks = work.h.sp * work.w.sp * ceil_div(work.ci, work.lanes)
    dblocks = work.h.dp * work.w.dp * ceil_div(work.co, work.lanes)
    unit_x, unit_z = w.columns * (2 * h.t + 2) + 2, w.t * (2 * h.out_pairs + 2) + 2
    total = work.images * h.tiles * w.tiles
    tiles = _block(total, (sblocks + dblocks * work.backward) * unit_x * work.line)
    most = max(2, _SPECTRA // (tiles * unit_z * work.line) // 2 * 2)
    blocks = ceil_div(ceil_div(dblocks, ceil_div(dblocks, most)), 2) * 2
    return Tiles(mode, h.t, w.t, tiles, blocks, max(1, _COLUMN // (h.t * 4 * work.lanes * work.line)))
