"""``python -m bench publish``: runs of named machines in docs/performance, and the pages made from them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench import charts, story
from bench.charts.rows import engines_of
from bench.fits import geometric_mean, si
from bench.records import Row, load, rows_of
from bench.style import TITLES, split
from bench.workloads import PASSES

CHARTS = ("flops_time", "time_kernel", "scaling_threads", "scaling_images", "scaling_pixels", "workspace", "phases")
_BUSY = 0.1  # share of the rounds that stayed busy, from which on a run is provisional
_LEAST = 9  # rounds; a figure of fewer is provisional


def add(doc: Mapping[str, Any], folder: Path, *, machine: str | None = None, provisional: bool = False) -> Path:
    """
    Put a run into its machine's folder, in place of an older one, and write all pages.

    Parameters
    ----------
    doc : document of ``python -m bench run``
    folder : Path
        Such as docs/performance.
    machine : str, optional
        What it is called; by default as the CPU calls itself.
    provisional : bool
        Mark all figures; a run from changed files, or in a busy spell, is marked anyway.

    Returns
    -------
    Path
        The machine's JSON.

    Raises
    ------
    ValueError
        If the document is not that of a run with a sweep of kernel sizes.
    """
    if not any(row.in_sweep for row in rows_of(doc)):
        raise ValueError("json: the file of `python -m bench run` is needed, with its sweep of kernel sizes")
    machine = machine or doc.get("machine_info", {}).get("cpu", {}).get("brand_raw", "unknown CPU")
    isa = doc.get("environment", {}).get("isa", "")
    home = folder / re.sub(r"[^a-z0-9]+", "-", f"{machine} {isa}".lower()).strip("-")
    home.mkdir(parents=True, exist_ok=True)
    slim = slimmed(doc) | {"published": {"machine": machine, "provisional": reasons(doc, provisional)}}
    lines = ",\n".join(json.dumps(entry) for entry in slim.pop("benchmarks"))
    rest = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in slim.items())
    path = home / "benchmark.json"
    path.write_text(f'{{{rest},\n"benchmarks": [\n{lines}\n]}}\n', encoding="utf-8")
    draw(load(path), home)
    write_pages(folder)
    return path


def slimmed(doc: Mapping[str, Any]) -> dict[str, Any]:
    """What charts, tables and `diff` need: medians of rounds for all samples, five digits, no photographs."""
    kept = {key: value for key, value in doc.items() if key not in ("photograph", "probes", "networks")}
    kept["benchmarks"] = [
        {
            "fullname": entry["fullname"],
            "extra_info": entry["extra_info"],
            "stats": {key: entry["stats"][key] for key in ("median", "q1", "q3", "min", "rounds")},
        }
        for entry in doc["benchmarks"]
    ]
    if probes := doc.get("probes"):
        speeds = np.quantile([probe["fma_gflops"] for probe in probes], (0.05, 0.25, 0.5, 0.75, 0.95))
        rest = {key: float(np.median([probe[key] for probe in probes])) for key in ("latency_ns", "stolen")}
        kept["probes"] = [{"fma_gflops": float(speed), **rest} for speed in speeds]
    if found := doc.get("networks"):
        records = [{k: v for k, v in record.items() if k != "samples"} for record in found.get("records", [])]
        kept["networks"] = {"records": records, "rows": found.get("rows", []), "missing": found.get("missing", [])}
    return dict(_rounded(kept))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def reasons(doc: Mapping[str, Any], provisional: bool = False) -> list[str]:
    """Why the figures of a run are not settled yet; empty if they are."""
    found = ["marked so by who measured"] if provisional else []
    if doc.get("commit_info", {}).get("dirty"):
        found.append("measured from files that were changed since the commit")
    extras = [entry["extra_info"] for entry in doc["benchmarks"] if "rounds" in entry.get("extra_info", {})]
    busy = sum(len(extra.get("busy_rounds", [])) for extra in extras)
    taken = sum(len(extra["rounds"]) for extra in extras)
    if taken and busy > _BUSY * taken:
        found.append(f"{100 * busy / taken:.0f} % of the rounds stayed busy")
    return found


def draw(doc: Mapping[str, Any], home: Path) -> None:
    """The charts of a machine's page, and one for each algorithm, as SVG."""
    for old in home.glob("*.svg"):
        old.unlink()
    made = {name: figure for name, (figure, _) in charts.figures(doc, CHARTS).items()}
    made |= {f"algorithm_{name}": charts.algorithm(doc, name) for name in charts.algorithms(doc)}
    for name, figure in made.items():
        charts.draw(figure, home, name)
        (home / f"{name}.png").unlink()


