"""The page of a run: three sentences, charts, and every number in tables that name its place in the JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench import charts, story
from bench.fits import si
from bench.page import Value, environment_table, html_figure, html_table, subtitle, write_page
from bench.panel import decode, draw_panel
from bench.records import Row, rows_of
from bench.tables import Summary

_SECTIONS = {
    "summary": "Summary",
    "charts": "Charts",
    "backends": "Backends",
    "times": "Times",
    "networks": "Networks",
    "machine": "The machine meanwhile",
    "environment": "Environment",
}


def draw(doc: dict[str, Any], folder: Path) -> Path:
    """
    Draw all charts of a document and the page that shows them.

    Parameters
    ----------
    doc : dict
        A document of `bench.records`; also one that pytest-benchmark wrote from this suite.
    folder : Path
        Where the files go; it is made if need be.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ValueError
        If the document holds no measurement of this suite.
    """
    rows = rows_of(doc)
    if not rows:
        raise ValueError("the document holds no measured convolution")
    folder.mkdir(parents=True, exist_ok=True)
    missing = {kind: doc.get(kind, []) for kind in ("wrong", "skipped", "refused")}
    parts = [_heading(doc, rows), _wrong(missing["wrong"]), '<h2 id="charts">Charts</h2>']
    for name, (figure, caption) in charts.figures(doc).items():
        charts.draw(figure, folder, name)
        parts.append(html_figure(folder / f"{name}.svg", caption))
    if pictures := doc.get("photograph"):
        parts.append(_photograph(pictures, folder))
    parts += [_summary(rows, missing), _times(doc), _networks(doc.get("networks", {})), _machine(doc)]
    parts += [_skipped(missing["skipped"]), _refused(missing["refused"]), environment_table(doc)]
    return write_page(folder / "report.html", "fastconv benchmark", parts)


def _heading(doc: Mapping[str, Any], rows: Sequence[Row]) -> str:
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title in _SECTIONS.items())
    lead = "".join(f"<li>{escape(text)}</li>" for text in story.sentences(doc))
    return (
        f"<h1>fastconv benchmark</h1><p class=soft>{escape(subtitle(doc, rows))}</p>"
        f'<nav aria-label="Sections">{links}</nav><h2 id="summary">Summary</h2><ul class=lead>{lead}</ul>'
        "<p>Every answer was checked against a float64 oracle before it was timed. Backends take turns in rounds of "
        "random order; times are medians, ratios are made within a round and have 95 % intervals from a bootstrap over "
        "rounds; ~ means that no difference is sure. First calls, which may compile, are timed apart. Operations "
        "are nominal, 2 N Co OH OW (Ci / groups) KH KW in all three passes. All numbers stand in "
        "<code>benchmark.json</code>, at the place that the last column of each table names.</p>"
    )


def _wrong(entries: Sequence[Mapping[str, Any]]) -> str:
    if not entries:
        return "<p>No wrong answers.</p>"
    lines = [[e["backend"], e["pass"], e["layer"], e["error"], f"wrong[{i}]"] for i, e in enumerate(entries)]
    table = html_table(["backend", "pass", "layer", "error", "JSON"], lines, title="Wrong answers")
    return f"<div class=wrong><h2>{len(entries)} WRONG ANSWERS (not timed)</h2>{table}</div>"


def _photograph(pictures: dict[str, str], folder: Path) -> str:
    """The panel, as WebP within the page: a PNG of photographs is large."""
    name = draw_panel(decode(pictures), folder)
    small = folder / f"{name}.webp"
    picture = Image.open(folder / f"{name}.png").convert("RGB")
    picture.thumbnail((1400, 1400))
    picture.save(small, quality=75)
    return "<h2>The photograph</h2>" + html_figure(small, f"A picture through {len(pictures) - 1} kernels.")


def _summary(rows: Sequence[Row], missing: dict[str, list[dict[str, Any]]]) -> str:
    summary = Summary(rows, missing)
    text = (
        "Cells measured and won; for each pass its time as a multiple of the fastest backend's, as geometric mean over "
        "its cells; the best effective speed; the largest error, relative to the largest value; cells refused, left "
        "out as too slow, and wrong."
    )
    lines: list[list[str | Value]] = [[line[0], *(_number(text) for text in line[1:])] for line in summary.lines]
    table = html_table(summary.header, lines, title="What each backend achieved")
    return f'<h2 id="backends">Backends</h2><p>{text}</p>{table}'


def _number(text: str) -> Value:
    return Value(text, float(text) if text != "-" else float("inf"))


def _times(doc: Mapping[str, Any]) -> str:
    """Every measured cell, and where it stands in the JSON."""
    ratios = story.ratios(doc)
    header = ["layer", "pass", "backend", "kernel", "operations", "median", "± %", "of the fastest", "95 %"]
    header += ["GFLOP/s", "error", "first call", "rounds", "busy", "JSON"]
    lines: list[list[str | Value]] = []
    best = []
    for i, entry in enumerate(doc["benchmarks"]):
        extra, stats = entry.get("extra_info", {}), entry["stats"]
        if "flops" not in extra:
            continue
        ratio = ratios.get((extra["layer"], extra["pass"], extra["backend"]))
        if ratio and ratio.value == 1 == ratio.high:
            best.append(len(lines))
        first = extra.get("first_seconds", float("nan"))
        rounds = len(extra["rounds"]) if "rounds" in extra else stats["rounds"]
        spread = 50 * (stats["q3"] - stats["q1"]) / stats["median"]
        lines.append(
            [
                extra["layer"],
                extra["pass"],
                extra["backend"],
                Value(str(extra["kernel"]), extra["kernel"]),
                Value(si(extra["flops"], "FLOP"), extra["flops"]),
                Value(si(stats["median"], "s"), stats["median"]),
                Value(f"{spread:.0f}", spread),
                Value(str(ratio), ratio.value) if ratio else "",
                f"{ratio.low:.2f} to {ratio.high:.2f}" if ratio else "",
                Value(f"{extra['flops'] / stats['median'] / 1e9:.1f}", extra["flops"] / stats["median"]),
                Value(f"{extra['max_error']:.0e}", extra["max_error"]),
                Value(si(first, "s"), first) if np.isfinite(first) else "",
                Value(str(rounds), rounds),
                Value(str(len(extra.get("busy_rounds", []))), len(extra.get("busy_rounds", []))),
                f"benchmarks[{i}]",
            ]
        )
    return '<h2 id="times">Times</h2>' + html_table(header, lines, title="All measured cells", best=best)


def _networks(found: Mapping[str, Any]) -> str:
    rows = found.get("rows", [])
    if not rows:
        return ""
    peers = list(dict.fromkeys(peer for row in rows for peer in row["peers"]))
    lines: list[list[str | Value]] = [
        [
            row["network"],
            _ms(row["ours"]),
            *(_ms(row["peers"][peer]) if peer in row["peers"] else "" for peer in peers),
            _ms(row["best"]),
            Value(f"{row['ratio']:.2f}", row["ratio"]),
            f"networks.rows[{i}]",
        ]
        for i, row in enumerate(rows)
    ]
    header = ["network", "fastconv ms", *(f"{peer} ms" for peer in peers), "best of each layer ms", "times as fast"]
    table = html_table([*header, "JSON"], lines, title="All convolutions of whole networks, batch 1, forward")
    return f'<h2 id="networks">Networks</h2>{table}'


def _ms(seconds: float) -> Value:
    return Value(f"{1e3 * seconds:.2f}", seconds)


def _machine(doc: Mapping[str, Any]) -> str:
    """What the probes between the rounds saw."""
    probes, top = doc.get("probes", []), doc.get("ceilings")
    if not probes:
        return ""
    speeds = np.array([p["fma_gflops"] for p in probes])
    busy = sum(len(e["extra_info"].get("busy_rounds", [])) for e in doc["benchmarks"])
    low, middle, high = np.quantile(speeds, (0.05, 0.5, 0.95))
    text = (
        f"{len(probes)} glances between rounds: multiply-adds at {middle:.0f} GFLOP/s ({low:.0f} to {high:.0f} in nine "
        f"of ten), {np.median([p['latency_ns'] for p in probes]):.0f} ns to the last cache, "
        f"{100 * np.mean([p['stolen'] for p in probes]):.1f} % of the time taken by the host. Busy rounds were "
        f"repeated; {busy} samples' rounds stayed busy and are counted in the table above."
    )
    if top:
        text += (
            f" Ceilings: {top['fma_gflops']:.0f} GFLOP/s, caches {top['cache_gbs']:.0f} GB/s, memory "
            f"{top['memory_gbs']:.0f} GB/s (<code>ceilings</code>)."
        )
    return f'<h2 id="machine">The machine meanwhile</h2><p>{text} (<code>probes</code>)</p>'


def _skipped(entries: Sequence[Mapping[str, Any]]) -> str:
    if not entries:
        return ""
    lines = [
        [
            e["backend"], e["pass"], e["layer"],
            Value(si(e["predicted_seconds"], "s", 2), e["predicted_seconds"]), f"skipped[{i}]",
        ]
        for i, e in enumerate(entries)
    ]  # fmt: skip
    table = html_table(["backend", "pass", "layer", "predicted time of a call", "JSON"], lines, title="Left out")
    words = "cells, by the time predicted from smaller layers; <code>--full</code> measures them"
    return f"<h2>Left out as too slow</h2><details><summary>{len(entries)} {words}</summary>{table}</details>"


def _refused(entries: Sequence[Mapping[str, Any]]) -> str:
    if not entries:
        return ""
    reasons: dict[tuple[str, str], list[int]] = {}
    for i, e in enumerate(entries):
        reasons.setdefault((e["backend"], e["reason"]), []).append(i)
    lines: list[list[str | Value]] = [
        [
            name, Value(str(len(where)), len(where)), reason,
            f"{entries[where[0]]['layer']} {entries[where[0]]['pass']}", f"refused[{where[0]}]",
        ]
        for (name, reason), where in sorted(reasons.items())
    ]  # fmt: skip
    table = html_table(["backend", "cells", "reason", "for example", "JSON"], lines, title="Refused")
    words = "cells that a backend does not compute"
    return f"<h2>Refused</h2><details><summary>{len(entries)} {words}</summary>{table}</details>"
