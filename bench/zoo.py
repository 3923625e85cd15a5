"""
Whole networks, written with `fastconv.nn`: one builder a family, random weights by a seed.

Norms get factors, biases and statistics that are not those of a fresh layer, so that folding them wrongly shows.
Convolutions are those of ``networks.json`` where a network stands there too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from bench.workloads import matches
from fastconv import nn

Rng = np.random.Generator


class Network(NamedTuple):
    """
    How a network is built, and what it eats.

    Attributes
    ----------
    build : callable
        Of a generator; gives the network with fresh weights.
    image : (int, int, int)
        Channels, height and width of an input.
    """

    build: Callable[[Rng], nn.Layer]
    image: tuple[int, int, int]

    def made(self, seed: int = 0) -> nn.Layer:
        """The network with all its numbers random, inferring; the same for the same seed."""
        rng = np.random.default_rng(seed)
        net = self.build(rng)
        _randomise(net, rng)
        _observe(net, rng.standard_normal((2, *self.image), dtype=np.float32))
        for layer in _norms(net):
            layer.running_mean += rng.normal(0, 0.1, layer.channels).astype(np.float32)
            layer.running_var *= rng.uniform(0.8, 1.25, layer.channels).astype(np.float32)
        return net.eval()


def _randomise(net: nn.Layer, rng: Rng) -> None:
    """Give what a fresh layer sets to 0 or 1 random values near them."""
    for _, layer in net.walk():
        if isinstance(layer, nn.BatchNorm2d | nn.LayerNorm2d):
            layer.weight.value[...] = rng.uniform(0.5, 1.5, layer.channels)
        if isinstance(layer, nn.Scale):
            layer.weight.value[...] = rng.uniform(0.1, 0.3, layer.channels)
        bias = getattr(layer, "bias", None)
        if isinstance(bias, nn.Parameter):
            bias.value[...] = rng.normal(0, 0.1, bias.value.shape)


def _norms(net: nn.Layer) -> list[nn.BatchNorm2d]:
    return [layer for _, layer in net.walk() if isinstance(layer, nn.BatchNorm2d)]


def _observe(net: nn.Layer, x: np.ndarray) -> None:
    """Let batch norms take over the statistics of a batch: without, numbers grow and errors with them."""
    before = [(layer, layer.momentum) for layer in _norms(net)]
    for layer, _ in before:
        layer.momentum = 1.0
    net.train()(x)
    for layer, momentum in before:
        layer.momentum = momentum


def _conv(
    rng: Rng,
    ci: int,
    co: int,
    k: int,
    act: type[nn.Layer] | None,
    *,
    stride: int = 1,
    groups: int = 1,
    **options: object,
) -> list[nn.Layer]:
    """Convolution, batch norm and activation; padded to the input's size over the stride unless told otherwise."""
    given = {"padding": k // 2, **options}
    conv = nn.Conv2d(ci, co, k, stride=stride, groups=groups, bias=False, rng=rng, **given)  # type: ignore[arg-type]
    return [conv, nn.BatchNorm2d(co), *([act()] if act else [])]


def _classifier(rng: Rng, channels: int, classes: int) -> list[nn.Layer]:
    return [nn.GlobalAvgPool2d(), nn.Flatten(), nn.Linear(channels, classes, rng=rng)]


def lenet(rng: Rng, size: int = 28, kernel: int = 5) -> nn.Layer:
    """LeNet-5 (LeCun et al. 1998) with mean pooling and tanh, on square images of one channel."""
    left = (size // 2 - kernel + 1) // 2
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel, padding=kernel // 2, rng=rng), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, kernel, rng=rng), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(16 * left * left, 120, rng=rng), nn.Tanh(), nn.Linear(120, 84, rng=rng), nn.Tanh(),
        nn.Linear(84, 10, rng=rng),
    )  # fmt: skip


def resnet(
    rng: Rng, depths: Sequence[int], *, bottleneck: bool = False, width: int = 64, classes: int = 1000
) -> nn.Layer:
    """Residual networks (He et al. 2016): 7x7 stem, two 3x3 a block, or 1x1, 3x3, 1x1 with four times the width."""
    layers = [*_conv(rng, 3, width, 7, nn.ReLU, stride=2), nn.MaxPool2d(3, stride=2, padding=1)]
    ci = width
    for stage, depth in enumerate(depths):
        c = width << stage
        co = 4 * c if bottleneck else c
        for i in range(depth):
            stride = 2 if i == 0 and stage else 1
            if bottleneck:
                body = [*_conv(rng, ci, c, 1, nn.ReLU), *_conv(rng, c, c, 3, nn.ReLU, stride=stride)]
                body += _conv(rng, c, co, 1, None)
            else:
                body = [*_conv(rng, ci, c, 3, nn.ReLU, stride=stride), *_conv(rng, c, co, 3, None)]
            shortcut = nn.Sequential(*_conv(rng, ci, co, 1, None, stride=stride)) if stride > 1 or ci != co else None
            layers += [nn.Residual(nn.Sequential(*body), shortcut), nn.ReLU()]
            ci = co
    return nn.Sequential(*layers, *_classifier(rng, ci, classes))


class Stage(NamedTuple):
    """Inverted residuals of one width: factor of the expansion, channels, blocks, first stride, kernel."""

    factor: int
    channels: int
    depth: int
    stride: int
    kernel: int = 3


_MOBILENET_V2 = [Stage(1, 16, 1, 1), Stage(6, 24, 2, 2), Stage(6, 32, 3, 2), Stage(6, 64, 4, 2), Stage(6, 96, 3, 1)]
_MOBILENET_V2 += [Stage(6, 160, 3, 2), Stage(6, 320, 1, 1)]
_EFFICIENTNET_B0 = [Stage(1, 16, 1, 1), Stage(6, 24, 2, 2), Stage(6, 40, 2, 2, 5), Stage(6, 80, 3, 2)]
_EFFICIENTNET_B0 += [Stage(6, 112, 3, 1, 5), Stage(6, 192, 4, 2, 5), Stage(6, 320, 1, 1)]


def inverted(
    rng: Rng, stages: Iterable[Stage], act: type[nn.Layer], *, squeeze: bool = False, classes: int = 1000
) -> nn.Layer:
    """MobileNetV2 (Sandler et al. 2018) and, with squeeze and excitation, EfficientNet (Tan and Le 2019).

    At stride 2 zeros stand mostly below and to the right, as in the networks that were published.
    """
    layers, ci = _conv(rng, 3, 32, 3, act, stride=2, padding=_even(3, 2)), 32
    for factor, co, depth, first, k in stages:
        for i in range(depth):
            stride, c = first if i == 0 else 1, factor * ci
            body = _conv(rng, ci, c, 1, act) if factor > 1 else []
            body += _conv(rng, c, c, k, act, stride=stride, groups=c, padding=_even(k, stride))
            body += [nn.SqueezeExcitation(c, ci // 4, rng=rng)] if squeeze else []
            block = nn.Sequential(*body, *_conv(rng, c, co, 1, None))
            layers += [nn.Residual(block) if stride == 1 and ci == co else block]
            ci = co
    return nn.Sequential(*layers, *_conv(rng, ci, 1280, 1, act), *_classifier(rng, 1280, classes))


def _even(k: int, stride: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding that gives 1 / stride of an even size: the odd zero stands last."""
    before, after = (k - stride) // 2, (k - stride + 1) // 2
    return (before, after), (before, after)


def regnet(rng: Rng, widths: Sequence[int], depths: Sequence[int], group: int = 64, classes: int = 1000) -> nn.Layer:
    """RegNetY (Radosavovic et al. 2020): grouped 3x3 between 1x1, with squeeze and excitation."""
    layers, ci = _conv(rng, 3, 32, 3, nn.ReLU, stride=2), 32
    for c, depth in zip(widths, depths, strict=True):
        for i in range(depth):
            stride = 2 if i == 0 else 1
            body = [*_conv(rng, ci, c, 1, nn.ReLU), *_conv(rng, c, c, 3, nn.ReLU, stride=stride, groups=c // group)]
            body += [nn.SqueezeExcitation(c, ci // 4, rng=rng), *_conv(rng, c, c, 1, None)]
            shortcut = nn.Sequential(*_conv(rng, ci, c, 1, None, stride=2)) if stride > 1 else None
            layers += [nn.Residual(nn.Sequential(*body), shortcut), nn.ReLU()]
            ci = c
    return nn.Sequential(*layers, *_classifier(rng, ci, classes))


def convnext(rng: Rng, widths: Sequence[int], depths: Sequence[int], classes: int = 1000) -> nn.Layer:
    """ConvNeXt (Liu et al. 2022): 7x7 depthwise, layer norm, two 1x1 with GELU between them, a factor a channel."""
    layers: list[nn.Layer] = [nn.Conv2d(3, widths[0], 4, stride=4, rng=rng), nn.LayerNorm2d(widths[0])]
    for stage, (c, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            ci = widths[stage - 1]
            layers += [nn.LayerNorm2d(ci), nn.Conv2d(ci, c, 2, stride=2, rng=rng)]
        for _ in range(depth):
            body = [nn.Conv2d(c, c, 7, padding=3, groups=c, rng=rng), nn.LayerNorm2d(c)]
            body += [nn.Conv2d(c, 4 * c, 1, rng=rng), nn.GELU(), nn.Conv2d(4 * c, c, 1, rng=rng), nn.Scale(c)]
            layers += [nn.Residual(nn.Sequential(*body))]
    c = widths[-1]
    return nn.Sequential(*layers, nn.GlobalAvgPool2d(), nn.LayerNorm2d(c), nn.Flatten(), nn.Linear(c, classes, rng=rng))


def large_kernels(
    rng: Rng, widths: Sequence[int] = (128, 256), depth: int = 2, kernel: int = 31, classes: int = 1000
) -> nn.Layer:
    """Blocks like those of RepLKNet (Ding et al. 2022): 31x31 depthwise between 1x1, then two 1x1 with GELU."""
    c = widths[0]
    layers = [*_conv(rng, 3, c, 3, nn.ReLU, stride=2), *_conv(rng, c, c, 3, nn.ReLU, groups=c, stride=2)]
    for stage, c in enumerate(widths):
        if stage:
            layers += _conv(rng, widths[stage - 1], c, 1, nn.ReLU)
            layers += _conv(rng, c, c, 3, nn.ReLU, groups=c, stride=2)
        for _ in range(depth):
            mix = [nn.BatchNorm2d(c), *_conv(rng, c, c, 1, nn.ReLU)]
            mix += [*_conv(rng, c, c, kernel, nn.ReLU, groups=c), *_conv(rng, c, c, 1, None)]
            wide = [nn.BatchNorm2d(c), *_conv(rng, c, 4 * c, 1, nn.GELU), *_conv(rng, 4 * c, c, 1, None)]
            layers += [nn.Residual(nn.Sequential(*mix)), nn.Residual(nn.Sequential(*wide))]
    return nn.Sequential(*layers, *_classifier(rng, widths[-1], classes))


def unet(rng: Rng, width: int = 32, levels: int = 3, classes: int = 2) -> nn.Layer:
    """A U-Net (Ronneberger et al. 2015), padded: what goes down comes up beside what stayed; a class a pixel."""

    def twice(ci: int, co: int) -> list[nn.Layer]:
        return [*_conv(rng, ci, co, 3, nn.ReLU), *_conv(rng, co, co, 3, nn.ReLU)]

    def below(c: int, left: int) -> list[nn.Layer]:
        """From c channels back to c channels by way of all lower levels."""
        if not left:
            return []
        down = [nn.MaxPool2d(2), *twice(c, 2 * c), *below(2 * c, left - 1)]
        inner = nn.Sequential(*down, nn.ConvTranspose2d(2 * c, c, 2, stride=2, rng=rng))
        return [nn.Concat(nn.Sequential(), inner), *twice(2 * c, c)]

    return nn.Sequential(*twice(3, width), *below(width, levels), nn.Conv2d(width, classes, 1, rng=rng))


IMAGE = (3, 224, 224)
NETWORKS: dict[str, Network] = {
    "resnet18": Network(lambda rng: resnet(rng, (2, 2, 2, 2)), IMAGE),
    "resnet50": Network(lambda rng: resnet(rng, (3, 4, 6, 3), bottleneck=True), IMAGE),
    "mobilenet_v2": Network(lambda rng: inverted(rng, _MOBILENET_V2, nn.ReLU6), IMAGE),
    "efficientnet_b0": Network(lambda rng: inverted(rng, _EFFICIENTNET_B0, nn.SiLU, squeeze=True), IMAGE),
    "regnet_y": Network(lambda rng: regnet(rng, (128, 192, 512, 1088), (2, 6, 12, 2)), IMAGE),
    "convnext_tiny": Network(lambda rng: convnext(rng, (96, 192, 384, 768), (3, 3, 9, 3)), IMAGE),
    "large_kernels": Network(large_kernels, IMAGE),
    "unet": Network(unet, (3, 128, 128)),
    "lenet": Network(lenet, (1, 28, 28)),
}
QUICK = ("lenet", "mobilenet_v2")


def chosen(names: Iterable[str] = ()) -> dict[str, Network]:
    """
    The networks whose names fit one of the shell-style patterns; none means all.

    Raises
    ------
    ValueError
        If a pattern fits no network.
    """
    names = list(names)
    for pattern in names:
        if not any(matches(name, [pattern]) for name in NETWORKS):
            raise ValueError(f"networks: {pattern!r} fits none of {', '.join(NETWORKS)}")
    return {name: network for name, network in NETWORKS.items() if matches(name, names)}
