"""Depthwise-separable convolution: a kernel for every channel, then 1x1 across channels.

Two calls of `conv2d`. Taking the batch in parts, image by image or by bands of rows, so that the intermediate
result never leaves the cache, was measured to gain nothing from 14x14 to 224x224 pixels, and to lose at most sizes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.arrays import as_array, check_out, common_dtype, delivered, ready
from ..core.layouts import channels_first, is_nhwc, seen, shown
from ..core.problem import ConvProblem
from ..core.typing import Array, ArrayLike, IntPair, Layout, Padding, PaddingMode
from .calls import Names, bias_gradient, check_shape, kept, wanted
from .conv2d import conv2d
from .gradients import conv2d_backward, conv2d_grad_input, conv2d_grad_weight


class DepthwiseSeparableGradients(NamedTuple):
    """Gradients by `depthwise_separable_conv2d_backward`; None for what ``wrt`` left out."""

    x: Array | Any
    w_depthwise: Array | Any
    w_pointwise: Array | Any
    bias: Array | Any


def depthwise_separable_conv2d(
    x: ArrayLike,
    w_depthwise: ArrayLike,
    w_pointwise: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    backend: str = "auto",
    rtol: float | None = None,
    out: Array | None = None,
) -> Array:
    """`conv2d` with a kernel of its own for every channel, then a 1x1 `conv2d` that mixes the channels.

    It needs ``KH * KW * C * m + C * m * Co`` weights where a full convolution needs ``KH * KW * C * Co``.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64
    w_depthwise : array (C * m, 1, KH, KW)
        m kernels for every channel.
    w_pointwise : array (Co, C * m, 1, 1)
    bias : array (Co,), optional
    stride, padding, dilation, padding_mode
        Of the depthwise convolution, as in `conv2d`.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows ``x`` as there.
    backend, rtol
        As in `conv2d`, for both.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray (N, Co, OH, OW), or (Co, OH, OW) for unbatched input

    Raises
    ------
    TypeError, ValueError, BackendRefused
        As `conv2d`; the message names the argument.

    References
    ----------
    Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications" (2017).

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x, deep, point = np.ones((3, 12, 12)), np.ones((3, 1, 5, 5)), np.ones((256, 3, 1, 1))
    >>> fastconv.depthwise_separable_conv2d(x, deep, point).shape
    (256, 8, 8)
    """
    nhwc = is_nhwc(layout)
    dtype, (xc, deep, point, *rest) = _arrays(nhwc, x=x, w_depthwise=w_depthwise, w_pointwise=w_pointwise, bias=bias)
    b = rest[0] if rest else None
    first: dict[str, Any] = dict(stride=stride, padding=padding, dilation=dilation, padding_mode=padding_mode)
    p = _problem(channels_first("x", xc.shape, nhwc), deep, point, first)
    if b is not None and b.shape != point.shape[:1]:
        raise ValueError(f"bias must have shape {point.shape[:1]}, got {b.shape}")
    options: dict[str, Any] = dict(layout=layout, backend=backend, rtol=rtol)
    if out is not None:
        check_out(out, shown((p.n, point.shape[0], p.oh, p.ow)[4 - xc.ndim :], nhwc), dtype)
    into = out if point.dtype == dtype else None  # of a dtype that is computed in
    result = conv2d(conv2d(xc, deep, groups=p.g, **first, **options), point, b, out=into, **options)
    return delivered(result, out, dtype)


def depthwise_separable_conv2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w_depthwise: ArrayLike,
    w_pointwise: ArrayLike,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    backend: str = "auto",
    rtol: float | None = None,
    wrt: Names = ("x", "w_depthwise", "w_pointwise", "bias"),
) -> DepthwiseSeparableGradients:
    """Gradients of `depthwise_separable_conv2d`; the result of the depthwise convolution is computed anew.

    Parameters
    ----------
    dy : array (N, Co, OH, OW) or (Co, OH, OW)
        Gradient with respect to the output.
    x, w_depthwise, w_pointwise, stride, padding, dilation, padding_mode, layout, backend, rtol
        As in the forward call.
    wrt : sequence of "x", "w_depthwise", "w_pointwise", "bias"
        Which gradients to compute.

    Returns
    -------
    DepthwiseSeparableGradients
        ``(x, w_depthwise, w_pointwise, bias)``, None for what ``wrt`` leaves out.

    Raises
    ------
    TypeError, ValueError, BackendRefused
        As `conv2d_backward`; the message names the argument.
    """
    nhwc, names = is_nhwc(layout), wanted(wrt, DepthwiseSeparableGradients._fields)
    dtype, (dyc, xc, deep, point) = _arrays(nhwc, dy=dy, x=x, w_depthwise=w_depthwise, w_pointwise=w_pointwise)
    first: dict[str, Any] = dict(stride=stride, padding=padding, dilation=dilation, padding_mode=padding_mode)
    p = _problem(channels_first("x", xc.shape, nhwc), deep, point, first)
    check_shape("dy", seen("dy", dyc, nhwc), (p.n, point.shape[0], p.oh, p.ow)[4 - xc.ndim :], nhwc)
    options: dict[str, Any] = dict(layout=layout, backend=backend, rtol=rtol)
    first.update(options, groups=p.g)
    dx = d_deep = d_point = None
    if "w_pointwise" in names:
        middle = conv2d(xc, deep, **first)
        d_point = conv2d_grad_weight(dyc, middle, point.shape, **options)
    inner = tuple(short for name, short in (("x", "x"), ("w_depthwise", "w")) if name in names)
    if inner:
        d_middle = conv2d_grad_input(dyc, point, shown(p.y_shape[4 - xc.ndim :], nhwc), **options)
        dx, d_deep, _ = conv2d_backward(d_middle, xc, deep, wrt=inner, **first)
    db = bias_gradient(dyc, dtype, nhwc) if "bias" in names else None
    dx, d_deep, d_point = (None if a is None else a.astype(dtype, copy=False) for a in (dx, d_deep, d_point))
    return DepthwiseSeparableGradients(dx, d_deep, d_point, db)


def _arrays(nhwc: bool, **arguments: ArrayLike | None) -> tuple[str, list[Array]]:
    """dtype of the result, and the arguments (but a bias of None) in the dtype that is computed in."""
    arrays = {name: as_array(name, a) for name, a in arguments.items() if name != "bias" or a is not None}
    dtype = common_dtype(*arrays.values())
    for name in ("x", "dy"):
        if name in arrays:
            channels_first(name, arrays[name].shape, nhwc)  # its number of axes
    images = {"x", "dy"} if all(arrays[name].ndim in (3, 4) for name in arrays.keys() & {"x", "dy"}) else set()
    return dtype, [kept(a, dtype, nhwc) if name in images else ready(a, dtype) for name, a in arrays.items()]


def _problem(x: tuple[int, ...], deep: Array, point: Array, first: dict[str, Any]) -> ConvProblem:
    """The depthwise convolution, after a look at both kernels."""
    if len(x) not in (3, 4):
        raise ValueError(f"x must have shape (N, C, H, W) or (C, H, W), got {x}")
    channels = x[-3]
    if deep.ndim != 4 or deep.shape[1] != 1 or min(deep.shape) < 1 or channels < 1 or deep.shape[0] % channels:
        raise ValueError(
            f"w_depthwise must have shape (C * m, 1, KH, KW) for the C = {channels} channels of x, got {deep.shape}"
        )
    if point.ndim != 4 or point.shape[1:] != (deep.shape[0], 1, 1) or point.shape[0] < 1:
        raise ValueError(f"w_pointwise must have shape (Co, {deep.shape[0]}, 1, 1), got {point.shape}")
    names = "x", "w_depthwise"
    return ConvProblem.from_shapes(x, deep.shape, groups=channels, dtype=deep.dtype.name, names=names, **first)
