"""What a comparison looks like: tables in the terminal, a heat map, bars, and one offline HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator
from rich.box import SIMPLE
from rich.table import Table

from bench.fits import si
from bench.page import environment_table, html_figure, html_table, subtitle, write_page
from bench.ratios import Comparison, comparisons
from bench.records import rows_of
from bench.style import save

_AHEAD, _BEHIND = "#0072B2", "#D55E00"
_MANY = 7  # peers that a terminal has columns for


def draw(doc: dict[str, Any], folder: Path) -> Path:
    """
    Draw the charts and the page of a comparison from its document alone.

    Raises
    ------
    ValueError
        If the document holds no comparison.
    """
    rows = rows_of(doc)
    found = comparisons(rows)
    if not found:
        raise ValueError("the document compares nothing: no peer was measured")
    folder.mkdir(parents=True, exist_ok=True)
    charts = [heat_map(found, folder), bars(found, folder)]
    header, lines = summary(found)
    parts = [
        f"<h1>fastconv and its peers</h1><p>{subtitle(doc, rows)}</p>",
        "<p>How many times as fast: the peer's median time over fastconv's, in the same rounds of random "
        "order, each answer checked before. Weights are handed over unprepared; <i>prepared</i> compares a "
        "plan, whose weights were prepared before, with every peer.</p>",
        html_table(header, lines),
        *(html_figure(folder / f"{name}.svg", caption) for name, caption in charts),
    ]
    for comparison in found:
        header, lines = details(comparison)
        parts += [f"<h2>{comparison.title}</h2>", html_table(header, lines)]
    if left_out := doc.get("left_out"):
        reasons = [[e["backend"], e["pass"], e["layer"], e["reason"]] for e in left_out]
        parts += ["<h2>Left out</h2>", html_table(["library", "pass", "layer", "reason"], reasons)]
    parts.append(environment_table(doc))
    return write_page(folder / "compare.html", "fastconv and its peers", parts)


def summary(found: Sequence[Comparison]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: geometric means over each peer and over the best, and the worst layers by name."""
    peers = list(dict.fromkeys(peer for comparison in found for peer in comparison.peers))
    header = ["times as fast as", "layers", *peers, "the best", "worst layers against the best"]
    lines = []
    for c in found:
        worst = ", ".join(f"{layer} {c.over_best(layer):.2f} ({c.best_peer(layer)})" for layer in c.worst())
        means = [f"{c.mean(peer):.2f}" if peer in c.peers else "-" for peer in peers]
        lines.append([c.title, str(len(c.times)), *means, f"{c.mean():.2f}", worst])
    return header, lines


