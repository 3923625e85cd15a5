"""One algorithm among the others: the chart of its page."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.charts.rows import Results, engines_of, panels, rows_from, si_ticks
from bench.style import TITLES, legend_below, look_of, split

_LEAST = 2  # points that make a line


def algorithms(results: Results) -> list[str]:
    """Those that were measured at two kernel sizes or more."""
    sizes: dict[str, set[int]] = {}
    for row in rows_from(results):
        if row.in_sweep:
            sizes.setdefault(split(row.backend)[0], set()).add(row.kernel)
    return [name for name, found in sizes.items() if len(found) >= _LEAST]


def algorithm(results: Results, name: str) -> Figure:
    """
    Time over kernel size, both engines; in grey the better engine of every other algorithm.

    Raises
    ------
    ValueError
        If the algorithm was not measured over kernel sizes.
    """
    if name not in algorithms(results):
        raise ValueError(f"name: {name!r} was measured at fewer than {_LEAST} kernel sizes")
    rows = sorted((row for row in rows_from(results) if row.in_sweep), key=lambda row: row.kernel)
    better = engines_of(rows)[0]
    mine = sorted({row.backend for row in rows if split(row.backend)[0] == name})
    figure, made = panels(rows, f"{name} among the others")
    for pass_, (axis, chosen) in made.items():
        for backend in [other for other in better if other not in mine] + mine:
            points = [(row.kernel, row.median) for row in chosen if row.backend == backend]
            look = look_of(backend) if backend in mine else {"color": "0.78", "linewidth": 1, "zorder": 0}
            if points:
                axis.plot(*zip(*points, strict=True), **look)
        axis.set(title=TITLES[pass_], xlabel="kernel size (k x k)")
        axis.xaxis.set_major_locator(FixedLocator(sorted({row.kernel for row in rows})))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:g}"))
        axis.yaxis.set_major_formatter(si_ticks("s"))
    figure.axes[0].set_ylabel("time of a call")
    legend_below(figure, mine)
    return figure
