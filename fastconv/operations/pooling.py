"""Pooling: the largest or the mean pixel of a window, plane by plane, with gradients.

Here arguments become planes and windows; `planes` calls the loops.
"""

from __future__ import annotations

from typing import Literal, overload

import numpy as np

from ..core.arrays import common_dtype
from ..core.layouts import is_nhwc, lying, returned, seen, shape_forms, shown, stored
from ..core.typing import Array, ArrayLike, IntPair, Layout, Padding
from . import planes
from .calls import check_shape, from_planes, image, lying_out, planes_of, room_for_planes
from .windows import Windows, windows_of


@overload
def max_pool2d(
    x: ArrayLike,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: Padding = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array: ...
@overload
def max_pool2d(
    x: ArrayLike,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: Padding = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_indices: Literal[True],
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> tuple[Array, Array]: ...
def max_pool2d(
    x: ArrayLike,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: Padding = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Largest pixel of every window, channel by channel.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64
    kernel_size, stride, dilation : int or (height, width)
        The stride is the kernel size unless given.
    padding : int, (height, width), ((top, bottom), (left, right)), "valid", "same" or "full"
        Pixels of minus infinity around the image, less than the dilated window.
    ceil_mode : bool
        Also windows that reach beyond the padded image, if they start inside the image or in front of it.
    return_indices : bool
        Also return where each maximum was found.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows ``x`` as there, of gradients ``dy``.
    out : ndarray, optional
        As in `conv2d`; where ``y`` goes.

    Returns
    -------
    y : ndarray (N, C, OH, OW), or (C, OH, OW) for unbatched input
        NaN where a window holds one.
    indices : ndarray int64 like y, if asked for
        Position in the flattened (H, W) plane; of equals the first. -1 for a window that, dilated, meets
        no pixel at all.

    Raises
    ------
    TypeError
        For a non-array, or a dtype that is not a real float; for options that are no integers.
    ValueError
        For windows larger than the padded image, padding not below the window, and other impossible
        options; the message names the argument.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[6., 5, 3, -1, 6, 7], [4, 6, 2, 4, 6, 2], [1, 3, 6, 0, 0, 1], [5, 7, 2, 1, 5, 8]]])
    >>> fastconv.max_pool2d(x, 2)
    array([[[6., 4., 7.],
            [7., 6., 8.]]])
    """
    nhwc = is_nhwc(layout)
    xa, dtype, x3 = _planes("x", x, nhwc)
    geo = windows_of(xa.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    shape, last = (*xa.shape[:-2], *geo.out), lying_out(out, lying(xa, nhwc), nhwc)
    result = room_for_planes(out, shape, last, nhwc, dtype, (xa,))
    y = result.reshape(-1, *geo.out)
    if not return_indices:
        planes.max_pool(x3, y, geo)
        return from_planes(result, out, last, nhwc, dtype)
    index = np.empty(y.shape, np.int64)
    planes.max_pool_indices(x3, y, index, geo)
    places = np.ascontiguousarray(stored(index.reshape(shape), last))
    return from_planes(result, out, last, nhwc, dtype), returned(places, last, nhwc, xa.ndim == 3)


def max_pool2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: Padding = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    indices: ArrayLike | None = None,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Gradient of `max_pool2d`: every number of ``dy`` goes to the pixel that was the largest of its window.

    Parameters
    ----------
    dy : array (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output.
    x, kernel_size, stride, padding, dilation, ceil_mode
        As in the forward call.
    indices : int64 array like dy, optional
        What the forward call returned; without it the maxima are found once more.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows ``dy``.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray like x

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`; also if ``dy`` or ``indices`` do not have the output's shape, or indices are no
        integers, or do not lie in the rows of their windows.
    """
    nhwc = is_nhwc(layout)
    xa, _, x3 = _planes("x", x, nhwc)
    geo = windows_of(xa.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    dtype, dy3, last = gradient(dy, xa, geo, nhwc)
    last = lying_out(out, last, nhwc)
    result = room_for_planes(out, xa.shape, last, nhwc, dtype, (xa, dy3))
    dx = result.reshape(x3.shape)
    if indices is None:
        planes.max_pool_backward(x3.astype(dx.dtype, copy=False), dy3, dx, geo)
        return from_planes(result, out, last, nhwc, dtype)
    index = np.asarray(indices)
    if index.dtype.kind not in "iu":
        raise TypeError(f"indices must be an array of integers, got {index.dtype}")
    index = seen("indices", index, nhwc)
    check_shape("indices", index, (*xa.shape[:-2], *geo.out), nhwc)
    index = np.require(index, np.int64, ("C", "A")).reshape(dy3.shape)
    if not planes.max_pool_scatter(index, dy3, dx, geo):
        raise ValueError("indices must lie in their windows, as max_pool2d returns them")
    return from_planes(result, out, last, nhwc, dtype)


def avg_pool2d(
    x: ArrayLike,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Mean pixel of every window, channel by channel.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64
    kernel_size, stride, padding, ceil_mode
        As in `max_pool2d`; the padding is zeros.
    count_include_pad : bool
        Whether the mean counts the pixels of padding; what ``ceil_mode`` adds beyond is never counted.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows ``x`` as there.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray (N, C, OH, OW), or (C, OH, OW) for unbatched input

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.avg_pool2d(np.arange(16.).reshape(1, 4, 4), 2)
    array([[[ 2.5,  4.5],
            [10.5, 12.5]]])
    """
    nhwc = is_nhwc(layout)
    xa, dtype, x3 = _planes("x", x, nhwc)
    geo = windows_of(xa.shape[-2:], kernel_size, stride, padding, 1, ceil_mode)
    last = lying_out(out, lying(xa, nhwc), nhwc)
    result = room_for_planes(out, (*xa.shape[:-2], *geo.out), last, nhwc, dtype, (xa,))
    planes.avg_pool(x3, result.reshape(-1, *geo.out), geo.counts(x3.dtype, bool(count_include_pad)), geo)
    return from_planes(result, out, last, nhwc, dtype)


def avg_pool2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Gradient of `avg_pool2d`: every number of ``dy`` is shared out evenly among its window.

    Parameters
    ----------
    dy : array (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output.
    x, kernel_size, stride, padding, ceil_mode, count_include_pad
        As in the forward call; of ``x`` only shape and dtype matter.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows ``dy``.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray like x

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`; ValueError also if ``dy`` does not have the output's shape.
    """
    nhwc = is_nhwc(layout)
    xa = pixels("x", x, nhwc)
    geo = windows_of(xa.shape[-2:], kernel_size, stride, padding, 1, ceil_mode)
    dtype, dy3, last = gradient(dy, xa, geo, nhwc)
    last = lying_out(out, last, nhwc)
    result = room_for_planes(out, xa.shape, last, nhwc, dtype, (dy3,))
    dx = result.reshape(-1, *xa.shape[-2:])
    planes.avg_pool_backward(dy3, dx, geo.counts(dx.dtype, bool(count_include_pad)), geo)
    return from_planes(result, out, last, nhwc, dtype)


def pixels(name: str, value: ArrayLike, nhwc: bool) -> Array:
    """An array of images (.., C, H, W), of one pixel at least."""
    a = image(name, value, nhwc)
    if a.ndim not in (3, 4):
        raise ValueError(f"{name} must have shape {' or '.join(shape_forms(nhwc))}, got {a.shape}")
    if min(a.shape[-3:]) < 1:
        raise ValueError(f"{name} must have at least one pixel and channel, got shape {shown(a.shape, nhwc)}")
    return a


def _planes(name: str, value: ArrayLike, nhwc: bool) -> tuple[Array, str, Array]:
    """The array, its dtype, and its planes (N * C, H, W) as the loops take them."""
    a = pixels(name, value, nhwc)
    dtype = common_dtype(a)
    return a, dtype, planes_of(a, dtype, nhwc).reshape(-1, *a.shape[-2:])


def gradient(dy: ArrayLike, x: Array, geo: Windows, nhwc: bool) -> tuple[str, Array, bool]:
    """dtype of the result, dy (N * C, OH, OW), and whether its channels lie last."""
    a = image("dy", dy, nhwc)
    check_shape("dy", a, (*x.shape[:-2], *geo.out), nhwc)
    dtype = common_dtype(a, x)
    return dtype, planes_of(a, dtype, nhwc).reshape(-1, *geo.out), lying(a, nhwc)
