"""Channel-wise steps for small maps, lanes = channels: planes are transposed into one zero-padded map of vectors.

A row shorter than a vector wastes nothing so, and any stride or dilation is a fixed distance.
"""

from __future__ import annotations

from ..ground import vector as v
from ..ground.launch import shared_step
from ..ground.memory import clear_vectors, local
from ..ground.target import VECTOR_BYTES
from ..ground.transpose import load_block
from . import tables as at
from .blocks import HALF, TALL, filter_pixels, gather_pixels
from .steps import _claim as claim
from .steps import fetch
from .tables import backward_maps, forward_maps

_SQUARE = 16 * 16  # numbers of a transposed block
_LINES = 64 // VECTOR_BYTES


def depthwise_map_forward(x, w, bias, y, sh, sw, pt, pl, dh, dw, height, width, share, work, threads):
    """x, w (C, 1, KH, KW), bias (C, or empty) IN; y OUT; work WORK. At least as many channels as lanes."""
    f = forward_maps(x.shape, w.shape, y.shape, (sh, sw), (pt, pl), (dh, dw), height, width, share, x.itemsize)
    _filter(x, w, bias, y, f, work, threads)


def depthwise_map_grad_input(dy, w, dx, sh, sw, pt, pl, dh, dw, first, start, height, width, share, work, threads):
    """dy, w IN; dx OUT; work WORK. The map begins at row `first` and column `start` of dy."""
    f = backward_maps(dy.shape, w.shape, dx.shape, (sh, sw), (pt, pl), (dh, dw), first, start, height, width, share,
                      dy.itemsize)  # fmt: skip
    _filter(dy, w, work[:0], dx, f, work, threads)


def depthwise_map_grad_weight(dy, x, dw_, sh, sw, pt, pl, dh, dw, height, width, share, work, threads):
    """dy, x IN; dw_ OUT; work WORK. A thread owns blocks of channels."""
    f = forward_maps(x.shape, dw_.shape, dy.shape, (sh, sw), (pt, pl), (dh, dw), height, width, share, x.itemsize)
    _sums(dy, x, dw_, f, work, threads)


