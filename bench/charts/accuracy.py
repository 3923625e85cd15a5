"""Error against speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.charts.rows import Results, engines_of, panels, rows_from
from bench.style import legend_below, look_of


def accuracy_against_speed(results: Results) -> Figure:
    """Effective speed over the largest error relative to the largest value; a point a layer and algorithm."""
    rows = rows_from(results)
    shown = engines_of(rows)[0]
    figure, made = panels([row for row in rows if row.backend in shown], "Accuracy against speed")
    for axis, chosen in made.values():
        for backend in shown:
            mine: Sequence[Any] = [row for row in chosen if row.backend == backend and row.error > 0]
            look = {**look_of(backend), "linestyle": "none"}
            axis.plot([row.error for row in mine], [row.gflops for row in mine], **look)
        axis.set(xlabel="largest error / largest value")
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.axes[0].set_ylabel("effective GFLOP/s")
    legend_below(figure, shown)
    return figure
