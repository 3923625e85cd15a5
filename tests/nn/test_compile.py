"""A compiled network gives what the network gives that is written, whatever was fused, moved and reused."""

import threading
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import nn
from fastconv.nn.layer import Layer

RNG = np.random.default_rng(5)


class Twice(Layer):
    """A layer that `nn.compile` does not know."""

    def _forward(self, x: Any) -> Any:
        return 2 * x


class Soft(Layer):
    """One that counts axes from behind."""

    def _forward(self, x: Any) -> Any:
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)


def conv_bn(ci: int, co: int, k: int, act: Any = None, **options: Any) -> list[Layer]:
    layers = [nn.Conv2d(ci, co, k, padding=k // 2, bias=False, rng=RNG, **options), nn.BatchNorm2d(co)]
    return layers if act is None else [*layers, act]


def lived(net: Layer) -> Layer:
    """With statistics, factors and terms that are not those of a new network."""
    for _, layer in net.walk():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean[...] = RNG.normal(size=layer.channels)
            layer.running_var[...] = RNG.uniform(0.5, 2, layer.channels)
    for p in net.parameters():
        p.value += 0.1 * RNG.normal(size=p.value.shape).astype(p.value.dtype)
    return net.eval()


def residual(c: int, d: int, stride: int = 1) -> list[Layer]:
    shortcut = nn.Sequential(*conv_bn(c, d, 1, stride=stride)) if c != d or stride > 1 else None
    body = nn.Sequential(*conv_bn(c, d, 3, nn.ReLU(), stride=stride), *conv_bn(d, d, 3))
    return [nn.Residual(body, shortcut), nn.ReLU()]


def head(features: int) -> list[Layer]:
    return [nn.GlobalAvgPool2d(), nn.Flatten(), nn.Linear(features, 5, rng=RNG)]


def networks() -> dict[str, tuple[Layer, tuple[int, ...]]]:
    S = nn.Sequential
    inverted = S(
        *conv_bn(8, 24, 1, nn.Hardswish()), *conv_bn(24, 24, 3, nn.SiLU(), groups=24),
        nn.SqueezeExcitation(24, 6, rng=RNG), *conv_bn(24, 8, 1),
    )  # fmt: skip
    convnext = S(
        nn.Conv2d(16, 16, 7, padding=3, groups=16, rng=RNG), nn.LayerNorm2d(16),
        nn.Conv2d(16, 64, 1, rng=RNG), nn.GELU(), nn.Conv2d(64, 16, 1, rng=RNG), nn.Scale(16, 0.1),
    )  # fmt: skip
    unet = nn.Concat(
        S(),
        S(nn.MaxPool2d(2), *conv_bn(8, 8, 3, nn.ReLU()), nn.ConvTranspose2d(8, 4, 2, stride=2, rng=RNG)),
    )
    return {
        "empty": (S(), (2, 3, 4, 5)),
        "lenet": (
            S(nn.Conv2d(1, 6, 5, padding=2, rng=RNG), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5, rng=RNG),
              nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 20, rng=RNG), nn.ReLU(),
              nn.Linear(20, 10, rng=RNG)),
            (3, 1, 20, 20),
        ),
        "resnet": (S(*conv_bn(3, 16, 7, nn.ReLU(), stride=2), nn.MaxPool2d(3, stride=2, padding=1), *residual(16, 16),
                     *residual(16, 32, 2), *head(32)), (1, 3, 33, 40)),
        "preactivated": (S(nn.Conv2d(3, 8, 3, rng=RNG),
                           nn.Residual(S(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, rng=RNG)),
                                       scale=0.5**0.5), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)), (2, 3, 9, 8)),
        "inverted": (S(*conv_bn(3, 8, 3, nn.ReLU6(), stride=2), nn.Residual(inverted), *head(8)), (1, 3, 31, 31)),
        "convnext": (S(nn.Conv2d(3, 16, 4, stride=4, rng=RNG), nn.LayerNorm2d(16), nn.Residual(convnext), nn.Dropout(),
                       *head(16)), (1, 3, 32, 32)),
        "unet": (S(*conv_bn(3, 8, 3, nn.ReLU()), unet, nn.Conv2d(12, 2, 1, rng=RNG), nn.Sigmoid()), (1, 3, 16, 12)),
        "inception": (S(nn.Concat(nn.Conv2d(3, 4, 1, rng=RNG), S(*conv_bn(3, 5, 3, nn.ReLU())),
                                  nn.AvgPool2d(3, stride=1, padding=1)), nn.ArcTan(), Twice(),
                        nn.DepthwiseSeparableConv2d(12, 6, 3, padding=1, padding_mode="reflect", rng=RNG)),
                      (2, 3, 8, 8)),
        "residual first": (nn.Residual(nn.Conv2d(3, 3, 3, padding=1, rng=RNG)), (1, 3, 5, 4)),
        "equal sides": (S(nn.Conv2d(6, 6, 3, padding=1, rng=RNG)), (6, 6, 6, 6)),
        "flattened first": (S(nn.Flatten(), nn.Linear(60, 4, rng=RNG), nn.ReLU()), (2, 3, 4, 5)),
        "softmax": (S(*conv_bn(3, 8, 3, nn.ReLU()), *head(8), Soft()), (3, 3, 6, 5)),
        "perceptron": (S(nn.Linear(7, 9, rng=RNG), nn.Softsign(), nn.Linear(9, 4, rng=RNG), nn.SiLU()), (6, 7)),
        "shared": (S(nn.Conv2d(2, 4, 3, padding=1, rng=RNG), nn.Residual(nn.ReLU()), nn.Residual(S(), nn.ReLU())),
                   (1, 2, 6, 6)),
    }  # fmt: skip


