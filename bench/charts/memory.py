"""Scratch memory, predicted and measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from bench.style import colour_of, ordered


def workspace(results: Mapping[str, Any]) -> Figure:
    """
    A panel for each layer: filled bars are what a first call took beside its result, black ticks what was predicted.

    Parameters
    ----------
    results : document of a run

    Raises
    ------
    ValueError
        If no memory was measured.
    """
    needs = results.get("workspace", [])
    if not needs:
        raise ValueError("results: no workspace was measured")
    layers = list(dict.fromkeys(need["layer"] for need in needs))
    names = ordered({need["backend"] for need in needs})[::-1]
    figure, axes = plt.subplots(
        1, len(layers), figsize=(4.9 * len(layers) + 1.2, 1.2 + 0.27 * len(names)), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis, layer in zip(axes[0], layers, strict=True):
        for need in (need for need in needs if need["layer"] == layer):
            at, measured, predicted = names.index(need["backend"]), need["measured"] / 1e6, need["predicted"] / 1e6
            axis.barh(at, measured, color=colour_of(need["backend"]), height=0.62)
            axis.plot([predicted, predicted], [at - 0.42, at + 0.42], color="black", linewidth=2)
            axis.annotate(
                f"{measured:.2g}", (max(measured, predicted), at), (4, 0), textcoords="offset points", va="center",
                fontsize=8,
            )  # fmt: skip
        axis.set(title=layer, xlabel="MB beside the result (tick: predicted)")
        axis.margins(x=0.12)
        axis.grid(visible=False, axis="y")
    axes[0][0].set_yticks(range(len(names)), names)
    figure.suptitle("Scratch memory of a forward pass", fontsize=13)
    return figure
