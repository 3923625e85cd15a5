"""What `bench.whole` measured, as tables: milliseconds a network, and how many times as fast as whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from bench.fits import geometric_mean
from bench.whole import Record

#: Whom a row is compared with -> contestants, of which the fastest counts.
RIVALS = {
    "ONNX Runtime, OpenVINO": ("onnxruntime", "openvino"),
    "PyTorch, better layout": ("torch", "torch nhwc"),
    "inductor": ("inductor", "inductor nhwc", "inductor frozen", "inductor frozen nhwc"),
}


def ratios(records: Sequence[Record], name: str, rivals: Iterable[str]) -> dict[str, float]:
    """Network -> how many times as fast as the fastest rival, where both were timed."""
    rivals = tuple(rivals)
    found = {}
    for record in records:
        times = [record.peers[rival] for rival in rivals if rival in record.peers]
        if name in record.ours and times:
            found[record.network] = min(times) / record.ours[name]
    return found


def reach(records: Sequence[Record]) -> dict[str, dict[str, dict[str, Any]]]:
    """Contestant of ours -> rivals -> geometric mean, the least, and the network of the least."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in dict.fromkeys(name for record in records for name in record.ours):
        found[name] = {}
        for label, rivals in RIVALS.items():
            if won := ratios(records, name, rivals):
                worst = min(won, key=lambda network: won[network])
                found[name][label] = {"mean": geometric_mean(won.values()), "worst": won[worst], "network": worst}
    return found


def tables(records: Sequence[Record], threads: int) -> list[Table]:
    """For each task a table of times and one of ratios."""
    found = []
    for task in dict.fromkeys(record.task for record in records):
        chosen = [record for record in records if record.task == task]
        found.append(_times(chosen, f"{task}, {threads} threads: milliseconds"))
        if any(reach(chosen).values()):
            found.append(_reach(chosen, f"{task}: times as fast, geometric mean (worst network)"))
    return found


def _times(records: Sequence[Record], title: str) -> Table:
    table = Table("", title=title)
    for record in records:
        table.add_column(record.network.replace("_", " "), justify="right")
    for kind in ("ours", "peers"):
        for name in dict.fromkeys(name for record in records for name in getattr(record, kind)):
            times = (getattr(record, kind).get(name) for record in records)
            table.add_row(name, *("-" if t is None else f"{t * 1e3:.3g}" for t in times))
        table.add_section()
    errors = (max(record.errors.values(), default=0.0) for record in records)
    table.add_row("largest error", *(f"{error:.0e}" for error in errors))
    return table


def _reach(records: Sequence[Record], title: str) -> Table:
    found = reach(records)
    labels = [label for label in RIVALS if any(label in row for row in found.values())]
    table = Table("", *labels, title=title)
    for name, row in found.items():
        cells = (row.get(label) for label in labels)
        table.add_row(name, *(f"{c['mean']:.2f} ({c['worst']:.2f} {c['network']})" if c else "-" for c in cells))
    return table


def document(records: Sequence[Record], probes: Iterable[tuple[str, Any]], **more: Sequence[str]) -> dict[str, Any]:
    """Everything as plain JSON."""
    tasks = dict.fromkeys(record.task for record in records)
    return {
        "records": [record._asdict() for record in records],
        "reach": {task: reach([record for record in records if record.task == task]) for task in tasks},
        "probes": [{"when": when, **found._asdict()} for when, found in probes],
        **{key: list(value) for key, value in more.items()},
    }
