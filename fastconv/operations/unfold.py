"""Convolution as linear algebra: patches to columns and back, and the whole operator as a sparse matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..algorithms.base import geometry
from ..core.arguments import pair, shape_of
from ..core.arrays import as_array, as_numbers, check_out, common_dtype, delivered, destination, ready
from ..core.borders import of_cols, of_rows
from ..core.problem import ConvProblem
from ..core.threads import get_num_threads
from ..core.typing import Array, ArrayLike, IntPair, Padding, PaddingMode, Shape
from ..engines.loader import first as _steps

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def unfold(
    x: ArrayLike,
    kernel_size: IntPair,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    out: Array | None = None,
) -> Array:
    """Patches of an image as the columns of a matrix (im2col).

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float16, float32 or float64, integers or booleans
    kernel_size : int or (height, width)
    stride, padding, dilation
        As in `conv2d`; the border is zeros.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray (N, C * KH * KW, OH * OW), or without N for unbatched input
        A row for every channel and tap, a column for every output pixel, so that
        ``conv2d(x, w) == (w.reshape(Co, -1) @ unfold(x, w.shape[2:])).reshape(N, Co, OH, OW)``.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; the message names the argument.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.unfold(np.arange(9.).reshape(1, 3, 3), 2)
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    xa = as_numbers("x", x)
    if xa.dtype.kind in "bui":
        more: Any = dict(stride=stride, padding=padding, dilation=dilation)
        return _of_integers(xa, lambda floats: unfold(floats, kernel_size, **more), out)
    dtype = common_dtype(xa)
    if xa.ndim not in (3, 4):
        raise ValueError(f"x must have shape (N, C, H, W) or (C, H, W), got {xa.shape}")
    p = _problem(xa.shape, kernel_size, stride, padding, dilation, dtype, "x")
    image = ready(xa, dtype).reshape(p.x_shape)
    shape = p.n, p.ci * p.kh * p.kw, p.oh * p.ow
    result = destination(out, shape[4 - xa.ndim :], dtype, (xa,))
    if p.n:
        _steps(dtype).im2col_pack(image, result.reshape(shape), geometry(p), 0, 0, get_num_threads())
    return delivered(result, out, dtype)


def _of_integers(x: Array, move: Callable[[Array], Array], out: Array | None) -> Array:
    """What moves floats, and puts zeros beside them, moves integers: as such, or as their bits."""
    dtype = x.dtype.newbyteorder("=")
    if x.itemsize <= 2:
        y = move(x.astype(np.float32)).astype(dtype)
    else:
        y = move(x.astype(dtype).view(f"f{x.itemsize}")).view(dtype)
    if out is None:
        return y
    check_out(out, y.shape, dtype.name)
    out[...] = y
    return out


def fold(
    columns: ArrayLike,
    output_size: IntPair,
    kernel_size: IntPair,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    out: Array | None = None,
) -> Array:
    """Columns back to an image, overlaps added up (col2im): the adjoint of `unfold`.

    Parameters
    ----------
    columns : array (N, C * KH * KW, OH * OW) or (C * KH * KW, OH * OW)
    output_size : int or (height, width)
        Of the image.
    kernel_size, stride, padding, dilation
        As in `unfold`.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray (N, C, H, W), or (C, H, W)
        ``<unfold(x), columns> == <x, fold(columns)>``. Folding what was unfolded gives every pixel times
        the number of patches that it is in.

    Raises
    ------
    TypeError, ValueError
        As `unfold`; ValueError also if ``columns`` does not have as many rows and columns as the sizes say.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.fold(fastconv.unfold(np.ones((1, 3, 3)), 2), 3, 2)
    array([[[1., 2., 1.],
            [2., 4., 2.],
            [1., 2., 1.]]])
    """
    ca = as_array("columns", columns)
    if ca.ndim not in (2, 3):
        raise ValueError(f"columns must have shape (N, C * KH * KW, OH * OW) or (C * KH * KW, OH * OW), got {ca.shape}")
    size, k = pair("output_size", output_size, 1), pair("kernel_size", kernel_size, 1)
    channels, rest = divmod(ca.shape[-2], k[0] * k[1])
    if rest or not channels:
        raise ValueError(f"columns must have a multiple of {k[0]} * {k[1]} rows, got shape {ca.shape}")
    dtype = common_dtype(ca)
    n = ca.shape[0] if ca.ndim == 3 else 1
    p = _problem((n, channels, *size), k, stride, padding, dilation, dtype, "output_size")
    if ca.shape[-1] != p.oh * p.ow:
        raise ValueError(f"columns must have {p.oh} * {p.ow} columns for {size} pixels, got shape {ca.shape}")
    result = destination(out, p.x_shape[3 - ca.ndim :], dtype, (ca,))
    result[...] = 0
    if p.n:
        col = ready(ca, dtype).reshape(n, *ca.shape[-2:])
        _steps(dtype).col2im_add(col, result.reshape(p.x_shape), geometry(p), 0, 0, get_num_threads())
    return delivered(result, out, dtype)


