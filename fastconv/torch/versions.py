"""Prepared plans for weights that stay, and when weights have changed.

PyTorch counts changes in place (``_version``), except those through ``.data`` or a NumPy view, and except those of
fused optimizers, whose steps are counted here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from ..core.layouts import lies_last
from ..core.typing import Activation, Array
from ..operations.prepared import Conv2dPlan, plan_conv2d
from .tensors import Options
from .threads import as_guest

#: weights (Co, Ci // groups, KH, KW), and a bias (Co,)
Weights: TypeAlias = tuple[Array, Array | None]

_steps = 0


def _count(*_: Any) -> None:
    global _steps
    _steps += 1


register_optimizer_step_post_hook(_count)


class Version(NamedTuple):
    """A tensor at one time: another one, another memory, or another count of changes in place is another version."""

    tensor: Tensor | None
    memory: Tensor | None  # kept alive, so that no other has its address
    changes: int
    steps: int

    @classmethod
    def of(cls, t: Tensor | None) -> Version:
        """The version at present; a tensor made in inference mode does not count changes, and never equals itself."""
        if t is None:
            return cls(None, None, 0, 0)
        return cls(t, t.detach(), -1 if t.is_inference() else t._version, _steps)

    def is_now(self, t: Tensor | None) -> bool:
        """Whether nothing was changed; what is written through ``.data`` is not counted by PyTorch, nor seen here."""
        if t is None or self.memory is None or self.tensor is not t:
            return t is self.tensor is None
        if self.changes < 0 or t.is_inference() or self.steps != _steps:
            return False
        return t._version == self.changes and t.data_ptr() == self.memory.data_ptr()


def numbers(w: Tensor, bias: Tensor | None) -> Weights:
    """Weights and bias as they are."""
    return w.numpy(force=True), None if bias is None else bias.numpy(force=True)


class Plans:
    """Prepared plans of one convolution by shape and strides of the input, as long as its tensors are the same."""

    most = 16

    def __init__(self) -> None:
        self._versions: tuple[Version, ...] = ()
        self._plans: dict[tuple[Any, ...], Conv2dPlan] = {}

    def __reduce__(self) -> tuple[type[Plans], tuple[()]]:
        return Plans, ()  # a copy, or what a pickle holds, packs anew

    def __len__(self) -> int:
        return len(self._plans)

    def clear(self) -> None:
        """Forget all."""
        self._versions = ()
        self._plans.clear()

    def find(
        self,
        x: Tensor,
        given: tuple[Tensor | None, ...],
        weights: Callable[[], Weights],
        options: Options,
        activation: Activation | None = None,
    ) -> Conv2dPlan:
        """The plan for a plain tensor x (N, Ci, H, W) or (Ci, H, W); ``weights`` makes its weights of what is given."""
        versions = self._versions
        if not versions or not all(v.is_now(t) for v, t in zip(versions, given, strict=True)):
            self.clear()
            self._versions = tuple(map(Version.of, given))
        key = x.shape, x.stride(), options
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= self.most:
                self._plans.clear()
            a, (w, bias) = x.numpy(force=True), weights()
            stride, (top, bottom, left, right), dilation, groups = options
            plan = self._plans[key] = plan_conv2d(
                a.shape, w, bias, stride=(stride[0], stride[1]), padding=((top, bottom), (left, right)),
                dilation=(dilation[0], dilation[1]), groups=groups, channels_last=lies_last(a), activation=activation,
            )  # fmt: skip
        return plan

    def run(
        self, x: Tensor, given: tuple[Tensor | None, ...], weights: Callable[[], Weights], options: Options
    ) -> Tensor:
        """The convolution of x with weights that were packed before."""
        return torch.from_numpy(as_guest(self.find(x, given, weights, options), x.numpy(force=True)))
