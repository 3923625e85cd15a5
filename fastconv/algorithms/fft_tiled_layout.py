"""Sizes and places of what the FFT tile steps work on: tiles, their spectra, row transforms of weights.

Stride s and dilation d of an axis make one dense problem of several phases: with g = gcd(s, d), output
``(d / g) i + a`` and tap ``(s / g) u + b`` meet at pixel ``lcm(s, d) (i + u) + s a + d b - padding``. So the
phases a are images of their own, and the phases b channels of their own.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from ..core.problem import ConvProblem
from ..core.workspace import Scratch
from ..engines.records import FftAxis, FftSide, FftTiles, pack
from .base import Array

RADICES = 4, 5, 6, 8, 9, 10, 12
ROW = 2 * RADICES[-1] + 2  # vectors of a row between the two passes of a transform
LENGTHS = tuple(sorted({a * b for a in RADICES for b in RADICES}))


class Tiles(NamedTuple):
    """Lengths of transforms and block sizes: of tiles, of vectors of outputs, of vectors of inputs."""

    mode: int  # CHANNELS, POINTWISE or IMAGES
    th: int
    tw: int
    tile_block: int
    dst_block: int
    src_chunk: int


CHANNELS, POINTWISE, IMAGES = range(3)


class Line(NamedTuple):
    """One axis of a pass as a dense problem, see `records.FftAxis`."""

    outputs: int
    taps: int
    images: int
    src: FftSide
    dst: FftSide
    sp: int
    dp: int
    lead: int  # rows of a tile that are zero for sure, before the image
    last: int  # one behind the last row that may be not


def ceil_div(a: int, b: int) -> int:
    """Quotient, rounded up."""
    return -(-a // b)


@lru_cache(4096)
def lines(p: ConvProblem, pass_: str) -> tuple[Line, Line]:
    """The pass along the height and along the width."""
    found = []
    for size, k, s, d, before, out in (
        (p.ih, p.kh, p.sh, p.dh, p.pt, p.oh),
        (p.iw, p.kw, p.sw, p.dw, p.pl, p.ow),
    ):
        g = math.gcd(s, d)
        images, phases, step = d // g, s // g, s * d // g
        taps = ceil_div(k, phases)
        pixels, outputs = FftSide(size, step, s, d, -before), FftSide(out, images, 1, 0, 0)
        low = ceil_div(before - s * (images - 1) - d * (phases - 1), step)
        high = (size - 1 + before) // step + 1
        if pass_ == "grad_input":
            src = outputs._replace(start=images * (low - taps + 1))
            dst = pixels._replace(start=step * low - before)
            last = (out - 1) // images + taps - low
            found.append(Line(high - low, taps, images, src, dst, 1, phases, max(0, taps - 1 - low), last))
        else:
            found.append(Line(ceil_div(out, images), taps, images, pixels, outputs, phases, 1, max(0, low), high))
    return found[0], found[1]


def split(line: Line, t: int) -> tuple[int, int]:
    """Outputs of a tile and tiles: one tile needs no room for zeros that wrap around onto zeros."""
    whole = line.outputs + line.taps - 1
    if t >= min(whole, max(line.last, whole - line.lead, line.outputs)):
        return line.outputs, 1
    out = t - line.taps + 1
    return out, ceil_div(line.outputs, out)


@lru_cache(1024)
def factors(t: int, taps: int) -> tuple[int, int]:
    """The two lengths of a transform; the second may hold all taps, so that the first pass is left out.

    Or half of the first pass, so that it takes about half as long: then the longer it is, the better.
    """
    pairs = [(t // b, b) for b in RADICES if t % b == 0 and t // b in RADICES]
    few = [pair for pair in pairs if pair[1] >= taps]
    half = [pair for pair in pairs if (pair[0] + 1) // 2 * pair[1] >= taps]
    if few:
        return min(few, key=lambda pair: pair[1])
    return max(half) if half else min(pairs, key=lambda pair: (abs(pair[1] - 8), pair[1]))


def reach(a: FftAxis) -> int:
    """Numbers of a kernel's row that transforms read, zero from its taps on: see _ft_reach."""
    half = (a.m1 + 1) // 2 * a.m2
    return a.m2 if a.taps <= a.m2 else half if a.taps <= half else a.t


@lru_cache(256)
def _twiddles(n1: int, n2: int) -> Array:
    w = np.exp(-2j * np.pi * np.outer(np.arange(n1), np.arange(n2)) / (n1 * n2))
    found: Array = np.stack([w.real, w.imag], -1).ravel()
    return found


@lru_cache(4096)
def axis(line: Line, t: int) -> FftAxis:
    return FftAxis(
        t, *factors(t, t), *factors(t, line.taps), *split(line, t), line.taps, line.images, line.src, line.dst,
        line.sp, line.dp,
    )  # fmt: skip


@lru_cache(4096)
def places(p: ConvProblem, flip: bool, h: Line, w: Line, size: int) -> Array:
    """Where the taps of a kernel lie in the array of phases, each of whole pairs of rows of a size."""
    u, v = np.divmod(np.arange(p.kh * p.kw), p.kw)
    ph, pw = max(h.sp, h.dp), max(w.sp, w.dp)
    row, col = u // ph, v // pw
    if flip:
        row, col = h.taps - 1 - row, w.taps - 1 - col
    found: Array = ((u % ph * pw + v % pw) * ceil_div(h.taps, 2) * 2 + row) * size + col
    return found


