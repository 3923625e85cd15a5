"""Pooling on each engine: against the definition, NumPy's gradients and PyTorch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.engines import loader
from fastconv.operations import planes, pooling
from fastconv.operations import windows as operations_windows
from tests import battery, child
from tests.golden import GOLDEN
from tests.peers import integers, needs_torch, torch

ENGINES = [e for e in loader.ENGINES if loader.absent(e) is None]

# (c, h, w), kernel, stride, padding, dilation, ceil_mode
PROBLEMS: list[tuple[Any, ...]] = [
    ((2, 6, 8), 2, 2, 0, 1, False),
    ((1, 7, 37), 3, 2, 1, 1, False),
    ((2, 9, 40), 3, 2, 1, 1, True),
    ((1, 8, 35), 3, 1, 1, 1, False),
    ((3, 5, 70), (2, 5), (3, 4), ((1, 0), (2, 3)), 1, True),
    ((1, 9, 17), (3, 2), (1, 3), (2, 1), (2, 3), False),
    ((1, 12, 50), (2, 3), (2, 2), (1, 3), (3, 2), True),
    ((2, 4, 5), (4, 5), 1, 0, 1, False),
    ((1, 3, 3), 3, 7, 2, 1, True),
    ((1, 2, 2), 2, 1, 1, 3, False),
    ((1, 1, 1), 1, 5, 0, 1, False),
    ((1, 1, 90), (1, 7), (1, 9), (0, 6), 1, True),
    ((1, 40, 3), (11, 3), (2, 1), (5, 1), 1, False),
]


WAYS: dict[str, dict[str, int]] = {"whole": {}, "strips": {"LONG": 8}, "merged": {"WIDE": 1}}


@pytest.fixture(params=[(e, way) for e in ENGINES for way in WAYS], ids="-".join)
def engine(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Runs a test on one engine after the other, with as many threads as asked for however small the image, and in
    the ways that are meant for long rows and wide windows."""
    name, way = request.param
    monkeypatch.setattr(planes, "_steps", lambda dtype: loader.load(name, dtype))
    monkeypatch.setattr(planes, "_LAUNCH", 0)
    monkeypatch.setattr(planes, "_AT_ONCE", 100)
    monkeypatch.setattr(operations_windows, "_known", {})
    for constant, value in WAYS[way].items():
        monkeypatch.setattr(operations_windows, constant, value)
    yield name


def options(problem: tuple[Any, ...]) -> tuple[Any, dict[str, Any]]:
    _, kernel, stride, padding, dilation, ceil_mode = problem
    return kernel, dict(stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)


