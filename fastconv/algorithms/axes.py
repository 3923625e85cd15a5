"""How outputs meet the pixels that they are sums of: shared by the direct algorithms.

A phase is a set of taps that serves the same output rows and columns. forward has one. In grad_input the
taps that reach a row or column of dx depend on its remainder modulo the stride, so there are stride x
stride phases, each a stride-1 convolution of dy with taps of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..core.problem import ConvProblem
from .base import Array


class Geometry(NamedTuple):
    """How outputs meet the copy, for one pass; see direct/pack.pxi."""

    rows: tuple[int, ...]  # r0 rd rm rs c0 cd cm cs oh ow: output row i has base row (i + r0) // rd * rm + rs
    taps: Array  # [nkh, nkw, ro.., co.., off..] a phase
    pos: Array  # place of tap kh * KW + kw in the packed weights
    reach: tuple[int, int]  # smallest and largest ro
    pt: int  # rows of zeros above the image, columns left of it
    pl: int
    split: int  # column phases of the copy, how many are stored, and their length
    nph: int
    wph: int
    rstep: int  # only rows that are multiples of this are read


class Axis(NamedTuple):
    """How outputs of one phase meet the source along one axis."""

    first: int  # output, how many (outs), and the step between them
    outs: int
    every: int
    source: int  # where the first tap of the first output lies
    step: int  # from an output to the next
    dilation: int  # from a tap to the next
    taps: int
    tap: int  # the first, and the step between them
    skip: int


def forward_axis(out: int, k: int, stride: int, pad: int, dilation: int) -> Axis:
    return Axis(0, out, 1, -pad, stride, dilation, k, 0, 1)


def adjoint_axes(size: int, k: int, stride: int, pad: int, dilation: int) -> list[Axis]:
    """The phases of grad_input: x[i] meets y[(i + pad - tap * dilation) / stride] where that is whole."""
    axes = []
    for first in range(min(stride, size)):
        taps = [u for u in reversed(range(k)) if (first + pad - u * dilation) % stride == 0]
        skip = taps[1] - taps[0] if len(taps) > 1 else -1
        source = (first + pad - taps[0] * dilation) // stride if taps else 0
        count = -(-(size - first) // stride)
        apart = -skip * dilation // stride if len(taps) > 1 else 1
        axes.append(Axis(first, count, stride, source, 1, apart, len(taps), (taps or [0])[0], skip))
    return axes


def sides(p: ConvProblem, pass_: str) -> tuple[int, int, int, int]:
    """Channels summed over, output channels (both a group), output rows and columns."""
    if pass_ == "grad_input":
        return p.co // p.g, p.ci // p.g, p.ih, p.iw
    return p.ci // p.g, p.co // p.g, p.oh, p.ow


def source(p: ConvProblem, pass_: str) -> tuple[int, int]:
    """Size of the image that is copied."""
    return (p.oh, p.ow) if pass_ == "grad_input" else (p.ih, p.iw)


def bands(p: ConvProblem, images: int, rows: int, oh: int) -> Iterator[tuple[int, int, int, int]]:
    """(first image, images, first row, last row) of every band of so many images and output rows."""
    for n in range(0, p.n, images):
        for i in range(0, oh, rows):
            yield n, min(images, p.n - n), i, min(i + rows, oh)


def rows_of(geo: Geometry, i0: int, i1: int) -> tuple[int, int]:
    """Padded rows that output rows [i0, i1) read: first, one behind the last."""
    r0, rd, rm, rs = geo.rows[:4]
    return (i0 + r0) // rd * rm + rs + geo.reach[0], (i1 - 1 + r0) // rd * rm + rs + geo.reach[1] + 1


@lru_cache(maxsize=1024)
def geometry(p: ConvProblem, pass_: str, block: int) -> Geometry:
    if pass_ == "grad_input":
        return _adjoint_geometry(p, block)
    split = 1 if pass_ == "grad_weight" and block == 1 else p.sw  # there taps of a kernel row must be neighbours
    nph = 1 if p.kw == 1 else split
    wph = -(-((p.ow - 1) * p.sw + (p.kw - 1) * p.dw + 1) // split)
    ro, co = [u * p.dh for u in range(p.kh)], [v * p.dw for v in range(p.kw)]
    off = [r * nph * wph * block + (c % split * wph + c // split) * block for r in ro for c in co]
    taps = np.array([p.kh, p.kw, *ro, *co, *off], np.intp)
    rows = (0, 1, p.sh, 0, 0, 1, p.sw, 0, p.oh, p.ow)
    rstep = p.sh if p.kh == 1 else 1
    return Geometry(rows, taps, np.arange(p.kh * p.kw), (0, ro[-1]), p.pt, p.pl, split, nph, wph, rstep)


def _adjoint_geometry(p: ConvProblem, block: int) -> Geometry:
    """Row r = i + pt of dx meets row r // sh - u * dh // sh of dy by the taps with u * dh = r modulo sh."""
    pt, pl = (p.kh - 1) * p.dh // p.sh, (p.kw - 1) * p.dw // p.sw
    wph = (p.iw - 1 + p.pl) // p.sw + pl + 1
    table, pos, at = [], np.empty(p.kh * p.kw, np.intp), 0
    for a in range(p.sh):
        for b in range(p.sw):
            us = [u for u in range(p.kh) if u * p.dh % p.sh == a]
            vs = [v for v in range(p.kw) if v * p.dw % p.sw == b]
            ro, co = [-(u * p.dh // p.sh) for u in us], [-(v * p.dw // p.sw) for v in vs]
            table += [len(us), len(vs), *ro, *co, *((r * wph + c) * block for r in ro for c in co)]
            for u in us:
                for v in vs:
                    pos[u * p.kw + v] = at
                    at += 1
    rows = (p.pt, p.sh, 1, pt, p.pl, p.sw, 1, pl, p.ih, p.iw)
    return Geometry(rows, np.array(table, np.intp), pos, (-pt, 0), pt, pl, 1, 1, wph, 1)
