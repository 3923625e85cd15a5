"""Pooling of whole channels, with gradients."""

from __future__ import annotations

import numpy as np

from ..core.arrays import as_numbers
from ..core.layouts import is_nhwc, lying, stored
from ..core.typing import Array, ArrayLike, Layout
from .average_pooling import avg_pool2d
from .calls import handed_over, lying_out, pixels, room_for
from .pooling import gradient, max_pool2d
from .windows import windows_of


def global_max_pool2d(x: ArrayLike, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Largest pixel of every channel.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64, integers or booleans
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows the input.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray (N, C, 1, 1) or (C, 1, 1)
        NaN where a channel holds one.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.
    """
    nhwc = is_nhwc(layout)
    xa = pixels("x", x, nhwc, integers=True)
    a = xa if not nhwc else as_numbers("x", x)
    return max_pool2d(a, xa.shape[-2:], stride=1, layout=layout, out=out)


def global_max_pool2d_backward(
    dy: ArrayLike, x: ArrayLike, *, layout: Layout = "NCHW", out: Array | None = None
) -> Array:
    """Gradient of `global_max_pool2d`: ``dy`` at the first of the largest pixels, zero elsewhere.

    Parameters
    ----------
    dy : array (N, C, 1, 1) or (C, 1, 1)
        Gradient with respect to the output.
    x : array (N, C, H, W) or (C, H, W)
        As in the forward call.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows the input.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray like x

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d_backward`.
    """
    nhwc = is_nhwc(layout)
    xa = pixels("x", x, nhwc)
    dy_, dtype, _ = gradient(dy, xa, windows_of(xa.shape[-2:], xa.shape[-2:], 1, 0, 1, False), nhwc)
    follows, (n, c, h, w) = lying(xa, nhwc), xa.shape if xa.ndim == 4 else (1, *xa.shape)
    result = room_for(out, xa.shape, follows, nhwc, dtype, (xa, dy_))
    flat = stored(xa, follows).reshape((n, h * w, c) if follows else (n, c, h * w))
    axis = 1 if follows else 2
    at = np.expand_dims(flat.argmax(axis=axis), axis)
    result[...] = 0
    np.put_along_axis(result.reshape(flat.shape), at, dy_.reshape(n, c).reshape(at.shape), axis)
    return handed_over(result, out, follows, lying_out(out, follows, nhwc), nhwc, dtype, xa.ndim == 3)


def global_avg_pool2d(x: ArrayLike, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Mean of every channel.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64, integers or booleans
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows the input.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray (N, C, 1, 1) or (C, 1, 1)
        float64 for integers and booleans.

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`.

    References
    ----------
    Lin, Chen and Yan, "Network in network" (2014).
    """
    nhwc = is_nhwc(layout)
    xa = pixels("x", x, nhwc, integers=True)
    a = xa if not nhwc else as_numbers("x", x)
    return avg_pool2d(a, xa.shape[-2:], stride=1, layout=layout, out=out)


def global_avg_pool2d_backward(
    dy: ArrayLike, x: ArrayLike, *, layout: Layout = "NCHW", out: Array | None = None
) -> Array:
    """Gradient of `global_avg_pool2d`: ``dy / (H W)`` in every pixel of the channel.

    Parameters
    ----------
    dy : array (N, C, 1, 1) or (C, 1, 1)
        Gradient with respect to the output.
    x : array (N, C, H, W) or (C, H, W)
        As in the forward call; only shape and dtype matter.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows the input.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray like x

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d_backward`.
    """
    nhwc = is_nhwc(layout)
    xa = pixels("x", x, nhwc)
    dy_, dtype, _ = gradient(dy, xa, windows_of(xa.shape[-2:], xa.shape[-2:], 1, 0, 1, False), nhwc)
    follows = lying(xa, nhwc)
    result = room_for(out, xa.shape, follows, nhwc, dtype, (dy_,))
    result[...] = stored(dy_, follows).astype(result.dtype, copy=False) / result.dtype.type(xa.shape[-2] * xa.shape[-1])
    return handed_over(result, out, follows, lying_out(out, follows, nhwc), nhwc, dtype, xa.ndim == 3)