@lru_cache(1 << 14)
def layout(p: ConvProblem, pass_: str, cfg: Tiles, threads: int, lanes: int) -> tuple[FftTiles, Scratch]:
    """Sizes, for vectors of so many lanes, and the scratch memory with the places that they tell."""
    lh, lw = lines(p, pass_)
    h, w = axis(lh, cfg.th), axis(lw, cfg.tw)
    back, weights = pass_ == "grad_input", pass_ == "grad_weight"
    ci, co, taps = p.ci // p.g, p.co // p.g, p.kh * p.kw
    so, sc = (taps, ci * taps) if back else (ci * taps, taps)
    ci, co = (co, ci) if back else (ci, co)
    cib, cob = ceil_div(ci, lanes), ceil_div(co, lanes)
    sp, dp, pairs, columns = h.sp * w.sp, h.dp * w.dp, ceil_div(h.taps, 2), w.t // 2 + 1
    tiles = p.n * h.images * w.images * h.tiles * w.tiles
    tile_block, dst_block, chunk = (
        min(a, b) for a, b in ((cfg.tile_block, tiles), (cfg.dst_block, dp * cob), (cfg.src_chunk, sp * cib))
    )
    row_a, row_x, row_r, row_z = 2 * ceil_div(h.t, 2) + 2, 2 * h.t + 2, 2 * pairs + 1, 2 * ceil_div(h.out, 2) + 2
    unit_a, unit_x, unit_r, unit_z = w.t * row_a, columns * row_x + 2, w.t * row_r, w.t * row_z + 2
    row_w, row_p, row_k = 4 * chunk * lanes + 2, 2 * h.t + 2, reach(w)
    kernel = sp * dp * pairs * 2 * row_k
    parts, kernels = 1, sp * ci * dp * cob * unit_r
    spectra, sums, own_kernels, own_sums = tile_block * sp * cib * unit_x, 0, 0, 0
    if cfg.mode == CHANNELS:
        sums = tile_block * (cob * unit_x if weights else dst_block * unit_z)
        rows_p = 2 * (min(lanes, ci) if weights else tile_block) - ((cob if weights else dst_block) == 1)
        a, columns_w, product = unit_a, 0 if weights else h.t * row_w, rows_p * row_p
    else:
        spectra, columns_w, product = 0, 2 * h.t, 4 * h.t
        blocks = ceil_div(tiles, lanes) if cfg.mode == IMAGES else tiles
        if weights:
            units = (p.g * co if cfg.mode == IMAGES else ceil_div(p.g * co, lanes)) * ci
            parts = min(blocks, 1 if units >= 4 * threads else threads)
            a, kernels = (sp + 1) * unit_a, parts * units * sp * unit_r
            own_sums = sp * columns * 2 * h.t if blocks > parts else 0
        elif cfg.mode == IMAGES:
            a, own_kernels = (sp * ci + (co * dp > 1)) * unit_a, sp * dp * unit_r
            kernels = ceil_div(p.g * co * dp * sp * ci * columns * 2 * h.t, lanes)
        else:
            a, own_kernels, kernels = sp * ci * unit_a, sp * dp * ci * unit_r, 0
    own, room = Scratch(p.dtype), Scratch(p.dtype)
    at_own = (
        own.book("row", 2 * ceil_div(w.t, lanes) * lanes, lanes),
        own.book("column", 4 * h.t + 8, lanes),
        own.book("pass", ROW * max(h.n1, h.m1, w.n1, w.m1), lanes),
        own.book("rows", a, lanes),
        own.book("taps", kernel, lanes),
        own.book("weights", columns_w, lanes),
        own.book("products", product, lanes),
        own.book("kernels", own_kernels, lanes),
        own.book("sums", own_sums, lanes),
        own.book("residual", 2 * ceil_div(w.t, lanes) * lanes * (pass_ == "forward"), lanes),
    )
    at = (
        room.book("spectra", spectra, lanes),
        room.book("kernels", kernels, lanes),
        room.book("sums", sums, lanes),
        room.book("own", threads, own.numbers),
    )
    twiddles = accumulate((2 * a * b for a, b in transforms(h, w)[:3]), initial=0)
    src_last, dst_last = (p.y_last, p.x_last) if back else (p.x_last, p.y_last)
    return FftTiles(
        h, w, lanes, int(cfg.mode == IMAGES), int(src_last), int(dst_last), p.g, ci, co, so, sc, taps, kernel, row_k,
        cib, cob, sp * cib, dp * cob, tiles, tile_block, dst_block, chunk, parts, row_a, unit_a, row_x, unit_x, row_r,
        unit_r, row_z, unit_z, row_w, row_p, *at, own.numbers, *at_own, *twiddles,
    ), room  # fmt: skip


def transforms(h: FftAxis, w: FftAxis) -> list[tuple[int, int]]:
    """Factors of the transforms of columns and rows of tiles, then of kernels."""
    return [(h.n1, h.n2), (w.n1, w.n2), (h.m1, h.m2), (w.m1, w.m2)]


@lru_cache(4096)
def arrays(p: ConvProblem, pass_: str, cfg: Tiles, threads: int, lanes: int) -> tuple[Array, Array, Array]:
    """What the steps take: the record, places of the taps, twiddle factors."""
    q, _ = layout(p, pass_, cfg, threads, lanes)
    place = places(p, pass_ == "grad_input", *lines(p, pass_), q.row_k).astype(np.intp)
    return pack(q), place, np.concatenate([_twiddles(*pair) for pair in transforms(q.h, q.w)]).astype(p.dtype)
