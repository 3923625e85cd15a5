"""Pooling of channels-last arrays as they lie: bit for bit what planes give, and the definition."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.engines import loader
from fastconv.operations import channels, planes
from fastconv.operations.windows import windows_of
from tests.operations.test_pooling import ENGINES, PROBLEMS, options, windows
from tests.peers import integers

CHANNELS = (2, 5, 16, 21, 75)  # parts of a vector, whole vectors, several side by side
MORE: list[tuple[Any, ...]] = [  # lines of columns that are cut into strips
    ((1, 3, 300), (2, 5), 1, (1, 2), 1, False),
    ((1, 4, 300), (3, 4), (1, 2), 1, 1, True),
    ((1, 2, 200), (2, 8), (1, 3), (1, 5), (1, 3), False),
    ((1, 3, 270), 2, 2, 0, 1, False),
    ((1, 2, 150), (1, 64), 1, (0, 63), 1, False),
    ((1, 2, 700), (1, 3), (1, 5), 0, 1, True),
]
#: windows that are left to the loops for planes: of many columns that they share
LEFT: tuple[Any, ...] = ((1, 3, 140), (2, 65), 1, 1, 1, False)
NAMES = "max_pool", "max_pool_indices", "max_pool_backward", "max_pool_scatter", "avg_pool", "avg_pool_backward"


def last(a: Any) -> Any:
    """The same image, its channels last in memory."""
    n, c, h, w = a.shape
    new = np.empty((n, h, w, c), a.dtype).transpose(0, 3, 1, 2)
    new[...] = a
    return new


@pytest.fixture(params=ENGINES)
def engine(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test on one engine after the other, with as many threads as asked for however small the image."""
    monkeypatch.setattr(planes, "_steps", lambda dtype: loader.load(request.param, dtype))
    monkeypatch.setattr(planes, "_LAUNCH", 0)
    return str(request.param)


@contextmanager
def only(module: Any) -> Iterator[None]:
    """No calls of the loops of the other layout."""

    def never(*_: Any) -> None:
        raise AssertionError("the other layout's loops")

    other = planes if module is channels else channels
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            patch.setattr(other, name, never)
        yield


def same(got: Any, want: Any) -> None:
    """Bit for bit, and as the operand lay."""
    assert got.dtype == want.dtype and got.transpose(0, 2, 3, 1).flags.c_contiguous
    kind = f"i{want.itemsize}"
    np.testing.assert_array_equal(np.ascontiguousarray(got).view(kind), want.view(kind))


def awkward(rng: Any, shape: tuple[int, ...], dtype: str, nans: bool) -> Any:
    """Numbers with many ties, zeros of both signs, infinities, and NaNs that differ."""
    x = rng.integers(-2, 3, shape).astype(dtype) * rng.choice([1, -1], shape).astype(dtype)
    x[rng.random(shape) < 0.1] = -np.inf
    if nans:
        x[rng.random(shape) < 0.02] = np.inf
        at = rng.random(shape) < 0.03
        bits = x.view(f"i{x.itemsize}")
        bits[at] = np.array(np.nan, dtype).view(bits.dtype) + rng.integers(0, 99, shape)[at]
    return x


def check(problem: tuple[Any, ...], n: int, c: int, dtype: str, seed: int) -> None:
    """Every call on both layouts."""
    kernel, opt = options(problem)
    rng, (_, h, w) = np.random.default_rng(seed), problem[0]
    x = awkward(rng, (n, c, h, w), dtype, nans=True)
    want, at = fastconv.max_pool2d(x, kernel, return_indices=True, **opt)
    with only(channels):
        got, found = fastconv.max_pool2d(last(x), kernel, return_indices=True, **opt)
    same(got, want)
    same(found, at)
    want = fastconv.max_pool2d(x, kernel, **opt)
    with only(channels):
        same(fastconv.max_pool2d(last(x), kernel, **opt), want)
    dy = rng.standard_normal(want.shape).astype(dtype)
    wants = [fastconv.max_pool2d_backward(dy, x, kernel, indices=given, **opt) for given in (None, at)]
    with only(channels):
        for want, given in zip(wants, (None, found), strict=True):
            same(fastconv.max_pool2d_backward(last(dy), last(x), kernel, indices=given, **opt), want)
    if opt.pop("dilation") != 1:
        return
    x = rng.standard_normal(x.shape).astype(dtype)
    x[:, ::2] *= -0.0  # sums of zeros: their sign is that of the padding
    for include in (True, False):
        o = {**opt, "count_include_pad": include}
        want, back = fastconv.avg_pool2d(x, kernel, **o), fastconv.avg_pool2d_backward(dy, x, kernel, **o)
        with only(channels):
            same(fastconv.avg_pool2d(last(x), kernel, **o), want)
            same(fastconv.avg_pool2d_backward(last(dy), last(x), kernel, **o), back)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("problem", PROBLEMS + MORE, ids=str)
