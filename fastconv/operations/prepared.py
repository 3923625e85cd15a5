"""Pay once, call often: a forward plan that keeps its weights in the form that the kernel reads."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np

from ..algorithms.base import check_activation
from ..core.arguments import integer, shape_of
from ..core.arrays import as_array, common_dtype, ready
from ..core.layouts import channels_first, is_nhwc, lies_either_way, lying, shape_forms, shown, stored
from ..core.problem import ConvProblem
from ..core.threads import get_num_threads
from ..core.typing import Activation, Array, ArrayLike, IntPair, Layout, Padding, PaddingMode, Shape
from ..planning import planner
from ..planning.explain import Explanation, explain
from ..planning.plan import Plan
from .calls import check_shape, image, lying_out, run_plan
from .lookup import Known

_MOST = 64  # strides of arrays that a plan remembers


class _Prepared(NamedTuple):
    plan: Plan
    packed: Any  # weights as the backend reads them
    peak: float | None  # max|w|, where the plan looks at numbers


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
        self,
        problem: ConvProblem,
        unbatched: bool,
        nhwc: bool,
        lies: bool | None,
        activation: str,
        rtol: float | None,
        backend: str,
        max_workspace: int | None,
    ) -> None:
        self.problem = problem
        self._unbatched, self._nhwc, self._lies, self._activation = unbatched, nhwc, lies, activation
        self._rtol, self._backend, self._limit = rtol, backend, max_workspace
        shape = problem.x_shape[1:] if unbatched else problem.x_shape
        self._shape, self._dtype = shown(shape, nhwc), np.dtype(problem.dtype)
        self._w: Array = np.empty(0)  # `update` follows
        self._bias: Array | None = None
        self._prepared: dict[int, _Prepared] = {}
        self._taking: dict[tuple[int, bool, bool], _Prepared] = {}
        self._known: dict[tuple[Any, ...], Known] = {}

    def _ready(self) -> _Prepared:
        """Plan, packed weights and max|w| for the number of threads in force."""
        threads = get_num_threads()
        found = self._prepared.get(threads)
        if found is None:
            found = self._prepared[threads] = self._prepare(self.problem, threads)
        return found

    def _prepare(self, p: ConvProblem, threads: int) -> _Prepared:
        asked = self._backend, self._rtol, threads, self._limit
        plan = planner.plan(p, "forward", *asked, w=self._w, kept=True, activation=self._activation)
        packed = plan.backend.prepare(plan.inner, plan.config, self._w)
        return _Prepared(plan, packed, plan.peak(self._w) if plan.guarded else None)

    def _for(self, x_last: bool, y_last: bool) -> _Prepared:
        """The same for arrays that lie otherwise, with the same packed weights as far as ``max_workspace`` allows."""
        if self._lies is None:
            self._lies = x_last
            if x_last != self.problem.x_last:
                self.problem = self.problem._replace(x_last=x_last, y_last=x_last)
                self._prepared.clear()
        key = get_num_threads(), x_last, y_last
        found = self._taking.get(key)
        if found is None:
            found = self._ready()
            plan = found.plan.taking(x_last, y_last)
            if x_last == y_last and (self._limit is None or plan.workspace_bytes <= self._limit):
                found = found._replace(plan=plan)
            else:  # from one layout to the other: what turns on its way is found anew
                found = self._prepare(plan.problem, key[0])
            self._taking[key] = found
        return found

    @property
    def backend(self) -> str:
        """Name of the backend in use."""
        return self._ready().plan.backend.name

    @property
    def workspace_bytes(self) -> int:
        """Scratch memory that a call borrows, in bytes, on arrays that lie as the plan was made for."""
        return self._ready().plan.workspace_bytes

    def update(self, w: ArrayLike, bias: ArrayLike | None = None) -> None:
        """Take new weights (Co, Ci // groups, KH, KW) and bias (Co,): packed or transformed here, once.

        Parameters
        ----------
        w : array (Co, Ci // groups, KH, KW)
        bias : array (Co,), optional

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
        for kept in (self._prepared, self._taking, self._known):
            kept.clear()
        self._ready()

    def __call__(self, x: ArrayLike, residual: ArrayLike | None = None, out: Array | None = None) -> Array:
        """Convolve ``x``, of the plan's shape and dtype.

        Parameters
        ----------
        x : array of shape ``input_shape``, of the plan's dtype
        residual : array of the result's shape and the plan's dtype, optional
            Added before the activation.
        out : ndarray, optional
            As in `fastconv.conv2d`.

        Returns
        -------
        ndarray (N, Co, OH, OW), or (Co, OH, OW) for unbatched input
            In the plan's layout; memory follows ``x``, as in `fastconv.conv2d`.

        Raises
        ------
        TypeError, ValueError
            If shape or dtype are not the plan's.
        """
        a: Any = x
        plain = residual is None and type(a) is np.ndarray and a.dtype is self._dtype and a.shape == self._shape
        if plain and a.flags.aligned:
            known = self._known.get((get_num_threads(), a.strides))
            if known is not None and out is None:
                return known.run(a, self._w, self._bias)
            if known is not None and known.fits(a, out):
                known.into(out, a, self._w, self._bias)  # type: ignore[arg-type]
                return out  # type: ignore[return-value]
        nhwc, unbatched = self._nhwc, self._unbatched
        xa, dtype = image("x", x, nhwc), self.problem.dtype
        check_shape("x", xa, self.problem.x_shape[1:] if unbatched else self.problem.x_shape, nhwc, "shape")
        if common_dtype(xa) != dtype:
            raise TypeError(f"x must be {dtype}, as the plan is, got {xa.dtype}")
        ra = None if residual is None else image("residual", residual, nhwc)
        if ra is not None and common_dtype(ra) != dtype:
            raise TypeError(f"residual must be {dtype}, as the plan is, got {ra.dtype}")
        last = self._lies if self._lies is not None and lies_either_way(xa) else lying(xa, nhwc)
        plan, packed, peak = self._for(last, lying_out(out, last, nhwc))
        xs, rs = ready(stored(xa, last), dtype), None
        if ra is not None:
            check_shape("residual", ra, plan.shape[1:] if unbatched else plan.shape, nhwc)
            rs = ready(stored(ra, plan.last), dtype)
        if plain and out is None and np.may_share_memory(xs, xa):
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[get_num_threads(), a.strides] = Known(plan, dtype, last, nhwc, unbatched, packed, peak)
        return run_plan(plan, xs, self._w, dtype, out, (xa, ra), self._bias, packed, peak, rs, nhwc, unbatched)

    def into(self, x: Array, out: Array, residual: Array | None = None, last: bool = True) -> None:
        """A call whose arrays are not looked at: (n, h, w, c) in memory (x (n, c, h, w) unless ``last``), of the plan's
        shapes and dtype, all numbers finite and far from overflow."""
        plan, packed, _ = self._for(last, True)
        plan.run_unguarded(x, self._w, out, self._bias, packed, residual)

    def explain(self) -> Explanation:
        """The table of backends that the plan was chosen from, see `fastconv.explain`."""
        p = self.problem
        activation = cast("Activation", self._activation or None)
        return explain(
            shown(p.x_shape, p.x_last),
            p.w_shape,
            stride=(p.sh, p.sw),
            padding=((p.pt, p.pb), (p.pl, p.pr)),
            dilation=(p.dh, p.dw),
            groups=p.g,
            padding_mode=cast("PaddingMode", p.mode),
            layout="NHWC" if p.x_last else "NCHW",
            activation=activation,
            dtype=p.dtype,
            backend=self._backend,
            rtol=self._rtol,
            max_workspace=self._limit,
            weights=self._w,
        )

    def __repr__(self) -> str:
        return f"<Conv2dPlan {self.problem} on {self.backend}>"


def plan_conv2d(
    input_shape: Shape,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    channels_last: bool | None = None,
    activation: Activation | None = None,
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
    stride, padding, dilation, groups, padding_mode, layout, activation, backend, rtol
        As in `fastconv.conv2d`.
    channels_last : bool, optional
        How the arrays of the calls will lie in memory; by default as those of the first call, whose weights are then
        packed once more unless ``layout`` says it. The plan takes the other layout too, at the price of a transpose.
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
    nhwc, wa = is_nhwc(layout), as_array("w", w)
    dtype = common_dtype(wa) if bias is None else common_dtype(wa, as_array("bias", bias))
    limit = None if max_workspace is None else integer("max_workspace", max_workspace, 0)
    if channels_last is not None and not isinstance(channels_last, (bool, np.bool_)):
        raise TypeError(f"channels_last must be True, False or None, got {channels_last!r}")
    shape = channels_first("input_shape", shape_of("input_shape", input_shape, *shape_forms(nhwc)), nhwc)
    names = "input_shape", "w"
    p = ConvProblem.from_shapes(shape, wa.shape, stride, padding, dilation, groups, padding_mode, dtype, names)
    lies = nhwc or None if channels_last is None else bool(channels_last)
    p = p._replace(x_last=bool(lies), y_last=bool(lies))
    asked = check_activation(activation), planner.check_rtol(rtol), planner.check_backend(backend), limit
    plan = Conv2dPlan(p, len(shape) == 3, nhwc, lies, *asked)
    plan.update(wa.astype(dtype, copy=False), bias)
    return plan
