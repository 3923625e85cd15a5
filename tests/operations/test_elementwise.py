"""Activations and their gradients on each engine: against SciPy's functions in float64, any layout, any length."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy.special import erfc, expit

from fastconv.algorithms.base import ACTIVATIONS
from fastconv.engines import loader
from fastconv.operations import elementwise

ENGINES = [e for e in loader.ENGINES if loader.absent(e) is None]

Function = Callable[[Any], Any]
KNOWN: dict[str, tuple[Function, Function]] = {  # y, dy/dx
    "relu": (lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0)),
    "relu6": (lambda x: np.clip(x, 0, 6), lambda x: 1.0 * ((x > 0) & (x < 6))),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1, 0.01)),
    "sigmoid": (expit, lambda x: expit(x) * expit(-x)),
    "tanh": (np.tanh, lambda x: 4 * expit(2 * x) * expit(-2 * x)),
    "silu": (lambda x: x * expit(x), lambda x: expit(x) * (1 + x * expit(-x))),
    "gelu": (
        lambda x: x * erfc(-x / 2**0.5) / 2,
        lambda x: erfc(-x / 2**0.5) / 2 + x * np.exp(-x * x / 2) / (2 * np.pi) ** 0.5,
    ),
    "hardswish": (
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(x >= 3, 1, np.where(x <= -3, 0, x / 3 + 0.5)),
    ),
}


@pytest.fixture(params=ENGINES)
def engine(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each engine, on as many threads as there are however few the numbers."""
    monkeypatch.setattr(elementwise, "_steps", lambda dtype: loader.load(request.param, dtype))
    monkeypatch.setattr(elementwise, "_LAUNCH", 0)
    yield request.param


def test_all_are_known() -> None:
    assert set(KNOWN) == set(ACTIVATIONS[1:])


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("float64", 4e-15)])
@pytest.mark.parametrize("name", KNOWN)
def test_numbers(name: Any, dtype: str, tolerance: float, engine: str) -> None:
    """Small, large, whole, saturated; relative to 1 or, above it, to the number."""
    x = np.concatenate([np.linspace(-12, 12, 2401), np.arange(-8, 9), [-1e4, -90, 90, 1e4, -0.0]]).astype(dtype)
    dy = np.random.default_rng(0).uniform(-2, 2, x.shape).astype(dtype)
    y, dx = elementwise.activation(x, name), elementwise.activation_backward(dy, x, name)
    of, slope = KNOWN[name]
    exact = x.astype(np.float64)
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_allclose(y, of(exact), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx, dy * slope(exact), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", [0, 1, 3, 15, 16, 17, 33, 64, 129])
def test_lengths(size: int, engine: str) -> None:
    """Nothing behind the end is written, no number is left out."""
    x, dy = np.linspace(-4, 4, size), np.linspace(1, 2, size)
    room = np.full((2, size + 40), 7.0)
    if size:
        steps, code = loader.load(engine, "float64"), ACTIVATIONS.index("relu")
        for threads in (1, 2, 3):
            steps.activation(x, room[0, :size], code, threads)
            steps.activation_backward(dy, x, room[1, :size], code, threads)
    np.testing.assert_array_equal(room[0, :size], np.maximum(x, 0))
    np.testing.assert_array_equal(room[1, :size], dy * (x > 0))
    assert (room[:, size:] == 7).all()
    assert elementwise.activation(x, "relu").shape == elementwise.activation_backward(dy, x, "relu").shape == (size,)


def test_layouts(engine: str) -> None:
    """Results lie as x does; gaps, other byte orders and a dy of another layout are taken too."""
    x = np.random.default_rng(0).normal(size=(3, 5, 4, 6)).astype(np.float32)
    dy = x[::-1].copy()
    y, dx = np.maximum(x, 0), dy * (x > 0)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    wide = np.zeros((3, 5, 4, 12), np.float32)
    wide[..., ::2] = x
    for a in (x, last, wide[..., ::2], x[::-1].copy()[::-1], x.astype(">f4")):
        for d in (dy, np.ascontiguousarray(dy.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), dy.astype(np.float64)):
            got, grad = elementwise.activation(a, "relu"), elementwise.activation_backward(d, a, "relu")
            np.testing.assert_array_equal(got, y)
            np.testing.assert_array_equal(grad, dx)
            assert got.dtype == grad.dtype == np.float32
            if a is x or a is last:
                assert got.strides == grad.strides == a.strides


@pytest.mark.parametrize("name", KNOWN)
def test_nan_stays(name: Any, engine: str) -> None:
    x = np.array([np.nan, 1, np.nan], np.float32)
    assert np.isnan(elementwise.activation(x, name)).tolist() == [True, False, True]
    assert np.isnan(elementwise.activation_backward(x, np.ones_like(x), name)).tolist() == [True, False, True]
