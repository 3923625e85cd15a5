"""Every backend, pass and dtype over the table of problems, against the oracle."""

import shutil
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.core.problem import PASSES, ConvProblem, parse
from fastconv.engines import loader
from tests import battery, oracle
from tests.golden import GOLDEN
from tests.problems import (
    BORDER_PROBLEMS,
    DTYPES,
    EDGE_PROBLEMS,
    HALF_PROBLEMS,
    MODES,
    geometry,
    integer_data,
    options,
    real_data,
    with_dtype,
    with_mode,
)

NAMES = battery.backends()


def run(name: str, pass_: str, problems: list[ConvProblem]) -> None:
    failed = battery.failures(name, pass_, problems)
    if failed:
        pytest.fail(f"{len(failed)} of {len(problems)} problems fail\n" + "\n".join(failed), pytrace=False)


@pytest.mark.parametrize("engine", loader.ENGINES)
def test_engine_is_present(engine: str) -> None:
    """A botched build must not pass for want of backends to test."""
    if engine == "cython" and shutil.which("cc") is None:
        pytest.skip("no C compiler here: the compiled engine cannot be present")
    assert loader.absent(engine) is None
    assert any(name.endswith(f"/{engine}") for name in NAMES)


@pytest.mark.parametrize("dtype", DTYPES[:2])
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("name", NAMES)
def test_edges(name: str, pass_: str, dtype: str) -> None:
    run(name, pass_, [with_dtype(text, dtype) for text in EDGE_PROBLEMS])


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("name", NAMES)
def test_float16(name: str, pass_: str) -> None:
    run(name, pass_, [with_dtype(text, "float16") for text in HALF_PROBLEMS])


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("name", NAMES)
def test_borders(name: str, pass_: str) -> None:
    """Every problem in every mode; its dtype, of which borders know but the size, is another from one to the next."""
    cases = enumerate((text, mode) for text in BORDER_PROBLEMS for mode in MODES)
    run(name, pass_, [with_mode(text, mode, DTYPES[i % 3]) for i, (text, mode) in cases])


@pytest.mark.parametrize("pass_", PASSES)
def test_borders_of_every_dtype(pass_: str) -> None:
    """Borders are the same for all backends: one shows them in every mode and dtype."""
    problems = [with_mode(text, mode, dtype) for text in BORDER_PROBLEMS for mode in MODES for dtype in DTYPES]
    run("reference", pass_, problems)


@pytest.mark.parametrize("name", NAMES)
def test_every_backend_computes_something(name: str) -> None:
    """A backend may refuse, but not every problem of the table."""
    assert not all(fastconv.get_backend(name).refuse(parse(text), "forward") for text in EDGE_PROBLEMS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", GOLDEN["conv2d"], ids=lambda c: c["source"])
@pytest.mark.parametrize("name", ["auto", *NAMES])
def test_golden(name: str, case: dict[str, Any], dtype: str) -> None:
    x, w = (np.array(case[key], dtype)[None, None] for key in "xw")
    try:
        y = fastconv.conv2d(x, w, stride=case["stride"], padding=case["padding"], backend=name)
    except fastconv.BackendRefused as error:
        assert fastconv.get_backend(name).algorithm not in battery.NEVER_REFUSE, error
        return
    if name == "auto" or battery.is_exact(fastconv.get_backend(name)):
        np.testing.assert_array_equal(y[0, 0], case["y"])
    else:
        p = ConvProblem.from_shapes(x.shape, w.shape, case["stride"], case["padding"], dtype=dtype)
        bound = fastconv.get_backend(name).error_bound(battery.inner(p), "forward") + battery.ROUNDING[dtype]
        np.testing.assert_allclose(y[0, 0], case["y"], atol=bound * np.abs(x).max() * np.abs(w).sum(), rtol=0)


@pytest.mark.parametrize("name", ["auto", *NAMES])
def test_backward_is_its_parts(name: str) -> None:
    """conv2d_backward gives what the single functions give, bit by bit, and the gradient of the bias."""
    for text in ("n2ci4ih6iw7co6kh3kw3ph1pw1g2_f32", *BORDER_PROBLEMS):
        for mode, dtype in (("zeros", "float32"), ("reflect", "float64"), ("circular", "float16")):
            p = with_mode(text, mode, dtype)
            d = integer_data(p)
            try:
                g = fastconv.conv2d_backward(d.dy, d.x, d.w, backend=name, **options(p))
            except fastconv.BackendRefused:
                reasons = [fastconv.get_backend(name).refuse(battery.inner(p), q) for q in PASSES[1:]]
                assert any(reasons)
                continue
            assert g._fields == ("x", "w", "bias")
            np.testing.assert_array_equal(g.x, battery.public(name, "grad_input", p, d), strict=True)
            np.testing.assert_array_equal(g.w, battery.public(name, "grad_weight", p, d), strict=True)
            np.testing.assert_array_equal(g.bias, oracle.grad_bias(d.dy).astype(dtype), strict=True)


@pytest.mark.parametrize("wrt", [("x",), ("w",), ("bias",), ("w", "x"), ("bias", "x"), ()])
def test_wrt(wrt: tuple[str, ...]) -> None:
    p = parse("n2ci4ih6iw7co6kh3kw3ph1pw1g2_f32")
    d = integer_data(p)
    whole = fastconv.conv2d_backward(d.dy, d.x, d.w, **options(p))
    part = fastconv.conv2d_backward(d.dy, d.x, d.w, **options(p), wrt=wrt)
    for field, gradient in part._asdict().items():
        if field in wrt:
            np.testing.assert_array_equal(gradient, getattr(whole, field), strict=True)
        else:
            assert gradient is None


@pytest.mark.parametrize("text", EDGE_PROBLEMS)
def test_auto(text: str) -> None:
    """What `auto` picks stays within the default tolerance on numbers that are not friendly."""
    for dtype, tolerance in (("float32", 2e-5), ("float64", 1e-12)):
        p = with_dtype(text, dtype)
        d = real_data(p)
        for pass_ in PASSES:
            got, want = battery.public("auto", pass_, p, d), battery.expected(p, pass_, d)
            assert got.dtype == dtype
            assert (np.abs(got - want) <= tolerance * battery.scale(p, pass_, d)).all(), f"{pass_} {p}"


@pytest.mark.parametrize("padding", ["valid", "same", "full"])
def test_named_padding(padding: Any) -> None:
    p = ConvProblem.from_shapes((2, 3, 9, 10), (4, 3, 3, 4), (2, 1), padding, (1, 2))
    d = integer_data(p)
    y = fastconv.conv2d(d.x, d.w, stride=(2, 1), padding=padding, dilation=(1, 2))
    np.testing.assert_array_equal(y, oracle.forward(d.x, d.w, None, geometry(p)))
    g = fastconv.conv2d_backward(d.dy, d.x, d.w, stride=(2, 1), padding=padding, dilation=(1, 2))
    np.testing.assert_array_equal(g.x, battery.expected(p, "grad_input", d))
    np.testing.assert_array_equal(g.w, battery.expected(p, "grad_weight", d))
