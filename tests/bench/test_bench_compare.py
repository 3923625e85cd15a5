"""The benchmark harness's comparison with other libraries, and its calibration."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from rich.console import Console

from bench import (
    calibrate,
    ceilings,
    compare,
    compare_report,
    image_peers,
    measure,
    onnx_model,
    oracle,
    peers,
    ratios,
    records,
    workloads,
)
from bench.__main__ import main
from fastconv.planning import rates as costs

from .test_bench import SMALL, entry


def compared() -> list[dict]:
    """fastconv and its plan against two peers of unprepared and one of prepared weights, on two layers."""
    seconds = {
        ("fastconv", ratios.OURS): (1.0, 2.0),
        ("fastconv plan", ratios.OURS_PREPARED): (0.5, 2.0),
        ("torch", ratios.PEER): (4.0, 2.0),
        ("jax", ratios.PEER): (2.0, 4.0),
        ("openvino", ratios.PEER_PREPARED): (0.75, 8.0),
    }
    found = []
    for (name, note), times in seconds.items():
        for layer, time in zip(("lenet_c1", "resnet_stem"), times, strict=True):
            found.append(entry(layer, "forward", name, [time]))
            found[-1]["extra_info"]["note"] = note
    return found


def test_comparisons_match_like_with_like():
    plain, prepared = ratios.comparisons(records.rows_of({"benchmarks": compared()}))
    assert (plain.title, plain.peers) == ("forward", ["torch", "jax"])
    assert plain.mean("torch") == pytest.approx(2.0)  # 4 and 1
    assert plain.mean() == pytest.approx(2**0.5)  # 2 (jax) and 1 (torch)
    assert plain.worst(1) == ["resnet_stem"]
    assert plain.best_peer("lenet_c1") == "jax"
    assert prepared.title == "forward, prepared"
    assert prepared.speedup("lenet_c1", "openvino") == pytest.approx(1.5)
    assert prepared.over_best("resnet_stem") == pytest.approx(1.0)


def test_comparison_is_redrawn_from_its_json(tmp_path):
    doc = records.document(compared(), 2, comparison=True, left_out=[])
    records.save(tmp_path / "compare.json", doc)
    assert main(["chart", str(tmp_path / "compare.json")]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {"compare.html", "compare_heat.svg", "compare_heat.png", "compare_bars.svg"} <= names
    header, lines = compare_report.summary(ratios.comparisons(records.rows_of(doc)))
    line = dict(zip(header, lines[0], strict=True))
    assert (line["torch"], line["openvino"], line["the best"]) == ("2.00", "-", "1.41")
    assert line["worst layers against the best"].startswith("resnet_stem 1.00 (torch)")
    with pytest.raises(ValueError, match="no peer was measured"):
        compare_report.draw({"benchmarks": compared()[:2]}, tmp_path)


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
def test_hand_written_onnx_model_computes_the_layer(layer):
    ort = pytest.importorskip("onnxruntime")
    tensors = workloads.make_tensors(layer)
    session = ort.InferenceSession(onnx_model.conv_model(layer, tensors.w), providers=["CPUExecutionProvider"])
    (y,) = session.run(["y"], {"x": tensors.x})
    judge = oracle.Oracle(layer, "forward", tensors)
    assert judge.accepts(judge.error(y))


@pytest.mark.parametrize("layer", [*SMALL, workloads.Layer("image", 1, 1, 9, 8, 1, 3, 5, padding=(1, 2))], ids=str)
@pytest.mark.parametrize("pass_", workloads.PASSES)
def test_scipy_and_opencv_adapters_take_single_planes_only(layer, pass_):
    tensors = workloads.make_tensors(layer)
    for adapter in (peers.SciPyDirect(), peers.SciPyFft(), *([image_peers.OpenCv()] if find_spec("cv2") else [])):
        adapter.start(1)
        call = adapter.call(layer, pass_, tensors)
        assert (call is not None) == (layer.name == "image" and pass_ == "forward")
        if call is not None:
            judge = oracle.Oracle(layer, pass_, tensors)
            assert judge.accepts(judge.error(adapter.to_numpy(call())))


def test_slow_peers_do_not_hold_up_the_rest(monkeypatch, capsys):
    """Many cells share a layer's time; what is slow beyond reason is left out, and is not tried on larger layers."""
    cells = [measure.Cell(str(k), int, estimate=estimate) for k, estimate in enumerate([1e-3] * 6 + [0.2] * 6)]
    measure.interleave(cells, 1.0, rounds=(9, 40), pause=0.0, patience=0.5)
    assert all(len(cell.by_round()) >= 9 for cell in cells[:6]) and all(len(cell.samples) == 2 for cell in cells[6:])
    monkeypatch.setattr(compare, "SLOWEST_CALL", 0.0)
    monkeypatch.setattr(compare, "started", lambda *_: [])
    settings = compare.Settings(("sweep_k[13]",), ("forward",), ("mnn",), ("naive/cython",), seconds=0.01)
    comparer = compare.Comparer(settings, Console(width=200))
    assert comparer.run() == []
    first, *_, last = comparer.left_out
    assert "s a call" in first["reason"] and first["reason"].startswith("takes")
    assert last["reason"].startswith("predicted to take")
    assert "none installed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run --layers nonsense", "layers: nonsense fits none of lenet"),
        ("run --filter nonsense", "filter: nonsense fits no 'layer pass backend'"),
        ("run --backends nonsense", "backends: nonsense fits none of depthwise/cython"),
        ("compare --peers nonsense", "peers: 'nonsense' fits none of torch, "),
        ("compare --backends nonsense", "backends: 'nonsense' is none of auto, "),
        ("others --only nonsense", "only: nonsense fits none of transposed; "),
        ("run --threads 0", "'0' must be a whole number of 1 or more"),
        ("images --sizes 4", "'4' must be odd"),
        ("compare --seconds nan", "'nan' must be a time in seconds"),
    ],
)
def test_a_request_that_makes_no_sense_is_answered_before_anything_is_measured(arguments, words, capsys, monkeypatch):
    monkeypatch.setattr(measure, "interleave", None)
    monkeypatch.setattr(ceilings, "measure", None)
    try:
        code: object = main(arguments.split())
    except SystemExit as ended:  # argparse's own
        code = ended.code
    assert code == 2 and words in " ".join(capsys.readouterr().err.split())


