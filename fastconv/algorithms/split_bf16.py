"""Split bfloat16: a float32 number as a sum of bfloat16 parts, multiplied by units for bfloat16.

Henry, Tang and Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for higher-precision
computations" (ARITH 2019). Sums are in float32. With parts x = x0 + x1 + x2, each 8 bits:

- `split_bf16x1` takes x0 w0: an error of up to 2^-8 for each factor;
- `split_bf16` takes x1 w0 + x0 w1 + x0 w0: up to 2^-15 in all, usually a tenth of that;
- `split_bf16x6` takes all products down to 2^-16: up to 2^-24, below the rounding of the sums.

Units are AMX tiles or AVX512_BF16, where the CPU has them; a process looks once whether tiles give what plain loops
give. Both flush denormal numbers to zero, so the parts keep their accuracy only for numbers far above 2^-109: `auto`
falls back to another backend if all numbers of an operand are smaller. It does likewise for NaN, Inf and numbers near
overflow, where a backend that is called by name gives NaN for Inf, and may give Inf or NaN for numbers within 2^-8 of
the largest.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from . import split_layout as layout
from .axes import sides
from .base import UNIT_ROUNDOFF, Array, Backend, Cost, Rates, terms
from .split_layout import Blocks

_LEAST = 16  # channels that fill half a step, or a vector
_STRIP = 48 << 10  # bytes of sums of a strip
_BAND = 512 << 10  # bytes of the copy at a time and thread: what is packed is still in L2 when it is used
_JIT_BAND = 32 << 20  # the same where weights are packed anew for every band
_PANEL = 2 << 20  # weights beyond this are packed panel by panel, just before use
_SPEED = {"amx": 10.0, "avx512_bf16": 2.0, "": 0.1}  # against FMA
_FILL = {"amx": 0.7, "avx512_bf16": 0.88, "": 1.0}  # of that, reached by the loops
_SHORT = 0.4  # of that, where sums leave the tiles after few blocks
_CALL = 15e-6  # seconds: arrays looked through for NaN, records of bands


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
        return layout.scratch(p, pass_, self.parts, cfg, threads)[0].nbytes

    def cost(self, p: ConvProblem, pass_: str, cfg: Blocks, threads: int, rates: Rates) -> Cost:
        v, (c, outputs, oh, ow) = layout.view(p, pass_), sides(p, pass_)
        flops = float(nominal_flops(p) * self.products)
        if pass_ == "grad_weight":
            flops *= -(-c // 16) * 16 / c * -(-oh * v.wph // 32) * 32 / (oh * ow)
        else:
            flops *= -(-c // 32) * 32 / c * -(-outputs // 16) * 16 / outputs
            if self.unit == "amx":
                flops *= (-(-oh * v.wph // 16) if cfg.flat else oh * -(-ow // 16)) * 16 / (oh * ow)
        speed = self._speed(rates)
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
        return Cost(flops, moved, seconds + launches * each * 1e-6 + _CALL)

    def _speed(self, rates: Rates) -> float:
        """GFLOP/s of a thread's products."""
        short = _SHORT if self.unit == "amx" and self.chain < 32 else 1.0
        return _SPEED.get(self.unit, 0.1) * _FILL.get(self.unit, 1.0) * short * rates.fma_gflops

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        speed = self._speed(rates)
        met = p.n * min(p.ih * p.iw, p.oh * p.ow)  # pixels that are copied and written at least
        numbers = met * (2 * self.parts * (p.co if pass_ == "grad_input" else p.ci) + 2 * min(p.ci, p.co))
        seconds = nominal_flops(p) * self.products / (speed * 1e9 * threads)
        return seconds + numbers * p.itemsize / (2.2 * rates.copy_gbs * 1e9 * threads) + _CALL

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
        size = layout.packed_size(p, "forward", self.parts)
        raw = np.empty(p.g * size + 16 + 512 * p.kh * p.kw, w.dtype)
        start = -raw.ctypes.data % 64 // p.itemsize
        packed, tmp = np.split(raw[start:], [p.g * size])
        self._pack_weights(p, "forward", cfg, w, 0, p.g, packed, tmp, 1)
        return packed.reshape(p.g, -1)

    def forward(
        self,
        p: ConvProblem,
        cfg: Blocks,
        x: Array,
        w: Array,
        bias: Array | None,
        y: Array,
        work: Array,
        threads: int,
        packed: Any = None,
    ) -> None:
        self._products(p, "forward", cfg, x, w, bias, y, work, threads, packed)

    def grad_input(
        self, p: ConvProblem, cfg: Blocks, dy: Array, w: Array, dx: Array, work: Array, threads: int
    ) -> None:
        self._products(p, "grad_input", cfg, dy, w, None, dx, work, threads, None)

    def grad_weight(
        self, p: ConvProblem, cfg: Blocks, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        steps = self.steps(p.dtype)
        views = layout.scratch(p, "grad_weight", self.parts, cfg, threads)[0].take(work)
        copy, rows, sums, unit = views["copy"], views["rows"], views["sums"], steps.SPLIT_UNITS[self.unit]
        for g in range(0, p.g, cfg.groups):
            for table, taps, of_x, of_dy, q in layout.sum_records(p, self.parts, cfg, unit, self.chunks, g):
                steps.split_pack(x, copy, of_x, threads)
                steps.split_pack_rows(dy, rows, of_dy, threads)
                steps.split_sums(copy, rows, sums, table, taps, q, threads)
            steps.split_unpack_sums(sums, dw, q, threads)

    def _products(
        self,
        p: ConvProblem,
        pass_: str,
        cfg: Blocks,
        x: Array,
        w: Array,
        bias: Array | None,
        y: Array,
        work: Array,
        threads: int,
        packed: Any,
    ) -> None:
        """forward, or grad_input with dy for x and dx for y: band by band, pack and multiply."""
        steps, oh = self.steps(p.dtype), sides(p, pass_)[2]
        views = layout.scratch(p, pass_, self.parts, cfg, threads)[0].take(work)
        copy, buffers, unit = views["copy"], views["threads"], steps.SPLIT_UNITS[self.unit]
        at, _ = layout.copies(p, pass_, self.parts, min(cfg.band, oh), cfg.groups, cfg.images)
        table = layout.product_steps(p, pass_, self.parts, at)
        for g in range(0, p.g, cfg.groups):
            ng = min(cfg.groups, p.g - g)
            u = views.get("weights") if packed is None else packed[g : g + ng]
            if packed is None and u is not None:
                self._pack_weights(p, pass_, cfg, w, g, ng, u, buffers, threads)
            weights, chain = layout.weights_of(p, pass_, self.parts, g, ng), self.chain * self.products
            for of_x, q in layout.product_records(p, pass_, self.parts, cfg, threads, unit, chain, g):
                steps.split_pack(x, copy, of_x, threads)
                steps.split_rows(
                    copy, u, w, y, bias, table.phases, table.steps, table.pos, buffers, weights, q, threads
                )

    def _pack_weights(
        self, p: ConvProblem, pass_: str, cfg: Blocks, w: Array, g: int, ng: int, u: Array, tmp: Array, threads: int
    ) -> None:
        at, _ = layout.copies(p, pass_, self.parts, min(cfg.band, sides(p, pass_)[2]), cfg.groups, cfg.images)
        pos = layout.product_steps(p, pass_, self.parts, at).pos
        self.steps(p.dtype).split_weights(w, u, pos, tmp, layout.weights_of(p, pass_, self.parts, g, ng), threads)


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
