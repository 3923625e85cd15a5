"""Pooling: the largest or the mean pixel of a window, plane by plane, with gradients.

Here arguments become arrays and tables; the loops are the engine's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..core import workspace
from ..core.arrays import as_array, common_dtype, ready
from ..core.threads import get_num_threads
from ..engines.loader import first as _steps
from .windows import Windows, windows_of

_LAUNCH = 1 << 15  # pixels below which threads are not worth their start


def max_pool2d(
    x: Any,
    kernel_size: Any,
    *,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
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
    xa, dtype, x3 = _planes("x", x)
    geo = windows_of(xa.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    shape = *xa.shape[:-2], *geo.out
    y = np.empty((len(x3), *geo.out), x3.dtype)
    steps, threads = _steps(dtype), _threads(x3)
    with _scratch(dtype, geo, threads) as work:
        if not return_indices:
            steps.max_pool(x3, y, geo.taps, work, geo.record, threads)
            return _finished(y, dtype, shape)
        index = np.empty(y.shape, np.int64)
        steps.max_pool_indices(x3, y, index, geo.taps, geo.offsets, work, geo.record, threads)
    return _finished(y, dtype, shape), index.reshape(shape)


def max_pool2d_backward(
    dy: Any,
    x: Any,
    kernel_size: Any,
    *,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    indices: Any = None,
) -> Any:
    """Gradient of `max_pool2d`: every number of ``dy`` goes to the pixel that was the largest of its window.

    Parameters
    ----------
    dy : array (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output.
    x, kernel_size, stride, padding, dilation, ceil_mode
        As in the forward call.
    indices : int64 array like dy, optional
        What the forward call returned; without it the maxima are found once more.

    Returns
    -------
    ndarray like x

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`; also if ``dy`` or ``indices`` do not have the output's shape, or indices are no
        integers, or do not lie in the rows of their windows.
    """
    xa, _, x3 = _planes("x", x)
    geo = windows_of(xa.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    dtype, dy3 = _gradient(dy, xa, geo)
    dx = np.empty(x3.shape, dy3.dtype)
    steps, threads = _steps(dtype), _threads(dx)
    if indices is not None:
        index = np.asarray(indices)
        if index.dtype.kind not in "iu":
            raise TypeError(f"indices must be an array of integers, got {index.dtype}")
        if index.shape != (*xa.shape[:-2], *geo.out):
            raise ValueError(f"indices must have the output's shape {(*xa.shape[:-2], *geo.out)}, got {index.shape}")
        index = np.require(index, np.int64, ("C", "A")).reshape(dy3.shape)
        bad = np.zeros(threads, np.intp)
        steps.max_pool_scatter(dy3, index, dx, bad, geo.record, threads)
        if bad.any():
            raise ValueError("indices must lie in their windows, as max_pool2d returns them")
    else:
        x3 = x3.astype(dx.dtype, copy=False)
        with _scratch(dtype, geo, threads) as work:
            steps.max_pool_backward(x3, dy3, dx, geo.taps, geo.offsets, work, geo.record, threads)
    return _finished(dx, dtype, xa.shape)


def avg_pool2d(
    x: Any,
    kernel_size: Any,
    *,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Mean pixel of every window, channel by channel.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64
    kernel_size, stride, padding, ceil_mode
        As in `max_pool2d`; the padding is zeros.
    count_include_pad : bool
        Whether the mean counts the pixels of padding; what ``ceil_mode`` adds beyond is never counted.

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
    xa, dtype, x3 = _planes("x", x)
    geo = windows_of(xa.shape[-2:], kernel_size, stride, padding, 1, ceil_mode)
    y = np.empty((len(x3), *geo.out), x3.dtype)
    (rows, cols), threads = geo.counts[x3.dtype, bool(count_include_pad)], _threads(x3)
    with _scratch(dtype, geo, threads) as work:
        _steps(dtype).avg_pool(x3, y, rows, cols, geo.taps, work, geo.record, threads)
    return _finished(y, dtype, (*xa.shape[:-2], *geo.out))


def avg_pool2d_backward(
    dy: Any,
    x: Any,
    kernel_size: Any,
    *,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Gradient of `avg_pool2d`: every number of ``dy`` is shared out evenly among its window.

    Parameters
    ----------
    dy : array (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output.
    x, kernel_size, stride, padding, ceil_mode, count_include_pad
        As in the forward call; of ``x`` only shape and dtype matter.

    Returns
    -------
    ndarray like x

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`; ValueError also if ``dy`` does not have the output's shape.
    """
    xa = _image("x", x)
    geo = windows_of(xa.shape[-2:], kernel_size, stride, padding, 1, ceil_mode)
    dtype, dy3 = _gradient(dy, xa, geo)
    dx = np.empty((len(dy3), *xa.shape[-2:]), dy3.dtype)
    (rows, cols), threads = geo.counts[dx.dtype, bool(count_include_pad)], _threads(dx)
    with _scratch(dtype, geo, threads) as work:
        _steps(dtype).avg_pool_backward(dy3, dx, rows, cols, work, geo.record, threads)
    return _finished(dx, dtype, xa.shape)


def global_max_pool2d(x: Any) -> Any:
    """Largest pixel of every channel, (N, C, 1, 1) or (C, 1, 1); NaN if there is one.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.
    """
    xa = _image("x", x)
    return max_pool2d(xa, xa.shape[-2:], stride=1)


def global_max_pool2d_backward(dy: Any, x: Any) -> Any:
    """Gradient of `global_max_pool2d`: dy (N, C, 1, 1) at the first of the largest pixels, zero elsewhere.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d_backward`.
    """
    xa = _image("x", x)
    dtype, dy3 = _gradient(dy, xa, windows_of(xa.shape[-2:], xa.shape[-2:], 1, 0, 1, False))
    dx = np.zeros(xa.shape, dtype)
    planes = xa.reshape(dy3.shape[0], -1)
    dx.reshape(planes.shape)[np.arange(len(planes)), planes.argmax(axis=1)] = dy3[:, 0, 0]
    return dx


def global_avg_pool2d(x: Any) -> Any:
    """Mean of every channel, (N, C, 1, 1) or (C, 1, 1) (Lin, Chen and Yan, "Network in network", 2014).

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`.
    """
    xa = _image("x", x)
    return avg_pool2d(xa, xa.shape[-2:], stride=1)


def global_avg_pool2d_backward(dy: Any, x: Any) -> Any:
    """Gradient of `global_avg_pool2d`: dy (N, C, 1, 1) / (H W) in every pixel of the channel.

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d_backward`.
    """
    xa = _image("x", x)
    dtype, dy3 = _gradient(dy, xa, windows_of(xa.shape[-2:], xa.shape[-2:], 1, 0, 1, False))
    dx = np.empty(xa.shape, dtype)
    dx[...] = (dy3 / dy3.dtype.type(xa.shape[-2] * xa.shape[-1])).reshape(*xa.shape[:-2], 1, 1)
    return dx


def _threads(a: Any) -> int:
    return get_num_threads() if a.size >= _LAUNCH else 1


def _image(name: str, value: Any) -> Any:
    a = as_array(name, value)
    if a.ndim not in (3, 4):
        raise ValueError(f"{name} must have shape (N, C, H, W) or (C, H, W), got {a.shape}")
    if min(a.shape[-3:]) < 1:
        raise ValueError(f"{name} must have at least one pixel and channel, got shape {a.shape}")
    return a


def _planes(name: str, value: Any) -> tuple[Any, str, Any]:
    """The array, its dtype, and its planes (N * C, H, W) as the loops take them."""
    a = _image(name, value)
    dtype = common_dtype(a)
    return a, dtype, ready(a, dtype).reshape(-1, *a.shape[-2:])


def _gradient(dy: Any, x: Any, geo: Windows) -> tuple[str, Any]:
    """dtype of the result, and dy (N * C, OH, OW)."""
    a = as_array("dy", dy)
    if a.shape != (*x.shape[:-2], *geo.out):
        raise ValueError(f"dy must have the output's shape {(*x.shape[:-2], *geo.out)}, got {a.shape}")
    dtype = common_dtype(a, x)
    return dtype, ready(a, dtype).reshape(-1, *geo.out)


def _finished(a: Any, dtype: str, shape: tuple[int, ...]) -> Any:
    return a.astype(dtype, copy=False).reshape(shape)


@contextmanager
def _scratch(dtype: str, geo: Windows, threads: int) -> Iterator[Any]:
    """The loops' scratch memory."""
    name, size = ("float64" if dtype == "float64" else "float32"), geo.per_thread * threads
    array = workspace.borrow(name, 8 * size)
    try:
        yield array
    finally:
        workspace.give_back(name, array)
