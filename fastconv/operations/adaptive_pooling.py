"""Adaptive pooling: the largest or the mean pixel of as many bins as the output has pixels, with gradients.

Bins (see `bins`) are folded along columns first, then along what is left of the rows; those that are plain windows are
`avg_pool2d`'s and `max_pool2d`'s. Where the places of the largest are asked for, `max_pool2d` finds them in a copy of
the image in which the rows and columns of every bin follow one another, the last ones of short bins twice.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

import numpy as np

from ..core.arguments import pair
from ..core.arrays import as_numbers, common_dtype
from ..core.layouts import is_nhwc, lying, returned, shown, stored
from ..core.typing import Array, ArrayLike, IntPair, Layout
from .average_pooling import avg_pool2d
from .bins import Bins, bins_of, folded, shared
from .calls import handed_over, image, lying_out, pixels, room_for
from .integers import ordered, restored
from .pooling import max_pool2d


class Copy(NamedTuple):
    """An image whose bins are windows, as memory holds it."""

    x: Array
    rows: Bins
    cols: Bins
    last: bool

    @property
    def options(self) -> dict[str, Any]:
        return {"kernel_size": (self.rows.k, self.cols.k), "layout": "NHWC" if self.last else "NCHW"}


def _copied(x: Array, size: tuple[int, int], last: bool) -> Copy:
    rows, cols = bins_of(x.shape[-2], size[0]), bins_of(x.shape[-1], size[1])
    a, axis = stored(x, last), 1 if last else 2
    for k, bins in enumerate((rows, cols)):
        if not bins.windows:
            a = a.take(bins.pixels, axis + k)
    return Copy(np.ascontiguousarray(a), rows, cols, last)


def _size(x: Array, output_size: IntPair | tuple[int | None, int | None]) -> tuple[int, int]:
    """Of the output, checked: None stands for that of the image."""
    if isinstance(output_size, (tuple, list)) and len(output_size) == 2:
        output_size = [n if v is None else v for v, n in zip(output_size, x.shape[-2:], strict=True)]
    return pair("output_size", output_size, 1)


def adaptive_avg_pool2d(
    x: ArrayLike,
    output_size: IntPair | tuple[int | None, int | None],
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Mean of every bin, of as many as ``output_size`` says, whatever the size of the image.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64, integers or booleans
    output_size : int or (height, width)
        Also above the image's; None for one of a pair is the image's own.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows ``x`` as there.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray (N, C, OH, OW), or (C, OH, OW) for unbatched input
        Of the dtype of ``x``; float64 for integers and booleans.

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`; the message names the argument.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.adaptive_avg_pool2d(np.arange(5.).reshape(1, 1, 5), (1, 2))
    array([[[1., 3.]]])
    """
    nhwc, given = is_nhwc(layout), as_numbers("x", x)
    xa = pixels("x", given if given.dtype.kind not in "bui" else given.astype(np.float64), nhwc)
    size, dtype, follows = _size(xa, output_size), common_dtype(xa), lying(xa, nhwc)
    result = room_for(out, (*xa.shape[:-2], *size), follows, nhwc, dtype, (xa,))
    rows, cols = (bins_of(n, m) for n, m in zip(xa.shape[-2:], size, strict=True))
    planes, axis = xa.astype(result.dtype, copy=False), 1 if follows else 2
    if rows.windows and cols.windows:
        options: Any = dict(layout="NHWC" if follows else "NCHW", divisor_override=1)
        sums = avg_pool2d(np.ascontiguousarray(stored(planes, follows)), (rows.k, cols.k), **options)
    else:
        sums = folded(np.add, folded(np.add, stored(planes, follows), rows, axis), cols, axis + 1)
    result[...] = sums / _counts(rows, cols, result.dtype, follows)
    return handed_over(result, out, follows, lying_out(out, follows, nhwc), nhwc, dtype, xa.ndim == 3)


def _counts(rows: Bins, cols: Bins, dtype: Any, last: bool) -> Array:
    """Pixels of the bins, as memory holds the output."""
    found = np.multiply.outer(rows.lengths, cols.lengths).astype(dtype)
    return found[:, :, None] if last else found


def adaptive_avg_pool2d_backward(
    dy: ArrayLike, x: ArrayLike, *, layout: Layout = "NCHW", out: Array | None = None
) -> Array:
    """Gradient of `adaptive_avg_pool2d`: every number of ``dy`` is shared out evenly among its bin.

    Parameters
    ----------
    dy : array (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output.
    x : array (N, C, H, W) or (C, H, W)
        As in the forward call; only shape and (float) dtype matter.
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
        As `avg_pool2d_backward`.
    """
    nhwc = is_nhwc(layout)
    xa = pixels("x", x, nhwc)
    dya = _gradient(dy, xa, nhwc)
    dtype, follows = common_dtype(dya, xa), lying(dya, nhwc)
    result = room_for(out, xa.shape, follows, nhwc, dtype, (dya,))
    (h, w), size, axis = xa.shape[-2:], dya.shape[-2:], 1 if follows else 2
    each = stored(dya, follows) / _counts(bins_of(h, size[0]), bins_of(w, size[1]), result.dtype, follows)
    result[...] = shared(shared(each, h, axis), w, axis + 1)
    return handed_over(result, out, follows, lying_out(out, follows, nhwc), nhwc, dtype, xa.ndim == 3)


