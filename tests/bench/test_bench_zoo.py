"""Whole networks and their translations: the convolutions that are published, the same outputs everywhere."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rich")

pytest.importorskip("torch")

import torch

from bench import workloads, zoo, zoo_onnx, zoo_torch
from fastconv import nn
from fastconv.core.arguments import paddings

LAYERS: list[tuple[nn.Layer, tuple[int, ...]]] = [
    (nn.Conv2d(4, 6, (3, 5), stride=(1, 2), padding=((0, 1), (2, 1)), groups=2), (2, 4, 9, 11)),
    (nn.Conv2d(3, 4, 3, padding="same", dilation=2, bias=False), (2, 3, 9, 8)),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (2, 4, 5, 6)),
    (nn.DepthwiseSeparableConv2d(3, 5, 3, padding=1, multiplier=2), (2, 3, 8, 7)),
    (nn.Linear(12, 5), (3, 12)),
    (nn.BatchNorm2d(3), (2, 3, 4, 5)),
    (nn.LayerNorm2d(3), (2, 3, 4, 5)),
    (nn.SqueezeExcitation(8), (2, 8, 5, 6)),
    (nn.Scale(3, 0.5), (2, 3, 4, 5)),
    (nn.Dropout(0.5), (2, 3, 4, 5)),
    (nn.MaxPool2d(3, stride=2, padding=((0, 1), (1, 0))), (2, 3, 9, 8)),
    (nn.MaxPool2d(2, stride=2, ceil_mode=True), (2, 3, 9, 7)),
    (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (2, 3, 9, 8)),
    (nn.AvgPool2d(2), (2, 3, 8, 6)),
    (nn.GlobalAvgPool2d(), (2, 3, 8, 6)),
    (nn.Flatten(), (2, 3, 4, 5)),
    (nn.Residual(nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), scale=0.5), (2, 3, 5, 4)),
    (nn.Residual(nn.ReLU()), (2, 3, 5, 4)),
    (nn.Concat(nn.Sequential(), nn.Conv2d(3, 4, 1)), (2, 3, 5, 4)),
    *((act, (2, 3, 5, 7)) for act in (nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.Sigmoid(), nn.Tanh())),
    *((act, (2, 3, 5, 7)) for act in (nn.Softsign(), nn.ArcTan(), nn.SiLU(), nn.GELU(), nn.Hardswish())),
]  # fmt: skip


def name_of(value: object) -> str | None:
    return type(value).__name__ if isinstance(value, nn.Layer) else ""


def filled(layer: nn.Layer, shape: tuple[int, ...]) -> np.ndarray:
    """Give every number of the layer and of an input a random value."""
    rng = np.random.default_rng(0)
    for name, a in layer.state().items():
        a[...] = rng.uniform(0.5, 1.5, a.shape) if name.endswith("running_var") else rng.normal(0, 0.5, a.shape)
        layer.load(layer.state() | {name: a})
    return (3 * rng.standard_normal(shape)).astype(np.float32)


def convolutions(network: zoo.Network) -> Counter[tuple[Any, ...]]:
    """Padded height and width of the input, shape of the weights, stride, groups -> how often."""
    net, found, seen = network.made(), Counter[tuple[Any, ...]](), []

    class Watched(nn.Conv2d):
        def _forward(self, x: np.ndarray) -> np.ndarray:
            seen.append((self, x.shape))
            return super()._forward(x)

    for _, layer in net.walk():
        if type(layer) is nn.Conv2d:
            layer.__class__ = Watched
    net(np.zeros((1, *network.image), np.float32))
    for layer, (_, _, h, w) in seen:
        k, s = layer.kernel_size, zoo_torch.pair(layer.stride)[0]
        (top, bottom), (left, right) = paddings(layer.padding, ((h, k[0], s, 1), (w, k[1], s, 1)))
        found[h + top + bottom, w + left + right, layer.weight.value.shape, s, layer.groups] += 1
    return found


@pytest.mark.parametrize("name", list(workloads.load_networks()))
def test_convolutions_are_those_of_networks_json(name):
    found, wanted = convolutions(zoo.NETWORKS[name]), Counter[tuple[Any, ...]]()
    for layer, count in workloads.load_networks([name])[name].items():
        ph, pw = layer.pads
        if name == "efficientnet_b0" and layer.stride == 1:  # listed without the "same" that it is called with
            ph, pw = layer.kh // 2, layer.kw // 2
        shape = layer.co, layer.ci // layer.groups, layer.kh, layer.kw
        wanted[layer.h + 2 * ph, layer.w + 2 * pw, shape, layer.stride, layer.groups] += count
    if name == "convnext_tiny":  # listed without its 1x1 convolutions, which are linear layers there
        found = Counter({key: count for key, count in found.items() if key[2][2:] != (1, 1)})
    assert found == wanted


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=name_of)
@pytest.mark.parametrize("training", [False, True])
def test_pytorch_gives_the_same_forward_and_backward(layer, shape, training):
    x = filled(layer, shape)
    (layer.train() if training and not isinstance(layer, nn.Dropout) else layer.eval())
    module = zoo_torch.to_torch(layer)
    tx = torch.from_numpy(x).requires_grad_()
    y, ty = layer(x), module(tx)
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-4, atol=1e-5)
    dy = np.random.default_rng(1).standard_normal(y.shape, dtype=np.float32)
    dx = layer.backward(dy)
    ty.backward(torch.from_numpy(dy))
    assert tx.grad is not None
    np.testing.assert_allclose(dx, tx.grad.numpy(), rtol=1e-3, atol=1e-4)
    assert sum(p.numel() for p in module.parameters()) == sum(p.value.size for p in layer.parameters())
    ours = sorted(float(abs(p.grad).sum()) for p in layer.parameters())
    theirs = sorted(float(abs(p.grad.numpy()).sum()) for p in module.parameters() if p.grad is not None)
    assert theirs == pytest.approx(ours, rel=1e-3)


@pytest.mark.parametrize("module", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=name_of)
def test_onnx_models_give_the_same(layer, shape, module):
    from bench.whole_peers import onnx_call

    pytest.importorskip(module)
    x = filled(layer, shape)
    y = layer.eval()(x)
    np.testing.assert_allclose(onnx_call(module, layer, x, 1)(), y, rtol=1e-4, atol=1e-5)


def test_what_has_no_translation_says_so():
    class Own(nn.Layer):
        """Unknown elsewhere."""

    for translate in (zoo_torch.to_torch, lambda layer: zoo_onnx.to_onnx(layer, (1, 3, 8, 8))):
        with pytest.raises(ValueError, match="Own"):
            translate(nn.Sequential(Own()))
        with pytest.raises(ValueError, match="depends on the image's size"):
            translate(nn.Conv2d(3, 4, 3, stride=2, padding="same"))
    with pytest.raises(ValueError, match="symmetric"):
        zoo_torch.to_torch(nn.Conv2d(3, 4, 3, padding=1, padding_mode="symmetric"))
    with pytest.raises(ValueError, match="fits none of resnet18"):
        zoo.chosen(["vgg*"])


def test_networks_are_the_same_again():
    one, two, other = (zoo.NETWORKS["lenet"].made(seed).state() for seed in (0, 0, 1))
    assert all((one[name] == two[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)
