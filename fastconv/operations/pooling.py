"""Max pooling: the largest pixel of a window, channel by channel, with its gradient.

Here arguments become arrays and windows; `planes` calls the loops, or `channels` if channels lie last.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np

from ..core.arrays import as_numbers, common_dtype
from ..core.layouts import is_nhwc, lying, returned, seen, stored
from ..core.typing import Array, ArrayLike, IntPair, Layout, Padding
from . import channels, planes
from .calls import check_shape, handed_over, image, laid, lying_out, pixels, room_for
from .integers import ordered, restored
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
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64, integers or booleans
    kernel_size, stride, dilation : int or (height, width)
        The stride is the kernel size unless given.
    padding : int, (height, width), ((top, bottom), (left, right)), "valid", "same" or "full"
        Pixels of minus infinity (the least integer, False) around the image, less than the dilated window.
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
        Of the dtype of ``x``; NaN where a window holds one.
    indices : ndarray int64 like y, if asked for
        Position in the flattened (H, W) plane; of equals the first. -1 for a window that, dilated, meets
        no pixel at all.

    Raises
    ------
    TypeError
        For a non-array, or a dtype that is not among those above; for options that are no integers.
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
    nhwc, given = is_nhwc(layout), as_numbers("x", x)
    if given.dtype.kind in "bui":
        floats, meaning = ordered(given)
        more: Any = dict(stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode, layout=layout)
        if not return_indices:
            return restored(max_pool2d(floats, kernel_size, **more), given.dtype, meaning, out)
        most, places = max_pool2d(floats, kernel_size, return_indices=True, **more)
        return restored(most, given.dtype, meaning, out), places
    xa = pixels("x", given, nhwc)
    geo = windows_of(xa.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    dtype, follows, unbatched = common_dtype(xa), lying(xa, nhwc), xa.ndim == 3
    computed, last = by_channels(xa, follows, geo), lying_out(out, follows, nhwc)
    result = room_for(out, (*xa.shape[:-2], *geo.out), computed, nhwc, dtype, (xa,))
    x4, filled, calls = flat(laid(xa, dtype, nhwc, computed), computed), flat(result, computed), loops(computed)
    if not return_indices:
        calls.max_pool(x4, filled, geo)
        return handed_over(result, out, computed, last, nhwc, dtype, unbatched)
    index = np.empty(result.shape, np.int64)
    calls.max_pool_indices(x4, filled, flat(index, computed), geo)
    index = np.ascontiguousarray(stored(index, last, computed))
    y = handed_over(result, out, computed, last, nhwc, dtype, unbatched)
    return y, returned(index, last, nhwc, unbatched)


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
        As in the forward call, of floats.
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
    xa = pixels("x", x, nhwc)
    geo = windows_of(xa.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    dy_, dtype, follows = gradient(dy, xa, geo, nhwc)
    computed, last = by_channels(xa, follows, geo), lying_out(out, follows, nhwc)
    unbatched = xa.ndim == 3
    calls, dy4 = loops(computed), flat(laid(dy_, dtype, nhwc, computed), computed)
    result = room_for(out, xa.shape, computed, nhwc, dtype, (xa, dy_))
    dx = flat(result, computed)
    if indices is None:
        calls.max_pool_backward(flat(laid(xa, dtype, nhwc, computed), computed), dy4, dx, geo)
        return handed_over(result, out, computed, last, nhwc, dtype, unbatched)
    index = np.asarray(indices)
    if index.dtype.kind not in "iu":
        raise TypeError(f"indices must be an array of integers, got {index.dtype}")
    index = seen("indices", index, nhwc)
    check_shape("indices", index, (*xa.shape[:-2], *geo.out), nhwc)
    places = np.require(stored(index, computed), np.int64, ("C", "A"))
    if not calls.max_pool_scatter(flat(places, computed), dy4, dx, geo):
        raise ValueError("indices must lie in their windows, as max_pool2d returns them")
    return handed_over(result, out, computed, last, nhwc, dtype, unbatched)


def gradient(dy: ArrayLike, x: Array, geo: Windows, nhwc: bool) -> tuple[Array, str, bool]:
    """dy (.., C, OH, OW), the dtype of the result, and whether the channels of dy lie last."""
    a = image("dy", dy, nhwc)
    check_shape("dy", a, (*x.shape[:-2], *geo.out), nhwc)
    return a, common_dtype(a, x), lying(a, nhwc)


def by_channels(x: Array, last: bool, geo: Windows) -> bool:
    """Whether the loops whose lanes are channels serve an operand: with channels last, and not a plane alone."""
    return last and geo.by_channels and x.shape[-3] > 1


def loops(last: bool) -> Any:
    """The calls of the loops for arrays with channels last, or for planes."""
    return channels if last else planes


def flat(a: Array, last: bool) -> Array:
    """An array as these take it: (N, H, W, C), or planes (N * C, H, W)."""
    return a if last else a.reshape(-1, *a.shape[2:])
