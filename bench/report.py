"""The offline HTML report: one file with every chart, table and reason in it, drawn from the JSON alone."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bench.charts import draw_all
from bench.fits import si
from bench.panel import decode, draw_panel
from bench.records import Row, rows_of
from bench.style import TITLES, ordered
from bench.tables import Summary
from bench.workloads import PASSES

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1250px; padding: 0 1em;
  color: #222; background: white }
h1 { margin-bottom: 0 } h2 { margin-top: 2em; border-bottom: 1px solid #ccc }
img { max-width: 100%; height: auto } figure { margin: 1em 0 } figcaption { color: #555 }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .2em .6em; border-bottom: 1px solid #e4e4e4; text-align: right; white-space: nowrap }
th { background: #f5f5f5 } th:first-child, td:first-child { text-align: left }
td.best { font-weight: bold; background: #e8f3ea }
.wrong { background: #b00020; color: white; padding: .6em 1em }
.wrong td, .wrong th { color: white; background: none }
details { margin: .5em 0 }
"""


def draw(doc: dict[str, Any], folder: Path) -> Path:
    """
    Draw all charts of a document and the report that shows them.

    Parameters
    ----------
    doc : dict
        A document of `bench.records`; also one that pytest-benchmark wrote from this suite.
    folder : Path
        Where the files go; it is made if need be.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    ValueError
        If the document holds no measurement of this suite.
    """
    rows = rows_of(doc)
    if not rows:
        raise ValueError("the document holds no measured convolution")
    folder.mkdir(parents=True, exist_ok=True)
    charts = draw_all(rows, folder)
    missing = {kind: doc.get(kind, []) for kind in ("wrong", "skipped", "refused")}
    parts = [_heading(doc, rows), _wrong(missing["wrong"]), "<h2>Summary</h2>", _summary(rows, missing)]
    parts += [html_figure(folder / f"{name}.svg", caption) for name, caption in charts]
    if pictures := doc.get("photograph"):
        name = draw_panel(decode(pictures), folder)
        parts += [
            "<h2>The photograph</h2>",
            html_figure(folder / f"{name}.png", "A picture through each kernel"),
        ]
    parts += [_times(rows, pass_) for pass_ in PASSES]
    parts += [_skipped(missing["skipped"]), _refused(missing["refused"]), environment_table(doc)]
    return write_page(folder / "report.html", "fastconv benchmark", parts)


def write_page(path: Path, title: str, parts: Iterable[str]) -> Path:
    """Write an HTML page that needs nothing from outside."""
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
    path.write_text(f"{head}<style>{_STYLE}</style>\n" + "\n".join(parts) + "</html>\n", encoding="utf-8")
    return path


def html_table(header: Sequence[str], lines: Iterable[Sequence[str]], best: Iterable[tuple[int, int]] = ()) -> str:
    """A table of plain text; cells at the (line, column) pairs of `best` are set off."""
    marked = set(best)
    head = "".join(f"<th>{escape(text)}" for text in header)
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=best' if (i, j) in marked else ''}>{escape(text)}" for j, text in enumerate(line))
        for i, line in enumerate(lines)
    )
    return f"<div class=wide><table><tr>{head}{body}</table></div>"


def html_figure(path: Path, caption: str) -> str:
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    text = escape(caption)
    image = f'<img alt="{text}" src="data:image/{kind};base64,{data}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def subtitle(doc: dict[str, Any], rows: Sequence[Row]) -> str:
    """CPU, threads, dtypes, number of cells and date, in one line."""
    cpu = doc.get("machine_info", {}).get("cpu", {}).get("brand_raw", "unknown CPU")
    threads = doc.get("environment", {}).get("threads", "?")
    dtypes = ", ".join(sorted({row.dtype for row in rows}))
    date = doc.get("datetime", "")[:16].replace("T", " ")
    return f"{cpu}, {threads} threads, {dtypes}, {len(rows)} cells, {date} UTC"


def _heading(doc: dict[str, Any], rows: Sequence[Row]) -> str:
    formula = "2 N Co OH OW (Ci / groups) KH KW"
    return (
        f"<h1>fastconv benchmark</h1><p>{escape(subtitle(doc, rows))}</p>"
        "<p>Every answer was checked against a float64 oracle before it was timed. Backends take turns in "
        f"rounds of random order; times are medians. Operations are nominal, {formula} in all three passes, "
        "so an algorithm that does fewer can exceed the speed of the machine's multipliers.</p>"
    )


