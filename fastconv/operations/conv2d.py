"""The convolution: arguments become arrays and a problem, the planner does the rest. No maths."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..algorithms.base import check_activation
from ..core.arrays import as_array, common_dtype, ready
from ..core.layouts import is_nhwc, lying, stored
from ..core.threads import get_num_threads
from ..core.typing import Activation, Array, ArrayLike, IntPair, Layout, Padding, PaddingMode
from ..planning import registry, tuning
from .calls import check_shape, image, lying_out, run_plan
from .lookup import Known, by_shapes, is_plain, lookup, plan_of, remember


def conv2d(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    activation: Activation | None = None,
    residual: ArrayLike | None = None,
    backend: str = "auto",
    rtol: float | None = None,
    out: Array | None = None,
) -> Array:
    """2-D convolution (cross-correlation, as in every deep-learning framework).

    Parameters
    ----------
    x : array (N, Ci, H, W) or (Ci, H, W), float16, float32, float64, or bfloat16 of ml_dtypes
        Any strides and byte order; also anything with ``__array__`` or ``__dlpack__``.
    w : array (Co, Ci // groups, KH, KW)
    bias : array (Co,), optional
    stride, dilation : int or (height, width)
    padding : int, (height, width), ((top, bottom), (left, right)), "valid", "same" or "full"
        "same" gives ``ceil(in / stride)`` outputs, the odd pixel of padding at the end.
    groups : int
        Divides Ci and Co; ``groups=Ci`` is a depthwise convolution.
    padding_mode : {"zeros", "reflect", "symmetric", "replicate", "circular"}
    layout : {"NCHW", "NHWC"}
        "NHWC": ``x``, ``residual``, ``out`` and the result are (N, H, W, C) or (H, W, C); weights keep their axes.
    activation : {"relu", "relu6", "leaky_relu", "silu", "hardswish", "gelu", "sigmoid", "tanh"}, optional
        The result is ``activation(conv + bias + residual)``, computed while it is stored. ``leaky_relu`` has the
        slope 0.01, ``gelu`` is the exact one. See Notes for gradients.
    residual : array of the result's shape, optional
        Added before the activation.
    backend : str
        "auto", an algorithm ("im2col") or a full name ("im2col/cython"), see `list_backends`.
    rtol : float, optional
        Largest error allowed, relative to ``max|x| * sum|w|`` of the output channel. Default 2e-5 for
        float32, 1e-12 for float64, 1e-3 for float16, 8e-3 for bfloat16 (which are computed in float32).
    out : ndarray, optional
        Where the result goes: its exact shape and dtype, any strides; may overlap the inputs.

    Returns
    -------
    ndarray (N, Co, OH, OW), or (Co, OH, OW) for unbatched input
        In the promoted dtype of ``x``, ``w``, ``bias`` and ``residual``. Memory follows the input, as in PyTorch: an
        ``x`` whose channels lie last in memory (an NHWC array seen through ``transpose``) is computed as it lies and
        gives a result whose channels lie last; every other gives a C-contiguous result (or ``out``).

    Raises
    ------
    TypeError
        For a non-array, or a dtype that is not a real float.
    ValueError
        For impossible shapes and options; the message names the argument.
    BackendRefused
        If a named backend cannot do the call, with its reason.

    Notes
    -----
    Gradients of a call with an activation are the caller's chain. With ``z = conv + bias + residual`` and
    ``y = activation(z)``, first ``dz = dy * activation'(z)``, which is the gradient of the residual; then
    ``conv2d_backward(dz, x, w)``. For "relu" ``dz = dy * (y > 0)``, for "sigmoid" ``dz = dy * y * (1 - y)``, for "tanh"
    ``dz = dy * (1 - y * y)``: these need only ``y``. For the others keep ``z``: a call without activation.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016).

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    >>> fastconv.conv2d(x, np.ones((1, 1, 3, 3), np.float32))
    array([[[45., 54.],
            [81., 90.]]], dtype=float32)
    """
    key = None
    if residual is None and rtol is None and is_plain(stride, padding, dilation, groups, x, w):
        a: Any = x
        v: Any = w
        key = (
            a.shape, a.strides, a.dtype, v.shape, v.strides, v.dtype, stride, padding, dilation, groups, padding_mode,
            layout, activation, backend, get_num_threads(), registry.generation(), tuning.generation(),
        )  # fmt: skip
        known: Known | None = lookup(key)
        if known is not None and a.flags.aligned and v.flags.aligned:
            plain = bias is None or (type(bias) is np.ndarray and bias.dtype == a.dtype and bias.shape == v.shape[:1])
            b: Any = bias if bias is None or not plain else ready(bias, known.name)  # type: ignore[arg-type]
            if plain and out is None:
                return known.run(a, v, b)
            if plain and known.fits(a, out) and not any(np.may_share_memory(out, c) for c in (v, b) if c is not None):
                known.into(out, a, v, b)  # type: ignore[arg-type]
                return out  # type: ignore[return-value]
    nhwc = is_nhwc(layout)
    xa, wa = image("x", x, nhwc), as_array("w", w)
    ba = None if bias is None else as_array("bias", bias)
    ra = None if residual is None else image("residual", residual, nhwc)
    dtype = common_dtype(*(a for a in (xa, wa, ba, ra) if a is not None))
    if ba is not None:
        if wa.ndim == 4 and ba.shape != wa.shape[:1]:
            raise ValueError(f"bias must have shape ({wa.shape[0]},), got {ba.shape}")
        ba = ready(ba, dtype)
    weights, last, unbatched = ready(wa, dtype), lying(xa, nhwc), xa.ndim == 3
    options = stride, padding, dilation, groups, padding_mode
    follows = lying_out(out, last, nhwc)
    plan = plan_of(
        "forward",
        xa.shape,
        wa.shape,
        dtype,
        options,
        backend,
        rtol,
        (last, follows),
        w=weights,
        activation=check_activation(activation),
    )
    xs = ready(stored(xa, last), dtype)
    if ra is not None:
        check_shape("residual", ra, plan.shape[1:] if unbatched else plan.shape, nhwc)
        ra = ready(stored(ra, plan.last), dtype)
    if key is not None and out is None and by_shapes(plan) and weights is w and np.may_share_memory(xs, x):
        remember(key, Known(plan, dtype, last, nhwc, unbatched))
    inputs = xa, wa, ba, ra
    return run_plan(plan, xs, weights, dtype, out, inputs, ba, residual=ra, nhwc=nhwc, unbatched=unbatched)
