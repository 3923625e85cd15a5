"""A network compiled for inference: operations planned, weights packed, memory laid out, steps in a row."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..core.arguments import shape_of
from ..core.layouts import lies_either_way, lies_last, returned
from ..core.threads import get_num_threads
from ..core.typing import Array, ArrayLike, Shape
from ..core.workspace import aligned
from ..operations.average_pooling import avg_pool2d
from ..operations.elementwise import activation_into, largest, to_channels_last
from ..operations.normalization import affine, gate, layer_norm
from ..operations.pooling import max_pool2d
from ..operations.prepared import Conv2dPlan, plan_conv2d
from ..operations.repeated import Calls, repeatable
from .graph import Node, fused, in_order, taken_apart
from .layer import Layer, floats
from .memory import laid_out
from .pooling import GlobalAvgPool2d, MaxPool2d


class _Program(NamedTuple):
    """Steps on memory of their own, for one number of threads."""

    source: Array  # (n, h, w, c), or as x lies
    calls: Calls
    result: Array  # (n, h, w, c)
    feeds: list[tuple[int, int]] | None  # call and place of the source, if x itself can stand there


class Compiled:
    """A network for inference, made by `nn.compile`, called like a function.

    Parameters
    ----------
    net, input_shape
        As in `nn.compile`.

    Attributes
    ----------
    input_shape, output_shape : tuple of int
    """

    def __init__(self, net: Layer, input_shape: Shape) -> None:
        self.input_shape = shape_of("input_shape", input_shape, "(N, C, H, W)", "(N, C)")
        self._net = copy.deepcopy(net).eval()
        self.output_shape = self._net.output_shape(self.input_shape)
        values = [p.value for p in self._net.parameters()]
        self._dtype = np.result_type(*values) if values else np.dtype(np.float32)
        source, output = taken_apart(self._net, self.input_shape)
        self._source, self._output = source, fused(output)
        self._nodes = [node for node in in_order(self._output) if node is not source]
        self._plans: dict[int, Conv2dPlan] = {}
        for node in self._nodes:
            if node.kind == "conv":
                self._plans[id(node)] = self._planned(node)
        self._places, self._numbers = laid_out([source, *self._nodes], self._output)
        users = [node for node in self._nodes if source in node.inputs]
        self._takes_planes = bool(users) and all(
            node.kind == "conv" and [k for k, a in enumerate(node.inputs) if a is source] == [0] for node in users
        )
        self._programs: dict[tuple[int, bool], list[_Program]] = {}
        self._lock = threading.Lock()
        self._peak = largest(self._dtype.name)

    def __call__(self, x: ArrayLike) -> Array:
        """The network's output; see `nn.compile`.

        Parameters
        ----------
        x : array of shape ``input_shape``

        Returns
        -------
        ndarray of shape ``output_shape``

        Raises
        ------
        TypeError, ValueError
            If dtype or shape are not those that the network was compiled for.
        """
        a = floats("x", x)
        if a.shape != self.input_shape:
            raise ValueError(f"x must have shape {self.input_shape}, as the network was compiled for, got {a.shape}")
        if a.dtype.newbyteorder("=") != self._dtype:
            raise TypeError(f"x must be {self._dtype}, as the network is, got {a.dtype}")
        if not a.size:
            return self._net.forward(a)
        lies = lies_last(a)
        last = lies or not self._takes_planes or (a.ndim == 4 and lies_either_way(a))
        key = get_num_threads(), last
        with self._lock:
            free = self._programs.setdefault(key, [])
            program = free.pop() if free else None
        if program is None:
            program = self._program(last)
        x = _as_it_lies(a.reshape(self._source.shape), last, self._dtype)
        calls = program.calls
        if program.feeds is not None:
            calls = calls.copy()
            for i, j in program.feeds:
                step, args = calls[i]
                calls[i] = step, (*args[:j], x, *args[j + 1 :])
        else:
            program.source[...] = x
        for step, args in calls:
            step(*args)
        y = program.result.copy()
        free.append(program)
        if not self._finite(y) or not self._finite(x):
            with self._lock:
                return self._net.forward(a)  # what is fused and transformed spreads NaN and Inf otherwise
        if len(self.output_shape) == 2:
            return y.reshape(self.output_shape)
        return returned(y, True, False, False) if lies else np.ascontiguousarray(y.transpose(0, 3, 1, 2))

    def _finite(self, a: Array) -> bool:
        return math.isfinite(self._peak(a, get_num_threads()))

    def _planned(self, node: Node) -> Conv2dPlan:
        assert node.w is not None
        w = np.ascontiguousarray(node.w, self._dtype)
        bias = None if node.bias is None else np.ascontiguousarray(np.broadcast_to(node.bias, len(w)), self._dtype)
        shape = node.inputs[0].shape
        if node.inputs[0].kind == "view":
            shape = shape[0], w.shape[1], 1, 1
        return plan_conv2d(shape, w, bias, channels_last=True, activation=node.activation, **node.options)

    def _program(self, last: bool) -> _Program:
        """Memory and steps, for an ``x`` whose channels lie last or not."""
        memory = aligned(self._dtype.name, self._numbers * self._dtype.itemsize)
        arrays: dict[int, Array] = {}
        for node in (self._source, *self._nodes):
            n, c, h, w = node.shape
            at = self._places[id(node)]
            shape = (n, h, w, c) if last or node is not self._source else node.shape
            arrays[id(node)] = memory[at : at + prod(shape)].reshape(shape)
        calls: Calls = []
        scratch: dict[str, Any] = {}
        source, feeds, feedable = arrays[id(self._source)], [], self._takes_planes
        for node in self._nodes:
            if node.kind == "view":
                continue
            inputs, out = [arrays[id(a)] for a in node.inputs], arrays[id(node)]
            made = repeatable(self._call(node, inputs, out, last), inputs, out, scratch)
            if self._source in node.inputs:  # x can stand wherever the array itself does, and nothing else looks at it
                found = [(k, j) for k, (_, args) in enumerate(made) for j, a in enumerate(args) if a is source]
                views = [a for _, args in made for a in args if isinstance(a, np.ndarray) and a is not source]
                feedable &= bool(found) and not any(np.may_share_memory(a, source) for a in views)
                feeds += [(len(calls) + k, j) for k, j in found]
            calls += made
        return _Program(source, calls, arrays[id(self._output)], feeds if feedable else None)

    def _call(self, node: Node, inputs: list[Array], out: Array, last: bool) -> Callable[[], Any]:
        """What fills ``out`` from ``inputs``, all (n, h, w, c) but the network's input, unless ``last``."""
        x = inputs[0]
        if node.kind == "conv":
            residual = inputs[1] if len(inputs) > 1 else None
            n, _, _, _ = x.shape
            plan = self._plans[id(node)]
            if node.inputs[0].kind == "view":
                x = x.reshape(n, 1, 1, -1)
            return partial(plan.into, x, out, residual, last or node.inputs[0] is not self._source)
        if node.kind == "pool":
            return partial(_pool, node.layer, _images(x), _images(out))
        if node.kind == "activation":
            return partial(activation_into, x, out, node.activation)
        if node.kind == "affine":
            assert node.w is not None
            bias = np.zeros(1) if node.bias is None else node.bias
            w, b = node.w.astype(self._dtype), np.broadcast_to(bias, node.w.shape).astype(self._dtype)
            return partial(affine, _images(x), w, b, node.activation, _images(out))
        if node.kind == "norm":
            assert node.w is not None and node.bias is not None
            w, b = node.w.astype(self._dtype), node.bias.astype(self._dtype)
            return partial(layer_norm, _images(x), w, b, node.options["eps"], _images(out))
        if node.kind == "gate":
            return partial(gate, _images(x), inputs[1].reshape(inputs[1].shape[0], -1), _images(out))
        if node.kind == "add":
            return partial(_add, x, inputs[1], node.scale, out)
        if node.kind == "concat":
            return partial(np.concatenate, inputs, 3, out)
        if node.kind == "flatten":
            n, h, w_, c = x.shape
            return partial(np.copyto, out.reshape(n, c, h, w_), x.transpose(0, 3, 1, 2))
        assert node.layer is not None
        return partial(_layer, node.layer, node.inputs[0].features, x, out)

    def explain(self) -> str:
        """A table: every operation with what is fused into it, shape, backend, bytes and predicted time."""
        lines = [f"{'operation':38} {'output':20} {'backend':22} {'KB':>9} {'us':>9}"]
        total = 0.0
        for node in self._nodes:
            if node.kind == "view":
                continue
            what = " + ".join([f"{node.path or 'net'} {node.kind}", *node.names])
            plan, backend, seconds = self._plans.get(id(node)), "", ""
            moved = sum(prod(a.shape) for a in [*node.inputs, node]) * self._dtype.itemsize
            if plan is not None:
                row = next(row for row in plan.explain().rows if row["status"] == "chosen")
                backend, moved = row["backend"], row["bytes"]
                total += row["predicted_seconds"]
                seconds = f"{row['predicted_seconds'] * 1e6:.0f}"
            shape = "x".join(map(str, node.shape))
            lines.append(f"{what:38.38} {shape:20} {backend:22} {moved / 1024:9.0f} {seconds:>9}")
        memory = self._numbers * self._dtype.itemsize
        lines.append(f"memory of values: {memory / 2**20:.1f} MB; convolutions: {total * 1e3:.2f} ms predicted")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Compiled {type(self._net).__name__} of {self.input_shape}>"


