"""``python -m fastconv selftest``: it passes here, and sees a wrong backend."""

from typing import Any

import numpy as np
import pytest

from fastconv import selftest
from fastconv.__main__ import main
from fastconv.core.problem import PASSES, parse
from fastconv.engines import loader
from tests import battery
from tests.algorithms.test_broken_backends import DropsChannelTail, FlippedKernel, Honest
from tests.problems import EDGE_PROBLEMS, integer_data


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "PROBLEMS", " ".join(selftest.PROBLEMS.split()[3:5]))
    monkeypatch.setattr(loader, "absent", lambda engine: "left out" if engine == "numba" else None)


def test_passes(capsys: pytest.CaptureFixture[str]) -> None:
    with battery.registered(Honest()), pytest.raises(SystemExit) as end:
        main(["selftest"])
    told = capsys.readouterr().out
    assert end.value.code == 0 and told.splitlines()[-1].endswith("right, 0 wrong"), told
    assert "honest/test: 24" in told


@pytest.mark.parametrize("broken", [FlippedKernel, DropsChannelTail])
def test_sees_what_is_broken(broken: type[Honest], capsys: pytest.CaptureFixture[str]) -> None:
    with battery.registered(broken()) as name, pytest.raises(SystemExit) as end:
        main(["selftest"])
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG")]
    assert end.value.code == 1 and told and all(name in line for line in told)


@pytest.mark.parametrize("pass_", PASSES)
def test_formulas(pass_: str) -> None:
    """SciPy's sums are the definition's, whatever the stride, padding and dilation."""
    few = [p for p in map(parse, EDGE_PROBLEMS) if p.n * p.co * p.ci < 300 and p.n]
    assert len(few) > 30
    p: Any
    for p in few:
        d = integer_data(p._replace(dtype="float64"))
        got = selftest.by_scipy(p, pass_, d.x, d.w, d.dy)
        np.testing.assert_array_equal(got, battery.expected(p, pass_, d), err_msg=str(p))
