"""How time grows with threads, images or pixels, the slope written at each line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.charts.rows import si_ticks
from bench.fits import fit_power_law, si
from bench.style import look_of

_NARROW = 12  # longest over shortest time, below which there is room to label all ticks


def scaling(times: Mapping[str, Mapping[int, float]], *, over: str = "threads") -> Figure:
    """
    A line for each backend (or layer), and in grey what doubling would do at best.

    Parameters
    ----------
    times : mapping
        Name -> {threads, images, or whatever grows: seconds}.
    over : str
        What grows, for the axis; over ``"threads"`` time ideally falls, over anything else it grows alike.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not any(times.values()):
        raise ValueError("times: nothing was measured")
    figure, axis = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    slope = -1 if over == "threads" else 1
    for name, series in times.items():
        sizes = np.array(sorted(series), dtype=float)
        seconds = [series[int(size)] for size in sizes]
        law = fit_power_law(list(sizes), seconds)
        label = f"{name}  (slope {law.exponent:.2f})" if law else name
        axis.plot(sizes, seconds, label=label, **look_of(name))
        axis.plot(sizes, seconds[0] * (sizes / sizes[0]) ** slope, color="0.8", linewidth=1, zorder=0)
    axis.set(xscale="log", yscale="log", xlabel=over, ylabel="time of a call")
    axis.xaxis.set_major_locator(FixedLocator(sorted({size for series in times.values() for size in series})))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_major_formatter(si_ticks("s"))
    every = [seconds for series in times.values() for seconds in series.values()]
    narrow = max(every) < _NARROW * min(every)
    axis.yaxis.set_minor_formatter(si_ticks("s") if narrow else FuncFormatter(_some))
    axis.set_title(f"Time over {over} (grey: slope {slope})")
    axis.legend(frameon=False)
    return figure


def _some(value: float, _: int) -> str:
    """Ticks at 2 and 5 between powers of ten."""
    return si(value, "s") if f"{value:.0e}"[0] in "25" else ""
