"""Adaptive pooling, a divisor of one's own and unpooling: against PyTorch, in both layouts, and by definition."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
from tests.peers import integers, needs_torch, torch


def last(a: Any) -> Any:
    """The same array with channels last in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, -3, -1)), -1, -3)


def nhwc(a: Any) -> Any:
    return np.moveaxis(a, -3, -1)


@st.composite
def images(draw: Any) -> tuple[Any, tuple[int, int]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (*draw(st.sampled_from([(), (1,), (2,)])), draw(st.integers(1, 4)), draw(st.integers(1, 24)))
    x = integers(rng, (*shape, draw(st.integers(1, 24))), draw(st.sampled_from(["float32", "float64"])))
    size = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    return x, size


def bins(n: int, size: int) -> list[slice]:
    return [slice(i * n // size, -(-(i + 1) * n // size)) for i in range(size)]


@given(images(), st.integers(1, 2))
def test_adaptive_by_definition(call: tuple[Any, tuple[int, int]], threads: int) -> None:
    x, size = call
    *most, h, w = x.shape
    top, mean, dx = np.empty((*most, *size)), np.empty((*most, *size)), np.zeros(x.shape)
    dy = integers(np.random.default_rng(0), top.shape, x.dtype.name)
    for i, r in enumerate(bins(h, size[0])):
        for j, q in enumerate(bins(w, size[1])):
            top[..., i, j] = x[..., r, q].max(axis=(-2, -1))
            mean[..., i, j] = x[..., r, q].astype(float).mean(axis=(-2, -1))
            shared = dy[..., i, j].astype(float) / ((r.stop - r.start) * (q.stop - q.start))
            dx[..., r, q] += shared[..., None, None]
    with fastconv.num_threads(threads):
        for a, b in ((x, dy), (last(x), last(dy))):
            np.testing.assert_array_equal(fastconv.adaptive_max_pool2d(a, size), top)
            got = fastconv.adaptive_avg_pool2d(a, size)
            assert got.dtype == x.dtype
            np.testing.assert_allclose(got, mean, rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(fastconv.adaptive_avg_pool2d_backward(b, a), dx, rtol=1e-5, atol=1e-5)
    y, index = fastconv.adaptive_max_pool2d(x, size, return_indices=True)
    flat = x.reshape(*most, h * w)
    np.testing.assert_array_equal(np.take_along_axis(flat, index.reshape(*most, -1), -1).reshape(y.shape), y)
    want = np.zeros((int(np.prod(most)), h * w))
    for plane, at, d in zip(want, index.reshape(len(want), -1), dy.reshape(len(want), -1), strict=True):
        np.add.at(plane, at, d)
    np.testing.assert_array_equal(fastconv.adaptive_max_pool2d_backward(dy, x), want.reshape(x.shape))


@needs_torch
@given(images())
def test_adaptive_as_in_torch(call: tuple[Any, tuple[int, int]]) -> None:
    """Ties and NaNs, indices and gradients."""
    x, size = call
    functional = torch.nn.functional
    x[x == 3] = np.nan
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    want, places = functional.adaptive_max_pool2d(leaf, size, return_indices=True)
    for a in (x, last(x)):
        y, index = fastconv.adaptive_max_pool2d(a, size, return_indices=True)
        np.testing.assert_array_equal(y, want.detach())
        np.testing.assert_array_equal(index, places)
        y, index = fastconv.adaptive_max_pool2d(nhwc(a), size, return_indices=True, layout="NHWC")
        np.testing.assert_array_equal(y, nhwc(want.detach().numpy()))
        np.testing.assert_array_equal(index, nhwc(places.numpy()))
    dy = integers(np.random.default_rng(1), want.shape, x.dtype.name)
    want.backward(torch.from_numpy(dy))
    np.testing.assert_array_equal(fastconv.adaptive_max_pool2d_backward(dy, x), leaf.grad)
    got = fastconv.adaptive_max_pool2d_backward(nhwc(last(dy)), nhwc(x), layout="NHWC")
    np.testing.assert_array_equal(got, nhwc(leaf.grad.numpy()))
    mean = functional.adaptive_avg_pool2d(torch.from_numpy(x), size)
    np.testing.assert_allclose(fastconv.adaptive_avg_pool2d(x, size), mean, rtol=1e-6, atol=1e-6)


@needs_torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_divisor_as_in_torch(dtype: str, layout: Any) -> None:
    x = integers(np.random.default_rng(0), (2, 3, 9, 11), dtype)
    give = nhwc if layout == "NHWC" else np.asarray
    for divisor in (1, 4, 7):
        leaf = torch.from_numpy(x).requires_grad_()
        leaf.grad = None
        want = torch.nn.functional.avg_pool2d(leaf, 3, 2, 1, True, divisor_override=divisor)
        options: Any = dict(stride=2, padding=1, ceil_mode=True, divisor_override=divisor, layout=layout)
        np.testing.assert_allclose(fastconv.avg_pool2d(give(x), 3, **options), give(want.detach().numpy()), rtol=1e-6)
        dy = integers(np.random.default_rng(1), want.shape, dtype)
        want.backward(torch.from_numpy(dy))
        got = fastconv.avg_pool2d_backward(give(dy), give(x), 3, **options)
        np.testing.assert_allclose(got, give(leaf.grad.numpy()), rtol=1e-6, atol=1e-6)


@needs_torch
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [((8, 10), 2, None, 0), ((9, 11), 2, 2, 0), ((9, 12), (3, 2), (3, 4), (1, 0)), ((7, 7), 3, 3, 1)],
)
def test_unpooling_as_in_torch(size: Any, kernel: Any, stride: Any, padding: Any, layout: Any) -> None:
    give = nhwc if layout == "NHWC" else np.asarray
    x = np.random.default_rng(0).permutation(6 * size[0] * size[1]).reshape(2, 3, *size).astype(np.float64)
    y, index = fastconv.max_pool2d(x, kernel, stride=stride, padding=padding, return_indices=True)
    for output_size in (None, size, x.shape):
        if output_size is None and index.max() >= np.prod(torch_size(y, kernel, stride, padding)):
            continue
        leaf = torch.from_numpy(y.copy()).requires_grad_()
        more: Any = {} if output_size is None else {"output_size": output_size}
        want = torch.nn.functional.max_unpool2d(leaf, torch.from_numpy(index), kernel, stride, padding, **more)
        if output_size is not None:
            more = {"output_size": size if len(output_size) == 2 else give(np.empty(output_size)).shape}
        for lie in (np.ascontiguousarray, last):
            a, at = give(lie(y)), give(lie(index))
            got = fastconv.max_unpool2d(a, at, kernel, stride=stride, padding=padding, layout=layout, **more)
            np.testing.assert_array_equal(got, give(want.detach().numpy()))
            out = np.ones((*got.shape, 2))[..., 1]
            options: Any = dict(stride=stride, padding=padding, layout=layout, **more)
            assert fastconv.max_unpool2d(a, at, kernel, out=out, **options) is out
            np.testing.assert_array_equal(out, got)
        dy = np.random.default_rng(1).random(want.shape)
        want.backward(torch.from_numpy(dy))
        back = fastconv.max_unpool2d_backward(give(last(dy)), give(index), layout=layout)
        np.testing.assert_array_equal(back, give(leaf.grad.numpy()))


def torch_size(y: Any, kernel: Any, stride: Any, padding: Any) -> list[int]:
    k, p = np.broadcast_to(kernel, 2), np.broadcast_to(padding, 2)
    s = k if stride is None else np.broadcast_to(stride, 2)
    return [(n - 1) * b - 2 * c + a for n, a, b, c in zip(y.shape[-2:], k, s, p, strict=True)]


def test_dtypes_and_outputs() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 200, (2, 3, 9, 10))
    for dtype in ("uint8", "int64", "float16", ">f4"):
        a = x.astype(dtype)
        top, mean = fastconv.adaptive_max_pool2d(a, (4, 3)), fastconv.adaptive_avg_pool2d(a, (4, 3))
        assert top.dtype == a.dtype.newbyteorder("=") and top.flags.c_contiguous
        assert mean.dtype == (np.float64 if a.dtype.kind in "iu" else a.dtype.newbyteorder("="))
        np.testing.assert_array_equal(top, fastconv.adaptive_max_pool2d(x, (4, 3)))
        np.testing.assert_allclose(mean, fastconv.adaptive_avg_pool2d(x, (4, 3)), rtol=1e-3)
        for call, want in ((fastconv.adaptive_max_pool2d, top), (fastconv.adaptive_avg_pool2d, mean)):
            out = np.zeros((*want.shape, 2), want.dtype)[..., 1]
            assert call(a, (4, 3), out=out) is out
            np.testing.assert_array_equal(out, want)
            np.testing.assert_array_equal(call(a[1], (4, 3)), want[1])
            assert call(a[:0], (4, 3)).shape == (0, 3, 4, 3)
        assert fastconv.max_unpool2d(top, np.zeros(top.shape, int), 1).dtype == top.dtype
    assert fastconv.adaptive_avg_pool2d(x, (None, 3)).shape == (2, 3, 9, 3)
    np.testing.assert_array_equal(fastconv.adaptive_max_pool2d(x, (None, None)), x)
    sums = fastconv.adaptive_avg_pool2d(np.full((1, 40, 40), 60, np.float16), 1)
    assert sums.dtype == np.float16 and sums.item() == 60  # sums of float16 would overflow
    lying = fastconv.adaptive_avg_pool2d(last(x.astype(float)), 4)
    assert np.moveaxis(lying, 1, -1).flags.c_contiguous
    frozen = x.astype(float)
    frozen.flags.writeable = False
    for call in (fastconv.adaptive_avg_pool2d, fastconv.adaptive_max_pool2d):
        np.testing.assert_array_equal(call(frozen, (9, 10)), x)


X = np.ones((2, 3, 6, 7))
Y, AT = fastconv.max_pool2d(X, 2, return_indices=True)


@pytest.mark.parametrize(("call", "error", "name"), [
    (lambda: fastconv.adaptive_avg_pool2d(X, 0), ValueError, "output_size"),
    (lambda: fastconv.adaptive_max_pool2d(X, (2, 2, 2)), ValueError, "output_size"),
    (lambda: fastconv.adaptive_max_pool2d(X, 1.5), TypeError, "output_size"),  # type: ignore[call-overload]
    (lambda: fastconv.adaptive_max_pool2d(X[0, 0], 2), ValueError, "x must have shape"),
    (lambda: fastconv.adaptive_avg_pool2d(X * 1j, 2), TypeError, "x must hold"),
    (lambda: fastconv.adaptive_avg_pool2d(X, 2, out=np.empty((2, 3, 3, 2))), ValueError, "out must have shape"),
    (lambda: fastconv.adaptive_max_pool2d(X.astype(int), 2, out=np.empty((2, 3, 2, 2))), TypeError, "out must have"),
    (lambda: fastconv.adaptive_avg_pool2d_backward(Y[0], X), ValueError, "dy must have shape"),
    (lambda: fastconv.adaptive_max_pool2d_backward(Y[:, :1], X), ValueError, "dy must have shape"),
    (lambda: fastconv.max_unpool2d(Y, AT[:1], 2), ValueError, "indices must have shape"),
    (lambda: fastconv.max_unpool2d(Y, AT.astype(float), 2), TypeError, "indices must be"),
    (lambda: fastconv.max_unpool2d(Y, AT - 1, 2), ValueError, "indices must lie"),
    (lambda: fastconv.max_unpool2d(Y, AT + 30, 2), ValueError, "indices must lie"),
    (lambda: fastconv.max_unpool2d(Y, AT, 2, output_size=(8, 6)), ValueError, "output_size must be"),
    (lambda: fastconv.max_unpool2d(Y, AT, 2, output_size=5.0), TypeError, "output_size must be"),  # type: ignore[arg-type]
    (lambda: fastconv.max_unpool2d(Y, AT, 2, padding=9), ValueError, "output_size must be"),
    (lambda: fastconv.max_unpool2d_backward(X, AT[0]), ValueError, "indices must have"),
    (lambda: fastconv.max_unpool2d_backward(X, AT + 40), ValueError, "indices must lie"),
])  # fmt: skip
def test_bad_input(call: Any, error: type[Exception], name: str) -> None:
    with pytest.raises(error, match=name):
        call()
