"""Libraries that are rarely installed: what they compute is right, what they cannot do they say."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("rich")

from bench import oracle, peers, workloads
from bench.adapter import Peer

LAYERS = [
    workloads.Layer("plain", 1, 3, 9, 7, 4, 3, 3, padding=1),
    workloads.Layer("asymmetric", 1, 3, 7, 6, 4, 3, 2, padding=(0, 1)),
    workloads.Layer("strided", 1, 4, 9, 8, 6, 3, 3, stride=2),
    workloads.Layer("dilated", 1, 4, 9, 8, 6, 3, 3, padding=2, dilation=2),
    workloads.Layer("grouped", 1, 4, 9, 8, 6, 3, 3, padding=1, groups=2),
    workloads.Layer("depthwise", 1, 5, 6, 6, 5, 5, 5, padding=2, groups=5),
    workloads.Layer("batch", 2, 3, 7, 7, 4, 3, 3, padding=1),
    workloads.Layer("plane", 1, 1, 40, 40, 1, 5, 5, padding=2),
]
MODULES = ("ncnn", "MNN", "ai_edge_litert", "pyfftw")


@pytest.mark.parametrize("module", MODULES)
def test_what_it_computes_is_right(module: str) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    (peer,) = (peer for peer in peers.installed() if peer.module == module)
    peer.start(2)
    done = [layer.name for layer in LAYERS if _checked(peer, layer)]
    assert done == ["plane"] if module == "pyfftw" else {"plain", "depthwise", "plane"} <= set(done)


def _checked(peer: Peer, layer: workloads.Layer) -> bool:
    tensors = workloads.make_tensors(layer)
    bias = np.random.default_rng(1).standard_normal(layer.co, dtype=np.float32)
    call, fused = peer.call(layer, "forward", tensors), peer.fused_call(layer, tensors, bias)
    for made, judge in (
        (call, oracle.Oracle(layer, "forward", tensors)),
        (fused, oracle.FusedOracle(layer, tensors, bias)),
    ):
        if made is not None:
            assert judge.accepts(judge.error(peer.to_numpy(made()))), layer
    assert peer.call(layer, "grad_input", tensors) is None
    return call is not None


def test_they_are_named_where_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name in ("ai_edge_litert", "cv2") else object())
    assert peers.absent() == (
        "Not installed, so not compared: cv2, ai_edge_litert (pip install opencv-python-headless ai-edge-litert)"
    )
    monkeypatch.setattr(peers, "find_spec", lambda name: object())
    assert peers.absent() == ""


def test_those_that_compile_for_long_are_only_there_on_request() -> None:
    assert [peer.name for peer in peers.PEERS if peer.on_request] == ["torch compiled"]
