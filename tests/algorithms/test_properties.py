"""What convolution must satisfy whatever the numbers are: no oracle needed, and random problems with it.

Small integers make every sum exact, so that for the plain backends the properties hold as equalities.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
from fastconv.core.problem import PASSES, ConvProblem, parse
from tests import battery
from tests.problems import BORDER_PROBLEMS, MODES, Data, integer_data, options, random_problems, with_mode

NAMES = battery.backends()
PROBLEMS = (
    "n2ci3ih7iw8co4kh3kw3ph1pw1_f64",
    "n1ci4ih6iw7co6kh3kw2ph2pw1g2_f64",
    "n1ci2ih9iw8co3kh2kw3sh2sw3pt1pb0pl0pr2dh2_f64",
    "n2ci5ih5iw6co5kh3kw3ph1pw1g5_f64",
    "n1ci3ih6iw6co2kh5kw5ph2pw2_f64",
)


def near(name: str, p: ConvProblem, pass_: str, a: Any, b: Any, size: float) -> None:
    """Equal, exactly or within what a transforming backend may err on values of this size."""
    backend = fastconv.get_backend(name)
    if battery.is_exact(backend):
        np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(a, b, atol=backend.error_bound(battery.inner(p), pass_) * size, rtol=0)


def usable(name: str, p: ConvProblem, *passes: str) -> bool:
    """False for a problem that the backend refuses; that it may is asserted by the battery."""
    return not any(fastconv.get_backend(name).refuse(battery.inner(p), pass_) for pass_ in passes)


@pytest.mark.parametrize("name", NAMES)
@given(text=random_problems())
def test_random_problems(name: str, text: str) -> None:
    for pass_ in PASSES:
        battery.check(name, pass_, parse(text))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", PROBLEMS + BORDER_PROBLEMS[:4])
def test_adjoint_identity(name: str, text: str) -> None:
    """<dy, conv(x, w)> = <grad_input(dy, w), x> = <grad_weight(dy, x), w>"""
    for mode in MODES:
        p = with_mode(text, mode, "float64")
        if not usable(name, p, *PASSES):
            continue
        d = integer_data(p)
        y, dx, dw = (battery.public(name, pass_, p, d) for pass_ in PASSES)
        size = 27.0 * y.size * d.w[0].size
        near(name, p, "grad_input", np.vdot(d.dy, y), np.vdot(dx, d.x), size)
        near(name, p, "grad_weight", np.vdot(d.dy, y), np.vdot(dw, d.w), size)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_finite_differences(name: str, mode: str) -> None:
    """Gradients of <dy, conv(x, w)> against differences, for every single number of x, w and bias.

    The function is linear in each, so the difference over a step of one is the derivative.
    """
    p = with_mode("n1ci2ih4iw5co2kh3kw2pt1pb2pl1pr0_f64", mode, "float64")
    if not usable(name, p, *PASSES):
        return
    d, opt = integer_data(p), {"backend": name, **options(p)}
    b = d.b
    grads = fastconv.conv2d_backward(d.dy, d.x, d.w, **opt)
    base = np.vdot(d.dy, fastconv.conv2d(d.x, d.w, b, **opt))
    steps = np.eye(d.x.size).reshape(-1, *d.x.shape[1:])
    moved = fastconv.conv2d(d.x + steps, d.w, b, **opt)
    near(name, p, "grad_input", (d.dy * moved).sum(axis=(1, 2, 3)) - base, grads.x.ravel(), 100.0 * d.dy.size)
    for i in range(d.w.size):
        w = d.w.copy()
        w.ravel()[i] += 1
        difference = np.vdot(d.dy, fastconv.conv2d(d.x, w, b, **opt)) - base
        near(name, p, "grad_weight", difference, grads.w.ravel()[i], 100.0 * d.dy.size)
    for i in range(p.co):
        moved = fastconv.conv2d(d.x, d.w, b + np.eye(p.co)[i], **opt)
        near(name, p, "forward", np.vdot(d.dy, moved) - base, grads.bias[i], 100.0 * d.dy.size)


@pytest.mark.parametrize("text", PROBLEMS)
@pytest.mark.parametrize("name", NAMES)
def test_linear(name: str, text: str) -> None:
    """conv(2 a - 3 b) = 2 conv(a) - 3 conv(b), in either argument of every pass."""
    p = parse(text)
    one, two = integer_data(p), integer_data(p, salt=1)
    for pass_ in PASSES:
        if not usable(name, p, pass_):
            continue
        for fields in (
            {"forward": "x", "grad_input": "w", "grad_weight": "x"}[pass_],
            {"forward": "w", "grad_input": "dy", "grad_weight": "dy"}[pass_],
        ):
            a, b = getattr(one, fields), getattr(two, fields)
            parts = [battery.public(name, pass_, p, one._replace(**{fields: v})) for v in (a, b, 2 * a - 3 * b)]
            near(name, p, pass_, 2 * parts[0] - 3 * parts[1], parts[2], 15.0 * 3 * parts[0].size * one.w.size)


@pytest.mark.parametrize("name", NAMES)
def test_impulse(name: str) -> None:
    """A single pixel of one gives the kernel, flipped and centred on it; an impulse kernel gives the image."""
    w = np.arange(1.0, 16.0).reshape(1, 1, 3, 5)
    x = np.zeros((1, 1, 9, 11))
    x[0, 0, 4, 6] = 1
    want = np.zeros_like(x)
    want[0, 0, 3:6, 4:9] = w[0, 0, ::-1, ::-1]
    p = ConvProblem.from_shapes(x.shape, w.shape, padding=(1, 2), dtype="float64")
    if usable(name, p, "forward"):
        near(name, p, "forward", fastconv.conv2d(x, w, padding=(1, 2), backend=name), want, w.sum())
        identity = np.zeros_like(w)
        identity[0, 0, 1, 2] = 1
        image = np.arange(99.0).reshape(x.shape)
        near(name, p, "forward", fastconv.conv2d(image, identity, padding=(1, 2), backend=name), image, 99.0)


@pytest.mark.parametrize("name", NAMES)
@given(shift=st.tuples(st.integers(-7, 7), st.integers(-7, 7)))
def test_shift(name: str, shift: tuple[int, int]) -> None:
    """With circular borders convolution commutes with shifts of the image."""
    p = parse("n1ci3ih7iw8co4kh3kw4pt1pb1pl1pr2_circular_f64")
    if not usable(name, p, "forward"):
        return
    d = integer_data(p)
    moved = d._replace(x=np.roll(d.x, shift, axis=(2, 3)))
    y, z = (battery.public(name, "forward", p, one) for one in (d, moved))
    near(name, p, "forward", np.roll(y, shift, axis=(2, 3)), z, 9.0 * d.w[0].size)


@pytest.mark.parametrize("name", NAMES)
def test_images_and_groups_are_independent(name: str) -> None:
    """One image of a batch, and one group, computed alone give the same numbers."""
    p = parse("n3ci6ih7iw6co4kh3kw3ph1pw1g2_f64")
    if not usable(name, p, "forward"):
        return
    opt: dict[str, Any] = {"backend": name, "padding": 1}
    d = integer_data(p)
    y = fastconv.conv2d(d.x, d.w, groups=2, **opt)
    size = 9.0 * d.w[0].size
    for i in range(p.n):
        near(name, p, "forward", fastconv.conv2d(d.x[i], d.w, groups=2, **opt), y[i], size)
    plain = ConvProblem.from_shapes((3, 3, 7, 6), (2, 3, 3, 3), padding=1, dtype="float64")
    if usable(name, plain, "forward"):
        for g in range(2):
            one = fastconv.conv2d(d.x[:, 3 * g : 3 * g + 3], d.w[2 * g : 2 * g + 2], **opt)
            near(name, p, "forward", one, y[:, 2 * g : 2 * g + 2], size)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["auto", *NAMES])
def test_non_finite_pixels_stay_where_they_are(name: str, dtype: str, bad: float) -> None:
    """One bad pixel reaches the outputs whose window holds it and no others, unless the backend says otherwise."""
    p = ConvProblem.from_shapes((2, 3, 12, 13), (4, 3, 3, 3), padding=1, dtype=dtype)
    if name != "auto" and (fastconv.get_backend(name).spreads_nonfinite or not usable(name, p, "forward")):
        return
    d: Data = integer_data(p)
    w = np.abs(d.w) + 1  # no zeros: 0 * inf is NaN
    x = np.abs(d.x) + 1
    good = fastconv.conv2d(x, w, padding=1, backend=name)
    x[1, 2, 5, 7] = bad
    got = fastconv.conv2d(x, w, padding=1, backend=name)
    reached = np.zeros(got.shape, bool)
    reached[1, :, 4:7, 6:9] = True
    np.testing.assert_array_equal(got[~reached], good[~reached])
    if name == "auto" or battery.is_exact(fastconv.get_backend(name)):
        np.testing.assert_array_equal(got[reached], np.full(reached.sum(), bad, dtype))
    else:  # terms of factors differ in sign: an Inf may become NaN, but nothing finite
        assert not np.isfinite(got[reached]).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("text", ["n1ci32ih28iw27co32kh3kw3ph1pw1_f32", "n2ci24ih20iw21co24kh7kw7ph3pw3_f64"])
def test_auto_spreads_nothing(text: str, pass_: str, bad: float) -> None:
    """Whatever is chosen, NaN and Inf come out exactly where the definition has them, and nothing else suffers."""
    p = parse(text)
    d = integer_data(p)
    d = d._replace(w=np.where(d.w == 0, 1, d.w), dy=np.where(d.dy == 0, 1, d.dy))  # 0 * inf is NaN
    finite = [battery.expected(p, pass_, d), battery.scale(p, pass_, d)]
    spoilt = d.dy if pass_ == "grad_input" else d.x
    spoilt[0, 5, 9, 11] = bad
    with np.errstate(invalid="ignore"):
        want = battery.expected(p, pass_, d)
    got = battery.public("auto", pass_, p, d)
    touched = ~np.isfinite(want)
    assert 0 < touched.sum() < touched.size
    np.testing.assert_array_equal(got[touched], want[touched])
    tolerance = {"float32": 2e-5, "float64": 1e-12}[p.dtype]
    assert (np.abs(got - finite[0])[~touched] <= np.broadcast_to(tolerance * finite[1], got.shape)[~touched]).all()
