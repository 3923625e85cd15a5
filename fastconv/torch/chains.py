"""Which nodes of a graph are one call: a convolution, batch norm, the addition of a residual, an activation.

Every node of a chain but the last is read by the next one alone. The call takes the place of the last, so that no node
between the first and the last may change a tensor in place: it could be one that the call reads.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.nn import functional

from . import operators
from .functional import options_of
from .tensors import Options

_CONV2D = "input", "weight", "bias", "stride", "padding", "dilation", "groups"
_NORM = "input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"
_ADDITIONS = {operator.add, torch.add, "add"}
_IN_PLACE_ADDITIONS = {operator.iadd, "add_"}
_PLAIN: dict[Any, str] = {
    functional.relu: "relu", torch.relu: "relu", torch.relu_: "relu", "relu": "relu", "relu_": "relu",
    functional.relu6: "relu6", functional.silu: "silu", functional.hardswish: "hardswish",
    torch.sigmoid: "sigmoid", functional.sigmoid: "sigmoid", "sigmoid": "sigmoid",
    torch.tanh: "tanh", functional.tanh: "tanh", "tanh": "tanh",
}  # fmt: skip
_OPERATORS = {getattr(operator, n) for n in dir(operator) if n.startswith("i") and hasattr(operator, f"__{n}__")}
_CHANGING = (_OPERATORS - {operator.index, operator.inv, operator.invert}) | {operator.setitem, operator.delitem}


#: names of the modules that stand for chains begin so
FUSED = "fastconv_"


class Chain(NamedTuple):
    """Nodes that one call stands for, and what it is called with."""

    nodes: list[fx.Node]
    options: Options
    x: fx.Node
    w: fx.Node
    bias: fx.Node | None
    norm: tuple[fx.Node | None, ...] = ()
    eps: float | None = None
    residual: fx.Node | None = None
    activation: str | None = None

    @property
    def dtype(self) -> Any:
        """That of the weights."""
        return getattr(self.w.meta.get("example_value"), "dtype", None)


def chain_of(node: fx.Node, static: set[fx.Node]) -> Chain | None:
    """The chain that begins with a convolution whose weights are static; None for any other node."""
    chain = _convolution(node, static)
    if chain is None:
        return None
    for grow in (_with_norm, _with_residual, _with_activation):
        follower = _follower(chain)
        if follower is not None:
            chain = grow(chain, follower, static)
    return chain


def mutates(node: fx.Node) -> bool:
    """Whether a node may change a tensor in place; rather once too often."""
    if node.op == "call_method":
        return str(node.target).endswith("_") or "out" in node.kwargs
    if node.op != "call_function":
        return node.op == "call_module" and not str(node.target).startswith(FUSED)
    schema = getattr(node.target, "_schema", None)
    if schema is not None:
        return bool(schema.is_mutable)
    if node.target in _CHANGING or getattr(node.target, "__name__", "_").endswith("_"):
        return True
    return "out" in node.kwargs or any(a is True for a in (*node.args, *node.kwargs.values()))


def _convolution(node: fx.Node, static: set[fx.Node]) -> Chain | None:
    if node.target not in (torch.conv2d, operators.conv2d) or not set(node.kwargs) <= set(_CONV2D):
        return None
    given: dict[str, Any] = dict(zip(_CONV2D, node.args, strict=False)) | node.kwargs
    x, w, bias = given["input"], given["weight"], given.get("bias")
    rest = given.get("stride", 1), given.get("padding", 0), given.get("dilation", 1), given.get("groups", 1)
    value = w.meta.get("example_value") if isinstance(w, fx.Node) else None
    numbers = all(isinstance(n, (int, str)) for a in rest for n in (a if isinstance(a, (tuple, list)) else (a,)))
    if not (isinstance(x, fx.Node) and w in static and (bias is None or bias in static) and numbers):
        return None
    if not isinstance(value, Tensor) or value.ndim != 4 or not isinstance(rest[3], int):
        return None
    if node.target is operators.conv2d:
        options: Options = tuple(rest[0]), tuple(rest[1]), tuple(rest[2]), rest[3]
    else:
        options = options_of(value, *rest)
    return Chain([node], options, x, w, bias)


def _follower(chain: Chain) -> fx.Node | None:
    """The only reader of a chain's end, if nothing is changed in place before it."""
    last = chain.nodes[-1]
    if len(last.users) != 1:
        return None
    reader = next(iter(last.users))
    node = chain.nodes[0]
    while node is not reader:
        if node not in chain.nodes and mutates(node):
            return None
        node = node.next
    return reader


def _with_norm(chain: Chain, node: fx.Node, static: set[fx.Node]) -> Chain:
    if node.target is not functional.batch_norm:
        return chain
    given: dict[str, Any] = dict(zip(_NORM, node.args, strict=False)) | node.kwargs
    norm = given.get("running_mean"), given.get("running_var"), given.get("weight"), given.get("bias")
    fits = given["input"] is chain.nodes[-1] and given.get("training", False) is False
    if not fits or None in norm[:2] or not all(n is None or n in static for n in norm):
        return chain
    eps = given.get("eps", 1e-5)
    if not isinstance(eps, (int, float)):
        return chain
    return chain._replace(nodes=[*chain.nodes, node], norm=norm, eps=float(eps))


def _with_residual(chain: Chain, node: fx.Node, static: set[fx.Node]) -> Chain:
    last, in_place = chain.nodes[-1], node.target in _IN_PLACE_ADDITIONS
    if not (in_place or node.target in _ADDITIONS) or len(node.args) != 2 or node.kwargs:
        return chain
    first, second = node.args
    other = second if first is last else first
    if (in_place and first is not last) or other is last or not isinstance(other, fx.Node):
        return chain
    value, own = other.meta.get("example_value"), last.meta.get("example_value")
    if not (isinstance(value, Tensor) and isinstance(own, Tensor)):
        return chain
    if value.dtype != own.dtype or tuple(value.shape) != tuple(own.shape):
        return chain
    return chain._replace(nodes=[*chain.nodes, node], residual=other)


def _with_activation(chain: Chain, node: fx.Node, static: set[fx.Node]) -> Chain:
    if not node.args or node.args[0] is not chain.nodes[-1]:
        return chain
    rest, options = node.args[1:], {k: v for k, v in node.kwargs.items() if k != "inplace"}
    name = None
    if node.target in _PLAIN and not options and len(rest) <= 1:
        name = _PLAIN[node.target]
    elif node.target is functional.leaky_relu:
        slope = rest[0] if rest else options.pop("negative_slope", 0.01)
        name = "leaky_relu" if slope == 0.01 and not options else None
    elif node.target is functional.hardtanh:
        bounds = [*rest[:2], *(options.pop(k) for k in ("min_val", "max_val") if k in options)]
        name = "relu6" if bounds == [0, 6] and not options else None
    elif node.target is functional.gelu:
        kind = rest[0] if rest else options.pop("approximate", "none")
        name = "gelu" if kind == "none" and not options else None
    return chain if name is None else chain._replace(nodes=[*chain.nodes, node], activation=name)
