"""Convolution by tiles of FFTs that stay in cache: the fewest operations for kernels from about 5x5 up.

The convolution theorem on overlapping tiles (overlap-save: Stockham, "High-speed convolution and
correlation", 1966), with transforms of our own that take a vector of channels (or of tiles) side by side.
Spectra of tiles are kept for a block of tiles; those of the weights never exist as a whole, each column is
made from the transforms of the kernel's rows when it is multiplied. Stride and dilation become phases of a
dense problem (fft_tiled_layout); grad_input is the same with flipped, swapped weights; grad_weight sums the
products over tiles and images and transforms back once.
"""

from __future__ import annotations

import math
from functools import lru_cache

from ..core.flops import compulsory_bytes
from ..core.problem import ConvProblem
from ..core.workspace import aligned
from . import fft_tiled_search as search
from .base import UNIT_ROUNDOFF, Array, Backend, Cost, Epilogue, Rates
from .fft_tiled_layout import CHANNELS, LENGTHS, Tiles, arrays, layout, lines, split

_LONGEST = 80  # taps: beyond, tiles and kernels no longer fit in cache
_OWN = 2 << 20  # bytes of all arrays that the cores' own caches hold
_SHARED = 24 << 20  # bytes from which on most comes from memory
_KEPT = 16 << 20  # bytes of row transforms of weights that a plan keeps

# Measured on an AMD EPYC 9005 (Zen 5, AVX-512), 2026-11-22
_NEAR = 0.48, 0.59, 0.73  # time against the count, for each kind of lanes: while everything is in cache
_FAR = 1.13, 1.3, 1.02  # and beyond
_MOVED = 0.9  # of the time that a copy of all arrays takes
_NOTHING = Epilogue(None, None, "")

# against the other algorithms, by bytes of a vector; planes by themselves, where the others are slower, too:
# Xeon with AMX, 2026-11-30; EPYC 7003, 2026-12-01
_SLOW, _SLOW_PLANES = {64: 1.2, 32: 1.9}, 1.2


