"""`conv2d` and `conv_transpose2d` with the arguments of torch.nn.functional, and who computes a call.

A plain call goes from here to tensors.py: an operator with registered gradients costs 10 us more, 30 with gradients.
Only torch.compile and modes that look at functions get to see one; torch.export keeps PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from ..core.threads import get_num_threads
from ..planning import registry, tuning
from . import operators, tensors
from .tensors import Options

#: one number or two, for height and width
Ints: TypeAlias = int | Sequence[int]

_is_grad_enabled, _is_autocast = torch.is_grad_enabled, torch.is_autocast_enabled
_function_modes = torch._C._len_torch_function_stack
_is_compiling, _is_watched = torch.compiler.is_compiling, operators.is_watched
_PLAIN, _FLOATS, _STRIDED = operators.PLAIN, (torch.float32, torch.float64), torch.strided
_calls: dict[tuple[Any, ...], tensors.Call] = {}
_MOST = 4096


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, call: tensors.Call) -> Tensor:
        operators.keep(ctx, x, w, call.given)
        return call(x, w, bias)

    @staticmethod
    def backward(ctx: Any, *dy: Tensor) -> tuple[Any, ...]:
        return operators.conv2d_backward(ctx, dy[0])[:4]


class _ConvTranspose2d(_Conv2d):
    @staticmethod
    def backward(ctx: Any, *dy: Tensor) -> tuple[Any, ...]:
        return operators.conv_transpose2d_backward(ctx, dy[0])[:4]


# Function.apply itself looks for transforms of functions, in 3 us; `is_at_hand` has done so
_apply_conv2d = super(torch.autograd.Function, _Conv2d).apply
_apply_conv_transpose2d = super(torch.autograd.Function, _ConvTranspose2d).apply


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """2-D convolution with the arguments of `torch.nn.functional.conv2d`.

    Parameters
    ----------
    input : tensor (N, Ci, H, W) or (Ci, H, W), float32 or float64
        Others are PyTorch's: half, bfloat16, other devices, see the module's docstring.
    weight : tensor (Co, Ci // groups, KH, KW)
    bias : tensor (Co,), optional
    stride, dilation : int or (height, width)
    padding : int, (height, width), "valid" or "same"
    groups : int

    Returns
    -------
    Tensor (N, Co, OH, OW) or (Co, OH, OW)
        channels_last if ``input`` is. Gradients of any order are computed here too, those that are needed.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As `fastconv.conv2d`, and as PyTorch for what it computes.
    """
    if not _is_compiling() and is_at_hand(input, weight, bias):
        call = _found(_learn_conv2d, input, weight, stride, padding, dilation, groups)
        if call is not None:
            return _called(_apply_conv2d, call, input, weight, bias)
    if not _is_ours(input, weight, bias):
        return functional.conv2d(input, weight, bias, stride, padding, dilation, groups)
    if input.ndim == 3:
        return conv2d(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
    options = options_of(weight, stride, padding, dilation, groups)
    found: Tensor = operators.conv2d(input, weight, bias, *options)
    return found


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """2-D transposed convolution with the arguments of `torch.nn.functional.conv_transpose2d`.

    Parameters
    ----------
    input : tensor (N, Ci, H, W) or (Ci, H, W), float32 or float64
        As in `conv2d`.
    weight : tensor (Ci, Co // groups, KH, KW)
    bias : tensor (Co,), optional
    stride, padding, output_padding, dilation : int or (height, width)
    groups : int

    Returns
    -------
    Tensor (N, Co, OH, OW) or (Co, OH, OW)
        channels_last if ``input`` is.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As `fastconv.conv_transpose2d`, and as PyTorch for what it computes.
    """
    if not _is_compiling() and is_at_hand(input, weight, bias):
        call = _found(_learn_transposed, input, weight, stride, padding, output_padding, dilation, groups)
        if call is not None:
            return _called(_apply_conv_transpose2d, call, input, weight, bias)
    if not _is_ours(input, weight, bias):
        return functional.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)
    if input.ndim == 3:
        whole = input.unsqueeze(0)
        return conv_transpose2d(whole, weight, bias, stride, padding, output_padding, groups, dilation).squeeze(0)
    options, extra = options_of(weight, stride, padding, dilation, groups), _pair(output_padding)
    more = _more(extra, options)
    if any(more):  # the output has rows that no input of a convolution reaches: rows of zeros below
        input = functional.pad(input, (0, more[1], 0, more[0]))
        extra = tuple(o % s for o, s in zip(extra, options[0], strict=True))
    found: Tensor = operators.conv_transpose2d(input, weight, bias, *options[:2], extra, *options[2:])
    return found


def is_at_hand(x: Tensor, w: Tensor, bias: Tensor | None) -> bool:
    """Whether tensors are plain memory of the CPU, and nobody looks at operators or casts for them."""
    return (
        type(x) in _PLAIN
        and type(w) in _PLAIN
        and x.is_cpu
        and w.is_cpu
        and x.layout is w.layout is _STRIDED
        and (bias is None or (type(bias) in _PLAIN and bias.is_cpu and bias.dtype is x.dtype))
        and not _is_watched()
        and not _function_modes()
        and not _is_autocast("cpu")
    )


def _is_ours(x: Tensor, w: Tensor, bias: Tensor | None) -> bool:
    """Whether an operator takes such tensors, here and now."""
    given = (x, w) if bias is None else (x, w, bias)
    return (
        x.dtype in _FLOATS
        and all(type(t) in _PLAIN and t.dtype == x.dtype for t in given)
        and all(t.device.type == "cpu" and t.layout == _STRIDED for t in given)
        and x.ndim in (3, 4)
        and w.ndim == 4
        and not torch.is_autocast_enabled("cpu")
        and (_is_compiling() or not _is_watched())
    )


def _found(learn: Callable[..., tensors.Call | None], x: Tensor, w: Tensor, *options: Any) -> tensors.Call | None:
    """The call, looked up by everything that it depends on but numbers; None for what is not computed so."""
    key = (
        learn, x.shape, x.stride(), x.dtype, w.shape, w.stride(), w.dtype, options, get_num_threads(),
        registry.generation(), tuning.generation(),
    )  # fmt: skip
    try:
        call = _calls.get(key)
    except TypeError:  # a list
        return None
    if call is None and x.dtype in _FLOATS and w.dtype is x.dtype and x.ndim == w.ndim == 4:
        call = learn(x, w, *options)
        if call is not None and call.for_any:
            if len(_calls) >= _MOST:
                _calls.clear()
            _calls[key] = call
    return call


def _called(apply: Callable[..., Any], call: tensors.Call, x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
    if _is_grad_enabled() and (x.requires_grad or w.requires_grad or (bias is not None and bias.requires_grad)):
        y: Tensor = apply(x, w, bias, call)
        return y
    return call(x, w, bias)


def _learn_conv2d(x: Tensor, w: Tensor, *given: Any) -> tensors.Call:
    options = options_of(w, *given)
    return tensors.call_of("forward", x, w, x.shape, w.shape, options)


def _learn_transposed(
    x: Tensor, w: Tensor, stride: Ints, padding: Ints, output_padding: Ints, dilation: Ints, groups: int
) -> tensors.Call | None:
    options, extra = options_of(w, stride, padding, dilation, groups), _pair(output_padding)
    if any(_more(extra, options)):
        return None
    return tensors.call_of("grad_input", x, w, operators.transposed_shape(x, w, extra, options), w.shape, options)


def _more(extra: tuple[int, ...], options: Options) -> list[int]:
    """Rows and columns of the input that an output padding stands for; none if it is below the stride."""
    stride, _, dilation, _ = options
    if any(o < 0 or o >= max(s, d) for o, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(f"output_padding must be below the stride {stride} or the dilation {dilation}, got {extra}")
    return [o // s for o, s in zip(extra, stride, strict=True)]


def options_of(w: Tensor, stride: Ints, padding: str | Ints, dilation: Ints, groups: int) -> Options:
    """Options as PyTorch takes them, checked as far as nobody else does."""
    strides, dilations = _pair(stride), _pair(dilation)
    if padding == "valid":
        pads: tuple[int, ...] = (0, 0, 0, 0)
    elif padding == "same":
        if strides != (1, 1):
            raise ValueError(f"padding='same' wants stride 1, got {stride}")
        wide = [d * (k - 1) for d, k in zip(dilations, w.shape[2:], strict=True)]
        pads = (wide[0] // 2, wide[0] - wide[0] // 2, wide[1] // 2, wide[1] - wide[1] // 2)
    elif isinstance(padding, str):
        raise ValueError(f"padding must be numbers, 'valid' or 'same', got {padding!r}")
    else:
        top, left = _pair(padding)
        pads = (top, top, left, left)
    return strides, pads, dilations, groups


def _pair(value: Ints) -> tuple[int, ...]:
    """One or two numbers, as PyTorch takes them."""
    if isinstance(value, int):
        return value, value
    pair = tuple(value)
    if len(pair) == 1:
        return pair * 2
    if len(pair) != 2:
        raise ValueError(f"an option must be one number or two, got {value!r}")
    return pair