def windows(problem: tuple[Any, ...]) -> Iterator[tuple[int, int, Any, Any]]:
    """For every output pixel the rows and columns of its window, inside the image or not."""
    (_, h, w), *rest, ceil_mode = problem
    k, s, p, d = (np.broadcast_to(np.reshape(np.asarray(r, object), -1)[:2], 2) if np.ndim(r) < 2 else r for r in rest)
    axes = []
    for size, kk, ss, pp, dd in zip((h, w), k, s, p, d, strict=True):
        before, after = np.broadcast_to(np.asarray(pp), 2)
        starts = range(-before, size + after, ss)
        last = dd * (kk - 1)
        end = size + after
        kept = [i for i in starts if i + last < end or (ceil_mode and i < size and i + last - end < ss - 1)]
        axes.append([i + dd * np.arange(kk) for i in kept])
    for i, rows in enumerate(axes[0]):
        for j, cols in enumerate(axes[1]):
            yield i, j, rows, cols


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_max(problem: tuple[Any, ...], dtype: str, threads: int, engine: str) -> None:
    kernel, opt = options(problem)
    x = integers(np.random.default_rng(0), (2, *problem[0]), dtype)
    x[0, 0, 0, 0] = -np.inf
    h, w = x.shape[2:]
    want: dict[tuple[int, ...], Any] = {}
    for n, c in np.ndindex(x.shape[:2]):
        for i, j, rows, cols in windows(problem):
            inside = [(x[n, c, r, q], int(r * w + q)) for r in rows for q in cols if 0 <= r < h and 0 <= q < w]
            want[n, c, i, j] = max(inside, key=lambda pair: pair[0], default=(-np.inf, -1))
    with fastconv.num_threads(threads):
        y, index = pooling.max_pool2d(x, kernel, return_indices=True, **opt)
        assert y.size == len(want) and y.dtype == dtype and index.dtype == np.int64
        for at, (value, place) in want.items():
            assert (y[at], index[at]) == (value, place), at
        np.testing.assert_array_equal(pooling.max_pool2d(x, kernel, **opt), y)
        dy = integers(np.random.default_rng(1), y.shape, dtype)
        dx = np.zeros_like(x)
        for at, (_, place) in want.items():
            if place >= 0:
                dx[at[0], at[1], place // w, place % w] += dy[at]
        np.testing.assert_array_equal(pooling.max_pool2d_backward(dy, x, kernel, **opt), dx)
        np.testing.assert_array_equal(pooling.max_pool2d_backward(dy, x, kernel, indices=index, **opt), dx)


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p[4] == 1], ids=str)
def test_average(problem: tuple[Any, ...], dtype: str, include: bool, engine: str) -> None:
    """Against the definition; the gradient by the adjoint identity, column by column of the matrix."""
    kernel, opt = options(problem)
    del opt["dilation"]
    opt["count_include_pad"] = include
    x = integers(np.random.default_rng(0), problem[0], dtype)
    h, w = x.shape[1:]
    pads = opt["padding"] if np.ndim(opt["padding"]) == 2 else [[p, p] for p in np.broadcast_to(opt["padding"], 2)]
    y = fastconv.avg_pool2d(x, kernel, **opt)
    dy = integers(np.random.default_rng(1), y.shape, dtype)
    want, dx = np.zeros(y.shape), np.zeros(x.shape)
    for i, j, rows, cols in windows(problem):
        r, q = (a[(a >= 0) & (a < n)] for a, n in ((rows, h), (cols, w)))
        counted = sum(rows < h + pads[0][1]) * sum(cols < w + pads[1][1]) if include else len(r) * len(q)
        want[:, i, j] = x[:, r[:, None], q].astype(float).sum(axis=(1, 2)) / counted
        dx[:, r[:, None], q] += (dy[:, i, j].astype(float) / counted)[:, None, None]
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, want.astype(dtype))
    np.testing.assert_allclose(fastconv.avg_pool2d_backward(dy, x, kernel, **opt), dx, rtol=1e-6, atol=1e-6)


def test_lecture(engine: str) -> None:
    for example in GOLDEN["max_pool2d"]:
        y = pooling.max_pool2d(np.array([example["x"]], float), example["kernel_size"], stride=example["stride"])
        np.testing.assert_array_equal(y, [example["y"]])


@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (3, 1, 1), (1, 2, 1, 40), (2, 33, 2)])
def test_global(shape: tuple[int, ...], engine: str) -> None:
    x = integers(np.random.default_rng(0), shape, "float32")
    top, mean = fastconv.global_max_pool2d(x), fastconv.global_avg_pool2d(x)
    np.testing.assert_array_equal(top, x.max(axis=(-2, -1), keepdims=True))
    np.testing.assert_array_equal(mean, x.sum(axis=(-2, -1), keepdims=True) / np.float32(shape[-1] * shape[-2]))
    dy = integers(np.random.default_rng(1), top.shape, "float32")
    spread = fastconv.global_avg_pool2d_backward(dy, x)
    np.testing.assert_array_equal(spread, np.broadcast_to(dy / np.float32(shape[-1] * shape[-2]), shape))
    dx = fastconv.global_max_pool2d_backward(dy, x)
    np.testing.assert_array_equal(dx, fastconv.max_pool2d_backward(dy, x, shape[-2:], stride=1))


def test_nan_and_infinity(engine: str) -> None:
    """One NaN fills the windows that hold it, whatever comes before or after; infinities are numbers."""
    x = np.arange(60, dtype=np.float32).reshape(1, 6, 10)
    x[0, 2, 3], x[0, 4, 7], x[0, 5, 9] = np.nan, np.inf, -np.inf
    y, index = fastconv.max_pool2d(x, 3, stride=1, padding=1, return_indices=True)
    mean = fastconv.avg_pool2d(x, 3, stride=1, padding=1)
    held = np.zeros((1, 6, 10), bool)
    held[0, 1:4, 2:5] = True
    np.testing.assert_array_equal(np.isnan(y), held)
    np.testing.assert_array_equal(np.isnan(fastconv.max_pool2d(x, 3, stride=1, padding=1)), held)
    assert (index[held] == 23).all() and y[0, 4, 7] == np.inf and y[0, 5, 9] == 58
    assert np.isnan(mean[held]).all() and np.isfinite(mean[0, :, 0]).all()
    assert np.isnan(fastconv.global_max_pool2d(x)).all()
    lowest, place = fastconv.max_pool2d(np.full((1, 3, 3), -np.inf), 3, padding=1, stride=2, return_indices=True)
    assert (lowest == -np.inf).all()
    np.testing.assert_array_equal(place, [[[0, 1], [3, 4]]])