def conv2d_matrix(
    w: ArrayLike,
    input_shape: Shape,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
) -> csr_array:
    """The matrix of a convolution: doubly blocked Toeplitz at stride 1.

    Parameters
    ----------
    w : array (Co, Ci // groups, KH, KW)
    input_shape : (Ci, H, W)
    stride, padding, dilation, groups, padding_mode
        As in `conv2d`.

    Returns
    -------
    scipy.sparse.csr_array (Co * OH * OW, Ci * H * W), dtype of ``w`` (float16 becomes float32)
        ``conv2d(x, w).ravel() == M @ x.ravel()``; ``M.T`` is the gradient of the input.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; the message names the argument.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> print(fastconv.conv2d_matrix(np.array([[[[1., 2.], [3., 4.]]]]), (1, 3, 3)).toarray().astype(int))
    [[1 2 0 3 4 0 0 0 0]
     [0 1 2 0 3 4 0 0 0]
     [0 0 0 1 2 0 3 4 0]
     [0 0 0 0 1 2 0 3 4]]
    """
    from scipy import sparse

    wa = as_array("w", w)
    dtype = common_dtype(wa)
    image, names = shape_of("input_shape", input_shape, "(Ci, H, W)"), ("input_shape", "w")
    p = ConvProblem.from_shapes(image, wa.shape, stride, padding, dilation, groups, padding_mode, dtype, names)
    at_row, at_col = of_rows(p), of_cols(p)
    o, c, u, v, i, j = np.ogrid[: p.co, : p.ci // p.g, : p.kh, : p.kw, : p.oh, : p.ow]
    r, q = at_row[i * p.sh + u * p.dh], at_col[j * p.sw + v * p.dw]
    column = ((o // (p.co // p.g) * (p.ci // p.g) + c) * p.ih + r) * p.iw + q
    row = np.broadcast_to((o * p.oh + i) * p.ow + j, column.shape)
    kept = np.broadcast_to((r >= 0) & (q >= 0), column.shape)
    values = np.broadcast_to(ready(wa, dtype)[..., None, None], column.shape)
    shape = p.co * p.oh * p.ow, p.ci * p.ih * p.iw
    return sparse.csr_array((values[kept], (row[kept], column[kept])), shape=shape)


def _problem(
    shape: tuple[int, ...],
    kernel_size: IntPair,
    stride: IntPair,
    padding: Padding,
    dilation: IntPair,
    dtype: str,
    name: str,
) -> ConvProblem:
    """Any convolution whose patches these are; ``name`` is the argument that the image's size came from."""
    w_shape = 1, max(shape[-3], 1), *pair("kernel_size", kernel_size, 1)
    names = name, "kernel_size"
    return ConvProblem.from_shapes(shape, w_shape, stride, padding, dilation, 1, "zeros", dtype, names)
