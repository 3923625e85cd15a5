"""Tiles of an image, and the phases that stride and dilation split them into: the bookkeeping of fft.py.

Along an axis output i reads position i s + u d - pad for tap u. With g = gcd(s, d), i = i' (d / g) + a and
u = u' (s / g) + b that is (i' + u') (s d / g) + a s + b d - pad: a correlation without stride or dilation of
every (s d / g)-th pixel, for each a and b. The a are further images, the b further channels; no zero is
transformed for a hole in a kernel.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..core.problem import ConvProblem
from .base import Array

# What scipy.fft.next_fast_len(n, real=True) answers, for planning: importing scipy.fft takes a quarter of a second.
_FAST: list[int] = sorted(
    2**a * 3**b * 5**c for a in range(27) for b in range(17) for c in range(12) if 2**a * 3**b * 5**c < 2**27
)
_LONG = 512  # tiles are no longer than this, or twice the kernel


class Tiles(NamedTuple):
    """A tile's length along both axes, tiles a chunk, and groups and outputs whose weights are held at a time."""

    th: int
    tw: int
    tiles: int
    groups: int
    outputs: int


class Axis(NamedTuple):
    """One axis, taken apart into phases; positions as in the head of this file."""

    size: int  # pixels of the input
    out: int  # outputs
    stride: int
    dilation: int
    pad: int
    step: int  # s d / g: pixels between two of a phase
    images: int  # d / g: phases that are further images
    channels: int  # s / g: phases that are further channels
    taps: int  # of a phase
    first: int  # points i' of a phase for which results are computed: outputs, or pixels of dx
    last: int


@lru_cache(4096)
def axes(p: ConvProblem, pass_: str) -> tuple[Axis, Axis]:
    h = _axis(p.ih, p.oh, p.kh, p.sh, p.dh, p.pt, pass_)
    return h, _axis(p.iw, p.ow, p.kw, p.sw, p.dw, p.pl, pass_)


def _axis(size: int, out: int, k: int, s: int, d: int, pad: int, pass_: str) -> Axis:
    g = math.gcd(s, d)
    taps, outs, step = -(-k // (s // g)), -(-out // (d // g)), s * d // g
    first, last = 0, outs
    if pass_ == "grad_input":  # points that are pixels of the image in some phase, and that an output reads
        reach = (d // g - 1) * s + (s // g - 1) * d
        first = max(0, (pad - reach) // step)
        last = max(first + 1, min(outs + taps - 1, (size - 1 + pad) // step + 1))
    return Axis(size, out, s, d, pad, step, d // g, s // g, taps, first, last)


def fast_length(n: int) -> int:
    """The smallest length from n on that SciPy transforms quickly."""
    return _FAST[bisect_left(_FAST, n)]


def lengths(a: Axis) -> list[tuple[int, int]]:
    """(tiles, length): the shortest length for every sensible number of tiles."""
    found: dict[int, int] = {}
    points, t = a.last - a.first, fast_length(a.taps)
    while t <= max(_LONG, fast_length(2 * a.taps)):
        count = -(-points // (t - a.taps + 1))
        found.setdefault(count, t)
        if count == 1:
            break
        t = fast_length(t + 1 + t // 8)
    return list(found.items())


def grid(p: ConvProblem, pass_: str, th: int, tw: int) -> tuple[int, ...]:
    """Images, their phases, and tiles of each, along both axes."""
    h, w = axes(p, pass_)
    down, across = (-(-(a.last - a.first) // (t - a.taps + 1)) for a, t in ((h, th), (w, tw)))
    return p.n, h.images, w.images, down, across


def gather(
    p: ConvProblem,
    pass_: str,
    cfg: Tiles,
    image: Array,
    tiles: range,
    side: str,
    channels: tuple[int, ...],
    window: Any,
    room: Array,
) -> Array:
    """Tiles, zero outside the image, (tiles, groups, channels, phases..., rows, columns); see `_pieces`."""
    window = window or (0, 0, cfg.th, cfg.tw)
    g0, g1, c0, c1 = channels
    split = tuple(a.channels if side == "input" else 1 for a in axes(p, pass_))
    shape = len(tiles), g1 - g0, c1 - c0, *split, *window[2:]
    out = room[: math.prod(shape)].reshape(shape)
    planes = image.reshape(p.n, p.g, -1, *image.shape[2:])[:, g0:g1, c0:c1]
    for t, n, a, b, (rows, ys), (cols, xs) in _pieces(p, pass_, cfg, tiles, side, window):
        to = out[t, :, :, a, b]
        if rows != slice(0, window[2]) or cols != slice(0, window[3]):
            to[...] = 0
        to[:, :, rows, cols] = planes[n, :, :, ys, xs]
    return out


def scatter(
    p: ConvProblem,
    pass_: str,
    cfg: Tiles,
    made: Array,
    image: Array,
    tiles: range,
    side: str,
    channels: tuple[int, ...],
) -> None:
    """The adjoint of `_gather`: results to their pixels."""
    g0, g1, c0, c1 = channels
    h, w = axes(p, pass_)
    split = (h.channels, w.channels) if side == "input" else (1, 1)
    made = made.reshape(len(tiles), g1 - g0, c1 - c0, *split, *made.shape[-2:])
    planes = image.reshape(p.n, p.g, -1, *image.shape[2:])[:, g0:g1, c0:c1]
    window = 0, 0, cfg.th - h.taps + 1, cfg.tw - w.taps + 1
    for t, n, a, b, (rows, ys), (cols, xs) in _pieces(p, pass_, cfg, tiles, side, window):
        planes[n, :, :, ys, xs] = made[t, :, :, a, b, rows, cols]


def _pieces(
    p: ConvProblem, pass_: str, cfg: Tiles, tiles: range, side: str, window: tuple[int, ...]
) -> Iterator[tuple[Any, ...]]:
    """(tile, image, phases..., rows, columns) of every tile's phase; the last two as (in the tile, in the image).

    ``side`` says whether the image has the size of the input or of the output; ``window`` holds the first
    row and column, relative to the tile's points, and how many there are.
    """
    h, w = axes(p, pass_)
    split = (h.channels, w.channels) if side == "input" else (1, 1)
    for t, tile in enumerate(tiles):
        n, a, b, i, j = np.unravel_index(tile, grid(p, pass_, cfg.th, cfg.tw))
        y, x = (
            h.first + int(i) * (cfg.th - h.taps + 1) + window[0],
            w.first + int(j) * (cfg.tw - w.taps + 1) + window[1],
        )
        for c, d in np.ndindex(*split):
            yield t, n, c, d, _run(h, side, int(a), c, y, window[2]), _run(w, side, int(b), d, x, window[3])


def _run(axis: Axis, side: str, a: int, b: int, point: int, count: int) -> tuple[slice, slice]:
    """Points [point, point + count) of a phase that lie in the image: which of them, and where."""
    if side == "input":
        start, step, size = point * axis.step + a * axis.stride + b * axis.dilation - axis.pad, axis.step, axis.size
    else:
        start, step, size = point * axis.images + a, axis.images, axis.out
    low, high = max(0, -(start // step)), min(count, -((start - size) // step))
    if low >= high:
        return slice(0, 0), slice(0, 0)
    return slice(low, high), slice(start + low * step, start + (high - 1) * step + 1, step)