def test_dtypes_and_layouts(engine: str) -> None:
    x = integers(np.random.default_rng(0), (2, 3, 8, 9), "float16")
    for call in (fastconv.max_pool2d, fastconv.avg_pool2d):
        y = call(x, 2)
        assert y.dtype == np.float16 and y.flags.c_contiguous
        np.testing.assert_array_equal(y, call(x.astype(np.float64), 2).astype(np.float16))
        np.testing.assert_array_equal(call(np.asfortranarray(x), 2), y)
        np.testing.assert_array_equal(call(x.astype(">f4"), 2), y)
        np.testing.assert_array_equal(call(x[1], 2), y[1])
        assert call(x[:0], 2).shape == (0, *y.shape[1:])
    for back in (fastconv.max_pool2d_backward, fastconv.avg_pool2d_backward):
        assert back(y, x, 2).dtype == np.float16
        assert back(y[:0], x[:0], 2).shape == (0, 3, 8, 9)
        np.testing.assert_array_equal(back(y, x, 2), back(y, np.asfortranarray(x), 2))
    assert fastconv.global_avg_pool2d(x).dtype == fastconv.global_avg_pool2d_backward(y[..., :1, :1], x).dtype == "f2"


def test_repeatable(engine: str) -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 64, 70), np.float32)
    y = fastconv.avg_pool2d(x, 3, stride=2, padding=1)
    for threads in (1, 2, 3):
        with fastconv.num_threads(threads):
            np.testing.assert_array_equal(fastconv.avg_pool2d(x, 3, stride=2, padding=1), y)
            dx = fastconv.avg_pool2d_backward(y, x, 3, stride=2, padding=1)
            np.testing.assert_array_equal(dx, fastconv.avg_pool2d_backward(y, x, 3, stride=2, padding=1))


@pytest.mark.parametrize("name", ENGINES)
def test_stays_in_bounds(name: str) -> None:
    """Arrays between forbidden pages."""
    done = child.run("-m", "tests.guard_pooling", name)
    assert int(done.stdout.split()[-1]) > 14 * len(PROBLEMS)


@pytest.mark.parametrize("isa", battery.instruction_sets()[1:])
def test_other_instruction_sets_stay_in_bounds(isa: str) -> None:
    done = child.run("-m", "tests.guard_pooling", "cython", FASTCONV_ISA=isa.replace("_", "-"))
    assert int(done.stdout.split()[-1]) > 14 * len(PROBLEMS)


