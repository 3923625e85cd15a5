"""The charts of a run, drawn from rows alone: operations, kernel sizes and layers against time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from bench.fits import Crossover, crossovers, fastest, fit_power_law, si
from bench.heat import layer_map
from bench.records import Row
from bench.style import TITLES, colour_of, legend_below, look_of, ordered, save
from bench.workloads import PASSES

_SPEEDS = (1, 10, 100, 1000)  # GFLOP/s of the guide lines


def draw_all(rows: Sequence[Row], folder: Path) -> list[tuple[str, str]]:
    """
    Draw every chart for which there are rows.

    Parameters
    ----------
    rows : sequence of Row
        Measured cells.
    folder : Path
        Where ``NAME.svg`` and ``NAME.png`` go.

    Returns
    -------
    list of (name, caption)
        In the order of the report.
    """
    sweep = [row for row in rows if row.in_sweep]
    convolutions = [row for row in rows if not row.layer.startswith("photo_")]
    layers = [row for row in convolutions if not row.in_sweep]
    drawn = []
    if convolutions:
        drawn.append((flops_against_time(convolutions, folder), "Operations against time, with fitted lines"))
    if sweep:
        drawn.append((time_against_kernel(sweep, folder), "Kernel size against time, with crossovers"))
        drawn.append((speed_against_kernel(sweep, folder), "Kernel size against effective speed"))
    for pass_ in PASSES:
        if chosen := [row for row in layers if row.pass_ == pass_]:
            drawn.append((layer_map(chosen, pass_, folder), f"Layers of known networks: {TITLES[pass_]}"))
    return drawn


def _panels(rows: Sequence[Row], title: str) -> tuple[Figure, dict[str, tuple[Axes, list[Row]]]]:
    """A figure with one panel for each pass that has rows; panels share their axes."""
    passes = [pass_ for pass_ in PASSES if any(row.pass_ == pass_ for row in rows)]
    width = 5.4 * len(passes) + 0.6
    figure, axes = plt.subplots(
        1, len(passes), figsize=(width, 5.6), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    figure.suptitle(title, fontsize=13)
    panels = {}
    for axis, pass_ in zip(axes[0], passes, strict=True):
        axis.set_title(TITLES[pass_])
        axis.set_xscale("log")
        axis.set_yscale("log")
        panels[pass_] = (axis, [row for row in rows if row.pass_ == pass_])
    return figure, panels


def _backends(rows: Sequence[Row]) -> list[str]:
    return ordered({row.backend for row in rows})


def _label_axes(panels: dict[str, tuple[Axes, list[Row]]], x: str, y: str) -> None:
    axes = [axis for axis, _ in panels.values()]
    axes[0].set_ylabel(y)
    for axis in axes:
        axis.set_xlabel(x)
        axis.yaxis.set_minor_formatter(NullFormatter())


def _si_ticks(unit: str) -> FuncFormatter:
    return FuncFormatter(lambda value, _: si(value, unit))


def flops_against_time(rows: Sequence[Row], folder: Path) -> str:
    """
    Time over nominal operations: the sweep as points with a least-squares line, other layers as faint points.
    """
    figure, panels = _panels(rows, "Operations against time (points: median; line: fit through the sweep)")
    slopes: dict[str, list[str]] = {backend: [] for backend in _backends(rows)}
    for axis, chosen in panels.values():
        for backend, found in slopes.items():
            mine = [row for row in chosen if row.backend == backend]
            look = {**look_of(backend), "linestyle": "none"}
            others = [row for row in mine if not row.in_sweep]
            axis.plot(
                [row.flops for row in others],
                [row.median for row in others],
                **{**look, "alpha": 0.35, "markersize": 3.5},
            )
            fitted = [row for row in mine if row.in_sweep] or mine
            flops, times = [row.flops for row in fitted], [row.median for row in fitted]
            axis.plot(flops, times, **look)
            law = fit_power_law(flops, times)
            found.append(f"{law.exponent:.2f}" if law else "-")
            if law:
                ends = np.array([min(flops), max(flops)], dtype=float)
                axis.plot(ends, law(ends), **{**look_of(backend), "marker": ""})
    for axis, _ in panels.values():  # after all points, since the panels share their limits
        _draw_speeds(axis)
        axis.xaxis.set_major_formatter(_si_ticks("FLOP"))
        axis.yaxis.set_major_formatter(_si_ticks("s"))
    _label_axes(panels, "nominal operations", "time of a call")
    labels = {backend: f"{backend}  ({', '.join(found)})" for backend, found in slopes.items()}
    legend_below(figure, list(slopes), labels, f"in brackets the exponent of the line: {', '.join(panels)}")
    return save(figure, folder, "flops_time")


def _draw_speeds(axis: Axes) -> None:
    """Grey guide lines of constant speed, labelled where they leave the panel."""
    (x0, x1), (y0, y1) = axis.get_xlim(), axis.get_ylim()
    for speed in _SPEEDS:
        line = [x0 / speed / 1e9, x1 / speed / 1e9]
        if line[1] < y0 or line[0] > y1:
            continue
        axis.plot([x0, x1], line, color="0.75", linewidth=0.8, zorder=0, scalex=False, scaley=False)
        leaves_at_top = line[1] > y1
        axis.annotate(
            f"{speed} GFLOP/s",
            (min(y1, line[1]) * speed * 1e9, min(y1, line[1])),
            xytext=(-3, -2) if leaves_at_top else (-2, -9),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=7,
            color="0.4",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    axis.set_xlim(x0, x1)
    axis.set_ylim(y0, y1)


def _kernel_ticks(axis: Axes, rows: Sequence[Row]) -> None:
    sizes = sorted({row.kernel for row in rows})
    axis.xaxis.set_major_locator(FixedLocator(sizes))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _sweep_lines(
    rows: Sequence[Row], title: str, y: str, value: Callable[[Row], float], **spread: Any
) -> tuple[Figure, dict[str, tuple[Axes, list[Row]]]]:
    """One line for each backend over the kernel sizes."""
    figure, panels = _panels(rows, title)
    for axis, chosen in panels.values():
        for backend in _backends(chosen):
            mine = sorted((row for row in chosen if row.backend == backend), key=lambda row: row.kernel)
            axis.plot([row.kernel for row in mine], [value(row) for row in mine], **look_of(backend))
        _kernel_ticks(axis, rows)
    _label_axes(panels, "kernel size (k x k)", y)
    return figure, panels


def times_of(rows: Sequence[Row]) -> dict[str, dict[int, float]]:
    """Rows of one pass as backend -> kernel size -> seconds."""
    times: dict[str, dict[int, float]] = {}
    for row in rows:
        times.setdefault(row.backend, {})[row.kernel] = row.median
    return times


def time_against_kernel(rows: Sequence[Row], folder: Path) -> str:
    """Time over kernel size; a shaded band between the quartiles; rings where the fastest backend changes."""
    figure, panels = _sweep_lines(
        rows,
        "Kernel size against time (2 images, 32 to 32 channels, 64x64, padded; ring: the fastest changes)",
        "time of a call",
        lambda row: row.median,
    )
    for axis, chosen in panels.values():
        for backend in _backends(chosen):
            mine = sorted((row for row in chosen if row.backend == backend), key=lambda row: row.kernel)
            axis.fill_between(
                [row.kernel for row in mine],
                [row.q1 for row in mine],
                [row.q3 for row in mine],
                color=colour_of(backend),
                alpha=0.15,
                linewidth=0,
            )
        axis.yaxis.set_major_formatter(_si_ticks("s"))
        times = times_of(chosen)
        _mark_crossovers(axis, crossovers(times))
        _write_winners(axis, fastest(times))
    legend_below(figure, _backends(rows))
    return save(figure, folder, "time_kernel")


def _mark_crossovers(axis: Axes, found: Sequence[Crossover]) -> None:
    for crossing in found:
        axis.plot(
            crossing.kernel,
            crossing.seconds,
            "o",
            markersize=13,
            markerfacecolor="none",
            markeredgecolor="0.2",
            zorder=5,
        )
        axis.annotate(
            f"k = {crossing.kernel:.1f}",
            (crossing.kernel, crossing.seconds),
            xytext=(0, -16),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color="0.2",
        )


def _write_winners(axis: Axes, best: dict[int, str]) -> None:
    """In the upper left corner: which backend is the fastest from which size to which."""
    spans: list[tuple[str, int, int]] = []
    for size, backend in best.items():
        if spans and spans[-1][0] == backend:
            spans[-1] = (backend, spans[-1][1], size)
        else:
            spans.append((backend, size, size))
    axis.text(0.02, 0.985, "fastest:", transform=axis.transAxes, va="top", fontsize=8.5, color="0.2")
    for i, (backend, low, high) in enumerate(spans):
        axis.annotate(
            f"k {low}" + (f" to {high}" if high > low else "") + f"  {backend}",
            xy=(0.02, 0.985),
            xytext=(0, -11 * (i + 1)),
            xycoords="axes fraction",
            textcoords="offset points",
            va="top",
            fontsize=8.5,
            color=colour_of(backend),
        )


def speed_against_kernel(rows: Sequence[Row], folder: Path) -> str:
    """Nominal operations per second over kernel size; doing fewer, an algorithm may exceed the peak."""
    figure, panels = _sweep_lines(
        rows,
        "Kernel size against effective speed (nominal operations per second)",
        "effective GFLOP/s",
        lambda row: row.gflops,
    )
    for axis, _ in panels.values():
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    legend_below(figure, _backends(rows))
    return save(figure, folder, "speed_kernel")
