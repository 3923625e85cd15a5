"""What is worked out once for calls that differ in their numbers alone: problems, plans, and how arrays are taken."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.layouts import returned, stored
from ..core.problem import ConvProblem
from ..core.threads import get_num_threads
from ..core.typing import Array, Shape
from ..planning import planner
from ..planning.plan import Plan


class Known:
    """What was worked out for a forward pass with plain arrays: all but their numbers."""

    __slots__ = (
        "dtype", "name", "nhwc", "packed", "peak", "plan", "run_plan", "shape", "simple", "unbatched", "x_last",
    )  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        dtype: str,
        x_last: bool,
        nhwc: bool,
        unbatched: bool,
        packed: Any = None,
        peak: float | None = None,
    ) -> None:
        self.plan, self.x_last, self.nhwc, self.unbatched = plan, x_last, nhwc, unbatched
        self.name, self.dtype, self.shape = dtype, np.dtype(dtype), plan.stored_shape
        self.packed, self.peak, self.run_plan = packed, peak, plan.run
        self.simple = x_last == nhwc == plan.last and not unbatched  # memory is as the caller counts

    def run(self, x: Array, w: Array, bias: Array | None = None) -> Array:
        """The result for arrays that need no conversion."""
        y = np.empty(self.shape, self.dtype)
        if self.simple:
            self.run_plan(x, w, y, bias, self.packed, self.peak)
            return y
        self.run_plan(stored(x, self.x_last, self.nhwc), w, y, bias, self.packed, self.peak)
        return returned(y, self.plan.last, self.nhwc, self.unbatched)

    def fits(self, x: Array, out: Any) -> bool:
        """Whether the result can be written to ``out`` as it is."""
        return (
            self.simple
            and type(out) is np.ndarray
            and out.dtype is self.dtype
            and out.shape == self.shape
            and out.flags.carray
            and not np.may_share_memory(out, x)
        )

    def into(self, out: Array, x: Array, w: Array, bias: Array | None) -> None:
        """Fill an array that `fits`."""
        self.run_plan(x, w, out, bias, self.packed, self.peak)


_known: dict[tuple[Any, ...], Any] = {}
_MOST = 4096


def lookup(key: tuple[Any, ...]) -> Any:
    """What `remember` keeps by this key, or None."""
    try:
        return _known.get(key)
    except TypeError:  # an option that is no string: to be refused by name
        return None


def remember(key: tuple[Any, ...], value: Any) -> None:
    """Keep what was worked out for a call."""
    if len(_known) >= _MOST:
        _known.clear()
    _known[key] = value


def is_plain(stride: Any, padding: Any, dilation: Any, groups: Any, *arrays: Any) -> bool:
    """Whether a call may be looked up: plain integers (1.0 and True would be equal keys), and arrays of NumPy."""
    if type(stride) is type(dilation) is type(groups) is int and (type(padding) is int or type(padding) is str):
        for a in arrays:  # noqa: SIM110 (a generator takes half a microsecond)
            if type(a) is not np.ndarray:
                return False
        return True
    return False


def by_shapes(*plans: Plan | None) -> bool:
    """Whether plans hold for any arrays of their shapes, whatever their values."""
    return all(p is None or not p.by_value for p in plans)


def plan_of(
    pass_: str,
    x_shape: Shape,
    w_shape: Shape,
    dtype: str,
    options: tuple[Any, ...],
    backend: str,
    rtol: float | None,
    last: tuple[bool, bool],
    names: tuple[str, str] = ("x", "w"),
    w: Array | None = None,
    activation: str = "",
) -> Plan:
    """The plan of a call; ``options`` are stride, padding, dilation, groups and padding_mode, ``last`` of x and y."""
    stride, padding, dilation, groups, mode = options
    p = problem_of(x_shape, w_shape, stride, padding, dilation, groups, mode, dtype, names, last)
    asked = planner.check_backend(backend), planner.check_rtol(rtol), get_num_threads()
    return planner.plan(p, pass_, *asked, w=w, activation=activation)


_problems: dict[tuple[Any, ...], ConvProblem] = {}


def problem_of(
    x: Any,
    w: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    mode: Any,
    dtype: str,
    names: tuple[str, str],
    last: tuple[bool, bool],
) -> ConvProblem:
    """The checked problem; plain-int calls are looked up (1.0 and True would be equal keys, so only ints)."""
    if type(stride) is type(dilation) is type(groups) is int and type(padding) in (int, str) and type(mode) is str:
        key = (x, w, stride, padding, dilation, groups, mode, dtype)
        found = _problems.get((key, last))
        if found is None:
            if len(_problems) > 4096:
                _problems.clear()
            p = ConvProblem.from_shapes(*key, names)
            found = _problems[key, last] = p._replace(x_last=last[0], y_last=last[1])
        return found
    p = ConvProblem.from_shapes(x, w, stride, padding, dilation, groups, mode, dtype, names)
    return p._replace(x_last=last[0], y_last=last[1])