def _gradient(dy: ArrayLike, x: Array, nhwc: bool) -> Array:
    a = image("dy", dy, nhwc)
    if a.ndim != x.ndim or a.shape[:-2] != x.shape[:-2] or 0 in a.shape[-2:]:
        want = shown((*x.shape[:-2], "OH", "OW"), nhwc)  # type: ignore[arg-type]
        raise ValueError(f"dy must have shape ({', '.join(map(str, want))}), got {shown(a.shape, nhwc)}")
    return a


@overload
def adaptive_max_pool2d(
    x: ArrayLike,
    output_size: IntPair | tuple[int | None, int | None],
    *,
    return_indices: Literal[False] = False,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array: ...
@overload
def adaptive_max_pool2d(
    x: ArrayLike,
    output_size: IntPair | tuple[int | None, int | None],
    *,
    return_indices: Literal[True],
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> tuple[Array, Array]: ...
def adaptive_max_pool2d(
    x: ArrayLike,
    output_size: IntPair | tuple[int | None, int | None],
    *,
    return_indices: bool = False,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Largest pixel of every bin, of as many as ``output_size`` says, whatever the size of the image.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64, integers or booleans
    output_size : int or (height, width)
        Also above the image's; None for one of a pair is the image's own.
    return_indices : bool
        Also return where each maximum was found.
    layout : {"NCHW", "NHWC"}
        As in `conv2d`; memory follows ``x`` as there.
    out : ndarray, optional
        As in `conv2d`; where ``y`` goes.

    Returns
    -------
    y : ndarray (N, C, OH, OW), or (C, OH, OW) for unbatched input
        Of the dtype of ``x``; NaN where a bin holds one.
    indices : ndarray int64 like y, if asked for
        Position in the flattened (H, W) plane; of equals the first.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`; the message names the argument.
    """
    nhwc, given = is_nhwc(layout), as_numbers("x", x)
    floats, meaning = (given, None) if given.dtype.kind not in "bui" else ordered(given)
    xa = pixels("x", floats, nhwc)
    size, dtype, follows, unbatched = _size(xa, output_size), common_dtype(xa), lying(xa, nhwc), xa.ndim == 3
    whole, last = given.dtype.kind in "bui", lying_out(out, follows, nhwc)
    result = room_for(None if whole else out, (*xa.shape[:-2], *size), follows, nhwc, dtype, (xa,))
    rows, cols = (bins_of(n, m) for n, m in zip(xa.shape[-2:], size, strict=True))
    planes, axis = xa.astype(dtype, copy=False), 1 if follows else 2
    if return_indices:
        copy = _copied(planes, size, follows)
        result[...], found = max_pool2d(copy.x, **copy.options, return_indices=True)
        row, col = np.divmod(found, copy.cols.pixels.size)
        found = copy.rows.pixels[row] * xa.shape[-1] + copy.cols.pixels[col]
    elif rows.windows and cols.windows:
        planes = np.ascontiguousarray(stored(planes, follows))
        result[...] = max_pool2d(planes, (rows.k, cols.k), layout="NHWC" if follows else "NCHW")
    else:
        result[...] = folded(np.maximum, folded(np.maximum, stored(planes, follows), rows, axis), cols, axis + 1)
    y = handed_over(result, None if whole else out, follows, last, nhwc, dtype, unbatched)
    y = restored(y, given.dtype, meaning, out) if whole else y
    return (y, returned(found, follows, nhwc, unbatched)) if return_indices else y


def adaptive_max_pool2d_backward(
    dy: ArrayLike, x: ArrayLike, *, layout: Layout = "NCHW", out: Array | None = None
) -> Array:
    """Gradient of `adaptive_max_pool2d`: every number of ``dy`` goes to the first of the largest pixels of its bin.

    Parameters
    ----------
    dy : array (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output.
    x : array (N, C, H, W) or (C, H, W)
        As in the forward call, of floats.
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
        As `max_pool2d_backward`.
    """
    nhwc = is_nhwc(layout)
    xa = pixels("x", x, nhwc)
    dya = _gradient(dy, xa, nhwc)
    dtype, follows = common_dtype(dya, xa), lying(dya, nhwc)
    result = room_for(out, xa.shape, follows, nhwc, dtype, (xa, dya))
    _, index = adaptive_max_pool2d(xa, dya.shape[-2:], return_indices=True)
    (n, c, h, w), places = xa.shape if xa.ndim == 4 else (1, *xa.shape), stored(index, follows)
    batch, channel = np.arange(n)[:, None, None, None], np.arange(c)
    starts = batch * (h * w * c) + (channel if follows else channel[:, None, None] * (h * w))
    places = starts + places * (c if follows else 1)
    result[...] = 0
    np.add.at(result.reshape(-1), places.ravel(), stored(dya, follows).astype(result.dtype).ravel())
    return handed_over(result, out, follows, lying_out(out, follows, nhwc), nhwc, dtype, xa.ndim == 3)
