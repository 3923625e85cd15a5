"""Scratch memory: what a backend says it will need beside what a call then takes."""

from __future__ import annotations

import tracemalloc
from typing import NamedTuple

import fastconv
from bench import subjects
from bench.workloads import load_layers, make_tensors

LAYERS = ("sweep_k3", "sweep_k15")


class Need(NamedTuple):
    """Bytes beside the result: predicted by the backend, and the peak of a first call as Python's tracer saw it."""

    layer: str
    backend: str
    predicted: int
    measured: int


def measure(seed: int = 0, slowest: float = 1.0) -> list[Need]:
    """Every backend that takes the layers' forward pass and is predicted to do so in `slowest` seconds."""
    found = []
    for layer in load_layers(LAYERS):
        tensors = make_tensors(layer, seed=seed)
        for row in fastconv.explain(layer.x_shape, layer.w_shape, **layer.options).rows:
            name = row["backend"]
            if row["predicted_seconds"] > slowest or subjects.refusal(name, layer, "forward", "float32"):
                continue
            call = subjects.call_of(layer, "forward", tensors, name)
            call()  # what is compiled or remembered for good is no scratch
            fastconv.release_workspace()
            tracemalloc.start()
            try:
                result = call()
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            found.append(Need(layer.name, name, int(row["workspace_bytes"]), max(0, peak - result.nbytes)))
    return found
