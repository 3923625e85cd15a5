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

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from bench.charts.accuracy import accuracy_against_speed
from bench.charts.heat import layer_map
from bench.charts.network import network_layers
from bench.charts.roofline import roofline
from bench.charts.rows import engines_of
from bench.charts.scaling import scaling
from bench.charts.speedups import speedups
from bench.charts.sweep import flops_against_time, speed_against_kernel, time_against_kernel
from bench.records import rows_of
from bench.style import TITLES
from bench.style import save as draw
from bench.workloads import PASSES

__all__ = [
    "accuracy_against_speed",
    "draw",
    "figures",
    "flops_against_time",
    "layer_map",
    "network_layers",
    "roofline",
    "scaling",
    "speed_against_kernel",
    "speedups",
    "time_against_kernel",
]


def figures(doc: Mapping[str, Any]) -> dict[str, tuple[Figure, str]]:
    """Every chart that a run's document has the data for: name -> (figure, how to read it), in the order to look."""
    rows = [row for row in rows_of(doc) if not row.layer.startswith("photo_")]
    sweep, layers = [r for r in rows if r.in_sweep], [r for r in rows if not r.in_sweep]
    made: dict[str, tuple[Figure, str]] = {}
    if sweep:
        made["flops_time"] = (
            flops_against_time(doc),
            "Each line is an algorithm; the legend says how steep it is: 1 means that twice the operations take twice "
            "the time. Grey lines are what this machine could do; open markers were left out and stand at their "
            "predicted time; a black ring is what auto picks.",
        )
        if engines_of(sweep)[1]:
            made["flops_time_engines"] = (
                flops_against_time(doc, better=False),
                "The same for the other engine of each algorithm, where it has two.",
            )
        made["time_kernel"] = (
            time_against_kernel(doc),
            "Lower is better. Dotted verticals mark where the fastest algorithm changes.",
        )
        made["speed_kernel"] = (
            speed_against_kernel(doc),
            "Higher is better. Operations are those of the formula, taps on padding included, so an algorithm that "
            "does fewer rises above the ceiling of the multipliers.",
        )
        made["accuracy"] = (accuracy_against_speed(sweep), "Up is faster, left is more exact: a point a kernel size.")
    if rows and "ceilings" in doc:
        made["roofline"] = (
            roofline(doc),
            "The roof is what bandwidth (the slope) and multipliers (the flat part) allow an algorithm that does all "
            "operations of the formula.",
        )
    for network in dict.fromkeys(n for r in doc.get("networks", {}).get("records", []) for n in r["counts"]):
        made[f"network_{network}"] = (
            network_layers(doc, network),
            "The time of all convolutions of the network, stacked layer by layer; a layer has one colour in all bars.",
        )
    for pass_ in PASSES:
        if chosen := [row for row in layers if row.pass_ == pass_]:
            made[f"layers_{pass_}"] = (
                layer_map(chosen, pass_),
                f"Layers of known networks, {TITLES[pass_]}: time as a multiple of the fastest backend's.",
            )
    return made
