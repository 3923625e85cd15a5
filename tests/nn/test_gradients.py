"""Every layer: gradients against finite differences and PyTorch, in both memory layouts and dtypes."""

from typing import Any

import numpy as np
import pytest

from fastconv import nn
from fastconv.core.layouts import lies_last
from fastconv.nn.activations import Activation
from tests.nn.layers import CASES, made, numbers
from tests.peers import needs_torch, torch


def slopes(f: Any, a: Any, h: float = 1e-6) -> Any:
    """Central differences of a number f() by every number of an array that is changed in place."""
    found = np.empty(a.shape)
    for i in np.ndindex(a.shape):
        kept = a[i]
        a[i] = kept + h
        up = f()
        a[i] = kept - h
        down = f()
        a[i] = kept
        found[i] = (up - down) / (2 * h)
    return found


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("name", CASES)
def test_finite_differences(name: str, last: bool) -> None:
    case = CASES[name]
    layer, x = made(case), numbers(case.shape, last)
    r = numbers(layer(x).shape, seed=9)

    def loss() -> float:
        return float((layer(x) * r).sum())

    dx = layer.backward(r)
    grads = [p.grad.copy() for p in layer.parameters()]
    np.testing.assert_allclose(dx, slopes(loss, x), rtol=1e-6, atol=1e-6)
    for p, grad in zip(layer.parameters(), grads, strict=True):
        np.testing.assert_allclose(grad, slopes(loss, p.value), rtol=1e-6, atol=1e-6, err_msg=p.name)


@needs_torch
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.peer])
def test_torch(name: str, dtype: str, tolerance: float, last: bool) -> None:
    case = CASES[name]
    layer, make = made(case, dtype), case.peer
    assert make is not None
    peer = make().to(getattr(torch, dtype))
    own = {case.names.get(n, n): torch.from_numpy(a) for n, a in layer.state().items()}
    peer.load_state_dict({n: own.get(n, v).reshape(v.shape) for n, v in peer.state_dict().items()})
    x = numbers(case.shape, last, dtype)
    xt = torch.from_numpy(x.copy(order="K")).requires_grad_()
    y, yt = layer(x), peer(xt)
    dy = numbers(y.shape, last, dtype, seed=9)
    dx = layer.backward(dy)
    yt.backward(torch.from_numpy(dy))
    assert y.dtype == dx.dtype == dtype
    near(y, yt, tolerance)
    near(dx, xt.grad, tolerance)
    learned = dict(peer.named_parameters())
    for p in layer.parameters():
        near(p.grad, learned[case.names.get(p.name, p.name)].grad, tolerance)
        assert p.grad.dtype == p.value.dtype == dtype
    for n in layer.buffers:
        near(getattr(layer, n), getattr(peer, n), tolerance)


def near(got: Any, want: Any, tolerance: float) -> None:
    want = want.detach().numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(1, np.abs(want).max()))


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if len(case.shape) == 4])
def test_channels_stay_where_they_lie(name: str) -> None:
    """Last in, last out, forward and backward; the same numbers as channels first."""
    case = CASES[name]
    results = []
    for last in (False, True):
        layer, x = made(case, "float32"), numbers(case.shape, last, "float32")
        y = layer(x)
        dx = layer.backward(numbers(y.shape, last, "float32", seed=9))
        results.append((y, dx))
        if y.ndim == 4 and min(y.shape[1:]) > 1:
            assert lies_last(y) == last
        assert lies_last(dx) == last
        assert dx.shape == x.shape
    for first, other in zip(*results, strict=True):
        np.testing.assert_allclose(first, other, rtol=0, atol=2e-5 * max(1, np.abs(first).max()))


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_foretold_and_inputs_kept(name: str) -> None:
    case = CASES[name]
    layer, x = made(case), numbers(case.shape)
    before = x.copy()
    y = layer(x)
    dy = numbers(y.shape, seed=9)
    kept = dy.copy()
    layer.backward(dy)
    assert layer.output_shape(case.shape) == y.shape
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(dy, kept)


def test_every_layer_is_here() -> None:
    public = {getattr(nn, n) for n in nn.__all__ if isinstance(getattr(nn, n), type)}
    layers = {c for c in public if issubclass(c, nn.Layer) and c is not nn.Layer}
    assert layers == {type(case.make()) for case in CASES.values()}


def test_dropout() -> None:
    """Each number is dropped or grows; the gradient goes the same way; both layouts see the same mask."""
    x = numbers((4, 3, 10, 10))
    for last in (False, True):
        layer = nn.Dropout(0.5, rng=0)
        y = layer(numbers((4, 3, 10, 10), last))
        dropped = y == 0
        np.testing.assert_array_equal(y[~dropped], (x * 2)[~dropped])
        assert 0.4 < dropped.mean() < 0.6
        np.testing.assert_array_equal(layer.backward(np.ones(x.shape)) == 0, dropped)
        np.testing.assert_array_equal(dropped, nn.Dropout(0.5, rng=0)(x) == 0)
        assert lies_last(y) == last


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_do_not_overflow(dtype: str) -> None:
    """Saturated numbers give limits: no NaN, no warning."""
    x = np.array([[-1e4, -80, 0, 80, 1e4]], dtype)
    for name in (n for n, c in CASES.items() if isinstance(c.make(), Activation)):
        layer = CASES[name].make()
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            y = layer(x)
            dx = layer.backward(np.ones_like(x))
        assert np.isfinite(y).all() and np.isfinite(dx).all(), name
