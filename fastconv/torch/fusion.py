"""A convolution with what follows it in a network, as one call of a prepared plan.

``activation(batch_norm(conv(x)) + residual)``: batch norm is folded into the weights, bias, addition and activation are
part of the plan's last store. Weights are folded and packed anew when one of the tensors has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.typing import Activation
from .functional import is_at_hand
from .operators import PLAIN
from .tensors import Options
from .threads import as_guest
from .versions import Plans, Weights

_TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "leaky_relu": functional.leaky_relu,
    "silu": functional.silu,
    "hardswish": functional.hardswish,
    "gelu": functional.gelu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


class Fused(nn.Module):
    """The module of a graph that stands for several of its nodes; holds no tensors but packed ones."""

    def __init__(self, options: Options, eps: float | None, activation: Activation | None) -> None:
        super().__init__()
        self.options, self.eps, self.activation, self.plans = options, eps, activation, Plans()

    def extra_repr(self) -> str:
        """What was fused."""
        return f"{self.options}, batch_norm={self.eps is not None}, activation={self.activation}"

    def forward(
        self,
        x: Tensor,
        residual: Tensor | None,
        w: Tensor,
        bias: Tensor | None,
        *norm: Tensor | None,
    ) -> Tensor:
        """The result (N, Co, OH, OW); by PyTorch's functions where tensors are not to be computed here."""
        given: Any = (w, bias, *norm)
        if torch.is_grad_enabled() or not self._fits(x, residual, given):
            return self._by_torch(x, residual, *given)
        plan = self.plans.find(x, given, lambda: self._folded(*given), self.options, self.activation)
        if residual is None:
            return torch.from_numpy(as_guest(plan, x.numpy(force=True)))
        p = plan.problem
        if residual.shape != (p.y_shape if x.ndim == 4 else p.y_shape[1:]):  # to be broadcast
            return self._by_torch(x, residual, *given)
        return torch.from_numpy(as_guest(plan, x.numpy(force=True), residual.numpy(force=True)))

    def _fits(self, x: Tensor, residual: Tensor | None, given: tuple[Tensor | None, ...]) -> bool:
        """Whether all tensors are computed with here; ``given`` begins with the weights."""
        dtype, w = x.dtype, given[0]
        return (
            dtype in (torch.float32, torch.float64)
            and x.ndim in (3, 4)
            and w is not None
            and is_at_hand(x, w, residual)
            and all(t is None or (type(t) in PLAIN and t.dtype is dtype and t.is_cpu) for t in given)
        )

    def _folded(self, w: Tensor, bias: Tensor | None, *norm: Tensor | None) -> Weights:
        """Weights and bias with the batch norm in them, computed in float64."""
        weights = w.numpy(force=True)
        b = None if bias is None else bias.numpy(force=True)
        if self.eps is None:
            return weights, b
        mean, variance, gamma, beta = (None if t is None else t.numpy(force=True).astype(np.float64) for t in norm)
        assert mean is not None and variance is not None
        scale = (1.0 if gamma is None else gamma) / np.sqrt(variance + self.eps)
        shift = ((0.0 if b is None else b) - mean) * scale + (0.0 if beta is None else beta)
        return (weights * scale[:, None, None, None]).astype(weights.dtype), shift.astype(weights.dtype)

    def _by_torch(
        self, x: Tensor, residual: Tensor | None, w: Tensor, bias: Tensor | None, *norm: Tensor | None
    ) -> Tensor:
        stride, (top, bottom, left, right), dilation, groups = self.options
        x = functional.pad(x, (left, right, top, bottom))
        y = functional.conv2d(x, w, bias, stride, 0, dilation, groups)
        if self.eps is not None:
            mean, variance, gamma, beta = norm
            y = functional.batch_norm(y, mean, variance, gamma, beta, False, 0.0, self.eps)
        if residual is not None:
            y = y + residual
        return y if self.activation is None else _TORCH[self.activation](y)
