"""Winograd on channels-last arrays, and what it does in its last store."""

from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.algorithms.base import ACTIVATIONS, Epilogue
from fastconv.core.problem import PASSES, parse
from fastconv.engines import loader
from tests import battery, child
from tests.guard_layouts import lie, run, taken
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


@pytest.mark.parametrize("text", [PROBLEMS[0], PROBLEMS[1], PROBLEMS[3], PROBLEMS[6]])
@pytest.mark.parametrize("name", NAMES)
def test_fused_is_the_step_apart(name: str, text: str) -> None:
    """Bit by bit, in either layout, with and without bias and residual."""
    backend, p = fastconv.get_backend(name), parse(text)
    d, steps = real_data(p), loader.load(backend.engine, p.dtype)
    rng = np.random.default_rng(5)
    residual, none = rng.standard_normal(p.y_shape).astype(p.dtype), np.empty(0, p.dtype)
    bias = rng.standard_normal(p.co).astype(p.dtype)
    plain = run(backend, "forward", p, d, 1)
    cases: list[tuple[Any, Any, str]] = [(b, r, "relu") for b in (bias, None) for r in (residual, None)]
    for b, r, activation in cases + [(bias, residual, name) for name in ACTIVATIONS]:
        after = Epilogue(b, r, activation)
        for q in taken(backend, p, "forward"):
            want = lie(plain, q.y_last).copy()
            first, second = none if b is None else b, none if r is None else lie(r, q.y_last)
            steps.epilogue(want, first, second, after.code, q.y_last, 1)
            got = run(backend, "forward", q, d, 2, after=after)
            np.testing.assert_array_equal(lie(got, q.y_last), want, err_msg=f"{q} {activation}")


@pytest.mark.parametrize("name", NAMES)
def test_stays_in_bounds(name: str) -> None:
    done = child.run("-m", "tests.guard_layouts", name)
    assert int(done.stdout.split()[-2]) > 0


@pytest.mark.parametrize("isa", battery.instruction_sets()[1:])
def test_other_instruction_sets_stay_in_bounds(isa: str) -> None:
    done = child.run("-m", "tests.guard_layouts", "winograd/cython", FASTCONV_ISA=isa.replace("_", "-"))
    assert int(done.stdout.split()[-2]) > 0
