"""What was chosen and why: `Explanation`, `explain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import planner, registry
from .arrays import as_array, ready
from .plan import Row
from .problem import PASSES, ConvProblem
from .threads import get_num_threads


class Explanation:
    """The backends considered for one problem, as a table.

    Attributes
    ----------
    problem : ConvProblem
    rows : list of dict
        One a backend and pass: pass, backend, status ("chosen", "candidate" or "refused"), reason, flops,
        bytes (moved), workspace_bytes, predicted_seconds, measured_seconds (by `tune`, else None),
        error_bound, worst_case_bound (both relative to ``max|x| * sum|w|`` of the output channel).
    """

    def __init__(self, problem: ConvProblem, rows: list[dict[str, Any]]) -> None:
        self.problem, self.rows = problem, rows

    @property
    def chosen(self) -> str:
        """Name of the backend that would run (of the first pass); empty if none can."""
        return next((r["backend"] for r in self.rows if r["status"] == "chosen"), "")

    def __str__(self) -> str:
        measured = any(r["measured_seconds"] is not None for r in self.rows)
        head = ["backend", "status", "Gflop", "MB moved", "MB work"]
        head += ["predicted ms", "measured ms", "bound", "worst case"]
        widths = [len(h) for h in head]
        lines: list[list[str]] = []
        for pass_ in dict.fromkeys(r["pass"] for r in self.rows):
            lines.append([f"{self.problem} {pass_}"])
            for r in sorted((r for r in self.rows if r["pass"] == pass_), key=_order):
                cells = [r["backend"], r["status"], *_figures(r)]
                widths = [max(w, len(c)) for w, c in zip(widths, cells, strict=True)]
                lines.append([*cells, r["reason"]])
        out = []
        for cells in lines:
            if len(cells) == 1:
                out += [cells[0], _line([*head, "reason"], widths, measured)]
            else:
                out.append(_line(cells, widths, measured))
        return "\n".join(out)

    __repr__ = __str__


def _order(r: dict[str, Any]) -> tuple[int, float]:
    return ("chosen", "candidate", "refused").index(r["status"]), r["measured_seconds"] or r["predicted_seconds"]


def _figures(r: dict[str, Any]) -> list[str]:
    if r["status"] == "refused" and not r["flops"]:
        return [""] * 7
    taken = r["measured_seconds"]
    return [
        f"{r['flops'] / 1e9:.3f}", f"{r['bytes'] / 1e6:.2f}", f"{r['workspace_bytes'] / 1e6:.2f}",
        f"{r['predicted_seconds'] * 1e3:.3f}", "" if taken is None else f"{taken * 1e3:.3f}",
        f"{r['error_bound']:.1e}", f"{r['worst_case_bound']:.1e}",
    ]  # fmt: skip


def _line(cells: Sequence[str], widths: list[int], measured: bool) -> str:
    out = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=False))]
    if not measured:
        del out[6]
    return "  ".join(["", *out, cells[-1]]).rstrip()


def explain(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    pass_: str = "forward",
    dtype: Any = "float32",
    backend: str = "auto",
    rtol: float | None = None,
    max_workspace: int | None = None,
    weights: Any = None,
) -> Explanation:
    """Every backend's operations, bytes, workspace, predicted time and error bounds, and the choice.

    Parameters
    ----------
    x_shape : (N, Ci, H, W) or (Ci, H, W)
    w_shape : (Co, Ci // groups, KH, KW)
    stride, padding, dilation, groups, padding_mode, backend, rtol
        As in `fastconv.conv2d`.
    pass_ : {"forward", "grad_input", "grad_weight"}
    dtype : {"float32", "float64", "float16"}
    max_workspace : int, optional
        Bytes of scratch memory that may be used.
    weights : array of ``w_shape``, optional
        With the weights themselves, the choice is that of `fastconv.plan_conv2d`, and backends that depend on
        their values say what they found.

    Returns
    -------
    Explanation
        ``str()`` is a table, ``rows`` are dicts.

    Raises
    ------
    TypeError, ValueError
        As `fastconv.conv2d`.
    """
    if pass_ not in PASSES:
        raise ValueError(f"pass_ must be one of {', '.join(PASSES)}, got {pass_!r}")
    p = ConvProblem.from_shapes(x_shape, w_shape, stride, padding, dilation, groups, padding_mode, _dtype_name(dtype))
    if backend != "auto":
        registry.find_backends(backend)
    w = None if weights is None else ready(as_array("weights", weights), p.dtype)
    if w is not None and w.shape != p.w_shape:
        raise ValueError(f"weights must have shape {p.w_shape}, got {w.shape}")
    rows = planner.candidates(p, pass_, planner.check_rtol(rtol), get_num_threads(), max_workspace, backend, w)
    return Explanation(p, [as_dict(pass_, r) for r in rows])


<<<<<<< HEAD
def as_dict(pass_: str, r: Row, measured: float | None = None) -> dict[str, Any]:
=======
def tune(
    x: Any,
    w: Any,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    passes: Iterable[str] = PASSES,
    rtol: float | None = None,
    seconds: float = 1.0,
) -> Explanation:
    """Measure every candidate on this machine and remember the fastest in the tuning file.

    Parameters
    ----------
    x : array (N, Ci, H, W)
    w : array (Co, Ci // groups, KH, KW)
    stride, padding, dilation, groups, padding_mode, rtol
        As in `fastconv.conv2d`.
    passes : names of passes to tune
    seconds : float
        Time to spend on each pass; candidates run in interleaved rounds.

    Returns
    -------
    Explanation
        With ``measured_seconds`` (medians) of every candidate.

    Raises
    ------
    TypeError, ValueError
        As `fastconv.conv2d`; ValueError for an unknown pass.
    """
    xa, wa = as_array("x", x), as_array("w", w)
    names = (passes,) if isinstance(passes, str) else tuple(passes)
    if not set(names) <= set(PASSES):
        raise ValueError(f"passes must hold only {', '.join(PASSES)}, got {passes!r}")
    dtype, tolerance, threads = common_dtype(xa, wa), planner.check_rtol(rtol), get_num_threads()
    p = ConvProblem.from_shapes(xa.shape, wa.shape, stride, padding, dilation, groups, padding_mode, dtype)
    rows, winners = [], {}
    for pass_ in names:
        found = planner.candidates(p, pass_, tolerance, threads)
        for k, r in enumerate(found):
            if registry.get_backend(r.backend).by_value:
                found[k] = r._replace(status="refused", reason="what is remembered must hold for any weights")
        able = {r.backend for r in found if r.status != "refused"}
        medians = _race(p, pass_, able, _operands(p, pass_, ready(xa, dtype), ready(wa, dtype)), threads, seconds)
        best = min(medians, key=lambda name: medians[name], default="")
        if best:
            winners[p, pass_] = best
        for r in found:
            status = r.status if r.status == "refused" else "chosen" if r.backend == best else "candidate"
            why = r.reason if status == "refused" else "fastest when tuned" if status == "chosen" else ""
            rows.append(_as_dict(pass_, r._replace(status=status, reason=why), medians.get(r.backend)))
    tuning.remember(winners, threads)
    return Explanation(p, rows)


def _race(
    p: ConvProblem, pass_: str, names: set[str], operands: tuple[Array, Array], threads: int, seconds: float
) -> dict[str, float]:
    """Median seconds by backend; whoever is five times behind after a round drops out."""
    plans = {name: planner.plan(p, pass_, name, None, threads) for name in sorted(names)}
    times: dict[str, list[float]] = {name: [] for name in plans}
    outs = {name: np.empty(plan.shape, plan.compute_dtype) for name, plan in plans.items()}
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
    x = x.reshape(p.x_shape)
    dy = np.random.default_rng(0).standard_normal(p.y_shape).astype(x.dtype)
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
    x: Any,
    w: Any,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    passes: Iterable[str] = PASSES,
) -> Verification:
    """Run every backend on this data and compare it with the float64 reference.

    Parameters
    ----------
    x, w, stride, padding, dilation, groups, padding_mode
        As in `fastconv.conv2d`.
    passes : names of passes

    Returns
    -------
    Verification
        A table of the largest error of every backend beside its stated bound.

    Raises
    ------
    TypeError, ValueError
        As `fastconv.conv2d`.
    """
    xa, wa = as_array("x", x), as_array("w", w)
    dtype, threads = common_dtype(xa, wa), get_num_threads()
    p = ConvProblem.from_shapes(xa.shape, wa.shape, stride, padding, dilation, groups, padding_mode, dtype)
    rows = []
    for pass_ in passes:
        first, second = _operands(p, pass_, ready(xa, dtype), ready(wa, dtype))
        exact = _run64(p._replace(dtype="float64"), pass_, first, second)
        norm = _run64(p._replace(dtype="float64"), pass_, *_norm_operands(pass_, first, second))
        for b in registry.all_backends():
            row = {"pass": pass_, "backend": b.name, "error": np.nan, "error_bound": np.nan, "ok": False, "reason": ""}
            try:
                plan = planner.plan(p, pass_, b.name, None, threads)
                out = np.empty(plan.shape, plan.compute_dtype)
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
    out = np.empty(plan.shape)
    plan.run(first.astype(np.float64), second.astype(np.float64), out)
    return out


def _norm_operands(pass_: str, first: Array, second: Array) -> tuple[Array, Array]:
    """Operands whose reference result is ``max|a| * sum|b|``: the norm that bounds are relative to.

    Sums near a border hold fewer terms than the bound's, so this norm is the stricter one.
    """
    if pass_ == "grad_weight":
        return np.abs(first), np.full(second.shape, np.max(np.abs(second), initial=0))
    return np.full(first.shape, np.max(np.abs(first), initial=0)), np.abs(second)


def show_config() -> None:
    """Print versions, engines, threads, caches and the BLAS libraries in use."""
    print(config_text())


def config_text() -> str:
    """What `show_config` prints."""
    import platform

    from threadpoolctl import threadpool_info

    from .costs import cache_dir, rates

    lines = [f"{tuning.machine_key(get_num_threads())}", f"Python {platform.python_version()}, {platform.platform()}"]
    lines += [f"engine {name}: {text}" for name, text in loader.describe().items()]
    lines += [f"rates for {dtype}: {rates(dtype)}" for dtype in ("float32", "float64")]
    lines += [f"cache directory: {cache_dir()}", f"backends: {', '.join(registry.list_backends())}"]
    for pool in threadpool_info():
        lines.append(f"{pool['user_api']}: {pool['internal_api']} {pool.get('version')}, {pool['num_threads']} threads")
    return "\n".join(lines)


def _as_dict(pass_: str, r: Row, measured: float | None = None) -> dict[str, Any]:
>>>>>>> sep
    return {"pass": pass_, **r._asdict(), "measured_seconds": measured}


def _dtype_name(dtype: Any) -> str:
    try:
        return str(np.dtype(dtype).name)
    except TypeError:
        raise TypeError(f"dtype must be float16, float32 or float64, got {dtype!r}") from None
