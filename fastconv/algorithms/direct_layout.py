"""Sizes, places and scratch memory of direct convolution: what its steps are told."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

from ..core.problem import ConvProblem
from ..engines.records import DirectPass, DirectPhase, pack
from .axes import Axis, adjoint_axes, forward_axis
from .base import Array

_BAND = 256 << 10  # bytes of the source that stay in a core's cache while panels of weights pass
_KEPT = 512 << 10  # bytes of packed weights that a thread keeps from band to band
_COPY = 32 << 20  # bytes of a thread's copy where weights are packed anew for every band
_UNITS = 8  # jobs of a thread
STRIP = 192  # pixels over which grad_weight sums before it adds to what is in memory
_TURN = 64  # pixels of outputs that lie side by side before they go to their planes


class DirectConfig(NamedTuple):
    """Block sizes of one pass."""

    nv: int  # vectors of outputs and pixels (in grad_weight: numbers of a run) of a register block;
    nr: int = 0  # 0: a matrix times few vectors
    ways: int = 1  # shares of the outputs; threads beyond it share the pixels
    chunk: int = 1  # channels at a time
    private: int = 0  # grad_weight: threads share the pixels and have sums of their own


class Pass(NamedTuple):
    """What a pass hands to its steps: numbers of packed weights, of sums, of scratch; the place of every tap of the
    kernel among the packed ones, -1 if none of its outputs is met."""

    record: Array
    phases: Array
    order: Array
    size: int
    work: int
    end: int


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
        nv=0, nr=0, chunk=0, ways=0, units=0, band=0, room=0, copied=0, tile=0, keep=0, private=0,
    ), tuple(phases)  # fmt: skip


@lru_cache(maxsize=1024)
def _order(p: ConvProblem, pass_: str) -> Array:
    """The place of every tap of the kernel among the packed ones, phase by phase."""
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
def layout_of(p: ConvProblem, pass_: str, cfg: DirectConfig, threads: int, lanes: int, packed: bool = False) -> Pass:
    """``packed``: threads need no place for weights, which are there."""
    r, phases = shape(p, pass_)
    r = _sized(p, pass_, r, cfg, threads, lanes, packed)
    size = r.groups * width(r.og, cfg.nv, lanes) * r.taps * r.cg
    kept = _round(size * (threads if cfg.private else 1)) if pass_ == "grad_weight" else 0
    return Pass(pack(r), pack(phases), _order(p, pass_), size, kept, kept + threads * r.room)


def _sized(
    p: ConvProblem, pass_: str, r: DirectPass, cfg: DirectConfig, threads: int, lanes: int, packed: bool
) -> DirectPass:
    """A pass with its block sizes and the scratch memory that a thread needs."""
    right = r.c0 + (r.ow - 1) * r.cs + r.wide
    copied = r.xplane > 0 or r.c0 < 0 or right > r.w
    row = (-(-(right - r.c0) // r.pick) if copied else r.w) * r.c * p.itemsize  # bytes
    many = min(cfg.nv, -(-r.og // lanes)) * lanes  # outputs of the largest panel
    tile, images, cols, lines, crews, units = 0, 1, r.ow, r.n * r.oh, max(1, threads // cfg.ways), 1
    if pass_ == "grad_weight":
        band = max(1, min(r.oh, STRIP // r.ow))
        rows = min(band, -(-lines // threads)) if cfg.private else band
        keep, panel = False, rows * r.ow * many
    else:
        columns = -(-r.ow // cfg.nr)
        own = _largest_share(r, cfg, lanes)
        keep = own * p.itemsize <= _KEPT
        room = _BAND if keep else _COPY
        if r.oh == 1:
            band = max(1, room // (-(-row // columns)))
        else:
            band = max(1, room // (row * r.rs)) * columns
        units = _units(r, crews, packed, keep)
        blocks = min(band, -(-lines * columns // crews))  # that meet at most a row more, if they begin in one
        more = lines % (crews * units) > 0
        rows, images = min(r.oh, -(-blocks // columns) + more), max(1, blocks // (r.oh * columns))
        cols = r.ow if rows > 1 else min(r.ow, -(-blocks * r.ow // columns))
        panel = 0 if packed else own if keep else r.taps * cfg.chunk * many
        if r.yplane:
            turned = min(max(1, _TURN // cfg.nr), columns) if cfg.chunk >= r.cg else blocks
            tile = _round(-(-turned * r.ow // columns) * many) * r.phases
    top, bottom = max(0, r.r0), min(r.h, r.r0 + (r.oh - 1) * r.rs + r.high)  # rows of the source that there are
    high, wide = min((rows - 1) * r.rs + r.high, max(0, bottom - top)), (cols - 1) * r.cs + r.wide
    copy = _round(images * high * -(-wide // r.pick) * r.c) + 48 if copied else 0
    return r._replace(
        nv=cfg.nv, nr=cfg.nr, chunk=cfg.chunk, ways=cfg.ways, units=units, band=band, copied=copy, tile=tile,
        keep=int(keep), room=_round(copy + tile + panel) + 16, private=cfg.private,
    )  # fmt: skip


def _units(r: DirectPass, crews: int, packed: bool, keep: bool) -> int:
    """Jobs of a thread; where weights are packed for each part anew these must be worth it."""
    pixels = r.n * r.oh * r.ow // crews
    return 1 if crews == 1 else max(1, min(_UNITS, pixels // (16 if packed or keep else 512)))


def _largest_share(r: DirectPass, cfg: DirectConfig, lanes: int) -> int:
    """Numbers of the packed weights of the thread that has most: panels at equal distances, of a last one its own."""
    panel = cfg.nv * lanes
    panels = -(-r.og // panel)
    tail = -(-r.og // lanes) * lanes - (panels - 1) * panel
    ends = [r.groups * panels * k // cfg.ways for k in range(cfg.ways + 1)]
    shares = ((b - a - 1) * panel + (panel if b % panels else tail) for a, b in pairwise(ends) if a < b)
    return max(shares, default=0) * r.cg * r.taps


def width(outputs: int, nv: int, lanes: int) -> int:
    """Numbers of all panels of a group, whole."""
    return -(-outputs // (nv * lanes)) * nv * lanes


def _round(numbers: int) -> int:
    return -(-numbers // 16) * 16
