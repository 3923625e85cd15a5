"""What is worked out once for calls that differ in their numbers alone: problems, plans, and how arrays are taken."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.layouts import returned, stored
from ..core.problem import ConvProblem
from ..core.threads import get_num_threads
from ..core.typing import Array, Shape
from ..planning import planner
from ..planning.plan import Plan


class Known(NamedTuple):
    """What was worked out for a call with plain arrays: all but their numbers."""

    plan: Plan
    dtype: str
    x_last: bool
    nhwc: bool
    unbatched: bool

    def run(self, x: Array, w: Array, bias: Array | None = None) -> Array:
        """The forward pass of arrays that need no conversion."""
        plan, last, nhwc = self.plan, self.x_last, self.nhwc
        y = np.empty(plan.stored_shape, plan.compute_dtype)
        plan.run(x if last == nhwc and not self.unbatched else stored(x, last, nhwc), w, y, bias)
        return y if plan.last == nhwc and not self.unbatched else returned(y, plan.last, nhwc, self.unbatched)


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
    pass_: str, x_shape: Shape, w_shape: Shape, dtype: str, options: tuple[Any, ...], backend: str, rtol: float | None,
    last: tuple[bool, bool], names: tuple[str, str] = ("x", "w"), w: Array | None = None, activation: str = "",
) -> Plan:  # fmt: skip
    """The plan of a call; ``options`` are stride, padding, dilation, groups and padding_mode, ``last`` of x and y."""
    stride, padding, dilation, groups, mode = options
    p = problem_of(x_shape, w_shape, stride, padding, dilation, groups, mode, dtype, names, last)
    asked = planner.check_backend(backend), planner.check_rtol(rtol), get_num_threads()
    return planner.plan(p, pass_, *asked, w=w, activation=activation)


_problems: dict[tuple[Any, ...], ConvProblem] = {}


def problem_of(
    x: Any, w: Any, stride: Any, padding: Any, dilation: Any, groups: Any, mode: Any, dtype: str,
    names: tuple[str, str], last: tuple[bool, bool],
) -> ConvProblem:  # fmt: skip
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
