"""A network of `fastconv.nn` as a module of PyTorch with the same numbers, as one would write it there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fastconv import nn
from fastconv.core.arguments import paddings

Pair = tuple[int, int]
_BORDERS = {"reflect": "reflect", "replicate": "replicate", "circular": "circular"}


class Residual(torch.nn.Module):
    """Body beside shortcut."""

    def __init__(self, body: torch.nn.Module, shortcut: torch.nn.Module, scale: float) -> None:
        super().__init__()
        self.body, self.shortcut, self.scale = body, shortcut, scale

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x) + self.shortcut(x)
        return y if self.scale == 1 else y * self.scale


class Concat(torch.nn.Module):
    """Branches beside each other."""

    def __init__(self, *branches: torch.nn.Module) -> None:
        super().__init__()
        self.branches = torch.nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class SqueezeExcitation(torch.nn.Module):
    """Channels by their gate."""

    def __init__(self, gate: torch.nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x * self.gate(x)
        return y


class Scale(torch.nn.Module):
    """A factor a channel."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.view(-1, 1, 1)


class LayerNorm2d(torch.nn.LayerNorm):
    """Layer norm over channels: the last axis of channels_last memory."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ArcTan(torch.nn.Module):
    """By element."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.atan(x)


class Pad(torch.nn.Module):
    """What `torch.nn.functional.pad` does; sizes as it takes them."""

    def __init__(self, sizes: tuple[int, ...], mode: str = "constant", value: float = 0.0) -> None:
        super().__init__()
        self.sizes, self.mode, self.value = sizes, mode, value

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x, self.sizes, self.mode, self.value if self.mode == "constant" else None)


def to_torch(layer: nn.Layer) -> torch.nn.Module:
    """
    A module that computes what the layer does; it learns or infers as the layer does.

    Raises
    ------
    ValueError
        For a layer or an option that PyTorch does not have in this form.
    """
    kind = type(layer)
    if kind not in _MADE:
        raise ValueError(f"no module of PyTorch is known for {kind.__name__}")
    return _MADE[kind](layer).train(layer.training)


def pads_of(layer: Any, k: Pair, stride: Any, dilation: Any = 1) -> tuple[Pair, Pair]:
    """Padding as ((top, bottom), (left, right)); by name only where it does not depend on the image's size."""
    steps, apart = pair(stride), pair(dilation)
    if layer.padding == "same" and max(steps) > 1:
        raise ValueError("padding='same' with a stride depends on the image's size")
    rows, cols = ((10**6, k[i], steps[i], apart[i]) for i in (0, 1))
    return paddings(layer.padding, (rows, cols))


def pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _copy(a: np.ndarray) -> Tensor:
    return torch.from_numpy(a.copy())


def _filled(module: Any, **parameters: nn.Parameter | None) -> Any:
    for name, p in parameters.items():
        if p is not None:
            setattr(module, name, torch.nn.Parameter(_copy(p.value)))
    return module


def _behind(pad: Pad | None, module: torch.nn.Module) -> torch.nn.Module:
    return module if pad is None else torch.nn.Sequential(pad, module)


def _apart(pads: tuple[Pair, Pair], mode: str = "constant", value: float = 0.0) -> tuple[Pad | None, Pair]:
    """Padding that a module can do itself, or a module before it."""
    (top, bottom), (left, right) = pads
    if mode == "constant" and top == bottom and left == right:
        return None, (top, left)
    return Pad((left, right, top, bottom), mode, value), (0, 0)


def _convolution(layer: Any, weight: nn.Parameter, bias: nn.Parameter | None, groups: int) -> torch.nn.Module:
    co, ci = weight.value.shape[0], weight.value.shape[1] * groups
    if layer.padding_mode != "zeros" and layer.padding_mode not in _BORDERS:
        raise ValueError(f"PyTorch has no padding_mode {layer.padding_mode!r}")
    pads = pads_of(layer, layer.kernel_size, layer.stride, layer.dilation)
    pad, own = _apart(pads, _BORDERS.get(layer.padding_mode, "constant"))
    steps = pair(layer.stride), own, pair(layer.dilation)
    conv = torch.nn.Conv2d(ci, co, layer.kernel_size, *steps, groups, bias=bias is not None)
    return _behind(pad, _filled(conv, weight=weight, bias=bias))


def _conv(layer: nn.Conv2d) -> torch.nn.Module:
    return _convolution(layer, layer.weight, layer.bias, layer.groups)


def _separable(layer: nn.DepthwiseSeparableConv2d) -> torch.nn.Module:
    deep = _convolution(layer, layer.depthwise, None, layer.in_channels)
    point = torch.nn.Conv2d(layer.pointwise.value.shape[1], layer.out_channels, 1, bias=layer.bias is not None)
    return torch.nn.Sequential(deep, _filled(point, weight=layer.pointwise, bias=layer.bias))


