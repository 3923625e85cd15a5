"""One-dimensional convolution: images of one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from ..core.arguments import integer
from ..core.arrays import as_array
from ..core.typing import Activation, Array, ArrayLike, PaddingMode, PaddingName
from .calls import Names
from .conv2d import conv2d
from .gradients import Conv2dGradients, conv2d_backward

#: an integer, also as a tuple of one
One: TypeAlias = int | Sequence[int]


def conv1d(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: One = 1,
    padding: One | PaddingName = 0,
    dilation: One = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    activation: Activation | None = None,
    backend: str = "auto",
    rtol: float | None = None,
    out: Array | None = None,
) -> Array:
    """1-D convolution (cross-correlation): `conv2d` of images of one row.

    Parameters
    ----------
    x : array (N, Ci, L) or (Ci, L), of the dtypes of `conv2d`
    w : array (Co, Ci // groups, K)
    bias : array (Co,), optional
    stride, dilation : int
    padding : int, (before, after), "valid", "same" or "full"
    groups, padding_mode, activation, backend, rtol
        As in `conv2d`.
    out : ndarray, optional
        As in `conv2d`.

    Returns
    -------
    ndarray (N, Co, OL), or (Co, OL) for unbatched input

    Raises
    ------
    TypeError, ValueError, BackendRefused
        As `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.conv1d(np.arange(6.0)[None], np.array([[[1.0, 0, -1]]]), padding=1)
    array([[-1., -2., -2., -2., -2.,  4.]])
    """
    options = _options(stride, padding, dilation)
    y = conv2d(
        _row("x", x, 2, 3), _row("w", w, 3), bias, **options, groups=groups, padding_mode=padding_mode,
        activation=activation, backend=backend, rtol=rtol, out=None if out is None else _row("out", out, 2, 3),
    )  # fmt: skip
    return y[..., 0, :] if out is None else out


def conv1d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    *,
    stride: One = 1,
    padding: One | PaddingName = 0,
    dilation: One = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    backend: str = "auto",
    rtol: float | None = None,
    wrt: Names = ("x", "w", "bias"),
) -> Conv2dGradients:
    """Gradients of `conv1d` with respect to input, weights and bias.

    Parameters
    ----------
    dy : array (N, Co, OL) or (Co, OL)
        Gradient with respect to the output.
    x : array (N, Ci, L) or (Ci, L)
    w : array (Co, Ci // groups, K)
    stride, padding, dilation, groups, padding_mode, backend, rtol
        As in `conv1d`.
    wrt : sequence of "x", "w", "bias"
        Which gradients to compute.

    Returns
    -------
    Conv2dGradients
        ``(x, w, bias)``, None for what ``wrt`` leaves out.

    Raises
    ------
    TypeError, ValueError, BackendRefused
        As `conv2d_backward`.
    """
    found = conv2d_backward(
        _row("dy", dy, 2, 3), _row("x", x, 2, 3), _row("w", w, 3), **_options(stride, padding, dilation),
        groups=groups, padding_mode=padding_mode, backend=backend, rtol=rtol, wrt=wrt,
    )  # fmt: skip
    dx, dw = (None if d is None else d[..., 0, :] for d in found[:2])
    return Conv2dGradients(dx, dw, found.bias)


def _row(name: str, value: Any, *ranks: int) -> Array:
    """A view with an axis of one row in front of the last."""
    a = as_array(name, value)
    if a.ndim not in ranks:
        raise ValueError(f"{name} must have {' or '.join(map(str, ranks))} axes, got shape {a.shape}")
    return a[..., None, :]


def _options(stride: Any, padding: Any, dilation: Any) -> dict[str, Any]:
    """Those of `conv2d`, for one row."""
    if not isinstance(padding, str):
        ends = padding if isinstance(padding, (tuple, list)) else (padding,)
        if len(ends) not in (1, 2):
            raise ValueError(f"padding must be an integer or (before, after), got {padding!r}")
        padding = (0, 0), (integer("padding", ends[0], 0), integer("padding", ends[-1], 0))
    return {"stride": (1, _one("stride", stride)), "padding": padding, "dilation": (1, _one("dilation", dilation))}


def _one(name: str, value: Any) -> int:
    return integer(name, value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value, 1)
