"""`bench diff` finds what was slowed down and nothing else; ratios come with intervals that hold the truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rich")

from bench import bootstrap, diff
from bench.__main__ import main

CELLS = 60


def run(
    seed: int,
    *,
    planted: dict[int, float] | None = None,
    drift: float = 1.0,
    peers: float | None = None,
    own: float = 0.005,
) -> dict:
    """A run of 15 rounds: 1 % noise in each, `own` that stays with a cell for the run, busy rounds now and then."""
    rng = np.random.default_rng(seed)

    def entry(name: str, factor: float, note: str) -> dict:
        times = 1e-3 * drift * factor * np.exp(0.01 * rng.standard_normal(15) + own * rng.standard_normal())
        times[rng.random(15) < 0.05] *= 1.6
        extra = {"note": note, "round_seconds": list(times)}
        return {"fullname": f"t::{name}", "extra_info": extra, "stats": {"data": list(times)}}

    found = [entry(f"cell {i}", (planted or {}).get(i, 1.0), "ours") for i in range(CELLS)]
    if peers is not None:
        found += [entry(f"peer {i}", peers, "peer") for i in range(20)]
    probes = [{"fma_gflops": float(500 / drift * np.exp(0.01 * rng.standard_normal()))} for _ in range(30)]
    return {"benchmarks": found, "probes": probes}


def difference(old: dict, new: dict) -> diff.Difference:
    return diff.compare(diff.times_of(old), diff.times_of(new))


def test_equal_pairs_are_not_flagged() -> None:
    """Not even on a machine that became 8 % slower meanwhile; one pair in thirty may look changed by chance."""
    pairs = [difference(run(2 * seed), run(2 * seed + 1, drift=1.08)) for seed in range(30)]
    assert sum(bool(p.slower or p.faster) for p in pairs) <= 1
    assert not any(p.all_slower or p.all_faster for p in pairs)


def test_a_planted_slow_down_of_5_per_cent_is_found() -> None:
    """And a gain, and little else."""
    planted = {7: 1.05, 11: 1.08, 30: 0.9}
    pairs = [difference(run(2 * s), run(2 * s + 1, planted=planted, drift=0.95)) for s in range(20)]
    slower = [{c.cell for c in p.slower} for p in pairs]
    assert sum("cell 7" in names for names in slower) >= 17
    assert all("cell 11" in names for names in slower)
    assert all("cell 30" in {c.cell for c in p.faster} for p in pairs)
    assert sum(len(names - {"cell 7", "cell 11"}) for names in slower) <= 2
    sevens = [c.ratio for p in pairs for c in p.changes if c.cell == "cell 7"]
    assert sum(r.low <= 1.05 <= r.high for r in sevens) >= 17


def test_several_runs_find_what_one_cannot(tmp_path: Path) -> None:
    """Cells that move by 1 % from run to run: five runs of each code, in folders."""
    hits, alarms = 0, 0
    for attempt in range(4):
        for code in ("old", "new"):
            folder = tmp_path / f"{code}{attempt}"
            folder.mkdir()
            for i in range(5):
                planted = {7: 1.05} if code == "new" else {}
                doc = run(100 * attempt + 10 * i + (code == "new"), planted=planted, own=0.01)
                (folder / f"{i}.json").write_text(json.dumps(doc))
        found = diff.compare(diff.load(tmp_path / f"old{attempt}"), diff.load(tmp_path / f"new{attempt}"))
        hits += any(c.cell == "cell 7" for c in found.slower)
        alarms += len([c for c in found.slower + found.faster if c.cell != "cell 7"])
    assert hits >= 3 and alarms == 0
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no JSON file"):
        diff.load(tmp_path / "empty")


def test_everything_slower_is_told_by_the_probes() -> None:
    found = difference(run(1), run(2, planted=dict.fromkeys(range(CELLS), 1.06)))
    assert found.all_slower and not found.slower
    probes = [{"fma_gflops": 1.1 * probe["fma_gflops"]} for probe in run(2)["probes"]]
    assert not difference(run(1), {**run(2), "probes": probes}).all_slower  # equal times on faster multipliers


def test_everything_slower_is_told_by_the_peers() -> None:
    slow = dict.fromkeys(range(CELLS), 1.06)
    found = difference(run(1, peers=1.0), run(2, peers=1.0, planted=slow, drift=1.1))
    assert found.source == "the peers" and found.drift == pytest.approx(1.1, abs=0.02)
    assert len(found.slower) > 0.8 * CELLS


def test_networks_are_read_with_and_without_rounds() -> None:
    def doc(factor: float) -> dict:
        records = [
            {"problem": f"p{i}", "pass_": "forward", "ours": {"nchw": factor}, "peers": {"torch": 2.0}}
            for i in range(6)
        ]
        records[0]["samples"] = {"nchw": [1.2, 1.2, 1.2]}
        return {"records": records}

    times = diff.times_of(doc(1.0))
    assert times.ours["p0 forward nchw"] == [[1.2] * 3] and times.ours["p1 forward nchw"] == [[1.0]]
    found = difference(doc(1.0), doc(1.5))
    assert len(found.slower) == 5 and found.drift == 1.0


def test_command_says_so_with_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"old": run(1), "same": run(2), "slow": run(3, planted={5: 1.2}), "other": {"benchmarks": []}}
    for name, doc in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(doc))
    path = {name: str(tmp_path / f"{name}.json") for name in files}
    assert main(["diff", path["old"], path["same"]]) == 0
    assert "0 slower" in capsys.readouterr().out
    assert main(["diff", path["old"], path["slow"]]) == 1
    assert "cell 5" in capsys.readouterr().out
    assert main(["diff", path["slow"], path["old"]]) == 0  # faster is no failure
    assert main(["diff", path["old"], path["other"]]) == 2
    assert main(["diff", path["old"], str(tmp_path / "none.json")]) == 2


def test_paired_ratio_cancels_what_a_round_shares() -> None:
    rng = np.random.default_rng(0)
    rounds = np.exp(rng.standard_normal(12))  # of a machine gone mad
    above = {r: 1.1 * t * float(np.exp(0.01 * rng.standard_normal())) for r, t in enumerate(rounds)}
    below = dict(enumerate(rounds))
    ratio = bootstrap.paired_ratio(above, below)
    assert ratio.low <= 1.1 * 1.01 and ratio.high >= 1.1 * 0.99 and ratio.high - ratio.low < 0.05
    assert ratio.differs and str(ratio).startswith("1.1")
    assert str(bootstrap.paired_ratio(below, {r: t * (1 + 0.02 * (-1) ** r) for r, t in below.items()})) == "~"
    with pytest.raises(ValueError, match="no round in common"):
        bootstrap.paired_ratio({0: 1.0}, {1: 1.0})


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(100):
        times = np.exp(0.05 * rng.standard_normal((2, 15)))
        ratio = bootstrap.paired_ratio(dict(enumerate(times[0])), dict(enumerate(times[1])), seed)
        held += ratio.low <= 1 <= ratio.high
    assert held >= 85
