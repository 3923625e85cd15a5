"""Depthwise-separable convolution against the oracle and the lecture, its gradients by finite differences."""

from typing import Any

import numpy as np
import pytest

import fastconv
from tests import oracle
from tests.peers import integers, needs_torch, torch
from tests.problems import MODES


def arrays(dtype: str = "float64") -> tuple[Any, Any, Any, Any]:
    """x, both kernels (two for every channel) and the bias."""
    rng = np.random.default_rng(0)
    return tuple(integers(rng, s, dtype) for s in ((2, 3, 7, 8), (6, 1, 3, 2), (4, 6, 1, 1), (4,)))  # type: ignore[return-value]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_against_the_oracle(dtype: str, mode: str) -> None:
    x, deep, point, bias = arrays(dtype)
    geo = oracle.Geometry((2, 1), ((1, 1), (2, 2)), (1, 2), 3, mode)
    opt: dict[str, Any] = dict(stride=(2, 1), padding=(1, 2), dilation=(1, 2), padding_mode=mode)
    want = oracle.forward(oracle.forward(x, deep, geo=geo), point, bias)
    y = fastconv.depthwise_separable_conv2d(x, deep, point, bias, **opt)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, want.astype(dtype))
    np.testing.assert_array_equal(fastconv.depthwise_separable_conv2d(x[0], deep, point, bias, **opt), y[0])
    dy = np.ones_like(y[0])
    grads = fastconv.depthwise_separable_conv2d_backward(dy, x[0], deep, point, **opt)
    assert [g.shape for g in grads] == [x[0].shape, deep.shape, point.shape, bias.shape]
    assert {g.dtype.name for g in grads} == {dtype}


@pytest.mark.parametrize("mode", MODES)
def test_gradients(mode: str) -> None:
    """Linear in each argument: the gradient is the value at each unit vector."""
    x, deep, point, bias = arrays()
    opt: dict[str, Any] = dict(stride=(2, 1), padding=1, padding_mode=mode)
    call = fastconv.depthwise_separable_conv2d
    dy = integers(np.random.default_rng(1), call(x, deep, point, **opt).shape)
    grads = fastconv.depthwise_separable_conv2d_backward(dy, x, deep, point, **opt)
    arguments = [x, deep, point, bias]
    for place, grad in enumerate(grads):
        for i in np.ndindex(grad.shape):
            unit = [*arguments[:3], np.zeros(4)]
            unit[place] = np.zeros(grad.shape)
            unit[place][i] = 1
            if place == 3:
                unit[0] = np.zeros_like(x)
            assert np.vdot(dy, call(*unit, **opt)) == grad[i]
    only = fastconv.depthwise_separable_conv2d_backward(dy, x, deep, point, wrt=("w_depthwise",), **opt)
    np.testing.assert_array_equal(only.w_depthwise, grads.w_depthwise)
    assert only[0] is only[2] is only[3] is None


def test_lecture() -> None:
    """12 x 12 x 3 by 5x5 is 8 x 8 x 3, by 1x1 8 x 8 x 256; it equals one convolution with the product kernel."""
    rng = np.random.default_rng(0)
    x, deep, point = integers(rng, (3, 12, 12)), integers(rng, (3, 1, 5, 5)), integers(rng, (256, 3, 1, 1))
    assert fastconv.conv2d(x, deep, groups=3).shape == (3, 8, 8)
    y = fastconv.depthwise_separable_conv2d(x, deep, point)
    assert y.shape == (256, 8, 8)
    np.testing.assert_array_equal(y, fastconv.conv2d(x, point * deep[:, 0], backend="reference"))


@needs_torch
def test_equal_to_torch() -> None:
    rng, conv = np.random.default_rng(2), torch.nn.functional.conv2d
    for _ in range(500):
        k, s, d, p = (tuple(int(v) for v in rng.integers(low, 4, 2)) for low in (1, 1, 1, 0))
        size = tuple(max(1, b * (a - 1) + 1 - 2 * c) + int(rng.integers(0, 6)) for a, b, c in zip(k, d, p, strict=True))
        c, m, co = (int(v) for v in rng.integers(1, 4, 3))
        opt: dict[str, Any] = dict(stride=s, padding=p, dilation=d)
        shapes = (int(rng.integers(1, 3)), c, *size), (c * m, 1, *k), (co, c * m, 1, 1), (co,)
        leaves = [torch.from_numpy(integers(rng, shape, "float32")).requires_grad_() for shape in shapes]
        want = conv(conv(leaves[0], leaves[1], groups=c, **opt), leaves[2], leaves[3])
        x, deep, point, bias = (leaf.detach().numpy() for leaf in leaves)
        y = fastconv.depthwise_separable_conv2d(x, deep, point, bias, **opt)
        np.testing.assert_array_equal(y, want.detach().numpy(), str(opt))
        dy = integers(rng, y.shape, "float32")
        want.backward(torch.from_numpy(dy))
        for got, leaf in zip(
            fastconv.depthwise_separable_conv2d_backward(dy, x, deep, point, **opt), leaves, strict=True
        ):
            np.testing.assert_array_equal(got, leaf.grad.numpy(), str(opt))


X, DEEP, POINT, BIAS = arrays()


@pytest.mark.parametrize(
    ("error", "name", "arguments", "opt"),
    [
        (ValueError, "w_depthwise", (X, DEEP[:5], POINT), {}),
        (ValueError, "w_depthwise", (X, DEEP[:, 0], POINT), {}),
        (ValueError, "w_depthwise", (X, np.ones((6, 2, 3, 3)), POINT), {}),
        (ValueError, "w_depthwise", (X, np.ones((6, 1, 9, 3)), POINT), {}),
        (ValueError, "w_pointwise", (X, DEEP, POINT[:, :5]), {}),
        (ValueError, "w_pointwise", (X, DEEP, np.ones((4, 6, 3, 3))), {}),
        (ValueError, "x ", (X[0, 0], DEEP, POINT), {}),
        (TypeError, "x ", (X.astype(int), DEEP, POINT), {}),
        (TypeError, "w_pointwise", (X, DEEP, POINT.tolist()), {}),
        (ValueError, "stride", (X, DEEP, POINT), dict(stride=0)),
        (ValueError, "padding_mode", (X, DEEP, POINT), dict(padding_mode="edge")),
        (ValueError, "backend", (X, DEEP, POINT), dict(backend="fast")),
    ],
)
def test_bad_input(error: type[Exception], name: str, arguments: Any, opt: dict[str, Any]) -> None:
    with pytest.raises(error, match=name):
        fastconv.depthwise_separable_conv2d(*arguments, **opt)


def test_bad_gradient() -> None:
    with pytest.raises(ValueError, match="bias"):
        fastconv.depthwise_separable_conv2d(X, DEEP, POINT, BIAS[:3])
    with pytest.raises(ValueError, match="dy"):
        fastconv.depthwise_separable_conv2d_backward(X, X, DEEP, POINT)
    with pytest.raises(ValueError, match="wrt"):
        fastconv.depthwise_separable_conv2d_backward(X, X, DEEP, POINT, wrt="w")