def _wrong(entries: Sequence[dict[str, Any]]) -> str:
    if not entries:
        return "<p>No wrong answers.</p>"
    lines = [[e["backend"], e["pass"], e["layer"], e["error"]] for e in entries]
    return (
        f"<div class=wrong><h2>{len(entries)} WRONG ANSWERS (not timed)</h2>"
        + html_table(["backend", "pass", "layer", "error"], lines)
        + "</div>"
    )


def _summary(rows: Sequence[Row], missing: dict[str, list[dict[str, Any]]]) -> str:
    summary = Summary(rows, missing)
    text = (
        "Cells measured and won; for each pass its time as a multiple of the fastest backend's, as geometric "
        "mean over its cells; the best effective speed; the largest error, relative to the largest value; "
        "cells refused, left out as too slow, and wrong."
    )
    return f"<p>{text}</p>" + html_table(summary.header, summary.lines)


def _times(rows: Sequence[Row], pass_: str) -> str:
    """Median times of one pass: a line for each layer, a column for each backend."""
    chosen = [row for row in rows if row.pass_ == pass_]
    if not chosen:
        return ""
    backends = ordered({row.backend for row in chosen})
    cells = {(row.layer, row.backend): row for row in chosen}
    layers = dict.fromkeys(row.layer for row in sorted(chosen, key=lambda row: row.flops))
    lines, best = [], []
    for i, layer in enumerate(layers):
        mine = {name: cells[layer, name] for name in backends if (layer, name) in cells}
        quickest = min(mine, key=lambda name: mine[name].median)
        best.append((i, 3 + backends.index(quickest)))
        first = next(iter(mine.values()))
        lines.append(
            [layer, si(first.flops, "FLOP"), si(first.bytes, "B")]
            + [_cell(mine[name]) if name in mine else "" for name in backends]
        )
    return (
        f"<h2>Times, {TITLES[pass_]}</h2><p>Median, and half the distance of the quartiles. An empty cell "
        "was refused, too slow or wrong.</p>" + html_table(["layer", "operations", "bytes", *backends], lines, best)
    )


def _cell(row: Row) -> str:
    return f"{si(row.median, 's')} ±{50 * (row.q3 - row.q1) / row.median:.0f}%"


def _skipped(entries: Sequence[dict[str, Any]]) -> str:
    if not entries:
        return ""
    lines = [[e["backend"], e["pass"], e["layer"], si(e["predicted_seconds"], "s", 2)] for e in entries]
    return (
        f"<h2>Left out as too slow</h2><details><summary>{len(entries)} cells, by the time predicted from "
        "smaller layers; <code>--full</code> measures them</summary>"
        + html_table(["backend", "pass", "layer", "predicted time of a call"], lines)
        + "</details>"
    )


def _refused(entries: Sequence[dict[str, Any]]) -> str:
    if not entries:
        return ""
    reasons: dict[tuple[str, str], list[str]] = {}
    for e in entries:
        reasons.setdefault((e["backend"], e["reason"]), []).append(f"{e['layer']} {e['pass']}")
    lines = [[name, str(len(where)), reason, where[0]] for (name, reason), where in sorted(reasons.items())]
    return (
        f"<h2>Refused</h2><details><summary>{len(entries)} cells that a backend does not compute</summary>"
        + html_table(["backend", "cells", "reason", "for example"], lines)
        + "</details>"
    )


def environment_table(doc: dict[str, Any]) -> str:
    env, commit = doc.get("environment", {}), doc.get("commit_info", {})
    machine = doc.get("machine_info", {})
    lines = [
        ["commit", f"{commit.get('id', '')}{' with changes' if commit.get('dirty') else ''}"],
        [
            "system",
            f"{machine.get('system', '')} {machine.get('machine', '')}, {machine.get('python_compiler', '')}",
        ],
        ["cores, threads", f"{env.get('cores', '?')}, {env.get('threads', '?')}"],
        *([name, str(version)] for name, version in env.get("versions", {}).items()),
        *(["BLAS", text] for text in env.get("blas", [])),
        *([name, str(value)] for name, value in env.get("variables", {}).items()),
    ]
    return "<h2>Environment</h2>" + html_table(["what", "value"], lines)
