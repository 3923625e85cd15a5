"""The roofline model (Williams, Waterman and Patterson, 2009): operations a byte against operations a second."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.charts.rows import Results, ceilings_from, engines_of, panels, rows_from
from bench.style import legend_below, look_of


def roofline(results: Results) -> Figure:
    """
    Effective speed over the nominal operations for each byte that has to move, under the ceilings of the run.

    Raises
    ------
    ValueError
        If the results have no ceilings.
    """
    top = ceilings_from(results)
    if top is None:
        raise ValueError("results: no ceilings were measured in this run")
    rows = rows_from(results)
    shown = engines_of(rows)[0]
    figure, made = panels([row for row in rows if row.backend in shown], "Under the roof")
    intensity = np.geomspace(min(each := [row.flops / row.bytes for row in rows]), max(each), 200)
    for axis, chosen in made.values():
        for backend in shown:
            mine = [row for row in chosen if row.backend == backend]
            look = {**look_of(backend), "linestyle": "none"}
            axis.plot([row.flops / row.bytes for row in mine], [row.gflops for row in mine], **look)
        for bandwidth, style in ((top.memory_gbs, "-"), (top.cache_gbs, "-.")):
            axis.plot(intensity, np.minimum(top.fma_gflops, bandwidth * intensity), style, color="0.4", zorder=0)
        axis.set(xlabel="nominal operations for each byte")
        for ticks in (axis.xaxis, axis.yaxis):
            ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.axes[0].set_ylabel("effective GFLOP/s")
    figure.axes[0].annotate(
        f"FMA {top.fma_gflops:.0f} GFLOP/s; memory {top.memory_gbs:.0f}, cache {top.cache_gbs:.0f} (-.) GB/s",
        (0.02, 1.0), (0, -4), xycoords="axes fraction", textcoords="offset points", va="top", fontsize=8, color="0.3",
    )  # fmt: skip
    legend_below(figure, shown)
    return figure
