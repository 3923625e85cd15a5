"""Where the time of a network goes: its layers as stacked bars."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

_ARRAYS = {"nchw": "fastconv", "nhwc": "fastconv, channels last"}
_NAMED = 0.06  # of the longest bar: shorter layers have no room for a name


def network_layers(results: Mapping[str, Any], network: str, *, pass_: str = "forward") -> Figure:
    """
    A bar for fastconv and for each peer that computes every layer; a layer has one shade in all of them.

    Parameters
    ----------
    results : document of run or networks
    network, pass_ : str

    Raises
    ------
    ValueError
        If the results do not have the network in this pass.
    """
    records = results.get("networks", results).get("records", [])
    chosen = [r for r in records if network in r["counts"] and r["pass_"] == pass_]
    if not chosen:
        raise ValueError(f"network: {network!r} was not measured in pass {pass_!r}")
    names = [
        *(layout for layout in _ARRAYS if all(layout in r["ours"] for r in chosen)),
        *(peer for peer in chosen[0]["peers"] if all(peer in r["peers"] for r in chosen)),
    ]
    times = np.array([[1e3 * r["counts"][network] * (r["ours"] | r["peers"])[n] for n in names] for r in chosen])
    longest = times.sum(0).max()
    figure, axis = plt.subplots(figsize=(9.5, 1.3 + 0.5 * len(names)), layout="constrained")
    shades = matplotlib.colormaps["cividis"](np.linspace(0.1, 0.95, len(chosen)))
    left = np.zeros(len(names))
    for row, record, shade in zip(times, chosen, shades, strict=True):
        axis.barh(range(len(names)), row, left=left, color=shade, edgecolor="white", linewidth=0.6)
        for j, width in enumerate(row):
            if width > _NAMED * longest:
                dark = shade[:3].mean() < 0.5
                axis.text(
                    left[j] + width / 2, j, _short(record, network), ha="center", va="center", fontsize=7,
                    color="white" if dark else "black",
                )  # fmt: skip
        left += row
    for j, total in enumerate(left):
        axis.annotate(f"{total:.1f} ms", (total, j), (3, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set_yticks(range(len(names)), [_ARRAYS.get(name, name) for name in names])
    axis.invert_yaxis()
    axis.set(xlabel=f"milliseconds, all convolutions, {pass_}", title=network, xlim=(0, 1.1 * longest))
    axis.grid(visible=False, axis="y")
    return figure


def _short(record: Mapping[str, Any], network: str) -> str:
    """Such as 3x 3x3 256, of a problem's name."""
    sizes = dict(re.findall(r"([a-z]+)(\d+)", record["problem"].split("_")[0]))
    return f"{record['counts'][network]}x {sizes.get('kh', '?')}x{sizes.get('kw', '?')}\n{sizes.get('co', '?')}"
