"""Convolution with learned factors: a column filter, then a row filter, and the gradients of both.

The two factors are the weights of a Kx1 and a 1xK convolution (Rigamonti et al., "Learning separable filters",
CVPR 2013), so that these functions are two calls of `fastconv.conv2d` each, on whatever backend suits; the
full kernel is never made.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.arguments import integer
from ..core.arrays import as_array, check_out, common_dtype, delivered, ready
from ..core.layouts import channels_first, is_nhwc, seen, shown
from ..core.problem import ConvProblem
from ..core.typing import Array, ArrayLike, IntPair, Layout, Padding, PaddingMode
from .calls import Names, bias_gradient, check_shape, kept, wanted
from .conv2d import conv2d
from .gradients import conv2d_grad_input, conv2d_grad_weight


class SeparableConv2dGradients(NamedTuple):
    """Gradients by `separable_conv2d_backward`; None for what ``wrt`` left out."""

    x: Array | Any
    w_col: Array | Any
    w_row: Array | Any
    bias: Array | Any


def separable_conv2d(
    x: ArrayLike,
    w_col: ArrayLike,
    w_row: ArrayLike,
    bias: ArrayLike | None = None,
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
    """2-D convolution with a kernel given by its factors: columns first, then rows.

    It equals `conv2d` with ``w[o, c, u, v] = sum over m of w_col[m, c, u, 0] * w_row[o, m, 0, v]``, m running
    over the middle channels of the group.

    Parameters
    ----------
    x : array (N, Ci, H, W) or (Ci, H, W), float16, float32 or float64
    w_col : array (Cm, Ci // groups, KH, 1) or (Cm, Ci // groups, KH)
        Column filters; they make Cm middle channels. Cm is a multiple of ``groups``.
    w_row : array (Co, Cm // groups, 1, KW) or (Co, Cm // groups, KW)
        Row filters.
    bias : array (Co,), optional
    stride, padding, dilation, groups, padding_mode
        As in `conv2d`, of the whole: the column filter takes the vertical, the row filter the horizontal part.
        ``groups=Ci`` with Cm = Co = Ci filters each channel by one column and one row.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows ``x`` as there.
    backend, rtol
        As in `conv2d`, for each of the two filters.
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
        For factors that do not fit each other or ``x``, and as `conv2d`.
    BackendRefused
        If a named backend cannot do one of the two.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> k = np.array([1, 2, 1], np.float32) / 4
    >>> x = np.zeros((1, 5, 5), np.float32); x[0, 2, 2] = 16
    >>> fastconv.separable_conv2d(x, k.reshape(1, 1, 3, 1), k.reshape(1, 1, 1, 3))[0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]], dtype=float32)
    """
    ba = None if bias is None else as_array("bias", bias)
    nhwc = is_nhwc(layout)
    xa, col, row, dtype = _arrays(x, w_col, w_row, groups, ba, nhwc)
    shape = channels_first("x", xa.shape, nhwc)
    cols, rows = _options(shape, col, row, stride, padding, dilation, groups, padding_mode, layout, backend, rtol)
    if out is not None:
        check_out(out, shown(_output(_output(shape, col.shape, cols), row.shape, rows), nhwc), dtype)
    into = out if col.dtype == dtype else None  # of a dtype that is computed in
    result = conv2d(conv2d(xa, col, **cols), row, None if ba is None else ready(ba, dtype), out=into, **rows)
    return delivered(result, out, dtype)


def separable_conv2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w_col: ArrayLike,
    w_row: ArrayLike,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    backend: str = "auto",
    rtol: float | None = None,
    wrt: Names = ("x", "w_col", "w_row", "bias"),
) -> SeparableConv2dGradients:
    """Gradients of `separable_conv2d` with respect to input, both factors and bias.

    Parameters
    ----------
    dy : array (N, Co, OH, OW) or (Co, OH, OW)
        Gradient with respect to the output.
    x : array (N, Ci, H, W) or (Ci, H, W)
    w_col, w_row
        As in `separable_conv2d`.
    stride, padding, dilation, groups, padding_mode, layout, backend, rtol
        As in `separable_conv2d`.
    wrt : sequence of "x", "w_col", "w_row", "bias"
        Which gradients to compute.

    Returns
    -------
    SeparableConv2dGradients
        ``(x, w_col, w_row, bias)`` in the shapes of the arguments, None for what ``wrt`` leaves out.

    Raises
    ------
    TypeError, ValueError, BackendRefused
        As `separable_conv2d`; ValueError also if ``dy`` does not have the output's shape.
    """
    nhwc, names = is_nhwc(layout), wanted(wrt, SeparableConv2dGradients._fields)
    dya, factors = as_array("dy", dy), (as_array("w_col", w_col), as_array("w_row", w_row))
    xa, col, row, dtype = _arrays(x, *factors, groups, dya, nhwc)
    shape = channels_first("x", xa.shape, nhwc)
    cols, rows = _options(shape, col, row, stride, padding, dilation, groups, padding_mode, layout, backend, rtol)
    middle = _output(shape, col.shape, cols)
    check_shape("dy", seen("dy", dya, nhwc), _output(middle, row.shape, rows), nhwc)
    dya, middle = kept(dya, dtype, nhwc), shown(middle, nhwc)
    found: dict[str, Any] = {}
    if names & {"x", "w_col"}:
        d_middle = conv2d_grad_input(dya, row, middle, **rows)
        if "x" in names:
            found["x"] = conv2d_grad_input(d_middle, col, xa.shape, **cols)
        if "w_col" in names:
            found["w_col"] = conv2d_grad_weight(d_middle, xa, col.shape, **cols).reshape(factors[0].shape)
    if "w_row" in names:
        y = conv2d(xa, col, **cols)
        found["w_row"] = conv2d_grad_weight(dya, y, row.shape, **rows).reshape(factors[1].shape)
    if "bias" in names:
        found["bias"] = bias_gradient(dya, dtype, nhwc)
    fields = (found.get(name) for name in SeparableConv2dGradients._fields)
    return SeparableConv2dGradients(*(a if a is None else a.astype(dtype, copy=False) for a in fields))


def _arrays(
    x: ArrayLike, w_col: ArrayLike, w_row: ArrayLike, groups: int, other: Array | None, nhwc: bool
) -> tuple[Array, Array, Array, str]:
    """Arrays of the dtype computed in, the factors with four axes; and the dtype of results."""
    xa, col, row = as_array("x", x), as_array("w_col", w_col), as_array("w_row", w_row)
    shapes = col.shape, row.shape
    if col.ndim == 3:
        col = col[:, :, :, None]
    if row.ndim == 3:
        row = row[:, :, None, :]
    if col.ndim != 4 or col.shape[3] != 1:
        raise ValueError(f"w_col must have shape (Cm, Ci // groups, KH) or (.., KH, 1), got {shapes[0]}")
    if row.ndim != 4 or row.shape[2] != 1:
        raise ValueError(f"w_row must have shape (Co, Cm // groups, KW) or (.., 1, KW), got {shapes[1]}")
    g = integer("groups", groups, 1)
    if col.shape[0] != g * row.shape[1]:
        raise ValueError(f"w_row must have {col.shape[0]} // {g} (Cm // groups) channels, got {row.shape[1]}")
    dtype = common_dtype(*(a for a in (xa, col, row, other) if a is not None))
    channels_first("x", xa.shape, nhwc)
    if xa.ndim in (3, 4):
        xa = kept(xa, dtype, nhwc)
    return xa, ready(col, dtype), ready(row, dtype), dtype


def _options(
    x: tuple[int, ...],
    col: Array,
    row: Array,
    stride: IntPair,
    padding: Padding,
    dilation: IntPair,
    groups: int,
    mode: PaddingMode,
    layout: Layout,
    backend: str,
    rtol: float | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the whole is asked for, shared out to the column and the row filter."""
    shape = row.shape[0], col.shape[1], col.shape[2], row.shape[3]
    names = "x", "w_col", "w_row"
    p = ConvProblem.from_shapes(x, shape, stride, padding, dilation, groups, mode, names=names)
    both: dict[str, Any] = dict(groups=groups, padding_mode=mode, layout=layout, backend=backend, rtol=rtol)
    cols = dict(stride=(p.sh, 1), padding=((p.pt, p.pb), (0, 0)), dilation=(p.dh, 1), **both)
    rows = dict(stride=(1, p.sw), padding=((0, 0), (p.pl, p.pr)), dilation=(1, p.dw), **both)
    return cols, rows


def _output(x_shape: tuple[int, ...], w_shape: tuple[int, ...], options: dict[str, Any]) -> tuple[int, ...]:
    """Shape of the result, with as many axes as the input has."""
    geometry = (options[name] for name in ("stride", "padding", "dilation", "groups", "padding_mode"))
    return ConvProblem.from_shapes(x_shape, w_shape, *geometry).y_shape[4 - len(x_shape) :]
