"""What all charts share: rows of whatever they are given, panels, ticks, ceilings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from bench.ceilings import Ceilings
from bench.fits import geometric_mean, si
from bench.records import Row, rows_of
from bench.style import TITLES, ordered, split
from bench.workloads import PASSES

Results = Mapping[str, Any] | Sequence[Row]


def rows_from(results: Results) -> list[Row]:
    """Rows of a document, or the rows themselves; those of the photograph are no layers and left out."""
    rows = rows_of(results) if isinstance(results, Mapping) else list(results)
    return [row for row in rows if not row.layer.startswith("photo_")]


def entries_from(results: Results, key: str) -> list[dict[str, Any]]:
    """A list that a document has at its top; nothing where there are rows alone."""
    return list(results.get(key, [])) if isinstance(results, Mapping) else []


def ceilings_from(results: Results) -> Ceilings | None:
    """The ceilings that were measured in the run, if they were."""
    found = results.get("ceilings") if isinstance(results, Mapping) else None
    return Ceilings(**found) if found else None


def engines_of(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """
    Backends in two lists: of each algorithm the better engine, and the others.

    Engines are compared by the geometric mean of their times, cell by cell where both were measured.
    """
    times: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows:
        times.setdefault(row.backend, {})[row.layer, row.pass_] = row.median
    better: dict[str, str] = {}
    for name, mine in times.items():
        algorithm = split(name)[0]
        other = times[better[algorithm]] if algorithm in better else None
        common = mine.keys() & other.keys() if other else set()
        if not other or geometric_mean(mine[c] / other[c] for c in common) < 1:
            better[algorithm] = name
    best = set(better.values())
    return ordered(best), ordered(set(times) - best)


def panels(rows: Sequence[Row], title: str) -> tuple[Figure, dict[str, tuple[Axes, list[Row]]]]:
    """A figure with one panel for each pass that has rows; panels share their logarithmic axes."""
    passes = [pass_ for pass_ in PASSES if any(row.pass_ == pass_ for row in rows)]
    figure, axes = plt.subplots(
        1, len(passes), figsize=(5.2 * len(passes) + 0.6, 5.4), sharex=True, sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    figure.suptitle(title, fontsize=13)
    made = {}
    for axis, pass_ in zip(axes[0], passes, strict=True):
        axis.set(title=TITLES[pass_], xscale="log", yscale="log")
        for ticks in (axis.xaxis, axis.yaxis):
            ticks.set_minor_formatter(NullFormatter())
        made[pass_] = (axis, [row for row in rows if row.pass_ == pass_])
    return figure, made


def si_ticks(unit: str) -> FuncFormatter:
    """Ticks such as 20 µs."""
    return FuncFormatter(lambda value, _: si(value, unit))
