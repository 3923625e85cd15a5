"""Charts show what is in the data: lines, ceilings, crossovers, what is missing; the page can be used."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench import charts, measure, records, report, story, workloads
from bench.charts.rows import engines_of
from tests.bench import default_run

POWERS = {"direct/cython": (1e-4, 2.0), "direct/numba": (2e-4, 2.0), "fft_tiled/cython": (16e-4, 0.0)}


def entry(k: int, pass_: str, backend: str, seconds: float) -> dict:
    (layer,) = workloads.load_layers([f"sweep_k{k}"])
    cell = measure.Cell(backend, lambda: None, samples=[seconds * f for f in (1, 0.98, 1.02) * 3])
    cell.rounds = list(range(9))
    return records.benchmark_of(cell, records.extra_info(layer, pass_, backend, "float32", 1e-7, 2))


@pytest.fixture(scope="module")
def doc() -> dict:
    """Direct takes 0.1 ms k^2, the FFT 1.6 ms whatever k: equal at 4x4."""
    found = [
        entry(k, pass_, name, scale * k**power)
        for pass_ in workloads.PASSES
        for name, (scale, power) in POWERS.items()
        for k in (1, 3, 5, 7)
    ]
    network = {
        "problem": "n1ci64ih56iw56co64kh3kw3ph1pw1_f32",
        "pass_": "forward",
        "counts": {"net": 3},
        "ours": {"nchw": 1e-3},
        "peers": {"torch": 2e-3},
    }
    row = {"network": "net", "pass_": "forward", "ours": 3e-3, "peers": {"torch": 6e-3}, "best": 6e-3, "ratio": 2.0}
    return records.document(
        found,
        2,
        wrong=[],
        refused=[],
        skipped=[
            {"layer": "sweep_k7", "pass": "forward", "backend": "direct/cython", "predicted_seconds": 9.0},
        ],
        auto=[{"layer": "sweep_k3", "pass": "forward", "backend": "direct/cython"}],
        ceilings={"fma_gflops": 400.0, "cache_gbs": 300.0, "memory_gbs": 40.0},
        probes=[{"fma_gflops": 390.0, "latency_ns": 20.0, "stolen": 0.0}],
        networks={"records": [network], "rows": [row]},
    )


@pytest.fixture(scope="module")
def page(doc: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report.draw(doc, tmp_path_factory.mktemp("page"))


def texts(figure: Figure) -> str:
    return " ".join(t.get_text() for t in figure.findobj(Text))


def test_every_chart_is_drawn_from_the_json_alone(doc: dict) -> None:
    made = charts.figures(json.loads(json.dumps(doc)))
    assert {"flops_time", "flops_time_engines", "time_kernel", "speed_kernel", "roofline", "network_net"} <= set(made)
    assert all(caption.endswith(".") for _, caption in made.values())
    plt.close("all")


def test_flops_against_time_has_slopes_ceilings_and_what_is_missing(doc: dict) -> None:
    figure = charts.flops_against_time(doc)
    said = texts(figure)
    assert "direct/cython  (1.00, 1.00, 1.00)" in said and "fft_tiled/cython  (0.00, 0.00, 0.00)" in said
    assert "direct/numba" not in said and "FMA 400 GFLOP/s" in said and "memory 40 GB/s" in said
    dots = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert any(np.array_equal(np.asarray(line.get_ydata()), [9.0]) for line in dots)
    rings = [line for axis in figure.axes for line in axis.lines if line.get_markersize() == 11]
    assert len(rings) == 1
    assert "direct/numba" in texts(charts.flops_against_time(doc, better=False))
    plt.close("all")


def test_crossovers_are_marked(doc: dict) -> None:
    assert re.search(r"\b4\.0\b", texts(charts.time_against_kernel(doc)))
    plt.close("all")


def test_engines_are_sorted_by_speed(doc: dict) -> None:
    assert engines_of(records.rows_of(doc)) == (["direct/cython", "fft_tiled/cython"], ["direct/numba"])


def test_scaling_writes_the_slope() -> None:
    figure = charts.scaling({"direct/cython": {1: 8e-3, 2: 4e-3, 4: 2e-3}})
    assert "slope -1.00" in texts(figure)
    with pytest.raises(ValueError, match="times"):
        charts.scaling({})
    plt.close("all")


def test_workspace_shows_both_figures() -> None:
    needs = [{"layer": "a", "backend": "direct/cython", "predicted": 1_000_000, "measured": 3_000_000}]
    figure = charts.workspace({"workspace": needs})
    (bar,) = figure.axes[0].patches
    assert bar.get_extents().transformed(figure.axes[0].transData.inverted()).width == pytest.approx(3.0)
    assert np.array_equal(figure.axes[0].lines[0].get_xdata(), [1.0, 1.0])
    with pytest.raises(ValueError, match="workspace"):
        charts.workspace({})
    plt.close("all")


def test_phases_stand_in_their_order() -> None:
    found = [{"backend": "direct/numba", "phase": p, "seconds": s} for p, s in (("steady", 1e-3), ("import", 0.5))]
    axis = charts.phases({"phases": found}).axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["import", "steady"]
    assert np.array_equal(axis.lines[0].get_ydata(), [0.5, 1e-3])
    with pytest.raises(ValueError, match="phases"):
        charts.phases({})
    plt.close("all")


def test_regret_is_sorted_and_says_its_worst() -> None:
    cases = [{"pass_": "forward", "regret": r} for r in (1.0, 2.5, 1.1)]
    axis = charts.regret({"cases": cases}).axes[0]
    assert np.array_equal(axis.lines[0].get_ydata(), [1.0, 1.1, 2.5])
    assert "median 1.10, worst 2.50 of 3" in axis.get_legend_handles_labels()[1][0]
    with pytest.raises(ValueError, match="regret"):
        charts.regret({})
    plt.close("all")


def test_an_algorithm_stands_among_the_others(doc: dict) -> None:
    assert charts.algorithms(doc) == ["direct", "fft_tiled"]
    axis = charts.algorithm(doc, "direct").axes[0]
    assert [line.get_color() for line in axis.lines] == ["0.78", "#0072B2", "#0072B2"]  # both engines, one other
    with pytest.raises(ValueError, match="winograd"):
        charts.algorithm(doc, "winograd")
    plt.close("all")


def test_figures_take_the_json_of_every_command(doc: dict) -> None:
    networks = {**doc["networks"], "records": [{**r, "pass_": "prepared"} for r in doc["networks"]["records"]]}
    assert set(charts.figures(networks)) == {"network_net_prepared"}
    assert set(charts.figures({"cases": [{"pass_": "forward", "regret": 1.0}]})) == {"regret"}
    around = charts.figures(default_run.around())
    assert set(around) == {"scaling_threads", "scaling_images", "scaling_pixels", "workspace", "phases"}
    assert "slope 1.00" in texts(around["scaling_pixels"][0]) and "slope -1.00" in texts(around["scaling_threads"][0])
    assert set(charts.figures(doc, ["roofline"])) == {"roofline"}
    assert charts.figures({}) == {}
    plt.close("all")


def test_network_layers_add_up(doc: dict) -> None:
    assert "3.0 ms" in texts(charts.network_layers(doc, "net")) and "6.0 ms" in texts(charts.network_layers(doc, "net"))
    with pytest.raises(ValueError, match="network"):
        charts.network_layers(doc, "other")
    plt.close("all")


def test_speedups_show_losses(doc: dict) -> None:
    ours, peers = doc["benchmarks"][:4], doc["benchmarks"][8:12]
    compared = [
        {**e, "extra_info": {**e["extra_info"], "note": note}}
        for note, some in (("ours", ours), ("peer", peers))
        for e in some
    ]
    assert "2 of 4 lost" in texts(charts.speedups({"benchmarks": compared}))
    with pytest.raises(ValueError, match="title"):
        charts.speedups({"benchmarks": compared}, title="no such")
    plt.close("all")


def test_sentences_say_what_the_data_say(doc: dict) -> None:
    first, second, third = story.sentences(doc)
    assert "at kernels of 1x1 direct is the fastest, from about 4.0 on fft_tiled" in first
    assert "1.00 for direct" in second and "0.00 for fft_tiled" in second
    assert "2.00 times" in third


def test_ratios_are_those_of_the_rounds(doc: dict) -> None:
    ratios = story.ratios(doc)
    assert ratios["sweep_k7", "forward", "direct/cython"].value == pytest.approx(49 / 16)
    assert ratios["sweep_k7", "forward", "fft_tiled/cython"].value == 1


def test_every_number_of_the_page_names_its_place(doc: dict, page: Path) -> None:
    text = page.read_text()
    for place in re.findall(r">(benchmarks\[\d+\])<", text):
        index = int(place[11:-1])
        assert doc["benchmarks"][index]["extra_info"]["layer"] in text
    assert text.count(">benchmarks[") == len(doc["benchmarks"])
    assert "skipped[0]" in text and "networks.rows[0]" in text


def test_the_page_of_a_default_run_is_small(tmp_path: Path) -> None:
    """Every cell, network, peer, chart and photograph that a default run has."""
    run = default_run.document()
    assert len(run["benchmarks"]) > 150 and len(run["networks"]["rows"]) == 6  # even where nothing is compiled
    page = report.draw(run, tmp_path)
    assert page.stat().st_size < 1_500_000
    assert page.read_text().count("<img") == 18


SCRIPT = """
<script>
const said = [];
addEventListener("error", (e) => said.push("error " + e.message));
addEventListener("load", () => {
  const box = [...document.querySelectorAll(".data")].find((b) => b.textContent.includes("All measured cells"));
  const column = () => [...box.querySelectorAll("tbody tr")].map((r) => Number(r.cells[5].dataset.v));
  const sorted = (v) => v.every((x, i) => !i || v[i - 1] <= x);
  const button = box.querySelectorAll("thead button")[5], head = button.parentElement;
  said.push(`rows ${column().length}`);
  button.focus(); said.push(`focus ${document.activeElement === button}`);
  button.click(); said.push(`up ${sorted(column())} ${head.getAttribute("aria-sort")}`);
  button.click(); said.push(`down ${sorted(column().reverse())} ${head.getAttribute("aria-sort")}`);
  const input = box.querySelector("input");
  input.value = "fft_tiled grad_input"; input.dispatchEvent(new Event("input"));
  said.push(`filter ${box.querySelector("output").textContent}`);
  said.push(`alt ${[...document.images].every((i) => i.alt.length > 20 && i.complete && i.naturalWidth > 0)}`);
  const back = () => getComputedStyle(document.body).backgroundColor, light = back();
  document.querySelector("#theme").click(); said.push(`theme ${back() !== light}`);
  said.push(`wide ${document.documentElement.scrollWidth <= innerWidth}`);
  said.push(`labels ${[...document.querySelectorAll("input")].every((i) => i.ariaLabel)}`);
  document.title = said.join("; ");
});
</script>
"""


@pytest.mark.parametrize("width", [420, 1400])
def test_the_page_works_in_a_browser(page: Path, tmp_path: Path, width: int) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed")
    tried = tmp_path / "tried.html"
    tried.write_text(page.read_text().replace("<style>", SCRIPT + "<style>", 1))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += [f"--window-size={width},900", "--virtual-time-budget=5000", "--dump-dom", tried.as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r"<title>(.*?)</title>", run.stdout)
    assert found, run.stderr[-2000:]
    assert found[1].split("; ") == [
        "rows 36",
        "focus true",
        "up true ascending",
        "down true descending",
        "filter 4 of 36 rows",
        "alt true",
        "theme true",
        "wide true",
        "labels true",
    ]
