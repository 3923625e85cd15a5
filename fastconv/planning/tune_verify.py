"""Every backend on the caller's data: `tune` takes times and remembers the winner, `verify` takes errors."""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Iterable

import numpy as np

from ..algorithms.base import Array
from ..core.arrays import as_array, common_dtype, ready
from ..core.errors import BackendRefused
from ..core.layouts import is_nhwc, lying, seen, stored
from ..core.problem import PASSES, ConvProblem
from ..core.threads import get_num_threads
from ..core.typing import ArrayLike, IntPair, Layout, Padding, PaddingMode
from . import planner, registry, tuning
from .explain import Explanation, as_dict
from .layouts import stored as stored_shape
from .plan import Plan


def tune(
    x: ArrayLike,
    w: ArrayLike,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    passes: str | Iterable[str] = PASSES,
    rtol: float | None = None,
    seconds: float = 1.0,
) -> Explanation:
    """Measure every candidate on this machine and remember the fastest in the tuning file.

    Parameters
    ----------
    x : array (N, Ci, H, W) or (Ci, H, W), float16, float32 or float64
        What is measured, and remembered, are arrays that lie as it lies.
    w : array (Co, Ci // groups, KH, KW)
    stride, padding, dilation, groups, padding_mode, layout, rtol
        As in `fastconv.conv2d`.
    passes : name of a pass, or several
    seconds : float
        Time to spend on each pass; candidates run in interleaved rounds.

    Returns
    -------
    Explanation
        With ``measured_seconds`` (medians) of every candidate.

    Raises
    ------
    TypeError, ValueError
        As `fastconv.conv2d`; ValueError for an unknown pass, and for ``seconds`` that are negative or not finite.
    """
    nhwc, names = is_nhwc(layout), _passes(passes)
    if isinstance(seconds, bool) or not isinstance(seconds, numbers.Real):
        raise TypeError(f"seconds must be a number, got {seconds!r}")
    if not 0 <= seconds < math.inf:  # the race would never end
        raise ValueError(f"seconds must be finite and not negative, got {seconds!r}")
    xa, wa = seen("x", as_array("x", x), nhwc), as_array("w", w)
    dtype, tolerance, threads = common_dtype(xa, wa), planner.check_rtol(rtol), get_num_threads()
    p = ConvProblem.from_shapes(xa.shape, wa.shape, stride, padding, dilation, groups, padding_mode, dtype)
    p = _lying(p, xa, nhwc)
    rows, winners = [], {}
    for pass_ in names:
        found = planner.candidates(p, pass_, tolerance, threads)
        for k, r in enumerate(found):
            if registry.get_backend(r.backend).by_value:
                found[k] = r._replace(
                    status="refused", kind="refused", reason="what is remembered must hold for any weights"
                )
        able = {r.backend for r in found if r.status != "refused"}
        medians = _race(
            p, pass_, able, _operands(p, pass_, ready(stored(xa, p.x_last), dtype), ready(wa, dtype)), threads, seconds
        )
        best = min(medians, key=lambda name: medians[name], default="")
        if best:
            winners[p, pass_] = best
        for r in found:
            if r.backend == best:
                r = r._replace(status="chosen", kind="tuned", reason="fastest when tuned")
            elif r.status != "refused":
                r = r._replace(status="candidate", kind="candidate", reason="")
            rows.append(as_dict(pass_, r, medians.get(r.backend)))
    tuning.remember(winners, threads)
    return Explanation(p, rows)


def _passes(passes: str | Iterable[str]) -> tuple[str, ...]:
    """The names of passes that an argument holds, checked; a string is one name."""
    try:
        names = (passes,) if isinstance(passes, str) else tuple(passes)
    except TypeError:
        raise TypeError(f"passes must be a sequence of {', '.join(PASSES)}, got {passes!r}") from None
    unknown = [name for name in names if name not in PASSES]
    if unknown or not names:
        raise ValueError(f"passes must hold only {', '.join(PASSES)}, and at least one, got {passes!r}")
    return names


def _lying(p: ConvProblem, x: Array, nhwc: bool) -> ConvProblem:
    """The problem of a call with this x and nothing else."""
    last = lying(x, nhwc)
    return p._replace(x_last=last, y_last=last or nhwc)