def write_pages(folder: Path) -> list[Path]:
    """A page for each machine in a folder, and the table of all of them."""
    docs = {path.parent.name: load(path) for path in sorted(folder.glob("*/benchmark.json"))}
    written = []
    for name, text in {
        "index.md": index(docs),
        **{f"{k}/index.md": page(v, folder / k) for k, v in docs.items()},
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


def index(docs: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of all machines; figures of provisional runs are in italics."""
    lines = [
        "# Published results\n",
        "Runs of `python -m bench run` on named machines; each page is made from the JSON beside it. To add yours: run",
        "it on an idle machine, then `python -m bench publish --machine 'NAME, N cores'`, and send the folder that it",
        "makes. *Figures in italics are provisional*; their page says why.\n",
        "| machine | instruction set | threads | multipliers | best effective speed | networks | date |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, doc in docs.items():
        about, top = doc["published"], doc.get("ceilings", {})
        best = max((row for row in rows_of(doc) if row.in_sweep), key=lambda row: row.gflops)
        rows = [row for row in doc.get("networks", {}).get("rows", []) if row["pass_"] == "forward"]
        figures = [
            f"{top['fma_gflops']:.0f} GFLOP/s" if top else "",
            f"{best.gflops:.0f} GFLOP/s ({split(best.backend)[0]}, {best.kernel}x{best.kernel})",
            f"{geometric_mean(row['ratio'] for row in rows):.2f} times the best peer of each layer" if rows else "",
        ]
        shown = [f"*{text}*" if text and about["provisional"] else text for text in figures]
        env = doc.get("environment", {})
        first = [f"[{about['machine']}]({key}/index.md)", env.get("isa", ""), str(env.get("threads", ""))]
        lines.append(f"| {' | '.join([*first, *shown, doc.get('datetime', '')[:10]])} |")
    entries = "\n".join(f"{key}/index" for key in docs)
    return "\n".join(lines) + f"\n\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"


def page(doc: Mapping[str, Any], home: Path) -> str:
    """Sentences, tables of the sweep and the networks, and charts of one machine."""
    about, env, commit = doc["published"], doc.get("environment", {}), doc.get("commit_info", {})
    versions = ", ".join(f"{name} {version}" for name, version in env.get("versions", {}).items())
    parts = [
        f"# {about['machine']}, {env.get('isa', '')}\n",
        f"{doc.get('datetime', '')[:10]}, {env.get('threads', '?')} threads of {env.get('cores', '?')} cores, commit "
        f"`{commit.get('id', '')[:12]}`. {versions}. All numbers: "
        f"[benchmark.json](benchmark.json), which `python -m bench report` turns into the full page.\n",
    ]
    if about["provisional"]:
        parts.append(f"**Provisional**: {'; '.join(about['provisional'])}.\n")
    parts += [f"- {text}" for text in story.sentences(doc)]
    parts.append("\n## Kernel sizes\n")
    parts.append(
        "Median times, 2 images, 32 to 32 channels, 64x64; the better engine of each algorithm, the fastest in"
    )
    parts.append("bold. *Italics*: fewer than nine rounds, or a third of them busy.\n")
    settled = {_cell(entry): _settled(entry["extra_info"]) for entry in doc["benchmarks"]}
    for pass_ in PASSES:
        parts += _sweep_table([row for row in rows_of(doc) if row.in_sweep and row.pass_ == pass_], pass_, settled)
    parts += _network_table(doc)
    shown = {name: charts.caption(name) for name in CHARTS if (home / f"{name}.svg").exists()}
    parts.append("\n## Charts\n")
    parts += [f"![{caption}]({name}.svg)\n\n{caption}\n" for name, caption in shown.items()]
    return "\n".join(parts).rstrip() + "\n"


def _cell(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    extra = entry["extra_info"]
    return extra["layer"], extra["pass"], extra["backend"]


def _settled(extra: Mapping[str, Any]) -> bool:
    taken, busy = len(extra.get("rounds", [])), len(extra.get("busy_rounds", []))
    return taken >= _LEAST and busy <= taken / 3


def _sweep_table(rows: list[Row], pass_: str, settled: Mapping[tuple[str, str, str], bool]) -> list[str]:
    if not rows:
        return []
    names, sizes = engines_of(rows)[0], sorted({row.kernel for row in rows})
    times = {(row.backend, row.kernel): row for row in rows}
    best = {size: min(row.median for row in rows if row.kernel == size and row.backend in names) for size in sizes}

    def cell(name: str, size: int) -> str:
        if (row := times.get((name, size))) is None:
            return ""
        mark = ("**" if row.median == best[size] else "") + ("" if settled.get((row.layer, pass_, name), True) else "*")
        return f"{mark}{si(row.median, 's')}{mark}"

    head = f"| {TITLES[pass_]} | {' | '.join(f'{size}x{size}' for size in sizes)} |"
    return [
        head, "|" + "---|" * (len(sizes) + 1),
        *(f"| {name} | {' | '.join(cell(name, size) for size in sizes)} |" for name in names), "",
    ]  # fmt: skip


def _network_table(doc: Mapping[str, Any]) -> list[str]:
    rows = [row for row in doc.get("networks", {}).get("rows", []) if row["pass_"] == "forward"]
    if not rows:
        return []
    peers = list(dict.fromkeys(peer for row in rows for peer in row["peers"]))
    lines = ["## Networks\n", "All convolutions, one image, weights as they are; milliseconds.\n"]
    lines.append(f"| network | fastconv | {' | '.join(peers)} | best of each layer | times as fast |")
    lines.append("|" + "---|" * (len(peers) + 4))
    for row in rows:
        cells = [row["ours"], *(row["peers"].get(peer) for peer in peers), row["best"]]
        shown = " | ".join("" if seconds is None else f"{1e3 * seconds:.2f}" for seconds in cells)
        lines.append(f"| {row['network']} | {shown} | {row['ratio']:.2f} |")
    return lines
