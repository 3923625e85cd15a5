"""Direct convolution: an outer-product microkernel on a channel-blocked copy of the input.

DIRECT_TILE pixels x 2 vectors of output channels stay in registers while all taps and channels stream by
(Georganas et al., "Anatomy of high-performance deep learning convolutions on SIMD architectures", 2018;
Zhang, Franchetti and Low, "High performance zero-memory overhead direct convolutions", 2018). The copy
interleaves LANES channels and splits columns by stride phase, so that the pixels of a block are
neighbours for any stride, and every broadcast is a fixed displacement from one pointer.

grad_input is the same loop on dy, phase by phase (axes.py). grad_weight sums over pixels, lanes again
output channels, whose dy is transposed strip by strip. 1x1 kernels without padding read the image in place,
with strides up to 2; in their grad_weight whichever side has fewer channels is the one that is transposed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.flops import compulsory_bytes, valid_tap_flops
from ..core.problem import ConvProblem
from .axes import Geometry, bands, geometry, rows_of, sides, source
from .base import Array, Backend, Cost, Rates, plain_bound

_L1 = 24 << 10  # bytes of first-level cache for one buffer
_BAND = 512 << 10  # bytes of the copy at a time and thread: what is packed is still in L2 when it is used
_JIT_BAND = 32 << 20  # the same where weights are packed anew for every band
_PANEL = 1 << 20  # weights beyond this are packed panel by panel, just before use
SMALL = 1 << 13  # weights that one thread packs or adds up sooner than two begin
_OWN = 768 << 10  # bytes of a panel that stay in a core's own cache
_WHOLE_ROWS = 3, 5, 7, 11  # taps of kernel rows that grad_weight of few channels takes at once
_SHARES = 4 << 20  # bytes of sums of all threads; beyond it threads split the outputs, and share what they read
_ALIAS = 80  # numbers between planes: no two at the same 4 KB offset


class Blocks(NamedTuple):
    """Block sizes of one pass."""

    block: int  # channels a block of the copy
    nv: int  # vectors of outputs in a register block
    rows: int  # output rows a strip
    jit: int  # 1: a thread packs a panel of weights just before it uses it
    images: int  # images a band
    band: int  # output rows a band
    splits: int  # shares of a panel (grad_weight)
    groups: int  # groups taken together
    own: int = 0  # 1: threads split the pixels and have sums of their own (grad_weight)


class Direct(Backend):
    """Register-blocked loops over a packed copy."""

    algorithm = "direct_plain"
    adds_bias = True

    def refuse(self, p: ConvProblem, pass_: str) -> str | None:
        if p.g > 1 and min(p.ci, p.co) // p.g < 8:
            return f"groups of {p.ci // p.g} to {p.co // p.g} channels leave the lanes empty"
        return None

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Blocks:
        lanes, tile = self._lanes(p), 14 if self.vector_bytes == 64 else 6
        c, outputs, oh, ow = self._sides(p, pass_)
        block = 1 if 2 * c < lanes or (p.kh == p.kw == 1 and self._in_place(p, pass_, 1)) else lanes
        width = min(-(-ow // -(-ow // tile)), tile)  # pixels a register block, evenly split
        nv = 4 if tile == 14 and width <= 7 and outputs > 2 * lanes and pass_ != "grad_weight" else 2
        panels, weights = -(-outputs // (nv * lanes)), c * p.kh * p.kw * outputs * p.itemsize
        room = _L1 if pass_ != "grad_weight" else 2 * _L1  # there sums are fetched and put back for every strip
        rows = min(max(room // (nv * lanes * p.itemsize * ow), 1), oh)
        jit = int(weights > _PANEL and panels >= 2 * threads)
        if pass_ != "grad_weight" and not jit:  # enough strips for all threads
            rows = min(rows, max(1, -(-oh * p.n * p.g * panels // (4 * threads))))
        image = self._plane(p, pass_, block, 0, oh) * -(-c // block) * p.itemsize
        room = _JIT_BAND if jit else _BAND * threads
        groups = 1 if jit else min(max(room // image, 1), p.g)
        images = min(max(room // (image * groups), 1), p.n)
        band = oh if image <= 2 * room else max(rows, oh * room // image // rows * rows)
        if self._in_place(p, pass_, block):
            images, band = p.n, oh
        splits, own = 1, 0
        if pass_ == "grad_weight":
            size = panels * 2 * lanes * -(-c // block) * block * p.kh * p.kw * groups * p.itemsize
            own = int(1 < threads <= min(images * band, _SHARES // size))
            tasks, each = panels * groups, 1 if block == 1 else 2  # every share transposes dy for itself
            splits = min(-(-c // block) * p.kh, -(-each * threads // tasks)) if tasks < threads and not own else 1
        return Blocks(block, nv, rows, jit, images, band, splits, groups, own)

    def workspace(self, p: ConvProblem, pass_: str, cfg: Blocks, threads: int) -> int:
        return self._layout(p, pass_, cfg, threads)[-1] * p.itemsize

    def cost(self, p: ConvProblem, pass_: str, cfg: Blocks, threads: int, rates: Rates) -> Cost:
        lanes = self._lanes(p)
        c, outputs, oh, ow = self._sides(p, pass_)
        width = lanes if pass_ != "grad_weight" else 2 * lanes  # a last panel of few outputs takes fewer vectors
        waste = -(-outputs // width) * width / outputs
        flops = valid_tap_flops(p) * waste
        nv = min(cfg.nv, -(-outputs // lanes))
        tile = -(-ow // -(-ow // (28 // max(nv, 2))))
        rate = 0.92 * min(1.0, (0.3 + 0.1 * tile * nv) if pass_ != "grad_weight" else 0.93)
        if nv == 1 and pass_ != "grad_weight":  # a pixel is fetched for every multiply-add
            rate *= 0.7
        if cfg.block == 1 and pass_ != "grad_weight" and p.kh * p.kw > 1:  # offsets of taps and channels are fetched
            rate *= tile * nv / (tile * nv + 2)
        if (p.kh - 1) * p.dh >= p.ih:  # a block meets taps that only some of its pixels need
            rate *= 0.75 if p.dh == 1 else 0.5
        if cfg.block == 1 and pass_ == "grad_weight":  # whole kernel rows, or pairs of a channel and a tap
            rate *= 1 if outputs > lanes else 1.8  # beside two vectors, or one
            if p.kw not in _WHOLE_ROWS or p.dw > 1:
                pairs, most = c * p.kh * p.kw, 14 if outputs > lanes else 28
                rate *= pairs / (-(-pairs // most) * most)
        h, w = source(p, pass_)
        pixels, sink = p.n * p.g * c * h * w, float(p.n * p.g * outputs * oh * ow)
        if self._in_place(p, pass_, cfg.block):  # products wait for nothing but results
            pixels, sink = 0, sink * (1.4 if p.kh * p.kw == 1 else 1.0)
        weights = p.co * (p.ci // p.g) * p.kh * p.kw
        if pass_ == "grad_weight":
            sink = p.n * p.co * p.oh * p.ow * cfg.splits
        if self._plain_product(p, pass_):
            sink = p.n * p.g * oh * ow * (2 * outputs * cfg.splits + c) // 2
        moved = 2 * (pixels + sink + 1.5 * weights) * p.itemsize
        seconds = flops / (rate * rates.fma_gflops * 1e9 * threads) + moved / (2.2 * rates.copy_gbs * 1e9 * threads)
        phases = p.sh * p.sw if pass_ == "grad_input" else 1
        if pass_ != "grad_weight" and c * p.kh * p.kw * nv * lanes * p.itemsize > _OWN * phases:
            streamed = flops / (2 * tile) * p.itemsize  # weights come from the shared cache for every register block
            seconds += streamed / (6 * rates.copy_gbs * 1e9 * threads)
        launches = -(-p.g // cfg.groups) * (-(-p.n // cfg.images) * -(-oh // cfg.band) * 2 + 1)
        each = rates.launch_us if threads > 1 else 2.5
        return Cost(flops, compulsory_bytes(p) + moved, seconds + launches * each * 1e-6)

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        rate = 0.92 if pass_ != "grad_weight" else 0.92 * 0.93 * 1.8
        return valid_tap_flops(p) / (rate * rates.fma_gflops * 1e9 * threads)

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        """grad_weight sums the pixels of a strip, then the strips."""
        if pass_ != "grad_weight":
            return plain_bound(p, pass_)
        return plain_bound(p, pass_, self.configure(p, pass_, 1).rows * p.ow)

    def prepare(self, p: ConvProblem, cfg: Blocks, w: Array) -> Any:
        c, outputs, _, _ = sides(p, "forward")
        lanes = self._lanes(p)
        panels = -(-outputs // (cfg.nv * lanes))
        raw = np.empty(p.g * panels * p.kh * p.kw * c * cfg.nv * lanes + 16, w.dtype)
        start = -raw.ctypes.data % 64 // p.itemsize
        packed = raw[start : start + raw.size - 16].reshape(p.g, -1)
        geo = geometry(p, "forward", cfg.block)
        self._pack_weights(p, cfg, geo, w, 0, p.g, packed, packed, 0, 1, False)
        return packed

    def forward(
        self, p: ConvProblem, cfg: Blocks, x: Array, w: Array, bias: Array | None, y: Array, work: Array, threads: int,
        packed: Any = None,
    ) -> None:  # fmt: skip
        self._products(p, "forward", cfg, x, w, bias, y, work, threads, packed)

    def grad_input(
        self, p: ConvProblem, cfg: Blocks, dy: Array, w: Array, dx: Array, work: Array, threads: int
    ) -> None:
        self._products(p, "grad_input", cfg, dy, w, None, dx, work, threads, None)

    def grad_weight(
        self, p: ConvProblem, cfg: Blocks, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        steps, geo = self.steps(p.dtype), geometry(p, "grad_weight", cfg.block)
        c, outputs, oh, ow = sides(p, "grad_weight")
        at_sums, at_rows, _, _ = self._layout(p, "grad_weight", cfg, threads)
        copy, sums, rows = work[:at_sums], work[at_sums:at_rows], work[at_rows:]
        step = cfg.block * (p.sw if geo.split == 1 else 1)
        swapped = self._plain_product(p, "grad_weight") and c <= outputs
        shares = threads if cfg.own else 1
        size = (at_rows - at_sums) // shares
        for g in range(0, p.g, cfg.groups):
            ng = min(cfg.groups, p.g - g)
            for k, (n0, nb, i0, i1) in enumerate(bands(p, cfg.images, cfg.band, oh)):
                if swapped:
                    lanes, first, count, read = x, g * c, c, (ow, p.sh, p.sw)
                    pixels, taken = dy.reshape(-1)[g * outputs * oh * ow :], (1, 1, 1)
                    layout: tuple[int, ...] = (p.co * oh * ow, oh * ow, ow, 0, 0, 0, oh, ow, outputs, 1)
                else:
                    lanes, first, count, read, taken = dy, g * outputs, outputs, (ow, 1, 1), (step, p.sh, p.sw)
                    pixels, layout = self._pack(p, "grad_weight", cfg, geo, x, g, ng, n0, nb, i0, i1, copy, threads)
                steps.direct_sums(
                    pixels, lanes, sums, geo.taps, rows, layout, (n0, nb, first, count, ng, i0, i1),
                    (cfg.rows, cfg.splits, cfg.own * size, *taken, k == 0), read, threads,
                )  # fmt: skip
            steps.direct_unpack_sums(
                sums, dw, g * outputs, outputs, c, p.kh, p.kw, cfg.block, ng, swapped, size, shares,
                threads if dw.size * shares > SMALL else 1,
            )  # fmt: skip

    def _products(
        self, p: ConvProblem, pass_: str, cfg: Blocks, x: Array, w: Array, bias: Array | None, y: Array, work: Array,
        threads: int, packed: Any,
    ) -> None:  # fmt: skip
        """forward, or grad_input with dy for x and dx for y: band by band, pack and multiply."""
        steps, geo, adjoint = self.steps(p.dtype), geometry(p, pass_, cfg.block), pass_ == "grad_input"
        _, outputs, oh, _ = sides(p, pass_)
        at_u, at_rows, tmp, _ = self._layout(p, pass_, cfg, threads)
        copy, u, rows = work[:at_u], work[at_u:at_rows], work[at_rows:]
        w0 = p.co // p.g * (p.ci // p.g) * p.kh * p.kw
        pixel = p.sw if self._in_place(p, pass_, cfg.block) and not adjoint else cfg.block
        for g in range(0, p.g, cfg.groups):
            ng = min(cfg.groups, p.g - g)
            weights = packed[g] if packed is not None else None if cfg.jit else u
            if packed is None and not cfg.jit:
                self._pack_weights(p, cfg, geo, w, g, ng, u, rows, tmp, threads, adjoint)
            for n0, nb, i0, i1 in bands(p, cfg.images, cfg.band, oh):
                pixels, layout = self._pack(p, pass_, cfg, geo, x, g, ng, n0, nb, i0, i1, copy, threads)
                steps.direct_rows(
                    pixels, weights, w, y, bias, geo.taps, geo.pos, rows, layout, geo.rows,
                    (n0, nb, g * outputs, outputs, ng, i0, i1),
                    (cfg.nv, cfg.rows, cfg.jit, adjoint, g * w0, tmp, pixel), threads,
                )  # fmt: skip

    def _pack(
        self, p: ConvProblem, pass_: str, cfg: Blocks, geo: Geometry, x: Array, g: int, ng: int, n0: int, nb: int,
        i0: int, i1: int, copy: Array, threads: int,
    ) -> tuple[Array, tuple[int, ...]]:  # fmt: skip
        """Write the copy of a band; returns it, and how the loops read it."""
        c = sides(p, pass_)[0]
        h, w = source(p, pass_)
        if self._in_place(p, pass_, cfg.block):
            return x.reshape(-1)[g * c * h * w :], (p.g * c * h * w, h * w, w, 0, 0, 0, h, w, c, 1)
        first, last = rows_of(geo, i0, i1)
        row = geo.nph * geo.wph * cfg.block
        plane = self._plane(p, pass_, cfg.block, i0, i1)
        self.steps(p.dtype).direct_pack(
            x, copy, n0, nb, g * c, c, ng, cfg.block, first, last - first, geo.rstep, geo.pt, geo.pl, geo.split,
            geo.nph, geo.wph, plane, threads,
        )  # fmt: skip
        return copy, (ng * -(-c // cfg.block) * plane, plane, row, first, geo.pt, geo.pl, h, w, c, cfg.block)

    def _plain_product(self, p: ConvProblem, pass_: str) -> bool:
        """Whether grad_weight is a product of planes as they are: a 1x1 kernel without padding."""
        return pass_ == "grad_weight" and p.kh == p.kw == 1 and self._in_place(p, pass_, 1)

    def _sides(self, p: ConvProblem, pass_: str) -> tuple[int, int, int, int]:
        """As `sides`; in a plain product lanes are the fewer channels, since they are transposed."""
        c, outputs, oh, ow = sides(p, pass_)
        return (max(c, outputs), min(c, outputs), oh, ow) if self._plain_product(p, pass_) else (c, outputs, oh, ow)

    def _in_place(self, p: ConvProblem, pass_: str, block: int) -> bool:
        """Whether the image is its own copy. (Numba's tiles of products may read one pixel more than there is.)"""
        point, padded = p.kh == p.kw == 1, p.pt or p.pb or p.pl or p.pr
        if pass_ == "grad_weight":
            able = p.sw == 1 or p.kh == 1
        else:
            able = self.engine == "cython" and (point if pass_ == "grad_input" else p.sw == 1 or (point and p.sw == 2))
        return block == 1 and able and not padded

    def _pack_weights(
        self, p: ConvProblem, cfg: Blocks, geo: Geometry, w: Array, g: int, ng: int, u: Array, tmp: Array,
        tmp_size: int, threads: int, adjoint: bool,
    ) -> None:  # fmt: skip
        c, outputs, _, _ = sides(p, "grad_input" if adjoint else "forward")
        w0 = g * (p.co // p.g) * (p.ci // p.g) * p.kh * p.kw
        threads = threads if w.size > SMALL else 1
        self.steps(p.dtype).direct_weights(
            w, u, w0, outputs, c, ng, p.kh * p.kw, geo.pos, cfg.nv, adjoint, tmp, tmp_size, threads
        )

    def _plane(self, p: ConvProblem, pass_: str, block: int, i0: int, i1: int) -> int:
        """Numbers of one channel block of the copy, for output rows [i0, i1)."""
        geo = geometry(p, pass_, block)
        first, last = rows_of(geo, i0, i1)
        return -(-((last - first) * geo.nph * geo.wph * block) // 16) * 16 + _ALIAS

    def _layout(self, p: ConvProblem, pass_: str, cfg: Blocks, threads: int) -> tuple[int, int, int, int]:
        """Where weights (or sums) and thread buffers start in the workspace, a thread's share of scratch, the end."""
        lanes = self._lanes(p)
        c, outputs, oh, ow = self._sides(p, pass_)
        taps, blocks = p.kh * p.kw, -(-c // cfg.block)
        starts = range(0, min(oh, cfg.band * geometry(p, pass_, cfg.block).rows[1]), cfg.band)  # then phases repeat
        plane = max(self._plane(p, pass_, cfg.block, i, min(i + cfg.band, oh)) for i in starts)
        at_u = 0 if self._in_place(p, pass_, cfg.block) else _round(cfg.images * cfg.groups * blocks * plane)
        panels, panel = -(-outputs // (cfg.nv * lanes)), cfg.nv * lanes * taps * c
        if pass_ == "grad_weight":
            sums = _round(cfg.groups * panels * 2 * lanes * taps * blocks * cfg.block) * (threads if cfg.own else 1)
            return at_u, at_u + sums, 0, at_u + sums + threads * 2 * cfg.rows * p.ow * lanes
        tmp = lanes * lanes * taps if pass_ == "grad_input" else 0
        m = cfg.nv * cfg.rows * ow * lanes
        if cfg.jit:
            return at_u, at_u, tmp, at_u + threads * (m + panel + tmp)
        weights = _round(cfg.groups * panels * panel)
        return at_u, at_u + weights, tmp, at_u + weights + threads * max(m, tmp)

    def _lanes(self, p: ConvProblem) -> int:
        return self.vector_bytes // p.itemsize


def _round(numbers: int) -> int:
    return -(-numbers // 16) * 16
