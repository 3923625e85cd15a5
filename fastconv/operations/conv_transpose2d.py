"""Transposed convolution: the adjoint of `conv2d` as an operation of its own.

It is grad_input of a convolution from its output to its input, with the same weights; its gradients are
that convolution's forward pass (for x) and its grad_weight (for w, with the roles of x and dy swapped).
So it goes through the same planner to the same backends.
"""

from __future__ import annotations

from itertools import starmap
from typing import Any

import numpy as np

from ..core.arguments import integer, padding_pairs, pair, step_pair
from ..core.arrays import as_array, common_dtype, ready
from ..core.layouts import is_nhwc, lying, returned, seen, stored
from ..core.problem import ConvProblem
from ..core.threads import get_num_threads
from ..core.typing import Array, ArrayLike, IntPair, Layout, PaddingMode, PaddingNumbers, TransposedPadding
from ..planning import planner
from .calls import Names, bias_gradient, check_shape, image, lying_out, run_plan, wanted
from .gradients import Conv2dGradients


def conv_transpose2d(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: IntPair = 1,
    padding: TransposedPadding = 0,
    output_padding: IntPair = 0,
    output_size: IntPair | None = None,
    dilation: IntPair = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    backend: str = "auto",
    rtol: float | None = None,
    out: Array | None = None,
) -> Array:
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
    padding : int, (height, width), ((top, bottom), (left, right)), "valid" or "same"
        Rows and columns cut off the output: the padding of the convolution. "same" gives ``in * stride`` pixels an
        axis, or ``output_size``: the adjoint of a convolution with that padding.
    output_padding : int or (height, width)
        Rows and columns more at the bottom and on the right, of those sizes that the convolution maps to
        the same; below the stride or the dilation.
    output_size : int or (height, width), optional
        The size of the output, instead of ``output_padding``: one of those that this may give.
    groups : int
        Divides Ci and Co.
    padding_mode : {"zeros", "reflect", "symmetric", "replicate", "circular"}
        That of the convolution. What falls on padding is lost with "zeros"; with the others it is added to the pixel
        that the padding shows: with "circular" the output goes on at its other side.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows ``x`` as there.
    backend, rtol
        As in `conv2d`, pass ``grad_input``.
    out : ndarray, optional
        As in `conv2d`.

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
    nhwc = is_nhwc(layout)
    xa, wa = image("x", x, nhwc), as_array("w", w)
    ba = None if bias is None else as_array("bias", bias)
    dtype = common_dtype(xa, wa) if ba is None else common_dtype(xa, wa, ba)
    p, rows, cols = _problem(
        xa.shape, wa.shape, stride, padding, output_padding, dilation, groups, dtype, output_size, padding_mode
    )
    if ba is not None:
        if ba.shape != (p.ci,):
            raise ValueError(f"bias must have shape ({p.ci},), got {ba.shape}")
        ba = ready(ba, dtype)
    last, unbatched = lying(xa, nhwc), xa.ndim == 3
    p = p._replace(x_last=lying_out(out, last, nhwc), y_last=last)
    options = planner.check_backend(backend), planner.check_rtol(rtol), get_num_threads()
    weights = ready(wa, dtype)
    plan = planner.plan(p, "grad_input", *options, w=weights)
    taller = ready(stored(_taller(xa, rows, cols), last), dtype)
    return run_plan(plan, taller, weights, dtype, out, (xa, wa, ba), ba, nhwc=nhwc, unbatched=unbatched)