def test_equals_planes(problem: tuple[Any, ...], dtype: str, threads: int, engine: str) -> None:
    with fastconv.num_threads(threads):
        for c in CHANNELS:
            check(problem, 2, c, dtype, c)


def random_problem(rng: Any) -> tuple[Any, ...]:
    axes: list[tuple[Any, ...]] = []
    for _ in range(2):
        taps, step, apart = int(rng.integers(1, 6)), int(rng.integers(1, 5)), int(rng.choice([1, 1, 1, 2, 3]))
        span = apart * (taps - 1) + 1
        pads = int(rng.integers(0, span)), int(rng.integers(0, span))
        axes.append((max(1, span - sum(pads)) + int(rng.integers(0, 30)), taps, step, pads, apart))
    size, k, s, pads, d = zip(*axes, strict=True)
    return (1, *size), k, s, pads, 1 if d == (1, 1) else d, bool(rng.integers(2))


def test_random_problems(engine: str) -> None:
    rng = np.random.default_rng(3)
    for trial in range(150):
        problem = random_problem(rng)
        with fastconv.num_threads(int(rng.integers(1, 5))):
            check(problem, int(rng.integers(1, 4)), int(rng.integers(2, 40)), ("float32", "float64")[trial % 2], trial)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("problem", PROBLEMS + MORE, ids=str)
def test_definition(problem: tuple[Any, ...], dtype: str, engine: str) -> None:
    kernel, opt = options(problem)
    rng, (_, h, w) = np.random.default_rng(0), problem[0]
    x = integers(rng, (2, 21, h, w), dtype)
    x[0, 0, 0, 0] = -np.inf
    with only(channels), fastconv.num_threads(2):
        y, index = fastconv.max_pool2d(last(x), kernel, return_indices=True, **opt)
        np.testing.assert_array_equal(fastconv.max_pool2d(last(x), kernel, **opt), y)
        dy = integers(rng, y.shape, dtype)
        dx = fastconv.max_pool2d_backward(last(dy), last(x), kernel, **opt)
    want = np.zeros(x.shape, dtype)
    n, c = np.ogrid[:2, :21]
    met = 0
    for i, j, rows, cols in windows(problem):
        met += 1
        inside = np.array([(r, q) for r in rows for q in cols if 0 <= r < h and 0 <= q < w], int).reshape(-1, 2)
        if not len(inside):
            assert (y[:, :, i, j] == -np.inf).all() and (index[:, :, i, j] == -1).all()
            continue
        seen = x[:, :, inside[:, 0], inside[:, 1]]
        first = seen.argmax(axis=2)
        np.testing.assert_array_equal(y[:, :, i, j], seen.max(axis=2))
        np.testing.assert_array_equal(index[:, :, i, j], (inside @ [w, 1])[first])
        np.add.at(want, (n, c, inside[first, 0], inside[first, 1]), dy[:, :, i, j])
    assert met == y.shape[2] * y.shape[3]
    np.testing.assert_array_equal(dx, want)
    if opt.pop("dilation") == 1:
        x[0, 0, 0, 0] = 1
        with only(channels), fastconv.num_threads(2):
            mean = fastconv.avg_pool2d(last(x), kernel, count_include_pad=False, **opt)
            dx = fastconv.avg_pool2d_backward(last(dy), last(x), kernel, count_include_pad=False, **opt)
        spread = np.zeros(x.shape)
        for i, j, rows, cols in windows(problem):
            r, q = (a[(a >= 0) & (a < size)] for a, size in ((rows, h), (cols, w)))
            held = x[:, :, r[:, None], q].astype(float).sum(axis=(2, 3)) / (len(r) * len(q))
            np.testing.assert_array_equal(mean[:, :, i, j], held.astype(dtype))
            spread[:, :, r[:, None], q] += (dy[:, :, i, j].astype(float) / (len(r) * len(q)))[..., None, None]
        np.testing.assert_allclose(dx, spread, rtol=1e-6, atol=1e-6)


