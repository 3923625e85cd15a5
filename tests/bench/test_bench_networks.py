"""The benchmark harness on whole networks: workloads, checks, sums by network, regrets."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from rich.console import Console

import fastconv
from bench import checks, networks, networks_report, onnx_model, oracle, peers, regret, subjects, workloads
from bench.__main__ import main
from fastconv.core.problem import parse

from .test_bench import SMALL, by_definition

QUIET = Console(quiet=True)

#: libraries that have not every layer
MAY_REFUSE = {"ncnn", "MNN", "ai_edge_litert"}


def test_networks_hold_the_layers_that_are_published():
    found = workloads.load_networks()
    assert {name: sum(layers.values()) for name, layers in found.items()} == {
        "resnet18": 20, "resnet50": 53, "convnext_tiny": 22, "mobilenet_v2": 52, "regnet_y": 115, "efficientnet_b0": 81,
    }  # fmt: skip
    gflops = sum(layer.flops * count for layer, count in found["resnet18"].items()) / 2e9
    assert gflops == pytest.approx(1.814, abs=0.001)  # multiply-adds without the classifier
    for layer in found["mobilenet_v2"]:
        assert str(parse(layer.name)) == str(layer.problem("float32")) == layer.name
    assert set(workloads.load_networks(["resnet*"])) == {"resnet18", "resnet50"}
    with pytest.raises(ValueError, match="networks: 'lenet' fits none of resnet18"):
        workloads.load_networks(["resnet18", "lenet"])


def test_random_layers_are_the_same_again_and_possible():
    layers = workloads.random_layers(60, seed=3)
    assert layers == workloads.random_layers(60, seed=3) != workloads.random_layers(60, seed=4)
    assert all(0 < layer.flops <= 1e9 and layer.name == str(layer.problem("float32")) for layer in layers)
    assert {layer.groups == layer.ci for layer in layers} == {True, False}


def test_channels_last_tensors_are_the_same_numbers():
    tensors = workloads.make_tensors(SMALL[0])
    last = tensors.lying("nhwc")
    for a, b in zip(tensors, last, strict=True):
        np.testing.assert_array_equal(a, b)
    assert last.x.transpose(0, 2, 3, 1).flags.c_contiguous and last.dy.transpose(0, 2, 3, 1).flags.c_contiguous
    assert tensors.lying("nchw") is tensors


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
def test_fused_oracle_accepts_the_definition_and_finds_one_wrong_value(layer):
    tensors = workloads.make_tensors(layer, "float64")
    bias = np.random.default_rng(1).standard_normal(layer.co)
    sums = by_definition(layer, tensors)["forward"] + bias[:, None, None]
    right = np.maximum(sums, 0)
    judge = oracle.FusedOracle(layer, tensors, bias)
    assert judge.error(right) < 1e-14
    assert not judge.accepts(judge.error(sums))  # no ReLU
    assert not judge.accepts(judge.error(np.maximum(sums - bias[:, None, None], 0)))  # no bias
    wrong = right.copy()
    wrong[-1, -1, -1, -1] += 1e-6 * right.max()
    assert not judge.accepts(judge.error(wrong))
    wrong[-1, -1, -1, -1] = np.nan
    assert judge.error(wrong) == judge.error(right[..., :-1]) == math.inf


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
def test_peers_fuse_bias_and_relu(layer):
    tensors = workloads.make_tensors(layer)
    bias = np.random.default_rng(1).standard_normal(layer.co, dtype=np.float32)
    judge = oracle.FusedOracle(layer, tensors, bias)
    able = [peer for peer in peers.installed() if peer.name in networks.PEERS]
    if not able:
        pytest.skip("no peer is installed")
    for peer in able:
        peer.start(1)
        call = peer.fused_call(layer, tensors, bias)
        if call is None:
            assert peer.module in MAY_REFUSE
            continue
        assert judge.accepts(judge.error(peer.to_numpy(call()))), peer.name
    assert peers.SciPyDirect().fused_call(layer, tensors, bias) is None


def test_model_with_a_bias_has_two_nodes():
    layer = SMALL[0]
    w = workloads.make_tensors(layer).w
    assert b"Relu" in onnx_model.conv_model(layer, w, np.ones(layer.co, np.float32))
    assert b"Relu" not in onnx_model.conv_model(layer, w)


def test_a_wrong_answer_and_a_failure_get_no_cell():
    layer = SMALL[0]
    tensors = workloads.make_tensors(layer)
    judge = oracle.Oracle(layer, "forward", tensors)
    right = subjects.call_of(layer, "forward", tensors)

    def broken() -> Any:
        raise RuntimeError

    good = checks.check(checks.Candidate("good", lambda: right), judge)
    assert good.cell is not None and not good.reason and good.error < 1e-5
    bad = checks.check(checks.Candidate("bad", lambda: lambda: right() + 1), judge)
    assert bad.cell is None and bad.wrong
    failed = checks.check(checks.Candidate("failed", lambda: broken), judge)
    assert failed == checks.Verdict(reason="RuntimeError: ")
    assert checks.check(checks.Candidate("none", lambda: None), judge) == checks.Verdict()


def records() -> list[networks.Record]:
    """Two networks that share a layer, and one that a peer computes in part."""

    def record(problem: str, counts: dict[str, int], ours: float, **others: float) -> networks.Record:
        return networks.Record(
            problem, "forward", counts, {"nchw": ours, "nhwc": 2 * ours}, {"nchw": "a/b"}, others, {}
        )

    return [
        record("p", {"one": 2, "two": 1}, 1.0, torch=3.0, other=2.0),
        record("q", {"one": 1}, 4.0, torch=2.0),
    ]


def test_networks_are_sums_of_their_layers_and_peers_count_where_they_are_best():
    found = {(row.network, row.layout): row for row in networks_report.rows(records())}
    one, two = found["one", "nchw"], found["two", "nchw"]
    assert (one.ours, one.best, one.peers) == (6.0, 6.0, {"torch": 8.0})
    assert (two.ours, two.best, two.peers) == (1.0, 2.0, {"torch": 3.0, "other": 2.0})
    assert (one.ratio, two.ratio, found["two", "nhwc"].ratio) == (1.0, 2.0, 1.0)
    assert networks_report.reach([one, two]) == {"mean": pytest.approx(2**0.5), "worst": 1.0, "network": "one"}
    (lost,) = networks_report.costliest(records(), "nchw")
    assert (lost.problem, lost.loss("nchw")) == ("q", 2.0)
    doc = json.loads(json.dumps(networks_report.document(records(), [], [], [])))
    assert doc["reach"]["forward nchw"]["network"] == "one"
    assert len(networks_report.tables(records(), 2)) == 5  # networks and losses of each layout, and the layouts


def test_a_network_with_a_layer_that_we_did_not_compute_has_no_row():
    first, second = records()
    rows = networks_report.rows([first, second._replace(ours={})])
    assert {row.network for row in rows} == {"two"}


@pytest.fixture
def one_layer(monkeypatch: pytest.MonkeyPatch) -> workloads.Layer:
    """A network of one small layer is all that there is."""
    layer = SMALL[0]._replace(n=1, name="small")
    monkeypatch.setattr(networks, "load_networks", lambda names: {"tiny": {layer: 3}})
    monkeypatch.setattr(regret, "load_networks", lambda names: {"tiny": {layer: 3}})
    return layer


def test_networks_command_measures_checked_answers(one_layer, tmp_path):
    path = tmp_path / "sub" / "networks.json"
    arguments = ["networks", "--quick", "--passes", "forward,gradients", "--threads", "1", "--json", str(path)]
    assert main([*arguments, "--peers", "torch*"]) == 0
    doc = json.loads(path.read_text())
    assert [record["pass_"] for record in doc["records"]] == ["forward", "grad_input", "grad_weight"]
    assert all(set(r["ours"]) == {"nchw", "nhwc"} and r["counts"] == {"tiny": 3} for r in doc["records"])
    assert [parse(r["problem"]).n for r in doc["records"]] == [1, 4, 4]
    assert all(r["backends"]["nchw"] in fastconv.list_backends() for r in doc["records"])
    assert [p["when"] for p in doc["probes"]] == ["before", "after tiny"]
    assert all(p["fma_gflops"] > 0 and p["short_gflops"] > 0 and p["latency_ns"] > 0 for p in doc["probes"])
    assert not doc["wrong"]


def test_prepared_plans_are_measured_or_named_as_missing(one_layer):
    measurer = networks.Measurer(networks.Settings(passes=("prepared",), peers=("none",), rounds=(2, 2)), QUIET)
    found = measurer.run()
    if subjects.takes(fastconv.plan_conv2d, "activation"):
        assert [(r.pass_, set(r.ours)) for r in found] == [("prepared", {"nchw", "nhwc"})]
        assert not measurer.missing and not measurer.wrong
    else:
        assert not found
        assert measurer.missing == ["prepared: this version's plan_conv2d has no activation to fuse"]


def test_networks_command_fails_after_a_wrong_answer(one_layer, monkeypatch):
    right = subjects.call_of
    monkeypatch.setattr(subjects, "call_of", lambda *a: lambda: right(*a)() + 1)
    assert main(["networks", "--quick", "--passes", "forward", "--peers", "none"]) == 1
    assert main(["regret", "--random", "0", "--passes", "forward", "--backends", "im2col/cython"]) == 1


def test_networks_command_says_what_it_does_not_know(capsys):
    with pytest.raises(SystemExit):
        main(["networks", "--passes", "forward,backward"])
    assert "must hold only forward, prepared, gradients" in capsys.readouterr().err
    assert main(["networks", "--networks", "lenet"]) == 2


def test_regret_is_the_time_of_the_choice_over_the_best():
    cases = [regret.Case("p", "forward", "a", {"a": 3.0, "b": 2.0}), regret.Case("q", "forward", "a", {"a": 1.0})]
    assert [case.regret for case in cases] == [1.5, 1.0]
    assert (cases[0].best, regret.summary(cases)["worst"], regret.summary(cases)["over 1.25"]) == ("b", 1.5, 0.5)


def test_regret_times_the_choice_and_its_near_rivals(one_layer, tmp_path):
    path = tmp_path / "regret.json"
    arguments = ["regret", "--random", "1", "--seconds", "0.01", "--backends", "*/cython", "--threads", "1"]
    assert main([*arguments, "--passes", "forward", "--json", str(path)]) == 0
    doc = json.loads(path.read_text())
    assert len(doc["cases"]) == 2 == doc["summary"]["cases"]
    for case in doc["cases"]:
        assert case["chosen"] in case["times"] and case["regret"] >= 1
        shapes = parse(case["problem"])
        rows = fastconv.explain(shapes.x_shape, shapes.w_shape).rows
        assert set(case["times"]) <= {row["backend"] for row in rows}


def test_threads_command(monkeypatch, capsys):
    from bench import threads

    monkeypatch.setattr(threads, "PAUSES", (0.3e-3,))
    assert main(["threads", "--seconds", "0.01", "--threads", "2"]) == 0
    out = capsys.readouterr().out
    assert "a launch costs" in out
    assert "fastconv" in out
    assert "busy" in out


def test_overhead_and_transposed_commands(monkeypatch, capsys):
    from bench import others

    monkeypatch.setattr(others, "TRANSPOSED", ((1, 3, 5, 4, 3, 2, 1, 1),))
    assert main(["overhead", "--seconds", "0.05", "--threads", "1"]) == 0
    assert "plan(x, out=out)" in capsys.readouterr().out
    pytest.importorskip("torch")
    rows = others.measure(["transposed*"], 0.05, 1)
    assert [row.operation for row in rows] == ["transposed", "transposed, channels last"]
    assert all(row.right and row.ours > 0 and row.theirs > 0 for row in rows)
    assert main(["transposed", "--seconds", "0.05", "--threads", "1"]) == 0
