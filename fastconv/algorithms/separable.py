"""Separable convolution: a kernel of low rank is a sum of a few columns times rows, filtered one after the other.

A K x K kernel of rank r costs r (K + K) products instead of K K. Which kernels are of low rank only their
values tell (low_rank.py), so this backend is asked for the weights at hand: `Separable.with_weights` is the
same backend for just these, and the only one that runs. Images and depthwise layers are filtered by one fused
step, whose intermediate rows never leave the cache; for layers of many channels a Kx1 and a 1xK convolution are
left to the plain backends, an image at a time.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..core.flops import compulsory_bytes
from ..core.problem import ConvProblem
from ..core.workspace import Scratch
from ..engines.records import SeparableBands, pack
from .base import UNIT_ROUNDOFF, Array, Backend, Cost, Epilogue, Rates
from .direct import Direct
from .im2col import Im2col
from .low_rank import Factors, by_pivot, by_values, exact, may_be_outer

_PAIRS = 64  # channel pairs a group up to which the fused step is used
_BAND = 192 << 10  # bytes of rows between the two filters: in second-level cache
_GROWTH = 4  # by which terms of factors may be larger than the kernel
_COLUMNS, _ROWS = 0.68, 0.44  # of the FMA peak
_ROW, _THIN = 1e-8, 1.6  # seconds for a row beside its products; how much slower helpers are than they expect
_HELPERS = Direct, Im2col  # for many channels: the first that takes planes as they lie


class Bands(NamedTuple):
    """Output rows between column and row filter, shares of an image; numbers of a column phase and of a thread."""

    rank: int
    rows: int
    bands: int
    wph: int
    per_thread: int


class Pair(NamedTuple):
    """Which helpers filter columns and rows, and their configurations."""

    rank: int
    first: int
    second: int
    first_cfg: Any
    second_cfg: Any


class Separable(Backend):
    """Columns, then rows; `factors` are those of the weights at hand, None in the table of backends.

    NaN and Inf reach the outputs whose window holds them and no others, but terms of several ranks may make NaN
    of an Inf.
    """

    algorithm = "separable"
    adds_bias = True
    by_value = True
    exact = False
    factors: Factors | None = None

    def refuse(self, p: ConvProblem, pass_: str) -> str | None:
        if pass_ == "grad_weight":
            return "the gradient of a full kernel has no factors: separable_conv2d_backward gives that of the factors"
        if min(p.kh, p.kw) == 1:
            return "a kernel of one row or column is separated already"
        return None

    def with_weights(
        self, p: ConvProblem, pass_: str, w: Array, rtol: float | None, quick: bool = False
    ) -> Separable | None:
        """This backend for just these weights, of any rank; or None if `quick` and they are not of rank 1.

        Without ``rtol`` factors are exact up to rounding; with one, the rank is the lowest within it.
        """
        if quick and not may_be_outer(w[0, 0]):
            return None
        allowed = _exact(p, pass_)
        if rtol is not None:
            allowed = max(allowed, rtol - _GROWTH * self._rounding(p, pass_, _full_rank(p, pass_)))
        shape = (p.g, p.co // p.g, p.ci // p.g, p.kh, p.kw)
        return _found(self, w.tobytes(), shape, p.dtype, _swapped(p, pass_), quick, allowed)

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Bands | Pair:
        rank = self.factors.rank if self.factors else _full_rank(p, pass_)
        if not _fused(p, pass_):
            (q1, q2), pair = _problems(p, rank), self._helpers()
            first, second = (next(k for k, b in enumerate(pair) if not any(b.layout(q, pass_))) for q in (q1, q2))
            return Pair(
                rank,
                first,
                second,
                pair[first].configure(q1, pass_, threads),
                pair[second].configure(q2, pass_, threads),
            )
        q = _seen(p, pass_)
        line = 64 // p.itemsize
        left, reach = max(0, q.pl), (q.kw - 1) * q.dw // q.sw
        wph = max(-(-(left + _up(q.iw, line)) // q.sw), _up(q.ow, 4 * line) + reach + 1)
        wph = _up(wph, line) // line // 2 * 2 * line + line  # an odd number of cache lines
        apart = q.dh // math.gcd(q.sh, q.dh)
        rows = max(_BAND // (rank * q.sw * wph * p.itemsize) // (4 * apart) * 4 * apart, min(4, q.oh))
        bands = -(-q.oh // min(rows, q.oh))
        while q.n * q.g * bands % threads and bands < q.oh:  # as many for every thread
            bands += 1
        rows = -(-q.oh // bands)
        return Bands(rank, rows, bands, wph, _up(rank * rows * q.sw * wph + 4 * (_up(q.iw, line) + 4 * line), line))

    def workspace(self, p: ConvProblem, pass_: str, cfg: Bands | Pair, threads: int) -> int:
        if isinstance(cfg, Bands):
            return threads * cfg.per_thread * p.itemsize
        (q1, q2), pair = _problems(p, cfg.rank), self._helpers()
        used = pair[cfg.first].workspace(q1, pass_, cfg.first_cfg, threads)
        used = max(used, pair[cfg.second].workspace(q2, pass_, cfg.second_cfg, threads))
        return _scratch(p, cfg.rank).nbytes + used

    def cost(self, p: ConvProblem, pass_: str, cfg: Bands | Pair, threads: int, rates: Rates) -> Cost:
        """That of the rank found, or of rank 1."""
        rank = self.factors.rank if self.factors else 1
        if not isinstance(cfg, Bands):
            pair, total = self._helpers(), [0.0, 0.0, 0.0]
            for q, k in zip(_problems(p, rank), (cfg.first, cfg.second), strict=True):
                cost = pair[k].cost(q, pass_, pair[k].configure(q, pass_, threads), threads, rates)
                total = [t + p.n * c for t, c in zip(total, cost, strict=True)]
            total[2] *= _THIN
            return Cost(*total)
        q = _seen(p, pass_)
        lanes = self._lanes(p)
        columns = 2.0 * q.n * rank * q.ci * q.kh * q.oh * _up(q.iw, lanes)
        rows = 2.0 * q.n * rank * q.co * q.kw * q.oh * _up(q.ow, lanes)
        peak, moved = rates.fma_gflops * 1e9 * threads, compulsory_bytes(p)
        between = 2.0 * q.n * q.g * rank * q.oh * q.iw * p.itemsize * (2 if q.sw > 1 else 1)
        seconds = columns / (_COLUMNS * peak) + rows / (_ROWS * peak)
        seconds += (moved + 0.3 * between) / (2 * rates.copy_gbs * 1e9 * threads) + rates.launch_us * 1e-6
        seconds += q.n * q.g * (rank * q.oh * _ROW + cfg.bands * 2e-7) / threads
        return Cost(columns + rows, moved, seconds)

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        """Half of the products of a column and a row filter: others may fall on padding."""
        rank, pixels = self.factors.rank if self.factors else 1, p.n * min(p.ih, p.oh) * min(p.iw, p.ow)
        return rank * pixels * (p.ci * p.kh + p.co * p.kw) / (rates.fma_gflops * 1e9 * threads)

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        """Rounding of two plain sums, times how much larger their terms are; and what the factors leave out."""
        if self.factors is None:
            return _GROWTH * self._rounding(p, pass_, _full_rank(p, pass_)) + _exact(p, pass_)
        return self._rounding(p, pass_, self.factors.rank) * max(1.0, self.factors.growth) + self.factors.left_out

    def worst_case_bound(self, p: ConvProblem, pass_: str) -> float:
        rank, growth, left_out = _full_rank(p, pass_), float(_GROWTH), _exact(p, pass_)
        if self.factors is not None:
            rank, growth, left_out = self.factors.rank, max(1.0, self.factors.growth), self.factors.left_out
        deep = (p.co if pass_ == "grad_input" else p.ci) // p.g
        return UNIT_ROUNDOFF[p.dtype] * (deep * max(p.kh, p.kw) + rank * max(p.kh, p.kw) + 2) * growth + left_out

    def prepare(self, p: ConvProblem, cfg: Bands | Pair, w: Array) -> Any:
        """The helpers' own form of the factors."""
        if isinstance(cfg, Bands) or self.factors is None:
            return None
        (q1, q2), pair, (w1, w2) = _problems(p, cfg.rank), self._helpers(), _as_weights(self.factors)
        return pair[cfg.first].prepare(q1, cfg.first_cfg, w1), pair[cfg.second].prepare(q2, cfg.second_cfg, w2)

    def forward(
        self,
        p: ConvProblem,
        cfg: Bands | Pair,
        x: Array,
        w: Array,
        bias: Array | None,
        y: Array,
        work: Array,
        threads: int,
        packed: Any = None,
    ) -> None:
        if isinstance(cfg, Bands):
            self._rows(p, cfg, x, bias, y, work, threads)
            return
        (q1, q2), pair, (w1, w2) = _problems(p, cfg.rank), self._helpers(), _as_weights(self.factors)
        room, (one, two) = _scratch(p, cfg.rank).take(work), packed or (None, None)
        between, rest, second = room["between"], room["rest"], pair[cfg.second]
        own = Epilogue(bias, None, "") if second.fuses else None
        for i in range(p.n):
            pair[cfg.first].forward(q1, cfg.first_cfg, x[i : i + 1], w1, None, between, rest, threads, one)
            second.forward(q2, cfg.second_cfg, between, w2, own, y[i : i + 1], rest, threads, two)
        if bias is not None and own is None:
            y += bias[:, None, None]

    def grad_input(
        self, p: ConvProblem, cfg: Bands | Pair, dy: Array, w: Array, dx: Array, work: Array, threads: int
    ) -> None:
        if isinstance(cfg, Bands):
            self._rows(_seen(p, "grad_input"), cfg, dy, None, dx, work, threads)
            return
        (q1, q2), pair, (w1, w2) = _problems(p, cfg.rank), self._helpers(), _as_weights(self.factors)
        room = _scratch(p, cfg.rank).take(work)
        between, rest = room["between"], room["rest"]
        for i in range(p.n):
            pair[cfg.second].grad_input(q2, cfg.second_cfg, dy[i : i + 1], w2, between, rest, threads)
            pair[cfg.first].grad_input(q1, cfg.first_cfg, between, w1, dx[i : i + 1], rest, threads)

    def _rows(
        self, q: ConvProblem, cfg: Bands, x: Array, bias: Array | None, y: Array, work: Array, threads: int
    ) -> None:
        """The fused step, on a problem as `_seen` makes it."""
        f, none = self.factors, np.empty(0, q.dtype)
        assert f is not None
        self.steps(q.dtype).separable_rows(
            x, f.col, f.row, none if bias is None else bias, y, work, _bands(q, cfg), threads
        )

    def _helpers(self) -> tuple[Backend, ...]:
        return tuple(kind(self.engine, self._load, self.vector_bytes) for kind in _HELPERS)

    def _rounding(self, p: ConvProblem, pass_: str, rank: int) -> float:
        """Of two plain sums, as `plain_bound`: factors that are rounded count as two terms."""
        deep, taps = (p.co if pass_ == "grad_input" else p.ci) // p.g, max(p.kh, p.kw)
        return UNIT_ROUNDOFF[p.dtype] * (math.sqrt(deep * taps) + math.sqrt(rank * taps) + 2)


