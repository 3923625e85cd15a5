"""Which backend for this problem: named, tuned, or cheapest by the cost model; and why not the others."""

from __future__ import annotations

import math
import os
from functools import lru_cache
from typing import Any

from ..algorithms.base import Backend
from ..core.errors import BackendRefused, WorkspaceError
from ..core.problem import ConvProblem
from . import registry, tuning
from .plan import Asked, Plan
from .rows import Kind, Row
from .search import DEFAULT_RTOL as DEFAULT_RTOL
from .search import Search, compiles

_plans: dict[tuple[Any, ...], Plan] = {}
_MAX_PLANS = 4096
_LOOK = 20 * 15e-6  # a convolution that takes twenty times as long as seeing that weights are of no use
_MANY_WEIGHTS = 1 << 17  # that even a plan does not decompose on its own account
_environment = os.environ.get("FASTCONV_BACKEND", "").strip()
_WHY: dict[Kind, str] = {
    "named": "named",
    "environment": "FASTCONV_BACKEND",
    "tuned": "fastest when tuned",
    "cheapest": "cheapest by the cost model",
}


def plan(
    p: ConvProblem,
    pass_: str,
    backend: str,
    rtol: float | None,
    threads: int,
    max_workspace: int | None = None,
    w: Any = None,
    kept: bool = False,
    activation: str = "",
) -> Plan:
    """The plan of a call, cached until the registry or the tuning changes; all is decided here.

    With ``w``, contiguous and of the compute dtype, their values are looked at where that may pay: quickly, or
    thoroughly if they are ``kept`` for several runs.
    """
    key = (
        p,
        pass_,
        backend,
        rtol,
        threads,
        max_workspace,
        activation,
        kept,
        registry.generation(),
        tuning.generation(),
    )
    found = _plans.get(key)
    if found is None:
        if len(_plans) >= _MAX_PLANS:
            _plans.clear()
        found = _plans[key] = _choose(p, pass_, backend, Asked(rtol, threads, max_workspace, activation, kept))
    return found if w is None or pass_ == "grad_weight" else _for_weights(found, w, kept)


def candidates(
    p: ConvProblem,
    pass_: str,
    rtol: float | None,
    threads: int,
    max_workspace: int | None = None,
    backend: str = "auto",
    w: Any = None,
    activation: str = "",
) -> list[Row]:
    """A row for every backend; the one that a call (with ``w``: a prepared plan) would use has status ``chosen``."""
    meant = registry.find_backends(backend) if backend != "auto" else []
    asked = Asked(rtol, threads, max_workspace, activation, w is not None)
    free, named = (Search(p, pass_, *asked, named=named) for named in (False, True))
    rows = {}
    for b in registry.all_backends():
        search = named if b in meant else free
        if w is not None and b.by_value and search.refusal(b) is None:
            b = b.with_weights(search.inner(b), pass_, w, rtol) or b
        rows[b.name] = search.row(b)
    try:
        chosen = plan(p, pass_, backend, rtol, threads, max_workspace, w, kept=w is not None, activation=activation)
    except (BackendRefused, WorkspaceError, ValueError):
        return list(rows.values())
    other = chosen.fallback
    if other is not None:
        rows[other.row.backend] = other.row._replace(status="candidate", kind="fallback", reason=chosen.falls_back)
    rows[chosen.row.backend] = chosen.row
    return list(rows.values())


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


def _choose(p: ConvProblem, pass_: str, backend: str, asked: Asked) -> Plan:
    """The plan for weights of any values."""
    search = Search(p, pass_, *asked, named=backend != "auto")
    table = registry.all_backends()
    if backend != "auto":
        meant = registry.find_backends(backend)
        chosen = search.cheapest(meant)
        if chosen is None:
            raise _refused(search.row(meant[0]), p, pass_)
        return _plan_of(search, chosen, p, "named", asked, (chosen,) if chosen.by_value else ())
    found, kind = _automatic(search, table, p, asked)
    by_value = [found] if found.by_value else []
    seconds = search.setup(found).cost.seconds
    if kind != "environment" and seconds > _LOOK:
        able = [b for b in table if b.by_value and not compiles(b) and search.refusal(b) is None]
        by_value = [b for b in able if search.floor(b) < seconds]
    return _plan_of(search, found, p, kind, asked, tuple(by_value))


