"""Heat maps: layers down, backends or libraries across."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from bench.fits import si
from bench.records import Row
from bench.style import TITLES, ordered


def layer_map(rows: Sequence[Row], pass_: str) -> Figure:
    """Each backend's time on each layer as a multiple of the fastest one's, which is named with its time."""
    backends = ordered({row.backend for row in rows})
    layers = list(dict.fromkeys(row.layer for row in sorted(rows, key=lambda row: row.flops)))
    medians = {(row.layer, row.backend): row.median for row in rows}
    figure, axis = plt.subplots(
        figsize=(max(7.0, 2.6 + 0.82 * len(backends)), max(3.0, 1.6 + 0.33 * len(layers))),
        layout="constrained",
    )
    ratios = np.full((len(layers), len(backends)), np.nan)
    for i, layer in enumerate(layers):
        best = min(medians[layer, backend] for backend in backends if (layer, backend) in medians)
        for j, backend in enumerate(backends):
            if (time := medians.get((layer, backend))) is None:
                continue
            ratios[i, j] = time / best
            label = si(time, "s", 2) if time == best else f"{time / best:.3g}x"
            dark = time / best > 4
            axis.text(
                j,
                i,
                label,
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if dark else "black",
                fontweight="bold" if time == best else "normal",
            )
    colours = plt.get_cmap("cividis_r").with_extremes(bad="0.93")
    image = axis.imshow(np.log2(ratios), aspect="auto", cmap=colours, vmin=0, vmax=5)
    bar = figure.colorbar(image, ax=axis, ticks=range(6), pad=0.02)
    bar.ax.set_yticklabels([f"{2**i}x" for i in range(5)] + ["32x or more"])
    bar.set_label("time relative to the fastest")
    axis.set_xticks(range(len(backends)), backends, rotation=40, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(layers)), layers)
    axis.grid(False)
    axis.set_title(f"Layers, {TITLES[pass_]} (bold: time of the fastest; grey: refused or too slow)", loc="right")
    return figure
