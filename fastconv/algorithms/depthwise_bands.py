"""How `depthwise` cuts planes into bands of rows: sizes of the buffer, places of the taps, calls of the steps.

Where rows stream by, a band has no buffer.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.problem import ConvProblem
from ..engines.records import DepthwiseBands, DepthwisePhase, DepthwiseRows, pack
from .axes import Axis, adjoint_axes, forward_axis, sides, source
from .base import Array

if TYPE_CHECKING:
    from ..engines.kernels import Kernels

TALL = 14  # most rows of a block, in any engine
_LINE = 64  # bytes of the widest vector, and of a cache line
_CACHE = 48 << 10  # bytes of a buffer that stays close to the core
_AHEAD = 1 << 20  # bytes of images that come from beyond the second cache


class Bands(NamedTuple):
    """How a pass is cut: see `DepthwiseBands` and `DepthwiseRows`."""

    rows: int
    lines: int
    left: int
    line: int
    top: int
    share: int
    parts: int


class Tables(NamedTuple):
    """What steps on the buffer take beside their arrays, as arrays of intp."""

    record: Array
    phases: Array
    places: Array


def streams(p: ConvProblem) -> bool:
    """Whether rows stream by: 3x3, and the left column of a window in the padding."""
    taps = (p.kh, p.kw, p.dh, p.dw, p.pl) == (3, 3, 1, 1, 1) and p.g == p.ci == p.co
    return taps and ((p.sh, p.sw, p.ow) == (1, 1, p.iw) or (p.sh, p.sw) == (2, 2))


def bands(p: ConvProblem, pass_: str, threads: int) -> Bands:
    line, (channels, _, out_rows, out_cols) = _LINE // p.itemsize, sides(p, pass_)
    if pass_ == "grad_input":  # dy is the source, dx the destination
        step, split, width = 1, 1, p.ow
        first, last = (p.pt - (p.kh - 1) * p.dh) // p.sh, (p.pt + p.sh - 1) // p.sh
        start, end = (p.pl - (p.kw - 1) * p.dw) // p.sw, (p.pl + p.sw - 1) // p.sw
        out_rows, out_cols = -(-p.ih // p.sh), -(-p.iw // p.sw)
    else:
        step, split, width = p.sh, p.sw, p.iw
        first, last = -p.pt, (p.kh - 1) * p.dh - p.pt
        start, end = -p.pl // p.sw, ((p.kw - 1) * p.dw - p.pl) // p.sw
    left = _up(max(0, -start), line)
    columns = left + max(_up(-(-width // split), line), _up(_up(out_cols, line) + max(0, end), line))
    columns += line if columns // line % 2 == 0 else 0  # an odd number of lines: rows do not share cache sets
    row_bytes = split * columns * p.itemsize * channels
    room = _CACHE * (2 if channels > 1 else 1)
    rows = max(room // (row_bytes * step), 2 * (last - first) // step, TALL)
    groups = p.g if pass_ == "grad_weight" else p.n * p.g
    if pass_ != "grad_weight" and groups < 4 * threads and threads > 1:  # few planes: bands give work to all
        rows = min(rows, max(TALL, -(-out_rows * groups // (4 * threads))))
    number = -(-out_rows // min(rows, out_rows))
    rows = min(_up(-(-out_rows // number), TALL), out_rows)
    number = -(-out_rows // rows)
    lines = (rows - 1) * step + last - first + 1
    parts = 1
    if pass_ == "grad_weight" and p.g < 4 * threads and threads > 1:
        parts = max(1, min(-(-4 * threads // p.g), p.n * number))
    share = (channels * lines + TALL * step) * split * columns
    if pass_ == "grad_weight":
        share += (p.co // p.g) * (p.ci // p.g) * p.kh * p.kw * line
    elif pass_ == "grad_input" and p.sw > 1:
        share += p.sw * TALL * line
    return Bands(rows, lines, left, columns, first, _up(share, line), parts)


def scratch(p: ConvProblem, pass_: str, cfg: Bands) -> int:
    """Numbers of scratch memory a thread."""
    return 0 if streams(p) else cfg.share


def sums(p: ConvProblem, cfg: Bands) -> int:
    """Numbers of partial sums, one for every part."""
    return cfg.parts * prod(p.w_shape) if cfg.parts > 1 else 0


@lru_cache(maxsize=1024)
def rows_record(p: ConvProblem, pass_: str, cfg: Bands) -> Array:
    back, (_, _, oh, ow) = pass_ == "grad_input", sides(p, pass_)
    spread, turned = int(back and p.sh == 2), int(back and p.sh == 1)
    top, number = -p.pt if spread else cfg.top, -(-oh // (cfg.rows << spread))
    h, w = source(p, pass_)
    return pack(DepthwiseRows(p.n, p.g, h, w, oh, ow, p.sh, top, spread, turned, cfg.rows, number, cfg.parts))


@lru_cache(maxsize=1024)
def tables(p: ConvProblem, pass_: str, cfg: Bands) -> Tables:
    back, (channels, outputs, oh, ow), (h, w) = pass_ == "grad_input", sides(p, pass_), source(p, pass_)
    if back:
        v, z = adjoint_axes(oh, p.kh, p.sh, p.pt, p.dh), adjoint_axes(ow, p.kw, p.sw, p.pl, p.dw)
        step, split = 1, 1
    else:
        v, z = [forward_axis(oh, p.kh, p.sh, p.pt, p.dh)], [forward_axis(ow, p.kw, p.sw, p.pl, p.dw)]
        step, split = p.sh, p.sw
    taps, weights = p.kh * p.kw, p.ci // p.g * p.kh * p.kw  # of a channel of w, of an output
    record = DepthwiseBands(
        p.n, p.g, channels, outputs, h, w, oh, ow, step, split, len(v), len(z),
        output=taps if back else weights, group=p.co // p.g * weights, rows=cfg.rows,
        bands=-(-v[0].outs // cfg.rows), lines=cfg.lines, line=cfg.line, left=cfg.left, top=cfg.top, parts=cfg.parts,
        ahead=int((prod(p.x_shape) + prod(p.y_shape)) * p.itemsize > _AHEAD), share=cfg.share,
    )  # fmt: skip
    phases: list[DepthwisePhase] = []
    places: list[int] = []
    for a, b in product(v, z):
        phase, found = _phase(record, a, b, p.kw, weights if back else taps, len(places))
        phases.append(phase)
        places += found
    return Tables(pack(record), np.array(phases, np.intp), np.array(places, np.intp))


def _phase(r: DepthwiseBands, v: Axis, z: Axis, kw: int, channel: int, start: int) -> tuple[DepthwisePhase, list[int]]:
    """A phase of rows v and columns z, with its part of the table; channel: weights from one of the source to the next.

    Columns of kernel rows on neighbouring source rows, or single taps, of all source channels.
    """
    run = v.taps if v.dilation == 1 and v.taps > 1 and r.step <= 2 else 1
    each = [(c, u) for c in range(r.channels) for u in range(v.taps // run)]
    columns = [divmod(z.source + t * z.dilation + r.split * r.left, r.split) for t in range(z.taps)]
    at = [((c * r.lines + u * v.dilation) * r.split + q) * r.line + x for c, u in each for x, q in columns]
    weights = [c * channel + u * v.skip * kw + z.tap + t * z.skip for c, u in each for t in range(z.taps)]
    corner = (v.source - r.top) * r.split * r.line
    return DepthwisePhase(run, len(at), start, corner, v.tap * kw, v.skip * kw), at + weights


def products(
    p: ConvProblem,
    pass_: str,
    cfg: Bands,
    steps: Kernels,
    x: Array,
    w: Array,
    bias: Array,
    y: Array,
    work: Array,
    threads: int,
) -> None:
    """y = conv(x) + bias, which may be empty; or, in grad_input, dx of dy."""
    if streams(p):
        steps.depthwise_rows(x, w, bias, y, rows_record(p, pass_, cfg), threads)
    else:
        steps.depthwise_bands(x, w, bias, y, *tables(p, pass_, cfg), work, threads)


def weight_sums(
    p: ConvProblem, cfg: Bands, steps: Kernels, dy: Array, x: Array, dw: Array, work: Array, threads: int
) -> None:
    """dw, parts added in their order."""
    pass_ = "grad_weight"
    total, own = dw.reshape(-1), threads * scratch(p, pass_, cfg)
    found = work[own : own + sums(p, cfg)] if cfg.parts > 1 else total
    if streams(p):
        steps.depthwise_rows_sums(dy, x, found, rows_record(p, pass_, cfg), threads)
    else:
        steps.depthwise_bands_sums(dy, x, found, *tables(p, pass_, cfg), work[:own], threads)
    if cfg.parts > 1:
        first, *others = found.reshape(cfg.parts, -1)
        total[...] = first
        for part in others:
            total += part


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
