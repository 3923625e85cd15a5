"""Sizes and places of what the Winograd steps work on: blocks of tiles, their transforms, weights, sums."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from ..core.problem import ConvProblem
from ..core.workspace import Scratch
from ..engines.records import WinogradPass

_BATCH = 16 << 20  # bytes of transforms that grad_weight holds at once, in the shared cache
ROWS = 8  # outputs of any engine's register block divide it
_SUMS = 600 << 10  # bytes of sums that stay in a core's own cache


class Blocks(NamedTuple):
    """Outputs of a tile (one axis), what threads share, and blocks."""

    m: int
    by_panels: int  # 1: threads share a block of tiles and split the outputs; 0: they split the tiles
    row_blocks: int
    col_blocks: int
    chunk: int  # input channels
    sum: int  # products that are summed by themselves before they are added to the rest


def ceil_div(a: int, b: int) -> int:
    """Quotient, rounded up."""
    return -(-a // b)


def whole_lines(a: int) -> int:
    """Numbers, rounded up to whole cache lines of either dtype."""
    return ceil_div(a, 16) * 16


def dense(p: ConvProblem, pass_: str) -> ConvProblem:
    """The stride-1 forward problem that the pass amounts to."""
    return (p.adjoint() or p) if pass_ == "grad_input" else p


@lru_cache(4096)
def layout(p: ConvProblem, pass_: str, cfg: Blocks, threads: int, lanes: int) -> tuple[WinogradPass, int]:
    """Sizes and places, and the numbers of workspace, for vectors of so many lanes."""
    q = dense(p, pass_)
    ci, co, taps, weights = q.ci // q.g, q.co // q.g, q.kh * q.kw, pass_ == "grad_weight"
    mh, mw = (1 if k == 1 else cfg.m for k in (q.kh, q.kw))
    frequencies = (mh + q.kh - 1) * (mw + q.kw - 1)
    step_h, step_w = mh * q.dh, mw * q.dw
    high, wide = ceil_div(q.oh, step_h), ceil_div(q.ow, step_w)  # steps of dh * dw tiles
    rows, cols = ceil_div(q.n * high, cfg.row_blocks), ceil_div(wide, cfg.col_blocks)
    images = min(rows, ceil_div(rows - 1, high) + 1)
    tiles = rows * cols * min(q.dh, q.oh) * min(q.dw, q.ow)
    in_rows, in_width = rows * step_h + images * (q.kh - 1) * q.dh, cols * step_w + (q.kw - 1) * q.dw
    in_slots, out_slots = in_rows * in_width, rows * step_h * cols * step_w
    in_pixels = in_rows * (q.iw if cfg.col_blocks == 1 else in_width)
    runs = max(images, in_rows)
    cip, kc, panel = ceil_div(ci, lanes) * lanes, min(cfg.chunk, ci), 2 * lanes
    vf, mf, uf = tiles * cip + lanes, 2 * tiles * lanes + lanes, kc * panel + lanes
    held = batch = qf = square = rows_s = cols_s = at_x = at_q = at_s = part_s = own_s = segment = 0
    blocks, parts = cfg.row_blocks * cfg.col_blocks, 1
    if weights:
        batch = 1
        if cfg.by_panels:
            size = frequencies * tiles * (cip + ceil_div(co, lanes) * lanes) * q.itemsize
            batch = ceil_div(blocks, ceil_div(blocks, max(1, min(blocks, _BATCH // size))))
        held = batch * tiles
        vf, qf = held * cip + lanes, held * ceil_div(co, lanes) * lanes + lanes
        rows_s, cols_s = _sums(co, cip // lanes, frequencies * lanes * q.itemsize, threads if cfg.by_panels else 0)
        square = (frequencies + 1) * lanes  # one line more: no power of two between sums
        part_s = whole_lines(rows_s * cols_s * square)
        parts, segment = (1, 1) if cfg.by_panels else (min(threads, blocks), segment_of(blocks))
        own_s = part_s if (batch == blocks if cfg.by_panels else ceil_div(blocks, parts) > segment) else 0
    chunk, group_v, group_q = frequencies * uf, whole_lines(frequencies * vf), whole_lines(frequencies * qf)
    table = 256 + 2 * runs * 24 + 4 * (in_pixels + out_slots + 2 * tiles)  # bytes
    own, shared = Scratch(p.dtype), Scratch(p.dtype)  # of a thread, of all
    places = (
        own.book("inputs", 0 if cfg.by_panels else group_v),
        own.book("products", own_s if weights else frequencies * mf),
        own.book("input slots", in_slots + 1, lanes),
        own.book("output slots", out_slots, lanes),
        own.book("weights", (0 if cfg.by_panels else group_q) if weights else chunk if cfg.by_panels else 0),
        own.book("table", ceil_div(table, q.itemsize)),
    )
    if weights and cfg.by_panels:
        at_x, at_q, at_s = shared.book("inputs", group_v), shared.book("gradients", group_q), places[1]
        if batch < blocks:
            at_s = shared.book("sums", ceil_div(co, rows_s) * ceil_div(cip // lanes, cols_s), part_s)
    elif weights:
        at_x, at_s, at_q, _ = places[0], places[1], places[4], shared.book("sums", parts, part_s)
    elif cfg.by_panels:
        shared.book("inputs", q.g, group_v)
    backward = pass_ == "grad_input"
    so, sc = (taps, co * taps) if backward else (ci * taps, taps)
    k = max(q.kh, q.kw)
    m, r = (k, cfg.m) if weights else (cfg.m, k)
    flat = q.kh == 1 or q.kw == 1
    grid = WinogradPass(
        q.n, ci, q.ih, q.iw, co, q.oh, q.ow, q.g, q.pt, q.pl, q.dh, q.dw,
        int(q.x_last), int(q.y_last), mh, q.kh, mw, q.kw, so, sc, int(backward),
        m + r - 1, m, r, int(flat), int(not flat or q.kh == 1),
        cfg.sum, cfg.row_blocks, cfg.col_blocks, kc, cip,
        tiles, in_slots, in_pixels, out_slots, runs, vf, mf, uf, chunk, group_v,
        held, batch, qf, square, rows_s, cols_s, at_x, at_q, at_s, part_s, parts, segment,
        shared.numbers, *places, own.numbers,
    )  # fmt: skip
    return grid, shared.numbers + threads * own.numbers


def segment_of(blocks: int) -> int:
    """Blocks of tiles whose sums are added up by themselves, for short chains of additions."""
    return max(8, math.isqrt(blocks))


def _sums(co: int, vectors: int, line: int, threads: int) -> tuple[int, int]:
    """Outputs and vectors of inputs whose sums are kept together; `line`: bytes of one output and vector.

    All, if threads is 0; else what fits the cache and gives threads the most even shares.
    """
    if threads == 0:
        return ceil_div(co, ROWS) * ROWS, vectors
    cols = min(vectors, 4)
    most = max(1, min(ceil_div(co, ROWS), _SUMS // (line * cols * ROWS)))

    def share(k: int) -> tuple[int, int]:
        return ceil_div(ceil_div(co, k * ROWS) * ceil_div(vectors, cols), threads) * k, -k

    return min(range(1, most + 1), key=share) * ROWS, cols


def weights_size(grid: WinogradPass, lanes: int) -> int:
    """Numbers of all transformed weights."""
    return grid.g * ceil_div(grid.co, 2 * lanes) * ceil_div(grid.ci, grid.kc) * grid.chunk


def count_tiles(q: ConvProblem, m: int) -> tuple[int, int]:
    """How many tiles, of how many frequencies."""
    tiles, frequencies = q.n, 1
    for k, size, d in ((q.kh, q.oh, q.dh), (q.kw, q.ow, q.dw)):
        outputs = 1 if k == 1 else m
        whole, rest = divmod(size, outputs * d)
        tiles *= whole * d + min(rest, d)
        frequencies *= outputs + k - 1
    return tiles, frequencies