def conv_transpose2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    *,
    stride: IntPair = 1,
    padding: TransposedPadding = 0,
    output_padding: IntPair = 0,
    output_size: IntPair | None = None,
    dilation: IntPair = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    backend: str = "auto",
    rtol: float | None = None,
    wrt: Names = ("x", "w", "bias"),
) -> Conv2dGradients:
    """Gradients of `conv_transpose2d` with respect to input, weights and bias.

    Parameters
    ----------
    dy : array (N, Co, OH, OW) or (Co, OH, OW)
        Gradient with respect to the output.
    x : array (N, Ci, H, W) or (Ci, H, W)
    w : array (Ci, Co // groups, KH, KW)
    stride, padding, output_padding, output_size, dilation, groups, padding_mode, layout, backend, rtol
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
    nhwc, names = is_nhwc(layout), wanted(wrt, Conv2dGradients._fields)
    dya, xa, wa = image("dy", dy, nhwc), image("x", x, nhwc), as_array("w", w)
    dtype, unbatched = common_dtype(dya, xa, wa), xa.ndim == 3
    p, rows, cols = _problem(
        xa.shape, wa.shape, stride, padding, output_padding, dilation, groups, dtype, output_size, padding_mode
    )
    check_shape("dy", dya, p.x_shape[1:] if unbatched else p.x_shape, nhwc)
    last, x_last = lying(dya, nhwc), lying(xa, nhwc)
    dys = ready(stored(dya, last), dtype)  # once, for all gradients
    options = planner.check_backend(backend), planner.check_rtol(rtol), get_num_threads()
    dx = dw = None
    if "x" in names:
        weights = ready(wa, dtype)
        plan = planner.plan(p._replace(x_last=last, y_last=last or nhwc), "forward", *options, w=weights)
        dx = run_plan(plan, dys, weights, dtype, nhwc=nhwc, unbatched=unbatched)
        if rows or cols:
            part = stored(seen("x", dx, nhwc)[..., : xa.shape[-2], : xa.shape[-1]], plan.last)
            dx = returned(np.ascontiguousarray(part), plan.last, nhwc, unbatched)
    if "w" in names:
        plan = planner.plan(p._replace(x_last=last, y_last=x_last), "grad_weight", *options)
        dw = run_plan(plan, ready(stored(_taller(xa, rows, cols), x_last), dtype), dys, dtype)
    db = bias_gradient(dys, dtype, last) if "bias" in names else None
    return Conv2dGradients(dx, dw, db)


def _problem(
    x: tuple[int, ...],
    w: tuple[int, ...],
    stride: Any,
    padding: Any,
    output_padding: Any,
    dilation: Any,
    groups: Any,
    dtype: str,
    output_size: Any = None,
    padding_mode: Any = "zeros",
) -> tuple[ConvProblem, int, int]:
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
    strides, dilations = step_pair("stride", stride), step_pair("dilation", dilation)
    extra, named = pair("output_padding", output_padding, 0), padding if isinstance(padding, str) else ""
    if named not in ("", "valid", "same"):
        raise ValueError(f"padding must be integers, valid or same, got {padding!r}")
    pads = padding_pairs(0 if named else padding)
    wanted_sizes = (None, None) if output_size is None else pair("output_size", output_size, 1)
    if any(extra) and (output_size is not None or named == "same"):
        raise ValueError(f"output_padding must be 0 beside output_size and padding='same', got {output_padding!r}")
    same = (named == "same",) * 2
    numbers = zip(("height", "width"), (h, wd), w[2:], strides, dilations, pads, extra, wanted_sizes, same, strict=True)
    sizes, ends, more = zip(*starmap(_axis, numbers), strict=True)
    p = ConvProblem.from_shapes((n, w[1] * g, *sizes), w, strides, ends, dilations, g, padding_mode, dtype)
    return p, more[0], more[1]


def _axis(
    name: str, size: int, k: int, s: int, d: int, cut: tuple[int, int], extra: int, out: int | None, same: bool
) -> tuple[int, tuple[int, int], int]:
    """Pixels of the output along an axis, the padding at its ends, and the zeros behind x."""
    whole, limit = (size - 1) * s + d * (k - 1) + 1, max(s, d)
    if same:
        out = size * s if out is None else out
        excess = max(whole - out, 0)
        cut = excess // 2, excess - excess // 2
    least = whole - sum(cut)
    if out is not None:
        extra = out - least
        if not 0 <= extra < limit or (same and -(-out // s) != size):
            few, many = (size * s - s + 1, size * s) if same else (least, least + limit - 1)
            raise ValueError(f"output_size must be from {few} to {many} for {name} {size} of x, got {out}")
    if extra >= limit:
        raise ValueError(
            f"output_padding must be below the stride or the dilation, got {extra} for {name} with stride {s} and "
            f"dilation {d}"
        )
    if least + extra < 1:
        raise ValueError(f"padding must leave at least one pixel of the output: {name} {least + extra}, got {cut}")
    return least + extra, cut, extra // s


def _taller(x: Array, rows: int, cols: int) -> Array:
    """x with rows of zeros below and columns of zeros on the right."""
    if not rows and not cols:
        return x
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, rows), (0, cols)])


def conv_transpose2d_shape(
    x: tuple[int, ...],
    w: tuple[int, ...],
    stride: IntPair,
    padding: PaddingNumbers,
    output_padding: IntPair,
    dilation: IntPair,
    groups: int,
) -> tuple[int, ...]:
    """Shape of what `conv_transpose2d` returns for arrays of these shapes."""
    p, _, _ = _problem(x, w, stride, padding, output_padding, dilation, groups, "float32")
    return p.x_shape[4 - len(x) :]
