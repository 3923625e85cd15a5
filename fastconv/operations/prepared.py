"""Pay once, call often: a forward plan that keeps its weights in the form that the kernel reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arrays import as_array, common_dtype, ready
from ..core.problem import ConvProblem, integer
from ..core.threads import get_num_threads
from ..planning import planner
from ..planning.explain import Explanation, explain
from ..planning.plan import Plan
from .calls import run_plan


class Conv2dPlan:
    """A convolution with fixed shapes and weights; made by `plan_conv2d`, called like a function.

    Attributes
    ----------
    problem : ConvProblem
    backend : str
        Name of the backend in use.
    workspace_bytes : int
        Scratch memory that a call borrows; the weights' own form is not counted.
    """

    def __init__(
        self, problem: ConvProblem, unbatched: bool, rtol: float | None, backend: str, max_workspace: int | None
    ) -> None:
        self.problem = problem
        self._unbatched, self._rtol, self._backend, self._limit = unbatched, rtol, backend, max_workspace
        self._w: Any = None
        self._bias: Any = None
        self._prepared: dict[int, tuple[Plan, Any, float | None]] = {}

    def _ready(self) -> tuple[Plan, Any, float | None]:
        """Plan, packed weights and max|w| for the number of threads in force."""
        threads = get_num_threads()
        if threads not in self._prepared:
            asked = self._backend, self._rtol, threads, self._limit
            plan = planner.plan(self.problem, "forward", *asked, w=self._w, kept=True)
            packed = plan.backend.prepare(plan.inner, plan.config, self._w)
            self._prepared[threads] = plan, packed, plan.peak(self._w) if plan.fallback else None
        return self._prepared[threads]

    @property
    def backend(self) -> str:
        """Name of the backend in use."""
        return self._ready()[0].backend.name

    @property
    def workspace_bytes(self) -> int:
        """Scratch memory that a call borrows, in bytes."""
        return self._ready()[0].workspace_bytes

    def update(self, w: Any, bias: Any = None) -> None:
        """Take new weights (Co, Ci // groups, KH, KW) and bias (Co,): packed or transformed here, once.

        Raises
        ------
        TypeError, ValueError
            If their dtype or shape is not that of the plan.
        """
        p, dtype = self.problem, self.problem.dtype
        wa = as_array("w", w)
        if wa.shape != p.w_shape:
            raise ValueError(f"w must have shape {p.w_shape}, got {wa.shape}")
        ba = None if bias is None else as_array("bias", bias)
        if ba is not None and ba.shape != (p.co,):
            raise ValueError(f"bias must have shape ({p.co},), got {ba.shape}")
        if common_dtype(*(a for a in (wa, ba) if a is not None)) != dtype:
            raise TypeError(f"w and bias must be {dtype}, as the plan is")
        self._w = np.array(ready(wa, dtype))  # an own copy: the caller may change w later
        self._bias = None if ba is None else np.array(ready(ba, dtype))
        self._prepared.clear()
        self._ready()

    def __call__(self, x: Any, out: Any = None) -> Any:
        """Convolve ``x``, of the plan's shape and dtype.

        Parameters
        ----------
        x : array of ``input_shape``
        out : ndarray, optional
            As in `fastconv.conv2d`.

        Returns
        -------
        ndarray (N, Co, OH, OW), or (Co, OH, OW) for unbatched input

        Raises
        ------
        TypeError, ValueError
            If shape or dtype are not the plan's.
        """
        xa, dtype = as_array("x", x), self.problem.dtype
        want = self.problem.x_shape[1:] if self._unbatched else self.problem.x_shape
        if xa.shape != want:
            raise ValueError(f"x must have shape {want}, got {xa.shape}")
        if common_dtype(xa) != dtype:
            raise TypeError(f"x must be {dtype}, as the plan is, got {xa.dtype}")
        plan, packed, peak = self._ready()
        shape = plan.shape[1:] if self._unbatched else plan.shape
        return run_plan(plan, ready(xa, dtype), self._w, dtype, shape, out, (xa,), self._bias, packed, peak)

    def explain(self) -> Explanation:
        """The table of backends that the plan was chosen from, see `fastconv.explain`."""
        p = self.problem
        return explain(
            p.x_shape, p.w_shape, stride=(p.sh, p.sw), padding=((p.pt, p.pb), (p.pl, p.pr)), dilation=(p.dh, p.dw),
            groups=p.g, padding_mode=p.mode, dtype=p.dtype, backend=self._backend, rtol=self._rtol,
            max_workspace=self._limit, weights=self._w,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Conv2dPlan {self.problem} on {self.backend}>"


def plan_conv2d(
    input_shape: tuple[int, ...],
    w: Any,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    backend: str = "auto",
    rtol: float | None = None,
    max_workspace: int | None = None,
) -> Conv2dPlan:
    """Prepare a convolution whose weights stay: they are packed or transformed once.

    Parameters
    ----------
    input_shape : (N, Ci, H, W) or (Ci, H, W)
    w : array (Co, Ci // groups, KH, KW)
        Its dtype is the plan's.
    bias : array (Co,), optional
    stride, padding, dilation, groups, padding_mode, backend, rtol
        As in `fastconv.conv2d`.
    max_workspace : int, optional
        Bytes of scratch memory that a call may use; never exceeded.

    Returns
    -------
    Conv2dPlan
        ``y = plan(x)``; ``plan.update(w, bias)`` takes new weights.

    Raises
    ------
    WorkspaceError
        If no backend (or not the named one) can do with ``max_workspace`` bytes.
    TypeError, ValueError, BackendRefused
        As `fastconv.conv2d`.
    """
    wa = as_array("w", w)
    dtype = common_dtype(wa) if bias is None else common_dtype(wa, as_array("bias", bias))
    limit = None if max_workspace is None else integer("max_workspace", max_workspace, 0)
    try:
        shape = tuple(integer("input_shape", v, 0) for v in input_shape)
    except TypeError:
        raise TypeError(f"input_shape must be a tuple of integers, got {input_shape!r}") from None
    p = ConvProblem.from_shapes(shape, wa.shape, stride, padding, dilation, groups, padding_mode, dtype)
    if not isinstance(backend, str):
        raise TypeError(f"backend must be a string, got {backend!r}")
    plan = Conv2dPlan(p, len(shape) == 3, planner.check_rtol(rtol), backend, limit)
    plan.update(wa.astype(dtype, copy=False), bias)
    return plan
