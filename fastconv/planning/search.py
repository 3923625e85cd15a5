"""The cheapest backend of one pass: costs are worked out only where they may decide."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..algorithms.base import Backend, Cost
from ..core.problem import HALVES, ConvProblem
from ..engines import loader
from .layouts import lying, plain_problem, scratch_bytes, transposed
from .rates import rates
from .rows import Row

DEFAULT_RTOL = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 2e-5, "float64": 1e-12}
# of a copy's bandwidth, beyond the caches: 1x1 kernels between transposes, 3 to 10 MB, 6 to 11 GB/s on an EPYC 7003
# (Zen 3, AVX2), 2026-12-01
_FAR = 0.45
_CACHED = 1 << 20  # bytes read and written up to which a transpose stays in the caches, and is twice as fast
_CALL = 0.5  # microseconds of a step on one thread
_SERIAL_LAUNCHES = 3  # a loop shorter than this many launches is not worth one


class Setup(NamedTuple):
    """Block sizes of a backend, its number of threads, and what it then expects."""

    config: Any
    threads: int
    cost: Cost


class Search:
    """Backends for one pass of one problem; what is found out about one of them is kept.

    Parameters
    ----------
    p, pass_ : the problem as the caller states it
    rtol : largest error bound, None for the dtype's default
    threads : int
    limit : bytes of scratch memory, or None
    activation : what follows, see `Epilogue`
    kept : whether the weights of a forward pass are prepared
    named : bool
        Whether the caller named the backend: then there is no default tolerance.
    """

    def __init__(
        self,
        p: ConvProblem,
        pass_: str,
        rtol: float | None,
        threads: int,
        limit: int | None,
        activation: str = "",
        kept: bool = False,
        named: bool = False,
    ) -> None:
        self.problem, self.pass_, self.threads, self.limit = p, pass_, threads, limit
        self.plain = plain_problem(p)
        self.rates, self.activation, self._kept = rates(self.plain.dtype), activation, kept and pass_ == "forward"
        self._rounding = HALVES.get(p.dtype, 0.0)
        self._allowed = rtol if rtol is not None else math.inf if named else DEFAULT_RTOL[p.dtype]
        self._setups: dict[Backend, Setup] = {}
        self._refusals: dict[Backend, str | None] = {}
        self._inner: dict[Backend, ConvProblem] = {}
        self._floors: dict[Backend, float] = {}
        self._bounds: dict[Backend, float] = {}

    def cheapest(self, backends: Iterable[Backend]) -> Backend | None:
        """The fastest that does the pass within tolerance and memory; None if none does.

        What has to be compiled first is left out if anything else is able.
        """
        table = list(backends)
        compiled = [b for b in table if not compiles(b)]
        found = self._fastest(compiled)
        return found or self._fastest([b for b in table if compiles(b)])

    def _fastest(self, backends: list[Backend]) -> Backend | None:
        """The first of equals. Backends are looked at in the order of their floors, until the next cannot win."""
        able = [(self.floor(b), i) for i, b in enumerate(backends) if self.refusal(b) is None]
        best, found = (math.inf, 0), None
        for floor, i in sorted(able):
            if floor > best[0]:
                break
            b = backends[i]
            if self.bound(b) > self._allowed:
                continue
            mine = self.setup(b).cost.seconds, i
            if (found is None or mine < best) and self.objection(b) is None:
                best, found = mine, b
        return found

    def inner(self, b: Backend) -> ConvProblem:
        """The problem as the backend sees it."""
        found = self._inner.get(b)
        if found is None:
            found = self._inner[b] = lying(self.plain, b, self.pass_)
        return found

    def floor(self, b: Backend) -> float:
        """Seconds that the backend takes at least."""
        found = self._floors.get(b)
        if found is None:
            p = self.inner(b)
            found = b.floor(p, self.pass_, self.threads, self.rates)
            if (p.x_last, p.y_last) != (self.problem.x_last, self.problem.y_last):
                found += sum(transposed(self.problem, p)) * p.itemsize / (self.rates.copy_gbs_all * 1e9)
            self._floors[b] = found
        return found

    def refusal(self, b: Backend) -> str | None:
        """Why the backend cannot do the pass at all, or None."""
        if b not in self._refusals:
            self._refusals[b] = loader.absent(b.engine) or b.refuse(self.inner(b), self.pass_)
        return self._refusals[b]

    def objection(self, b: Backend) -> tuple[Any, str] | None:
        """(kind, reason) that speaks against a backend that could do the pass, or None."""
        bound = self.bound(b)
        if bound > self._allowed:
            return "tolerance", f"its error bound {bound:.1e} is above rtol {self._allowed:.1e}"
        if self.limit is not None and self.space(b) > self.limit:
            return "workspace", f"needs a workspace of {self.space(b)} bytes, max_workspace is {self.limit}"
        return None

    def setup(self, b: Backend) -> Setup:
        """Block sizes and threads: a problem too small for a parallel launch runs serial."""
        found = self._setups.get(b)
        if found is None:
            found = self._setups[b] = self._set_up(b)
        return found

    def bound(self, b: Backend) -> float:
        """The backend's error bound, with the rounding of the result."""
        found = self._bounds.get(b)
        if found is None:
            found = self._bounds[b] = b.error_bound(self.inner(b), self.pass_) + self._rounding
        return found

    def space(self, b: Backend) -> int:
        """Bytes of scratch memory."""
        config, n, _ = self.setup(b)
        return self._space(b, config, n)

    def row(self, b: Backend) -> Row:
        """The backend's line, as a candidate or refused."""
        why = self.refusal(b)
        if why is not None:
            return Row(b.name, "refused", "refused", why, 0.0, 0.0, 0, math.inf, 0.0, 0.0)
        flops, moved, seconds = self.setup(b).cost
        worst = b.worst_case_bound(self.inner(b), self.pass_) + self._rounding
        row = Row(b.name, "candidate", "candidate", b.note, flops, moved, self.space(b), seconds, self.bound(b), worst)
        against = self.objection(b)
        if against is not None:
            return row._replace(status="refused", kind=against[0], reason=against[1])
        if b.by_value:
            return row._replace(kind="by_value", reason=_BY_VALUE)
        if compiles(b):
            return row._replace(kind="compiles", reason="compiles on first use; auto prefers a compiled backend")
        return row

    def _set_up(self, b: Backend) -> Setup:
        p, pass_, rate, n = self.inner(b), self.pass_, self.rates, self.threads
        short = _SERIAL_LAUNCHES * rate.launch_us * 1e-6
        if n > 1 and self.floor(b) < short and b.floor(p, pass_, 1, rate) < short:
            config = b.configure(p, pass_, 1)
            cost = self._cost(b, p, config, 1)
            if cost.seconds < short:
                return Setup(config, 1, self._with_steps(b, p, cost, 1))
        config = b.configure(p, pass_, n)
        if self.limit is not None and n > 1 and self._space(b, config, n) > self.limit:
            config, n = b.configure(p, pass_, 1), 1
        return Setup(config, n, self._with_steps(b, p, self._cost(b, p, config, n), n))

    def _cost(self, b: Backend, p: ConvProblem, config: Any, threads: int) -> Cost:
        cost = b.cost(p, self.pass_, config, threads, self.rates)
        if not self._kept:
            return cost
        return cost._replace(seconds=cost.seconds - b.saves(p, config, threads, self.rates))

    def _space(self, b: Backend, config: Any, threads: int) -> int:
        """Scratch memory of the backend, and of what the plan does around it."""
        p = self.inner(b)
        spared = b.spares(p, config, threads) if self._kept else 0
        return b.workspace(p, self.pass_, config, threads) - spared + scratch_bytes(self.problem, p)

    def _with_steps(self, b: Backend, p: ConvProblem, cost: Cost, threads: int) -> Cost:
        """The cost with that of transposing, and of an activation that the backend leaves to the plan."""
        sizes = [] if p is self.problem else transposed(self.problem, p)
        if self.activation and not b.fuses:
            sizes.append(math.prod(p.y_shape))
        if not sizes:
            return cost
        moved = 2 * sum(sizes) * p.itemsize
        bandwidth = self.rates.copy_gbs  # beyond the caches two threads are no faster: one reads what the other wrote
        if moved <= _CACHED:
            bandwidth = 2 * (bandwidth if threads == 1 else self.rates.copy_gbs_all)
        elif b.vector_bytes < 64:
            bandwidth *= _FAR
        launch = self.rates.launch_us if threads > 1 else _CALL
        seconds = moved / (bandwidth * 1e9) + len(sizes) * launch * 1e-6
        return Cost(cost.flops, cost.bytes + moved, cost.seconds + seconds)


_BY_VALUE = "if the weights' values allow it, which prepared plans look for, and calls for rank 1"


def compiles(b: Backend) -> bool:
    """Whether a first call would wait for a compiler although compiled kernels are there."""
    return b.jit and loader.absent("cython") is None
