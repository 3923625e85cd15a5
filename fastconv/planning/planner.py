"""Which backend for this problem: named, tuned, or cheapest by the cost model; and why not the others."""

from __future__ import annotations

import math
import os
from functools import lru_cache
from typing import Any

from ..algorithms.base import Backend
from ..core.errors import BackendRefused, WorkspaceError
from ..core.problem import ConvProblem
from ..engines import loader
from . import registry, tuning
from .plan import Plan, Row, border_bytes, inner_problem
from .rates import rates

DEFAULT_RTOL = {"float16": 1e-3, "float32": 2e-5, "float64": 1e-12}
_F16_ROUNDING = 2.0**-11  # of the result, which is computed in float32
_SERIAL_LAUNCHES = 3  # a loop shorter than this many launches is not worth one

_plans: dict[tuple[Any, ...], Plan] = {}
_MAX_PLANS = 4096
_LOOK = 20 * 15e-6  # a convolution that takes twenty times as long as seeing that weights are of no use
_MANY_WEIGHTS = 1 << 17  # that even a plan does not decompose on its own account
_environment = os.environ.get("FASTCONV_BACKEND", "").strip()


def plan(
    p: ConvProblem, pass_: str, backend: str, rtol: float | None, threads: int, max_workspace: int | None = None
) -> Plan:
    """The plan for a problem, cached until the registry or the tuning changes."""
    key = (p, pass_, backend, rtol, threads, max_workspace, registry.generation(), tuning.generation())
    found = _plans.get(key)
    if found is None:
        if len(_plans) >= _MAX_PLANS:
            _plans.clear()
        found = _plans[key] = _choose(p, pass_, backend, rtol, threads, max_workspace)
    return found


def candidates(
    p: ConvProblem,
    pass_: str,
    rtol: float | None,
    threads: int,
    max_workspace: int | None = None,
    backend: str = "auto",
    w: Any = None,
) -> list[Row]:
    """A row for every backend; the one that a call (with ``w``: a prepared plan) would use has status ``chosen``."""
    known = [_known(b, p, pass_, w, rtol) for b in registry.all_backends()]
    rows = [_row(b, p, pass_, rtol, threads, max_workspace) for b in known]
    try:
        name, why = _pick(rows, p, pass_, backend, rtol, threads)
        if w is not None:
            name = for_weights(plan(p, pass_, backend, rtol, threads, max_workspace), w, kept=True).backend.name
    except (BackendRefused, WorkspaceError, ValueError):
        return rows
    notes = {b.name: f"; {b.note}" for b in known if b.note}
    return [r._replace(status="chosen", reason=why + notes.get(name, "")) if r.backend == name else r for r in rows]


def check_rtol(rtol: Any) -> float | None:
    """A usable tolerance, or None for the dtype's default."""
    if rtol is None:
        return None
    if isinstance(rtol, (bool, str)) or not hasattr(rtol, "__float__"):
        raise TypeError(f"rtol must be a positive number or None, got {rtol!r}")
    value = float(rtol)
    if not (0 < value < math.inf):
        raise ValueError(f"rtol must be a positive number or None, got {rtol!r}")
    return value


def check_backend(backend: Any) -> str:
    """The argument, if it is a string at all."""
    if not isinstance(backend, str):
        raise TypeError(f"backend must be a string, got {backend!r}")
    return backend


