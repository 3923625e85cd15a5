"""A document of the default run's shape, made in a second: every cell that the run would have, with invented times."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastconv
from bench import measure, memory, networks_report, phases, photo, records, run, scaling, subjects, workloads
from bench.networks import PEERS, Record
from bench.panel import encode
from bench.peers import PEERS as ALL

ROUNDS = 25


def document() -> dict[str, Any]:
    """Layers, passes, backends, networks, peers, probes and photographs are those of ``python -m bench run``."""
    rng = np.random.default_rng(0)
    settings = run.DEFAULT
    benchmarks, skipped, refused, auto = [], [], [], []
    for layer in workloads.load_layers(settings.layers):
        for pass_ in settings.passes:
            predicted = {r["backend"]: r["predicted_seconds"] for r in _explained(layer, pass_)}
            for backend in subjects.backends():
                where = {"layer": layer.name, "pass": pass_, "backend": backend}
                reason = subjects.refusal(backend, layer, pass_, settings.dtype)
                if reason is not None:
                    refused.append({**where, "reason": reason})
                elif predicted[backend] > settings.slowest:
                    skipped.append({**where, "predicted_seconds": predicted[backend]})
                else:
                    benchmarks.append(_entry(layer, pass_, backend, predicted[backend], rng))
            auto.append({"layer": layer.name, "pass": pass_, "backend": subjects.chosen(layer, pass_)})
    for layer in photo.photo_layers():
        benchmarks += [_entry(layer, "forward", name, 1e-3, rng) for name in ("direct/cython", "separable/cython")]
    glance = {"fma_gflops": 96.123456789, "latency_ns": 12.3456789, "stolen": 0.0}
    return records.document(
        benchmarks,
        2,
        wrong=[],
        skipped=skipped,
        refused=refused,
        auto=auto,
        probes=[{"layer": entry["layer"], "pass": entry["pass"], **glance} for entry in auto for _ in range(ROUNDS)],
        ceilings={"fma_gflops": 96.0, "cache_gbs": 150.0, "memory_gbs": 20.0},
        networks=_networks(rng),
        photograph=encode(photo.filtered()),
        **around(),
    )


def around() -> dict[str, list[dict[str, Any]]]:
    """Scaling, scratch memory and phases."""
    grown = {"threads": (1, 2), **scaling.SIZES}
    return {
        "scaling": [
            {"over": over, "size": size, "backend": f"{name}/cython", "seconds": 1e-3 * size ** (-1 if i == 0 else 1)}
            for i, (over, sizes) in enumerate(grown.items())
            for size in sizes
            for name in scaling.ALGORITHMS
        ],
        "workspace": [
            {"layer": layer, "backend": name, "predicted": 2_000_000, "measured": 2_250_000}
            for layer in memory.LAYERS
            for name in fastconv.list_backends()
        ],
        "phases": [
            {"backend": f"{name}/{engine}", "phase": phase, "seconds": 0.8 / 10**i}
            for name in phases.BACKENDS
            for engine in ("cython", "numba")
            for i, phase in enumerate(phases.PHASES)
        ],
    }


def _explained(layer: workloads.Layer, pass_: Any) -> list[dict[str, Any]]:
    return fastconv.explain(layer.x_shape, layer.w_shape, pass_=pass_, **layer.options).rows


def _entry(
    layer: workloads.Layer, pass_: str, backend: str, seconds: float, rng: np.random.Generator
) -> dict[str, Any]:
    cell = measure.Cell(backend, lambda: None)
    for number in range(ROUNDS):
        cell.samples += list(seconds * np.exp(0.02 * rng.standard_normal(5)))
        cell.rounds += [number] * 5
    extra = records.extra_info(layer, pass_, backend, "float32", 1e-7 * (1 + rng.random()), 2)
    return records.benchmark_of(cell, {**extra, "first_seconds": 3 * seconds, "busy_rounds": [3, 7]})


def _networks(rng: np.random.Generator) -> dict[str, Any]:
    held, peers = workloads.load_networks(), [p.name for p in ALL if p.name in PEERS and not p.prepared]
    found = []
    for layer in dict.fromkeys(layer for layers in held.values() for layer in layers):
        counts = {name: layers[layer] for name, layers in held.items() if layer in layers}
        times = {name: list(layer.flops / 5e10 * np.exp(0.3 * rng.standard_normal(20))) for name in ("nchw", *peers)}
        medians = {name: float(np.median(samples)) for name, samples in times.items()}
        ours = {"nchw": medians.pop("nchw")}
        found.append(Record(layer.name, "forward", counts, ours, {"nchw": "direct/cython"}, medians, times))
    return networks_report.document(found, [], [], [])
