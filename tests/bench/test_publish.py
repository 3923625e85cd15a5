"""Published results: small files that charts, tables and `diff` still read, and pages that are made from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from bench import charts, diff, publish, records
from bench.__main__ import main
from tests.bench import default_run

PUBLISHED = Path(__file__).parent.parent.parent / "docs" / "performance"


@pytest.fixture(scope="module")
def run() -> dict[str, Any]:
    found = default_run.document()
    found["commit_info"] = {"id": "0123456789abcdef", "dirty": False}
    return found


@pytest.fixture(scope="module")
def added(run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("performance")
    records.save(folder / "run.json", run)
    with pytest.MonkeyPatch.context() as patch:  # the charts have tests of their own
        patch.setattr(
            charts, "draw", lambda figure, home, name: [(home / f"{name}.{s}").touch() for s in ("svg", "png")]
        )
        patch.setattr(publish, "CHARTS", ("workspace",))
        assert main(["publish", str(folder / "run.json"), "--machine", "Some CPU, 2 cores", "--out", str(folder)]) == 0
    return folder


def test_what_is_published_is_small_and_complete(run: dict[str, Any], added: Path) -> None:
    (path,) = added.glob("*/benchmark.json")
    assert path.parent.name.startswith("some-cpu-2-cores-")
    assert path.stat().st_size < 600_000
    kept = records.load(path)
    assert [row[:6] for row in records.rows_of(kept)] == [row[:6] for row in records.rows_of(run)]
    medians = [(new.median, old.median) for new, old in zip(records.rows_of(kept), records.rows_of(run), strict=True)]
    assert all(new == pytest.approx(old, rel=1e-4) for new, old in medians)
    assert "photograph" not in kept and set(charts.figures(kept, ["workspace"])) == {"workspace"}
    found = diff.compare(diff.times_of(run), diff.times_of(kept))
    assert not found.slower and not found.faster and len(found.changes) > 100


def test_pages_say_what_was_measured(run: dict[str, Any], added: Path) -> None:
    (path,) = added.glob("*/index.md")
    text, table = path.read_text(), (added / "index.md").read_text()
    assert "# Some CPU, 2 cores" in text and "`0123456789ab`" in text and "![" in text
    assert "| forward | 1x1 | 3x3 |" in text and text.count("**") >= 2 * 27  # the fastest of nine sizes, three passes
    assert "Some CPU, 2 cores" in table and "```{toctree}" in table
    kept = records.load(path.with_name("benchmark.json"))
    best = max((row for row in records.rows_of(kept) if row.in_sweep), key=lambda row: row.gflops)
    assert f"{best.gflops:.0f} GFLOP/s ({best.backend.split('/')[0]}" in table


def test_what_is_not_settled_is_marked(run: dict[str, Any]) -> None:
    assert publish.reasons({**run, "benchmarks": []}) == []
    assert len(publish.reasons({**run, "commit_info": {"dirty": True}, "benchmarks": []}, provisional=True)) == 2
    busy = json.loads(json.dumps(run["benchmarks"][:3]))
    for entry in busy:
        entry["extra_info"]["busy_rounds"] = entry["extra_info"]["rounds"][:20]
    assert "80 % of the rounds stayed busy" in publish.reasons({**run, "benchmarks": busy})
    about = {"machine": "X", "provisional": ["why"]}
    assert "| *" in publish.index({"x": {**run, "published": about}})
    assert "**Provisional**: why" in publish.page({**run, "published": about}, Path("none"))


def test_only_runs_can_be_published(tmp_path: Path, run: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="json"):
        publish.add({**run, "benchmarks": []}, tmp_path)


def test_published_pages_are_those_of_the_json(tmp_path: Path) -> None:
    """Nobody has written a figure into them by hand."""
    docs = {path.parent.name: records.load(path) for path in sorted(PUBLISHED.glob("*/benchmark.json"))}
    assert docs
    assert (PUBLISHED / "index.md").read_text() == publish.index(docs)
    for name, doc in docs.items():
        home = PUBLISHED / name
        assert (home / "index.md").read_text() == publish.page(doc, home)
        assert {f"algorithm_{a}.svg" for a in charts.algorithms(doc)} <= {path.name for path in home.glob("*.svg")}
