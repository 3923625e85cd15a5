"""The lectures' worked examples of networks: seeds 001, 002 and 004, number by number as printed there."""

import numpy as np
import pytest

from fastconv import nn
from tests.golden import GOLDEN

NETWORKS = GOLDEN["networks"]


def linear(weight: object, bias: object) -> nn.Linear:
    w = np.array(weight, float)
    layer = nn.Linear(w.shape[1], w.shape[0]).astype("float64")
    layer.weight.value[...] = w
    assert layer.bias is not None
    layer.bias.value[...] = bias
    return layer


def test_neuron() -> None:
    """004: three inputs, ReLU."""
    g = NETWORKS["neuron"]
    net = nn.Sequential(linear([g["w"]], g["b"]), nn.ReLU())
    assert net(np.array([g["x"]])).item() == pytest.approx(g["y"], abs=1e-12)


def test_layer() -> None:
    """004: two inputs, three neurons, tanh."""
    g = NETWORKS["layer"]
    first, tanh = nn.Sequential(linear(g["w"], g["b"]), nn.Tanh())
    z = first(np.array([g["x"]]))
    np.testing.assert_allclose(z, [g["z"]], rtol=0, atol=1e-12)
    np.testing.assert_allclose(tanh(z), [g["y"]], rtol=0, atol=1e-3)  # the lecture cuts digits off, here and below


def test_softmax() -> None:
    """004: what the cross entropy sees; its gradient is softmax minus the label."""
    g, loss = NETWORKS["softmax"], nn.SoftmaxCrossEntropy()
    value = loss(np.array([g["z"]]), np.array([0]))
    p = loss.backward()[0] + np.eye(5)[0]
    np.testing.assert_allclose(p, g["p"], rtol=0, atol=1e-3)
    assert value == pytest.approx(-np.log(p[0]))


def test_perceptron_forward_backward_step() -> None:
    """004: y = tanh(x w + b), L = (y - t)^2, every derivative, one step of eta = 0.7."""
    g, loss = NETWORKS["perceptron"], nn.MeanSquaredError()
    layer = linear([g["w"]], g["b"])
    net = nn.Sequential(layer, nn.Tanh())
    y = net(np.array([g["x"]]))
    assert layer.forward(np.array([g["x"]])).item() == pytest.approx(g["v4"], abs=1e-12)
    assert y.item() == pytest.approx(g["y"], abs=1e-4)
    assert loss(y, np.array([g["t"]])) == pytest.approx(g["loss"], abs=1e-3)  # printed 0.1567 from a y of 4 digits
    dy = loss.backward()
    assert dy.item() == pytest.approx(g["dy"], abs=1e-4)
    assert nn.Tanh().forward(np.array([[-0.7]])).item() == y.item()
    dx = net.backward(dy)
    assert layer.bias is not None
    np.testing.assert_allclose(layer.bias.grad, [g["db"]], rtol=0, atol=1e-4)
    np.testing.assert_allclose(layer.weight.grad, [g["dw"]], rtol=0, atol=1e-4)
    np.testing.assert_allclose(dx, [g["dx"]], rtol=0, atol=1e-4)
    nn.SGD(net.parameters(), lr=g["eta"]).step()
    np.testing.assert_allclose(layer.weight.value, [g["new_w"]], rtol=0, atol=1e-4)
    np.testing.assert_allclose(layer.bias.value, [g["new_b"]], rtol=0, atol=1e-4)


def test_gradients_of_a_fork_add_up() -> None:
    """004: a node with several edges gets the sum of what comes back along them."""
    g = NETWORKS["fork"]
    for edges, total in zip(g["edges"], g["sums"], strict=True):
        net = nn.Concat(*(linear([[e]], 0) for e in edges))
        net(np.ones((1, 1)))
        assert net.backward(np.ones((1, len(edges)))).item() == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("alpha", NETWORKS["descent"]["steps"])
def test_gradient_descent(alpha: str) -> None:
    """004: x^2 - 2 from x = 3."""
    p = nn.Parameter(np.array([float(NETWORKS["descent"]["start"])]))
    optimiser = nn.SGD([p], lr=float(alpha))
    for x in NETWORKS["descent"]["steps"][alpha]:
        p.grad = 2 * p.value
        optimiser.step()
        assert p.value.item() == pytest.approx(x, abs=1e-12)


def test_momentum() -> None:
    """001: z' = beta z + grad, w' = w - alpha z'; 004 takes alpha into the sum, which is the same for one alpha."""
    alpha, beta, w, z, m, v = 0.25, 0.5, 1.0, 0.0, 0.0, 1.0
    p = nn.Parameter(np.array([w]))
    optimiser = nn.SGD([p], lr=alpha, momentum=beta)
    for grad in (1.0, -2.0, 0.5, 4.0):
        p.grad = np.array([grad])
        optimiser.step()
        z = beta * z + grad
        w -= alpha * z
        m = beta * m + alpha * grad
        v -= m
        assert p.value.item() == w == v


def test_nesterov() -> None:
    """004: the gradient is taken ahead, at theta - beta v; PyTorch's form follows that point."""
    eta, beta, theta, v = 0.25, 0.5, 3.0, 0.0
    p = nn.Parameter(np.array([theta]))
    optimiser = nn.SGD([p], lr=eta, momentum=beta, nesterov=True)
    for _ in range(5):
        p.grad = 2 * p.value
        optimiser.step()
        v = beta * v + eta * 2 * (theta - beta * v)
        theta -= v
        assert p.value.item() == pytest.approx(theta - beta * v, abs=1e-14)