def _transposed(layer: nn.ConvTranspose2d) -> torch.nn.Module:
    pads = pads_of(layer, layer.kernel_size, 1)
    if any(a != b for a, b in pads):
        raise ValueError(f"PyTorch pads transposed convolutions alike on both sides, got {layer.padding!r}")
    module = torch.nn.ConvTranspose2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        stride=pair(layer.stride),
        padding=(pads[0][0], pads[1][0]),
        output_padding=pair(layer.output_padding),
        groups=layer.groups,
        bias=layer.bias is not None,
        dilation=pair(layer.dilation),
    )
    filled: torch.nn.Module = _filled(module, weight=layer.weight, bias=layer.bias)
    return filled


def _batch_norm(layer: nn.BatchNorm2d) -> torch.nn.Module:
    module = torch.nn.BatchNorm2d(layer.channels, eps=layer.eps, momentum=layer.momentum)
    module.running_mean, module.running_var = _copy(layer.running_mean), _copy(layer.running_var)
    filled: torch.nn.Module = _filled(module, weight=layer.weight, bias=layer.bias)
    return filled


def _layer_norm(layer: nn.LayerNorm2d) -> torch.nn.Module:
    filled: torch.nn.Module = _filled(LayerNorm2d(layer.channels, layer.eps), weight=layer.weight, bias=layer.bias)
    return filled


def _linear(layer: nn.Linear) -> torch.nn.Module:
    module = torch.nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    filled: torch.nn.Module = _filled(module, weight=layer.weight, bias=layer.bias)
    return filled


def _max_pool(layer: nn.MaxPool2d) -> torch.nn.Module:
    k = pair(layer.kernel_size)
    stride = k if layer.stride is None else pair(layer.stride)
    pad, own = _apart(pads_of(layer, k, stride, layer.dilation), value=float("-inf"))
    pool = torch.nn.MaxPool2d(k, stride, own, pair(layer.dilation), ceil_mode=layer.ceil_mode)
    return _behind(pad, pool)


def _avg_pool(layer: nn.AvgPool2d) -> torch.nn.Module:
    k = pair(layer.kernel_size)
    stride = k if layer.stride is None else pair(layer.stride)
    pad, own = _apart(pads_of(layer, k, stride))
    if pad is not None and not layer.count_include_pad:
        raise ValueError("PyTorch pads means alike on both sides")
    return _behind(pad, torch.nn.AvgPool2d(k, stride, own, layer.ceil_mode, layer.count_include_pad))


def _residual(layer: nn.Residual) -> torch.nn.Module:
    shortcut = torch.nn.Identity() if layer.shortcut is None else to_torch(layer.shortcut)
    return Residual(to_torch(layer.body), shortcut, layer.scale)


_MADE: dict[type[nn.Layer], Callable[[Any], torch.nn.Module]] = {
    nn.Sequential: lambda layer: torch.nn.Sequential(*map(to_torch, layer)),
    nn.Residual: _residual,
    nn.Concat: lambda layer: Concat(*map(to_torch, layer.branches)),
    nn.Conv2d: _conv,
    nn.ConvTranspose2d: _transposed,
    nn.DepthwiseSeparableConv2d: _separable,
    nn.Linear: _linear,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm2d: _layer_norm,
    nn.SqueezeExcitation: lambda layer: SqueezeExcitation(to_torch(layer.gate)),
    nn.Scale: lambda layer: Scale(_copy(layer.weight.value)),
    nn.Dropout: lambda layer: torch.nn.Dropout(layer.p),
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _avg_pool,
    nn.GlobalAvgPool2d: lambda layer: torch.nn.AdaptiveAvgPool2d(1),
    nn.Flatten: lambda layer: torch.nn.Flatten(),
    nn.ReLU: lambda layer: torch.nn.ReLU(),
    nn.ReLU6: lambda layer: torch.nn.ReLU6(),
    nn.LeakyReLU: lambda layer: torch.nn.LeakyReLU(layer.slope),
    nn.Sigmoid: lambda layer: torch.nn.Sigmoid(),
    nn.Tanh: lambda layer: torch.nn.Tanh(),
    nn.Softsign: lambda layer: torch.nn.Softsign(),
    nn.ArcTan: lambda layer: ArcTan(),
    nn.SiLU: lambda layer: torch.nn.SiLU(),
    nn.GELU: lambda layer: torch.nn.GELU(),
    nn.Hardswish: lambda layer: torch.nn.Hardswish(),
}
