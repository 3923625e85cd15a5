"""Normalisation, factors of channels and their gradients on each engine: against NumPy in float64, either layout."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fastconv.core.layouts import lies_last
from fastconv.core.typing import Array
from fastconv.engines import loader
from fastconv.operations import normalization

ENGINES = [e for e in loader.ENGINES if loader.absent(e) is None]
SHAPES = [(2, 1, 3, 5), (2, 3, 5, 7), (1, 17, 1, 1), (3, 100, 4, 9), (1, 64, 13, 11), (5, 33, 1, 2), (0, 4, 3, 3)]
DTYPES = ("float32", "float64")


@pytest.fixture(params=ENGINES)
def engine(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each engine, on as many threads as there are however few the numbers."""
    monkeypatch.setattr(normalization, "_steps", lambda dtype: loader.load(request.param, dtype))
    monkeypatch.setattr(normalization, "_LAUNCH", 0)
    yield request.param


def lay(x: Array, last: bool) -> Array:
    """The same numbers, channels first or last in memory."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if last else np.ascontiguousarray(x)


def data(shape: tuple[int, ...], dtype: str, last: bool, mean: float = 0.5, seed: int = 0) -> tuple[Array, ...]:
    """x, dy, and two numbers a channel."""
    rng = np.random.default_rng(seed)
    x, dy, weight, bias = mean + rng.normal(size=shape), *(rng.normal(size=s) for s in (shape, shape[1], shape[1]))
    return lay(x.astype(dtype), last), lay(dy.astype(dtype), last), weight.astype(dtype), bias.astype(dtype)


def exact(*arrays: Array) -> list[Array]:
    """In float64, numbers a channel as they meet images."""
    return [a.astype(np.float64)[:, None, None] if a.ndim == 1 else a.astype(np.float64) for a in arrays]


def near(got: Array, want: Array, numbers: int = 1, ulps: float = 8) -> None:
    """Within a few units in the last place of the largest number, times the root of how many were added."""
    scale = max(1.0, float(np.abs(want).max(initial=0)))
    tolerance = ulps * np.finfo(got.dtype).eps * max(1, numbers) ** 0.5 * scale
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


def normal(x: Array, axes: Any, eps: float) -> Array:
    centred: Array = x - x.mean(axis=axes, keepdims=True)
    y: Array = centred / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + eps)
    return y


def in_all_ways(call: Any, x: Array) -> Array:
    """The result of a call; the same without `out`, in a new array of either layout, in an input of its own."""
    y: Array = call(x)
    assert y.shape == x.shape and y.dtype == x.dtype
    assert not x.size or lies_last(y) == lies_last(x)
    for last in (False, True):
        room = lay(np.full_like(x, np.nan), last)
        assert call(x, out=room) is room
        np.testing.assert_array_equal(room, y)
    own = x.copy(order="K")
    assert call(own, out=own) is own
    np.testing.assert_array_equal(own, y)
    return y


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm(shape: Any, dtype: str, last: bool, engine: str) -> None:
    x, _, weight, bias = data(shape, dtype, last)
    y = in_all_ways(lambda a, **k: normalization.layer_norm(a, weight, bias, 1e-6, **k), x)
    z, w, b = exact(x, weight, bias)
    near(y, normal(z, 1, 1e-6) * w + b, 4)


def test_layer_norm_far_from_zero(engine: str) -> None:
    """A mean that is large beside the deviations costs no digits but those that x has lost; equal numbers have none."""
    x, _, weight, bias = data((2, 100, 5, 7), "float32", True, mean=1e4)
    z, w, b = exact(x, weight, bias)
    near(normalization.layer_norm(x, weight, bias, 1e-6), normal(z, 1, 1e-6) * w + b, 4)
    x[...] = 12345.678
    np.testing.assert_array_equal(normalization.layer_norm(x, weight, bias, 1e-6), np.broadcast_to(b, x.shape))


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_gate_and_affine(shape: Any, dtype: str, last: bool, engine: str) -> None:
    x, _, weight, bias = data(shape, dtype, last)
    s = np.random.default_rng(1).uniform(size=(*shape[:2], 1, 1)).astype(dtype)
    np.testing.assert_array_equal(in_all_ways(lambda a, **k: normalization.gate(a, s, **k), x), x * s)
    np.testing.assert_array_equal(normalization.gate(x, s[:, :, 0, 0]), x * s)
    z, w, b = exact(x, weight, bias)
    near(in_all_ways(lambda a, **k: normalization.affine(a, weight, bias, **k), x), z * w + b)
    relu = in_all_ways(lambda a, **k: normalization.affine(a, weight, bias, "relu", **k), x)
    near(relu, np.maximum(z * w + b, 0))
    near(normalization.affine(x, weight, bias, "hardswish"), (z * w + b) * np.clip(z * w + b + 3, 0, 6) / 6)


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
def test_nothing_beside_is_touched(threads: int, engine: str) -> None:
    """More threads than rows, too."""
    steps, rng = loader.load(engine, "float32"), np.random.default_rng(0)
    x, s, b = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 3, 21), (2, 21), 21))
    room = np.full(x.size + 40, 7, np.float32)
    y = room[: x.size].reshape(x.shape)
    steps.gate_last(x, s, y, threads)
    np.testing.assert_array_equal(y, x * s[:, None])
    steps.layer_norm_last(x.reshape(6, 21), s[0], b, y.reshape(6, 21), 1e-6, threads)
    near(y, normal(x.astype(np.float64), 2, 1e-6) * s[0] + b, 4)
    steps.affine_last(x.reshape(6, 21), s[0], b, y.reshape(6, 21), 0, threads)
    near(y, x.astype(np.float64) * s[0] + b)
    planes = x.reshape(2, 21, 3)
    steps.gate_planes(planes, s, y.reshape(2, 21, 3), threads)
    np.testing.assert_array_equal(y.reshape(2, 21, 3), planes * s[..., None])
    steps.affine_planes(planes, s[0], b, y.reshape(2, 21, 3), 0, threads)
    near(y.reshape(2, 21, 3), planes.astype(np.float64) * s[0][:, None] + b[:, None])
    assert (room[x.size :] == 7).all()


def test_other_memory(engine: str) -> None:
    """Gaps, other byte orders, an `out` that overlaps x are taken too; an `out` that does not fit is not."""
    x, _, weight, bias = data((3, 5, 4, 6), "float32", False)
    want = normalization.affine(x, weight, bias)
    wide = np.zeros((3, 5, 4, 12), np.float32)
    wide[..., ::2] = x
    turned = x.transpose(3, 2, 1, 0).copy().transpose(3, 2, 1, 0)
    for a in (wide[..., ::2], x[::-1].copy()[::-1], x.astype(">f4"), turned):
        np.testing.assert_array_equal(normalization.affine(a, weight, bias), want)
        near(normalization.layer_norm(a, weight, bias, 1e-6), normalization.layer_norm(x, weight, bias, 1e-6))
    long = np.concatenate([x, x])
    np.testing.assert_array_equal(normalization.affine(long[:3], weight, bias, out=long[1:4]), want)
    with pytest.raises(ValueError, match="out must have shape"):
        normalization.affine(x, weight, bias, out=np.empty((3, 5, 4, 5), np.float32))
    with pytest.raises(TypeError, match="out must have dtype"):
        normalization.gate(x, np.ones((3, 5)), out=np.empty(x.shape))


def test_nan_stays_in_its_pixel(engine: str) -> None:
    x, _, weight, bias = data((1, 5, 2, 3), "float32", True)
    x[0, 2, 1, 1] = np.nan
    y = normalization.layer_norm(x, weight, bias, 1e-6)
    assert np.isnan(y[0, :, 1, 1]).all() and np.isnan(y).sum() == 5


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm_backward(shape: Any, dtype: str, last: bool, engine: str) -> None:
    x, dy, weight, _ = data(shape, dtype, last)
    eps = 0.1  # one channel has no variance
    dx, dw, db = normalization.layer_norm_backward(dy, x, weight, eps)
    z, d, w = exact(x, dy, weight)
    n, g = normal(z, 1, eps), d * w
    inverse = 1 / np.sqrt(z.var(axis=1, keepdims=True) + eps)
    near(dx, (g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True)) * inverse, 4)
    numbers = x.size // shape[1]
    near(db.astype(dtype), d.sum(axis=(0, 2, 3)), numbers)
    near(dw.astype(dtype), (d * n).sum(axis=(0, 2, 3)), numbers)
    assert not x.size or lies_last(dx) == last == lies_last(x) or 1 in shape


def moments_of(x: Array) -> tuple[Array, Array]:
    """Mean and squares of each channel, of distances from a number that float64 can tell from x exactly."""
    base = np.round(x.astype(np.float64).mean(axis=(0, 2, 3), keepdims=True))
    z = np.ascontiguousarray((x - base).transpose(1, 0, 2, 3)).reshape(x.shape[1], -1)  # a row is added pairwise
    mean = z.mean(axis=1)
    return base.ravel() + mean, ((z - mean[:, None]) ** 2).sum(axis=1)


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*SHAPES[:-1], (1, 1, 1, 1), (70, 5, 1, 1), (2, 19, 50, 61)])
def test_channel_moments(shape: Any, dtype: str, last: bool, engine: str) -> None:
    """As good as sums in float64, far from zero, too."""
    for far in (0.0, 1e4):
        x, *_ = data(shape, dtype, last, far)
        x[:, 0] += 100 * (np.arange(shape[2]) > shape[2] // 2)[:, None].astype(dtype)  # a mean that leaps
        mean, squares = normalization.channel_moments(x)
        want, total = moments_of(x)
        assert mean.dtype == squares.dtype == np.float64
        eps = np.finfo(dtype).eps
        off, deviations = np.abs(mean - want), np.sqrt(total / (x.size // shape[1]))
        assert (off <= 2 * eps * deviations + 1e-14 * np.abs(want)).all()
        np.testing.assert_allclose(squares, total, rtol=float(8 * eps), atol=1e-12)


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*SHAPES[:-1], (70, 5, 1, 1), (2, 19, 50, 61)])
def test_batch_norm(shape: Any, dtype: str, last: bool, engine: str) -> None:
    x, dy, weight, bias = data(shape, dtype, last, 1e3)
    mean, squares = moments_of(x)
    m = x.size // shape[1]
    std = np.sqrt(squares / m + 0.1)
    z, d, w, b, s = exact(x, dy, weight, bias, std)
    n = (z - mean[:, None, None]) / s
    near(in_all_ways(lambda a, **k: normalization.batch_norm(a, mean, std, weight, bias, **k), x), n * w + b)
    db, dw = d.sum(axis=(0, 2, 3)), (d * n).sum(axis=(0, 2, 3))
    for learned in (False, True):
        dx, gw, gb = normalization.batch_norm_backward(dy, x, mean, std, weight, learned)
        near(gb.astype(dtype), db, m)
        near(gw.astype(dtype), dw, m)
        near(dx, w / s * (d - learned * (db[:, None, None] + n * dw[:, None, None]) / m), 4)
        assert dx.dtype == dtype
    sums, products = normalization.channel_products(dy, x)
    near(sums.astype(dtype), d.sum(axis=(2, 3)), m)
    near(products.astype(dtype), (d * z).sum(axis=(2, 3)), m)


def test_nothing_of_an_empty_batch(engine: str) -> None:
    x, dy, weight, bias = data((0, 4, 3, 3), "float32", False)
    ones = np.ones(4)
    assert normalization.batch_norm(x, ones, ones, weight, bias).shape == x.shape
    for grads in (
        normalization.batch_norm_backward(dy, x, ones, ones, weight, True),
        normalization.layer_norm_backward(dy, x, weight, 0.1),
    ):
        assert grads[0].shape == x.shape and not grads[1].any() and not grads[2].any()


def test_threads_change_nothing(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for last in (False, True):
        x, dy, weight, _ = data((3, 37, 20, 21), "float32", last)
        results = []
        for threads in (1, 2, 5):
            monkeypatch.setattr(normalization, "get_num_threads", lambda threads=threads: threads)
            results.append(
                [
                    *normalization.channel_moments(x),
                    *normalization.channel_products(dy, x, weight),
                    *normalization.layer_norm_backward(dy, x, weight, 1e-6),
                ]
            )
        for other in results[1:]:
            assert all((a == b).all() for a, b in zip(results[0], other, strict=True))
