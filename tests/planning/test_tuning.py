"""`tune`, its file, and `verify`."""

import json
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.core.problem import PASSES, parse
from fastconv.planning import rates, tuning
from tests import battery, child
from tests.algorithms.test_broken_backends import DropsChannelTail, FlippedKernel, Honest
from tests.problems import integer_data, options, real_data

P = parse("n1ci3ih8iw9co5kh3kw3ph1pw1_f32")
SHAPES = {"input_shape": P.x_shape, "weight_shape": P.w_shape, **options(P)}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
    tuning.forget()
    yield
    tuning.forget()


def tune(**extra: Any) -> fastconv.Explanation:
    d = real_data(P)
    return fastconv.tune(d.x, d.w, **options(P), **{"seconds": 0.02, **extra})


def test_tune_measures_and_remembers(tmp_path: Path) -> None:
    e = tune()
    pass_: Any
    for pass_ in PASSES:
        rows = [row for row in e.rows if row["pass"] == pass_]
        assert [row["backend"] for row in rows] == fastconv.list_backends()
        best = min((r for r in rows if r["status"] != "refused"), key=lambda r: r["measured_seconds"])
        assert [row["backend"] for row in rows if row["status"] == "chosen"] == [best["backend"]]
        after = fastconv.explain(**SHAPES, pass_=pass_)
        assert after.chosen == best["backend"]
        assert "tuned" in next(r["reason"] for r in after.rows if r["status"] == "chosen")
    table = json.loads((tmp_path / "tuning.json").read_text())
    assert [f"{P} forward" in entries for entries in table.values()] == [True]
    assert [p.name for p in tmp_path.iterdir()] == ["tuning.json"], "a temporary file was left"


def test_another_process_finds_it(tmp_path: Path) -> None:
    """And a result for another thread count does not count."""
    with fastconv.num_threads(2):
        tuning.remember({(P, "forward"): "reference"}, 2)
    code = f"import fastconv; print(fastconv.explain({P.x_shape}, {P.w_shape}, padding=1).chosen)"
    environment = {"FASTCONV_CACHE_DIR": str(tmp_path)}
    assert child.run_code(code, FASTCONV_NUM_THREADS="2", **environment).strip() == "reference"
    assert child.run_code(code, FASTCONV_NUM_THREADS="1", **environment).strip() != "reference"


def test_tuned_winner_must_meet_the_tolerance() -> None:
    class Rough(Honest):
        algorithm = "rough"

        def error_bound(self, p: fastconv.ConvProblem, pass_: str) -> float:
            return 1e-3

    with battery.registered(Rough()) as name:
        tuning.remember({(P, "forward"): name}, fastconv.get_num_threads())
        assert fastconv.explain(**SHAPES).chosen != name
        assert fastconv.explain(**SHAPES, rtol=1e-2).chosen == name
    assert fastconv.explain(**SHAPES, rtol=1e-2).chosen != name, "it is no longer there"


def test_entries_are_merged(tmp_path: Path) -> None:
    file = tmp_path / "tuning.json"
    file.write_text(json.dumps({"another machine": {"some problem": "naive/numba"}}))
    threads = fastconv.get_num_threads()
    tuning.remember({(P, "forward"): "reference"}, threads)
    tuning.remember({(P, "grad_input"): "reference"}, threads)
    table = json.loads(file.read_text())
    assert table["another machine"] == {"some problem": "naive/numba"}
    assert set(table[tuning.machine_key(threads)]) == {f"{P} forward", f"{P} grad_input"}


DAMAGED = {
    "empty": "", "cut": "{", "list": "[]", "null": "null", "number": "3", "flat": '{"a": 1}', "binary": "\x00\xff",
    "wrong value": '{"a": {"b": 1}}', "list value": '{"a": {"b": ["naive/cython"]}}', "deep": "[" * 10**5,
}  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_file(tmp_path: Path, content: str) -> None:
    """It costs a warning that names the file, never a wrong answer, and is replaced by the next tuning."""
    (tmp_path / "tuning.json").write_bytes(content.encode("latin-1"))
    d = integer_data(P)
    with pytest.warns(UserWarning, match=r"tuning\.json"):
        y = fastconv.conv2d(d.x, d.w, **options(P))
    np.testing.assert_array_equal(y, battery.expected(P, "forward", d))
    tuning.forget()
    with pytest.warns(UserWarning, match=r"tuning\.json"):
        tune(passes=("forward",))
    table = json.loads((tmp_path / "tuning.json").read_text())
    assert f"{P} forward" in table[tuning.machine_key(fastconv.get_num_threads())]


def test_unknown_names_in_the_file(tmp_path: Path) -> None:
    key = tuning.machine_key(fastconv.get_num_threads())
    (tmp_path / "tuning.json").write_text(json.dumps({key: {f"{P} forward": "gone/away"}}))
    assert fastconv.explain(**SHAPES).chosen in fastconv.list_backends()


def test_unwritable_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(blocked / "below"))
    tuning.forget()
    with pytest.warns(UserWarning, match="tuning file"):
        e = tune(passes=("forward",))
    assert fastconv.explain(**SHAPES).chosen == e.chosen, "remembered in the process all the same"