def test_some_windows_are_left_to_planes(engine: str) -> None:
    (_, *size), kernel, stride, padding, _, _ = LEFT
    assert not windows_of(tuple(size), kernel, stride, padding, 1, False).by_channels
    x = integers(np.random.default_rng(0), (2, 9, *size), "float32")
    with only(planes):
        want = fastconv.max_pool2d(x, kernel, stride=stride, padding=padding)
        same(fastconv.max_pool2d(last(x), kernel, stride=stride, padding=padding), want)
        want = fastconv.avg_pool2d(x, kernel, stride=stride, padding=padding)
        same(fastconv.avg_pool2d(last(x), kernel, stride=stride, padding=padding), want)
        one = x[:, :1]
        same(fastconv.max_pool2d(last(one), 2), fastconv.max_pool2d(one, 2))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_any_two_layouts(dtype: str, engine: str) -> None:
    """x, dy, indices and ``out`` of either layout, and views of neither; over the input, too."""
    rng = np.random.default_rng(0)
    opt: dict[str, Any] = {"stride": 1, "padding": 1}
    x = integers(rng, (2, 21, 6, 7), dtype)
    dy = integers(rng, x.shape, dtype)
    lies: list[Callable[[Any], Any]] = [np.copy, last, lambda a: np.repeat(a, 2, axis=3)[..., ::2]]
    _, at = fastconv.max_pool2d(x, 3, return_indices=True, **opt)
    for forward, backward in (
        (fastconv.max_pool2d, fastconv.max_pool2d_backward),
        (fastconv.avg_pool2d, fastconv.avg_pool2d_backward),
    ):
        want, back = forward(x, 3, **opt), backward(dy, x, 3, **opt)
        for one in lies:
            for other in lies:
                out = other(np.zeros_like(x))
                assert forward(one(x), 3, **opt, out=out) is out
                np.testing.assert_array_equal(out, want)
                np.testing.assert_array_equal(backward(one(dy), other(x), 3, **opt), back)
                assert backward(one(dy), x, 3, **opt, out=out) is out
                np.testing.assert_array_equal(out, back)
                if backward is fastconv.max_pool2d_backward:
                    got = fastconv.max_pool2d_backward(one(dy), x, 3, indices=other(at), **opt)
                    np.testing.assert_array_equal(got, back)
            over = one(x)
            np.testing.assert_array_equal(forward(over, 3, **opt, out=over), want)
            over = one(dy)
            np.testing.assert_array_equal(backward(over, x, 3, **opt, out=over), back)
    with pytest.raises(ValueError, match="indices must lie in their windows"):
        fastconv.max_pool2d_backward(last(dy), last(x), 3, indices=last(at[:, :, ::-1]), **opt)


def test_results_take_no_detour(engine: str) -> None:
    """Where input and output lie the same way, loops write to ``out`` itself and read the operand itself."""
    x = last(np.ones((2, 21, 6, 7), np.float32))
    out = last(np.zeros_like(x))
    seen: list[tuple[Any, ...]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channels, "max_pool", lambda *given: seen.append(given))
        fastconv.max_pool2d(x, 3, stride=1, padding=1, out=out)
    assert np.shares_memory(seen[0][0], x) and np.shares_memory(seen[0][1], out)
