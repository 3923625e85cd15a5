"""FFT convolution: by the convolution theorem a correlation is a product of spectra, Y = X * conj(W).

Stockham, "High-speed convolution and correlation" (1966). Images are cut into tiles that overlap by one tap
less than the kernel (overlap-save: Oppenheim and Schafer, "Discrete-time signal processing", section 8.7),
so that memory stays bounded whatever the size of the image. SciPy transforms, the engine multiplies the
spectra and sums them over channels: a matrix product for every frequency. grad_input is the product
dX = dY * W; grad_weight sums X * conj(dY) over all tiles and images, and is transformed back once.

Stride and dilation leave no trace in the transforms: they split the image into phases (overlap_save.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from ..core.flops import compulsory_bytes
from ..core.problem import ConvProblem
from ..engines.records import FftProducts, pack
from .base import UNIT_ROUNDOFF, Array, Backend, Cost, Rates
from .overlap_save import Tiles, axes, gather, grid, lengths, scatter
from .spectra import inverse, numbers, transform, transforming

_CHUNK = 8 << 20  # bytes of spectra of one chunk of tiles
_WEIGHTS = 32 << 20  # bytes of spectra of weights at a time
_KEPT = 256 << 20  # bytes of spectra that a plan keeps
_TRANSFORM = {"float32": 0.28e-9, "float64": 0.46e-9}  # seconds for a pixel and unit of `_effort`, one core
_PRODUCT = 0.35  # of the FMA peak, reached by the products
_SHORT = 5e7  # products that are not shared: for milliseconds after, idle OpenMP threads keep SciPy's off the cores
_TILE, _CALLS = 4e-6, 60e-6  # seconds of Python for a tile's phase and for a chunk


def _keeps(p: ConvProblem, cfg: Tiles) -> bool:
    """Whether the spectra of all weights are few enough to keep."""
    c, o = _planes(p, "forward")
    return p.g * c * o * 2 * cfg.th * (cfg.tw // 2 + 1) * p.itemsize <= _KEPT


def _planes(p: ConvProblem, pass_: str) -> tuple[int, int]:
    """Channels that are summed over and outputs, of a group, phases included."""
    h, w = axes(p, pass_)
    c, o = p.ci // p.g * h.channels * w.channels, p.co // p.g
    return (o, c) if pass_ == "grad_input" else (c, o)


def _effort(pixels: int) -> float:
    """Of a transform, a pixel: small ones are mostly calls."""
    return math.log2(max(2, pixels)) + 3.6 + 6400 / pixels


@lru_cache(4096)
def _choose(p: ConvProblem, pass_: str) -> tuple[float, int, int]:
    """Seconds on one core, in units of a pixel's transform, and the tile's lengths that take the fewest."""
    h, w = axes(p, pass_)
    c, o = _planes(p, pass_)
    many = p.n * h.images * w.images
    best = (math.inf, 0, 0)
    for nh, th in lengths(h):
        for nw, tw in lengths(w):
            tiles = many * nh * nw
            transforms = tiles * (c + o) + c * o * 0.6  # of weights only the rows that are not zero
            units = p.g * th * tw * (transforms * _effort(th * tw) + tiles * c * o * 0.1)
            best = min(best, (units, th, tw))
    return best


class Fft(Backend):
    """SciPy's transforms over tiles; spectra are multiplied by the engine."""

    algorithm = "fft"
    spreads_nonfinite = True

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Tiles:
        _, th, tw = _choose(p, pass_)
        c, o = _planes(p, pass_)
        plane = 2 * th * (tw // 2 + 1) * p.itemsize
        tiles = min(max(_CHUNK // (plane * p.g * (c + o)), 1), math.prod(grid(p, pass_, th, tw)))
        per_group = plane * c * o
        if per_group <= _WEIGHTS:
            return Tiles(th, tw, tiles, min(_WEIGHTS // per_group, p.g), _outputs(p, pass_))
        return Tiles(th, tw, tiles, 1, max(1, _outputs(p, pass_) * _WEIGHTS // per_group))

    def workspace(self, p: ConvProblem, pass_: str, cfg: Tiles, threads: int) -> int:
        """Tiles and products in ``work``; and what SciPy allocates meanwhile, which leaves ``work`` untouched."""
        return self._workspace(p, pass_, cfg, False)

    def spares(self, p: ConvProblem, cfg: Tiles, threads: int) -> int:
        if not _keeps(p, cfg):
            return 0
        return self._workspace(p, "forward", cfg, False) - self._workspace(p, "forward", cfg, True)

    def _workspace(self, p: ConvProblem, pass_: str, cfg: Tiles, packed: bool) -> int:
        (h, w), size, (c, o) = axes(p, pass_), numbers(cfg), _planes(p, pass_)
        weights = cfg.groups * c * -(-o * cfg.outputs // _outputs(p, pass_))
        rows, cols, tiles = cfg.th - h.taps + 1, cfg.tw - w.taps + 1, cfg.tiles * cfg.groups
        o = weights // (cfg.groups * c)
        if pass_ == "grad_weight":
            own = weights * size + tiles * max(c * cfg.th * cfg.tw, o * rows * cols)
            made = max(tiles * (c * size + o * transforming(cfg, rows, cols)), weights * h.taps * cfg.tw)
        else:
            own = tiles * max(c * cfg.th * cfg.tw, o * size)
            xs, made = tiles * c * size, tiles * o * rows * cfg.tw
            held = xs if cfg.outputs < _outputs(p, pass_) else 0  # while the next weights are transformed
            first = held + weights * (h.taps * w.taps + transforming(cfg, h.taps, w.taps))
            made = xs + made if packed else max(first, weights * size + xs + made)
        return (own + made) * p.itemsize

    def cost(self, p: ConvProblem, pass_: str, cfg: Tiles, threads: int, rates: Rates) -> Cost:
        c, o = _planes(p, pass_)
        h, w = axes(p, pass_)
        tiles, pixels = math.prod(grid(p, pass_, cfg.th, cfg.tw)), cfg.th * cfg.tw
        again = -(-_outputs(p, pass_) // cfg.outputs) if tiles > cfg.tiles else 1
        ffts = p.g * (tiles * (c * again + o) + 0.6 * c * o)
        products = 4.0 * p.g * tiles * c * o * pixels
        seconds = ffts * pixels * _effort(pixels) * _TRANSFORM[p.dtype] / math.sqrt(threads)
        seconds += products / (_PRODUCT * rates.fma_gflops * 1e9 * threads)
        moved = 4.0 * ffts * pixels * p.itemsize
        chunks = -(-tiles // cfg.tiles) * -(-p.g // cfg.groups) * again
        phases = h.channels * w.channels + 1
        seconds += chunks * _CALLS + tiles * again * phases * _TILE
        flops = products + 2.5 * ffts * pixels * math.log2(max(2, pixels))
        return Cost(flops, compulsory_bytes(p) + moved, seconds)

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        """One chunk; tiles that overlap by nothing, of the size whose pixels cost least."""
        (h, w), (c, o) = axes(p, pass_), _planes(p, pass_)
        points = float(p.g * p.n * h.images * w.images * (h.last - h.first) * (w.last - w.first))
        seconds = points * (c + o) * 17 * _TRANSFORM[p.dtype] / math.sqrt(threads)
        return _CALLS + seconds + 4.0 * points * c * o / (_PRODUCT * rates.fma_gflops * 1e9 * threads)

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        """Errors of a transform grow like the logarithm of its length, of the sums like a square root.

        Relative to the energy of its input each of the three transforms errs by at most u times log2 of the
        pixels (Higham, "Accuracy and stability of numerical algorithms", theorem 24.2, whose constants
        random errors stay below); energy spreads evenly over the tile's pixels.
        """
        log, terms = self._growth(p, pass_)
        return UNIT_ROUNDOFF[p.dtype] * (2 * log + math.sqrt(terms))

    def worst_case_bound(self, p: ConvProblem, pass_: str) -> float:
        """The same where all of the energy of the errors meets in one pixel."""
        log, terms = self._growth(p, pass_)
        _, th, tw = _choose(p, pass_)
        return UNIT_ROUNDOFF[p.dtype] * math.sqrt(th * tw) * (8 * log + terms)

    def _growth(self, p: ConvProblem, pass_: str) -> tuple[float, int]:
        """log2 of a tile's pixels, and how many products of spectra are summed."""
        _, th, tw = _choose(p, pass_)
        summed = math.prod(grid(p, pass_, th, tw)) if pass_ == "grad_weight" else _planes(p, pass_)[0]
        return math.log2(max(2, th * tw)), summed

    def prepare(self, p: ConvProblem, cfg: Tiles, w: Array) -> Any:
        """The spectra of the weights, block by block, unless they are too many to keep."""
        if not _keeps(p, cfg):
            return None
        return [self._weights(p, "forward", cfg, w, block, 1) for block in self._blocks(p, "forward", cfg)]

    def forward(
        self,
        p: ConvProblem,
        cfg: Tiles,
        x: Array,
        w: Array,
        bias: Array | None,
        y: Array,
        work: Array,
        threads: int,
        packed: Any = None,
    ) -> None:
        self._filter(p, "forward", cfg, x, w, y, work, threads, packed)

    def grad_input(self, p: ConvProblem, cfg: Tiles, dy: Array, w: Array, dx: Array, work: Array, threads: int) -> None:
        dx[...] = 0  # pixels that no output reads
        self._filter(p, "grad_input", cfg, dy, w, dx, work, threads, None)

    def grad_weight(
        self, p: ConvProblem, cfg: Tiles, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        (h, w), size = axes(p, "grad_weight"), numbers(cfg)
        c, o = _planes(p, "grad_weight")
        outputs = 0, 0, cfg.th - h.taps + 1, cfg.tw - w.taps + 1
        for g0, g1, j0, j1 in self._blocks(p, "grad_weight", cfg):
            g, n = g1 - g0, j1 - j0
            total = work[: g * n * c * size].reshape(g, n, -1, h.channels, w.channels, size)
            room = work[total.size :]
            for tiles in self._chunks(p, "grad_weight", cfg):
                xs = gather(p, "grad_weight", cfg, x, tiles, "input", (g0, g1, 0, p.ci // p.g), None, room)
                xs = transform(xs, cfg, threads)
                ds = gather(p, "grad_weight", cfg, dy, tiles, "output", (g0, g1, j0, j1), outputs, room)
                ds = transform(ds, cfg, threads, "forward")
                steps = 1, g * c, c, 1, g * n, n, 1, c, n * c
                self._multiply(p, xs, ds, total, g, (c, n, len(tiles)), steps, True, tiles.start > 0, threads)
                del xs, ds
            taps = inverse(total, cfg, slice(h.taps), threads)
            to = dw.reshape(p.g, o, p.ci // p.g, p.kh, p.kw)[g0:g1, j0:j1]
            for a, b in np.ndindex(h.channels, w.channels):
                phase = to[..., a :: h.channels, b :: w.channels]
                phase[...] = taps[:, :, :, a, b, : phase.shape[3], : phase.shape[4]]
            del taps

    def _filter(
        self,
        p: ConvProblem,
        pass_: str,
        cfg: Tiles,
        x: Array,
        w: Array,
        y: Array,
        work: Array,
        threads: int,
        packed: Any,
    ) -> None:
        """forward, or grad_input with dy for x and dx for y: block of weights by block, chunk of tiles by chunk."""
        (h, v), adjoint = axes(p, pass_), pass_ == "grad_input"
        source, sink = ("output", "input") if adjoint else ("input", "output")
        depth = (p.co if adjoint else p.ci) // p.g
        c, phases = _planes(p, pass_)[0], h.channels * v.channels if adjoint else 1
        back = (h.taps - 1, v.taps - 1) if adjoint else (0, 0)  # a pixel of dx meets the outputs up to so far before it
        whole = -back[0], -back[1], cfg.th, cfg.tw
        kept: Any = None
        xs: Any = None
        for k, block in enumerate(self._blocks(p, pass_, cfg)):
            if block[2] == 0:  # other groups
                xs = kept = None
            ws = self._weights(p, pass_, cfg, w, block, threads) if packed is None else packed[k]
            g, n = block[1] - block[0], (block[3] - block[2]) * phases
            for tiles in self._chunks(p, pass_, cfg):
                if kept != (block[:2], tiles):
                    xs = None
                    xs = gather(p, pass_, cfg, x, tiles, source, (*block[:2], 0, depth), whole, work)
                    xs, kept = transform(xs, cfg, threads), (block[:2], tiles)
                ys = work[: len(tiles) * g * n * numbers(cfg)].reshape(len(tiles), g, n, -1)
                steps = g * c, 1, c, *((1, n) if adjoint else (c, 1)), n * c, g * n, 1, n
                self._multiply(p, xs, ws, ys, g, (len(tiles), n, c), steps, not adjoint, False, threads)
                made = inverse(ys, cfg, slice(back[0], back[0] + cfg.th - h.taps + 1), threads)
                scatter(p, pass_, cfg, made[..., back[1] :], y, tiles, sink, block)
                del made
            del ws

    def _multiply(
        self,
        p: ConvProblem,
        x: Array,
        w: Array,
        y: Array,
        groups: int,
        counts: tuple[int, ...],
        steps: tuple[int, ...],
        conjugate: bool,
        add: bool,
        threads: int,
    ) -> None:
        """The engine's step on real views; ``steps`` in spectra."""
        xs, ws, ys = (a.reshape(-1).view(p.dtype) for a in (x, w, y))
        size = y.shape[-1]
        if 4.0 * groups * math.prod(counts) * size < _SHORT:
            threads = 1
        record = _products(size, groups, counts, steps)
        self.steps(p.dtype).spectral_multiply(xs, ws, ys, record, conjugate, add, threads)

    def _weights(self, p: ConvProblem, pass_: str, cfg: Tiles, w: Array, block: tuple[int, ...], threads: int) -> Array:
        """Spectra of a block of weights, (groups, outputs, inputs, phases..., th, tw // 2 + 1)."""
        (h, v), (g0, g1, j0, j1) = axes(p, pass_), block
        w = w.reshape(p.g, p.co // p.g, p.ci // p.g, p.kh, p.kw)[g0:g1]
        w = w[:, :, j0:j1] if pass_ == "grad_input" else w[:, j0:j1]
        taps = np.zeros((*w.shape[:3], h.channels, v.channels, h.taps, v.taps), p.dtype)
        for a, b in np.ndindex(h.channels, v.channels):
            phase = w[..., a :: h.channels, b :: v.channels]
            taps[:, :, :, a, b, : phase.shape[3], : phase.shape[4]] = phase
        return transform(taps, cfg, threads, "forward")

    def _blocks(self, p: ConvProblem, pass_: str, cfg: Tiles) -> Iterator[tuple[int, int, int, int]]:
        """Groups [g0, g1) and outputs [j0, j1) of each whose weights are transformed together."""
        n = _outputs(p, pass_)
        for g in range(0, p.g, cfg.groups):
            for j in range(0, n, cfg.outputs):
                yield g, min(g + cfg.groups, p.g), j, min(j + cfg.outputs, n)

    def _chunks(self, p: ConvProblem, pass_: str, cfg: Tiles) -> Iterator[range]:
        total = math.prod(grid(p, pass_, cfg.th, cfg.tw))
        for t in range(0, total, cfg.tiles):
            yield range(t, min(t + cfg.tiles, total))


@lru_cache(1024)
def _products(size: int, groups: int, counts: tuple[int, ...], steps: tuple[int, ...]) -> Array:
    return pack(FftProducts(size, groups, *counts, *(n * size for n in steps)))


def _outputs(p: ConvProblem, pass_: str) -> int:
    return (p.ci if pass_ == "grad_input" else p.co) // p.g