def test_writers_at_a_time_lose_nothing(tmp_path: Path) -> None:
    """Processes that read, add and write at the same time keep each other's winners."""
    code = """
import sys
from fastconv.core.problem import parse
from fastconv.planning import tuning
for k in range(8):
    tuning.remember({(parse(f"n{sys.argv[1]}ci{1 + k}ih8iw8co1kh3kw3_f32"), "forward"): "reference"}, 2)
"""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: child.run_code(code, str(n), FASTCONV_CACHE_DIR=str(tmp_path)), range(1, 5)))
    assert [len(v) for v in json.loads((tmp_path / "tuning.json").read_text()).values()] == [32]


CALIBRATED = {"fma_gflops": {"float32": 9, "float64": 9}, "blas_gflops": {"float32": 9, "float64": 9}, "copy_gbs": 9,
              "copy_gbs_all": 9, "launch_us": 9}  # fmt: skip


@pytest.mark.parametrize("wrong", [10**400, float("inf"), float("nan"), -1, 0, None, "x", []])
@pytest.mark.parametrize("key", ["fma_gflops", "copy_gbs"])
def test_damaged_calibration(tmp_path: Path, key: str, wrong: Any) -> None:
    """A number that cannot be a rate costs a warning; numbers in quotes are numbers."""
    rates.rates.cache_clear()
    (tmp_path / "rates.json").write_text(json.dumps({**CALIBRATED, "copy_gbs": "8"}))
    assert rates.rates("float32").copy_gbs == 8
    rates.rates.cache_clear()
    spoilt = {"float32": 9, "float64": wrong} if key == "fma_gflops" else wrong
    (tmp_path / "rates.json").write_text(json.dumps({**CALIBRATED, key: spoilt}))
    with pytest.warns(UserWarning, match=r"rates\.json"):
        assert rates.rates("float32").launch_us == 1
    rates.rates.cache_clear()


def test_interrupted_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = fastconv.get_num_threads()
    tuning.remember({(P, "forward"): "reference"}, threads)
    before = (tmp_path / "tuning.json").read_text()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.warns(UserWarning, match="disk full"):
        tuning.remember({(P, "grad_input"): "reference"}, threads)
    assert (tmp_path / "tuning.json").read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["tuning.json"]
    assert stat.S_ISREG((tmp_path / "tuning.json").stat().st_mode)


@pytest.mark.parametrize(
    ("error", "word", "change"),
    [
        (ValueError, "passes", {"passes": ("backward",)}),
        (ValueError, "passes", {"passes": "fwd"}),
        (ValueError, "rtol", {"rtol": -1}),
        (ValueError, "seconds", {"seconds": float("nan")}),
        (ValueError, "seconds", {"seconds": float("inf")}),
        (ValueError, "seconds", {"seconds": -1.0}),
        (TypeError, "seconds", {"seconds": "1"}),
        (ValueError, "stride", {"stride": 0}),
    ],
)
def test_bad_arguments(error: type[Exception], word: str, change: dict[str, Any]) -> None:
    d = integer_data(P)
    with pytest.raises(error, match=word):
        fastconv.tune(d.x, d.w, **change)


@pytest.mark.parametrize("call", [fastconv.tune, fastconv.verify])
def test_passes(call: Any) -> None:
    """One name is one pass, several are several; anything else is told so."""
    d = real_data(P)
    extra = {"seconds": 0.01} if call is fastconv.tune else {}
    for given, want in (("grad_input", ["grad_input"]), (["forward", "grad_weight"], ["forward", "grad_weight"])):
        rows = call(d.x, d.w, **options(P), passes=given, **extra).rows
        assert list(dict.fromkeys(r["pass"] for r in rows)) == want
    for wrong in ("fwd", ("forward", "backward"), (), [3]):
        with pytest.raises(ValueError, match="passes must hold only"):
            call(d.x, d.w, **options(P), passes=wrong, **extra)
    with pytest.raises(TypeError, match="passes"):
        call(d.x, d.w, **options(P), passes=3, **extra)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_verify(dtype: str) -> None:
    """Every backend within its bound, on friendly and on wild data."""
    for text in (str(P), "n2ci4ih7iw6co6kh3kw2sh2ph1dh2g2_circular_f32"):
        p = parse(text)._replace(dtype=dtype)
        d = real_data(p)
        wild = d.x.copy()
        wild[0, 0, 2, 3] = 1e4 if dtype == "float16" else 1e12
        for x in (d.x, wild):
            table = fastconv.verify(x, d.w, **options(p))
            assert {(r["pass"], r["backend"]) for r in table.rows} == {
                (q, name) for q in PASSES for name in fastconv.list_backends()
            }
            assert all(r["ok"] or r["reason"] for r in table.rows), str(table)
            assert all(name in str(table) for name in fastconv.list_backends())


@pytest.mark.parametrize("broken", [FlippedKernel, DropsChannelTail])
def test_verify_finds_what_is_broken(broken: type[Honest]) -> None:
    d = real_data(P)
    with battery.registered(broken()) as name:
        table = fastconv.verify(d.x, d.w, **options(P))
        bad = {(r["pass"], r["backend"]) for r in table.rows if not r["ok"] and not r["reason"]}
        assert bad == {(pass_, name) for pass_ in PASSES}
        assert str(table).count("WRONG") == 3
