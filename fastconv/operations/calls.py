"""What the public calls share: which gradients are asked for, that of the bias, and the way from a plan to a result."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arrays import check_out, usable
from ..planning.plan import Plan


def wanted(wrt: Any, fields: tuple[str, ...]) -> set[str]:
    """The gradients that ``wrt`` asks for, checked."""
    listed = ", ".join(map(repr, fields[:-1])) + f" and {fields[-1]!r}"
    if not isinstance(wrt, (str, tuple, list, set, frozenset)):
        raise TypeError(f"wrt must be a sequence of {listed}, got {wrt!r}")
    names = {wrt} if isinstance(wrt, str) else set(wrt)
    if not names <= set(fields):
        raise ValueError(f"wrt must hold only {listed}, got {wrt!r}")
    return names


def bias_gradient(dy: Any, dtype: str) -> Any:
    """Sum of ``dy`` over images and pixels, (Co,); summed in float64."""
    axes = (0, 2, 3) if dy.ndim == 4 else (1, 2)
    return dy.sum(axis=axes, dtype=np.float64).astype(dtype)


def run_plan(
    plan: Plan, first: Any, second: Any, dtype: str, shape: tuple[int, ...], out: Any = None, inputs: Any = (),
    bias: Any = None, packed: Any = None, peak: float | None = None,
) -> Any:  # fmt: skip
    """Run a plan into ``out`` or a fresh array; float16 and unusable outputs go through a copy."""
    if first.ndim == 3:
        first = first[None]
    if second.ndim == 3:
        second = second[None]
    if out is None:
        result = np.empty(plan.shape, plan.compute_dtype)
        plan.run(first, second, result, bias, packed, peak)
        return (result if plan.compute_dtype == dtype else result.astype(dtype)).reshape(shape)
    check_out(out, shape, dtype)
    if usable(out, dtype, tuple(a for a in inputs if a is not None)):
        plan.run(first, second, out.reshape(plan.shape), bias, packed, peak)
    else:
        out[...] = run_plan(plan, first, second, dtype, shape, None, (), bias, packed, peak)
    return out
