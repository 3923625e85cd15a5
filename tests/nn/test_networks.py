"""Containers, parameters, states, tables; and where errors say that they happened."""

from typing import Any

import numpy as np
import pytest

from fastconv import nn


def small(rng: int = 0) -> nn.Sequential:
    """A bit of everything that has a state."""
    g = np.random.default_rng(rng)
    body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False, rng=g), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, rng=g),
        nn.Residual(body, nn.Conv2d(4, 4, 1, rng=g)),
        nn.Concat(nn.Sequential(), nn.SqueezeExcitation(4, rng=g)),
        nn.Dropout(0.5, rng=g),
        nn.Flatten(),
        nn.Linear(8 * 16, 3, rng=g),
    )


NAMES = [
    "0.weight", "0.bias", "1.body.0.weight", "1.body.1.weight", "1.body.1.bias", "1.shortcut.weight", "1.shortcut.bias",
    "2.1.gate.1.weight", "2.1.gate.1.bias", "2.1.gate.3.weight", "2.1.gate.3.bias", "5.weight", "5.bias",
]  # fmt: skip
BUFFERS = ["1.body.1.running_mean", "1.body.1.running_var"]
X = np.random.default_rng(0).normal(size=(3, 2, 6, 6)).astype(np.float32)


def test_parameters_by_name() -> None:
    net = small()
    found = net.parameters()
    assert [p.name for p in found] == NAMES
    assert all(a is b for a, b in zip(found, net.parameters(), strict=True))
    assert repr(found[0]) == "Parameter(0.weight, float32[4, 2, 3, 3])"
    assert [path for path, _ in net.walk()][:7] == ["", "0", "1", "1.body", "1.body.0", "1.body.1", "1.body.2"]
    assert list(net[1].children()) == ["body", "shortcut"]


def test_state_round_trip() -> None:
    one, other = small(0), small(1)
    one(X)
    state = one.state()
    assert list(state) == [*NAMES, *BUFFERS]
    assert other.load(state) is other
    np.testing.assert_array_equal(one.eval()(X), other.eval()(X))
    state["0.weight"][...] = 0  # a copy
    assert one.state()["0.weight"].any()


def test_state_by_file(tmp_path: Any) -> None:
    net = small()
    np.savez(tmp_path / "net.npz", **net.state())  # type: ignore[arg-type]
    with np.load(tmp_path / "net.npz") as state:
        other = small(1).load(state)
    np.testing.assert_array_equal(net.eval()(X), other.eval()(X))


def test_wrong_states_change_nothing() -> None:
    net = small()
    before, state = net.state(), small(1).state()
    del state["0.bias"], state["5.bias"]
    state["6.weight"] = state["7.weight"] = np.zeros(1)
    with pytest.raises(ValueError, match=r"^state lacks 0.bias, 5.bias and has unknown 6.weight, 7.weight$"):
        net.load(state)
    state = small(1).state()
    state["5.bias"] = np.zeros(4)
    with pytest.raises(ValueError, match=r"state has 5.bias of shape \(4,\), the network of \(3,\)"):
        net.load(state)
    for odd in (np.array(["1", "2", "3"]), np.array([1j, 0, 0]), np.array([None, 1, 2])):
        state["5.bias"] = odd
        with pytest.raises(TypeError, match=r"^state must have real numbers, got 5.bias of dtype"):
            net.load(state)
    for name, a in net.state().items():
        np.testing.assert_array_equal(a, before[name])


def test_train_and_eval_reach_everything() -> None:
    net = small()
    assert net.eval() is net and not any(layer.training for _, layer in net.walk())
    np.testing.assert_array_equal(net(X), net(X))
    assert net.train() is net and all(layer.training for _, layer in net.walk())
    assert (net(X) != net(X)).any()  # dropout


def test_dtypes() -> None:
    net = small().astype("float64")
    assert {a.dtype.name for a in net.state().values()} == {"float64"}
    y = net(X.astype(np.float64))
    assert y.dtype == net.backward(y).dtype == np.float64
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got float16"):
        net.astype("float16")


def test_summary() -> None:
    lines = small().summary((3, 2, 6, 6)).splitlines()
    assert lines[0].split() == ["name", "layer", "output", "parameters"]
    assert lines[2].split("  ")[0] == "0" and "Conv2d(2, 4, (3, 3))" in lines[2] and "(3, 4, 4, 4)" in lines[2]
    assert "Conv2d(4, 4, (3, 3), padding=1, bias=False)" in lines[3] and "1.body.0" in lines[3]
    assert lines[-1].split() == ["total", "(3,", "3)", f"{sum(p.value.size for p in small().parameters())}"]


def test_sequences() -> None:
    net = small()
    assert len(net) == 6 and isinstance(net[-1], nn.Linear) and next(iter(net)) is net[0]
    head = net[:2]
    assert isinstance(head, nn.Sequential) and head[1] is net[1]
    np.testing.assert_array_equal(nn.Sequential()(X), X)
    assert repr(nn.Conv2d(2, 3, 1, bias=False)) == "Conv2d(2, 3, (1, 1), bias=False)"
    assert repr(nn.Linear(2, 3)) == "Linear(2, 3)"
    assert repr(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2, stride=1))) == "Sequential(ReLU(), MaxPool2d(2, stride=1))"