def _automatic(search: Search, table: list[Backend], p: ConvProblem, asked: Asked) -> tuple[Backend, Kind]:
    """What ``backend="auto"`` takes, and why."""
    if _environment and _environment != "auto":
        try:
            named = registry.find_backends(_environment)
        except ValueError as error:
            raise ValueError(f"FASTCONV_BACKEND: {error}") from None
        preferred = search.cheapest(named)
        if preferred is not None:
            return preferred, "environment"
    sure = [b for b in table if not b.by_value]
    tuned = tuning.winner(p, search.pass_, asked.threads)
    for b in sure:
        if b.name == tuned and search.refusal(b) is None and search.objection(b) is None:
            return b, "tuned"
    chosen = search.cheapest(sure)
    if chosen is not None:
        return chosen, "cheapest"
    rows, what = [search.row(b) for b in sure], f"{search.pass_} of {p}"
    if any(r.kind == "workspace" for r in rows):
        raise WorkspaceError(f"no backend can do {what} within max_workspace={asked.limit} bytes")
    best = min((r.error_bound for r in rows if r.error_bound), default=math.nan)
    raise ValueError(f"rtol must be at least {best:.1e}, the smallest error bound for {what}, got {asked.rtol}")


def _plan_of(
    search: Search, b: Backend, p: ConvProblem, kind: Kind, asked: Asked, by_value: tuple[Backend, ...] = ()
) -> Plan:
    """A backend's plan, with what runs where it cannot be trusted."""
    config, threads, _ = search.setup(b)
    reason = "; ".join(text for text in (_WHY[kind], b.note) if text)
    row = search.row(b)._replace(status="chosen", kind=kind, reason=reason)

    def fallback() -> Plan | None:
        plain = [a for a in registry.all_backends() if not (a.spreads_nonfinite or a.by_value)]
        unpacked = asked._replace(kept=False)  # it takes weights as they are
        others = Search(p, search.pass_, *unpacked)
        safe = others.cheapest(a for a in plain if a.algorithm != b.algorithm)
        return None if safe is None else _plan_of(others, safe, p, "cheapest", unpacked)

    spreads = b.spreads_nonfinite and kind != "named"  # a backend that was named documents what it does
    return Plan(p, search.pass_, b, threads, row, config, fallback if spreads else None, by_value, asked)


def _for_weights(found: Plan, w: Any, kept: bool) -> Plan:
    """The plan for weights whose values are known.

    A `by_value` backend that was named takes any weights. Otherwise it has to be cheaper than the plan found,
    and to find out quickly, but for weights that are kept and few.
    """
    named = found.row.kind in ("named", "environment")
    able = found.by_value
    if kept and not named:
        able = tuple(b for b in registry.all_backends() if b.by_value and not compiles(b))
    best = found
    for b in able:
        search = Search(found.problem, found.pass_, *found.asked, named=named)
        if search.refusal(b) is not None:
            continue
        quick = not named and not (kept and w.size <= _MANY_WEIGHTS)
        exact = b.with_weights(search.inner(b), found.pass_, w, found.asked.rtol, quick)
        other = None if exact is None else _known(exact, found.problem, found.pass_, found.asked, found.row.kind)
        if other is not None and (named or other.row.predicted_seconds < best.row.predicted_seconds):
            best = other
    return best


@lru_cache(64)
def _known(b: Backend, p: ConvProblem, pass_: str, asked: Asked, kind: Kind) -> Plan | None:
    """The plan of a backend that knows its weights; None if it exceeds rtol or limit."""
    named = kind in ("named", "environment")
    search = Search(p, pass_, *asked, named=named)
    if search.objection(b) is None:
        return _plan_of(search, b, p, kind if named else "cheapest", asked, (b,))
    if named:
        raise _refused(search.row(b), p, pass_, " with these weights")
    return None


def _refused(row: Row, p: ConvProblem, pass_: str, when: str = "") -> Exception:
    text = f"{row.backend} cannot do {pass_} of {p}{when}: {row.reason}"
    return WorkspaceError(text) if row.kind == "workspace" else BackendRefused(text)
