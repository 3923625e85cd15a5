"""How many times as fast as each peer, layer by layer; losses are to be seen."""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from bench.charts.rows import Results, rows_from
from bench.ratios import comparisons

_AHEAD, _BEHIND = "#0072B2", "#D55E00"


def speedups(results: Results, *, title: str | None = None) -> Figure:
    """
    A panel for each peer, of one comparison: points of the layers in order, below 1 and hollow where we lose.

    Parameters
    ----------
    results : document of compare, or its rows
    title : str, optional
        Which comparison, as `bench.ratios.Comparison` titles them; the first by default.

    Raises
    ------
    ValueError
        If nothing is compared, or not under that title.
    """
    found = comparisons(rows_from(results))
    chosen = next((c for c in found if title in (None, c.title)), None)
    if chosen is None:
        raise ValueError(f"title: {title!r} is none of {[c.title for c in found]}")
    peers = chosen.peers
    figure, axes = plt.subplots(
        1, len(peers), figsize=(2.6 * len(peers) + 0.8, 4.2), sharey=True, squeeze=False, layout="constrained"
    )
    figure.suptitle(f"Times as fast as each peer: {chosen.title}", fontsize=12)
    for axis, peer in zip(axes[0], peers, strict=True):
        ratios = [r for layer in chosen.times if (r := chosen.speedup(layer, peer)) is not None]
        values = np.sort(ratios)
        places, lost = np.arange(len(values)), values < 1
        axis.vlines(places, 1, values, color=np.where(lost, _BEHIND, _AHEAD), linewidth=1)
        axis.plot(places[~lost], values[~lost], "o", color=_AHEAD, markersize=4)
        axis.plot(places[lost], values[lost], "v", color=_BEHIND, markerfacecolor="white", markersize=6)
        axis.axhline(1, color="0.2", linewidth=1)
        axis.set(yscale="log", xlabel="layers, worst first", xticks=[])
        axis.set_title(f"{peer}\nmean {chosen.mean(peer):.2f}, {lost.sum()} of {len(values)} lost", fontsize=10)
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
    axes[0][0].set_ylabel("times as fast (above 1 is faster)")
    return figure