@lru_cache(8)
def _found(
    backend: Separable, values: bytes, shape: tuple[int, ...], dtype: str, swapped: bool, quick: bool, allowed: float
) -> Separable | None:
    """Factors are looked for once for the same weights."""
    w = np.frombuffer(values, dtype).reshape(shape)
    if swapped:
        w = w.swapaxes(1, 2)[..., ::-1, ::-1]
    factors = by_pivot(w) if quick else by_values(w, allowed)
    if factors is None:
        return None
    found = Separable(backend.engine, backend._load, backend.vector_bytes)
    found.factors, found.by_value = factors, False
    found.note = f"rank {factors.rank}, factors leave out {factors.left_out:.1e} of sum|w|"
    return found


@lru_cache(1024)
def _bands(q: ConvProblem, cfg: Bands) -> Array:
    return pack(SeparableBands(q.sh, q.sw, q.pt, q.pl, q.dh, q.dw, cfg.bands, cfg.rows, cfg.wph, cfg.per_thread))


def _fused(p: ConvProblem, pass_: str) -> bool:
    """Few channels a group; the adjoint of a strided filter has holes that the fused step does not know."""
    few = (p.ci // p.g) * (p.co // p.g) <= _PAIRS
    return few and (pass_ == "forward" or (p.sh, p.sw) == (1, 1))


def _swapped(p: ConvProblem, pass_: str) -> bool:
    return pass_ == "grad_input" and _fused(p, pass_)


def _seen(p: ConvProblem, pass_: str) -> ConvProblem:
    """The forward problem that the fused step solves."""
    q = p.adjoint() if pass_ == "grad_input" else p
    assert q is not None
    return q


def _full_rank(p: ConvProblem, pass_: str) -> int:
    c, o = p.ci // p.g, p.co // p.g
    return min(o * p.kh, c * p.kw) if _swapped(p, pass_) else min(c * p.kh, o * p.kw)


def _exact(p: ConvProblem, pass_: str) -> float:
    return exact(_full_rank(p, pass_), p.dtype)


def _problems(p: ConvProblem, rank: int) -> tuple[ConvProblem, ConvProblem]:
    """Columns of one image, and rows of the result."""
    mid = rank * p.g
    q1 = p._replace(n=1, co=mid, kw=1, sw=1, pl=0, pr=0, dw=1)
    return q1, p._replace(n=1, ci=mid, ih=p.oh, kh=1, sh=1, pt=0, pb=0, dh=1)


def _as_weights(f: Factors | None) -> tuple[Array, Array]:
    """Factors as the weights of a Kx1 and a 1xK convolution."""
    assert f is not None
    (g, r, c, kh), (_, o, _, kw) = f.col.shape, f.row.shape
    return f.col.reshape(g * r, c, kh, 1), f.row.reshape(g * o, r, 1, kw)


@lru_cache(1024)
def _scratch(p: ConvProblem, rank: int) -> Scratch:
    """What lies between the two convolutions, which get the rest."""
    room = Scratch(p.dtype)
    room.book("between", *_problems(p, rank)[0].y_shape)
    return room


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