def compile(net: Layer, input_shape: Shape) -> Compiled:
    """A network compiled for inference on arrays of one shape.

    Batch normalisation is folded into the convolution before it, activation and residual addition go into its last
    store, values have channels last from end to end, weights are packed, and memory is laid out once: a value takes
    the place of one that nobody reads any more. A call is then a row of the engine's steps.

    Parameters
    ----------
    net : Layer
        Its weights and statistics are copied; dropout drops nothing. Layers of classes that are not `fastconv.nn`'s
        are called as they are.
    input_shape : (N, C, H, W) or (N, C)

    Returns
    -------
    Compiled
        ``y = fast(x)`` for an ``x`` of this shape and of the parameters' dtype, float32 or float64; calls from several
        threads are safe, each has memory of its own. ``fast.explain()`` shows every operation. A result differs from
        ``net.eval()(x)`` by roundings, within the bounds that `explain` states for the convolutions. Where input or
        output hold NaN or Inf, it is that of the network as it is written.

    Raises
    ------
    TypeError, ValueError
        If the shape does not fit the network; the message names the layer.

    References
    ----------
    Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference"
    (2018), section 3.2: batch normalisation in weights. Pisarchyk and Lee, "Efficient memory management for deep neural
    net inference" (2020), section 5: places by size.
    """
    if not isinstance(net, Layer):
        raise TypeError(f"net must be a layer of fastconv.nn, got {type(net).__name__}")
    return Compiled(net, input_shape)