@shared_step("y", "work")
def _filter(x, w, bias, y, f, work, share, shares):
    """A job: `lanes` channels of one image; the last block of channels steps back."""
    L, C, taps, weights = v.lanes(x), v.at(f, at.G), v.at(f, at.WD), share * v.at(f, at.SHARE)
    h, wd, dh, dw = v.at(f, at.SH), v.at(f, at.SW), v.at(f, at.DH), v.at(f, at.DW)
    uh, uw = v.at(f, at.UH), v.at(f, at.UW)
    width, step_h, step_w = v.at(f, at.WIDTH) * L, v.at(f, at.STEP), v.at(f, at.SPLIT)
    out = weights + taps * L
    source = out + (dh * dw + TALL * uw + L) * L
    corner = source - v.at(f, at.TOP) * width - v.at(f, at.START) * L  # pixel 0, 0
    blocks, steps = (C + L - 1) // L, (dh + uh - 1) // uh
    lines_x, lines_y = h * wd // (_LINES * steps) + 1, dh * dw // (_LINES * steps) + 1
    jobs = v.at(f, at.N) * blocks
    clear_vectors(work, source, source + v.at(f, at.HEIGHT) * width)  # what lies around the maps stays zero
    for job in range(jobs * share // shares, jobs * (share + 1) // shares):
        c = min(job % blocks * L, C - L)
        image = job // blocks * C + c
        for lane in range(L):
            for i in range(taps):
                v.put(work, weights + i * L + lane, v.at(w, (c + lane) * taps + i))
        start = v.load(bias, c) if bias.size else v.zero(y)
        _transpose_in(x, image * h * wd, h * wd, work, corner, wd, width)
        for k in range(steps):
            if v.at(f, at.AHEAD):
                fetch(x, (image + L) * h * wd + k * lines_x * L * _LINES, lines_x)
                claim(y, (image + L) * dh * dw + k * lines_y * L * _LINES, lines_y)
            for a in range(min(uh, dh - k * uh)):
                for b in range(min(uw, dw)):
                    t, n, m = v.at(f, at.PHASES + a * uw + b), (dw - b + uw - 1) // uw, 0
                    row = out + ((k * uh + a) * dw + b) * L
                    while m < n:  # what lies behind the row is overwritten by the next one
                        P = TALL if n - m > HALF else HALF
                        filter_pixels(P, work, source + k * step_h * width + m * step_w * L, step_w * L, f, t + at.AT,
                                      v.at(f, t + at.COLS), weights, work, row + m * uw * L, uw * L, start)  # fmt: skip
                        m += P
        _transpose_out(work, out, y, image * dh * dw, dh * dw)


@shared_step("dw", "work")
def _sums(dy, x, dw, f, work, share, shares):
    """A job: the weights of `lanes` channels, summed over all images."""
    L, C, taps, sums = v.lanes(x), v.at(f, at.G), v.at(f, at.WD), share * v.at(f, at.SHARE)
    h, w, oh, ow, t = v.at(f, at.SH), v.at(f, at.SW), v.at(f, at.DH), v.at(f, at.DW), v.at(f, at.PHASES)
    width, step_h, step_w = v.at(f, at.WIDTH) * L, v.at(f, at.STEP), v.at(f, at.SPLIT)
    g = sums + taps * L
    source = g + (oh * ow + L) * L
    corner = source - v.at(f, at.TOP) * width - v.at(f, at.START) * L  # pixel 0, 0
    blocks = (C + L - 1) // L
    lines_x, lines_y = h * w // (_LINES * oh) + 1, ow // _LINES + 1
    clear_vectors(work, source, source + v.at(f, at.HEIGHT) * width)  # what lies around the maps stays zero
    for job in range(blocks * share // shares, blocks * (share + 1) // shares):
        c = min(job * L, C - L)
        clear_vectors(work, sums, g)
        for n in range(v.at(f, at.N)):
            _transpose_in(x, (n * C + c) * h * w, h * w, work, corner, w, width)
            _transpose_in(dy, (n * C + c) * oh * ow, oh * ow, work, g, ow, ow * L)
            following = min((job + 1) * L, C - L) if n + 1 == v.at(f, at.N) else c + C * (n + 1)
            for k in range(oh):
                if v.at(f, at.AHEAD):
                    fetch(x, following * h * w + k * lines_x * L * _LINES, lines_x)
                    fetch(dy, following * oh * ow + k * lines_y * L * _LINES, lines_y)
                m = 0
                while m < ow:
                    P = TALL if ow - m >= TALL else HALF if ow - m >= HALF else 1
                    gather_pixels(P, work, source + k * step_h * width + m * step_w * L, step_w * L, f, t + at.AT,
                                  v.at(f, t + at.COLS), g + (k * ow + m) * L, sums)  # fmt: skip
                    m += P
        for j in range(taps):
            for lane in range(L):
                v.put(dw, (c + lane) * taps + j, v.at(work, sums + j * L + lane))


@v.inline
def _transpose_in(x, i, plane, d, o, w, width):
    """`lanes` planes into a map of vectors, rows of w pixels into rows of `width` numbers."""
    L, tile = v.lanes(x), local(x, _SQUARE)
    n, row, col = min(plane, L), 0, 0
    for p in range(0, plane, L):
        first = max(min(p, plane - L), 0)  # the last piece steps back
        v.store_rows(tile, 0, L, v.transpose(load_block(x, i + first, plane, L, n)), L, L)
        row, col = first // w, first % w
        for lane in range(n):
            v.store(d, o + row * width + col * L, v.load(tile, lane * L))
            col += 1
            if col == w:
                row, col = row + 1, 0


@v.inline
def _transpose_out(s, i, y, o, plane):
    """A map of vectors into `lanes` planes."""
    L = v.lanes(y)
    n = min(plane, L)
    for p in range(0, plane, L):
        first = max(min(p, plane - L), 0)
        v.store_rows(y, o + first, plane, v.transpose(v.load_rows(s, i + first * L, L, L, L)), L, n)
