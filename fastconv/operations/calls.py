"""What the public calls share: which gradients are asked for, that of the bias, and the way from a plan to a result."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeAlias

import numpy as np

from ..core.arrays import delivered, destination
from ..core.typing import Array
from ..planning.plan import Plan

#: one name or several
Names: TypeAlias = str | Collection[str]


def wanted(wrt: Names, fields: tuple[str, ...]) -> set[str]:
    """The gradients that ``wrt`` asks for, checked."""
    listed = ", ".join(map(repr, fields[:-1])) + f" and {fields[-1]!r}"
    if not isinstance(wrt, (str, tuple, list, set, frozenset)):
        raise TypeError(f"wrt must be a sequence of {listed}, got {wrt!r}")
    names = {wrt} if isinstance(wrt, str) else set(wrt)
    if not names <= set(fields):
        raise ValueError(f"wrt must hold only {listed}, got {wrt!r}")
    return names


def bias_gradient(dy: Array, dtype: str) -> Array:
    """Sum of ``dy`` over images and pixels, (Co,); summed in float64."""
    axes = (0, 2, 3) if dy.ndim == 4 else (1, 2)
    total: Array = dy.sum(axis=axes, dtype=np.float64).astype(dtype)
    return total


def run_plan(
    plan: Plan, first: Array, second: Array, dtype: str, shape: tuple[int, ...], out: Array | None = None,
    inputs: tuple[Array | None, ...] = (), bias: Array | None = None, packed: Any = None, peak: float | None = None,
) -> Array:  # fmt: skip
    """Run a plan into ``out`` or a fresh array of ``shape``, which is the plan's but for the axis of images."""
    if first.ndim == 3:
        first = first[None]
    if second.ndim == 3:
        second = second[None]
    result = destination(out, shape, dtype, inputs)
    plan.run(first, second, result.reshape(plan.shape), bias, packed, peak)
    return delivered(result, out, dtype)
