"""Memory layout follows the input, and ``layout="NHWC"`` counts channels last: every call, against the oracle."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
from fastconv.core.layouts import lies_last
from fastconv.core.problem import parse
from tests import oracle
from tests.operations.test_layouts import negative, sliced, unaligned, window
from tests.problems import geometry, integer_data, options, random_problems, with_dtype

EXACT = "im2col"  # sums of small integers are exact in it


def turned(a: Any) -> Any:
    """(.., C, H, W) counted as (.., H, W, C)."""
    return np.moveaxis(a, -3, -1)


def unturned(a: Any) -> Any:
    return np.moveaxis(a, -1, -3)


def last(a: Any) -> Any:
    """The same array, its channels last in memory."""
    return unturned(np.ascontiguousarray(turned(a)))


#: how an array may lie
LIES: dict[str, Callable[[Any], Any]] = {
    "first": np.ascontiguousarray,
    "last": last,
    "fortran": np.asfortranarray,
    "sliced": sliced,
    "window, last": lambda a: unturned(window(turned(a))),
    "negative": negative,
    "unaligned": unaligned,
    "sliced, last": lambda a: unturned(sliced(turned(a))),
    "big-endian, last": lambda a: last(a).astype(a.dtype.newbyteorder(">")),
}
lies = st.sampled_from(sorted(LIES))


def expect_memory(got: Any, operand: Any, nhwc: bool) -> None:
    """Channels last if those of the operand lie last, else C-contiguous as its caller counts."""
    seen = unturned(got) if nhwc else got
    if not nhwc and lies_last(operand):
        assert turned(seen).flags.c_contiguous
    else:
        assert got.flags.c_contiguous


@given(text=random_problems(), x=lies, dy=lies, r=lies, out=lies, nhwc=st.booleans(), unbatched=st.booleans())
def test_conv2d_and_gradients(text: str, x: str, dy: str, r: str, out: str, nhwc: bool, unbatched: bool) -> None:
    p = parse(text)
    if unbatched:
        p = p._replace(n=1)
    d, geo = integer_data(p), geometry(p)
    residual = np.rint(np.random.default_rng(0).standard_normal(p.y_shape) * 4).astype(p.dtype)
    more: dict[str, Any] = {**options(p), "backend": EXACT, "layout": "NHWC" if nhwc else "NCHW"}

    def give(how: str, a: Any) -> Any:
        a = a[0] if unbatched else a
        laid = LIES[how](a)
        np.testing.assert_array_equal(laid, a)
        return turned(laid) if nhwc else laid

    def take(a: Any) -> Any:
        a = unturned(a) if nhwc else a
        return a[None] if unbatched else a

    xs, dys, rs = give(x, d.x), give(dy, d.dy), give(r, residual)
    want = oracle.forward(d.x, d.w, d.b, geo)
    for _ in range(2):  # the second is looked up
        y = fastconv.conv2d(xs, d.w, d.b, **more)
        np.testing.assert_array_equal(take(y), want)
        expect_memory(y, unturned(xs) if nhwc else xs, nhwc)
    y = fastconv.conv2d(xs, d.w, d.b, activation="relu", residual=rs, **more)
    np.testing.assert_array_equal(take(y), np.maximum(want + residual, 0))
    into = give(out, np.zeros(p.y_shape, p.dtype))
    if into.dtype.isnative:
        assert fastconv.conv2d(xs, d.w, d.b, residual=rs, out=into, **more) is into
        np.testing.assert_array_equal(take(into), want + residual)
    dx = oracle.grad_input(d.dy, d.w, (p.ih, p.iw), geo)
    dw = oracle.grad_weight(d.dy, d.x, (p.kh, p.kw), geo)
    for _ in range(2):
        g = fastconv.conv2d_backward(dys, xs, d.w, **more)
        np.testing.assert_array_equal(take(g.x), dx)
        np.testing.assert_array_equal(g.w, dw)
        np.testing.assert_array_equal(g.bias, oracle.grad_bias(d.dy))
        expect_memory(g.x, unturned(dys) if nhwc else dys, nhwc)
    np.testing.assert_array_equal(take(fastconv.conv2d_grad_input(dys, d.w, xs.shape, **more)), dx)
    np.testing.assert_array_equal(fastconv.conv2d_grad_weight(dys, xs, d.w.shape, **more), dw)
    plan = fastconv.plan_conv2d(xs.shape, d.w, d.b, activation="relu", **more)
    for _ in range(2):
        np.testing.assert_array_equal(take(plan(xs)), np.maximum(want, 0))
        np.testing.assert_array_equal(take(plan(xs, rs)), np.maximum(want + residual, 0))
    expect_memory(plan(xs), unturned(xs) if nhwc else xs, nhwc)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "symmetric", "replicate", "circular"])
def test_auto_in_every_dtype_and_border(dtype: str, mode: str) -> None:
    p = with_dtype("n2ci16ih12iw13co8kh3kw3ph1pw1_f32", dtype)._replace(mode=mode)
    d, more = integer_data(p), options(p)
    tolerance: dict[str, Any] = {"rtol": 1e-3, "atol": 1e-2} if dtype != "float64" else {"rtol": 1e-10, "atol": 1e-10}
    y = fastconv.conv2d(last(d.x), d.w, d.b, **more)
    assert y.dtype == dtype
    assert turned(y).flags.c_contiguous
    np.testing.assert_allclose(y, fastconv.conv2d(d.x, d.w, d.b, **more), **tolerance)
    g = fastconv.conv2d_backward(turned(last(d.dy)), turned(last(d.x)), d.w, layout="NHWC", **more)
    want = fastconv.conv2d_backward(d.dy, d.x, d.w, **more)
    assert g.x.flags.c_contiguous
    np.testing.assert_allclose(unturned(g.x), want.x, **tolerance)
    np.testing.assert_allclose(g.w, want.w, **tolerance)
    np.testing.assert_array_equal(g.bias, want.bias)


@pytest.mark.parametrize("unbatched", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("nhwc", [False, True])
def test_other_calls(nhwc: bool, dtype: str, unbatched: bool) -> None:
    """What is the same however the arrays lie and are counted."""
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> Any:
        a = rng.integers(-3, 4, shape).astype(dtype)
        return a[0] if unbatched and len(shape) == 4 and shape[0] == 2 else a

    x, w, b = draw(2, 4, 9, 8), rng.integers(-2, 3, (4, 3, 3, 3)).astype(dtype), draw(3)
    col, row = rng.integers(-2, 3, (5, 4, 3, 1)).astype(dtype), rng.integers(-2, 3, (3, 5, 1, 3)).astype(dtype)
    deep, point = rng.integers(-2, 3, (8, 1, 3, 3)).astype(dtype), rng.integers(-2, 3, (3, 8, 1, 1)).astype(dtype)
    calls: list[tuple[Any, Any, tuple[Any, ...], dict[str, Any]]] = [
        (fastconv.conv_transpose2d, fastconv.conv_transpose2d_backward, (w, b), {"stride": 2, "output_padding": 1}),
        (fastconv.conv_transpose2d, fastconv.conv_transpose2d_backward, (w, b),
         {"stride": 1, "output_padding": 2, "dilation": 3}),
        (fastconv.separable_conv2d, fastconv.separable_conv2d_backward, (col, row, b), {"padding": 1}),
        (fastconv.depthwise_separable_conv2d, fastconv.depthwise_separable_conv2d_backward, (deep, point, b),
         {"padding": 1}),
        (fastconv.max_pool2d, fastconv.max_pool2d_backward, (3,), {"stride": 2, "padding": 1}),
        (fastconv.avg_pool2d, fastconv.avg_pool2d_backward, (3,), {"stride": 2}),
        (fastconv.global_avg_pool2d, fastconv.global_avg_pool2d_backward, (), {}),
        (fastconv.global_max_pool2d, fastconv.global_max_pool2d_backward, (), {}),
    ]  # fmt: skip
    layout: dict[str, Any] = {"layout": "NHWC"} if nhwc else {}
    give = (lambda a: turned(last(a))) if nhwc else last
    take = unturned if nhwc else np.asarray
    for call, backward, args, opt in calls:
        opt = {**opt, "backend": EXACT} if "conv" in call.__name__ else opt
        want = call(x, *args, **opt)
        got = call(give(x), *args, **opt, **layout)
        assert got.dtype == want.dtype
        assert (got if nhwc else turned(got)).flags.c_contiguous, call
        np.testing.assert_array_equal(take(got), want)
        for out in (np.zeros_like(want), last(np.zeros_like(want)), sliced(np.zeros_like(want))):
            into = turned(out) if nhwc else out
            assert call(give(x), *args, **opt, **layout, out=into) is into
            np.testing.assert_array_equal(out, want)
        dy = rng.integers(-3, 4, want.shape).astype(dtype)
        rest = [a for a in args if a is not b]
        wants, gots = backward(dy, x, *rest, **opt), backward(give(dy), give(x), *rest, **opt, **layout)
        if isinstance(wants, np.ndarray):
            wants, gots = (wants,), (gots,)
        assert (gots[0] if nhwc else turned(gots[0])).flags.c_contiguous, backward
        np.testing.assert_array_equal(take(gots[0]), wants[0])
        for a, c in zip(gots[1:], wants[1:], strict=True):
            np.testing.assert_array_equal(a, c)
    y, places = fastconv.max_pool2d(give(x), 2, return_indices=True, **layout)
    want, at = fastconv.max_pool2d(x, 2, return_indices=True)
    np.testing.assert_array_equal(take(places), at)
    got = fastconv.max_pool2d_backward(y, give(x), 2, indices=places, **layout)
    np.testing.assert_array_equal(take(got), fastconv.max_pool2d_backward(want, x, 2, indices=at))


def test_overlapping_out_and_residual() -> None:
    """``residual=y, out=y`` adds in place."""
    p = parse("n1ci4ih6iw6co4kh3kw3ph1pw1_f32")
    d = integer_data(p)
    for lie in (np.copy, last):
        y = lie(d.x)
        fastconv.conv2d(d.x, d.w, residual=y, out=y, padding=1, backend=EXACT)
        np.testing.assert_array_equal(y, oracle.forward(d.x, d.w, None, geometry(p)) + d.x)
        plan, y = fastconv.plan_conv2d(d.x.shape, d.w, padding=1, backend=EXACT), lie(d.x)
        assert plan(lie(d.x), y, y) is y
        np.testing.assert_array_equal(y, oracle.forward(d.x, d.w, None, geometry(p)) + d.x)


def test_plans_follow_the_first_call() -> None:
    p = parse("n2ci16ih12iw12co16kh3kw3ph1pw1_f32")
    d = integer_data(p)
    for first, asked in ((np.copy, None), (last, None), (np.copy, True), (last, False)):
        plan = fastconv.plan_conv2d(p.x_shape, d.w, d.b, padding=1, channels_last=asked, backend=EXACT)
        for lie in (first, last, np.copy, first):
            y = plan(lie(d.x))
            np.testing.assert_array_equal(y, oracle.forward(d.x, d.w, d.b, geometry(p)))
            assert lies_last(y) == (lie is last)
        assert plan.problem.x_last == (first is last if asked is None else asked)
        assert plan.explain().problem == plan.problem


def test_who_lies_last() -> None:
    """PyTorch's rule, also where one channel or one pixel leaves both possible."""
    torch = pytest.importorskip("torch")
    for shape in (
        (2, 3, 4, 5),
        (1, 3, 4, 5),
        (2, 1, 4, 5),
        (1, 1, 4, 5),
        (2, 3, 1, 1),
        (1, 3, 1, 1),
        (2, 3, 1, 5),
        (1, 1, 1, 1),
    ):
        a = np.zeros(shape, np.float32)
        for b in (a, last(a), a[:, :, ::2], last(a)[:, :, ::2], last(a)[:, ::2], np.asfortranarray(a)):
            t = torch.from_numpy(b)
            want = torch.empty_like(t, memory_format=torch.preserve_format)
            if t.is_contiguous() and t.is_contiguous(memory_format=torch.channels_last):
                continue  # torch's own answer depends on its version here
            if t.is_contiguous() or t.is_contiguous(memory_format=torch.channels_last):
                assert lies_last(b) == (not want.is_contiguous()), (shape, b.strides)


