"""
Charts of what was measured: each function takes a document (the JSON of a command) or a list of its rows, and returns a
matplotlib figure.

>>> from bench import charts, records
>>> doc = records.load(Path("bench-results/benchmark.json"))          # doctest: +SKIP
>>> charts.flops_against_time(doc).savefig("flops.svg")               # doctest: +SKIP

`draw` writes one as SVG and PNG. Colours are told apart by colour-blind eyes; in gray, markers tell algorithms apart
and line styles engines (`bench.style` holds all of it).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from bench.charts.accuracy import accuracy_against_speed
from bench.charts.algorithm import algorithm, algorithms
from bench.charts.captions import caption
from bench.charts.heat import layer_map
from bench.charts.memory import workspace
from bench.charts.network import network_layers
from bench.charts.phases import phases
from bench.charts.regret import regret
from bench.charts.roofline import roofline
from bench.charts.rows import engines_of
from bench.charts.scaling import scaling
from bench.charts.speedups import speedups
from bench.charts.sweep import flops_against_time, speed_against_kernel, time_against_kernel
from bench.records import Row, rows_of
from bench.style import save as draw
from bench.workloads import PASSES

__all__ = [
    "accuracy_against_speed",
    "algorithm",
    "algorithms",
    "caption",
    "draw",
    "figures",
    "flops_against_time",
    "layer_map",
    "network_layers",
    "phases",
    "regret",
    "roofline",
    "scaling",
    "speed_against_kernel",
    "speedups",
    "time_against_kernel",
    "workspace",
]


Maker = Callable[[], Figure]


def figures(doc: Mapping[str, Any], names: Collection[str] = ()) -> dict[str, tuple[Figure, str]]:
    """
    Every chart that a document has the data for: name -> (figure, how to read it), in the order to look.

    Parameters
    ----------
    doc : dict
        The JSON of run, compare, networks or regret, or what pytest-benchmark wrote from this suite.
    names : collection of str
        Only these; none means all.
    """
    rows = [row for row in rows_of(doc) if not row.layer.startswith("photo_")] if "benchmarks" in doc else []
    compared = any(row.note for row in rows)
    makers: dict[str, Maker] = {"speedups": partial(speedups, doc)} if compared else _of_rows(doc, rows)
    for network, pass_ in _networks(doc):
        name = f"network_{network}" + ("" if pass_ == "forward" else f"_{pass_}")
        makers[name] = partial(network_layers, doc, network, pass_=pass_)
    makers |= _around(doc)
    return {name: (make(), caption(name)) for name, make in makers.items() if not names or name in names}


def _of_rows(doc: Mapping[str, Any], rows: list[Row]) -> dict[str, Maker]:
    """The sweep over kernel sizes and the layers of networks."""
    sweep, layers = [r for r in rows if r.in_sweep], [r for r in rows if not r.in_sweep]
    makers: dict[str, Maker] = {}
    if sweep:
        makers["flops_time"] = partial(flops_against_time, doc)
        if engines_of(sweep)[1]:
            makers["flops_time_engines"] = partial(flops_against_time, doc, better=False)
        makers["time_kernel"] = partial(time_against_kernel, doc)
        makers["speed_kernel"] = partial(speed_against_kernel, doc)
        makers["accuracy"] = partial(accuracy_against_speed, sweep)
    if rows and "ceilings" in doc:
        makers["roofline"] = partial(roofline, doc)
    for pass_ in PASSES:
        if chosen := [row for row in layers if row.pass_ == pass_]:
            makers[f"layers_{pass_}"] = partial(layer_map, chosen, pass_)
    return makers


def _networks(doc: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Networks and passes, of the command networks or of a run's second part."""
    records = [r for r in doc.get("networks", doc).get("records", []) if "counts" in r]
    return list(dict.fromkeys((network, r["pass_"]) for r in records for network in r["counts"]))


def _around(doc: Mapping[str, Any]) -> dict[str, Maker]:
    """Regret, and what a run measures beside its cells: scaling, memory and phases."""
    makers: dict[str, Maker] = {"regret": partial(regret, doc)} if doc.get("cases") else {}
    grown: dict[str, dict[str, dict[int, float]]] = {}
    for point in doc.get("scaling", []):
        grown.setdefault(point["over"], {}).setdefault(point["backend"], {})[point["size"]] = point["seconds"]
    for over, times in grown.items():
        if max(map(len, times.values())) > 1:
            makers[f"scaling_{over}"] = partial(scaling, times, over=over)
    for name, make in (("workspace", workspace), ("phases", phases)):
        if doc.get(name):
            makers[name] = partial(make, doc)
    return makers