def _race(
    p: ConvProblem, pass_: str, names: set[str], operands: tuple[Array, Array], threads: int, seconds: float
) -> dict[str, float]:
    """Median seconds by backend; whoever is five times behind after a round drops out."""
    plans = {name: planner.plan(p, pass_, name, None, threads) for name in sorted(names)}
    times: dict[str, list[float]] = {name: [] for name in plans}
    outs = {name: np.empty(plan.stored_shape, plan.compute_dtype) for name, plan in plans.items()}
    for name, plan in plans.items():  # compile, and fault the pages in
        plan.run(*operands, outs[name])
    stop = time.perf_counter() + seconds
    while plans:
        for name, plan in plans.items():
            t = time.perf_counter()
            plan.run(*operands, outs[name])
            times[name].append(time.perf_counter() - t)
        best = min(min(v) for v in times.values() if v)
        plans = {name: plan for name, plan in plans.items() if min(times[name]) < 5 * best}
        if time.perf_counter() > stop:
            break
    return {name: float(np.median(v)) for name, v in times.items() if v}


def _operands(p: ConvProblem, pass_: str, x: Array, w: Array) -> tuple[Array, Array]:
    dy = np.random.default_rng(0).standard_normal(stored_shape(p.y_shape, p.y_last)).astype(x.dtype)
    return {"forward": (x, w), "grad_input": (dy, w), "grad_weight": (dy, x)}[pass_]


class Verification(Explanation):
    """Errors of every backend against a float64 oracle, as a table; ``rows`` are dicts.

    Each row: pass, backend, error (largest, relative to the norm that ``rtol`` uses), error_bound, ok.
    """

    def __str__(self) -> str:
        out = [f"{self.problem}", f"  {'backend':24s}{'pass':13s}{'error':>10s}{'bound':>10s}"]
        for r in self.rows:
            verdict = r["reason"] or ("ok" if r["ok"] else "WRONG")
            figures = f"{r['error']:10.1e}{r['error_bound']:10.1e}" if not r["reason"] else " " * 20
            out.append(f"  {r['backend']:24s}{r['pass']:13s}{figures}  {verdict}")
        return "\n".join(out)

    __repr__ = __str__


def verify(
    x: ArrayLike,
    w: ArrayLike,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    passes: str | Iterable[str] = PASSES,
) -> Verification:
    """Run every backend on this data and compare it with the float64 reference.

    Parameters
    ----------
    x, w, stride, padding, dilation, groups, padding_mode, layout
        As in `fastconv.conv2d`.
    passes : name of a pass, or several

    Returns
    -------
    Verification
        A table of the largest error of every backend beside its stated bound.

    Raises
    ------
    TypeError, ValueError
        As `fastconv.conv2d`; ValueError for an unknown pass.
    """
    nhwc, names = is_nhwc(layout), _passes(passes)
    xa, wa = seen("x", as_array("x", x), nhwc), as_array("w", w)
    dtype, threads = common_dtype(xa, wa), get_num_threads()
    p = ConvProblem.from_shapes(xa.shape, wa.shape, stride, padding, dilation, groups, padding_mode, dtype)
    p = _lying(p, xa, nhwc)
    rows = []
    for pass_ in names:
        first, second = _operands(p, pass_, ready(stored(xa, p.x_last), dtype), ready(wa, dtype))
        exact = _run64(p._replace(dtype="float64"), pass_, first, second)
        norm = _run64(p._replace(dtype="float64"), pass_, *_norm_operands(pass_, first, second))
        for b in registry.all_backends():
            row = {"pass": pass_, "backend": b.name, "error": np.nan, "error_bound": np.nan, "ok": False, "reason": ""}
            try:
                known = None if pass_ == "grad_weight" else second
                plan = planner.plan(p, pass_, b.name, None, threads, w=known)
                out = np.empty(plan.stored_shape, plan.compute_dtype)
                plan.run(first, second, out)
                out = out.astype(dtype).astype(np.float64)
                error = np.max(np.abs(out - exact) / np.where(norm > 0, norm, 1), initial=0.0)
                row.update(error=float(error), error_bound=plan.row.error_bound, ok=bool(error <= plan.row.error_bound))
            except BackendRefused as error:
                row["reason"] = str(error)
            rows.append(row)
    return Verification(p, rows)


def _run64(p: ConvProblem, pass_: str, first: Array, second: Array) -> Array:
    plan: Plan = planner.plan(p, pass_, "reference", None, 1)
    out = np.empty(plan.stored_shape)
    plan.run(first.astype(np.float64), second.astype(np.float64), out)
    return out


def _norm_operands(pass_: str, first: Array, second: Array) -> tuple[Array, Array]:
    """Operands whose reference result is ``max|a| * sum|b|``: the norm that bounds are relative to.

    Sums near a border hold fewer terms than the bound's, so this norm is the stricter one.
    """
    if pass_ == "grad_weight":
        return np.abs(first), np.full(second.shape, np.max(np.abs(second), initial=0))
    return np.full(first.shape, np.max(np.abs(first), initial=0)), np.abs(second)
