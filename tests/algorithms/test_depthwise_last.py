"""Depthwise kernels on channels-last arrays, against the oracle."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings

from fastconv.algorithms.base import ACTIVATIONS
from fastconv.core.problem import PASSES
from fastconv.engines import loader
from tests import battery
from tests.last import problems, run, steps_of, takes_planes, turned
from tests.problems import integer_data, random_problems, real_data, with_dtype

ENGINES = [engine for engine in loader.ENGINES if not loader.absent(engine)]
pytestmark = pytest.mark.parametrize("engine", ENGINES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("text", problems())
def test_integers_are_exact(text, dtype, engine):
    p, steps = with_dtype(text, dtype), steps_of(dtype, engine)
    d = integer_data(p)
    for pass_ in PASSES:
        want = battery.expected(p, pass_, d)
        for threads in (1, 2, 3):
            np.testing.assert_array_equal(run(steps, p, pass_, d, threads), want, err_msg=f"{p} {pass_} {threads}")
            if takes_planes(p, pass_, threads, steps):
                got = run(steps, p, pass_, d, threads, planes=True)
                np.testing.assert_array_equal(got, want, err_msg=f"{p} {pass_} {threads} planes")


@settings(max_examples=60)
@given(random_problems(modes=("zeros",)))
def test_random_problems(engine, text):
    p = with_dtype(text, "float32")._replace(g=with_dtype(text, "float32").ci)
    p = p._replace(co=p.ci * (1 + p.co % 3))
    d = integer_data(p)
    for pass_ in PASSES:
        steps, want = steps_of(p.dtype, engine), battery.expected(p, pass_, d)
        for planes in (False, True) if takes_planes(p, pass_, 2, steps) else (False,):
            got = run(steps, p, pass_, d, 2, planes=planes)
            np.testing.assert_array_equal(got, want, err_msg=f"{p} {pass_} {planes=}")


@pytest.mark.parametrize("text", problems()[::3])
def test_epilogue(text, engine):
    """activation(conv + bias + residual), weights prepared or not."""
    p, steps = with_dtype(text, "float32"), steps_of("float32", engine)
    d = integer_data(p)
    residual = integer_data(p, 5).dy
    want = battery.expected(p, "forward", d, d.b) + residual
    for prepared in (False, True):
        for code in (0, ACTIVATIONS.index("relu")):
            got = run(steps, p, "forward", d, 2, bias=d.b, residual=residual, code=code, prepared=prepared)
            np.testing.assert_array_equal(got, np.maximum(want, 0) if code else want)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_epilogue_is_that_of_the_step(activation, dtype, engine):
    """Bit by bit, on real numbers, whole vectors and parts of one."""
    steps, code = steps_of(dtype, engine), ACTIVATIONS.index(activation)
    for text in ("n2ci35ih9iw10co35kh3kw3ph1pw1g35_f32", "n1ci9ih12iw11co18kh5kw5sh2sw2ph2pw2g9_f32"):
        p = with_dtype(text, dtype)
        d, residual = real_data(p), real_data(p, 5).dy
        y = turned(run(steps, p, "forward", d, 2))
        steps.epilogue(y, d.b, turned(residual), code, True, 1)
        got = run(steps, p, "forward", d, 2, bias=d.b, residual=residual, code=code)
        np.testing.assert_array_equal(turned(got), y)


@pytest.mark.parametrize("pass_", PASSES)
def test_real_numbers_and_reruns(pass_, engine):
    """Errors of a few roundings, and the same bits in every run."""
    p = with_dtype("n3ci35ih50iw51co35kh3kw3ph1pw1g35_f32", "float32")
    d, steps = real_data(p), steps_of("float32", engine)
    got = [run(steps, p, pass_, d, 2) for _ in range(3)]
    assert all(np.array_equal(got[0], g) for g in got[1:])
    want = battery.expected(p, pass_, d)
    assert np.abs(got[0] - want).max() < 2e-6 * np.abs(want).max()


def test_nan_reaches_its_outputs_only(engine):
    """A NaN beside the windows of a row's last outputs, or in a pixel that no window meets, stays there."""
    for text in ("n1ci16ih9iw12co16kh2kw2sh4sw4g16_f32", "n1ci20ih9iw16co20kh3kw3pl1pr0pt1pb0g20_f32"):
        p, steps = with_dtype(text, "float32"), steps_of("float32", engine)
        d = integer_data(p)
        d.x[0, ::3, 4, :] = d.x[0, ::2, :, 3] = d.x[0, :, 8, -1] = np.nan
        d.dy[0, ::5, 1, 1] = np.nan
        for pass_ in PASSES:
            np.testing.assert_array_equal(run(steps, p, pass_, d, 2), battery.expected(p, pass_, d), err_msg=pass_)


def test_relu_keeps_nan(engine):
    p, steps = with_dtype("n1ci16ih8iw8co16kh3kw3ph1pw1g16_f32", "float32"), steps_of("float32", engine)
    d = integer_data(p)
    d.x[0, 3, 4, 4] = np.nan
    got, want = run(steps, p, "forward", d, 1, code=ACTIVATIONS.index("relu")), battery.expected(p, "forward", d)
    np.testing.assert_array_equal(got, np.where(np.isnan(want), want, np.maximum(want, 0)))


def test_nothing_is_touched_out_of_bounds(engine):
    """Every array at the end or at the start of its pages, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.last", engine], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]
