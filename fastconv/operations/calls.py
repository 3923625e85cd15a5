"""What the public calls share: which gradients are asked for, that of the bias, and the way from a plan to a result."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeAlias

import numpy as np

from ..core.arrays import as_array, as_numbers, check_out, destination, ready
from ..core.layouts import lies_last, lying, returned, seen, shape_forms, shown, stored
from ..core.problem import HALVES
from ..core.threads import get_num_threads
from ..core.typing import Array
from ..engines import loader
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


def image(name: str, value: Any, nhwc: bool) -> Array:
    """An argument that is an image, or several, seen as (N, C, H, W) or (C, H, W)."""
    return seen(name, as_array(name, value), nhwc)


def pixels(name: str, value: Any, nhwc: bool, integers: bool = False) -> Array:
    """An array of images (.., C, H, W), of one pixel at least; also of integers or booleans, on demand."""
    a = seen(name, as_numbers(name, value), nhwc) if integers else image(name, value, nhwc)
    if a.ndim not in (3, 4):
        raise ValueError(f"{name} must have shape {' or '.join(shape_forms(nhwc))}, got {a.shape}")
    if min(a.shape[-3:]) < 1:
        raise ValueError(f"{name} must have at least one pixel and channel, got shape {shown(a.shape, nhwc)}")
    return a


def kept(a: Array, dtype: str, nhwc: bool) -> Array:
    """An image as its caller counts, in the dtype that is computed in and contiguous as it lies."""
    view = seen("x", a, nhwc)
    last = lying(view, nhwc)
    return returned(ready(stored(view, last), dtype), last, nhwc, a.ndim == 3)


def laid(a: Array, dtype: str, nhwc: bool, last: bool) -> Array:
    """An image (.., C, H, W) as memory of the dtype that is computed in: (N, C, H, W), or (N, H, W, C) if `last`."""
    lies = lying(a, nhwc)
    return _turned(ready(stored(a, lies), dtype), lies, last)


def room_for(
    out: Any, shape: tuple[int, ...], last: bool, nhwc: bool, dtype: str, inputs: tuple[Array | None, ...] = ()
) -> Array:
    """Where a result of ``shape`` (.., C, H, W) is computed, laid out by `last`; `handed_over` gives it away."""
    n, c, h, w = shape if len(shape) == 4 else (1, *shape)
    held = (n, h, w, c) if last else (n, c, h, w)
    if out is None:
        return destination(None, held, dtype)
    check_out(out, shown(shape, nhwc), dtype)
    return destination(stored(out, last, nhwc), held, dtype, inputs)


def handed_over(
    result: Array, out: Array | None, computed: bool, last: bool, nhwc: bool, dtype: str, unbatched: bool
) -> Array:
    """A result that was computed with channels last, or not, in ``out`` or as memory is to hold it (`last`)."""
    if out is None:
        return returned(_turned(result, computed, last).astype(dtype, copy=False), last, nhwc, unbatched)
    if not np.may_share_memory(result, out):
        stored(out, last, nhwc)[...] = _turned(result, computed, last)
    return out


def _turned(a: Array, lies: bool, last: bool) -> Array:
    """Memory of one layout as memory of the other, if that is asked for."""
    if lies == last:
        return a
    steps = loader.first(a.dtype.name)
    order = (0, 2, 3, 1) if last else (0, 3, 1, 2)
    new = np.empty([a.shape[i] for i in order], a.dtype)
    if new.size:
        (steps.to_channels_last if last else steps.to_channels_first)(a, new, get_num_threads())
    return new


def check_shape(name: str, a: Array, want: tuple[int, ...], nhwc: bool, of: str = "the output's shape") -> None:
    """Refuse an image of another shape than ``want`` (.., C, H, W)."""
    if a.shape != want:
        raise ValueError(f"{name} must have {of} {shown(want, nhwc)}, got {shown(a.shape, nhwc)}")


def lying_out(out: Any, follows: bool, nhwc: bool) -> bool:
    """Whether a result has its channels last: as ``out`` lies, else as the operand that it follows, or is counted."""
    if isinstance(out, np.ndarray) and out.ndim in (3, 4):
        view = seen("out", out, nhwc)
        if lies_last(view):
            return True
        if view.flags.c_contiguous:
            return False
    return follows or nhwc


def bias_gradient(dy: Array, dtype: str, last: bool = False) -> Array:
    """Sum of ``dy`` (.., Co, OH, OW), or (.., OH, OW, Co), over images and pixels, (Co,); summed in float64."""
    axes = tuple([i for i in range(dy.ndim) if i != dy.ndim - (1 if last else 3)])
    total: Array = np.add.reduce(dy, axis=axes, dtype=np.float64)
    return total if dtype == "float64" else total.astype(dtype)


def run_plan(
    plan: Plan,
    first: Array,
    second: Array,
    dtype: str,
    out: Array | None = None,
    inputs: tuple[Array | None, ...] = (),
    bias: Array | None = None,
    packed: Any = None,
    peak: float | None = None,
    residual: Array | None = None,
    nhwc: bool = False,
    unbatched: bool = False,
) -> Array:
    """Run a plan into ``out`` or a fresh array, as its caller counts axes.

    ``first`` and ``second`` are `stored` and `ready`; so is ``residual``, as the result.
    """
    last, weights = plan.last, plan.pass_ == "grad_weight"
    if out is None:
        result = np.empty(plan.stored_shape, plan.compute_dtype)
        plan.run(first, second, result, bias, packed, peak, residual)
        if dtype in HALVES:
            result = result.astype(dtype)
        return result if weights or (last == nhwc and not unbatched) else returned(result, last, nhwc, unbatched)
    shape = plan.shape[1:] if unbatched else plan.shape
    check_out(out, shape if weights else shown(shape, nhwc), dtype)
    view = out if weights else stored(out, last, nhwc)
    target = destination(view, plan.stored_shape, dtype, inputs)
    plan.run(first, second, target, bias, packed, peak, residual)
    if target is not view:
        view[...] = target
    return out
