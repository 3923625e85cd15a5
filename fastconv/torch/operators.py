"""``torch.ops.fastconv``: the convolution, its two gradients and its adjoint as operators of PyTorch.

All gradients of a convolution are convolutions, so that four operators have derivatives of any order. Padding is four
numbers: top, bottom, left, right. Memory follows the image, in the fake kernels by the same rule as in the real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..core.layouts import grow_from_channels
from . import tensors
from .tensors import Given, Options

_OPTIONS = (
    "int[2] stride, int[4] padding, {}int[2] dilation, int groups"  # no defaults: kernels would not be given them
)
_DEFINITIONS = {
    "conv2d": f"Tensor x, Tensor w, Tensor? bias, {_OPTIONS.format('')}",
    "conv2d_grad_input": f"Tensor dy, Tensor w, SymInt[] input_shape, {_OPTIONS.format('')}",
    "conv2d_grad_weight": f"Tensor dy, Tensor x, SymInt[] weight_shape, {_OPTIONS.format('')}",
    "conv_transpose2d": f"Tensor x, Tensor w, Tensor? bias, {_OPTIONS.format('int[2] output_padding, ')}",
}
#: tensors that are no subclass
PLAIN = frozenset((Tensor, torch.nn.Parameter))
_functorch, _peek = torch._C._functorch, torch._C._functorch.peek_interpreter_stack
_dispatch_modes, _tracing_state = torch._C._len_torch_dispatch_stack, torch._C._get_tracing_state
_library: Any = torch.library.Library("fastconv", "DEF")  # type: ignore[no-untyped-call]
for _name, _arguments in _DEFINITIONS.items():
    _library.define(f"{_name}({_arguments}) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))

_ops = torch.ops.fastconv
conv2d, conv_transpose2d = _ops.conv2d.default, _ops.conv_transpose2d.default
conv2d_grad_input, conv2d_grad_weight = _ops.conv2d_grad_input.default, _ops.conv2d_grad_weight.default


def _tuples(stride: Any, padding: Any, dilation: Any, groups: int) -> Options:
    return tuple(stride), tuple(padding), tuple(dilation), groups


def _is_ours(*given: Tensor) -> None:
    for t in given:
        if t.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"tensors must be float32 or float64, got {t.dtype}")


def _conv2d(x: Tensor, w: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Tensor:
    _is_ours(x, w)
    return tensors.forward(x, w, bias, _tuples(stride, padding, dilation, groups))


def _grad_input(dy: Tensor, w: Tensor, shape: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Tensor:
    _is_ours(dy, w)
    return tensors.grad_input(dy, w, tuple(shape), _tuples(stride, padding, dilation, groups))


def _grad_weight(dy: Tensor, x: Tensor, shape: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Tensor:
    _is_ours(dy, x)
    return tensors.grad_weight(dy, x, tuple(shape), _tuples(stride, padding, dilation, groups))


def _conv_transpose2d(
    x: Tensor, w: Tensor, bias: Any, stride: Any, padding: Any, output_padding: Any, dilation: Any, groups: int
) -> Tensor:
    _is_ours(x, w)
    options = _tuples(stride, padding, dilation, groups)
    return tensors.grad_input(x, w, transposed_shape(x, w, output_padding, options), options, bias)


def transposed_shape(x: Tensor, w: Tensor, output_padding: Sequence[int], options: Options) -> tuple[int, ...]:
    """The shape (N, Co, OH, OW) of a transposed convolution of x (N, Ci, H, W) with w (Ci, Co // groups, KH, KW)."""
    stride, padding, dilation, groups = options
    sizes = [
        (x.shape[2 + i] - 1) * stride[i] - padding[2 * i] - padding[2 * i + 1] + dilation[i] * (w.shape[2 + i] - 1) + 1
        + output_padding[i]
        for i in range(2)
    ]  # fmt: skip
    return (x.shape[0], w.shape[1] * groups, *sizes)


def lies_last(t: Tensor) -> bool:
    """`core.layouts.lies_last` for a tensor (N, C, H, W)."""
    first, last = t.is_contiguous(), t.is_contiguous(memory_format=torch.channels_last)
    return last if first != last else grow_from_channels(t.shape, t.stride())


def _like(t: Tensor, shape: Sequence[int]) -> Tensor:
    """An image of ``shape`` that lies as another."""
    lies = torch.channels_last if lies_last(t) else torch.contiguous_format
    return torch.empty(tuple(shape), dtype=t.dtype, device=t.device, memory_format=lies)


def _fake_conv2d(x: Tensor, w: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Tensor:
    sizes = [
        (x.shape[2 + i] + padding[2 * i] + padding[2 * i + 1] - dilation[i] * (w.shape[2 + i] - 1) - 1) // stride[i] + 1
        for i in range(2)
    ]
    return _like(x, (x.shape[0], w.shape[0], *sizes))


def _fake_conv_transpose2d(
    x: Tensor, w: Tensor, bias: Any, stride: Any, padding: Any, output_padding: Any, dilation: Any, groups: int
) -> Tensor:
    return _like(x, transposed_shape(x, w, output_padding, (stride, padding, dilation, groups)))


def is_eager(*given: Tensor) -> bool:
    """Whether nobody looks at operators: no tracing, no modes, no transforms of functions, no gradients."""
    if torch.compiler.is_compiling() or is_watched() or torch._C._len_torch_function_stack():
        return False
    return all(type(t) in PLAIN and not _functorch.is_legacy_batchedtensor(t) for t in given) and not (
        torch.is_grad_enabled() and any(t.requires_grad for t in given)
    )


def is_watched() -> bool:
    """Whether a dispatch mode, torch.func, torch.jit.trace or a forward-mode derivative looks at every operator."""
    return bool(
        _peek() is not None or _dispatch_modes() or forward_ad._current_level >= 0 or _tracing_state() is not None
    )


def _dx(dy: Tensor, w: Tensor, shape: Any, options: Options) -> Tensor:
    if is_eager(dy, w):
        return tensors.grad_input(dy, w, shape, options)
    found: Tensor = conv2d_grad_input(dy, w, shape, *options)
    return found


def _dw(dy: Tensor, x: Tensor, shape: Any, options: Options) -> Tensor:
    if is_eager(dy, x):
        return tensors.grad_weight(dy, x, shape, options)
    found: Tensor = conv2d_grad_weight(dy, x, shape, *options)
    return found


def _y(x: Tensor, w: Tensor, options: Options) -> Tensor:
    if is_eager(x, w):
        return tensors.forward(x, w, None, options)
    found: Tensor = conv2d(x, w, None, *options)
    return found


def keep(ctx: Any, first: Tensor, second: Tensor, given: Given) -> None:
    """Save of two operands what their gradients need."""
    needs = ctx.needs_input_grad
    ctx.save_for_backward(first if needs[1] else None, second if needs[0] else None)
    ctx.given = given


def _laid(dy: Tensor, last: bool) -> Tensor:
    """A gradient as its result lay, if that was channels_last: else one expanded number turns all that come after."""
    return dy.contiguous(memory_format=torch.channels_last) if last else dy


def conv2d_backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
    """Gradients of ``conv2d``, those that are needed."""
    (x, w), (x_shape, w_shape, options, last), needs = ctx.saved_tensors, ctx.given, ctx.needs_input_grad
    dy = _laid(dy, last)
    dx = _dx(dy, w, x_shape, options) if needs[0] else None
    dw = _dw(dy, x, w_shape, options) if needs[1] else None
    return dx, dw, dy.sum((0, 2, 3)) if needs[2] else None, None, None, None, None


def conv_transpose2d_backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
    """Gradients of ``conv_transpose2d``: the convolution, and its gradient with x in the place of dy."""
    (x, w), (_, w_shape, options, last), needs = ctx.saved_tensors, ctx.given, ctx.needs_input_grad
    dy = _laid(dy, last)
    dx = _y(dy, w, options) if needs[0] else None
    dw = _dw(x, dy, w_shape, options) if needs[1] else None
    return dx, dw, dy.sum((0, 2, 3)) if needs[2] else None, None, None, None, None, None


def _grad_input_backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    (dy, w), (_, w_shape, options, _), needs = ctx.saved_tensors, ctx.given, ctx.needs_input_grad
    of_dy = _y(g, w, options) if needs[0] else None
    of_w = _dw(dy, g, w_shape, options) if needs[1] else None
    return of_dy, of_w, None, None, None, None, None


def _grad_weight_backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    (dy, x), (_, x_shape, options, _), needs = ctx.saved_tensors, ctx.given, ctx.needs_input_grad
    of_dy = _y(x, g, options) if needs[0] else None
    of_x = _dx(dy, g, x_shape, options) if needs[1] else None
    return of_dy, of_x, None, None, None, None, None


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    first, second, _, *options = inputs
    if len(options) == 5:  # with output_padding, which the output's shape tells
        del options[2]
    keep(ctx, first, second, (tuple(first.shape), tuple(second.shape), _tuples(*options), lies_last(first)))


def _register(name: str, kernel: Any, fake: Any, backward: Any) -> None:
    _library.impl(name, kernel, "CPU")
    torch.library.register_fake(f"fastconv::{name}", fake, lib=_library)
    torch.library.register_autograd(f"fastconv::{name}", backward, setup_context=_setup, lib=_library)


def _fake_grad_input(dy: Tensor, w: Tensor, shape: Any, *options: Any) -> Tensor:
    return _like(dy, shape)


def _fake_grad_weight(dy: Tensor, x: Tensor, shape: Any, *options: Any) -> Tensor:
    return dy.new_empty(tuple(shape))


_register("conv2d", _conv2d, _fake_conv2d, conv2d_backward)
_register("conv2d_grad_input", _grad_input, _fake_grad_input, _grad_input_backward)
_register("conv2d_grad_weight", _grad_weight, _fake_grad_weight, _grad_weight_backward)
_register("conv_transpose2d", _conv_transpose2d, _fake_conv_transpose2d, conv_transpose2d_backward)
