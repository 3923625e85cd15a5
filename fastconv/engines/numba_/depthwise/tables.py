"""Sizes and distances that the steps of `depthwise` work with, all in one array of integers.

It begins with a fixed list of sizes; then come the places of the phases' tables, and the tables: a header, where the
columns of taps read, and where their weights are.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..ground.target import VECTOR_BYTES

#: channels of a group in the source and the destination, groups, images; heights and widths
CS, CD, G, N, SH, SW, DH, DW = range(8)
#: source rows an output row, remainders of source columns; phases of destination rows and columns
STEP, SPLIT, UH, UW = range(8, 12)
#: output rows of a job, jobs of an image and group; rows and columns of the buffer, columns in front of the image
#: and up to its end in whole vectors, source row and column of the first ones
ROWS, BANDS, HEIGHT, WIDTH, LEFT, END, TOP, START = range(12, 20)
#: weights from one destination channel, source channel and group to the next; numbers of scratch memory a thread;
#: whether images come from beyond the second-level cache; partial sums; padding above; the stride at which rows
#: stream by (rows.py), or 0
WD, WS, WG, SHARE, AHEAD, PARTS, PT, STREAM = range(20, 28)
PHASES = 28  # where the places of the tables begin
RUN, COLS, X0, W0, DOWN, AT = range(6)  # a table: kernel rows in a run, columns; first row and weight, weights of a row


def correlation_axis(k, dilation, before):
    """The taps of an axis by growing source position: number, first position and step, first tap and step.

    Output i reads source ``i*stride + tap*dilation - before``.
    """
    return k, -before, dilation, 0, 1


def adjoint_axis(k, stride, dilation, before, phase):
    """The same where output ``i*stride + phase`` reads i + position: the taps on whole strides, last one first."""
    taps = [t for t in range(k - 1, -1, -1) if (phase + before - t * dilation) % stride == 0]
    if not taps:
        return 0, 0, 1, 0, -1
    first, second = ((phase + before - t * dilation) // stride for t in (taps * 2)[:2])
    return len(taps), first, second - first if len(taps) > 1 else 1, taps[0], (taps * 2)[1] - taps[0]


def _arithmetic(n, first, step):
    return [first + i * step for i in range(n)]


def _band_table(f, rows, cols, kw):
    """Columns of kernel rows on neighbouring source rows, or single taps, of all source channels."""
    (rn, row, rstep, rtap, rturn), (cn, col, cstep, ctap, cturn) = rows, cols
    runs = rstep == 1 and rn > 1 and f[STEP] <= 2
    split, width = f[SPLIT], f[WIDTH]
    each = [(c, u) for c in range(f[CS]) for u in range(1 if runs else rn)]
    columns = [divmod(x, split) for x in _arithmetic(cn, col + split * f[LEFT], cstep)]
    at = [((c * f[HEIGHT] + u * rstep) * split + phase) * width + x for c, u in each for x, phase in columns]
    weights = [c * f[WS] + u * rturn * kw + t for c, u in each for t in _arithmetic(cn, ctap, cturn)]
    return [rn if runs else 1, len(at), (row - f[TOP]) * split * width, rtap * kw, rturn * kw, *at, *weights]


def _whole(f, tables):
    places = np.cumsum([PHASES + len(tables), *map(len, tables)])
    return np.array([*f, *places[:-1], *(number for table in tables for number in table)], np.int64)


def _ceil(a, b):
    return -(-a // b)


def _whole_vectors(n, itemsize):
    lanes = VECTOR_BYTES // itemsize
    return _ceil(n, lanes) * lanes


def _beyond_cache(f, itemsize):
    return f[N] * f[G] * (f[CS] * f[SH] * f[SW] + f[CD] * f[DH] * f[DW]) * itemsize > 1 << 20


def _streams(f, taps):
    """The stride at which rows stream by, or 0."""
    if taps != (3, 3, 1, 1, 1) or (f[CS], f[CD]) != (1, 1):
        return 0
    down, across = f[STEP] * f[UH], f[SPLIT] * f[UW]
    return down if down == across == 2 or (down == across == 1 and f[SW] == f[DW]) else 0


def _forward(xs, ws, ys, strides, padding, dilation, g, buffer, start, parts, itemsize):
    """`buffer`: rows, height, left, width, share as algorithms/depthwise.py sets them."""
    (n, _, h, w), (co, cg, kh, kw), (oh, ow) = xs, ws, ys[2:]
    (sh, sw), (pt, pl), (dh, dw), (rows, height, left, width, share) = strides, padding, dilation, buffer
    og = co // g
    end = left + _whole_vectors(_ceil(w, sw), itemsize)
    f = [cg, og, g, n, h, w, oh, ow, sh, sw, 1, 1, rows, _ceil(oh, rows), height, width, left, end, -pt, start,
         cg * kh * kw, kh * kw, og * cg * kh * kw, share, 0, parts, pt, 0]  # fmt: skip
    f[STREAM] = _streams(f, (kh, kw, dh, dw, pl))
    f[AHEAD] = _beyond_cache(f, itemsize)
    return _whole(f, [_band_table(f, correlation_axis(kh, dh, pt), correlation_axis(kw, dw, pl), kw)])


def _backward(ys, ws, xs, strides, padding, dilation, g, buffer, top, start, itemsize):
    """The source is dy; each remainder of dx's rows and columns modulo the stride is a phase."""
    (n, _, oh, ow), (co, cg, kh, kw), (h, w) = ys, ws, xs[2:]
    (sh, sw), (pt, pl), (dh, dw), (rows, height, left, width, share) = strides, padding, dilation, buffer
    og = co // g
    bands, end = _ceil(_ceil(h, sh), rows), left + _whole_vectors(ow, itemsize)
    f = [og, cg, g, n, oh, ow, h, w, 1, 1, sh, sw, rows, bands, height, width, left, end, top, start,
         kh * kw, cg * kh * kw, og * cg * kh * kw, share, 0, 1, pt, 0]  # fmt: skip
    f[STREAM] = _streams(f, (kh, kw, dh, dw, pl))
    f[AHEAD] = _beyond_cache(f, itemsize)
    columns = [adjoint_axis(kw, sw, dw, pl, b) for b in range(sw)]
    return _whole(f, [_band_table(f, adjoint_axis(kh, sh, dh, pt, a), c, kw) for a in range(sh) for c in columns])


@lru_cache(1024)
def forward_bands(xs, ws, ys, strides, padding, dilation, g, buffer, parts, itemsize):
    """Forward, or grad_weight in so many partial sums, by bands of rows."""
    return _forward(xs, ws, ys, strides, padding, dilation, g, buffer, 0, parts, itemsize)


@lru_cache(1024)
def backward_bands(ys, ws, xs, strides, padding, dilation, g, buffer, top, itemsize):
    """grad_input by bands of rows, whose buffer begins `top` rows below the first row they write to."""
    return _backward(ys, ws, xs, strides, padding, dilation, g, buffer, top, 0, itemsize)