class FftTiled(Backend):
    """Tiles of 16x16 to 144x144; lanes are channels, or tiles of one channel."""

    algorithm = "fft_tiled"
    adds_bias = fuses = True
    spreads_nonfinite = True

    def refuse(self, p: ConvProblem, pass_: str) -> str | None:
        taps = max(line.taps for line in lines(p, pass_))
        if taps > _LONGEST:
            return f"kernel {p.kh}x{p.kw}: more than {_LONGEST} taps along an axis, tiles would not stay in cache"
        return None

    def layout(self, p: ConvProblem, pass_: str) -> tuple[bool, bool]:
        """As the arrays lie, where lanes are channels whatever the tiles."""
        enough = min(p.ci, p.co) // p.g >= self._lanes(p)
        return p.x_last and enough, p.y_last and enough

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Tiles:
        return search.choose(p, pass_, threads, self._lanes(p))

    def workspace(self, p: ConvProblem, pass_: str, cfg: Tiles, threads: int) -> int:
        return layout(p, pass_, cfg, threads, self._lanes(p))[1].nbytes

    def cost(self, p: ConvProblem, pass_: str, cfg: Tiles, threads: int, rates: Rates) -> Cost:
        lanes = self._lanes(p)
        flops, moved = 2.0 * lanes * search.work(p, pass_, cfg, 1, lanes), compulsory_bytes(p)
        held = moved + self.workspace(p, pass_, cfg, threads)
        work = 2.0 * lanes * search.work(p, pass_, cfg, threads, lanes)
        seconds = self._slow(p) * _seconds(work, cfg.mode, held, moved, threads, rates)
        return Cost(flops, moved, seconds + _launches(p, cfg.mode, threads, rates))

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        lanes, moved = self._lanes(p), compulsory_bytes(p)
        return min(
            self._slow(p) * _seconds(2.0 * lanes * work, mode, moved + held, moved, threads, rates)
            for mode, work, held in search.floors(p, pass_, threads, lanes)
        )

    def _slow(self, p: ConvProblem) -> float:
        return _SLOW_PLANES if p.ci == p.co == p.g else _SLOW.get(self.vector_bytes, _SLOW[32])

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        return _bound(p, pass_)[0]

    def worst_case_bound(self, p: ConvProblem, pass_: str) -> float:
        return _bound(p, pass_)[1]

    def prepare(self, p: ConvProblem, cfg: Tiles, w: Array) -> Array | None:
        """Row transforms of the weights; their spectra would take longer to fetch than to make from these."""
        lanes = self._lanes(p)
        q, room = layout(p, "forward", cfg, 1, lanes)
        size = p.g * q.sblocks // q.cib * q.ci * q.dblocks * q.unit_r * lanes
        if cfg.mode != CHANNELS or size * p.itemsize > _KEPT:
            return None
        rows: Array = aligned(p.dtype, size * p.itemsize)[:size]
        work = aligned(p.dtype, room.nbytes)
        self.steps(p.dtype).fft_tiled_weights(w, rows, work, *arrays(p, "forward", cfg, 1, lanes), 1)
        return rows

    def forward(
        self,
        p: ConvProblem,
        cfg: Tiles,
        x: Array,
        w: Array,
        bias: Epilogue | None,
        y: Array,
        work: Array,
        threads: int,
        packed: Array | None = None,
    ) -> None:
        self._run(p, "forward", cfg, x, w, bias or _NOTHING, y, work, threads, packed)

    def grad_input(self, p: ConvProblem, cfg: Tiles, dy: Array, w: Array, dx: Array, work: Array, threads: int) -> None:
        if math.gcd(p.sh, p.dh) > 1 or math.gcd(p.sw, p.dw) > 1:
            dx[...] = 0  # pixels that no tap meets
        self._run(p, "grad_input", cfg, dy, w, _NOTHING, dx, work, threads, None)

    def grad_weight(
        self, p: ConvProblem, cfg: Tiles, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        steps, sizes = self.steps(p.dtype), arrays(p, "grad_weight", cfg, threads, self._lanes(p))
        channels, points = steps.fft_tiled_channels_grad_weight, steps.fft_tiled_points_grad_weight
        (channels if cfg.mode == CHANNELS else points)(dy, x, dw, work, *sizes, threads)

    def _run(
        self,
        p: ConvProblem,
        pass_: str,
        cfg: Tiles,
        x: Array,
        w: Array,
        after: Epilogue,
        y: Array,
        work: Array,
        threads: int,
        rows: Array | None,
    ) -> None:
        steps, sizes = self.steps(p.dtype), arrays(p, pass_, cfg, threads, self._lanes(p))
        none = work[:0]
        rows, bias, residual = (none if a is None else a for a in (rows, after.bias, after.residual))
        if cfg.mode == CHANNELS:
            steps.fft_tiled_channels(x, w, rows, bias, residual, y, work, *sizes, after.code, threads)
        else:
            steps.fft_tiled_points(x, w, bias, residual, y, work, *sizes, after.code, threads)


def _launches(p: ConvProblem, mode: int, threads: int, rates: Rates) -> float:
    """Seconds until threads are at work."""
    return (0 if threads == 1 else 3 * p.g if mode == CHANNELS else 2) * rates.launch_us * 1e-6


def _seconds(work: float, mode: int, held: int, moved: int, threads: int, rates: Rates) -> float:
    """Time of so many operations on arrays of so many bytes, scratch memory included; without launches."""
    far = min(1.0, max(0.0, (held - _OWN) / (_SHARED - _OWN)))
    measured = _NEAR[mode] + far * (_FAR[mode] - _NEAR[mode])
    copied = _MOVED * moved / ((rates.copy_gbs if threads == 1 else rates.copy_gbs_all) * 1e9)
    return measured * work / (rates.fma_gflops * 1e9) + copied + 3e-6


@lru_cache(4096)
def _bound(p: ConvProblem, pass_: str) -> tuple[float, float]:
    """Errors of the three transforms and of the sums of products, relative to max|x| sum|w|.

    A transform of n numbers errs by about ``sqrt(log2 n) u`` of its 2-norm (Higham and Mary 2019; Schatzman,
    "Accuracy of the discrete Fourier transform and the fast Fourier transform", 1996). By Parseval a
    relative error of a tile's spectrum is one of ``|x|_2 |w|_2 / T <= max|x| sum|w|`` in its n = T * T outputs;
    tiles and channels add as squares. In the worst case errors grow with log2 n and all meet in one output.
    """
    h, w = lines(p, pass_)
    n = LENGTHS[-1] ** 2
    count = (p.co if pass_ == "grad_input" else p.ci) // p.g
    if pass_ == "grad_weight":
        count = p.n * math.prod(split(line, search.shortest(line))[1] * line.images for line in (h, w))
    u = UNIT_ROUNDOFF[p.dtype]
    return u * (6 * math.sqrt(math.log2(n)) + math.sqrt(count)), u * (9 * math.log2(n) + count) * math.sqrt(n)
