"""The lectures' question: what do operations cost, from one kernel size to the next?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.charts.rows import Results, ceilings_from, engines_of, entries_from, panels, rows_from, si_ticks
from bench.fits import crossovers, fastest, fit_power_law, times_of
from bench.records import Row
from bench.style import TITLES, colour_of, legend_below, look_of, split


def _sweep(results: Results) -> list[Row]:
    """The rows of the sweep, or all where there is none."""
    rows = rows_from(results)
    return sorted([row for row in rows if row.in_sweep] or rows, key=lambda row: row.flops)


def flops_against_time(results: Results, *, better: bool = True) -> Figure:
    """
    Time over nominal operations: a line an algorithm, its exponent, the machine's ceilings, and what auto picks.

    Parameters
    ----------
    results : document or rows
    better : bool
        Draw the better engine of each algorithm, or else the other one.
    """
    rows = _sweep(results)
    shown = engines_of(rows)[0 if better else 1]
    title = "Operations against time" + ("" if better else ", the other engine of each algorithm")
    figure, made = panels([row for row in rows if row.backend in shown] if shown else rows, title)
    flops_of = {row.layer: row.flops for row in rows}
    slopes: dict[str, list[str]] = {backend: [] for backend in shown}
    for pass_, (axis, chosen) in made.items():
        for backend in shown:
            mine = [row for row in chosen if row.backend == backend]
            _with_missing(axis, mine, backend, pass_, results, flops_of)
            law = fit_power_law([row.flops for row in mine], [row.median for row in mine]) if mine else None
            slopes[backend].append(f"{law.exponent:.2f}" if law else "-")
        _ring_choices(axis, [row for row in rows if row.pass_ == pass_], pass_, results, shown)
        axis.set_xlabel("nominal operations")
        axis.xaxis.set_major_formatter(si_ticks("FLOP"))
    for axis, _ in made.values():  # after all points, since the panels share their limits
        axis.yaxis.set_major_formatter(si_ticks("s"))
        _draw_ceilings(axis, rows, results)
    _first(made).set_ylabel("time of a call")
    labels = {backend: f"{backend}  ({', '.join(found)})" for backend, found in slopes.items()}
    legend_below(figure, shown, labels, f"in brackets the exponent of the fitted line: {', '.join(made)}")
    return figure


def _with_missing(
    axis: Axes, mine: Sequence[Row], backend: str, pass_: str, results: Results, flops_of: dict[str, int]
) -> None:
    """A line through what was measured, and dots on to what was left out, at its predicted time."""
    look = look_of(backend)
    axis.plot([row.flops for row in mine], [row.median for row in mine], **look)
    left_out = sorted(
        (flops_of[entry["layer"]], entry["predicted_seconds"])
        for entry in entries_from(results, "skipped")
        if entry["backend"] == backend and entry["pass"] == pass_ and entry["layer"] in flops_of
    )
    if left_out:
        points = [(row.flops, row.median) for row in mine[-1:]] + left_out
        axis.plot(*zip(*points, strict=True), color=look["color"], linestyle=":", linewidth=1)
        hollow = {**look, "linestyle": "none", "markerfacecolor": "white"}
        axis.plot(*zip(*left_out, strict=True), **hollow)


def _ring_choices(axis: Axes, rows: Sequence[Row], pass_: str, results: Results, shown: Sequence[str]) -> None:
    """A black ring round what auto picks."""
    for entry in entries_from(results, "auto"):
        for row in rows:
            if (row.layer, pass_, row.backend) == (entry["layer"], entry["pass"], entry["backend"]) and (
                row.backend in shown
            ):
                axis.plot(row.flops, row.median, "o", markersize=11, markerfacecolor="none", markeredgecolor="black")


def _draw_ceilings(axis: Axes, rows: Sequence[Row], results: Results) -> None:
    """The least times that multipliers and memory allow, each layer's bytes moved once."""
    top = ceilings_from(results)
    if top is None:
        return
    points = sorted({(row.flops, row.bytes) for row in rows})
    flops, moved = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    lines = (
        (flops / top.fma_gflops / 1e9, "-", f"FMA {top.fma_gflops:.0f} GFLOP/s", len(flops) // 2),
        (moved / top.memory_gbs / 1e9, "--", f"memory {top.memory_gbs:.0f} GB/s", 0),
        (moved / top.cache_gbs / 1e9, "-.", f"cache {top.cache_gbs:.0f} GB/s", 0),
    )
    for seconds, style, label, at in lines:
        axis.plot(flops, seconds, style, color="0.55", linewidth=1.2, zorder=0)
        axis.annotate(
            label, (flops[at], seconds[at]), (3, -10), textcoords="offset points", fontsize=7.5, color="0.35"
        )  # fmt: skip


def _over_kernels(results: Results, title: str, y: str, value: Callable[[Row], float]) -> tuple[Figure, list[str]]:
    """One line for each algorithm over the kernel sizes."""
    rows = _sweep(results)
    shown = engines_of(rows)[0]
    figure, made = panels([row for row in rows if row.backend in shown], title)
    for pass_, (axis, chosen) in made.items():
        for backend in shown:
            mine = sorted((row for row in chosen if row.backend == backend), key=lambda row: row.kernel)
            axis.plot([row.kernel for row in mine], [value(row) for row in mine], **look_of(backend))
        _mark_crossovers(axis, chosen)
        axis.set(title=TITLES[pass_], xlabel="kernel size (k x k)")
        axis.xaxis.set_major_locator(FixedLocator(sorted({row.kernel for row in rows})))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:g}"))
    _first(made).set_ylabel(y)
    legend_below(figure, shown)
    return figure, shown