def test_larger_kernels_do_not_leave_out_transforms():
    comparer = compare.Comparer(compare.Settings(), Console(quiet=True))
    comparer.transforming = {peer.name for peer in peers.PEERS if peer.transforms}
    small, large = workloads.load_layers(["image_k5", "image_k31"])
    assert comparer._work("oaconvolve ducc", small) == comparer._work("oaconvolve ducc", large) == 2 * 1024 * 1024
    assert comparer._work("opencv", large) == large.flops


def test_the_terminal_has_room_for_many_peers():
    (found, _) = ratios.comparisons(records.rows_of({"benchmarks": compared()}))
    crowd = {f"peer {k}": 3.0 + k for k in range(20)}
    many = found._replace(times={layer: (mine, others | crowd) for layer, (mine, others) in found.times.items()})
    details, means, _ = compare_report.tables([many])
    assert [column.header for column in details.columns] == ["layer", "time", "the best", "which is"]
    assert list(details.columns[3].cells) == ["jax", "torch"]
    assert list(means.columns[0].cells)[1:4] == ["torch", "jax", "peer 0"] and len(means.columns) == 2


def test_calibration_is_read_back_by_the_cost_model(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "_MEGABYTES", 1)
    monkeypatch.setattr(calibrate, "_GEMM", 32)
    monkeypatch.setattr(calibrate, "best_seconds", lambda call: (call(), 1e-6)[1])
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
    rates = calibrate.measure()
    assert calibrate.save(rates) == tmp_path / "rates.json"
    costs.rates.cache_clear()
    try:
        found = costs.rates("float64")
        assert found.blas_gflops == rates["blas_gflops"]["float64"]
        assert found.fma_gflops == rates["fma_gflops"]["float64"]
        assert found.copy_gbs == rates["copy_gbs"]
    finally:
        costs.rates.cache_clear()
