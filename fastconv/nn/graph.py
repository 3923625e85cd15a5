"""A network as a list of operations: layers taken apart, then put together where one pass over memory does for several.

Values are images (n, c, h, w); features (n, c) are images of one pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.typing import Array, Shape
from .activations import Activation
from .containers import Concat, Residual, Sequential
from .convolutions import Conv2d, DepthwiseSeparableConv2d
from .layer import Layer, joined
from .linear import Flatten, Linear
from .normalization import BatchNorm2d, LayerNorm2d
from .pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from .scaling import Dropout, Scale, SqueezeExcitation

_Four = tuple[int, int, int, int]


@dataclass(eq=False)
class Node:
    """
    An operation.

    Attributes
    ----------
    kind : str
        ``input``, ``conv``, ``affine`` (a factor and a term a channel), ``activation``, ``norm`` (over channels),
        ``pool``, ``gate`` (image times a factor a channel), ``add``, ``concat``, ``flatten``, ``view`` (the same
        memory as features) or ``layer`` (any other).
    inputs : list of Node
    shape : tuple of int
        Of the value, (n, c, h, w).
    path : str
        The way to the layer.
    w, bias : ndarray, or None
        Of ``conv``, (co, ci // groups, kh, kw) and (co,); of ``affine`` and ``norm`` (c,) each.
    activation : str or None
        Applied at last.
    options : dict
        Of ``conv`` those of `fastconv.conv2d`.
    layer : Layer or None
    scale : float
        Of ``add``: factor of the sum.
    features : bool
        Whether the value is (n, c) in the network as it is written.
    names : list of str
        Layers that have become part of it.
    """

    kind: str
    inputs: list[Node]
    shape: _Four
    path: str
    w: Array | None = None
    bias: Array | None = None
    activation: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    layer: Layer | None = None
    scale: float = 1.0
    features: bool = False
    names: list[str] = field(default_factory=list)

    @property
    def written(self) -> tuple[int, ...]:
        """The shape in the network as it is written."""
        return self.shape[:2] if self.features else self.shape


def taken_apart(net: Layer, input_shape: Shape) -> tuple[Node, Node]:
    """The input and the output of a network that infers."""
    shape = (*input_shape, 1, 1)[:4]
    source = Node("input", [], shape, "x", features=len(input_shape) == 2)  # type: ignore[arg-type]
    return source, _lower(net, source, "")


def _lower(layer: Layer, x: Node, path: str) -> Node:
    for kind, lower in _LOWER.items():
        if isinstance(layer, kind):
            return lower(layer, x, path)
    return _other(layer, x, path)


def _other(layer: Layer, x: Node, path: str) -> Node:
    """A layer that is called as it is."""
    shape = layer.output_shape(x.written)
    features = len(shape) == 2
    return Node("layer", [x], (*shape, 1, 1)[:4], path, layer=layer, features=features)  # type: ignore[arg-type]


def _sequential(layer: Any, x: Node, path: str) -> Node:
    for name, child in layer.children().items():
        x = _lower(child, x, joined(path, name))
    return x


def _residual(layer: Any, x: Node, path: str) -> Node:
    shortcut = x if layer.shortcut is None else _lower(layer.shortcut, x, joined(path, "shortcut"))
    body = _lower(layer.body, x, joined(path, "body"))
    return Node("add", [body, shortcut], body.shape, path, scale=layer.scale, features=body.features)


def _concat(layer: Any, x: Node, path: str) -> Node:
    parts = [_lower(branch, x, joined(path, name)) for name, branch in layer.children().items()]
    n, _, h, w = parts[0].shape
    return Node("concat", parts, (n, sum(p.shape[1] for p in parts), h, w), path, features=parts[0].features)


def _conv(layer: Any, x: Node, path: str) -> Node:
    names = "stride", "padding", "dilation", "groups", "padding_mode"
    options = {name: getattr(layer, name) for name in names}
    shape = layer.output_shape(x.written)
    bias = None if layer.bias is None else layer.bias.value
    return Node("conv", [x], shape, path, layer.weight.value, bias, options=options)


def _separable(layer: Any, x: Node, path: str) -> Node:
    options = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "padding_mode")}
    shape = layer.output_shape(x.written)
    c = layer.depthwise.value.shape[0]
    middle = Node("conv", [x], (shape[0], c, *shape[2:]), path, layer.depthwise.value, None, options=options)
    middle.options["groups"] = x.shape[1]
    w = layer.pointwise.value.reshape(-1, c, 1, 1)
    return Node("conv", [middle], shape, path, w, None if layer.bias is None else layer.bias.value)


def _linear(layer: Any, x: Node, path: str) -> Node:
    n, outputs = layer.output_shape(x.written)
    w, bias = layer.weight.value[:, :, None, None], None if layer.bias is None else layer.bias.value
    return Node("conv", [x], (n, outputs, 1, 1), path, w, bias, features=True)


def _flatten(layer: Any, x: Node, path: str) -> Node:
    if x.features:
        return x
    n, c = layer.output_shape(x.written)
    return Node("view" if x.shape[2:] == (1, 1) else "flatten", [x], (n, c, 1, 1), path, features=True)


def _batch_norm(layer: Any, x: Node, path: str) -> Node:
    layer.output_shape(x.written)
    w = layer.weight.value / np.sqrt(layer.running_var.astype(np.float64) + layer.eps)
    bias = layer.bias.value - layer.running_mean * w
    return Node("affine", [x], x.shape, path, w, bias)


def _scale(layer: Any, x: Node, path: str) -> Node:
    layer.output_shape(x.written)
    return Node("affine", [x], x.shape, path, layer.weight.value, None)


def _layer_norm(layer: Any, x: Node, path: str) -> Node:
    layer.output_shape(x.written)
    eps = {"eps": layer.eps}
    return Node("norm", [x], x.shape, path, layer.weight.value, layer.bias.value, options=eps)


def _squeeze(layer: Any, x: Node, path: str) -> Node:
    layer.output_shape(x.written)
    return Node("gate", [x, _lower(layer.gate, x, joined(path, "gate"))], x.shape, path)


def _pool(layer: Any, x: Node, path: str) -> Node:
    return Node("pool", [x], layer.output_shape(x.written), path, layer=layer)


def _activation(layer: Any, x: Node, path: str) -> Node:
    if layer.function is None:
        return _other(layer, x, path)
    return Node("activation", [x], x.shape, path, activation=layer.function, features=x.features)


def _same(layer: Any, x: Node, path: str) -> Node:
    return x


_LOWER: dict[type, Callable[[Any, Node, str], Node]] = {
    Sequential: _sequential,
    Residual: _residual,
    Concat: _concat,
    Conv2d: _conv,
    DepthwiseSeparableConv2d: _separable,
    Linear: _linear,
    Flatten: _flatten,
    BatchNorm2d: _batch_norm,
    Scale: _scale,
    LayerNorm2d: _layer_norm,
    SqueezeExcitation: _squeeze,
    MaxPool2d: _pool,
    AvgPool2d: _pool,
    GlobalAvgPool2d: _pool,
    Activation: _activation,
    Dropout: _same,
}


def in_order(output: Node) -> list[Node]:
    """Every operation after those whose values it takes, the input first."""
    found: dict[int, Node] = {}
    waiting = [(output, False)]
    while waiting:
        node, ready = waiting.pop()
        if id(node) in found:
            continue
        if ready:
            found[id(node)] = node
            continue
        waiting.append((node, True))
        waiting += [(a, False) for a in node.inputs]
    return list(found.values())


def fused(output: Node) -> Node:
    """The same network with what follows a convolution in its last store.

    A factor and a term a channel (batch normalisation, `Scale`) go into the weights: ``a (w x + b) + c`` is
    ``(a w) x + (a b + c)``. A shortcut is added and the activation applied before the result is stored.
    """
    nodes = in_order(output)
    uses: dict[int, int] = {id(output): 1}
    for node in nodes:
        for a in node.inputs:
            uses[id(a)] = uses.get(id(a), 0) + 1
    became: dict[int, Node] = {}
    for node in nodes:
        node.inputs = [became.get(id(a), a) for a in node.inputs]
        target = _into(node, uses)
        if target is not None:
            target.names.append(node.path)
            uses[id(target)] = uses[id(node)]
            became[id(node)] = target
    return became.get(id(output), output)


def _into(node: Node, uses: dict[int, int]) -> Node | None:
    """The convolution (or factor a channel) that does the operation too, if one can."""

    def open_(a: Node, kinds: tuple[str, ...] = ("conv",)) -> bool:
        return a.kind in kinds and uses[id(a)] == 1 and a.activation is None

    first = node.inputs[0] if node.inputs else node
    if node.kind == "affine" and open_(first) and len(first.inputs) == 1:
        assert first.w is not None and node.w is not None
        bias = np.zeros(1) if first.bias is None else first.bias
        first.bias = bias * node.w + (0 if node.bias is None else node.bias)
        first.w = first.w * node.w[:, None, None, None]
        return first
    if node.kind == "activation" and open_(first, ("conv", "affine")):
        first.activation = node.activation
        return first
    if node.kind == "add" and node.scale == 1:
        for a, b in (node.inputs, node.inputs[::-1]):
            if open_(a) and len(a.inputs) == 1 and a is not b and a not in in_order(b):
                a.inputs.append(b)
                return a
    if node.kind == "conv" and first.kind == "flatten" and uses[id(first)] == 1:
        c, h, w = first.inputs[0].shape[1:]  # features in the order of memory: the weights follow
        assert node.w is not None
        node.w = node.w.reshape(-1, c, h, w).transpose(0, 2, 3, 1).reshape(len(node.w), -1, 1, 1)
        first.kind = "view"
    return None
