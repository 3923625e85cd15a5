"""The charts of a run, drawn from rows alone: FLOPs against time, kernel size against time and speed, layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from bench.fits import Crossover, crossovers, fastest, fit_power_law
from bench.records import Row
from bench.style import TITLES, colour_of, legend_below, look_of, ordered, save
from bench.workloads import PASSES

_SPEEDS = (1, 10, 100, 1000)  # GFLOP/s of the guide lines


def si(value: float, unit: str, digits: int = 3) -> str:
    """`value` with an SI prefix: ``si(0.0012, "s") == "1.2 ms"``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    power = min(4, max(-3, math.floor(math.log10(abs(value) * (1 + 1e-9)) / 3)))
    prefix = {-3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T"}[power]
    return f"{float(f'{value / 1000.0**power:.{digits}g}'):g} {prefix}{unit}"


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
    Time over nominal operations: the sweep as filled points with a least-squares line, other layers as faint ones.
    """
    figure, panels = _panels(
        rows, "Operations against time (points: median; line: fit through the kernel-size sweep)"
    )
    for axis, chosen in panels.values():
        exponents = []
        for backend in _backends(chosen):
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
            if law := fit_power_law(flops, times):
                ends = np.array([min(flops), max(flops)], dtype=float)
                axis.plot(ends, law(ends), **{**look_of(backend), "marker": ""})
                exponents.append((backend, law.exponent))
        _write_exponents(axis, exponents)
    for axis, _ in panels.values():  # after all points, since the panels share their limits
        _draw_speeds(axis)
        axis.xaxis.set_major_formatter(_si_ticks("FLOP"))
        axis.yaxis.set_major_formatter(_si_ticks("s"))
    _label_axes(panels, "nominal operations", "time of a call")
    legend_below(figure, _backends(rows))
    return save(figure, folder, "flops_time")


def _write_exponents(axis: Axes, exponents: list[tuple[str, float]]) -> None:
    """The slope of each fitted line, in its colour, in the lower right corner."""
    for i, (backend, exponent) in enumerate(reversed(exponents)):
        axis.annotate(
            f"{backend}  time ~ FLOP^{exponent:.2f}",
            xy=(1, 0),
            xytext=(-4, 4 + 9.5 * i),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color=colour_of(backend),
        )


def _draw_speeds(axis: Axes) -> None:
    """Grey guide lines of constant speed, labelled where they enter the panel from below or from the left."""
    (x0, x1), (y0, y1) = axis.get_xlim(), axis.get_ylim()
    for speed in _SPEEDS:
        line = [x0 / speed / 1e9, x1 / speed / 1e9]
        if line[1] < y0 or line[0] > y1:
            continue
        axis.plot([x0, x1], line, color="0.75", linewidth=0.8, zorder=0, scalex=False, scaley=False)
        top = min(y1, line[1])
        axis.annotate(
            f"{speed} GFLOP/s",
            (top * speed * 1e9, top),
            xytext=(-2, -2) if top == y1 else (2, 0),
            textcoords="offset points",
            ha="right" if top == y1 else "left",
            va="top" if top == y1 else "center",
            fontsize=7,
            color="0.5",
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
        "Kernel size against time (2 images, 32 to 32 channels, 64x64, same padding; ring: the fastest changes)",
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
    """Nominal operations per second over kernel size; algorithms that do fewer may exceed the machine's peak."""
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


def layer_map(rows: Sequence[Row], pass_: str, folder: Path) -> str:
    """Each backend's time on each layer as a multiple of the fastest one's; the fastest cell names its time."""
    backends = _backends(rows)
    layers = list(dict.fromkeys(row.layer for row in sorted(rows, key=lambda row: row.flops)))
    medians = {(row.layer, row.backend): row.median for row in rows}
    figure, axis = plt.subplots(
        figsize=(2.6 + 0.82 * len(backends), 1.6 + 0.33 * len(layers)), layout="constrained"
    )
    ratios = np.full((len(layers), len(backends)), np.nan)
    for i, layer in enumerate(layers):
        best = min(medians[layer, backend] for backend in backends if (layer, backend) in medians)
        for j, backend in enumerate(backends):
            if (time := medians.get((layer, backend))) is None:
                continue
            ratios[i, j] = time / best
            label = si(time, "s", 2) if time == best else f"{time / best:.3g}x"
            dark = time / best > 6
            axis.text(
                j, i, label, ha="center", va="center", fontsize=7.5, color="white" if dark else "black",
                fontweight="bold" if time == best else "normal",
            )  # fmt: skip
    colours = plt.get_cmap("cividis_r").copy()
    colours.set_bad("0.93")
    image = axis.imshow(np.log2(ratios), aspect="auto", cmap=colours, vmin=0, vmax=5)
    bar = figure.colorbar(image, ax=axis, ticks=range(6), pad=0.02)
    bar.ax.set_yticklabels([f"{2**i}x" for i in range(5)] + ["32x or more"])
    bar.set_label("time relative to the fastest")
    axis.set_xticks(range(len(backends)), backends, rotation=40, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(layers)), layers)
    axis.grid(False)
    axis.set_title(
        f"Layers, {TITLES[pass_]} (bold: time of the fastest; grey: refused or too slow)", loc="right"
    )
    return save(figure, folder, f"layers_{pass_}")
