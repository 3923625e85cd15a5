"""One offline HTML page: its frame, figures, and tables that sort and filter (`page.css`, `page.js`)."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from bench.records import Row


class Value(NamedTuple):
    """A cell of a table: what is read, and the number by which it sorts."""

    text: str
    number: float


def write_page(path: Path, title: str, parts: Iterable[str]) -> Path:
    """Write an HTML page that needs nothing from outside."""
    style, script = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{style}</style></head>'
        '<body><a class="skip" href="#content">Skip to the content</a>'
        '<button id="theme" type="button" aria-pressed="false">light / dark</button><main id="content">'
    )
    text = "\n".join([head, *parts, f"</main><script>{script}</script></body></html>\n"])
    path.write_text(text, encoding="utf-8")
    return path


def html_table(
    header: Sequence[str],
    lines: Iterable[Sequence[str | Value]],
    *,
    title: str = "Table",
    best: Iterable[int] = (),
) -> str:
    """A table that sorts by its heads and filters by words; lines whose numbers are in `best` are set off."""
    marked = set(best)
    head = "".join(f'<th scope="col"><button type="button">{escape(text)}</button></th>' for text in header)
    body = "".join(
        f"<tr{' class=best' if i in marked else ''}>{''.join(map(_cell, line))}</tr>" for i, line in enumerate(lines)
    )
    label = escape(title, quote=True)
    return (
        f'<div class="data"><div class="filter"><label>Filter <input type="search" aria-label="Filter {label}"></label>'
        f'<output aria-live="polite"></output></div>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f"<table><caption>{label}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></div>"
    )


def _cell(value: str | Value) -> str:
    if isinstance(value, Value):
        return f'<td data-v="{value.number:.6g}">{escape(value.text)}</td>'
    return f'<td class="text">{escape(value)}</td>'


def html_figure(path: Path, caption: str) -> str:
    """A picture within the page, with its caption as its text for those who do not see it."""
    if path.suffix == ".svg":  # as text: base64 would add a third
        data = "svg+xml," + quote(path.read_text(encoding="utf-8"), safe=" /:;,=()'!$&*+?@[]|")
    else:
        data = f"{path.suffix[1:]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    text = escape(caption, quote=True)
    image = f'<img alt="{text}" src="data:image/{data.replace("&", "&amp;")}">'
    return f'<figure><div class="zoom" tabindex="0">{image}</div><figcaption>{text}</figcaption></figure>'


def subtitle(doc: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """CPU, threads, dtypes, number of cells and date, in one line."""
    cpu = doc.get("machine_info", {}).get("cpu", {}).get("brand_raw", "unknown CPU")
    threads = doc.get("environment", {}).get("threads", "?")
    dtypes = ", ".join(sorted({row.dtype for row in rows}))
    date = doc.get("datetime", "")[:16].replace("T", " ")
    return f"{cpu}, {threads} threads, {dtypes}, {len(rows)} cells, {date} UTC"


def environment_table(doc: Mapping[str, Any]) -> str:
    """What the measurements depend on."""
    env, commit = doc.get("environment", {}), doc.get("commit_info", {})
    machine = doc.get("machine_info", {})
    changes = " with changes" if commit.get("dirty") else ""
    lines = [
        ["commit", f"{commit.get('id', '')}{changes}"],
        ["system", f"{machine.get('system', '')} {machine.get('machine', '')}, {machine.get('python_compiler', '')}"],
        ["cores, threads", f"{env.get('cores', '?')}, {env.get('threads', '?')}"],
        ["instruction set in use", str(env.get("isa", ""))],
        ["load when it began or ended", ", ".join(map(str, env.get("load", [])))],
        *([name, size] for name, size in env.get("caches", {}).items()),
        *([name, str(version)] for name, version in env.get("versions", {}).items()),
        *(["BLAS", text] for text in env.get("blas", [])),
        *([name, str(value)] for name, value in env.get("variables", {}).items()),
    ]
    return '<h2 id="environment">Environment</h2>' + html_table(["what", "value"], lines, title="Environment")
