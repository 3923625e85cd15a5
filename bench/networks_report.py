"""What `bench.networks` measured, as tables: milliseconds a network, and the layers that cost most."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich.table import Column, Table

from bench.fits import geometric_mean
from bench.networks import LAYOUTS, PASSES, Record

_ARRAYS = {"nchw": "NCHW arrays", "nhwc": "channels-last arrays"}


class Row(NamedTuple):
    """
    One network in one pass and layout: seconds of all its convolutions together.

    Attributes
    ----------
    peers : dict
        Peer -> seconds, of peers that compute every layer.
    best : float
        The fastest peer of each layer, summed.
    """

    network: str
    pass_: str
    layout: str
    ours: float
    peers: dict[str, float]
    best: float

    @property
    def ratio(self) -> float:
        """How many times as fast as the fastest peer of each layer."""
        return self.best / self.ours


def rows(records: Sequence[Record]) -> list[Row]:
    """A row for every pass, layout and network of which each layer has our time and a peer's."""
    found = []
    for pass_, layout, network in _cells(records):
        chosen = [r for r in records if r.pass_ in PASSES[pass_][0] and network in r.counts]
        if all(layout in r.ours and r.peers for r in chosen):
            peers = [name for name in chosen[0].peers if all(name in r.peers for r in chosen)]
            times = {name: sum(r.counts[network] * r.peers[name] for r in chosen) for name in peers}
            ours = sum(r.counts[network] * r.ours[layout] for r in chosen)
            best = sum(r.counts[network] * r.best for r in chosen)
            found.append(Row(network, pass_, layout, ours, times, best))
    return found


def _cells(records: Sequence[Record]) -> Iterable[tuple[str, str, str]]:
    networks = dict.fromkeys(name for record in records for name in record.counts)
    for pass_, (timed, _) in PASSES.items():
        for layout in LAYOUTS:
            if any(record.pass_ in timed and layout in record.ours for record in records):
                yield from ((pass_, layout, network) for network in networks)


def reach(rows_: Sequence[Row]) -> dict[str, Any]:
    """Geometric mean and least of the ratios of one pass and layout, with the network of the least."""
    worst = min(rows_, key=lambda row: row.ratio)
    return {"mean": geometric_mean(row.ratio for row in rows_), "worst": worst.ratio, "network": worst.network}


def costliest(records: Iterable[Record], layout: str, count: int = 10) -> list[Record]:
    """The records in which most time is lost against the fastest peer, most first; none without a loss."""
    known = [r for r in records if layout in r.ours and not math.isnan(r.best) and r.loss(layout) > 0]
    return sorted(known, key=lambda r: -r.loss(layout))[:count]


def tables(records: Sequence[Record], threads: int) -> list[Table]:
    """For each pass and layout a table of networks and one of the layers that cost most."""
    found, all_rows = [], rows(records)
    for pass_, layout in dict.fromkeys((row.pass_, row.layout) for row in all_rows):
        chosen = [row for row in all_rows if (row.pass_, row.layout) == (pass_, layout)]
        title = f"{pass_}, {_ARRAYS[layout]}, batch {PASSES[pass_][1]}, {threads} threads"
        found.append(_network_table(title, chosen))
        lost = costliest((r for r in records if r.pass_ in PASSES[pass_][0]), layout)
        if lost:
            found.append(_loss_table(f"{pass_}, {_ARRAYS[layout]}: what costs most", lost, layout))
    found.extend(_layout_tables(records))
    return found


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def _network_table(title: str, chosen: Sequence[Row]) -> Table:
    peers = list(dict.fromkeys(name for row in chosen for name in row.peers))
    table = Table("network", "fastconv ms", *peers, "best of each layer", "times as fast", title=title)
    for row in chosen:
        times = (_ms(row.peers[name]) if name in row.peers else "-" for name in peers)
        table.add_row(row.network, _ms(row.ours), *times, _ms(row.best), f"{row.ratio:.2f}")
    summary = reach(chosen)
    blank = [""] * (len(peers) + 2)
    table.add_section()
    table.add_row("geometric mean", *blank, f"{summary['mean']:.2f}")
    table.add_row(f"worst: {summary['network']}", *blank, f"{summary['worst']:.2f}")
    return table


def _loss_table(title: str, lost: Sequence[Record], layout: str) -> Table:
    table = Table("lost ms", "times", Column("layer", overflow="fold"), "backend", title=title)
    for head in ("ours us", "best us", "peer"):
        table.add_column(head)
    for r in lost:
        times = ", ".join(f"{count} {network}" for network, count in r.counts.items())
        layer = r.problem if r.pass_ in ("forward", "prepared") else f"{r.problem} {r.pass_}"
        fastest = min(r.peers, key=lambda name: r.peers[name])
        figures = (f"{seconds * 1e6:.0f}" for seconds in (r.ours[layout], r.best))
        table.add_row(_ms(r.loss(layout)), times, layer, r.backends.get(layout, ""), *figures, fastest)
    return table


def _layout_tables(records: Sequence[Record]) -> list[Table]:
    """A channels-last call against the NCHW call of the same problem; nothing where one of them is missing."""
    table = Table("pass", "mean", "worst", "layer", title="a channels-last call, times as fast as the NCHW call")
    for pass_ in dict.fromkeys(record.pass_ for record in records):
        both = [r for r in records if r.pass_ == pass_ and len(r.ours) == 2]
        if both:
            ratios = {r.problem: r.ours["nchw"] / r.ours["nhwc"] for r in both}
            worst = min(ratios, key=lambda problem: ratios[problem])
            table.add_row(pass_, f"{geometric_mean(ratios.values()):.2f}", f"{ratios[worst]:.2f}", worst)
    return [table] if table.row_count else []


def document(
    records: Sequence[Record], probes: Iterable[tuple[str, Any]], missing: Sequence[str], wrong: Sequence[str]
) -> dict[str, Any]:
    """Everything as plain JSON: records, rows, the Reach figures by pass and layout, probes."""
    all_rows = rows(records)
    keys = dict.fromkeys((row.pass_, row.layout) for row in all_rows)
    return {
        "records": [record._asdict() for record in records],
        "rows": [{**row._asdict(), "ratio": row.ratio} for row in all_rows],
        "reach": {f"{p} {q}": reach([row for row in all_rows if (row.pass_, row.layout) == (p, q)]) for p, q in keys},
        "probes": [{"when": when, **found._asdict()} for when, found in probes],
        "missing": list(missing),
        "wrong": list(wrong),
    }