def time_against_kernel(results: Results) -> Figure:
    """Time over kernel size, and where the fastest algorithm changes."""
    figure, _ = _over_kernels(results, "Kernel size against time", "time of a call", lambda row: row.median)
    for axis in figure.axes:
        axis.yaxis.set_major_formatter(si_ticks("s"))
    return figure


def speed_against_kernel(results: Results) -> Figure:
    """Nominal operations per second over kernel size; doing fewer, an algorithm may exceed the ceiling."""
    title = "Kernel size against effective speed"
    figure, _ = _over_kernels(results, title, "effective GFLOP/s", lambda row: row.gflops)
    top = ceilings_from(results)
    for axis in figure.axes:
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if top:
            axis.axhline(top.fma_gflops, color="0.55", linewidth=1.2, zorder=0)
            axis.annotate(
                f"FMA {top.fma_gflops:.0f} GFLOP/s", (1, top.fma_gflops), (0, 3), textcoords="offset points",
                fontsize=7.5, color="0.35",
            )  # fmt: skip
    return figure


def _mark_crossovers(axis: Axes, rows: Sequence[Row]) -> None:
    """A vertical where the fastest changes, with its size, and below the panel's top who is fastest from where."""
    times = times_of(rows)
    for crossing in crossovers(times):
        axis.axvline(crossing.kernel, color="0.5", linestyle=":", linewidth=1, zorder=0)
        axis.annotate(
            f"{crossing.kernel:.1f}", (crossing.kernel, 0), (2, 3), xycoords=("data", "axes fraction"),
            textcoords="offset points", fontsize=8, color="0.35",
        )  # fmt: skip
    spans: list[tuple[str, int, int]] = []
    for size, backend in fastest(times).items():
        if spans and spans[-1][0] == backend:
            spans[-1] = (backend, spans[-1][1], size)
        else:
            spans.append((backend, size, size))
    for i, (backend, low, high) in enumerate(spans):
        axis.annotate(
            f"k {low}" + (f" to {high}" if high > low else "") + f"  {split(backend)[0]}", (0.02, 0.98),
            (0, -11 * i), xycoords="axes fraction", textcoords="offset points", va="top", fontsize=8.5,
            color=colour_of(backend),
        )  # fmt: skip


def _first(made: dict[str, tuple[Axes, list[Row]]]) -> Axes:
    return next(iter(made.values()))[0]