def test_rmsprop() -> None:
    """001: E = 0.9 E + 0.1 g^2, theta -= eta g / sqrt(E)."""
    theta, squares = 2.0, 0.0
    p = nn.Parameter(np.array([theta]))
    optimiser = nn.RMSprop([p], lr=0.1, alpha=0.9, eps=0)
    for grad in (1.0, -2.0, 0.5):
        p.grad = np.array([grad])
        optimiser.step()
        squares = 0.9 * squares + 0.1 * grad**2
        theta -= 0.1 * grad / squares**0.5
        assert p.value.item() == pytest.approx(theta, abs=1e-14)


def test_adagrad_and_adam() -> None:
    """004: both, with its epsilon below the root at zero."""
    g, b1, b2 = (1.0, -2.0, 0.5), 0.9, 0.999
    p, q = nn.Parameter(np.array([2.0])), nn.Parameter(np.array([2.0]))
    one, other = nn.Adagrad([p], lr=0.1, eps=0), nn.Adam([q], lr=0.1, betas=(b1, b2), eps=0)
    a, b, total, m, v = 2.0, 2.0, 0.0, 0.0, 0.0
    for t, grad in enumerate(g, 1):
        p.grad, q.grad = np.array([grad]), np.array([grad])
        one.step()
        other.step()
        total += grad**2
        a -= 0.1 * grad / total**0.5
        m, v = b1 * m + (1 - b1) * grad, b2 * v + (1 - b2) * grad**2
        b -= 0.1 * m / (1 - b1**t) / (v / (1 - b2**t)) ** 0.5
        assert p.value.item() == pytest.approx(a, abs=1e-14)
        assert q.value.item() == pytest.approx(b, abs=1e-14)


def test_batch_norm() -> None:
    """002: mean and biased variance of the batch, gamma and beta; 001: exponential smoothing of both."""
    x = np.array([1.0, 3, 5, 7, 0, 0, 4, 4]).reshape(2, 2, 2, 1).transpose(1, 0, 2, 3)  # means 4 and 2, variances 5, 4
    layer = nn.BatchNorm2d(2, eps=0, momentum=0.25).astype("float64")
    layer.weight.value[...], layer.bias.value[...] = [2, 3], [-1, 10]
    y = layer(x)
    np.testing.assert_array_equal(y[:, 1].ravel(), [7, 7, 13, 13])
    np.testing.assert_allclose(y[:, 0].ravel(), 2 * (np.array([1, 3, 5, 7]) - 4) / 5**0.5 - 1, rtol=1e-15)
    np.testing.assert_array_equal(layer.running_mean, [1, 0.5])
    np.testing.assert_allclose(layer.running_var, 0.75 + 0.25 * np.array([5, 4]) * 4 / 3, rtol=1e-15)
    layer.eval()
    np.testing.assert_allclose(
        layer(x), 2 * (x - [[[1]], [[0.5]]]) / np.sqrt(layer.running_var)[:, None, None] * [[[1]], [[1.5]]]
        + [[[-1]], [[10]]], rtol=1e-14,
    )  # fmt: skip


def test_batch_norm_can_be_the_identity() -> None:
    """002: what gamma and beta are for."""
    x = np.random.default_rng(0).normal(3, 2, (4, 3, 5, 5))
    layer = nn.BatchNorm2d(3, eps=0).astype("float64")
    layer.weight.value[...], layer.bias.value[...] = x.std(axis=(0, 2, 3)), x.mean(axis=(0, 2, 3))
    np.testing.assert_allclose(layer(x), x, rtol=0, atol=1e-13)


def test_inverted_dropout() -> None:
    """002: what is kept is divided by 1 - p while it learns, so that inference does nothing."""
    x = np.ones((100, 100))
    layer = nn.Dropout(0.5, rng=0)
    assert set(np.unique(layer(x))) == {0.0, 2.0}
    assert layer(x).mean() == pytest.approx(1, abs=0.05)
    assert layer.eval()(x) is x


def test_residual_scale() -> None:
    """002: the sum of two doubles the variance, 1 / sqrt 2 puts it back."""
    x = np.random.default_rng(0).normal(size=(50, 4, 10, 10))
    net = nn.Residual(nn.Conv2d(4, 4, 1, init=nn.init.normal, rng=1).astype("float64"), scale=0.5**0.5)
    net.body.weight.value[...] = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]])[..., None, None]  # type: ignore[attr-defined]
    assert net(x).var() == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("name", ["conv2d", "max_pool2d"])
def test_images(name: str) -> None:
    """001, 003, 004: the convolutions and pooling of the lectures, by layers."""
    for g in GOLDEN[name]:
        x, y = np.array(g["x"], np.float32)[None, None], np.array(g["y"])
        layer: nn.Layer = nn.MaxPool2d(2)
        if name == "conv2d":
            w = np.array(g["w"], np.float32)[None, None]
            layer = nn.Conv2d(1, 1, w.shape[2:], stride=g["stride"], padding=g["padding"], init=lambda *_, w=w: w)
        np.testing.assert_array_equal(layer(x)[0, 0], y)
