"""Transposed convolution: the adjoint of `conv2d` as an operation of its own.

It is grad_input of a convolution from its output to its input, with the same weights; its gradients are
that convolution's forward pass (for x) and its grad_weight (for w, with the roles of x and dy swapped).
So it goes through the same planner to the same backends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arrays import as_array, common_dtype, ready
from ..core.problem import ConvProblem, integer, padding_pairs, pair
from ..core.threads import get_num_threads
from ..planning import planner
from .calls import bias_gradient, run_plan, wanted
from .conv2d import Conv2dGradients


def conv_transpose2d(
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    backend: str = "auto",
    rtol: float | None = None,
) -> Any:
    """2-D transposed convolution (also "fractionally strided", or wrongly "deconvolution").

    Every input pixel adds the kernel, times its value, to the output; neighbours are ``stride`` apart.
    The output has ``(in - 1) * stride - before - after + dilation * (k - 1) + output_padding + 1`` pixels
    an axis, where ``before`` and ``after`` are the padding.

    Parameters
    ----------
    x : array (N, Ci, H, W) or (Ci, H, W), float16, float32 or float64
    w : array (Ci, Co // groups, KH, KW)
        The weights of the convolution that this is the adjoint of: inputs come first.
    bias : array (Co,), optional
    stride, dilation : int or (height, width)
    padding : int, (height, width) or ((top, bottom), (left, right))
        Rows and columns cut off the output: the padding of the convolution.
    output_padding : int or (height, width)
        Rows and columns more at the bottom and on the right, of those sizes that the convolution maps to
        the same; below the stride or the dilation.
    groups : int
        Divides Ci and Co.
    backend, rtol
        As in `conv2d`, pass ``grad_input``.

    Returns
    -------
    ndarray (N, Co, OH, OW), or (Co, OH, OW) for unbatched input

    Raises
    ------
    TypeError
        For a non-array, or a dtype that is not a real float.
    ValueError
        For impossible shapes and options; the message names the argument.
    BackendRefused
        If a named backend cannot do the call, with its reason.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), relationship 14.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[1., 2.], [3., 4.]]])
    >>> fastconv.conv_transpose2d(x, np.ones((1, 1, 2, 2)), stride=2)
    array([[[1., 1., 2., 2.],
            [1., 1., 2., 2.],
            [3., 3., 4., 4.],
            [3., 3., 4., 4.]]])
    """
    xa, wa = as_array("x", x), as_array("w", w)
    dtype = common_dtype(xa, wa) if bias is None else common_dtype(xa, wa, bias := as_array("bias", bias))
    p, rows, cols = _problem(xa.shape, wa.shape, stride, padding, output_padding, dilation, groups, dtype)
    if bias is not None:
        if bias.shape != (p.ci,):
            raise ValueError(f"bias must have shape ({p.ci},), got {bias.shape}")
        bias = ready(bias, dtype)
    options = planner.check_backend(backend), planner.check_rtol(rtol), get_num_threads()
    w = ready(wa, dtype)
    plan = planner.plan(p, "grad_input", *options, w=w)
    shape = plan.shape if xa.ndim == 4 else plan.shape[1:]
    return run_plan(plan, _taller(ready(xa, dtype), rows, cols), w, dtype, shape, bias=bias)


def conv_transpose2d_backward(
    dy: Any,
    x: Any,
    w: Any,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    backend: str = "auto",
    rtol: float | None = None,
    wrt: Any = ("x", "w", "bias"),
) -> Conv2dGradients:
    """Gradients of `conv_transpose2d` with respect to input, weights and bias.

    Parameters
    ----------
    dy : array (N, Co, OH, OW) or (Co, OH, OW)
        Gradient with respect to the output.
    x, w : the arguments of the forward call
    stride, padding, output_padding, dilation, groups, backend, rtol
        As in `conv_transpose2d`; the gradient of x is a ``forward`` pass, that of w a ``grad_weight``.
    wrt : sequence of "x", "w", "bias"
        Which gradients to compute.

    Returns
    -------
    Conv2dGradients
        ``(x, w, bias)``, None for what ``wrt`` leaves out.

    Raises
    ------
    TypeError, ValueError, BackendRefused
        As `conv_transpose2d`; ValueError also if ``dy`` does not have the output's shape.
    """
    names = wanted(wrt, Conv2dGradients._fields)
    dya, xa, wa = as_array("dy", dy), as_array("x", x), as_array("w", w)
    dtype = common_dtype(dya, xa, wa)
    p, rows, cols = _problem(xa.shape, wa.shape, stride, padding, output_padding, dilation, groups, dtype)
    shape = p.x_shape if xa.ndim == 4 else p.x_shape[1:]
    if dya.shape != shape:
        raise ValueError(f"dy must have the output's shape {shape}, got {dya.shape}")
    dya = np.require(dya, dtype, ("C", "A"))  # once, for all gradients
    options = planner.check_backend(backend), planner.check_rtol(rtol), get_num_threads()
    dx = dw = None
    if "x" in names:
        w = ready(wa, dtype)
        plan = planner.plan(p, "forward", *options, w=w)
        whole = plan.shape if xa.ndim == 4 else plan.shape[1:]
        dx = run_plan(plan, ready(dya, dtype), w, dtype, whole)
        if rows or cols:
            dx = np.ascontiguousarray(dx[..., : xa.shape[-2], : xa.shape[-1]])
    if "w" in names:
        plan = planner.plan(p, "grad_weight", *options)
        dw = run_plan(plan, _taller(ready(xa, dtype), rows, cols), ready(dya, dtype), dtype, plan.shape)
    db = bias_gradient(dya, dtype) if "bias" in names else None
    return Conv2dGradients(dx, dw, db)


def _problem(
    x: tuple[int, ...], w: tuple[int, ...], stride: Any, padding: Any, output_padding: Any, dilation: Any, groups: Any,
    dtype: str,
) -> tuple[ConvProblem, int, int]:  # fmt: skip
    """The convolution whose adjoint is asked for, and the rows and columns of zeros that its output has below x.

    There are such rows only where output_padding reaches the stride (the dilation then allows it).
    """
    if len(x) not in (3, 4):
        raise ValueError(f"x must have shape (N, Ci, H, W) or (Ci, H, W), got {x}")
    if len(w) != 4 or min(w) < 1:
        raise ValueError(f"w must have shape (Ci, Co // groups, KH, KW) without an empty axis, got {w}")
    n, ci, h, wd = x if len(x) == 4 else (1, *x)
    if min(ci, h, wd) < 1:
        raise ValueError(f"x must have at least one pixel and channel, got shape {x}")
    g = integer("groups", groups, 1)
    if w[0] != ci:
        raise ValueError(f"w has {w[0]} input channels, x has {ci}: shape {w} against {x}")
    if ci % g:
        raise ValueError(f"groups must divide the {ci} input channels, got {g}")
    strides, dilations = pair("stride", stride, 1), pair("dilation", dilation, 1)
    extra, pads = pair("output_padding", output_padding, 0), padding_pairs(padding)
    sizes = []
    for name, size, k, s, d, o, ends in zip(
        ("height", "width"), (h, wd), w[2:], strides, dilations, extra, pads, strict=True
    ):
        if o >= max(s, d):
            raise ValueError(
                f"output_padding must be below the stride or the dilation, got {o} for {name} with stride {s} and "
                f"dilation {d}"
            )
        sizes.append((size - 1) * s + d * (k - 1) + 1 + o - sum(ends))
        if sizes[-1] < 1:
            raise ValueError(
                f"padding must leave at least one pixel of the output, got {padding!r}: {name} {sizes[-1]}"
            )
    p = ConvProblem.from_shapes((n, w[1] * g, *sizes), w, strides, pads, dilations, g, "zeros", dtype)
    return p, extra[0] // strides[0], extra[1] // strides[1]


def _taller(x: Any, rows: int, cols: int) -> Any:
    """x with rows of zeros below and columns of zeros on the right."""
    if not rows and not cols:
        return x
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, rows), (0, cols)])
