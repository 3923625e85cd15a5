"""The calls of convolution: arguments become arrays and a problem, the planner does the rest. No maths."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.arrays import as_array, common_dtype, ready
from ..core.problem import ConvProblem, integer
from ..core.threads import get_num_threads
from ..planning import planner
from ..planning.plan import Plan
from .calls import bias_gradient, run_plan, wanted


class Conv2dGradients(NamedTuple):
    """Gradients by `conv2d_backward`; None for what ``wrt`` left out."""

    x: Any
    w: Any
    bias: Any


def conv2d(
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    backend: str = "auto",
    rtol: float | None = None,
    out: Any = None,
) -> Any:
    """2-D convolution (cross-correlation, as in every deep-learning framework).

    Parameters
    ----------
    x : array (N, Ci, H, W) or (Ci, H, W), float16, float32 or float64
        Any strides and byte order; also anything with ``__array__`` or ``__dlpack__``.
    w : array (Co, Ci // groups, KH, KW)
    bias : array (Co,), optional
    stride, dilation : int or (height, width)
    padding : int, (height, width), ((top, bottom), (left, right)), "valid", "same" or "full"
        "same" gives ``ceil(in / stride)`` outputs, the odd pixel of padding at the end.
    groups : int
        Divides Ci and Co; ``groups=Ci`` is a depthwise convolution.
    padding_mode : {"zeros", "reflect", "symmetric", "replicate", "circular"}
    backend : str
        "auto", an algorithm ("im2col") or a full name ("im2col/cython"), see `list_backends`.
    rtol : float, optional
        Largest error allowed, relative to ``max|x| * sum|w|`` of the output channel. Default 2e-5 for
        float32, 1e-12 for float64, 1e-3 for float16 (which is computed in float32).
    out : ndarray, optional
        Where the result goes: its exact shape and dtype, any strides; may overlap the inputs.

    Returns
    -------
    ndarray (N, Co, OH, OW), or (Co, OH, OW) for unbatched input
        C-contiguous (or ``out``), in the promoted dtype of ``x``, ``w`` and ``bias``.

    Raises
    ------
    TypeError
        For a non-array, or a dtype that is not a real float.
    ValueError
        For impossible shapes and options; the message names the argument.
    BackendRefused
        If a named backend cannot do the call, with its reason.

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
    xa, wa = as_array("x", x), as_array("w", w)
    if bias is None:
        dtype = common_dtype(xa, wa)
    else:
        bias = as_array("bias", bias)
        dtype = common_dtype(xa, wa, bias)
        if wa.ndim == 4 and bias.shape != wa.shape[:1]:
            raise ValueError(f"bias must have shape ({wa.shape[0]},), got {bias.shape}")
        bias = ready(bias, dtype)
    w = ready(wa, dtype)
    plan = _plan(
        "forward", xa.shape, wa.shape, dtype, stride, padding, dilation, groups, padding_mode, backend, rtol, w
    )
    shape = plan.shape if xa.ndim == 4 else plan.shape[1:]
    return run_plan(plan, ready(xa, dtype), w, dtype, shape, out, (xa, wa, bias), bias)


def conv2d_grad_input(
    dy: Any,
    w: Any,
    input_shape: tuple[int, ...],
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    backend: str = "auto",
    rtol: float | None = None,
) -> Any:
    """Gradient of `conv2d` with respect to its input: the adjoint of the convolution.

    Parameters
    ----------
    dy : array (N, Co, OH, OW) or (Co, OH, OW)
        Gradient with respect to the output.
    w : array (Co, Ci // groups, KH, KW)
    input_shape : (N, Ci, H, W) or (Ci, H, W)
        Shape of the input (several sizes share an output size when the stride is above 1).
    stride, padding, dilation, groups, padding_mode, backend, rtol
        As in `conv2d`; the bound of ``rtol`` is relative to ``max|dy| * sum|w|`` of the input channel.

    Returns
    -------
    ndarray of ``input_shape``

    Raises
    ------
    TypeError, ValueError, BackendRefused
        As `conv2d`; ValueError also if ``dy`` does not have the output's shape.
    """
    dya, wa = as_array("dy", dy), as_array("w", w)
    dtype, shape = common_dtype(dya, wa), _as_shape("input_shape", input_shape, dya.ndim)
    w = ready(wa, dtype)
    plan = _plan(
        "grad_input", shape, wa.shape, dtype, stride, padding, dilation, groups, padding_mode, backend, rtol, w
    )
    _check_dy(dya, plan.problem, len(shape))
    return run_plan(plan, ready(dya, dtype), w, dtype, shape)


def conv2d_grad_weight(
    dy: Any,
    x: Any,
    weight_shape: tuple[int, ...],
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    backend: str = "auto",
    rtol: float | None = None,
) -> Any:
    """Gradient of `conv2d` with respect to its weights: the correlation of ``x`` with ``dy``.

    Parameters
    ----------
    dy : array (N, Co, OH, OW) or (Co, OH, OW)
        Gradient with respect to the output.
    x : array (N, Ci, H, W) or (Ci, H, W)
    weight_shape : (Co, Ci // groups, KH, KW)
    stride, padding, dilation, groups, padding_mode, backend, rtol
        As in `conv2d`; the bound of ``rtol`` is relative to ``max|x| * sum|dy|`` of the output channel.

    Returns
    -------
    ndarray of ``weight_shape``

    Raises
    ------
    TypeError, ValueError, BackendRefused
        As `conv2d`; ValueError also if ``dy`` does not have the output's shape.
    """
    dya, xa = as_array("dy", dy), as_array("x", x)
    dtype, shape = common_dtype(dya, xa), _as_shape("weight_shape", weight_shape, 4)
    plan = _plan("grad_weight", xa.shape, shape, dtype, stride, padding, dilation, groups, padding_mode, backend, rtol)
    _check_dy(dya, plan.problem, xa.ndim)
    return run_plan(plan, ready(dya, dtype), ready(xa, dtype), dtype, plan.shape)


def conv2d_backward(
    dy: Any,
    x: Any,
    w: Any,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    backend: str = "auto",
    rtol: float | None = None,
    wrt: Any = ("x", "w", "bias"),
) -> Conv2dGradients:
    """Gradients of `conv2d` with respect to input, weights and bias.

    Parameters
    ----------
    dy : array (N, Co, OH, OW) or (Co, OH, OW)
        Gradient with respect to the output.
    x, w : the arguments of the forward call
    stride, padding, dilation, groups, padding_mode, backend, rtol
        As in `conv2d`.
    wrt : sequence of "x", "w", "bias"
        Which gradients to compute.

    Returns
    -------
    Conv2dGradients
        ``(x, w, bias)``, None for what ``wrt`` leaves out.

    Raises
    ------
    TypeError, ValueError, BackendRefused
        As `conv2d`; ValueError also if ``dy`` does not have the output's shape.
    """
    names = wanted(wrt, Conv2dGradients._fields)
    options: dict[str, Any] = dict(
        stride=stride, padding=padding, dilation=dilation, groups=groups, padding_mode=padding_mode
    )
    dya, xa, wa = as_array("dy", dy), as_array("x", x), as_array("w", w)
    dtype = common_dtype(dya, xa, wa)
    problem = ConvProblem.from_shapes(xa.shape, wa.shape, **options, dtype=dtype)
    _check_dy(dya, problem, xa.ndim)
    dya = np.require(dya, dtype, ("C", "A"))  # once, for all gradients
    options.update(backend=backend, rtol=rtol)
    dx = conv2d_grad_input(dya, wa, xa.shape, **options) if "x" in names else None
    dw = conv2d_grad_weight(dya, xa, wa.shape, **options) if "w" in names else None
    db = bias_gradient(dya, dtype) if "bias" in names else None
    return Conv2dGradients(dx, dw, db)


def _plan(
    pass_: str, x_shape: Any, w_shape: Any, dtype: str, stride: Any, padding: Any, dilation: Any, groups: Any,
    padding_mode: str, backend: str, rtol: Any, w: Any = None,
) -> Plan:  # fmt: skip
    p = _problem(x_shape, w_shape, stride, padding, dilation, groups, padding_mode, dtype)
    return planner.plan(p, pass_, planner.check_backend(backend), planner.check_rtol(rtol), get_num_threads(), w=w)


_problems: dict[tuple[Any, ...], ConvProblem] = {}


def _problem(
    x: Any, w: Any, stride: Any, padding: Any, dilation: Any, groups: Any, mode: Any, dtype: str
) -> ConvProblem:
    """The checked problem; plain-int calls are looked up (1.0 and True would be equal keys, so only ints)."""
    if type(stride) is type(dilation) is type(groups) is int and type(padding) in (int, str) and type(mode) is str:
        key = (x, w, stride, padding, dilation, groups, mode, dtype)
        found = _problems.get(key)
        if found is None:
            if len(_problems) > 4096:
                _problems.clear()
            found = _problems[key] = ConvProblem.from_shapes(*key)
        return found
    return ConvProblem.from_shapes(x, w, stride, padding, dilation, groups, mode, dtype)


def _as_shape(name: str, shape: Any, ndim: int) -> tuple[int, ...]:
    try:
        s = tuple(integer(name, v, 0) for v in shape)
    except TypeError:
        raise TypeError(f"{name} must be a tuple of {ndim} integers, got {shape!r}") from None
    if len(s) != ndim:
        raise ValueError(f"{name} must have {ndim} axes here, got {s}")
    return s


def _check_dy(dy: Any, p: ConvProblem, ndim: int) -> None:
    want = p.y_shape if ndim == 4 else p.y_shape[1:]
    if dy.shape != want:
        raise ValueError(f"dy must have the output's shape {want}, got {dy.shape}")
