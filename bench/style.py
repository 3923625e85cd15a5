"""How a backend looks in every chart: a colour and a marker for each algorithm, a line style for each engine."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only, no window system

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# Okabe and Ito's palette (2008) with some of Tol's, told apart with colour-blind eyes too.
_COLOURS = {
    "naive": "#000000",
    "im2col": "#E69F00",
    "direct": "#0072B2",
    "pointwise": "#332288",
    "depthwise": "#56B4E9",
    "winograd": "#009E73",
    "fft": "#CC79A7",
    "fft_tiled": "#D55E00",
    "separable": "#882255",
    "split_bf16x1": "#DDCC77",
    "split_bf16": "#999933",
    "split_bf16x6": "#666600",
    "reference": "#8A8A8A",
}
_SPARE_COLOURS = ("#AA4499", "#117733", "#DDAA33", "#661100")
# A marker for each, too: in gray, and in a crowd, lines are told apart by shape.
_MARKERS = {
    "naive": "o",
    "im2col": "s",
    "direct": "D",
    "pointwise": "P",
    "depthwise": "p",
    "winograd": "^",
    "fft": "v",
    "fft_tiled": "X",
    "separable": "h",
    "split_bf16x1": "<",
    "split_bf16": ">",
    "split_bf16x6": "8",
    "reference": "*",
}
_ENGINES = {"cython": "-", "numba": "--"}
_OTHER_ENGINE = ":"

TITLES = {
    "forward": "forward",
    "grad_input": "gradient of the input",
    "grad_weight": "gradient of the weights",
}

plt.rcParams.update(
    {
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.dpi": 110,
        "savefig.bbox": "tight",
        "svg.hashsalt": "fastconv",
        "svg.fonttype": "none",  # letters, not outlines of letters: a third of the size, and they can be searched
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    }
)


def split(backend: str) -> tuple[str, str]:
    """Algorithm and engine of a backend's name."""
    algorithm, _, engine = backend.partition("/")
    return algorithm, engine


def colour_of(backend: str) -> str:
    """Colour of the backend's algorithm; one that is not in the palette gets a spare colour by its name."""
    algorithm, _ = split(backend)
    return _COLOURS.get(algorithm) or _SPARE_COLOURS[sum(map(ord, algorithm)) % len(_SPARE_COLOURS)]


def look_of(backend: str) -> dict[str, Any]:
    """Colour and marker by algorithm, line style by engine, as keyword arguments of `Axes.plot`."""
    algorithm, engine = split(backend)
    hollow = {} if engine == "cython" else {"markerfacecolor": "white"}
    return {
        "color": colour_of(backend),
        "linestyle": _ENGINES.get(engine, _OTHER_ENGINE),
        "marker": _MARKERS.get(algorithm, "d"),
        "markersize": 5,
        "linewidth": 1.5,
        **hollow,
    }


def ordered(backends: set[str]) -> list[str]:
    """Backends in the order of the palette, engines of an algorithm side by side."""
    rank = {algorithm: i for i, algorithm in enumerate(_COLOURS)}
    return sorted(backends, key=lambda name: (rank.get(split(name)[0], len(rank)), name))


def legend_below(
    figure: Figure, backends: Sequence[str], labels: dict[str, str] | None = None, title: str | None = None
) -> None:
    """One legend for all panels, under them."""
    labels = labels or {}
    handles = [Line2D([], [], label=labels.get(name, name), **look_of(name)) for name in backends]
    rows = -(-len(handles) // (6 if not labels else 5))
    figure.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=-(-len(handles) // rows) if rows else 1,
        frameon=False,
        title=title,
        handlelength=3,
    )


def smaller(svg: str) -> str:
    """The same picture in fewer bytes: places to a hundredth of a point, no comments, indents or names of groups."""

    def rounded(match: re.Match[str]) -> str:
        return re.sub(r"(\.\d\d)\d+", r"\1", re.sub(r"\s*\n\s*", " ", match[0]))

    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(?:d|x|y|transform)="[^"]*"', rounded, svg)
    return re.sub(r"\n\s+", "\n", re.sub(r'<g id="[^"]*"', "<g", svg))


def save(figure: Figure, folder: Path, name: str) -> str:
    """Write a figure as SVG and PNG and close it; returns its name."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    (folder / f"{name}.svg").write_text(smaller(text.getvalue()), encoding="utf-8")
    figure.savefig(folder / f"{name}.png", dpi=130)
    plt.close(figure)
    return name
