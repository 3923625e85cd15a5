"""The benchmark harness: fits, schedules, the oracle, records, and what is drawn of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from bench import fits, measure, oracle, records, tables, workloads
from bench.__main__ import main


def entry(layer: str, pass_: str, backend: str, seconds: list[float], error: float = 1e-7) -> dict:
    cell = measure.Cell(backend, lambda: None, samples=seconds)
    (chosen,) = workloads.load_layers([layer])
    return records.benchmark_of(cell, records.extra_info(chosen, pass_, backend, "float32", error, 2))


@pytest.fixture(scope="module")
def document() -> dict:
    names = {"direct/cython": 1e-3, "naive/numba": 0.1, "made_up": 0.02}
    found = [
        entry(f"sweep_k{k}", pass_, name, [t * k**p, 1.1 * t * k**p, 0.9 * t * k**p])
        for pass_ in workloads.PASSES
        for (name, t), p in zip(names.items(), (2.0, 2.0, 0.0), strict=True)
        for k in (1, 3, 5, 7)
    ]
    found.append(entry("resnet_stem", "forward", "direct/cython", [0.002, 0.003]))
    missing = {
        "wrong": [{"layer": "sweep_k9", "pass": "forward", "backend": "broken<b>", "error": "error 0.5"}],
        "skipped": [{"layer": "sweep_k31", "pass": "forward", "backend": "naive/numba", "predicted_seconds": 5.0}],
        "refused": [{"layer": "sweep_k7", "pass": "forward", "backend": "made_up", "reason": "kernel 7x7"}],
    }
    return records.document(found, 2, **missing)


def test_power_law_finds_the_exponent_that_made_the_points():
    flops = [1e6, 1e7, 1e9]
    law = fits.fit_power_law(flops, [3e-12 * f**1.25 for f in flops])
    assert law is not None
    assert law.exponent == pytest.approx(1.25)
    assert law.scale == pytest.approx(3e-12)
    assert fits.fit_power_law([1e6, 1e6], [1.0, 2.0]) is None


def test_crossover_lies_where_the_lines_meet():
    # direct = k^2, fft = 25: equal at k = 5, on straight lines in logarithms.
    times = {"direct": {k: float(k**2) for k in (1, 3, 7, 9)}, "fft": dict.fromkeys((1, 3, 7, 9), 25.0)}
    (crossing,) = fits.crossovers(times)
    assert (crossing.before, crossing.after) == ("direct", "fft")
    assert crossing.kernel == pytest.approx(5.0)
    assert crossing.seconds == pytest.approx(25.0)


def test_crossover_of_series_with_gaps():
    times = {"a": {1: 1.0, 3: 4.0}, "b": {5: 2.0, 7: 2.0}}
    (crossing,) = fits.crossovers(times)
    assert 3 < crossing.kernel < 5
    assert fits.fastest(times) == {1: "a", 3: "a", 5: "b", 7: "b"}


def test_geometric_mean():
    assert fits.geometric_mean([1, 4]) == pytest.approx(2)
    assert np.isnan(fits.geometric_mean([]))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0012, "s", "1.2 ms"),
        (1e-6, "s", "1 µs"),
        (0.99996e-3, "s", "1 ms"),
        (16e9, "FLOP", "16 GFLOP"),
        (0, "s", "0 s"),
        (1.0, "s", "1 s"),
    ],
)
def test_si(value, unit, text):
    assert fits.si(value, unit) == text


def test_schedule_gives_each_cell_its_visits_and_spreads_them():
    visits = [12, 3, 0, 1]
    order = [i for due in measure.schedule(visits, random.Random(1)) for i in due]
    assert [order.count(i) for i in range(4)] == visits
    places = [i for i, cell in enumerate(order) if cell == 1]
    assert max(np.diff(places)) < 9  # not all in a row: three visits among sixteen
    assert order != [i for due in measure.schedule(visits, random.Random(2)) for i in due]


def test_interleave_takes_at_least_the_least_rounds():
    counts = [0, 0]

    def call_of(i):
        def call():
            counts[i] += 1

        return call

    cells = [measure.Cell(str(i), call_of(i)) for i in range(2)]
    for cell in cells:
        cell.warm_up()
    measure.interleave(cells, 0.0, rounds=(2, 5), pause=0.0)
    assert all(len(cell.samples) >= 2 and min(cell.samples) >= 0 for cell in cells)
    assert all(counts[i] >= len(cell.samples) * cell.iterations for i, cell in enumerate(cells))


@pytest.mark.parametrize("stays", [False, True])
def test_busy_rounds_are_taken_again_as_long_as_it_helps(stays):
    """Busy in rounds 2 and 3 of nine; in one of the two cases when they are repeated, too."""

    class Watch:
        asked = 0

        def busy(self):
            Watch.asked += 1
            return 4 < Watch.asked <= 8 or (stays and Watch.asked > 18)

    cells = [measure.Cell(str(i), lambda: None, estimate=1e-4) for i in range(2)]
    left = measure.interleave(cells, 1e9, rounds=(9, 9), pause=0.0, watch=Watch())
    assert left == ([2, 3] if stays else [])
    numbers = {0, 1, 4, 5, 6, 7, 8} | ({2, 3} if stays else {11, 12})
    assert all(set(cell.by_round()) == numbers for cell in cells)
    assert Watch.asked == 22


def test_slow_cells_get_as_many_rounds_as_the_time_allows():
    cell = measure.Cell("slow", lambda: None, estimate=0.02)
    measure.interleave([cell], 0.1, rounds=(9, 9), pause=0.0)
    assert len(cell.by_round()) == 5


def test_lookout_notices_a_slower_machine(monkeypatch):
    from bench import probe

    speeds = iter([100.0, 101.0, 99.0, 60.0, 100.0])
    monkeypatch.setattr("bench.probe.fma_gflops", lambda *_: next(speeds))
    monkeypatch.setattr("bench.probe._ticks", lambda: (0, 0))
    lookout = probe.Lookout(1)
    assert [lookout.busy() for _ in range(5)] == [False, False, False, True, False]
    ticks = iter([(10, 100), (10, 200)])
    monkeypatch.setattr("bench.probe.fma_gflops", lambda *_: 100.0)
    monkeypatch.setattr("bench.probe._ticks", lambda: next(ticks))
    assert [lookout.busy() for _ in range(2)] == [True, False]
    assert lookout.glances[-2].stolen == 0.1 and lookout.glances[-1].latency_ns > 0


def test_settle_waits_for_threads_that_spin(monkeypatch):
    """Four sleeps with a busy thread, then an idle one; without a pause there is nothing to wait for."""
    sleeps: list[float] = []
    used = iter([0.0, 0.004, 0.004, 0.008, 0.008, 0.009, 0.009, 0.013, 0.013, 0.01303])
    monkeypatch.setattr("bench.measure.time.sleep", sleeps.append)
    monkeypatch.setattr("bench.measure.time.process_time", lambda: next(used))
    measure.settle(0.004)
    assert sleeps == [0.004] * 5
    measure.settle(0.0)
    assert len(sleeps) == 5


def test_forecast_scales_with_operations_and_knows_nothing_at_first():
    forecast = measure.Forecast()
    dense, grouped = ("a", "forward", "dense"), ("a", "forward", "grouped")
    assert forecast.predict(dense, 1000) == 0
    forecast.learn(dense, 1000, 0.5)
    assert forecast.predict(dense, 4000) == pytest.approx(2.0)
    assert forecast.predict(dense, 10) == pytest.approx(0.5)
    forecast.learn(dense, 2000, 0.6)
    assert forecast.predict(dense, 4000) == pytest.approx(1.2)  # the better of the two
    assert forecast.predict(grouped, 4000) == 0


SMALL = [
    workloads.Layer("plain", 2, 3, 7, 6, 4, 3, 2, padding=1),
    workloads.Layer("strided", 1, 4, 9, 8, 6, 3, 3, stride=2, padding=(0, 2), dilation=2, groups=2),
    workloads.Layer("depthwise", 2, 5, 6, 6, 5, 5, 5, padding=2, groups=5),
]


def by_definition(layer, tensors):
    """All three results from the sum in the definition, one product at a time."""
    x, w, dy = (a.astype(np.float64) for a in tensors)
    y, dx, dw = np.zeros(layer.y_shape), np.zeros_like(x), np.zeros_like(w)
    (ph, pw), s, d = layer.pads, layer.stride, layer.dilation
    cig, cog = layer.ci // layer.groups, layer.co // layer.groups
    for n, co, oh, ow in np.ndindex(*layer.y_shape):
        for c, i, j in np.ndindex(*layer.w_shape[1:]):
            ci, row, column = co // cog * cig + c, oh * s - ph + i * d, ow * s - pw + j * d
            if 0 <= row < layer.h and 0 <= column < layer.w:
                y[n, co, oh, ow] += x[n, ci, row, column] * w[co, c, i, j]
                dx[n, ci, row, column] += dy[n, co, oh, ow] * w[co, c, i, j]
                dw[co, c, i, j] += dy[n, co, oh, ow] * x[n, ci, row, column]
    return {"forward": y, "grad_input": dx, "grad_weight": dw}


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
@pytest.mark.parametrize("pass_", workloads.PASSES)
def test_oracle_accepts_the_definition_and_finds_one_wrong_value(layer, pass_):
    tensors = workloads.make_tensors(layer, "float64")
    right = by_definition(layer, tensors)[pass_]
    judge = oracle.Oracle(layer, pass_, tensors)
    assert judge.error(right) < 1e-14
    assert judge.accepts(judge.error(right))
    rng = np.random.default_rng(3)
    for _ in range(5):
        wrong = right.copy()
        wrong[tuple(rng.integers(size) for size in wrong.shape)] += 1e-6 * np.abs(right).max()
        assert not judge.accepts(judge.error(wrong))
    wrong[0, 0, 0, 0] = np.nan
    assert judge.error(wrong) == float("inf")
    assert judge.error(right[..., :-1]) == float("inf")


def test_layer_sizes_and_counts():
    (stem,) = workloads.load_layers(["resnet_stem"])
    assert stem.y_shape == (1, 64, 112, 112)
    assert stem.flops == 2 * 64 * 112 * 112 * 3 * 49
    assert stem.traffic("float32") == 4 * (3 * 224 * 224 + 64 * 3 * 49 + 64 * 112 * 112)
    (depthwise,) = workloads.load_layers(["mobilenet_dw_s1"])
    assert depthwise.flops == 2 * 4 * 144 * 56 * 56 * 9
    assert all(layer.kernel <= 5 for layer in workloads.load_layers(max_kernel=5))
    with pytest.raises(ValueError, match="no_such_layer fits none of lenet"):
        workloads.load_layers(["no_such_layer"])


def test_entries_have_the_schema_of_pytest_benchmark(document):
    assert {"machine_info", "commit_info", "benchmarks", "datetime", "version"} <= set(document)
    one = document["benchmarks"][0]
    assert one["fullname"] == "bench/test_convolution.py::test_convolution[forward-sweep_k1-direct/cython]"
    assert one["group"] == "forward sweep_k1"
    fields = {"min", "max", "mean", "stddev", "rounds", "median", "iqr", "q1", "q3", "ops", "total", "data"}
    assert fields <= set(one["stats"])
    assert one["stats"]["median"] == pytest.approx(1e-3)
    assert one["extra_info"]["bytes"] > 0
    assert not document["machine_info"]["node"]


def test_rows_survive_the_way_through_a_file(document, tmp_path):
    records.save(tmp_path / "a.json", document)
    assert records.rows_of(records.load(tmp_path / "a.json")) == records.rows_of(document)
    records.save_csv(tmp_path / "a.csv", records.rows_of(document))
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0].startswith("layer,pass,backend,kernel,flops")
    assert len(lines) == 1 + len(document["benchmarks"])
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(ValueError, match="not a JSON file"):
        records.load(tmp_path / "b.json")


def test_summary_counts_wins_and_what_is_missing(document):
    rows = records.rows_of(document)
    summary = tables.Summary(rows, {kind: document[kind] for kind in ("wrong", "skipped", "refused")})
    lines = {line[0]: dict(zip(summary.header, line, strict=True)) for line in summary.lines}
    assert lines["direct/cython"]["wins"] == "7"  # k1 and k3 in three passes, and the stem
    assert lines["made_up"]["wins"] == "6"
    assert lines["broken<b>"]["wrong"] == "1"
    assert lines["naive/numba"]["slow"] == "1"
    table = tables.winners_table(rows)
    assert table is not None and table.row_count == 4


def test_chart_redraws_everything_from_the_json_alone(document, tmp_path):
    records.save(tmp_path / "benchmark.json", document)
    assert main(["chart", str(tmp_path / "benchmark.json")]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    for chart in ("flops_time", "time_kernel", "speed_kernel", "layers_forward"):
        assert {f"{chart}.svg", f"{chart}.png"} <= names
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/svg+xml,") == len(list(tmp_path.glob("*.svg"))) >= 5
    assert "http" not in page.lower().replace("http://www.w3.org", "")  # offline: nothing is fetched
    assert "broken&lt;b&gt;" in page and "WRONG" in page
    assert "kernel 7x7" in page and "5 s" in page


def test_chart_says_what_is_wrong_with_a_file(tmp_path, capsys):
    (tmp_path / "x.json").write_text(json.dumps({"benchmarks": []}))
    assert main(["chart", str(tmp_path / "x.json")]) == 2
    assert main(["chart", str(tmp_path / "missing.json")]) == 2
    assert "no measured convolution" in capsys.readouterr().err


def test_chart_draws_what_other_commands_wrote(tmp_path, capsys):
    files = {"regret": {"cases": [{"pass_": "forward", "regret": 1.2}]}, "nothing": {}}
    for name, doc in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(doc))
    assert main(["chart", str(tmp_path / "regret.json"), "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"regret.svg", "regret.png"}
    assert main(["chart", str(tmp_path / "nothing.json")]) == 2
    assert "nothing to draw" in capsys.readouterr().err


def test_report_writes_the_page_alone(document, tmp_path):
    records.save(tmp_path / "a.json", {**document, "benchmarks": document["benchmarks"][-1:]})
    assert main(["report", str(tmp_path / "a.json"), "--out", str(tmp_path / "new" / "page.html")]) == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "new"}


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch, capsys):
    """Interrupted in its second group: the next run measures that one alone, and what was kept is in its results."""
    from bench import run

    arguments = ["run", "--quick", "--no-photo", "--seconds", "1", "--passes", "forward", "--out", str(tmp_path)]
    arguments += ["--layers", "sweep_k1", "sweep_k3", "--filter", "* im2col/*"]
    measure_, seen = run.Runner._measure, list[str]()

    def interrupted(self, group, seconds):
        if seen:
            raise KeyboardInterrupt
        seen.append(group.key)
        measure_(self, group, seconds)

    monkeypatch.setattr(run.Runner, "_measure", interrupted)
    assert main(arguments) == 130
    assert "--fresh" in capsys.readouterr().err
    kept = json.loads((tmp_path / "interrupted.json").read_text())["outcome"]["benchmarks"]
    assert seen == ["sweep_k1 forward"] and kept and not (tmp_path / "benchmark.json").exists()

    def noted(self, group, seconds):
        seen.append(group.key)
        measure_(self, group, seconds)

    monkeypatch.setattr(run.Runner, "_measure", noted)
    assert main(arguments) == 0
    assert seen == ["sweep_k1 forward", "sweep_k3 forward"] and "Going on after 1 of 2" in capsys.readouterr().out
    rows = records.load(tmp_path / "benchmark.json")["benchmarks"]
    assert rows[: len(kept)] == kept and {row["extra_info"]["layer"] for row in rows} == {"sweep_k1", "sweep_k3"}
    assert {row["extra_info"]["backend"].split("/")[0] for row in rows} == {"im2col"}
    assert not (tmp_path / "interrupted.json").exists()


def test_other_settings_do_not_go_on(tmp_path):
    from bench import resume, run

    first = resume.Store(tmp_path / "a.json", {"seed": 0})
    first.add("one", run.Outcome(wrong=[{"layer": "x"}]))
    outcome = run.Outcome()
    assert resume.Store(tmp_path / "a.json", {"seed": 1}).load(outcome) == 0 and outcome == run.Outcome()
    assert resume.Store(tmp_path / "a.json", {"seed": 0}).load(outcome) == 1 and outcome.wrong == [{"layer": "x"}]
    (tmp_path / "a.json").write_text("{")
    assert resume.Store(tmp_path / "a.json", {"seed": 0}).load(outcome) == 0


def test_a_wrong_answer_is_the_exit_code(tmp_path, monkeypatch, capsys):
    from bench import subjects

    monkeypatch.setattr(subjects, "call_of", lambda layer, *_: lambda: np.zeros(layer.y_shape, np.float32))
    arguments = ["run", "--quick", "--no-photo", "--passes", "forward", "--layers", "sweep_k1", "lenet_c2"]
    monkeypatch.setattr("bench.report.draw", lambda _, folder: folder / "report.html")
    assert main([*arguments, "--backends", "im2col/numba", "--out", str(tmp_path)]) == 1
    assert "2 WRONG ANSWERS" in capsys.readouterr().out


def test_what_surrounds_a_run_is_measured(monkeypatch):
    from bench import memory, phases, scaling
    from bench.run import QUICK

    monkeypatch.setattr(scaling, "SIZES", {"images": (1, 2), "pixels": (8,)})
    monkeypatch.setattr(scaling, "ALGORITHMS", ("im2col",))
    points = scaling.measure(2, seconds=0.1)
    assert {(point.over, point.size) for point in points} == {
        ("threads", 1), ("threads", 2), ("images", 1), ("images", 2), ("pixels", 64)
    }  # fmt: skip
    assert all(point.seconds > 0 for point in points)
    monkeypatch.setattr(memory, "LAYERS", ("lenet_c2",))
    needs = {need.backend.split("/")[0]: need for need in memory.measure(slowest=QUICK.slowest)}
    assert needs["naive"].predicted == 0 and needs["naive"].measured < 10_000
    assert 0.9 * needs["im2col"].predicted < needs["im2col"].measured < 1.3 * needs["im2col"].predicted + 10_000
    monkeypatch.setattr(phases, "BACKENDS", ("im2col", "none"))
    found = phases.measure(1)
    assert {entry.phase for entry in found} == {"import", "plan", "first call", "steady"}
    assert {entry.backend.split("/")[0] for entry in found} == {"im2col"} and all(p.seconds > 0 for p in found)


def test_photograph_is_real():
    from bench import panel, photo

    picture = photo.photograph()
    assert picture.shape == (600, 512, 3)
    layers = photo.photo_layers()
    assert [layer.padding_mode for layer in layers] == ["reflect"] * len(photo.KERNELS)
    back = panel.decode(panel.encode({"a": picture.astype(np.uint8)}))["a"]
    assert np.abs(back.astype(int) - picture).mean() < 3


def test_quick_run_measures_checked_answers(tmp_path: Path):
    arguments = ["run", "--quick", "--no-photo", "--seconds", "60", "--passes", "forward", "--layers"]
    arguments += ["sweep_k1", "lenet_c2", "--backends", "reference", "im2col/*"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    rows = records.rows_of(records.load(tmp_path / "benchmark.json"))
    assert {row.layer for row in rows} == {"sweep_k1", "lenet_c2"}
    assert all(0 <= row.error < 1e-5 and row.median > 0 for row in rows)
    assert (tmp_path / "report.html").exists()


def test_images_are_checked_measured_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import images

    monkeypatch.setattr(images, "SIDE", 70)
    arguments = ["images", "--sizes", "3", "7", "--seconds", "0.1", "--threads", "2", "--out", str(tmp_path)]
    assert main(arguments) == 0
    rows = json.loads((tmp_path / "images.json").read_text())["rows"]
    assert {row["size"] for row in rows} == {3, 7}
    assert {row["panel"] for row in rows} == {panel.name for panel in images.PANELS}
    assert all(row["seconds"] > 0 for row in rows)
    assert (tmp_path / "images.svg").exists() and (tmp_path / "images.png").exists()
    assert set(images.ratios(rows, "gray", "scipy.ndimage")) == {3, 7}


def test_images_with_a_wrong_pixel_get_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import images

    monkeypatch.setattr(images, "SIDE", 40)
    wrong = {"fastconv": images.Contestant(lambda: np.zeros((40, 40), np.float32))}
    monkeypatch.setattr(images, "contestants", lambda *_: wrong)
    (row,) = images.measure(images.PANELS[0], (3,), 0.01, 1)
    assert row["seconds"] is None and row["error"] > 0.1
