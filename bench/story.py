"""Three sentences on top of a run's page, written from its data: who wins where, what operations cost, networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.bootstrap import Ratio, paired_ratio
from bench.charts.rows import ceilings_from, engines_of
from bench.fits import crossovers, fastest, fit_power_law, geometric_mean, times_of
from bench.records import Row, rows_of
from bench.style import split

Cell = tuple[str, str, str]  # layer, pass, backend


def sentences(doc: Mapping[str, Any]) -> list[str]:
    """As many of the three as there is data for."""
    rows = rows_of(doc)
    sweep = [row for row in rows if row.in_sweep]
    forward = [row for row in sweep if row.pass_ == "forward"] or sweep
    found = [_winners(forward, doc), _operations(forward, doc)] if forward else []
    found.append(_networks(doc.get("networks", {})))
    return [text for text in found if text]


def ratios(doc: Mapping[str, Any]) -> dict[Cell, Ratio]:
    """Each cell's time over that of the fastest backend of its layer and pass, paired round by round."""
    rounds: dict[Cell, dict[int, float]] = {}
    for entry in doc["benchmarks"]:
        extra = entry.get("extra_info", {})
        if "rounds" in extra:
            cell = (extra["layer"], extra["pass"], extra["backend"])
            rounds[cell] = dict(zip(extra["rounds"], extra["round_seconds"], strict=True))
    rows = {(row.layer, row.pass_, row.backend): row.median for row in rows_of(doc)}
    best: dict[tuple[str, str], Cell] = {}
    for cell in rounds:
        if rows[cell] < rows.get(best.get(cell[:2], ("", "", "")), float("inf")):
            best[cell[:2]] = cell
    found = {}
    for cell, mine in rounds.items():
        fastest_one = rounds[best[cell[:2]]]
        if mine.keys() & fastest_one.keys():
            found[cell] = paired_ratio(mine, fastest_one)
    return found


def _winners(rows: Sequence[Row], doc: Mapping[str, Any]) -> str:
    """From which kernel size on which algorithm is fastest, and how often auto takes it."""
    times = {name: series for name, series in times_of(rows).items() if name in engines_of(rows)[0]}
    best = fastest(times)
    sizes = list(best)
    text = (
        f"No algorithm wins everywhere: at kernels of {sizes[0]}x{sizes[0]} {split(best[sizes[0]])[0]} is the fastest"
    )
    changes = crossovers(times)
    if not changes:
        return f"{split(best[sizes[0]])[0]} is the fastest at every kernel size."
    text += "".join(f", from about {change.kernel:.1f} on {split(change.after)[0]}" for change in changes)
    chosen = {(e["layer"], e["pass"], e["backend"]) for e in doc.get("auto", [])}
    found = {cell: ratio for cell, ratio in ratios(doc).items() if cell in chosen and cell[0].startswith("sweep_")}
    if found:
        right = sum(not ratio.differs or ratio.value <= 1.02 for ratio in found.values())
        worst = max(ratio.value for ratio in found.values())
        text += f"; auto picks the fastest, or one no slower, in {right} of {len(found)} cases (at worst {worst:.2f}"
        text += " times as long)"
    return text + "."


def _operations(rows: Sequence[Row], doc: Mapping[str, Any]) -> str:
    """What an operation costs each of the extremes, and how near the multipliers' ceiling."""
    mine = {name: [row for row in rows if row.backend == name] for name in engines_of(rows)[0]}
    laws = {
        name: law.exponent
        for name, found in mine.items()
        if len(found) > 2 and (law := fit_power_law([r.flops for r in found], [r.median for r in found]))
    }
    if len(laws) < 2:
        return ""
    steep, flat = max(laws, key=lambda n: laws[n]), min(laws, key=lambda n: laws[n])
    text = (
        f"Operations alone do not tell the time: it grows with their power {laws[steep]:.2f} for {split(steep)[0]}, "
        f"but {laws[flat]:.2f} for {split(flat)[0]}"
    )
    top, largest = ceilings_from(doc), max(rows, key=lambda row: row.gflops)
    if top:
        text += (
            f", which makes {split(largest.backend)[0]} worth {largest.gflops:.0f} GFLOP/s at {largest.kernel}x"
            f"{largest.kernel}, {largest.gflops / top.fma_gflops:.1f} times what the multipliers do at best"
        )
    return text + "."


def _networks(found: Mapping[str, Any]) -> str:
    """All convolutions of the networks against the fastest peer of each layer."""
    rows = [row for row in found.get("rows", []) if row["pass_"] == "forward"]
    if not rows:
        ours = [r for r in found.get("records", []) if "nchw" in r["ours"]]
        return "The networks were measured alone: no peer is installed." if ours else ""
    ratios_ = {row["network"]: row["ratio"] for row in rows}
    best, worst = max(ratios_, key=lambda n: ratios_[n]), min(ratios_, key=lambda n: ratios_[n])
    mean = geometric_mean(ratios_.values())
    return (
        f"All convolutions of {len(rows)} networks, one image each, run {mean:.2f} times as fast as "
        f"with the fastest installed peer of each layer, from {ratios_[worst]:.2f} ({worst}) to "
        f"{ratios_[best]:.2f} ({best})."
    )