def _choose(p: ConvProblem, pass_: str, backend: str, rtol: float | None, threads: int, limit: int | None) -> Plan:
    if backend == "auto" or "/" not in backend:
        rows = [_row(b, p, pass_, rtol, threads, limit) for b in registry.all_backends()]
    else:
        registry.find_backends(backend)
        rows = []
    name, why = _pick(rows, p, pass_, backend, rtol, threads, limit)
    chosen = registry.get_backend(name)
    inner = inner_problem(p)
    cfg, n = _configure(chosen, inner, pass_, threads, limit, border_bytes(p))
    row = _row(chosen, p, pass_, rtol, threads, limit, named=True)._replace(status="chosen", reason=why)
    by_value = chosen if chosen.by_value else None
    free = backend == "auto" and why != _ENVIRONMENT
    if free:
        better = [r for r in rows if r.reason == _BY_VALUE and r.predicted_seconds < row.predicted_seconds]
        if better and row.predicted_seconds > _LOOK:
            by_value = registry.get_backend(min(better, key=_preference).backend)
    fallback = None
    if backend == "auto" and chosen.spreads_nonfinite:
        plain = [b.name for b in registry.all_backends() if not (b.spreads_nonfinite or b.by_value)]
        able = [r for r in rows if r.backend in plain and r.status != "refused"]
        if able:
            fallback = plan(p, pass_, min(able, key=_preference).backend, rtol, threads, limit)
    return Plan(p, pass_, chosen, n, row, cfg, fallback, by_value, (free, rtol, threads, limit))


def for_weights(found: Plan, w: Any, kept: bool = False) -> Plan:
    """The plan for weights whose values are known, of the compute dtype; ``kept`` if it is run more than once.

    A `by_value` backend that was named takes any weights. Otherwise it has to be cheaper than the plan found,
    and to find out quickly, but for weights that are kept and few.
    """
    named = found.backend.by_value
    able = [found.by_value]
    if kept and found.asked[0]:
        able = [b for b in registry.all_backends() if b.by_value and not (b.jit and _compiled())]
    best = found
    for b in able:
        if b is None or loader.absent(b.engine) or b.refuse(found.inner, found.pass_):
            continue
        quick = not named and not (kept and w.size <= _MANY_WEIGHTS)
        exact = b.with_weights(found.inner, found.pass_, w, found.asked[1], quick)
        other = None if exact is None else _plan_of(exact, found.problem, found.pass_, *found.asked[1:], named)
        if other and (named or other.row.predicted_seconds < best.row.predicted_seconds):
            best = other
    return best


@lru_cache(64)
def _plan_of(
    b: Backend, p: ConvProblem, pass_: str, rtol: float | None, threads: int, limit: int | None, named: bool
) -> Plan | None:
    """The plan of a backend that knows its weights; None if it exceeds rtol or limit."""
    row = _row(b, p, pass_, rtol, threads, limit, named)
    if row.status == "refused":
        if not named:
            return None
        text = f"{b.name} cannot do {pass_} of {p} with these weights: {row.reason}"
        raise WorkspaceError(text) if row.reason.startswith(_OVER_LIMIT) else BackendRefused(text)
    cfg, n = _configure(b, inner_problem(p), pass_, threads, limit, border_bytes(p))
    return Plan(p, pass_, b, n, row._replace(status="chosen"), cfg)


def _known(b: Backend, p: ConvProblem, pass_: str, w: Any, rtol: float | None) -> Backend:
    """A `by_value` backend as it is for the weights, if they are given."""
    if w is None or not b.by_value or loader.absent(b.engine) or b.refuse(inner_problem(p), pass_):
        return b
    return b.with_weights(inner_problem(p), pass_, w, rtol) or b


