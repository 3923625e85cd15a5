"""Pooling of whole channels, with gradients."""

from __future__ import annotations

import numpy as np

from ..core.arrays import delivered, destination
from ..core.typing import Array, ArrayLike
from .pooling import avg_pool2d, gradient, image, max_pool2d
from .windows import windows_of


def global_max_pool2d(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Largest pixel of every channel.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64
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
    xa = image("x", x)
    return max_pool2d(xa, xa.shape[-2:], stride=1, out=out)


def global_max_pool2d_backward(dy: ArrayLike, x: ArrayLike, *, out: Array | None = None) -> Array:
    """Gradient of `global_max_pool2d`: ``dy`` at the first of the largest pixels, zero elsewhere.

    Parameters
    ----------
    dy : array (N, C, 1, 1) or (C, 1, 1)
        Gradient with respect to the output.
    x : array (N, C, H, W) or (C, H, W)
        As in the forward call.
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
    xa = image("x", x)
    dtype, dy3 = gradient(dy, xa, windows_of(xa.shape[-2:], xa.shape[-2:], 1, 0, 1, False))
    result = destination(out, xa.shape, dtype, (xa, dy3))
    flat = xa.reshape(dy3.shape[0], xa.shape[-2] * xa.shape[-1])
    at = flat.argmax(axis=1)
    result[...] = 0
    result.reshape(flat.shape)[np.arange(len(flat)), at] = dy3[:, 0, 0]
    return delivered(result, out, dtype)


def global_avg_pool2d(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Mean of every channel.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64
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
    xa = image("x", x)
    return avg_pool2d(xa, xa.shape[-2:], stride=1, out=out)


def global_avg_pool2d_backward(dy: ArrayLike, x: ArrayLike, *, out: Array | None = None) -> Array:
    """Gradient of `global_avg_pool2d`: ``dy / (H W)`` in every pixel of the channel.

    Parameters
    ----------
    dy : array (N, C, 1, 1) or (C, 1, 1)
        Gradient with respect to the output.
    x : array (N, C, H, W) or (C, H, W)
        As in the forward call; only shape and dtype matter.
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
    xa = image("x", x)
    dtype, dy3 = gradient(dy, xa, windows_of(xa.shape[-2:], xa.shape[-2:], 1, 0, 1, False))
    result = destination(out, xa.shape, dtype, (dy3,))
    result[...] = (dy3 / dy3.dtype.type(xa.shape[-2] * xa.shape[-1])).reshape(*xa.shape[:-2], 1, 1)
    return delivered(result, out, dtype)
