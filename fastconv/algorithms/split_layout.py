"""Where the split backends put pixels and weights: see engines/cython_/split_bf16/ for the loops that read them.

All offsets are in bfloat16 numbers. A phase is a set of taps that serves the same output rows and columns
(one in forward, stride x stride in grad_input); its steps are the products of one output.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..core.problem import ConvProblem
from ..core.workspace import Scratch
from ..engines.records import SplitCopy, SplitProducts, SplitSums, SplitWeights, pack
from .axes import sides, source
from .base import Array

PRODUCTS = {  # parts: (part of the image, part of the weights); neighbours share one of them
    1: ((0, 0),),
    2: ((1, 0), (0, 0), (0, 1)),
    3: ((2, 0), (1, 0), (1, 1), (0, 1), (0, 2), (0, 0)),
}
_ALIAS = 160  # numbers between blocks: no two at the same 4 KB offset
SLACK = 32 * 32  # numbers behind a copy: tiles are read whole


class Blocks(NamedTuple):
    """Block sizes of one pass."""

    flat: int  # 1: the pixels of a strip are one run (tiles are 16 pixels, wherever rows end)
    rows: int  # base rows a strip
    jit: int  # 1: panels outermost, packed just before use
    images: int  # images a band
    band: int  # output rows a band
    groups: int  # groups taken together
    splits: int  # shares of a panel (grad_weight)


class View(NamedTuple):
    """How outputs meet the padded image, whatever the band."""

    rd: int  # output row of base row r and phase a: r * rd + a - rt; likewise columns
    rt: int
    cd: int
    ct: int
    rs: int  # image row of row k of phase a of the copy: k * rs + a - top; likewise columns
    top: int
    cs: int
    left: int
    nr: int  # row and column phases of the copy
    nc: int
    down: int  # rows and columns of the copy beyond a base row or column that taps reach
    right: int
    c0: int  # first base column, and how many there are
    columns: int

    @property
    def wph(self) -> int:
        """Columns of a row of the copy."""
        return self.columns + self.right


class Steps(NamedTuple):
    """Offsets for one size of the copy."""

    phases: Array  # first step, number of steps
    steps: Array  # offset in the copy, offset in the weights, pairs
    pos: Array  # place of tap kh * KW + kw in the packed weights


@lru_cache(4096)
def view(p: ConvProblem, pass_: str) -> View:
    down, right = (p.kh - 1) * p.dh // p.sh, (p.kw - 1) * p.dw // p.sw
    if pass_ == "grad_input":
        c0 = p.pl // p.sw
        columns = (p.iw - 1 + p.pl) // p.sw + 1 - c0
        return View(p.sh, p.pt, p.sw, p.pl, 1, down, 1, right, 1, 1, down, right, c0, columns)
    nr, nc = (1 if k == 1 else s for k, s in ((p.kh, p.sh), (p.kw, p.sw)))
    return View(1, 0, 1, 0, p.sh, p.pt, p.sw, p.pl, nr, nc, down, right, 0, p.ow)


def bands(p: ConvProblem, images: int, rows: int, oh: int) -> Iterator[tuple[int, int, int, int]]:
    """(first image, images, first row, last row) of every band of so many images and output rows."""
    for n in range(0, p.n, images):
        for i in range(0, oh, rows):
            yield n, min(images, p.n - n), i, min(i + rows, oh)


def base_rows(v: View, i0: int, i1: int) -> tuple[int, int]:
    """First base row of output rows [i0, i1), and how many there are."""
    first = (i0 + v.rt) // v.rd
    return first, (i1 - 1 + v.rt) // v.rd + 1 - first


class Strides(NamedTuple):
    """Steps of a copy, and its length as float32 numbers."""

    image: int
    group: int
    part: int
    block: int
    plane: int
    length: int  # numbers of a plane, a channel's
    size: int


def strides(v: View, length: int, blocks: int, parts: int, groups: int, images: int) -> Strides:
    """A copy of planes of so many pixels (or, of both ways to pair them, so many pairs)."""
    plane = length * 32
    block = v.nr * v.nc * plane + _ALIAS
    part = blocks * block
    group = parts * part
    image = groups * group
    return Strides(image, group, part, block, plane, length, whole_lines(images * image + SLACK))


def copies(p: ConvProblem, pass_: str, parts: int, rows: int, groups: int, images: int) -> tuple[Strides, Strides]:
    """The copy for so many output rows at most; in grad_weight also that of dy."""
    v, c = view(p, pass_), sides(p, pass_)[0]
    if pass_ != "grad_weight":
        base = min(rows // v.rd + 2, base_rows(v, 0, sides(p, pass_)[2])[1]) if v.rd > 1 else rows
        at = strides(v, (base + v.down) * v.wph, -(-c // 32), parts, groups, images)
        return at, at
    chunks = -(-((rows - 1) * v.wph + p.ow) // 32)
    pixels = chunks * 32 + v.down * v.wph + v.right + 2
    at = strides(v, -(-pixels // 2) * 2, -(-c // 16), parts, groups, images)
    part = chunks * (p.co // p.g) * 32
    image = groups * parts * part
    return at, Strides(image, parts * part, part, 0, 0, 0, whole_lines(images * image + SLACK))


def whole_lines(numbers: int) -> int:
    """bfloat16 numbers as float32 numbers, whole cache lines."""
    return -(-numbers // 32) * 16


@lru_cache(1024)
def product_steps(p: ConvProblem, pass_: str, parts: int, at: Strides) -> Steps:
    """Tap by tap, block by block of channels, product by product."""
    v, c = view(p, pass_), sides(p, pass_)[0]
    blocks, adjoint = -(-c // 32), pass_ == "grad_input"
    phases: list[tuple[int, int]] = []
    steps: list[tuple[int, int, int]] = []
    pos, taps = np.empty(p.kh * p.kw, np.intp), 0
    for a in range(v.rd):
        for b in range(v.cd):
            first = len(steps)
            for k in range(p.kh * p.kw):
                u, w = k // p.kw * p.dh, k % p.kw * p.dw
                if adjoint and (u % p.sh, w % p.sw) != (a, b):
                    continue
                pixel = tap_offset(p, v, at, u, w, adjoint)
                for block in range(blocks):
                    pairs = -(-min(32, c - 32 * block) // 2)
                    for i, j in PRODUCTS[parts]:
                        weight = ((taps * blocks + block) * parts + j) * 512
                        steps.append((i * at.part + block * at.block + pixel, weight, pairs))
                pos[k] = taps
                taps += 1
            phases.append((first, len(steps) - first))
    return Steps(np.array(phases, np.intp), np.array(steps, np.intp).reshape(-1, 3), pos)


def tap_offset(p: ConvProblem, v: View, at: Strides, u: int, w: int, adjoint: bool = False) -> int:
    """From the pixel of an output to the one that the tap at row u, column w of the dilated kernel meets."""
    if adjoint:
        return ((v.down - u // p.sh) * v.wph + v.right - w // p.sw) * 32
    return (u % p.sh * v.nc + w % p.sw) * at.plane + (u // p.sh * v.wph + w // p.sw) * 32


@lru_cache(1024)
def sum_steps(
    p: ConvProblem, parts: int, images: int, chunks: int, x: Strides, dy: Strides
) -> tuple[Array, Array, int]:
    """grad_weight: steps of 32 pixels each, where each tap starts in the copy of x, and the ways to pair pixels."""
    v, co = view(p, "forward"), p.co // p.g
    steps = [
        (n * dy.image + i * dy.part + q * co * 32, n * x.image + j * x.part + q * 512, 16)
        for n in range(images)
        for q in range(chunks)
        for i, j in PRODUCTS[parts]
    ]
    taps, ways = [], 1
    for k in range(p.kh * p.kw):
        u, w = k // p.kw * p.dh, k % p.kw * p.dw
        pixel = u // p.sh * v.wph + w // p.sw  # pairs start at even pixels or at odd ones
        phase = (u % p.sh * v.nc + w % p.sw) * x.plane
        ways = max(ways, pixel % 2 + 1)
        taps.append(phase + (pixel % 2 * (x.length // 2) + pixel // 2) * 32)
    return np.array(steps, np.intp), np.array(taps, np.intp), ways


def packed_size(p: ConvProblem, pass_: str, parts: int) -> int:
    """float32 numbers that the packed weights of a group take."""
    c, outputs, _, _ = sides(p, pass_)
    return -(-outputs // 32) * p.kh * p.kw * -(-c // 32) * parts * 512


@lru_cache(1024)
def scratch(p: ConvProblem, pass_: str, parts: int, cfg: Blocks, threads: int) -> tuple[Scratch, dict[str, int]]:
    """Scratch memory of a pass, and where the parts of a thread's begin."""
    c, outputs, oh, ow = sides(p, pass_)
    at, at_dy = copies(p, pass_, parts, min(cfg.band, oh), cfg.groups, cfg.images)
    room, thread, taps, packed = Scratch(p.dtype), Scratch(p.dtype), p.kh * p.kw, packed_size(p, pass_, parts)
    room.book("copy", at.size)
    if pass_ == "grad_weight":
        room.book("rows", at_dy.size)
        room.book("sums", cfg.groups * taps * -(-c // 32) * 32 * (p.co // p.g))
        return room, {}
    thread.book("sums", 32 * cfg.rows * view(p, pass_).rd * ow)
    if not cfg.jit:
        room.book("weights", cfg.groups * packed)
    panel = thread.book("panel", packed // -(-outputs // 32) if cfg.jit else 0)
    tmp = thread.book("tmp", 512 * taps if cfg.jit else 0)
    per_thread = max(thread.numbers, 512 * taps)
    room.book("threads", threads * per_thread)
    return room, {"panel": panel, "tmp": tmp, "per_thread": per_thread}


@lru_cache(1024)
def weights_of(p: ConvProblem, pass_: str, parts: int, g: int, groups: int) -> Array:
    """The record of the weights of some groups."""
    c, outputs, _, _ = sides(p, pass_)
    w0 = g * (p.co // p.g) * (p.ci // p.g) * p.kh * p.kw
    return pack(SplitWeights(w0, outputs, c, groups, parts, int(pass_ == "grad_input")))


def copy_of(
    p: ConvProblem,
    pass_: str,
    parts: int,
    at: Strides,
    n0: int,
    nb: int,
    c0: int,
    groups: int,
    r0: int,
    length: int,
    pixels: int,
) -> Array:
    """The record of a copy of the image as a flat plane of so many pixels, from base row r0 on."""
    (h, w), v = source(p, pass_), view(p, pass_)
    plane = v.wph, r0 * v.rs - v.top, v.rs, v.c0 * v.cs - v.left, v.cs, v.nr, v.nc, length
    return pack(SplitCopy(n0, nb, c0, groups, sides(p, pass_)[0], parts, pixels, h, w, *plane, *at[:5]))


@lru_cache(64)
def product_records(
    p: ConvProblem, pass_: str, parts: int, cfg: Blocks, threads: int, unit: int, chain: int, g: int
) -> list[tuple[Array, Array]]:
    """For every band of the groups from g on: the records of its copy and of its products."""
    v, (c, outputs, oh, _) = view(p, pass_), sides(p, pass_)
    at, _ = copies(p, pass_, parts, min(cfg.band, oh), cfg.groups, cfg.images)
    _, places = scratch(p, pass_, parts, cfg, threads)
    found = []
    for n0, nb, i0, i1 in bands(p, cfg.images, cfg.band, oh):
        r0, rows = base_rows(v, i0, i1)
        groups = min(cfg.groups, p.g - g)
        copy = copy_of(p, pass_, parts, at, n0, nb, g * c, groups, r0, (rows + v.down) * v.wph, 0)
        band = at.image, at.group, v.wph, v.columns, rows, r0, v.rd, v.rt, v.c0, v.cd, v.ct, n0, nb, g * outputs, i0, i1
        found.append((copy, pack(SplitProducts(*band, unit, cfg.flat, cfg.rows, cfg.jit, chain, **places))))
    return found


@lru_cache(64)
def sum_records(
    p: ConvProblem, parts: int, cfg: Blocks, unit: int, per: int, g: int
) -> list[tuple[Array, Array, Array, Array, Array]]:
    """grad_weight, for every band of the groups from g on: steps, taps; records of the copies of x and dy, the sums."""
    v, ci, co, groups = view(p, "forward"), p.ci // p.g, p.co // p.g, min(cfg.groups, p.g - g)
    at, at_dy = copies(p, "grad_weight", parts, min(cfg.band, p.oh), cfg.groups, cfg.images)
    found = []
    for k, (n0, nb, i0, i1) in enumerate(bands(p, cfg.images, cfg.band, p.oh)):
        chunks = -(-((i1 - i0 - 1) * v.wph + p.ow) // 32)
        table, taps, ways = sum_steps(p, parts, nb, chunks, at, at_dy)
        copy = copy_of(p, "grad_weight", parts, at, n0, nb, g * ci, groups, i0, at.length, ways)
        plane = i1, p.ow, v.wph, i0, 1, 0, 1, 1, 1, chunks
        rows = pack(SplitCopy(n0, nb, g * co, groups, co, parts, 0, *plane, *at_dy[:5]))
        sizes = at.group, at.block, at_dy.group, groups, g * co, co, ci, nb * chunks, len(PRODUCTS[parts])
        found.append((table, taps, copy, rows, pack(SplitSums(*sizes, unit, per, cfg.splits, int(k > 0)))))
    return found
