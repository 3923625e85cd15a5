"""Max unpooling: pixels back to the places that max pooling found them at, zeros elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arguments import pair, step_pair
from ..core.arrays import as_array, as_numbers, check_out
from ..core.layouts import channels_first, is_nhwc, lying, returned, seen, shown, stored
from ..core.typing import Array, ArrayLike, IntPair, Layout, Shape
from .calls import check_shape, pixels


def max_unpool2d(
    x: ArrayLike,
    indices: ArrayLike,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    output_size: Shape | None = None,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Every pixel to its place, zeros elsewhere: what `max_pool2d` lost is not invented.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64, integers or booleans
    indices : int64 array like x
        Places in the flattened plane of the output, as `max_pool2d` returns them. Of pixels with the same place the
        last one stays.
    kernel_size, stride, padding : int or (height, width)
        Of the pooling; the stride is the kernel size unless given.
    output_size : (height, width) or the shape of the output, optional
        Of the image that was pooled: several sizes give the same output, each less than a stride from
        ``(size - 1) * stride - 2 * padding + kernel_size``, which is taken otherwise.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows ``x`` as there.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray (N, C, OH, OW), or (C, OH, OW) for unbatched input
        Of the dtype of ``x``.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`; also for indices that are no integers, of another shape, or outside of the output.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> y, places = fastconv.max_pool2d(np.array([[[1., 5, 2, 0], [4, 3, 9, 8]]]), 2, return_indices=True)
    >>> fastconv.max_unpool2d(y, places, 2)
    array([[[0., 5., 0., 0.],
            [0., 0., 9., 0.]]])
    """
    nhwc = is_nhwc(layout)
    xa = pixels("x", x, nhwc, integers=True)
    size = _size(xa, kernel_size, stride, padding, output_size, nhwc)
    last, places = lying(xa, nhwc), _places(indices, xa.shape, size, nhwc)
    (n, c, *_), (oh, ow) = xa.shape if xa.ndim == 4 else (1, *xa.shape), size
    result = np.zeros((n, oh, ow, c) if last else (n, c, oh, ow), xa.dtype.newbyteorder("="))
    planes, axis = result.reshape((n, oh * ow, c) if last else (n, c, oh * ow)), 1 if last else 2
    np.put_along_axis(planes, _flat(places, last), _flat(xa, last), axis)
    return _delivered(result, out, last, nhwc, xa.ndim == 3)


def max_unpool2d_backward(
    dy: ArrayLike, indices: ArrayLike, *, layout: Layout = "NCHW", out: Array | None = None
) -> Array:
    """Gradient of `max_unpool2d`: every pixel gets what lies at its place.

    Parameters
    ----------
    dy : array (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output.
    indices : int64 array (N, C, H, W) or (C, H, W)
        As in the forward call.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows ``dy``.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray like indices, of the dtype of ``dy``

    Raises
    ------
    TypeError, ValueError
        As `max_unpool2d`.
    """
    nhwc = is_nhwc(layout)
    dya = pixels("dy", as_array("dy", dy), nhwc)
    index = _integers(indices, nhwc)
    if index.ndim != dya.ndim or index.shape[:-2] != dya.shape[:-2]:
        raise ValueError(f"indices must have as many images and channels as dy, got shape {shown(index.shape, nhwc)}")
    places, last = _places(indices, index.shape, dya.shape[-2:], nhwc), lying(dya, nhwc)
    found = np.take_along_axis(_flat(dya, last), _flat(places, last), 1 if last else 2)
    result = found.reshape(stored(places, last).shape).astype(dya.dtype.newbyteorder("="), copy=False)
    return _delivered(result, out, last, nhwc, dya.ndim == 3)


def _flat(a: Array, last: bool) -> Array:
    """(N, C, H * W), or (N, H * W, C) if channels lie last."""
    held = stored(a, last)
    n, *size = held.shape
    return held.reshape((n, size[0] * size[1], size[2]) if last else (n, size[0], size[1] * size[2]))


def _integers(indices: ArrayLike, nhwc: bool) -> Array:
    index = as_numbers("indices", indices)
    if index.dtype.kind not in "iu":
        raise TypeError(f"indices must be an array of integers, got {index.dtype}")
    return seen("indices", index, nhwc)


def _places(indices: ArrayLike, shape: tuple[int, ...], size: tuple[int, ...], nhwc: bool) -> Array:
    index = _integers(indices, nhwc)
    check_shape("indices", index, shape, nhwc, of="shape")
    if index.size and not (index.min() >= 0 and index.max() < size[0] * size[1]):
        raise ValueError(
            f"indices must lie in a plane of {size[0]} x {size[1]} pixels, got {index.min()} to {index.max()}"
        )
    return index.astype(np.intp, copy=False)


def _size(
    x: Array, kernel_size: IntPair, stride: IntPair | None, padding: IntPair, output_size: Any, nhwc: bool
) -> tuple[int, int]:
    k = pair("kernel_size", kernel_size, 1)
    s, p = k if stride is None else step_pair("stride", stride), pair("padding", padding, 0)
    usual = [(n - 1) * b - 2 * c + a for n, a, b, c in zip(x.shape[-2:], k, s, p, strict=True)]
    if output_size is None:
        size = usual
    else:
        asked = tuple(output_size) if isinstance(output_size, (tuple, list)) else output_size
        if isinstance(asked, tuple) and len(asked) == x.ndim:
            asked = channels_first("output_size", asked, nhwc)[-2:]
        size = list(pair("output_size", asked, 1))
    if min(size) < 1 or any(abs(n - u) >= b for n, u, b in zip(size, usual, s, strict=True)):
        raise ValueError(
            f"output_size must be at least 1 and less than a stride, {s}, from {tuple(usual)}, got {tuple(size)}"
        )
    return size[0], size[1]


def _delivered(result: Array, out: Array | None, last: bool, nhwc: bool, unbatched: bool) -> Array:
    y = returned(result, last, nhwc, unbatched)
    if out is None:
        return y
    check_out(out, y.shape, y.dtype.name)
    out[...] = y
    return out
