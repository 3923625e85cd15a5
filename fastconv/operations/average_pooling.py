"""Average pooling: the mean pixel of a window, channel by channel, with its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arguments import integer
from ..core.arrays import as_numbers, common_dtype
from ..core.layouts import is_nhwc, lying
from ..core.typing import Array, ArrayLike, IntPair, Layout, Padding
from .calls import handed_over, laid, lying_out, pixels, room_for
from .pooling import by_channels, flat, gradient, loops
from .windows import VECTOR, Windows, windows_of


def avg_pool2d(
    x: ArrayLike,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Mean pixel of every window, channel by channel.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64, integers or booleans
    kernel_size, stride, padding, ceil_mode
        As in `max_pool2d`; the padding is zeros.
    count_include_pad : bool
        Whether the mean counts the pixels of padding; what ``ceil_mode`` adds beyond is never counted.
    divisor_override : int, optional
        What sums are divided by, at least 1, instead of the number of pixels: 1 for the sums themselves.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows ``x`` as there.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray (N, C, OH, OW), or (C, OH, OW) for unbatched input
        Of the dtype of ``x``; float64 for integers and booleans, as of `numpy.mean` (PyTorch truncates).

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
    nhwc, given = is_nhwc(layout), as_numbers("x", x)
    xa = pixels("x", given if given.dtype.kind not in "bui" else given.astype(np.float64), nhwc)
    geo = windows_of(xa.shape[-2:], kernel_size, stride, padding, 1, ceil_mode)
    dtype, follows = common_dtype(xa), lying(xa, nhwc)
    computed, last = by_channels(xa, follows, geo), lying_out(out, follows, nhwc)
    result = room_for(out, (*xa.shape[:-2], *geo.out), computed, nhwc, dtype, (xa,))
    counts = _divisors(geo, result.dtype, count_include_pad, divisor_override)
    x4 = flat(laid(xa, dtype, nhwc, computed), computed)
    loops(computed).avg_pool(x4, flat(result, computed), counts, geo)
    return handed_over(result, out, computed, last, nhwc, dtype, xa.ndim == 3)


def avg_pool2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Gradient of `avg_pool2d`: every number of ``dy`` is shared out evenly among its window.

    Parameters
    ----------
    dy : array (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output.
    x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As in the forward call; of ``x`` only shape and (float) dtype matter.
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
    dy_, dtype, follows = gradient(dy, xa, geo, nhwc)
    computed, last = by_channels(xa, follows, geo), lying_out(out, follows, nhwc)
    result = room_for(out, xa.shape, computed, nhwc, dtype, (dy_,))
    counts = _divisors(geo, result.dtype, count_include_pad, divisor_override)
    dy4 = flat(laid(dy_, dtype, nhwc, computed), computed)
    loops(computed).avg_pool_backward(dy4, flat(result, computed), counts, geo)
    return handed_over(result, out, computed, last, nhwc, dtype, xa.ndim == 3)


def _divisors(geo: Windows, dtype: Any, include_pad: bool, override: int | None) -> tuple[Array, Array]:
    """Of rows and columns of windows: their products divide the sums."""
    if override is None:
        return geo.counts(dtype, bool(include_pad))
    divisor = integer("divisor_override", override, 1)
    return np.full(geo.out[0], divisor, dtype), np.ones(geo.out[1] + VECTOR, dtype)