@needs_torch
def test_equal_to_torch() -> None:
    """Outputs, indices and gradients of 500 random problems an operation, every option that both have."""
    rng, functional = np.random.default_rng(2), torch.nn.functional

    def two(low: int, high: int) -> tuple[int, int]:
        return int(rng.integers(low, high)), int(rng.integers(low, high))

    for trial in range(1000):
        highest = trial % 2 == 0
        k, s, d = two(1, 6), two(1, 5), two(1, 4) if highest else (1, 1)
        padding = tuple(int(rng.integers(0, v // 2 + 1)) for v in k)
        least = (max(1, b * (a - 1) + 1 - 2 * p) for a, b, p in zip(k, d, padding, strict=True))
        size = tuple(v + int(rng.integers(0, 40 if trial % 5 == 0 else 9)) for v in least)
        x = integers(rng, (*two(1, 4), *size), "float32")
        opt: dict[str, Any] = dict(stride=s, padding=padding, ceil_mode=bool(rng.integers(2)))
        leaf = torch.from_numpy(x).requires_grad_()
        if highest:
            opt["dilation"] = d
            want, place = functional.max_pool2d(leaf, k, return_indices=True, **opt)
            y, index = fastconv.max_pool2d(x, k, return_indices=True, **opt)
            if index.min() < 0:  # a window without a pixel: PyTorch's index lies outside of the image
                continue
            np.testing.assert_array_equal(index, place.numpy(), str(opt))
            dy = integers(rng, y.shape, "float32")
            dx = fastconv.max_pool2d_backward(dy, x, k, **opt)
        else:
            opt["count_include_pad"] = bool(rng.integers(2))
            want, y = functional.avg_pool2d(leaf, k, **opt), fastconv.avg_pool2d(x, k, **opt)
            dy = 3600 * integers(rng, y.shape, "float32")  # divisible by all window sizes: sums are exact
            dx = fastconv.avg_pool2d_backward(dy, x, k, **opt)
        np.testing.assert_array_equal(y, want.detach().numpy(), str(opt))
        want.backward(torch.from_numpy(dy))
        np.testing.assert_array_equal(dx, leaf.grad.numpy(), str(opt))
        for call, theirs in (
            (fastconv.global_max_pool2d, functional.adaptive_max_pool2d),
            (fastconv.global_avg_pool2d, functional.adaptive_avg_pool2d),
        ):
            np.testing.assert_array_equal(call(x), theirs(torch.from_numpy(x), 1).numpy())


X = np.ones((2, 3, 6, 7), np.float32)
BAD: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
    (ValueError, "kernel_size", 8, {}),
    (ValueError, "kernel_size", (7, 3), {}),
    (ValueError, "kernel_size", (8, 3), dict(padding=((0, 1), 0))),
    (ValueError, "kernel_size", 0, {}),
    (ValueError, "kernel_size", (2, 2, 2), {}),
    (TypeError, "kernel_size", 2.0, {}),
    (TypeError, "kernel_size", None, {}),
    (ValueError, "stride", 2, dict(stride=0)),
    (ValueError, "stride", 2, dict(stride=(1, -1))),
    (TypeError, "stride", 2, dict(stride=1.5)),
    (ValueError, "padding", 2, dict(padding=2)),
    (ValueError, "padding", 3, dict(padding=(0, 3))),
    (ValueError, "padding", 3, dict(padding=((3, 0), (0, 0)))),
    (ValueError, "padding", 2, dict(padding=-1)),
    (ValueError, "padding", 2, dict(padding="reflect")),
    (TypeError, "padding", 2, dict(padding=0.5)),
]


@pytest.mark.parametrize(("error", "name", "kernel", "opt"), BAD)
def test_bad_options(error: type[Exception], name: str, kernel: Any, opt: dict[str, Any]) -> None:
    for call in (fastconv.max_pool2d, fastconv.avg_pool2d):
        with pytest.raises(error, match=name):
            call(X, kernel, **opt)
    for back in (fastconv.max_pool2d_backward, fastconv.avg_pool2d_backward):
        with pytest.raises(error, match=name):
            back(X, X, kernel, **opt)


def test_bad_arrays() -> None:
    for bad, error in (
        (X.astype(complex), TypeError),
        (X.astype(object), TypeError),
        (X.tolist(), TypeError),
        (X[0, 0], ValueError),
        (X[:, :0], ValueError),
    ):
        for call in (fastconv.max_pool2d, fastconv.avg_pool2d):
            with pytest.raises(error, match="x "):
                call(bad, 2)
        for alone in (fastconv.global_max_pool2d, fastconv.global_avg_pool2d):
            with pytest.raises(error, match="x "):
                alone(bad)
    with pytest.raises(ValueError, match="dilation"):
        fastconv.max_pool2d(X, 2, dilation=0)
    with pytest.raises(ValueError, match="kernel_size"):
        fastconv.max_pool2d(X, 3, dilation=4)
    assert fastconv.max_pool2d(X, 3, dilation=3, padding=6, stride=1).shape == (2, 3, 12, 13)  # window - 1 is allowed
    y, index = fastconv.max_pool2d(X, 2, return_indices=True)
    for back in (fastconv.max_pool2d_backward, fastconv.avg_pool2d_backward):
        for dy in (y[:, :, :2], y[0], y[:1]):
            with pytest.raises(ValueError, match="dy"):
                back(dy, X, 2)
    for bad, error in (
        (index[:1], ValueError),
        (index.astype(float), TypeError),
        (index + 14, ValueError),
        (index - 99, ValueError),
    ):
        with pytest.raises(error, match="indices"):
            fastconv.max_pool2d_backward(y, X, 2, indices=bad)