def _as_it_lies(x: Array, last: bool, dtype: np.dtype[Any]) -> Array:
    """Numbers in C order, (n, h, w, c) or (n, c, h, w); x itself if it lies so."""
    if not last:
        return np.ascontiguousarray(x, dtype)
    stored = x.transpose(0, 2, 3, 1)
    if stored.flags.c_contiguous or not x.flags.c_contiguous or not x.dtype.isnative:
        return np.ascontiguousarray(stored, dtype)
    y = np.empty(stored.shape, dtype)
    to_channels_last(x, y)
    return y


def _images(a: Array) -> Array:
    """(n, h, w, c) in memory as (n, c, h, w)."""
    return a.transpose(0, 3, 1, 2)


def _pool(layer: Any, x: Array, out: Array) -> None:
    if isinstance(layer, GlobalAvgPool2d):
        avg_pool2d(x, x.shape[2:], stride=1, out=out)
        return
    options = {name: getattr(layer, name) for name in layer.settings}
    (max_pool2d if isinstance(layer, MaxPool2d) else avg_pool2d)(x, out=out, **options)


def _add(a: Array, b: Array, scale: float, out: Array) -> None:
    np.add(a, b, out)
    if scale != 1:
        out *= out.dtype.type(scale)


def _layer(layer: Layer, features: bool, x: Array, out: Array) -> None:
    y = layer.forward(x.reshape(x.shape[0], -1) if features else _images(x))
    out[...] = y[:, None, None, :] if y.ndim == 2 else y.transpose(0, 2, 3, 1)
