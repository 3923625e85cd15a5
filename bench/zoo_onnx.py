"""A network of `fastconv.nn`, inferring, as an ONNX model with the same numbers; without the onnx package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench import onnx_model
from bench.zoo_torch import pads_of, pair
from fastconv import nn
from fastconv.core.typing import Shape


class _Graph:
    """Nodes and constants; every method puts a layer behind the value of a name, and names its result."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.constants: dict[str, np.ndarray] = {}

    def node(self, kind: str, *inputs: str, **attributes: onnx_model.Attribute) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(onnx_model.node(kind, inputs, output, **attributes))
        return output

    def constant(self, a: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = a
        return name

    def values(self, *parameters: nn.Parameter | None) -> list[str]:
        return [self.constant(p.value) for p in parameters if p is not None]

    def put(self, layer: nn.Layer, x: str) -> str:
        kind = type(layer)
        if kind in _NAMES:
            return self.node(_NAMES[kind], x)
        if kind not in _PUT:
            raise ValueError(f"no ONNX node is known for {kind.__name__}")
        return _PUT[kind](self, layer, x)

    def sequential(self, layer: nn.Sequential, x: str) -> str:
        for inner in layer:
            x = self.put(inner, x)
        return x

    def residual(self, layer: nn.Residual, x: str) -> str:
        y = self.node("Add", self.put(layer.body, x), x if layer.shortcut is None else self.put(layer.shortcut, x))
        return y if layer.scale == 1 else self.node("Mul", y, self.constant(np.float32(layer.scale).reshape(1)))

    def concat(self, layer: nn.Concat, x: str) -> str:
        return self.node("Concat", *(self.put(branch, x) for branch in layer.branches), axis=1)

    def convolution(self, layer: Any, x: str, weights: Sequence[str], groups: int) -> str:
        if layer.padding_mode != "zeros":
            raise ValueError(f"padding_mode {layer.padding_mode!r} is none of ONNX's convolution")
        windows = _windows(layer, layer.stride, layer.dilation)
        return self.node("Conv", x, *weights, group=groups, dilations=pair(layer.dilation), **windows)

    def conv(self, layer: nn.Conv2d, x: str) -> str:
        return self.convolution(layer, x, self.values(layer.weight, layer.bias), layer.groups)

    def separable(self, layer: nn.DepthwiseSeparableConv2d, x: str) -> str:
        z = self.convolution(layer, x, self.values(layer.depthwise), layer.in_channels)
        return self.node("Conv", z, *self.values(layer.pointwise, layer.bias))

    def transposed(self, layer: nn.ConvTranspose2d, x: str) -> str:
        weights, windows = self.values(layer.weight, layer.bias), _windows(layer, layer.stride, layer.dilation)
        more = {"output_padding": pair(layer.output_padding), "dilations": pair(layer.dilation)}
        return self.node("ConvTranspose", x, *weights, group=layer.groups, **more, **windows)

    def linear(self, layer: nn.Linear, x: str) -> str:
        return self.node("Gemm", x, *self.values(layer.weight, layer.bias), transB=1)

    def batch_norm(self, layer: nn.BatchNorm2d, x: str) -> str:
        running = (self.constant(a) for a in (layer.running_mean, layer.running_var))
        given = self.values(layer.weight, layer.bias)
        return self.node("BatchNormalization", x, *given, *running, epsilon=float(layer.eps))

    def layer_norm(self, layer: nn.LayerNorm2d, x: str) -> str:
        last = self.node("Transpose", x, perm=(0, 2, 3, 1))
        given = self.values(layer.weight, layer.bias)
        y = self.node("LayerNormalization", last, *given, axis=-1, epsilon=float(layer.eps))
        return self.node("Transpose", y, perm=(0, 3, 1, 2))

    def scale(self, layer: nn.Scale, x: str) -> str:
        return self.node("Mul", x, self.constant(layer.weight.value.reshape(1, -1, 1, 1)))

    def squeeze(self, layer: nn.SqueezeExcitation, x: str) -> str:
        return self.node("Mul", x, self.put(layer.gate, x))

    def leaky(self, layer: nn.LeakyReLU, x: str) -> str:
        return self.node("LeakyRelu", x, alpha=float(layer.slope))

    def relu6(self, layer: nn.ReLU6, x: str) -> str:
        return self.node("Clip", x, *(self.constant(np.array(v, np.float32)) for v in (0, 6)))

    def silu(self, layer: nn.SiLU, x: str) -> str:
        return self.node("Mul", x, self.node("Sigmoid", x))

    def max_pool(self, layer: nn.MaxPool2d, x: str) -> str:
        windows = _windows(layer, layer.stride or layer.kernel_size, layer.dilation)
        apart, ceil = pair(layer.dilation), int(layer.ceil_mode)
        return self.node("MaxPool", x, dilations=apart, ceil_mode=ceil, **windows)

    def avg_pool(self, layer: nn.AvgPool2d, x: str) -> str:
        windows = _windows(layer, layer.stride or layer.kernel_size)
        more = {"count_include_pad": int(layer.count_include_pad), "ceil_mode": int(layer.ceil_mode)}
        return self.node("AveragePool", x, **windows, **more)


def _windows(layer: Any, stride: Any, dilation: Any = 1) -> dict[str, tuple[int, ...]]:
    k = pair(layer.kernel_size)
    named = isinstance(layer.padding, str)
    (top, bottom), (left, right) = pads_of(layer, k, stride if named else 1, dilation)
    return {"kernel_shape": k, "strides": pair(stride), "pads": (top, left, bottom, right)}


_NAMES: dict[type[nn.Layer], str] = {
    nn.GlobalAvgPool2d: "GlobalAveragePool",
    nn.Flatten: "Flatten",
    nn.Dropout: "Identity",
    nn.ReLU: "Relu",
    nn.Sigmoid: "Sigmoid",
    nn.Tanh: "Tanh",
    nn.Softsign: "Softsign",
    nn.ArcTan: "Atan",
    nn.GELU: "Gelu",
    nn.Hardswish: "HardSwish",
}
_PUT: dict[type[nn.Layer], Callable[[_Graph, Any, str], str]] = {
    nn.Sequential: _Graph.sequential,
    nn.Residual: _Graph.residual,
    nn.Concat: _Graph.concat,
    nn.Conv2d: _Graph.conv,
    nn.ConvTranspose2d: _Graph.transposed,
    nn.DepthwiseSeparableConv2d: _Graph.separable,
    nn.Linear: _Graph.linear,
    nn.BatchNorm2d: _Graph.batch_norm,
    nn.LayerNorm2d: _Graph.layer_norm,
    nn.SqueezeExcitation: _Graph.squeeze,
    nn.Scale: _Graph.scale,
    nn.LeakyReLU: _Graph.leaky,
    nn.ReLU6: _Graph.relu6,
    nn.SiLU: _Graph.silu,
    nn.MaxPool2d: _Graph.max_pool,
    nn.AvgPool2d: _Graph.avg_pool,
}


def to_onnx(net: nn.Layer, x_shape: Shape) -> bytes:
    """
    A model from ``x`` of this shape to ``y``.

    Raises
    ------
    ValueError
        For a layer or an option that ONNX does not have in this form.
    """
    graph = _Graph()
    last = graph.put(net, "x")
    graph.nodes.append(onnx_model.node("Identity", (last,), "y"))
    return onnx_model.model(graph.nodes, graph.constants, x_shape, net.output_shape(x_shape))