def _pick(
    rows: list[Row],
    p: ConvProblem,
    pass_: str,
    backend: str,
    rtol: float | None,
    threads: int,
    limit: int | None = None,
) -> tuple[str, str]:
    """(name, reason) of the backend to use."""
    if backend != "auto":
        wanted = registry.find_backends(backend)
        mine = [_row(b, p, pass_, rtol, threads, limit, named=True) for b in wanted]
        able = [r for r in mine if r.status != "refused"]
        if not able:
            text = f"{mine[0].backend} cannot do {pass_} of {p}: {mine[0].reason}"
            raise WorkspaceError(text) if mine[0].reason.startswith(_OVER_LIMIT) else BackendRefused(text)
        return min(able, key=_preference).backend, "named"
    able = [r for r in rows if r.status != "refused"]
    sure = [r for r in able if r.reason != _BY_VALUE]
    if not sure:
        over = [r for r in rows if r.reason.startswith(_OVER_LIMIT)]
        if over:
            raise WorkspaceError(f"no backend can do {pass_} of {p} within max_workspace={limit} bytes")
        best = min((r.error_bound for r in rows if r.error_bound), default=math.nan)
        raise ValueError(f"rtol must be at least {best:.1e}, the smallest error bound for {pass_} of {p}, got {rtol}")
    if _environment and _environment != "auto":
        try:
            named = {b.name for b in registry.find_backends(_environment)}
        except ValueError as error:
            raise ValueError(f"FASTCONV_BACKEND: {error}") from None
        preferred = [r for r in able if r.backend in named]
        if preferred:
            return min(preferred, key=_preference).backend, _ENVIRONMENT
    tuned = tuning.winner(p, pass_, threads)
    if tuned in {r.backend for r in sure}:
        return tuned, "fastest when tuned"
    return min(sure, key=_preference).backend, "cheapest by the cost model"


def _preference(row: Row) -> tuple[bool, float]:
    """What does not have to compile comes first, then the faster."""
    return row.reason == _COMPILES, row.predicted_seconds


def _compiled() -> bool:
    return loader.absent("cython") is None


_ENVIRONMENT = "FASTCONV_BACKEND"
_COMPILES = "compiles on first use; auto prefers a compiled backend"
_BY_VALUE = "if the weights' values allow it, which prepared plans look for, and calls for rank 1"
_OVER_LIMIT = "needs a workspace of"


def _configure(
    b: Backend, inner: ConvProblem, pass_: str, threads: int, limit: int | None, border: int
) -> tuple[Any, int]:
    """Block sizes and the number of threads: a problem too small for a parallel launch runs serial."""
    rate = rates(inner.dtype)
    n = threads
    if threads > 1:
        serial = b.cost(inner, pass_, b.configure(inner, pass_, 1), 1, rate).seconds
        n = 1 if serial < _SERIAL_LAUNCHES * rate.launch_us * 1e-6 else threads
    cfg = b.configure(inner, pass_, n)
    if limit is not None and n > 1 and b.workspace(inner, pass_, cfg, n) + border > limit:
        cfg, n = b.configure(inner, pass_, 1), 1
    return cfg, n


def _row(
    b: Backend, p: ConvProblem, pass_: str, rtol: float | None, threads: int, limit: int | None, named: bool = False
) -> Row:
    inner = inner_problem(p)
    rounding = _F16_ROUNDING if p.dtype == "float16" else 0.0
    why = loader.absent(b.engine) or b.refuse(inner, pass_)
    if why:
        return Row(b.name, "refused", why, 0.0, 0.0, 0, math.inf, 0.0, 0.0)
    bound, worst = b.error_bound(inner, pass_) + rounding, b.worst_case_bound(inner, pass_) + rounding
    cfg, n = _configure(b, inner, pass_, threads, limit, border_bytes(p))
    cost = b.cost(inner, pass_, cfg, n, rates(inner.dtype))
    space = b.workspace(inner, pass_, cfg, n) + border_bytes(p)
    row = Row(b.name, "candidate", b.note, cost.flops, cost.bytes, space, cost.seconds, bound, worst)
    allowed = rtol if rtol is not None else None if named else DEFAULT_RTOL[p.dtype]
    if allowed is not None and bound > allowed:
        return row._replace(status="refused", reason=f"its error bound {bound:.1e} is above rtol {allowed:.1e}")
    if limit is not None and space > limit:
        return row._replace(status="refused", reason=f"{_OVER_LIMIT} {space} bytes, max_workspace is {limit}")
    if b.by_value:
        return row._replace(reason=_BY_VALUE)
    if b.jit and _compiled():
        return row._replace(reason=_COMPILES)
    return row