NETWORKS = {name: (lived(net), shape) for name, (net, shape) in networks().items()}


def check(net: Layer, fast: Any, x: Any) -> None:
    expected = net(x)
    with pytest.MonkeyPatch.context() as patch:  # no way out by the network as it is written
        patch.setattr(fast, "_net", None)
        y = fast(x)
    assert y.shape == expected.shape == fast.output_shape and y.dtype == expected.dtype
    tolerance = 2e-5 if x.dtype == np.float32 else 1e-12
    assert np.abs(y - expected).max() <= tolerance * max(np.abs(expected).max(), 1)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("last", [False, True])
def test_same_as_written(name: str, last: bool) -> None:
    net, shape = NETWORKS[name]
    fast = nn.compile(net, shape)
    for seed in range(3):  # memory is used again
        x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
        if last and len(shape) == 4:
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        before = x.copy()
        check(net, fast, x)
        assert np.array_equal(x, before)
    assert "predicted" in fast.explain()


@pytest.mark.parametrize("name", ["resnet", "inverted", "convnext"])
def test_float64(name: str) -> None:
    net, shape = networks()[name]
    net = lived(net).astype(np.float64)
    check(net, nn.compile(net, shape), RNG.normal(size=shape))


def test_what_is_fused() -> None:
    net, shape = NETWORKS["resnet"]
    kinds = [line.split()[1] for line in nn.compile(net, shape).explain().splitlines()[1:-1]]
    assert kinds == ["conv", "pool", "conv", "conv", "conv", "conv", "conv", "pool", "conv"]


def test_weights_are_copied() -> None:
    net, shape = networks()["resnet"]
    x = RNG.normal(size=shape).astype(np.float32)
    fast = nn.compile(net, shape)
    y = fast(x)
    for p in net.parameters():
        p.value += 1
    assert np.array_equal(fast(x), y)
    assert net.training


def test_results_are_the_callers() -> None:
    net, shape = NETWORKS["resnet"]
    fast, a, b = nn.compile(net, shape), *RNG.normal(size=(2, *shape)).astype(np.float32)
    first = fast(a)
    kept = first.copy()
    fast(b)
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(bad: float) -> None:
    net, shape = NETWORKS["unet"]
    fast, x = nn.compile(net, shape), RNG.normal(size=shape).astype(np.float32)
    x[0, 1, 3, 3] = bad
    assert np.array_equal(fast(x), net(x), equal_nan=True)
    check(net, fast, RNG.normal(size=shape).astype(np.float32))


def test_threads() -> None:
    net, shape = NETWORKS["inverted"]
    fast = nn.compile(net, shape)
    images = RNG.normal(size=(8, *shape)).astype(np.float32)
    expected, found = [fast(x) for x in images], {}

    def run(k: int) -> None:
        for _ in range(5):
            found[k] = fast(images[k])

    threads = [threading.Thread(target=run, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(np.array_equal(found[k], expected[k]) for k in range(8))
    with fastconv.num_threads(1):
        check(net, fast, images[0])


def test_empty_batch() -> None:
    net, shape = NETWORKS["resnet"]
    assert nn.compile(net, (0, *shape[1:]))(np.zeros((0, *shape[1:]), np.float32)).shape == (0, 5)


def test_bad_input() -> None:
    net, shape = NETWORKS["resnet"]
    fast = nn.compile(net, shape)
    with pytest.raises(ValueError, match=r"x must have shape \(1, 3, 33, 40\)"):
        fast(np.zeros((1, 3, 32, 40), np.float32))
    with pytest.raises(TypeError, match="x must be float32"):
        fast(np.zeros(shape))
    with pytest.raises(ValueError, match=r"layer 0 \(Conv2d\).*4 channels"):
        nn.compile(net, (1, 4, 33, 40))
    with pytest.raises(TypeError, match="net must be a layer"):
        nn.compile(np.zeros(3), shape)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="input_shape"):
        nn.compile(net, (3, 33, 40))
