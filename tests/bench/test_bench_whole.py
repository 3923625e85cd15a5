"""The tool for whole networks: what it checks, times and prints; no time is asserted."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rich")
pytest.importorskip("torch")

from rich.console import Console

from bench import whole, whole_peers, whole_report, whole_training, zoo
from bench.__main__ import main

QUIET = Console(quiet=True)
TINY = zoo.Network(lambda rng: zoo.resnet(rng, (1, 1), width=8, classes=5), (3, 32, 32))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny network besides, and a clock that needs no time."""
    monkeypatch.setitem(zoo.NETWORKS, "tiny", TINY)
    ticks = itertools.count()
    monkeypatch.setattr("bench.measure.time.perf_counter", lambda: next(ticks) * 1e-3)
    monkeypatch.setattr("bench.measure.time.sleep", lambda seconds: None)


def record(network: str, ours: dict[str, float], peers: dict[str, float]) -> whole.Record:
    return whole.Record("inference, batch 1", network, ours, peers, {"nn": 1e-7})


def test_inference_compares_everybody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "whole.json"
    assert main(["whole", "--networks", "lenet,tiny", "--quick", "--json", str(file)]) == 0
    doc = json.loads(file.read_text())
    names = {c.name for c in whole_peers.contestants() if not c.optional}
    assert [r["network"] for r in doc["records"]] == ["lenet", "tiny"] and not doc["wrong"] + doc["missing"]
    for found in doc["records"]:
        assert set(found["ours"]) | set(found["peers"]) == set(found["errors"]) == names
        assert max(found["errors"].values()) < 1e-5
    assert {"nn", "replaced", "backend nhwc"} <= set(doc["records"][0]["ours"])
    assert "worst" in doc["reach"]["inference, batch 1"]["nn"]["PyTorch, better layout"]
    assert [p["when"] for p in doc["probes"]] == ["before", "after lenet", "after tiny"]
    assert "milliseconds" in capsys.readouterr().out


def test_training_has_equal_losses_and_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    few = datasets.load_digits()
    few.update(images=few.images[:200], target=few.target[:200])
    monkeypatch.setattr(datasets, "load_digits", lambda: few)
    file = tmp_path / "whole.json"
    arguments = ["whole", "--training", "--batch", "2,3", "--networks", "lenet,tiny", "--quick", "--json", str(file)]
    assert main(arguments) == 0
    doc = json.loads(file.read_text())
    tasks = [f"training, batch {n}" for n in (2, 3)]
    assert [(r["task"], r["network"]) for r in doc["records"]] == [
        *((task, name) for name in ("lenet", "tiny") for task in tasks),
        ("an epoch", "digits"),
    ]
    assert {"nn", "nn nhwc", "replaced", "replaced nhwc", "torch", "torch nhwc"} == set(doc["records"][0]["errors"])
    assert all(error < 1e-3 for r in doc["records"] for error in r["errors"].values())


def test_wrong_answers_get_no_time() -> None:
    measurer = whole.Measurer(whole.Settings(seconds=0, rounds=(2, 2)), QUIET)

    def fails() -> whole_peers.Call:
        raise RuntimeError("no compiler")

    trials = [
        whole.Trial("right", True, lambda: lambda: 1.0, lambda y: whole.deviation([y], [1.0])),
        whole.Trial("wrong", True, lambda: lambda: 1.1, lambda y: whole.deviation([y], [1.0])),
        whole.Trial("other", False, lambda: lambda: 1.0, lambda y: 0.0),
        whole.Trial("peer", False, fails, lambda y: 0.0),
    ]
    measurer.compare("a task", "a network", trials)
    (found,) = measurer.records
    assert set(found.ours) == {"right"} and set(found.peers) == {"other"}
    assert measurer.wrong == ["wrong, a network: error 1.0e-01"]
    assert measurer.missing == ["peer, a network: RuntimeError: no compiler"]


def test_deviations() -> None:
    assert whole.deviation([1.0, -4.2], [1.0, -4.0]) == pytest.approx(0.05)
    assert whole.deviation([1.0], [1.0, 2.0]) == whole.deviation([np.nan], [1.0]) == math.inf
    one, two = {(2,): [np.array([3.0, 4.0])]}, {(2,): [np.array([3.0, 4.5])]}
    assert whole_training.deviation(one, one) == 0 and whole_training.deviation(two, one) == pytest.approx(0.1)
    assert whole_training.deviation({}, one) == math.inf


def test_reach_is_against_the_fastest_rival() -> None:
    records = [
        record("a", {"nn": 2.0}, {"onnxruntime": 4.0, "openvino": 1.0, "torch": 8.0}),
        record("b", {"nn": 1.0}, {"onnxruntime": 2.0, "torch": 3.0, "torch nhwc": 2.0}),
        record("c", {}, {"torch": 1.0}),
    ]
    found = whole_report.reach(records)["nn"]
    assert found["ONNX Runtime, OpenVINO"] == {"mean": pytest.approx(1.0), "worst": 0.5, "network": "a"}
    assert found["PyTorch, better layout"] == {"mean": pytest.approx(8**0.5), "worst": 2.0, "network": "b"}
    assert "inductor" not in found
    times, ratios = whole_report.tables(records, 2)
    assert times.row_count == 6 and ratios.row_count == 1


@pytest.mark.parametrize("words", [["--batch", "0"], ["--batch", "four"]])
def test_batches_are_numbers(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["whole", *words])


def test_unknown_networks_are_named() -> None:
    assert main(["whole", "--networks", "vgg*"]) == 2
