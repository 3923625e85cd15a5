"""Split bfloat16: a float32 number as a sum of bfloat16 parts, multiplied by units for bfloat16.

Henry, Tang and Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for higher-precision
computations" (ARITH 2019). Sums are in float32. With parts x = x0 + x1 + x2, each 8 bits:

- `split_bf16x1` takes x0 w0: an error of up to 2^-8 for each factor;
- `split_bf16` takes x1 w0 + x0 w1 + x0 w0: up to 2^-15 in all, usually a tenth of that;
- `split_bf16x6` takes all products down to 2^-16: up to 2^-24, below the rounding of the sums.

Units are AMX tiles or AVX512_BF16, where the CPU has them. (The loops for tiles are tested on arrays in the place of
tiles, but have not been run on tiles: a process looks once whether they give what plain loops give.) Both flush
denormal numbers to zero, so the parts keep their accuracy only for numbers far above 2^-109: `auto` falls back to
another backend if all numbers of an operand are smaller. It does likewise for NaN, Inf and numbers near overflow, where
a backend that is called by name gives NaN for Inf, and may give Inf or NaN for numbers within 2^-8 of the largest.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from . import split_layout as layout
from .axes import bands, sides
from .base import UNIT_ROUNDOFF, Array, Backend, Cost, Rates, terms

_LEAST = 16  # channels that fill half a step, or a vector
_STRIP = 48 << 10  # bytes of sums of a strip
_BAND = 512 << 10  # bytes of the copy at a time and thread: what is packed is still in L2 when it is used
_JIT_BAND = 32 << 20  # the same where weights are packed anew for every band
_PANEL = 2 << 20  # weights beyond this are packed panel by panel, just before use
_SPEED = {"amx": 10.0, "avx512_bf16": 2.0, "": 0.1}  # against FMA; of AMX assumed, not measured
_FILL = {"amx": 0.7, "avx512_bf16": 0.88, "": 1.0}  # of that, reached by the loops; AMX assumed


class Blocks(NamedTuple):
    """Block sizes of one pass."""

    flat: int  # 1: the pixels of a strip are one run (tiles are 16 pixels, wherever rows end)
    rows: int  # base rows a strip
    jit: int  # 1: panels outermost, packed just before use
    images: int  # images a band
    band: int  # output rows a band
    groups: int  # groups taken together
    splits: int  # shares of a panel (grad_weight)


class SplitBf16(Backend):
    """Three products of two parts."""

    algorithm = "split_bf16"
    adds_bias = True
    spreads_nonfinite = True
    exact = True  # for numbers of up to 8 bits
    least = 2.0**-100
    parts = 2
    chain = 1 << 20  # blocks of 32 channels and taps that are summed by themselves
    chunks = 16  # of 32 pixels that are, in grad_weight

    @property
    def products(self) -> int:
        return len(layout.PRODUCTS[self.parts])

    @property
    def unit(self) -> str:
        """What multiplies: ``amx``, ``avx512_bf16``, or in tests ``plain`` or ``tiles``."""
        return self.bf16[0]

    def absent(self) -> str | None:
        if self.unit == "amx" and not agrees("amx", self._load):
            return "a test of its tiles gave another result than plain loops"
        return None if self.unit else self.bf16[1] or "there is no unit for bfloat16"

    def refuse(self, p: ConvProblem, pass_: str) -> str | None:
        why = self.absent()
        if why:
            return why
        if p.dtype == "float64":
            return "parts in bfloat16 make up a float32 number, not a float64 one"
        c = (p.co if pass_ == "grad_input" else p.ci) // p.g
        if c < _LEAST:
            return f"{c} channels a group: fewer than {_LEAST} leave the vectors empty"
        return None

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Blocks:
        v, (c, outputs, oh, ow) = layout.view(p, pass_), sides(p, pass_)
        panels, weights = -(-outputs // 32), c * p.kh * p.kw * outputs * p.itemsize
        rows = max(_STRIP // (128 * v.rd * ow), 1)
        flat = int(self.unit in ("amx", "tiles") and -(-rows * v.wph // 16) < rows * -(-v.columns // 16))
        jit = int(pass_ != "grad_weight" and weights > _PANEL and panels >= 2 * threads)
        if not jit:  # enough strips for all threads
            rows = min(rows, max(1, -(-oh * p.n * p.g * panels // (4 * threads * v.rd))))
        room = _JIT_BAND if jit else _BAND * threads
        image = 2 * max(layout.copies(p, pass_, self.parts, oh, 1, 1)[0].size, 1)  # twice: dy, or sums
        image *= 2 if pass_ == "grad_weight" else 1
        groups = 1 if jit else min(max(room // image, 1), p.g)
        images = min(max(room // (image * groups), 1), p.n)
        band = oh if image <= 2 * room else max(rows * v.rd, oh * room // image)
        splits = 1
        if pass_ == "grad_weight":
            tasks = groups * p.kh * p.kw * -(-(p.ci // p.g) // 32)
            splits = min(-(-2 * threads // tasks), -(-p.co // p.g // 8)) if tasks < 4 * threads else 1
        return Blocks(flat, rows, jit, images, band, groups, splits)

    def workspace(self, p: ConvProblem, pass_: str, cfg: Blocks, threads: int) -> int:
        return self._layout(p, pass_, cfg, threads)[-1] * p.itemsize

    def cost(self, p: ConvProblem, pass_: str, cfg: Blocks, threads: int, rates: Rates) -> Cost:
        v, (c, outputs, oh, ow) = layout.view(p, pass_), sides(p, pass_)
        flops = float(nominal_flops(p) * self.products)
        if pass_ == "grad_weight":
            flops *= -(-c // 16) * 16 / c * -(-oh * v.wph // 32) * 32 / (oh * ow)
        else:
            flops *= -(-c // 32) * 32 / c * -(-outputs // 16) * 16 / outputs
            if self.unit == "amx":
                flops *= (-(-oh * v.wph // 16) if cfg.flat else oh * -(-ow // 16)) * 16 / (oh * ow)
        speed = _SPEED.get(self.unit, 0.1) * _FILL.get(self.unit, 1.0) * rates.fma_gflops
        if self.unit == "avx512_bf16":  # sums in registers: fewer than 14 wait for each other
            across, vectors = (p.co // p.g, c) if pass_ == "grad_weight" else (v.columns, outputs)
            speed *= min(1.0, across / -(-across // 14) * (1 if vectors <= 16 else 2) / 14)
        rounds = -(-p.g // cfg.groups) * -(-p.n // cfg.images) * -(-oh // cfg.band)
        copies = layout.copies(p, pass_, self.parts, min(cfg.band, oh), cfg.groups, cfg.images)
        moved = (6.0 if v.cs > 1 else 4.0) * rounds * sum(at.size for at in copies[: 1 + (pass_ == "grad_weight")])
        sink = p.n * p.co * p.oh * p.ow if pass_ == "grad_weight" else p.n * p.g * outputs * oh * ow
        weights = p.co * (p.ci // p.g) * p.kh * p.kw
        moved += 2 * sink + weights * (10 if pass_ == "grad_weight" else 3 + self.parts)
        moved = compulsory_bytes(p) + moved * p.itemsize
        seconds = flops / (speed * 1e9 * threads) + moved / (2.2 * rates.copy_gbs * 1e9 * threads)
        launches = rounds * (2 + (pass_ == "grad_weight")) + -(-p.g // cfg.groups)
        each = rates.launch_us if threads > 1 else 2.5
        return Cost(flops, moved, seconds + launches * each * 1e-6)

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        speed = _SPEED.get(self.unit, 0.1) * _FILL.get(self.unit, 1.0) * rates.fma_gflops
        return nominal_flops(p) * self.products / (speed * 1e9 * threads)

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        """Roundings of the sums, and what the parts leave out: the dropped product of low parts, and the rests.

        Rests and roundings of two and three parts are independent and add as squares; for one part the sum of both
        largest rests, which may well have one sign (of a constant image, say).
        """
        k, u = terms(p, pass_), UNIT_ROUNDOFF["float32"]
        block = min(k, 32 * (self.chunks if pass_ == "grad_weight" else self.chain))
        sums = u * (math.sqrt(self.products * block) + (math.sqrt(k / block) if k > block else 0))
        if self.parts == 1:
            return 2.0**-7 + 2.0**-16 + sums
        if self.parts == 2:
            return math.hypot(2.0**-16, 2.0**-17, 2.0**-17, sums)
        return math.hypot(2.0**-25, 2.0**-25, sums)

    def worst_case_bound(self, p: ConvProblem, pass_: str) -> float:
        sums = UNIT_ROUNDOFF["float32"] * (self.products * terms(p, pass_) + 1)
        return {1: 2.0**-7 + 2.0**-16, 2: 2.0**-15 + 2.0**-24, 3: 2.0**-24 + 2.0**-33}[self.parts] * (1 + sums) + sums

    def prepare(self, p: ConvProblem, cfg: Blocks, w: Array) -> Any:
        raw = np.empty(p.g * self._weights(p, "forward") + 16 + 512 * p.kh * p.kw, w.dtype)
        start = -raw.ctypes.data % 64 // p.itemsize
        packed, tmp = np.split(raw[start:], [p.g * self._weights(p, "forward")])
        self._pack_weights(p, cfg, w, 0, p.g, packed, tmp, 1, False)
        return packed.reshape(p.g, -1)

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
        steps, v = self.steps(p.dtype), layout.view(p, "grad_weight")
        ci, co = p.ci // p.g, p.co // p.g
        at_rows, at_sums, _ = self._layout(p, "grad_weight", cfg, threads)
        copy, rows, sums = work[:at_rows], work[at_rows:at_sums], work[at_sums:]
        at, at_dy = layout.copies(p, "grad_weight", self.parts, min(cfg.band, p.oh), cfg.groups, cfg.images)
        unit = steps.SPLIT_UNITS[self.unit]
        for g in range(0, p.g, cfg.groups):
            ng = min(cfg.groups, p.g - g)
            for k, (n0, nb, i0, i1) in enumerate(bands(p, cfg.images, cfg.band, p.oh)):
                chunks = -(-((i1 - i0 - 1) * v.wph + p.ow) // 32)
                table, taps, ways = layout.sum_steps(p, self.parts, nb, chunks, at, at_dy)
                steps.split_pack(
                    x, copy, (n0, nb, g * ci, ng), (*at[:5], v.nr, v.nc, at.length, ci, self.parts),
                    layout.image_of(p, "grad_weight", v, i0), ways, threads,
                )  # fmt: skip
                steps.split_pack_rows(
                    dy, rows, (n0, nb, g * co, ng, co, chunks, self.parts), at_dy[:3],
                    (i1, p.ow, v.wph, i0, 1, 0, 1), threads,
                )  # fmt: skip
                steps.split_sums(
                    copy, rows, sums, table, taps, (at.group, at.block, at_dy.group),
                    (ng, co, ci, nb * chunks, self.products), (unit, self.chunks, cfg.splits, k > 0), threads,
                )  # fmt: skip
            steps.split_unpack_sums(sums, dw, g * co, co, ci, p.kh * p.kw, ng, threads)

    def _products(
        self, p: ConvProblem, pass_: str, cfg: Blocks, x: Array, w: Array, bias: Array | None, y: Array, work: Array,
        threads: int, packed: Any,
    ) -> None:  # fmt: skip
        """forward, or grad_input with dy for x and dx for y: band by band, pack and multiply."""
        steps, v, adjoint = self.steps(p.dtype), layout.view(p, pass_), pass_ == "grad_input"
        c, outputs, oh, ow = sides(p, pass_)
        at_u, at_rows, _ = self._layout(p, pass_, cfg, threads)
        copy, u, rows = work[:at_u], work[at_u:at_rows], work[at_rows:]
        at, _ = layout.copies(p, pass_, self.parts, min(cfg.band, oh), cfg.groups, cfg.images)
        table = layout.product_steps(p, pass_, self.parts, at)
        w0, unit = p.co // p.g * (p.ci // p.g) * p.kh * p.kw, steps.SPLIT_UNITS[self.unit]
        for g in range(0, p.g, cfg.groups):
            ng = min(cfg.groups, p.g - g)
            weights = packed[g] if packed is not None else None if cfg.jit else u
            if packed is None and not cfg.jit:
                self._pack_weights(p, cfg, w, g, ng, u, rows, threads, adjoint)
            for n0, nb, i0, i1 in bands(p, cfg.images, cfg.band, oh):
                r0, nr = layout.base_rows(v, i0, i1)
                length = (nr + v.down) * v.wph
                steps.split_pack(
                    x, copy, (n0, nb, g * c, ng), (*at[:5], v.nr, v.nc, length, c, self.parts),
                    layout.image_of(p, pass_, v, r0), 0, threads,
                )  # fmt: skip
                steps.split_rows(
                    copy, weights, w, y, bias, table.phases, table.steps, table.pos, rows,
                    (at.image, at.group, v.wph, v.columns), (r0, nr, v.rd, v.rt, v.c0, v.cd, v.ct),
                    (n0, nb, g * outputs, outputs, ng, i0, i1),
                    (unit, cfg.flat, cfg.rows, cfg.jit, adjoint, c, self.parts, g * w0, 32 * cfg.rows * v.rd * ow,
                     self.chain * self.products),
                    threads,
                )  # fmt: skip

    def _pack_weights(
        self, p: ConvProblem, cfg: Blocks, w: Array, g: int, ng: int, u: Array, tmp: Array, threads: int, adjoint: bool
    ) -> None:
        pass_ = "grad_input" if adjoint else "forward"
        c, outputs, oh, _ = sides(p, pass_)
        at, _ = layout.copies(p, pass_, self.parts, min(cfg.band, oh), cfg.groups, cfg.images)
        pos = layout.product_steps(p, pass_, self.parts, at).pos
        w0 = g * (p.co // p.g) * (p.ci // p.g) * p.kh * p.kw
        self.steps(p.dtype).split_weights(w, u, w0, outputs, c, ng, pos, self.parts, adjoint, tmp, threads)

    def _weights(self, p: ConvProblem, pass_: str) -> int:
        """float32 numbers that the packed weights of a group take."""
        c, outputs, _, _ = sides(p, pass_)
        return -(-outputs // 32) * p.kh * p.kw * -(-c // 32) * self.parts * 512

    def _layout(self, p: ConvProblem, pass_: str, cfg: Blocks, threads: int) -> tuple[int, int, int]:
        """Where weights (or the copy of dy) and thread buffers (or sums) start in the workspace, and its end."""
        c, _, oh, ow = sides(p, pass_)
        at, at_dy = layout.copies(p, pass_, self.parts, min(cfg.band, oh), cfg.groups, cfg.images)
        if pass_ == "grad_weight":
            sums = cfg.groups * p.kh * p.kw * -(-c // 32) * 32 * (p.co // p.g)
            return at.size, at.size + at_dy.size, at.size + at_dy.size + sums
        m, tmp, weights = 32 * cfg.rows * layout.view(p, pass_).rd * ow, 512 * p.kh * p.kw, self._weights(p, pass_)
        if cfg.jit:
            panel = weights // -(-sides(p, pass_)[1] // 32)
            return at.size, at.size, at.size + threads * (m + panel + tmp)
        weights *= cfg.groups
        return at.size, at.size + weights, at.size + weights + threads * max(m, tmp)


class SplitBf16x1(SplitBf16):
    """The product of the first parts alone."""

    algorithm = "split_bf16x1"
    parts = 1


class SplitBf16x6(SplitBf16):
    """Six products of three parts."""

    algorithm = "split_bf16x6"
    parts = 3
    chain = chunks = 2


@cache
def agrees(unit: str, load: Any) -> bool:
    """Whether a unit gives what plain loops give, for integers, whose sums are exact; looked at once a process."""
    p, results = ConvProblem.from_shapes((1, 40, 5, 20), (24, 40, 3, 3), 1, 1, 1, 1), []
    x, w = (np.arange(math.prod(s), dtype="f") * 7 % 17 - 8 for s in (p.x_shape, p.w_shape))
    for backend in (SplitBf16("cython", load, 64, (u, "")) for u in ("plain", unit)):
        cfg, y = backend.configure(p, "forward", 1), np.empty(p.y_shape, "f")
        room = np.empty(backend.workspace(p, "forward", cfg, 1) // 4 + 16, "f")
        work = room[-room.ctypes.data % 64 // 4 :]
        backend.forward(p, cfg, x.reshape(p.x_shape), w.reshape(p.w_shape), None, y, work, 1)
        results.append(y)
    return np.array_equal(results[0], results[1])
