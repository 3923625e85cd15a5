"""The quick part of `make stress`; and its suites see what is wrong."""

import json
import sys
from collections import Counter
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.core.problem import parse
from fastconv.nn import Sequential
from stress import Line, cases, checkers, memory, problems, targets
from stress import __main__ as main
from stress.calls import Spoilt, spoilt
from tests import battery, child
from tests.algorithms.test_broken_backends import DropsChannelTail, FlippedKernel, Honest, OneSidedPadding

SEED = 20
CHILDREN = {"threads", "processes", "memory", "files", "interrupts", "fuzz"}  # start several processes each


@pytest.mark.parametrize("suite", [s for s in main.SUITES if s not in CHILDREN])
def test_quick(suite: str) -> None:
    for line in import_module(f"stress.{suite}").run(SEED, quick=True):
        assert (line.done or "left out" in line.note) and not line.failures, line


def test_quick_threads() -> None:
    (line,) = import_module("stress.threads").run(SEED, quick=True)
    assert line.done and not line.failures, line


@pytest.mark.parametrize("broken", [FlippedKernel, DropsChannelTail, OneSidedPadding])
def test_wrong_results_are_seen(broken: type[Honest]) -> None:
    """And a failing case, pasted, fails again."""
    with battery.registered(broken()) as name:
        told = [problems.verdict(str(case)) for case in cases.cases(SEED, 60, [name])]
        seen = [text for text in told if text]
        assert len(seen) > 5
        assert problems.verdict(seen[0].split("'")[1]) == seen[0]
    assert not problems.verdict(str(cases.cases(SEED, 1, ["reference"])[0]))


def test_a_suite_that_fails_is_not_the_end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, lines in ("broken", None), ("fine", [Line("numbers", 3, [])]):
        suite: Any = ModuleType(f"stress.{name}")
        suite.run = lambda seed, quick, lines=lines: iter(lines)
        monkeypatch.setitem(sys.modules, suite.__name__, suite)
    monkeypatch.setattr(main, "SUITES", ("broken", "fine"))
    monkeypatch.setattr(sys, "argv", ["stress", "--seed", "1"])
    assert main.main() == 1
    told = capsys.readouterr().out
    assert "TypeError" in told and "fine: numbers: 3, 0 wrong" in told and "\n1 wrong, " in told


def test_every_backend_has_its_turn() -> None:
    names = [name for name in battery.backends() if not name.endswith("/numba")]
    found = cases.cases(SEED, 1000, names)
    counts = Counter(case.backend for case in found)
    assert all(counts[name] >= 6 for name in names), counts
    groups = problems.grouped(found)
    assert sorted(str(case) for group in groups for case in group) == sorted(map(str, found))
    assert all(len({(case.backend, case.problem.dtype == "float64") for case in group}) == 1 for group in groups)


def test_a_crash_names_its_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases.cases(SEED, 1, ["reference"])[0]
    assert problems.failed([case]) == []
    (tmp_path / "sitecustomize.py").write_text("import atexit, os\natexit.register(os.abort)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (told,) = problems.failed([case])
    assert told.startswith("ended with -6") and str(case) in told


@pytest.mark.parametrize("how", cases.DRESSES)
def test_dress(how: str) -> None:
    a = np.arange(2 * 3 * 4 * 5, dtype="f4").reshape(2, 3, 4, 5)
    got = cases.dressed(a, how)
    np.testing.assert_array_equal(got.transpose(0, 3, 1, 2) if how == "nhwc" else got, a)


@pytest.mark.parametrize("target", targets.TARGETS)
def test_fuzzed_targets(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take their seeds and random bytes, and see what is wrong."""
    seeds = targets.seeds(target)
    for data in (*seeds, np.random.default_rng(SEED).bytes(100)):
        targets.TARGETS[target](data)
    monkeypatch.setattr(fastconv, "conv2d", lambda x, w, **_: np.zeros((1, 5, 8, 9)))
    monkeypatch.setattr(targets, "parse", lambda text: parse(text.replace("ci1", "ci2")))
    monkeypatch.setattr(Sequential, "load", lambda net, _: net)
    with pytest.raises(AssertionError):
        targets.TARGETS[target](seeds[0] if target != "states" else _other_state())


def test_a_race_is_seen() -> None:
    line = checkers.races(1000, "-DPLANTED")
    if "left out" in line.note:
        pytest.skip(line.note)
    assert line.failures and all("data race" in told for told in line.failures)


BEYOND = """
import numpy as np
from fastconv.engines.numba_.ground.launch import step

@step("y")
def beyond(x, y, ithr, nthr):
    y[0] = x[x.size]

beyond(np.zeros(8), np.zeros(1), 1)
"""


def test_a_step_that_reads_beyond_an_array_is_seen(tmp_path: Path) -> None:
    (tmp_path / "beyond.py").write_text(BEYOND)  # a file, which Numba's cache wants
    (told,) = checkers.bounds(str(tmp_path / "beyond.py")).failures
    assert "IndexError: index is out of bounds" in told


def test_reports_of_the_compiled_kernels_count() -> None:
    frame = "<frame><obj>{}</obj><fn>pack</fn></frame>"
    error = "<error><kind>{}</kind><stack>" + frame.format("/lib/libc.so") + "{}</stack></error>"
    kernels = frame.format("/site-packages/fastconv/engines/cython_/_x86_64_v3_f32.so")
    told = [error.format(*parts) for parts in (("InvalidRead", kernels), ("InvalidRead", ""), ("Leak_Lost", kernels))]
    assert checkers.reports(f"<out>{''.join(told)}</out>") == ["InvalidRead in pack"]


def _other_state() -> bytes:
    file = BytesIO()
    np.savez(file, **{name: a + 1 for name, a in targets._net()[1].items()})  # type: ignore[arg-type]
    return file.getvalue()


def test_booked_memory_is_used() -> None:
    """With vectors of up to 32 bytes; `python -m stress memory` looks at those in use."""
    code = f"from stress import memory; line = memory.booked({SEED}, 150); print(line.done, line.failures)"
    done, failures = child.run("-c", code, timeout=600, FASTCONV_ISA="x86-64-v3").stdout.split(maxsplit=1)
    assert int(done) >= 150 and failures.strip() == "[]", failures


def test_booked_memory_that_is_not_used_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    known = memory.booked(SEED, 10).failures
    kind = type(fastconv.get_backend("im2col/cython"))
    original = kind.workspace
    monkeypatch.setattr(kind, "workspace", lambda self, *a: 20 * original(self, *a))
    more = [f for f in memory.booked(SEED, 10).failures if f not in known]
    assert more and all("im2col" in f for f in more)


def test_enough_bad_input() -> None:
    every = list(spoilt())
    assert len(every) >= 300 and len({str(case) for case in every}) == len(every)
    assert {case.function for case in every} > {"conv2d", "filter2d", "tune", "register_backend"}


def test_accepted_input_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from stress import bad_input

    taken: Any = lambda *_, **__: None  # noqa: E731
    monkeypatch.setattr(fastconv, "max_pool2d", taken)
    assert bad_input.verdict(Spoilt("max_pool2d", "stride", 0)) == "accepted"


def test_spoilt_files_differ() -> None:
    from stress.files import RATES, spoilt

    rng, good = np.random.default_rng(SEED), json.dumps(RATES)
    assert len({spoilt(good, rng) for _ in range(100)}) > 80
