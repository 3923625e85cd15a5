"""Channel-wise convolution of arrays whose channels lie last: lanes are channels, rows are read in place.

A block of outputs of one vector of channels stays in registers while the pixels of its window stream by, so
stride, dilation and padding cost nothing but the pixels they skip. grad_input is the same kernel on dy, one phase
for each remainder of the rows and columns modulo the stride. Where a channel feeds several outputs (a channel
multiplier), a band of the source is repeated into scratch memory first, and gradients are added from it.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from ..engines.records import DepthwiseAxis, DepthwiseLast, pack
from .base import Array, Cost, Rates, plain_bound

_LINE = 64  # bytes of a cache line
_NEAR = 3 << 18  # bytes that stay in a core's own cache
_FAR = 8 << 20  # bytes of arrays that come from beyond the caches
_ROWS = 6  # of outputs that a band should have, at least
_CHUNK = 8  # vectors of channels of a job
# Fitted to 3x3 at strides 1 and 2, 5x5 and 7x7 at batch 1, AVX-512, one thread: time as a multiple of what the products
# alone take, and what an output and a pixel of the source cost beside their products, in products
_SLOWNESS, _OUTPUT, _SOURCE = 1.9, 10.0, 4.0
_TURN = 25e-12  # seconds of a byte of planes, there and back


class LastConfig(NamedTuple):
    """How a pass is cut: see `DepthwiseLast`."""

    rows: int
    chunk: int
    parts: int
    lanes: int
    planes: int = 0


class Tables(NamedTuple):
    """What a step takes beside its arrays, as arrays of intp."""

    record: Array
    axes: Array
    order: Array  # place of a tap among the packed weights


def serves(p: ConvProblem) -> bool:
    """Whether every output sums a single input channel."""
    return p.g == p.ci and p.co % p.ci == 0


def configure(p: ConvProblem, pass_: str, threads: int, vector_bytes: int) -> LastConfig:
    lanes = vector_bytes // p.itemsize
    vectors, back, multiplied = -(-p.co // lanes), pass_ == "grad_input", p.co > p.ci
    outputs = -(-p.ih // p.sh) if back else p.oh
    bands = threads // gcd(p.n, threads)
    few = _bytes(p) < threads * _NEAR or outputs < _ROWS * bands  # a thread's pixels stay in its cache, or few rows
    if few and not multiplied and vectors >= threads > 1:
        return LastConfig(outputs, -(-vectors // threads) if vectors < _CHUNK * threads else _CHUNK, 1, lanes)
    rows = -(-outputs // bands)
    if multiplied:  # a band of every lane lies in scratch memory
        line = max(p.ow, p.iw) * p.co * p.itemsize * p.sh
        rows = min(rows, max(_ROWS, _NEAR // 4 // line))
    parts = min(threads, p.n * -(-outputs // rows)) if pass_ == "grad_weight" else 1
    return LastConfig(rows, vectors, parts, lanes)


def configure_planes(p: ConvProblem, pass_: str, threads: int, vector_bytes: int) -> LastConfig | None:
    """A job is a vector of channels of one image, as (n, c, h, w) has them; None if that does not keep all busy."""
    lanes = vector_bytes // p.itemsize
    vectors, outputs = -(-p.co // lanes), -(-p.ih // p.sh) if pass_ == "grad_input" else p.oh
    if not (p.g == p.ci == p.co and p.co >= lanes and vectors * p.n >= threads):
        return None
    parts = min(p.n, -(-threads // vectors)) if pass_ == "grad_weight" else 1
    return LastConfig(outputs, 1, parts, lanes, 1)


def _bytes(p: ConvProblem) -> int:
    return (p.n * p.ih * p.iw * p.ci + p.n * p.oh * p.ow * p.co) * p.itemsize


def _axis(pass_: str, size: int, out: int, k: int, stride: int, pad: int, dilation: int) -> list[Any]:
    """(axis, its taps in the order of the source) for every phase; ``size`` of x and ``out`` of y."""
    if pass_ != "grad_input":
        return [(DepthwiseAxis(out, 0, 1, -pad, stride, k, dilation), range(k))]
    found = []
    for a in range(stride):
        taps = [u for u in reversed(range(k)) if (a + pad - u * dilation) % stride == 0]
        source = (a + pad - taps[0] * dilation) // stride if taps else 0
        outputs = max(0, -(-(size - a) // stride))
        found.append((DepthwiseAxis(outputs, a, stride, source, 1, len(taps), dilation // gcd(stride, dilation)), taps))
    return found


def _span(axes: list[Any], rows: int, height: int) -> int:
    """Most source rows that a band meets."""
    first = min(a.source for a, _ in axes)
    last = max(a.source + (rows - 1) * a.step + max(0, a.taps - 1) * a.dilation for a, _ in axes)
    return int(max(1, min(height, last - first + 1)))


@lru_cache(maxsize=1024)
def tables(p: ConvProblem, pass_: str, cfg: LastConfig) -> Tables:
    v = _axis(pass_, p.ih, p.oh, p.kh, p.sh, p.pt, p.dh)
    h = _axis(pass_, p.iw, p.ow, p.kw, p.sw, p.pl, p.dw)
    order = np.empty(p.kh * p.kw, np.intp)
    places = [u * p.kw + t for _, us in v for _, ts in h for u in us for t in ts]
    order[places] = np.arange(p.kh * p.kw)
    back = pass_ == "grad_input"
    m, source, out = p.co // p.ci, (p.ih, p.iw), (p.oh, p.ow)
    repeat, fold = (1, m) if back else (m, 1)
    if back:
        source, out = out, source
    pixel, line = (cfg.lanes if cfg.planes else p.co), _LINE // p.itemsize
    room = _up(_span(v, cfg.rows, source[0]) * source[1] * pixel if repeat > 1 or cfg.planes else 0, line)
    result = min(cfg.rows * (p.sh if back else 1), out[0]) * out[1] * pixel if fold > 1 or cfg.planes else 0
    weights = cfg.chunk * p.kh * p.kw * cfg.lanes if pass_ != "grad_weight" else 0
    record = DepthwiseLast(
        p.n, p.co, pixel, cfg.planes, repeat, fold, *source, *out, len(v), len(h), p.kh * p.kw, cfg.rows, cfg.chunk,
        cfg.parts, int(_bytes(p) > _FAR and not cfg.planes), room, _up(room + result + weights, line),
    )  # fmt: skip
    return Tables(pack(record), np.array([a for a, _ in v + h], np.intp), order)


def workspace(p: ConvProblem, pass_: str, cfg: LastConfig, threads: int) -> int:
    """Bytes of scratch memory."""
    share = int(tables(p, pass_, cfg).record[-1])
    sums = cfg.parts * _packed(p, cfg) if pass_ == "grad_weight" else 0
    return (threads * share + sums) * p.itemsize


def _packed(p: ConvProblem, cfg: LastConfig) -> int:
    """Numbers of all weights, whole vectors of channels."""
    return -(-p.co // cfg.lanes) * cfg.lanes * p.kh * p.kw


def error_bound(p: ConvProblem, pass_: str) -> float:
    """grad_weight sums the pixels of a tile in registers, then the tiles."""
    if pass_ != "grad_weight":
        return plain_bound(p, pass_)
    tiles = p.n * -(-p.oh // 4) * -(-p.ow // 4)
    return plain_bound(p, pass_, max(1, p.n * p.oh * p.ow // tiles))


def cost(p: ConvProblem, pass_: str, cfg: LastConfig, threads: int, rates: Rates) -> Cost:
    """Products at a part of the FMA rate, or the arrays at copy speed, whichever takes longer; turning of planes."""
    flops, moved = nominal_flops(p), compulsory_bytes(p)
    pixels = p.ih * p.iw / (p.oh * p.ow)  # of x, for each of y
    out, source = (pixels, 1.0) if pass_ == "grad_input" else (1.0, pixels)
    slowness = _SLOWNESS + (_OUTPUT * out + _SOURCE * source) / (p.kh * p.kw)
    waste = -(-p.co // cfg.lanes) * cfg.lanes / p.co
    busy = flops * slowness * waste / (rates.fma_gflops * 1e9 * threads) + cfg.planes * moved * _TURN / threads
    bandwidth = rates.copy_gbs if threads == 1 else rates.copy_gbs_all
    arrives = moved / (2e9 * bandwidth) * min(1.0, moved / (threads * _NEAR))
    return Cost(flops, moved, max(busy, arrives) + (rates.launch_us * 1e-6 if threads > 1 else 0.0))


def prepare(p: ConvProblem, cfg: LastConfig, steps: Any, w: Array) -> Array:
    """Weights as `forward` takes them."""
    packed = np.empty(_packed(p, cfg), p.dtype)
    steps.depthwise_last_pack(w, packed, *tables(p, "forward", cfg), 1)
    return packed


def forward(
    p: ConvProblem,
    cfg: LastConfig,
    steps: Any,
    x: Array,
    w: Array,
    bias: Array | None,
    y: Array,
    work: Array,
    threads: int,
    packed: Array | None = None,
    residual: Array | None = None,
    code: int = 0,
) -> None:
    """y (n, oh, ow, co) = activation(conv(x (n, h, w, ci)) + bias + residual); code: see `base.Epilogue`."""
    t = tables(p, "forward", cfg)
    steps.depthwise_last_forward(x, w, packed, bias, residual, y, *t, code, work, threads)


def grad_input(
    p: ConvProblem, cfg: LastConfig, steps: Any, dy: Array, w: Array, dx: Array, work: Array, threads: int
) -> None:
    """dx (n, h, w, ci) of dy (n, oh, ow, co)."""
    steps.depthwise_last_forward(dy, w, None, None, None, dx, *tables(p, "grad_input", cfg), 0, work, threads)


def grad_weight(
    p: ConvProblem, cfg: LastConfig, steps: Any, dy: Array, x: Array, dw: Array, work: Array, threads: int
) -> None:
    """dw (co, 1, kh, kw) of dy (n, oh, ow, co) and x (n, h, w, ci)."""
    steps.depthwise_last_grad_weight(dy, x, dw, *tables(p, "grad_weight", cfg), work, threads)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
