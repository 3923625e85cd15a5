"""The three passes on tensors: as NumPy's views, by plans that are found by shapes and strides.

Tensors are float32 or float64, alike, strided and in the CPU's memory; images have four axes. Nothing here knows of
gradients.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..core.arrays import ready
from ..core.layouts import lies_last, stored
from ..core.threads import get_num_threads
from ..core.typing import Array, Shape
from ..operations.lookup import by_shapes, plan_of
from ..planning import registry, tuning
from ..planning.plan import Plan
from .threads import as_guest

#: stride (2 numbers), padding (top, bottom, left, right), dilation (2), groups
Options: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]
#: what gradients are told of a call: shapes of its operands, options, whether the first lies channels_last
Given: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], Options, bool]

_MOST = 4096
_known: dict[tuple[Any, ...], Call] = {}


class Call:
    """What was worked out for a pass: all but the numbers of its two operands, and of a bias."""

    __slots__ = ("bias", "dtype", "for_any", "given", "held", "lasts", "name", "plain", "plan", "run")

    def __init__(self, plan: Plan, lasts: tuple[bool, bool], plain: bool, given: Given) -> None:
        self.plan, self.lasts, self.plain, self.given = plan, lasts, plain, given
        self.run, self.held, self.name = plan.run, plan.stored_shape, plan.problem.dtype
        self.dtype, self.bias, self.for_any = np.dtype(self.name), (plan.shape[1],), by_shapes(plan)

    def __call__(self, first: Tensor, second: Tensor, bias: Tensor | None = None) -> Tensor:
        """The result for two operands and a bias as they are counted."""
        a, b, c = first.numpy(force=True), second.numpy(force=True), None
        if self.lasts[0]:
            a = a.transpose(0, 2, 3, 1)
        if self.lasts[1]:
            b = b.transpose(0, 2, 3, 1)
        if not (self.plain and a.flags.aligned and b.flags.aligned):
            a, b = ready(a, self.name), ready(b, self.name)
        if bias is not None:
            c = bias.numpy(force=True)
            if c.shape != self.bias or c.dtype is not self.dtype:
                raise ValueError(f"bias must have shape {self.bias} and be {self.name}, got {c.shape}, {c.dtype}")
            if not c.flags.carray:
                c = ready(c, self.name)
        y = np.empty(self.held, self.dtype)
        as_guest(self.run, a, b, y, c)
        return torch.from_numpy(y.transpose(0, 3, 1, 2) if self.plan.last else y)


def forward(x: Tensor, w: Tensor, bias: Tensor | None, options: Options) -> Tensor:
    """The convolution of x (N, Ci, H, W) with w (Co, Ci // groups, KH, KW), and a bias (Co,)."""
    return call_of("forward", x, w, x.shape, w.shape, options)(x, w, bias)


def grad_input(dy: Tensor, w: Tensor, shape: Shape, options: Options, bias: Tensor | None = None) -> Tensor:
    """Its gradient for an input of ``shape``; with a bias (Ci,) the transposed convolution."""
    return call_of("grad_input", dy, w, shape, w.shape, options)(dy, w, bias)


def grad_weight(dy: Tensor, x: Tensor, shape: Shape, options: Options) -> Tensor:
    """Its gradient for weights of ``shape``."""
    return call_of("grad_weight", dy, x, x.shape, shape, options)(dy, x)


def circumstances() -> tuple[int, int, int]:
    """What a plan depends on beside the call: threads, the table of backends, the measured winners."""
    return get_num_threads(), registry.generation(), tuning.generation()


def call_of(pass_: str, first: Tensor, second: Tensor, x_shape: Shape, w_shape: Shape, options: Options) -> Call:
    """The call with these operands, checked.

    Raises
    ------
    TypeError, ValueError
        For impossible shapes and options; dtypes that differ.
    """
    key = (
        pass_, first.shape, first.stride(), second.shape, second.stride(), first.dtype, second.dtype, x_shape, w_shape,
        options, circumstances(),
    )  # fmt: skip
    known = _known.get(key)
    if known is None:
        known = _learn(
            pass_, first.numpy(force=True), second.numpy(force=True), tuple(x_shape), tuple(w_shape), options
        )
        if known.for_any:
            if len(_known) >= _MOST:
                _known.clear()
            _known[key] = known
    return known


def _learn(pass_: str, a: Array, b: Array, x_shape: Shape, w_shape: Shape, options: Options) -> Call:
    if a.dtype != b.dtype:
        raise TypeError(f"operands must have one dtype, got {a.dtype} and {b.dtype}")
    stride, padding, dilation, groups = options
    asked = stride, (padding[:2], padding[2:]), dilation, groups, "zeros"
    lasts = lies_last(a), pass_ == "grad_weight" and lies_last(b)
    lies = lasts[::-1] if pass_ == "grad_weight" else (lasts[0], lasts[0])
    held = ready(stored(a, lasts[0]), a.dtype.name), ready(stored(b, lasts[1]), b.dtype.name)
    w = None if pass_ == "grad_weight" else held[1]
    plan = plan_of(pass_, x_shape, w_shape, a.dtype.name, asked, "auto", None, lies, w=w)
    if pass_ != "forward" and a.shape != plan.problem.y_shape:
        raise ValueError(f"dy must have the output's shape {plan.problem.y_shape}, got {a.shape}")
    plain = all(np.may_share_memory(v, c) for v, c in zip((a, b), held, strict=True))
    return Call(plan, lasts, plain, (a.shape, b.shape, options, lasts[0]))
