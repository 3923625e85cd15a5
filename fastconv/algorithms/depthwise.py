"""Depthwise and few-channel convolution: lanes are pixels of a row, rows of outputs stay in registers.

Where every output channel sums only a few input channels, a matrix product has nothing to reuse; the
reuse is in the image: a row that is loaded once serves all kernel rows that meet it. Bands of each
image are copied into a zero-padded buffer that stays in cache, with the columns split by their
remainder modulo the stride, so that one kernel serves every stride, dilation and padding; grad_input
at stride s is s * s such problems on dy, whose results are interleaved in the last store. 3x3 kernels at
stride 1 and 2 need no buffer: their rows stream by, and the columns beside a row are made in registers.
"""

from __future__ import annotations

import numpy as np

from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from . import depthwise_last as last
from .axes import sides, source
from .base import Array, Backend, Cost, Epilogue, Rates, plain_bound
from .depthwise_bands import TALL, Bands, bands, products, scratch, streams, sums, weight_sums
from .depthwise_last import LastConfig

_PAIRS = 256  # channel pairs of a group that the tables and sums are meant for
_LINE = 64  # bytes of the widest vector, and of a cache line
_MAP = 20 * 20  # most pixels of a small map
_WINDOW, _ROOM = 25, 1 << 19  # taps, and bytes of a vector of planes, for which pixels of channels are worth turning
_NARROW = 40  # bytes of a row from which rows that stream by are faster than maps
_BLOCK = 20e-9  # seconds of a block of sums, besides its products
_ROW = 4e-9  # seconds of a row of the source on its way into the buffer
_NEAR = 1 << 20  # bytes of images for each core that may still be in its cache


Config = Bands | LastConfig


