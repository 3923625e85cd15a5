"""Every backend on the photograph; the names are those that ``python -m bench run`` writes."""

from __future__ import annotations

import pytest

from bench import subjects
from bench.conftest import Checked
from bench.oracle import Oracle
from bench.photo import photo_layers, photo_tensors

LAYERS = {layer.name: layer for layer in photo_layers()}
CELLS = [
    pytest.param("forward", name, backend, id=f"forward-{name}-{backend}")
    for name, layer in LAYERS.items()
    for backend in subjects.backends()
    if subjects.refusal(backend, layer, "forward", "float32") is None
]


@pytest.mark.parametrize(("pass_", "layer", "backend"), CELLS)
def test_photograph(checked: Checked, pass_: str, layer: str, backend: str) -> None:
    tensors = photo_tensors(LAYERS[layer])
    checked(Oracle(LAYERS[layer], pass_, tensors), tensors, backend)
