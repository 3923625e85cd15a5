"""Gradients of `conv2d`. The same road: arguments become arrays and a problem, the planner does the rest."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.arguments import shape_of
from ..core.arrays import as_array, common_dtype, ready
from ..core.layouts import channels_first, is_nhwc, lying, shape_forms, stored
from ..core.problem import ConvProblem
from ..core.threads import get_num_threads
from ..core.typing import Array, ArrayLike, IntPair, Layout, Padding, PaddingMode, Shape
from ..planning import registry, tuning
from ..planning.plan import Plan
from .calls import Names, bias_gradient, check_shape, image, lying_out, run_plan, wanted
from .lookup import by_shapes, is_plain, lookup, plan_of, problem_of, remember


class Conv2dGradients(NamedTuple):
    """Gradients by `conv2d_backward`; None for what ``wrt`` left out."""

    x: Array | Any
    w: Array | Any
    bias: Array | Any


def conv2d_grad_input(
    dy: ArrayLike,
    w: ArrayLike,
    input_shape: Shape,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    backend: str = "auto",
    rtol: float | None = None,
    out: Array | None = None,
) -> Array:
    """Gradient of `conv2d` with respect to its input: the adjoint of the convolution.

    Parameters
    ----------
    dy : array (N, Co, OH, OW) or (Co, OH, OW)
        Gradient with respect to the output.
    w : array (Co, Ci // groups, KH, KW)
    input_shape : (N, Ci, H, W) or (Ci, H, W)
        Shape of the input (several sizes share an output size when the stride is above 1).
    stride, padding, dilation, groups, padding_mode, layout, backend, rtol, out
        As in `conv2d`; the bound of ``rtol`` is relative to ``max|dy| * sum|w|`` of the input channel.

    Returns
    -------
    ndarray of ``input_shape``
        Its channels lie last in memory if those of ``dy`` do, or of ``out``.

    Raises
    ------
    TypeError, ValueError, BackendRefused
        As `conv2d`; ValueError also if ``dy`` does not have the output's shape.
    """
    nhwc = is_nhwc(layout)
    dya, wa = image("dy", dy, nhwc), as_array("w", w)
    dtype = common_dtype(dya, wa)
    shape = channels_first("input_shape", shape_of("input_shape", input_shape, *shape_forms(nhwc)), nhwc)
    weights, last, unbatched = ready(wa, dtype), lying(dya, nhwc), len(shape) == 3
    options = stride, padding, dilation, groups, padding_mode
    plan = plan_of(
        "grad_input",
        shape,
        wa.shape,
        dtype,
        options,
        backend,
        rtol,
        (lying_out(out, last, nhwc), last),
        ("input_shape", "w"),
        w=weights,
    )
    _check_dy(dya, plan.problem, unbatched, nhwc)
    dys = ready(stored(dya, last), dtype)
    return run_plan(plan, dys, weights, dtype, out, (dya, wa), nhwc=nhwc, unbatched=unbatched)


def conv2d_grad_weight(
    dy: ArrayLike,
    x: ArrayLike,
    weight_shape: Shape,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    backend: str = "auto",
    rtol: float | None = None,
    out: Array | None = None,
) -> Array:
    """Gradient of `conv2d` with respect to its weights: the correlation of ``x`` with ``dy``.

    Parameters
    ----------
    dy : array (N, Co, OH, OW) or (Co, OH, OW)
        Gradient with respect to the output.
    x : array (N, Ci, H, W) or (Ci, H, W)
    weight_shape : (Co, Ci // groups, KH, KW)
    stride, padding, dilation, groups, padding_mode, layout, backend, rtol, out
        As in `conv2d`; the bound of ``rtol`` is relative to ``max|x| * sum|dy|`` of the output channel.

    Returns
    -------
    ndarray of ``weight_shape``

    Raises
    ------
    TypeError, ValueError, BackendRefused
        As `conv2d`; ValueError also if ``dy`` does not have the output's shape.
    """
    nhwc = is_nhwc(layout)
    dya, xa = image("dy", dy, nhwc), image("x", x, nhwc)
    dtype, shape = common_dtype(dya, xa), shape_of("weight_shape", weight_shape, "(Co, Ci // groups, KH, KW)")
    last = lying(xa, nhwc), lying(dya, nhwc)
    options, names = (stride, padding, dilation, groups, padding_mode), ("x", "weight_shape")
    plan = plan_of("grad_weight", xa.shape, shape, dtype, options, backend, rtol, last, names)
    _check_dy(dya, plan.problem, xa.ndim == 3, nhwc)
    dys, xs = ready(stored(dya, last[1]), dtype), ready(stored(xa, last[0]), dtype)
    return run_plan(plan, dys, xs, dtype, out, (dya, xa))


def conv2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    backend: str = "auto",
    rtol: float | None = None,
    wrt: Names = ("x", "w", "bias"),
) -> Conv2dGradients:
    """Gradients of `conv2d` with respect to input, weights and bias.

    Parameters
    ----------
    dy : array (N, Co, OH, OW) or (Co, OH, OW)
        Gradient with respect to the output.
    x : array (N, Ci, H, W) or (Ci, H, W)
    w : array (Co, Ci // groups, KH, KW)
    stride, padding, dilation, groups, padding_mode, layout, backend, rtol
        As in `conv2d`.
    wrt : sequence of "x", "w", "bias"
        Which gradients to compute.

    Returns
    -------
    Conv2dGradients
        ``(x, w, bias)``, None for what ``wrt`` leaves out.

    Raises
    ------
    TypeError, ValueError, BackendRefused
        As `conv2d`; ValueError also if ``dy`` does not have the output's shape.
    """
    key = None
    if rtol is None and type(wrt) is tuple and is_plain(stride, padding, dilation, groups, dy, x, w):
        d: Any = dy
        a: Any = x
        v: Any = w
        key = (
            d.shape, d.strides, d.dtype, a.shape, a.strides, a.dtype, v.shape, v.strides, v.dtype, stride, padding,
            dilation, groups, padding_mode, layout, backend, wrt, get_num_threads(), registry.generation(),
            tuning.generation(),
        )  # fmt: skip
        known: _Gradients | None = lookup(key)
        if known is not None and d.flags.aligned and a.flags.aligned and v.flags.aligned:
            return known.run(d, a, v)
    nhwc, names = is_nhwc(layout), wanted(wrt, Conv2dGradients._fields)
    dya, xa, wa = image("dy", dy, nhwc), image("x", x, nhwc), as_array("w", w)
    dtype = common_dtype(dya, xa, wa)
    options = stride, padding, dilation, groups, padding_mode
    dy_last, x_last, unbatched = lying(dya, nhwc), lying(xa, nhwc), xa.ndim == 3
    _check_dy(dya, problem_of(xa.shape, wa.shape, *options, dtype, ("x", "w"), (x_last, dy_last)), unbatched, nhwc)
    dys, xs, weights = ready(stored(dya, dy_last), dtype), ready(stored(xa, x_last), dtype), ready(wa, dtype)
    of_x = of_w = None
    if "x" in names:
        lies = dy_last or nhwc, dy_last
        of_x = plan_of("grad_input", xa.shape, wa.shape, dtype, options, backend, rtol, lies, w=weights)
    if "w" in names:
        of_w = plan_of("grad_weight", xa.shape, wa.shape, dtype, options, backend, rtol, (x_last, dy_last))
    found = _Gradients(of_x, of_w, "bias" in names, dtype, dy_last, x_last, nhwc, unbatched)
    plain = weights is w and np.may_share_memory(xs, x) and np.may_share_memory(dys, dy)
    if key is not None and plain and by_shapes(of_x, of_w):
        remember(key, found)
    return found.of(dys, xs, weights)


class _Gradients(NamedTuple):
    """What was worked out for a call of `conv2d_backward`: all but its numbers."""

    of_x: Plan | None
    of_w: Plan | None
    of_bias: bool
    dtype: str
    dy_last: bool
    x_last: bool
    nhwc: bool
    unbatched: bool

    def run(self, dy: Array, x: Array, w: Array) -> Conv2dGradients:
        """The gradients of arrays that need no conversion."""
        return self.of(stored(dy, self.dy_last, self.nhwc), stored(x, self.x_last, self.nhwc), w)

    def of(self, dy: Array, x: Array, w: Array) -> Conv2dGradients:
        """The gradients of arrays as memory holds them, ready to be computed with."""
        of_x, of_w, of_bias, dtype, dy_last, _, nhwc, unbatched = self
        dx = None if of_x is None else run_plan(of_x, dy, w, dtype, nhwc=nhwc, unbatched=unbatched)
        dw = None if of_w is None else run_plan(of_w, dy, x, dtype)
        return Conv2dGradients(dx, dw, bias_gradient(dy, dtype, dy_last) if of_bias else None)


def _check_dy(dy: Array, p: ConvProblem, unbatched: bool, nhwc: bool) -> None:
    check_shape("dy", dy, p.y_shape[1:] if unbatched else p.y_shape, nhwc)