class Depthwise(Backend):
    """Direct kernels for groups of few channels; the bias is added in the store."""

    algorithm = "depthwise"
    adds_bias = True
    fuses = True

    def layout(self, p: ConvProblem, pass_: str) -> tuple[bool, bool]:
        """Channels last, both, where either lies so and a channel has outputs of its own."""
        wanted = (p.x_last or p.y_last) and last.serves(p)
        return wanted, wanted

    def refuse(self, p: ConvProblem, pass_: str) -> str | None:
        pairs = (p.ci // p.g) * (p.co // p.g)
        if pairs > _PAIRS:
            return f"groups have {pairs} pairs of input and output channels, more than {_PAIRS}: not depthwise-like"
        return None

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Config:
        if p.x_last:
            return last.configure(p, pass_, threads, self.vector_bytes)
        return self._maps(p, pass_, threads) or bands(p, pass_, threads)

    def _maps(self, p: ConvProblem, pass_: str, threads: int) -> LastConfig | None:
        """Lanes are channels where rows would not fill a vector, or where every pixel serves many taps."""
        line = _LINE // p.itemsize
        narrow = _LINE if pass_ == "grad_weight" and p.n == 1 else _NARROW
        if streams(p) and min(p.iw, p.ow) * p.itemsize >= narrow:
            return None
        small = min(p.iw, p.ow) <= line and p.ih * p.iw <= _MAP
        # shorter vectors fill fewer lanes with a pixel: there rows were faster (EPYC 7003)
        many = self.vector_bytes >= _LINE and p.kh * p.kw >= _WINDOW
        if not small and not (many and (p.ih * p.iw + p.oh * p.ow) * _LINE <= _ROOM):
            return None
        return last.configure_planes(p, pass_, threads, self.vector_bytes)

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        """grad_weight has a sum in every lane, where those are pixels."""
        if p.x_last or pass_ != "grad_weight" or self._maps(p, pass_, 1):
            return last.error_bound(p, pass_)
        return plain_bound(p, pass_, p.n * p.oh * -(-p.ow * p.itemsize // self.vector_bytes))

    def workspace(self, p: ConvProblem, pass_: str, cfg: Config, threads: int) -> int:
        if isinstance(cfg, LastConfig):
            return last.workspace(p, pass_, cfg, threads)
        return (threads * scratch(p, pass_, cfg) + sums(p, cfg)) * p.itemsize

    def cost(self, p: ConvProblem, pass_: str, cfg: Config, threads: int, rates: Rates) -> Cost:
        if isinstance(cfg, LastConfig):
            return last.cost(p, pass_, cfg, threads, rates)
        flops, moved = nominal_flops(p), compulsory_bytes(p)
        bandwidth = rates.copy_gbs if threads == 1 else rates.copy_gbs_all
        busy = flops * self._slowness(p, pass_, cfg) / (rates.fma_gflops * 1e9 * threads)
        arrives = moved / (2e9 * bandwidth) * min(1.0, moved / (threads * _NEAR))  # sooner, if it was in cache
        # images that are fetched ahead arrive while others are computed
        seconds = max(busy, arrives) if streams(p) else busy + arrives
        if p.kh == p.kw == 1 and p.g == 1:  # rows go through the buffer for one product each
            seconds += p.n * sides(p, pass_)[0] * source(p, pass_)[0] * _ROW / threads
        if pass_ == "grad_weight" and p.co > p.g:  # blocks of sums are taken up again for every output
            line = self._lanes(p)
            seconds += p.n * p.co * -(-p.oh // TALL) * -(-p.ow // line) * _BLOCK / threads
        return Cost(flops, moved, seconds + (rates.launch_us * 1e-6 if threads > 1 else 0.0))

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        return 0.8 * nominal_flops(p) / (rates.fma_gflops * 1e9 * threads)

    def _slowness(self, p: ConvProblem, pass_: str, cfg: Bands) -> float:
        """Time of the kernels as a multiple of what the products alone take: fitted to measurements."""
        back, lanes = pass_ == "grad_input", self._lanes(p)
        across = -(-p.iw // p.sw) if back else p.ow
        if streams(p):
            return (1.5 if p.sh == 1 else 2.4) * _up(across, lanes) / across
        if (p.dh == 1 and (p.sh <= 2 or back)) or (back and p.dh == p.sh):  # rows in registers serve several taps
            taps = -(-p.kh // p.sh) if back and p.dh != p.sh else p.kh
            slow = (0.85 if p.sh == 1 or back else 1.3) + 2.4 / taps
        else:
            slow = 3.0
        if pass_ == "grad_weight":  # sums of every tap are fetched and put back for each block of rows
            tall, left = divmod(p.oh, TALL if p.sh == 1 else TALL // 2)
            blocks = tall + left // 7 + left % 7 // 3 + left % 7 % 3
            slow += 0.45 * TALL * blocks / max(1, p.oh) - 0.25
        elif back and p.sw > 1:
            slow += 0.25
        band = cfg.share * p.itemsize  # that outgrows the caches
        slow += min(0.6, 1.6e-6 * max(0, band - (1 << 16))) + 0.35e-6 * max(0, band - (1 << 20))
        return slow * _up(across, lanes) / across

    def prepare(self, p: ConvProblem, cfg: Config, w: Array) -> Array | None:
        return last.prepare(p, cfg, self.steps(p.dtype), w) if isinstance(cfg, LastConfig) else None

    def forward(
        self,
        p: ConvProblem,
        cfg: Config,
        x: Array,
        w: Array,
        bias: Epilogue,
        y: Array,
        work: Array,
        threads: int,
        packed: Array | None = None,
    ) -> None:
        steps, (b, residual, _), code = self.steps(p.dtype), bias, bias.code
        if isinstance(cfg, LastConfig):
            later = bool(cfg.planes and residual is not None)  # it lies otherwise than the results
            fused = (None, 0) if later else (residual, code)
            last.forward(p, cfg, steps, x, w, b, y, work, threads, packed, *fused)
            if not later:
                return
        else:
            products(p, "forward", cfg, steps, x, w, work[:0] if b is None else b, y, work, threads)
        if residual is not None or code:
            none = np.empty(0, p.dtype)
            steps.epilogue(y, none, none if residual is None else residual, code, False, threads)

    def grad_input(
        self, p: ConvProblem, cfg: Config, dy: Array, w: Array, dx: Array, work: Array, threads: int
    ) -> None:
        if isinstance(cfg, LastConfig):
            last.grad_input(p, cfg, self.steps(p.dtype), dy, w, dx, work, threads)
            return
        products(p, "grad_input", cfg, self.steps(p.dtype), dy, w, work[:0], dx, work, threads)

    def grad_weight(
        self, p: ConvProblem, cfg: Config, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        if isinstance(cfg, LastConfig):
            last.grad_weight(p, cfg, self.steps(p.dtype), dy, x, dw, work, threads)
            return
        weight_sums(p, cfg, self.steps(p.dtype), dy, x, dw, work, threads)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
