"""Convolution on plain planes: lanes are neighbouring pixels, weights are broadcast.

Nothing is transposed, so it suits what has little arithmetic for each pixel that is read or written: 1x1
kernels, where the image already is the matrix, and few outputs, such as the gradient of a network's first
layer. Strides become phases (axes.py). In grad_weight lanes are summed at the end: a dot product of planes
for every pair of an output and a (channel, tap).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from .axes import geometry, rows_of, sides
from .base import Array, Backend, Cost, Rates, plain_bound
from .direct import SMALL

_FEW = 8  # outputs a group
_STEM = 4  # channels a group that are not worth a block
_MIDDLE = 9  # outputs beside 3 vectors of pixels
_STRIP = 384 << 10  # bytes of a thread's copy, in second-level cache
_TASK = 128 << 10  # bytes of pixels a task of a 1x1 kernel, in second-level cache
_ROW = 60e-9  # seconds that a row of results takes besides its sums
_RUN_ROW = 5e-9  # and a row of dy on its way into a block
_RUN = 1024  # numbers of a dot product: a block of dy's planes stays in first-level cache


class Blocks(NamedTuple):
    """Block sizes of one pass."""

    tile: int  # outputs a register block
    strips: int  # shares of an image's output rows; 0: a 1x1 kernel, image read in place
    task: int = 0  # and then the register blocks of pixels that a thread takes at a time


class Units(NamedTuple):
    """How grad_weight cuts the images."""

    images: int  # whole images a unit
    strips: int  # or shares of an image's output rows
    flat: int  # 0: row by row, 1: rows are chained, 2: a 1x1 kernel, image read in place


class Planar(Backend):
    """Lanes along the width."""

    algorithm = "planar"
    adds_bias = True

    def refuse(self, p: ConvProblem, pass_: str) -> str | None:
        c, outputs, _, _ = sides(p, pass_)
        stem = c <= _STEM and (pass_ == "forward" or p.sh == p.sw == 1)
        if pass_ != "grad_weight" and not _in_place(p) and outputs > _FEW and not stem:
            return f"more than {_FEW} outputs of more than {_STEM} channels a group pay for the packed copy of direct"
        if p.g > 1 and min(c, outputs) < 8:
            return f"groups of {c} to {outputs} channels are depthwise-like"
        return None

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Blocks | Units:
        if pass_ == "grad_weight":
            return self._units(p, threads)
        tile = 14 if self.vector_bytes == 64 else 6
        c, outputs, oh, ow = sides(p, pass_)
        if _in_place(p):
            blocks = -(-oh * ow * p.itemsize // (2 * self.vector_bytes))
            task = min(max(_TASK // (c * 2 * self.vector_bytes), 1), -(-blocks * p.n // (4 * threads)))
            return Blocks(tile, 0, task)
        tile = _MIDDLE if tile == 14 and outputs > tile else tile
        geo = geometry(p, pass_, 1)
        fixed, step = geo.reach[1] - geo.reach[0] + 1, geo.rows[2] / geo.rows[1]
        rows = int((_STRIP / (c * geo.nph * geo.wph * p.itemsize) - fixed) / step)
        strips = -(-oh // max(1, min(rows, -(-oh * p.n // (2 * threads)), oh)))
        while p.n * strips % threads and strips < oh:  # as many for every thread
            strips += 1
        return Blocks(tile, strips)

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        """grad_weight has a sum in every lane."""
        if pass_ != "grad_weight":
            return plain_bound(p, pass_)
        return plain_bound(p, pass_, p.n * p.oh * -(-p.ow * p.itemsize // self.vector_bytes))

    def workspace(self, p: ConvProblem, pass_: str, cfg: Any, threads: int) -> int:
        if pass_ == "grad_weight":
            return threads * self._unit(p, cfg, threads)[1] * p.itemsize
        return (self._weights(p, pass_) + threads * self._share(p, pass_, cfg)) * p.itemsize

    def cost(self, p: ConvProblem, pass_: str, cfg: Any, threads: int, rates: Rates) -> Cost:
        if pass_ == "grad_weight":
            return self._cost_of_sums(p, cfg, threads, rates)
        c, outputs, oh, ow = sides(p, pass_)
        flops, moved = nominal_flops(p), float(compulsory_bytes(p))
        lanes = self.vector_bytes // p.itemsize
        if cfg.strips == 0:
            block = -(-outputs // -(-outputs // cfg.tile))
            pixels = oh * ow
            waste = -(-pixels // (2 * lanes)) * 2 * lanes / pixels
            rate, rows = (0.9 if pixels > 400 else 0.75) * min(1.0, block / (7 if outputs > 4 else 4)), 0.0
            moved += 2 * p.co * (p.ci // p.g) * p.itemsize
            if outputs > 4:  # the image is read while the first outputs are summed
                moved -= p.n * p.g * c * pixels * p.itemsize
        elif outputs > _FEW:  # a stem: sums of few products, written in place
            vectors = max(-(-ow // lanes), 2) if lanes * p.itemsize == 64 else -(-ow // (2 * lanes)) * 2
            waste, rate = vectors * lanes / ow, 0.95 / (1 + 12 / (c * p.kh * p.kw))
            moved += 2 * p.n * p.g * c * p.ih * p.iw * p.itemsize * (p.sw > 1)
            rows = p.n * p.g * oh * _ROW / threads
        else:
            width = -(-ow // p.sw) if pass_ == "grad_input" else ow
            waste = -(-width // (2 * lanes)) * 2 * lanes / width
            rate = 0.65 * min(1.0, (1 + outputs) / 5)  # pixels come from second-level cache
            copied = cfg.strips * self._copy_rows(p, pass_, cfg) * (p.ow if pass_ == "grad_input" else p.iw)
            moved += 2 * p.n * p.g * c * copied * (1 + (geometry(p, pass_, 1).split > 1)) * p.itemsize
            rows = p.n * p.g * oh * _ROW / threads
        seconds = flops * waste / (rate * rates.fma_gflops * 1e9 * threads)
        seconds += moved / (2.5 * rates.copy_gbs * 1e9 * threads)
        return Cost(flops * waste, moved, seconds + rows + 2 * p.g * (rates.launch_us if threads > 1 else 2.0) * 1e-6)

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        return nominal_flops(p) / (rates.fma_gflops * 1e9 * threads)

    def doubtful(self, p: ConvProblem, pass_: str, cfg: Any) -> bool:
        """The zeros between rows of grad_weight make NaN of an Inf."""
        return pass_ == "grad_weight" and cfg.flat != 2

    def prepare(self, p: ConvProblem, cfg: Blocks, w: Array) -> Any:
        packed = np.empty((p.g, w.size // p.g), w.dtype)
        for g, u in enumerate(packed):
            self._pack(p, "forward", cfg, w, g, u, 1)
        return packed

    def forward(
        self, p: ConvProblem, cfg: Blocks, x: Array, w: Array, bias: Array | None, y: Array, work: Array, threads: int,
        packed: Any = None,
    ) -> None:  # fmt: skip
        self._rows(p, "forward", cfg, x, w, bias, y, work, threads, packed)

    def grad_input(
        self, p: ConvProblem, cfg: Blocks, dy: Array, w: Array, dx: Array, work: Array, threads: int
    ) -> None:
        self._rows(p, "grad_input", cfg, dy, w, None, dx, work, threads, None)

    def grad_weight(
        self, p: ConvProblem, cfg: Units, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        geo, (c, outputs, _, _) = geometry(p, "forward", 1), sides(p, "forward")
        plane, size = self._unit(p, cfg, threads)
        copy = (plane, geo.nph * geo.wph, geo.pt, geo.pl, geo.split, geo.nph, geo.wph, geo.rstep, geo.reach[1], p.sh)
        off = _pairs(p, p.oh * p.ow if cfg.flat == 2 else plane, self._dots())
        for g in range(p.g):
            channels = (g * c, c, g * outputs, outputs, c * p.kh * p.kw)
            self.steps(p.dtype).planar_sums(dy, x, dw, off, work, copy, channels, (*cfg, size), threads)

    def _rows(
        self, p: ConvProblem, pass_: str, cfg: Blocks, x: Array, w: Array, bias: Array | None, y: Array, work: Array,
        threads: int, packed: Any,
    ) -> None:  # fmt: skip
        """forward, or grad_input with dy for x and dx for y."""
        steps, geo = self.steps(p.dtype), geometry(p, pass_, 1)
        c, outputs, _, _ = sides(p, pass_)
        at = self._weights(p, pass_)
        row = geo.nph * geo.wph
        for g in range(p.g):
            u = work if packed is None else packed[g]
            if packed is None:
                self._pack(p, pass_, cfg, w, g, u, threads)
            if cfg.strips == 0:
                steps.pointwise(x, u, y, bias, g * c, c, g * outputs, outputs, work[at:], cfg.task, threads)
                continue
            plane = self._copy_rows(p, pass_, cfg) * row
            copy = (plane, row, geo.pt, geo.pl, geo.split, geo.nph, geo.wph, geo.rstep, *geo.reach)
            steps.planar_rows(
                x, u, y, bias, geo.taps, work[at:], copy, geo.rows, (g * c, c, g * outputs, outputs),
                (cfg.strips, cfg.tile, self._share(p, pass_, cfg), p.kh * p.kw), threads,
            )  # fmt: skip

    def _pack(self, p: ConvProblem, pass_: str, cfg: Blocks, w: Array, g: int, u: Array, threads: int) -> None:
        c, outputs, _, _ = sides(p, pass_)
        w0 = g * (p.co // p.g) * (p.ci // p.g) * p.kh * p.kw
        pos, adjoint = geometry(p, pass_, 1).pos, pass_ == "grad_input"
        threads = threads if w.size > SMALL else 1
        self.steps(p.dtype).planar_weights(w, u, w0, outputs, c, p.kh * p.kw, pos, cfg.tile, adjoint, threads)

    def _weights(self, p: ConvProblem, pass_: str) -> int:
        return -(-(p.co * p.ci // p.g // p.g * p.kh * p.kw) // 16) * 16

    def _copy_rows(self, p: ConvProblem, pass_: str, cfg: Blocks) -> int:
        """Rows of the copy that a strip of output rows reads at most."""
        geo, oh = geometry(p, pass_, 1), sides(p, pass_)[2]
        if cfg.strips == 1:
            first, last = rows_of(geo, 0, oh)
            return last - first
        rd, rm = geo.rows[1:3]
        return -(-(-(-oh // cfg.strips) - 1) // rd) * rm + geo.reach[1] - geo.reach[0] + 1

    def _share(self, p: ConvProblem, pass_: str, cfg: Blocks) -> int:
        """Numbers of scratch memory a thread."""
        c, outputs, _, ow = sides(p, pass_)
        lanes, geo = self.vector_bytes // p.itemsize, geometry(p, pass_, 1)
        if cfg.strips == 0:
            return (c * cfg.task + outputs) * 2 * lanes
        line = geo.rows[5] * outputs * ((ow // geo.rows[5] + 4 * lanes) // (4 * lanes) * 4 * lanes)
        size = line + c * self._copy_rows(p, pass_, cfg) * geo.nph * geo.wph + 4 * lanes
        return -(-size // 16) * 16

    def _dots(self) -> int:
        """Outputs, and (channel, tap) pairs, of a register block of grad_weight."""
        return 5 if self.vector_bytes == 64 else 3

    def _units(self, p: ConvProblem, threads: int) -> Units:
        geo, lanes, c = geometry(p, "forward", 1), self.vector_bytes // p.itemsize, p.ci // p.g
        row, line = geo.nph * geo.wph, -(-p.ow // lanes) * lanes
        room = _STRIP // (c * p.itemsize)
        if _in_place(p) and p.oh * p.ow % lanes == 0:
            flat, run, rows = 2, p.oh * p.ow, p.oh * p.ow // lanes
            strips = -(-run // min(_RUN, room))
        else:
            flat = int(geo.nph == 1 and geo.rstep == p.sh and row <= line)
            run, rows = p.oh * (row if flat else line), p.oh
            copied = p.sh // geo.rstep * row
            strips = -(-p.oh // max(1, min(_RUN * p.oh // run, (room - geo.reach[1] * row) // copied)))
        strips = min(strips, rows)
        if strips == 1:
            images = max(1, min(_RUN // run, room // (p.ih * row), -(-p.n // threads)))
            if images > 1 or p.n >= 2 * threads:
                return Units(images, 1, flat)
        while p.n * strips % threads and strips < rows:  # as many for every thread
            strips += 1
        return Units(1, strips, flat)

    def _unit(self, p: ConvProblem, cfg: Units, threads: int) -> tuple[int, int]:
        """Numbers of a copied plane of x, and of a thread's scratch memory."""
        sums = -(-(p.co // p.g * (p.ci // p.g) * p.kh * p.kw) // 16) * 16 if threads > 1 else 0
        if cfg.flat == 2:
            return 0, sums + 16
        geo, lanes = geometry(p, "forward", 1), self.vector_bytes // p.itemsize
        rows, row, line = -(-p.oh // cfg.strips), geo.nph * geo.wph, -(-p.ow // lanes) * lanes
        copied = ((rows - 1) * p.sh + geo.reach[1]) // geo.rstep + 1
        plane = -(-(copied * row + (row + lanes if cfg.flat else line)) // 16) * 16
        run = -(-rows * row // lanes) * lanes if cfg.flat else rows * line
        return plane, sums + -(-cfg.images * (p.ci // p.g * plane + self._dots() * run) // 16) * 16 + 16

    def _cost_of_sums(self, p: ConvProblem, cfg: Units, threads: int, rates: Rates) -> Cost:
        geo, lanes, most = geometry(p, "forward", 1), self.vector_bytes // p.itemsize, self._dots()
        outputs, pairs = p.co // p.g, p.ci // p.g * p.kh * p.kw
        rows, row = -(-p.oh // cfg.strips), geo.nph * geo.wph
        width = (-(-p.ow // lanes) * lanes, row, p.ow)[cfg.flat]
        block = outputs / -(-outputs // most)
        waste = width / p.ow * (-(-pairs // most) * most / pairs) * max(1.0, (block + 2 * most) / (block * most))
        waste *= 1 + 8 * lanes / (cfg.images * rows * width)  # sums across lanes
        flops, units = nominal_flops(p) * waste, p.n * cfg.strips / cfg.images
        copied = 0 if cfg.flat == 2 else p.n * p.ci * p.ih * p.iw * p.itemsize
        moved = compulsory_bytes(p) + 2.5 * copied + 8 * (units + threads) * outputs * pairs
        rate = min(1.0, (block + 2) / 7) / (1 + 0.5 / p.kw)  # neighbouring taps find x in first-level cache
        if p.kh == p.kw == 1:
            rate = 0.65
        if cfg.flat == 2:
            moved *= 0.6
        elif p.sw > 1:  # numbers are picked one by one
            moved += 4 * copied
        seconds = flops / (rate * rates.fma_gflops * 1e9 * threads) + moved / (2.5 * rates.copy_gbs * 1e9 * threads)
        if cfg.flat != 2:
            seconds += p.n * p.co * p.oh * _RUN_ROW / threads
        return Cost(flops, moved, seconds + 2 * p.g * (rates.launch_us if threads > 1 else 2.0) * 1e-6)


@lru_cache(maxsize=256)
def _pairs(p: ConvProblem, plane: int, most: int) -> Array:
    """Where every (channel, tap) pair starts in a unit of x; the last one repeated for whole blocks."""
    taps = geometry(p, "forward", 1).taps[2 + p.kh + p.kw :]
    starts = (np.arange(p.ci // p.g)[:, None] * plane + taps).ravel().astype(np.intp)
    return np.pad(starts, (0, -starts.size % most), mode="edge")


def _in_place(p: ConvProblem) -> bool:
    """A 1x1 kernel on the plain grid."""
    return (p.kh, p.kw, p.sh, p.sw, p.pt, p.pb, p.pl, p.pr) == (1, 1, 1, 1, 0, 0, 0, 0)
