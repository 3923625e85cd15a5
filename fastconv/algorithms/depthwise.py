"""Depthwise and few-channel convolution: lanes are pixels of a row, rows of outputs stay in registers.

Where every output channel sums only a few input channels, a matrix product has nothing to reuse; the
reuse is in the image: a row that is loaded once serves all kernel rows that meet it. Bands of each
image are copied into a zero-padded buffer that stays in cache, with the columns split by their
remainder modulo the stride, so that one kernel serves every stride, dilation and padding; grad_input
at stride s is s * s such problems on dy, whose results are interleaved in the last store. 3x3 kernels at
stride 1 and 2 need no buffer: their rows stream by, and the columns beside a row are made in registers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from . import depthwise_last as last
from .axes import sides, source
from .base import Array, Backend, Cost, Epilogue, Rates, plain_bound
from .depthwise_last import LastConfig

_PAIRS = 256  # channel pairs of a group that the tables and sums are meant for
_TALL = 14  # most rows of a block, in any engine
_LINE = 64  # bytes of the widest vector, and of a cache line
_MAP = 20 * 20  # most pixels of a small map
_WINDOW, _ROOM = 25, 1 << 19  # taps, and bytes of a vector of planes, for which pixels of channels are worth turning
_NARROW = 40  # bytes of a row from which rows that stream by are faster than maps
_BLOCK = 20e-9  # seconds of a block of sums, besides its products
_ROW = 4e-9  # seconds of a row of the source on its way into the buffer
_NEAR = 1 << 20  # bytes of images for each core that may still be in its cache
_CACHE = 48 << 10  # bytes of a buffer that stays close to the core


class Bands(NamedTuple):
    """A job is ``rows`` output rows of one image and group; the others describe its buffer.

    ``height`` rows of ``width`` numbers for each remainder of the columns modulo the stride; the image
    starts in column ``left``; the first row is row ``top`` of the image for output row 0. A thread has
    ``share`` numbers to itself; grad_weight has ``parts`` partial sums of each weight.
    """

    rows: int
    height: int
    left: int
    width: int
    top: int
    share: int
    parts: int


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
        return self._maps(p, pass_, threads) or self._bands(p, pass_, threads)

    def _streams(self, p: ConvProblem) -> bool:
        """Whether rows stream by (the engine looks again): 3x3, and the left column of a window in the padding."""
        taps = (p.kh, p.kw, p.dh, p.dw, p.pl) == (3, 3, 1, 1, 1) and p.g == p.ci == p.co
        return taps and ((p.sh, p.sw, p.ow) == (1, 1, p.iw) or (p.sh, p.sw) == (2, 2))

    def _maps(self, p: ConvProblem, pass_: str, threads: int) -> LastConfig | None:
        """Lanes are channels where rows would not fill a vector, or where every pixel serves many taps."""
        line = _LINE // p.itemsize
        narrow = _LINE if pass_ == "grad_weight" and p.n == 1 else _NARROW
        if self._streams(p) and min(p.iw, p.ow) * p.itemsize >= narrow:
            return None
        small = min(p.iw, p.ow) <= line and p.ih * p.iw <= _MAP
        if not small and (p.kh * p.kw < _WINDOW or (p.ih * p.iw + p.oh * p.ow) * _LINE > _ROOM):
            return None
        return last.configure_planes(p, pass_, threads, self.vector_bytes)

    def _bands(self, p: ConvProblem, pass_: str, threads: int) -> Bands:
        line = _LINE // p.itemsize
        if pass_ == "grad_input":  # dy is the source, dx the destination
            step, split, channels, width = 1, 1, p.co // p.g, p.ow
            first, last = (p.pt - (p.kh - 1) * p.dh) // p.sh, (p.pt + p.sh - 1) // p.sh
            start, end = (p.pl - (p.kw - 1) * p.dw) // p.sw, (p.pl + p.sw - 1) // p.sw
            out_rows, out_cols = -(-p.ih // p.sh), -(-p.iw // p.sw)
        else:
            step, split, channels, width = p.sh, p.sw, p.ci // p.g, p.iw
            first, last = -p.pt, (p.kh - 1) * p.dh - p.pt
            start, end = -p.pl // p.sw, ((p.kw - 1) * p.dw - p.pl) // p.sw
            out_rows, out_cols = p.oh, p.ow
        left = _up(max(0, -start), line)
        columns = left + max(_up(-(-width // split), line), _up(_up(out_cols, line) + max(0, end), line))
        columns += line if columns // line % 2 == 0 else 0  # an odd number of lines: rows do not share cache sets
        row_bytes = split * columns * p.itemsize * channels
        room = _CACHE * (2 if channels > 1 else 1)
        rows = max(room // (row_bytes * step), 2 * (last - first) // step, _TALL)
        groups = p.g if pass_ == "grad_weight" else p.n * p.g
        if pass_ != "grad_weight" and groups < 4 * threads and threads > 1:  # few planes: bands give work to all
            rows = min(rows, max(_TALL, -(-out_rows * groups // (4 * threads))))
        bands = -(-out_rows // min(rows, out_rows))
        rows = min(_up(-(-out_rows // bands), _TALL), out_rows)
        bands = -(-out_rows // rows)
        height = (rows - 1) * step + last - first + 1
        parts = 1
        if pass_ == "grad_weight" and p.g < 4 * threads and threads > 1:
            parts = max(1, min(-(-4 * threads // p.g), p.n * bands))
        share = (channels * height + _TALL * step) * split * columns
        if pass_ == "grad_weight":
            share += (p.co // p.g) * (p.ci // p.g) * p.kh * p.kw * line
        elif pass_ == "grad_input" and p.sw > 1:
            share += p.sw * _TALL * line
        return Bands(rows, height, left, columns, first, _up(share, line), parts)

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        """grad_weight has a sum in every lane, where those are pixels."""
        if p.x_last or pass_ != "grad_weight" or self._maps(p, pass_, 1):
            return last.error_bound(p, pass_)
        return plain_bound(p, pass_, p.n * p.oh * -(-p.ow * p.itemsize // self.vector_bytes))

    def workspace(self, p: ConvProblem, pass_: str, cfg: Config, threads: int) -> int:
        if isinstance(cfg, LastConfig):
            return last.workspace(p, pass_, cfg, threads)
        channels = (p.co if pass_ == "grad_input" else p.ci) // p.g
        tables = 16 * channels * p.kh * p.kw + (128 * p.sh * p.sw if pass_ == "grad_input" else 0)
        sums = p.co * (p.ci // p.g) * p.kh * p.kw * cfg.parts if cfg.parts > 1 else 0
        return _up(tables, _LINE) + (threads * cfg.share + sums) * p.itemsize

    def cost(self, p: ConvProblem, pass_: str, cfg: Config, threads: int, rates: Rates) -> Cost:
        if isinstance(cfg, LastConfig):
            return last.cost(p, pass_, cfg, threads, rates)
        flops, moved = nominal_flops(p), compulsory_bytes(p)
        bandwidth = rates.copy_gbs if threads == 1 else rates.copy_gbs_all
        busy = flops * self._slowness(p, pass_, cfg) / (rates.fma_gflops * 1e9 * threads)
        arrives = moved / (2e9 * bandwidth) * min(1.0, moved / (threads * _NEAR))  # sooner, if it was in cache
        # images that are fetched ahead arrive while others are computed
        seconds = max(busy, arrives) if self._streams(p) else busy + arrives
        if p.kh == p.kw == 1 and p.g == 1:  # rows go through the buffer for one product each
            seconds += p.n * sides(p, pass_)[0] * source(p, pass_)[0] * _ROW / threads
        if pass_ == "grad_weight" and p.co > p.g:  # blocks of sums are taken up again for every output
            line = self.vector_bytes // p.itemsize
            seconds += p.n * p.co * -(-p.oh // _TALL) * -(-p.ow // line) * _BLOCK / threads
        return Cost(flops, moved, seconds + (rates.launch_us * 1e-6 if threads > 1 else 0.0))

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        return 0.8 * nominal_flops(p) / (rates.fma_gflops * 1e9 * threads)

    def _slowness(self, p: ConvProblem, pass_: str, cfg: Bands) -> float:
        """Time of the kernels as a multiple of what the products alone take: fitted to measurements."""
        back, lanes = pass_ == "grad_input", self.vector_bytes // p.itemsize
        across = -(-p.iw // p.sw) if back else p.ow
        if self._streams(p):
            return (1.5 if p.sh == 1 else 2.4) * _up(across, lanes) / across
        if (p.dh == 1 and (p.sh <= 2 or back)) or (back and p.dh == p.sh):  # rows in registers serve several taps
            taps = -(-p.kh // p.sh) if back and p.dh != p.sh else p.kh
            slow = (0.85 if p.sh == 1 or back else 1.3) + 2.4 / taps
        else:
            slow = 3.0
        if pass_ == "grad_weight":  # sums of every tap are fetched and put back for each block of rows
            tall, left = divmod(p.oh, _TALL if p.sh == 1 else _TALL // 2)
            blocks = tall + left // 7 + left % 7 // 3 + left % 7 % 3
            slow += 0.45 * _TALL * blocks / max(1, p.oh) - 0.25
        elif back and p.sw > 1:
            slow += 0.25
        band = cfg.share * p.itemsize  # that outgrows the caches
        slow += min(0.6, 1.6e-6 * max(0, band - (1 << 16))) + 0.35e-6 * max(0, band - (1 << 20))
        return slow * _up(across, lanes) / across

    def prepare(self, p: ConvProblem, cfg: Config, w: Array) -> Array | None:
        return last.prepare(p, cfg, self.steps(p.dtype), w) if isinstance(cfg, LastConfig) else None

    def forward(
        self, p: ConvProblem, cfg: Config, x: Array, w: Array, bias: Epilogue, y: Array, work: Array,
        threads: int, packed: Array | None = None,
    ) -> None:  # fmt: skip
        steps, (b, residual, _), code = self.steps(p.dtype), bias, bias.code
        if isinstance(cfg, LastConfig):
            later = bool(cfg.planes and residual is not None)  # it lies otherwise than the results
            fused = (None, 0) if later else (residual, code)
            last.forward(p, cfg, steps, x, w, b, y, work, threads, packed, *fused)
            if not later:
                return
        else:
            steps.depthwise_forward(
                x, w, np.empty(0, p.dtype) if b is None else b, y, p.sh, p.sw, p.pt, p.pl, p.dh, p.dw, p.g, cfg.rows,
                cfg.height, cfg.left, cfg.width, cfg.share, work, threads,
            )  # fmt: skip
        if residual is not None or code:
            none = np.empty(0, p.dtype)
            steps.epilogue(y, none, none if residual is None else residual, code, False, threads)

    def grad_input(
        self, p: ConvProblem, cfg: Config, dy: Array, w: Array, dx: Array, work: Array, threads: int
    ) -> None:
        if isinstance(cfg, LastConfig):
            last.grad_input(p, cfg, self.steps(p.dtype), dy, w, dx, work, threads)
            return
        self.steps(p.dtype).depthwise_grad_input(
            dy, w, dx, p.sh, p.sw, p.pt, p.pl, p.dh, p.dw, p.g, cfg.rows, cfg.height, cfg.left, cfg.width,
            cfg.share, cfg.top, work, threads,
        )  # fmt: skip

    def grad_weight(
        self, p: ConvProblem, cfg: Config, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        if isinstance(cfg, LastConfig):
            last.grad_weight(p, cfg, self.steps(p.dtype), dy, x, dw, work, threads)
            return
        self.steps(p.dtype).depthwise_grad_weight(
            dy, x, dw, p.sh, p.sw, p.pt, p.pl, p.dh, p.dw, p.g, cfg.rows, cfg.height, cfg.left, cfg.width,
            cfg.share, cfg.parts, work, threads,
        )  # fmt: skip


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
