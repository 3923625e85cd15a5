"""Winograd on channels-last arrays."""

import numpy as np
import pytest

import fastconv
from fastconv.core.problem import PASSES, parse
from tests import battery, child
from tests.guard_layouts import run, taken
from tests.problems import real_data

NAMES = [name for name in battery.backends() if name.startswith("winograd/")]
PROBLEMS = (
    "n2ci24ih13iw11co40kh3kw3ph1pw1_f32",
    "n3ci40ih19iw22co37kh3kw3pt1pb2pl0pr3_f32",
    "n2ci24ih19iw22co48kh3kw3ph2pw2dh2dw2g2_f32",
    "n2ci40ih9iw10co37kh5kw5ph2pw2_f64",
    "n1ci70ih5iw30co33kh1kw7pw3_f32",
    "n1ci9ih30iw5co8kh7kw1ph3_f64",
    "n1ci130ih4iw3co70kh3kw3ph1pw1_f32",
    "n1ci3ih21iw60co5kh3kw3ph1pw1_f32",
)

pytestmark = pytest.mark.skipif(not NAMES, reason="no engine for it here")


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("text", PROBLEMS)
@pytest.mark.parametrize("name", NAMES)
def test_layouts_agree(name: str, text: str, pass_: str) -> None:
    """However x and y lie, the same sums in the same order."""
    backend, p = fastconv.get_backend(name), parse(text)
    d = real_data(p)
    for threads in (1, 2):
        results = [run(backend, pass_, q, d, threads) for q in taken(backend, p, pass_)]
        assert len(results) == 4
        battery.compare(backend, pass_, p, d, results[0], exact=False)
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("name", NAMES)
def test_stays_in_bounds(name: str) -> None:
    done = child.run("-m", "tests.guard_layouts", name)
    assert int(done.stdout.split()[-2]) > 0


@pytest.mark.parametrize("isa", battery.instruction_sets()[1:])
def test_other_instruction_sets_stay_in_bounds(isa: str) -> None:
    done = child.run("-m", "tests.guard_layouts", "winograd/cython", FASTCONV_ISA=isa.replace("_", "-"))
    assert int(done.stdout.split()[-2]) > 0
