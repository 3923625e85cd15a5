"""Pooling of whole channels, with gradients."""

from __future__ import annotations

import numpy as np

from ..core.arrays import as_array
from ..core.layouts import is_nhwc, lying
from ..core.typing import Array, ArrayLike, Layout
from .calls import from_planes, lying_out, room_for_planes
from .pooling import avg_pool2d, gradient, max_pool2d, pixels
from .windows import windows_of


def global_max_pool2d(x: ArrayLike, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Largest pixel of every channel.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64
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
    xa = pixels("x", x, nhwc)
    a = xa if not nhwc else as_array("x", x)
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
    dtype, dy3, _ = gradient(dy, xa, windows_of(xa.shape[-2:], xa.shape[-2:], 1, 0, 1, False), nhwc)
    last = lying_out(out, lying(xa, nhwc), nhwc)
    result = room_for_planes(out, xa.shape, last, nhwc, dtype, (xa, dy3))
    flat = xa.reshape(dy3.shape[0], xa.shape[-2] * xa.shape[-1])
    at = flat.argmax(axis=1)
    result[...] = 0
    result.reshape(flat.shape)[np.arange(len(flat)), at] = dy3[:, 0, 0]
    return from_planes(result, out, last, nhwc, dtype)


def global_avg_pool2d(x: ArrayLike, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Mean of every channel.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows the input.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray (N, C, 1, 1) or (C, 1, 1)

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`.

    References
    ----------
    Lin, Chen and Yan, "Network in network" (2014).
    """
    nhwc = is_nhwc(layout)
    xa = pixels("x", x, nhwc)
    a = xa if not nhwc else as_array("x", x)
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
    dtype, dy3, _ = gradient(dy, xa, windows_of(xa.shape[-2:], xa.shape[-2:], 1, 0, 1, False), nhwc)
    last = lying_out(out, lying(xa, nhwc), nhwc)
    result = room_for_planes(out, xa.shape, last, nhwc, dtype, (dy3,))
    result[...] = (dy3 / dy3.dtype.type(xa.shape[-2] * xa.shape[-1])).reshape(*xa.shape[:-2], 1, 1)
    return from_planes(result, out, last, nhwc, dtype)