def details(c: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and lines of one comparison: time, and speed-up over each peer and over the best."""
    lines = []
    for layer, (mine, _) in c.times.items():
        ratios = [c.speedup(layer, peer) for peer in c.peers]
        cells = ["-" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        lines.append([layer, si(mine, "s"), *cells, f"{c.over_best(layer):.2f}"])
    means = [f"{c.mean(peer):.2f}" for peer in c.peers]
    lines.append(["geometric mean", "", *means, f"{c.mean():.2f}"])
    return ["layer", "time", *c.peers, "the best"], lines


def tables(found: Sequence[Comparison]) -> list[Table]:
    """For the terminal: the details of each comparison, those of many peers in short, and the summary last."""
    made = []
    for c in found:
        header, lines = details(c) if len(c.peers) <= _MANY else _against_the_best(c)
        table = _table(f"{c.title}: times as fast as", header)
        for line in lines:
            table.add_row(*(_coloured(text) if i > 1 else text for i, text in enumerate(line)))
        made.append(table)
    header, lines = summary(found)
    means = _table("Geometric means: times as fast as", ["", *(line[0] for line in lines)])
    for i, peer in enumerate(header[1:-1], 1):
        means.add_row(peer, *(line[i] if i == 1 else _coloured(line[i]) for line in lines))
    worst = _table("The worst layers against the best peer", [header[0], header[-1]])
    for line in lines:
        worst.add_row(line[0], line[-1])
    return [*made, means, worst]


def _against_the_best(c: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and lines of one comparison that has too many peers for a terminal; the page has them all."""
    lines = [
        [layer, si(mine, "s"), f"{c.over_best(layer):.2f}", c.best_peer(layer)] for layer, (mine, _) in c.times.items()
    ]
    return ["layer", "time", "the best", "which is"], lines


def _table(title: str, header: Sequence[str]) -> Table:
    table = Table(title=title, box=SIMPLE, title_justify="left")
    for i, heading in enumerate(header):
        table.add_column(heading, justify="left" if i == 0 or heading.startswith("worst") else "right")
    return table


def _coloured(text: str) -> str:
    try:
        return f"[bold red]{text}[/]" if float(text) < 1 else text
    except ValueError:
        return text


def heat_map(found: Sequence[Comparison], folder: Path) -> tuple[str, str]:
    """Layers down; for each comparison its peers and the best of them across. Purple: ahead."""
    layers = list(dict.fromkeys(layer for c in found for layer in c.times))
    columns = [len(c.peers) + 1 for c in found]
    figure, axes = plt.subplots(
        1,
        len(found),
        figsize=(2.4 + 0.62 * sum(columns) + 0.3 * len(found), 2.2 + 0.29 * len(layers)),
        width_ratios=columns,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    colours = plt.get_cmap("PuOr").with_extremes(bad="0.93")
    for axis, c in zip(axes[0], found, strict=True):
        names = [*c.peers, "the best"]
        values = np.full((len(layers), len(names)), np.nan)
        for i, layer in enumerate(layers):
            if layer not in c.times:
                continue
            ratios = [*(c.speedup(layer, peer) for peer in c.peers), c.over_best(layer)]
            for j, ratio in enumerate(ratios):
                if ratio is None:
                    continue
                values[i, j] = np.log2(ratio)
                dark = abs(values[i, j]) > 2.2
                axis.text(
                    j,
                    i,
                    f"{ratio:.3g}" if ratio >= 10 else f"{ratio:.2f}",
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="white" if dark else "black",
                    fontweight="bold" if ratio < 1 else "normal",
                )
        image = axis.imshow(values, aspect="auto", cmap=colours, vmin=-3.3, vmax=3.3)
        axis.axvline(len(c.peers) - 0.5, color="black", linewidth=1)
        axis.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8.5)
        axis.set_yticks(range(len(layers)), layers, fontsize=8.5)
        axis.grid(False)
        axis.set_title(c.title, fontsize=10)
    bar = figure.colorbar(image, ax=axes[0], ticks=np.arange(-3, 4), pad=0.01, aspect=40)
    bar.ax.set_yticklabels(["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    bar.set_label("times as fast as the peer")
    figure.suptitle("fastconv against its peers: times as fast (purple: ahead, orange: behind)", fontsize=12)
    return save(figure, folder, "compare_heat"), "Times as fast as each peer, layer by layer"


def bars(found: Sequence[Comparison], folder: Path) -> tuple[str, str]:
    """Speed-up over the best peer (bar) and over torch (tick) of each layer, on a logarithmic axis."""
    layers = list(dict.fromkeys(layer for c in found for layer in c.times))
    figure, axes = plt.subplots(
        1,
        len(found),
        figsize=(1.6 + 3.3 * len(found), 1.6 + 0.27 * len(layers)),
        sharey=True,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, c in zip(axes[0], found, strict=True):
        for i, layer in enumerate(layers):
            if layer not in c.times:
                continue
            ratio = c.over_best(layer)
            axis.barh(i, ratio - 1, left=1, color=_AHEAD if ratio >= 1 else _BEHIND, height=0.66)
            if torch := c.speedup(layer, "torch"):
                axis.plot(torch, i, "|", color="black", markersize=9, markeredgewidth=1.6)
        axis.set_xscale("log")
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_title(f"{c.title}\nmean {c.mean():.2f}, worst {c.over_best(c.worst(1)[0]):.2f}", fontsize=10)
        axis.set_xlabel("times as fast")
        axis.grid(axis="y", visible=False)
    _round_ticks(axes[0][0])
    axes[0][0].set_yticks(range(len(layers)), layers, fontsize=8.5)
    axes[0][0].set_ylim(len(layers) - 0.4, -0.6)
    figure.suptitle("Bar: against the best peer of each layer (blue: ahead, orange: behind). Tick: against torch")
    return save(figure, folder, "compare_bars"), "Times as fast as the best peer, and as torch"


def _round_ticks(axis: Any) -> None:
    """Ticks at round numbers, as many as fit what the axis spans."""
    low, high = axis.get_xlim()
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    span = high / low
    steps = (1, 1.5, 2, 3, 4, 5, 7) if span < 8 else (1, 2, 5) if span < 50 else (1, 3) if span < 300 else (1,)
    axis.set_xticks([s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high])
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
