"""``torch.compile(model, backend="fastconv")``: the convolutions of a graph computed here, the rest by PyTorch.

Without gradients every convolution becomes a `Fused` call together with what follows it, and images are channels_last
from the first convolution on. With gradients a convolution becomes a call of `conv2d` or `conv_transpose2d`, which have
gradients. What is not understood stays as it is.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx

from ..core.typing import Activation
from .chains import FUSED, Chain, chain_of
from .functional import conv2d, conv_transpose2d
from .fusion import Fused

_REPLACED: dict[Any, Callable[..., Any]] = {torch.conv2d: conv2d, torch.conv_transpose2d: conv_transpose2d}
_FLOATS = (torch.float32, torch.float64)
#: methods whose result depends on strides, or that refuse some
_STRIDED = {"view", "view_as", "as_strided", "stride", "is_contiguous", "data_ptr", "set_", "unsafe_chunk", "numpy"}
_told: set[str] = set()


def compile_backend(gm: fx.GraphModule, example_inputs: Sequence[object]) -> Callable[..., object]:
    """Backend of `torch.compile`, also known by its name: ``torch.compile(model, backend="fastconv")``.

    Batch norm is folded, activation and addition are fused, weights are packed once; when a tensor that a plan was made
    of changes, which PyTorch counts, that is done again. What is written through ``.data`` is not counted.

    Parameters
    ----------
    gm : torch.fx.GraphModule
        The graph, as torch.compile hands it over.
    example_inputs : sequence of tensors
        Of any shapes; parameters and buffers are known by them.

    Returns
    -------
    callable
        Of the graph's inputs, like ``gm``.

    Raises
    ------
    RuntimeError, ValueError
        Only when it is called, as ``gm``: a graph that is not understood runs as it is, with one warning.
    """
    try:
        return _compiled(gm, example_inputs)
    except Exception as error:  # a pass that fails must not take a model down
        _tell(f"a graph is left to PyTorch: {type(error).__name__}: {error}")
        return gm.forward


def _compiled(gm: fx.GraphModule, example_inputs: Sequence[object]) -> Callable[..., Any]:
    graph = copy.deepcopy(gm.graph)
    made = fx.GraphModule(gm, graph)
    inputs = [n for n in graph.nodes if n.op == "placeholder"]
    static = {n for n, e in zip(inputs, example_inputs, strict=True) if _is_static(e)}
    static |= {n for n in graph.nodes if n.op == "get_attr"}
    if torch.is_grad_enabled():
        for node in graph.nodes:
            if node.op == "call_function" and node.target in _REPLACED:
                node.target = _REPLACED[node.target]
    else:
        fused = _fuse(made, static)
        if fused:
            _lay_out(graph, inputs, static, fused)
    graph.lint()
    made.recompile()
    return made.forward


def _is_static(example: Any) -> bool:
    """Whether an input is a parameter or a buffer of the model."""
    marked = getattr(example, "_dynamo_static_input_type", None) is not None
    return isinstance(example, Tensor) and (marked or isinstance(example, torch.nn.Parameter))


def _fuse(made: fx.GraphModule, static: set[fx.Node]) -> list[fx.Node]:
    """Put a `Fused` module in the place of every convolution and its followers; those nodes."""
    graph, fused = made.graph, list[fx.Node]()
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        chain = chain_of(node, static)
        if chain is not None and chain.dtype in _FLOATS:
            fused.append(_put(made, chain, f"{FUSED}{len(fused)}"))
        elif chain is not None:
            _tell(f"convolutions of {chain.dtype} are left to PyTorch")
        elif node.target in _REPLACED:
            node.target = _REPLACED[node.target]
    return fused


def _put(made: fx.GraphModule, chain: Chain, name: str) -> fx.Node:
    activation = cast("Activation | None", chain.activation)
    made.add_submodule(name, Fused(chain.options, chain.eps, activation))
    last = chain.nodes[-1]
    with made.graph.inserting_before(last):
        node = made.graph.call_module(name, (chain.x, chain.residual, chain.w, chain.bias, *chain.norm))
    node.meta = dict(last.meta)
    last.replace_all_uses_with(node)
    for old in reversed(chain.nodes):
        made.graph.erase_node(old)
    return node


def _lay_out(graph: fx.Graph, inputs: list[fx.Node], static: set[fx.Node], fused: list[fx.Node]) -> None:
    """Let convolutions read the graph's images channels_last, unless somebody asks for strides; results as expected."""
    if any(n.op == "call_method" and n.target in _STRIDED for n in graph.nodes):
        return
    images = set(inputs) - static
    for user in fused:
        for k, a in enumerate(user.args[:2]):
            if isinstance(a, fx.Node) and a in images and getattr(a.meta.get("example_value"), "ndim", 0) == 4:
                with graph.inserting_before(user):  # here: what is changed in place before is seen
                    turned = graph.call_method("contiguous", (a,), {"memory_format": torch.channels_last})
                user.update_arg(k, turned)
    _restore(graph)


def _restore(graph: fx.Graph) -> None:
    """Results that a caller expects to be contiguous are."""
    out = next(n for n in graph.nodes if n.op == "output")

    def restored(a: fx.Node) -> Any:
        value = a.meta.get("example_value")
        if a.op == "placeholder" or not (isinstance(value, Tensor) and value.ndim > 2 and value.is_contiguous()):
            return a
        with graph.inserting_before(out):
            return graph.call_method("contiguous", (a,))

    out.args = fx.node.map_arg(out.args, restored)


def _tell(message: str) -> None:
    """Warn, once."""
    if message not in _told:
        _told.add(message)
        warnings.warn(f"fastconv: {message}", stacklevel=3)