def test_errors_name_the_argument() -> None:
    x, w = np.ones((2, 7, 8, 4), np.float32), np.ones((6, 4, 3, 3), np.float32)
    y = np.ones((2, 5, 6, 6), np.float32)
    cases: list[tuple[str, type[Exception], Callable[[], Any]]] = [
        ("layout", ValueError, lambda: fastconv.conv2d(x, w, layout="NCWH")),  # type: ignore[arg-type]
        ("layout", ValueError, lambda: fastconv.conv2d(x, w, layout=["NHWC"])),  # type: ignore[arg-type]
        ("layout", ValueError, lambda: fastconv.max_pool2d(x, 2, layout=3)),  # type: ignore[call-overload]
        ("activation", ValueError, lambda: fastconv.conv2d(x, w, layout="NHWC", activation="softmax")),  # type: ignore[arg-type]
        ("activation", ValueError, lambda: fastconv.conv2d(x, w, layout="NHWC", activation="")),  # type: ignore[arg-type]
        ("activation", TypeError, lambda: fastconv.conv2d(x, w, layout="NHWC", activation=max)),  # type: ignore[arg-type]
        ("residual", ValueError, lambda: fastconv.conv2d(x, w, layout="NHWC", residual=y[:1])),
        ("residual", TypeError, lambda: fastconv.conv2d(x, w, layout="NHWC", residual=y.astype(int))),
        ("out", ValueError, lambda: fastconv.conv2d(x, w, layout="NHWC", out=np.moveaxis(y, 3, 1))),
        ("dy", ValueError, lambda: fastconv.conv2d_backward(np.moveaxis(y, 3, 1), x, w, layout="NHWC")),
        ("input_shape", ValueError, lambda: fastconv.conv2d_grad_input(y, w, (7, 8), layout="NHWC")),
        ("x", ValueError, lambda: fastconv.conv2d(x[0, 0], w, layout="NHWC")),
        ("channels_last", TypeError, lambda: fastconv.plan_conv2d((4, 7, 8), w, channels_last="yes")),  # type: ignore[arg-type]
        ("residual", TypeError, lambda: fastconv.plan_conv2d(x.shape, w, layout="NHWC")(x, y.astype(float))),
        ("residual", ValueError, lambda: fastconv.plan_conv2d(x.shape, w, layout="NHWC")(x, y[:1])),
        ("activation", ValueError, lambda: fastconv.explain((4, 7, 8), w.shape, activation="relu", pass_="grad_input")),
    ]
    for name, kind, call in cases:
        with pytest.raises(kind, match=rf"\b{name}\b"):
            call()


def test_explain_tune_verify(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of a channels-last problem speak of that problem."""
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
    p = parse("n1ci5ih9iw9co6kh3kw3_f32_nhwc")
    d = integer_data(p)
    assert fastconv.explain((1, 9, 9, 5), d.w.shape, layout="NHWC").problem == p
    assert fastconv.verify(turned(last(d.x)), d.w, layout="NHWC", passes="forward").problem == p
    assert all(r["ok"] or r["reason"] for r in fastconv.verify(last(d.x), d.w).rows)
    assert fastconv.tune(last(d.x), d.w, passes="forward", seconds=0.01).problem == p
