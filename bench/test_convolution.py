"""Every backend on every layer and pass; the names are those that ``python -m bench run`` writes."""

from __future__ import annotations

from functools import lru_cache

import pytest

from bench import subjects
from bench.conftest import Checked
from bench.oracle import Oracle
from bench.workloads import PASSES, Tensors, load_layers, make_tensors

LAYERS = {layer.name: layer for layer in load_layers()}
CELLS = [
    pytest.param(pass_, name, backend, id=f"{pass_}-{name}-{backend}")
    for name, layer in LAYERS.items()
    for pass_ in PASSES
    for backend in subjects.backends()
    if subjects.refusal(backend, layer, pass_, "float32") is None
]


@lru_cache(maxsize=1)
def _prepared(pass_: str, layer: str) -> tuple[Oracle, Tensors]:
    tensors = make_tensors(LAYERS[layer])
    return Oracle(LAYERS[layer], pass_, tensors), tensors


@pytest.mark.parametrize(("pass_", "layer", "backend"), CELLS)
def test_convolution(checked: Checked, pass_: str, layer: str, backend: str) -> None:
    checked(*_prepared(pass_, layer), backend)
