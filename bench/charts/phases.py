"""What comes before the first result, and what remains of it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from bench.charts.rows import si_ticks
from bench.fits import si
from bench.phases import PHASES
from bench.style import look_of, ordered


def phases(results: Mapping[str, Any]) -> Figure:
    """
    Seconds of import, plan, compile, first call and steady calls in a fresh process; a line a backend.

    Parameters
    ----------
    results : document of a run

    Raises
    ------
    ValueError
        If no phases were measured.
    """
    found = results.get("phases", [])
    if not found:
        raise ValueError("results: no phases were measured")
    times = {(entry["backend"], entry["phase"]): entry["seconds"] for entry in found}
    shown = [phase for phase in PHASES if any(phase == other for _, other in times)]
    figure, axis = plt.subplots(figsize=(8.5, 4.6), layout="constrained")
    for name in ordered({backend for backend, _ in times}):
        points = [(i, times[name, phase]) for i, phase in enumerate(shown) if (name, phase) in times]
        axis.plot(*zip(*points, strict=True), label=f"{name}  ({si(points[-1][1], 's')})", **look_of(name))
    axis.set(yscale="log", ylabel="time", xlim=(-0.3, len(shown) - 0.7))
    axis.set_xticks(range(len(shown)), shown)
    axis.yaxis.set_major_formatter(si_ticks("s"))
    axis.set_title("From a fresh process to steady calls (in brackets: a steady call)")
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
