"""nn.Conv2d and nn.ConvTranspose2d that compute here, and `replace_convolutions`, which makes a model's ones such.

A module changes its class and nothing else: parameters, buffers, hooks and names in state dicts stay, so that
optimizers and checkpoints do not notice. With ``freeze=True`` it also keeps plans, whose weights are packed.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from .functional import conv2d, conv_transpose2d, is_at_hand, options_of
from .versions import Plans, numbers

M = TypeVar("M", bound=nn.Module)


class Conv2d(nn.Conv2d):
    """torch.nn.Conv2d whose passes run here; made by `replace_convolutions`, or like any module.

    Attributes
    ----------
    plans : Plans or None
        Not None keeps weights packed between calls in eval mode without gradients.
    """

    plans: Plans | None = None

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding: Any = self.padding
        _lay_out(weight)
        if self.padding_mode != "zeros":
            input = functional.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        plans = self.plans
        if plans is not None and not self.training and self._may_be_planned(input, weight, bias):
            options = options_of(weight, self.stride, padding, self.dilation, self.groups)
            return plans.run(input, (weight, bias), partial(numbers, weight, bias), options)
        return conv2d(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def _may_be_planned(self, x: Tensor, w: Tensor, bias: Tensor | None) -> bool:
        """Whether weights are this module's own, and a plan gives what `conv2d` does."""
        return (
            not torch.compiler.is_compiling()
            and not torch.is_grad_enabled()
            and x.dtype in (torch.float32, torch.float64)
            and x.dtype is w.dtype
            and x.ndim in (3, 4)
            and isinstance(w, nn.Parameter)
            and is_at_hand(x, w, bias)
        )

    def train(self, mode: bool = True) -> Conv2d:
        """As `torch.nn.Module.train`; packed weights are forgotten."""
        if self.plans is not None:
            self.plans.clear()
        super().train(mode)
        return self


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch.nn.ConvTranspose2d whose passes run here; made by `replace_convolutions`, or like any module."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """As `torch.nn.ConvTranspose2d`."""
        if self.padding_mode != "zeros":
            raise ValueError("Only `zeros` padding mode is supported for ConvTranspose2d")
        extra: Any = self.output_padding
        if output_size is not None:
            extra = self._output_padding(
                input,
                output_size,
                self.stride,  # type: ignore[arg-type]
                self.padding,  # type: ignore[arg-type]
                self.kernel_size,  # type: ignore[arg-type]
                2,
                self.dilation,  # type: ignore[arg-type]
            )
        padding: Any = self.padding
        _lay_out(self.weight)
        return conv_transpose2d(input, self.weight, self.bias, self.stride, padding, extra, self.groups, self.dilation)


def _lay_out(weight: Tensor) -> None:
    """Lay a parameter out once as the kernels read it: ``model.to(memory_format=torch.channels_last)`` turns weights
    with the images, and they would be turned back in every call."""
    if weight.is_contiguous() or not isinstance(weight, nn.Parameter) or torch.compiler.is_compiling():
        return
    if weight.dtype in (torch.float32, torch.float64) and is_at_hand(weight, weight, None):
        with torch.inference_mode(False):  # a tensor that is made in it has no version, and no plan could be kept
            weight.data = weight.data.contiguous()


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {nn.Conv2d: Conv2d, nn.ConvTranspose2d: ConvTranspose2d}


def replace_convolutions(model: M, freeze: bool = False) -> M:
    """Make the convolutions of a model run here, for training and inference; in place.

    Every nn.Conv2d and nn.ConvTranspose2d becomes a `Conv2d` or `ConvTranspose2d`, which shares its parameters: state
    dicts, optimizers, hooks and parametrisations stay as they are. Subclasses and lazy modules are left alone.

    Parameters
    ----------
    model : torch.nn.Module
    freeze : bool
        Keep packed weights between calls in eval mode without gradients. They are packed anew after a step of an
        optimizer of torch.optim, ``load_state_dict``, a parameter that is replaced, and whatever else PyTorch counts
        as a change. It does not count what is written through ``weight.data`` or a NumPy view of it: that is noticed
        after ``model.train()``, ``model.eval()`` or another ``replace_convolutions(model, freeze=True)``.

    Returns
    -------
    torch.nn.Module
        ``model``.

    Raises
    ------
    TypeError
        If ``model`` is no module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    for module in model.modules():
        _replace(module)
        if isinstance(module, Conv2d):
            module.plans = Plans() if freeze else None
    return model


def _replace(module: nn.Module) -> None:
    kind = type(module)
    if kind in _CLASSES:
        module.__class__ = _CLASSES[kind]
    elif parametrize.is_parametrized(module) and kind.__bases__[0] in _CLASSES:
        # torch.nn.utils.parametrize has made a class for this module alone, with properties for its parameters
        own = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
        module.__class__ = type(kind.__name__, (_CLASSES[kind.__bases__[0]],), own)