def test_errors_say_where() -> None:
    net = nn.Sequential(nn.ReLU(), nn.ReLU(), nn.ReLU(), nn.Conv2d(16, 4, 3))
    with pytest.raises(ValueError, match=r"^Sequential layer 3 \(Conv2d\): x has 8 channels, weight wants 16$"):
        net(np.zeros((1, 8, 5, 5), np.float32))
    with pytest.raises(ValueError, match=r"^Sequential layer 3 \(Conv2d\): x has 8 channels, weight wants 16$"):
        net.summary((1, 8, 5, 5))
    with pytest.raises(ValueError, match=r"Sequential layer 3 \(Conv2d\): .*kernel"):
        net(np.zeros((1, 16, 2, 2), np.float32))
    deep = nn.Sequential(nn.Residual(nn.Sequential(nn.ReLU(), nn.Linear(3, 3))))
    where = r"Sequential layer 0 \(Residual\): Residual body \(Sequential\): Sequential layer 1 \(Linear\): "
    with pytest.raises(ValueError, match=where + "x has 4 features, weight wants 3"):
        deep(np.zeros((2, 4)))
    with pytest.raises(
        ValueError, match=r"Linear\): x must have shape \(N, 3\), got \(2, 3, 1, 1\): nn.Flatten before"
    ):
        deep(np.zeros((2, 3, 1, 1)))
    y = net(np.zeros((1, 16, 5, 5), np.float32))
    with pytest.raises(ValueError, match=r"layer 3 \(Conv2d\): dy must have the output's shape \(1, 4, 3, 3\)"):
        net.backward(y[:, :2])


def test_shapes_that_do_not_fit() -> None:
    x = np.zeros((1, 3, 6, 6), np.float32)
    for layer, message in (
        (nn.Residual(nn.Conv2d(3, 4, 1)), r"the body gives \(1, 4, 6, 6\), the shortcut \(1, 3, 6, 6\)"),
        (nn.Concat(nn.ReLU(), nn.MaxPool2d(2)), r"the branches give \(1, 3, 6, 6\), \(1, 3, 3, 3\)"),
        (nn.Concat(nn.ReLU(), nn.Conv2d(4, 1, 1)), r"Concat branch 1 \(Conv2d\): x has 3 channels"),
        (nn.BatchNorm2d(4), "x has 3 channels, weight wants 4"),
        (nn.Scale(4), "x has 3 channels, weight wants 4"),
        (nn.SqueezeExcitation(4), "x has 3 channels, weight wants 4"),
        (nn.ConvTranspose2d(4, 1, 2), "x has 3 channels, weight wants 4"),
        (nn.DepthwiseSeparableConv2d(4, 1, 2), "x has 3 channels, weight wants 4"),
        (nn.MaxPool2d(7), "kernel_size is larger than the padded x"),
        (nn.Linear(4, 2), "nn.Flatten before"),
    ):
        with pytest.raises(ValueError, match=message):
            layer(x)
        with pytest.raises(ValueError, match=message):
            layer.output_shape(x.shape)
    with pytest.raises(ValueError, match=r"x must have shape \(N, C, H, W\), got \(3, 6, 6\)"):
        nn.GlobalAvgPool2d()(x[0])
    with pytest.raises(ValueError, match="a batch of 1 number a channel has no variance"):
        nn.BatchNorm2d(3)(x[:, :, :1, :1])
    nn.BatchNorm2d(3).eval()(x[:, :, :1, :1])


def test_what_layers_refuse() -> None:
    relu, make = nn.ReLU(), nn.Conv2d
    with pytest.raises(RuntimeError, match="ReLU: backward needs a forward call before it"):
        relu.backward(X)
    with pytest.raises(TypeError, match="x must be float32 or float64, got int64"):
        relu(np.arange(3))
    with pytest.raises(TypeError, match="x must be an array, got list"):
        relu([1.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"the same ReLU stands at 0 and 1\.body"):
        nn.Sequential(relu, nn.Residual(relu))
    with pytest.raises(TypeError, match="Sequential takes layers, got function at 1"):
        nn.Sequential(relu, lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Residual takes layers, got int at 1"):
        nn.Residual(relu, 3)  # type: ignore[arg-type]
    for bad, message in (
        (lambda: nn.Concat(), "Concat wants one branch or more"),
        (lambda: make(4, 6, 3, groups=4), "groups must divide out_channels, got 4 groups of 6 channels"),
        (lambda: make(0, 6, 3), "groups must divide in_channels, got 1 groups of 0 channels"),
        (lambda: make(4, 6, 0), "kernel_size must be at least 1, got 0"),
        (lambda: nn.Linear(0, 1), "in_features and out_features must be 1 or more"),
        (lambda: nn.Dropout(1.0), "p must be from 0 to below 1, got 1.0"),
        (lambda: nn.LeakyReLU(2), "slope must be from 0 to 1, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            bad()


def test_arrays_of_other_libraries() -> None:
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(nn.ReLU()(torch.tensor([[-1.0, 2]])), [[0, 2]])
