"""When a call is compiled: the types of its arguments are checked, that of its result is found.

Signatures are those of the ordinary calls, which stay the one place where arguments have names and defaults.
"""

import inspect

import numpy as np
from numba import types
from numba.core.errors import NumbaNotImplementedError, TypingError
from numba.extending import overload, register_jitable
from numba.np.numpy_support import from_dtype

from ..core.errors import BackendRefused, WorkspaceError
from . import lowering
from .answers import FUNCTIONS

_FLOATS = "float32", "float64"
_IMAGES = "uint8", "uint16", "int16", "float32", "float64"
_WRITTEN = "return_indices", "dtype"  # in a call: types must be known before values are
_OPERANDS = "x", "w", "dy", "bias", "residual"  # of these a result has its dtype


def _array(dtypes, *axes):
    words = f"an array of {', '.join(dtypes[:-1])} or {dtypes[-1]} with {' or '.join(map(str, axes))} axes"
    return lambda t: isinstance(t, types.Array) and str(t.dtype) in dtypes and t.ndim in axes, words


def _integers(t, *lengths):
    return isinstance(t, types.BaseTuple) and len(t) in lengths and all(isinstance(i, types.Integer) for i in t)


def _pair(t):
    return isinstance(t, types.Integer) or _integers(t, 2)


def _padding(t):
    sides = isinstance(t, types.BaseTuple) and len(t) == 2 and all(_integers(i, 2) for i in t)
    return _pair(t) or sides or isinstance(t, types.UnicodeType)


def _real(t, *axes):
    numbers = types.Boolean, types.Integer, types.Float
    return isinstance(t, types.Array) and t.ndim in axes and isinstance(t.dtype, numbers)


def _depth(t):
    """The dtype of images that a type stands for, known when a call is compiled; None for other types."""
    if isinstance(t, types.StringLiteral):
        try:
            t = types.DType(from_dtype(np.dtype(t.literal_value)))
        except (TypeError, NumbaNotImplementedError):
            return None
    return t.dtype if isinstance(t, (types.NumberClass, types.DType)) and str(t.dtype) in _IMAGES else None


_INTEGER = (lambda t: isinstance(t, types.Integer)), "an integer"
_FLOAT = (lambda t: isinstance(t, (types.Integer, types.Float))), "a real number"
_FLAG = (lambda t: isinstance(t, types.Boolean)), "a boolean"
_TEXT = (lambda t: isinstance(t, types.UnicodeType)), "a string"
_PAIR = _pair, "an integer or (height, width)"
_PIXELS = _array(_FLOATS, 3, 4)
#: every argument of every function: whether a type will do, and what is wanted, in words
_WANTED = {
    "x": _PIXELS,
    "dy": _PIXELS,
    "residual": _PIXELS,
    "w": _array(_FLOATS, 4),
    "bias": _array(_FLOATS, 1),
    "image": _array(_IMAGES, 2, 3),
    "kernel": (lambda t: _real(t, 2), "an array of real numbers with 2 axes"),
    "out": (lambda t: isinstance(t, types.Array) and t.mutable, "an array that may be written to"),
    "input_shape": (lambda t: _integers(t, 3, 4), "a tuple of 3 or 4 integers"),
    "weight_shape": (lambda t: _integers(t, 4), "a tuple of 4 integers"),
    "kernel_size": _PAIR,
    "stride": _PAIR,
    "dilation": _PAIR,
    "padding": (_padding, 'an integer, (height, width), ((top, bottom), (left, right)) or a string such as "same"'),
    "groups": _INTEGER,
    "divisor_override": _INTEGER,
    "cval": _FLOAT,
    "rtol": _FLOAT,
    "ceil_mode": _FLAG,
    "count_include_pad": _FLAG,
    "flip": _FLAG,
    "weights": (lambda t: _real(t, 2, 3), "an array of real numbers with 2 or 3 axes"),
    "anchor": (lambda t: _integers(t, 2), "(row, column)"),
    "delta": _FLOAT,
    "dtype": (_depth, f"np.{', np.'.join(_IMAGES[:-1])} or np.{_IMAGES[-1]}, or such a name, written in the call"),
    "return_indices": (lambda t: isinstance(t, types.BooleanLiteral), "True or False, written in the call"),
} | dict.fromkeys(("padding_mode", "layout", "activation", "backend", "mode", "method", "nan"), _TEXT)


def _checked(name, t, default):
    """The type of an argument, without None where it may be that; refused by name."""
    test, words = _WANTED[name]
    if default is None and isinstance(t, types.NoneType):
        return None
    kind = t.type if default is None and name != "out" and isinstance(t, types.Optional) else t
    if not test(kind if name in _WRITTEN else types.unliteral(kind)):
        raise TypingError(f"{name} must be {words}{' or None' if default is None else ''}, got {t}")
    return kind


def _result(name, kinds, given):
    """The type of a result; ``kinds`` are those of the arguments that are not None."""
    if name == "filter2d":
        dtype = _depth(kinds["dtype"]) if "dtype" in kinds else kinds["image"].dtype
        return types.Array(dtype, kinds["image"].ndim, "C")
    arrays = {n: kinds[n].dtype for n in _OPERANDS if n in kinds}
    sure = [t for n, t in arrays.items() if not isinstance(given[n], types.Optional)]
    dtype = types.float64 if types.float64 in sure else types.float32
    for n, t in arrays.items():
        if t == types.float64 != dtype:
            raise TypingError(f"{n} must be float32 where it may be None and the others are float32, got {given[n]}")
    if name == "conv2d_grad_weight":
        return types.Array(dtype, 4, "C")
    followed = kinds["dy" if "dy" in kinds else "x"]
    ndim = len(kinds["input_shape"]) if "input_shape" in kinds else followed.ndim
    return types.Array(dtype, ndim, "C" if followed.layout == "C" else "A")


@register_jitable
def _fail(code, text):
    """Raise what `answers.ERRORS` has at this code."""
    if code == 1:
        raise BackendRefused(text)
    if code == 2:
        raise ValueError(text)
    if code == 3:
        raise TypeError(text)
    if code == 4:
        raise WorkspaceError(text)
    if code == 5:
        raise MemoryError(text)
    if code == 6:
        raise KeyboardInterrupt(text)
    raise RuntimeError(text)


def _implement(function, given):
    """A function for Numba to compile, with the signature of ``function``, for types of those arguments that it has."""
    name, parameters = function.__name__, inspect.signature(function).parameters.values()
    checked = {p.name: _checked(p.name, given[p.name], p.default) for p in parameters if p.name in given}
    kinds = {n: t for n, t in checked.items() if t is not None}
    result, out = _result(name, kinds, given), kinds.get("out")
    if out is not None and (out.dtype, out.ndim) != (result.dtype, result.ndim):
        raise TypingError(f"out must be an array of {result.dtype} with {result.ndim} axes, got {out}")
    layout = "C" if out is None and result.layout == "C" else "A"
    if "return_indices" in kinds and kinds["return_indices"].literal_value:
        result = types.Tuple((result, result.copy(dtype=types.int64)))
    listed = [f"dtype={result.dtype}"] if "dtype" in kinds else []
    kinds.pop("dtype", None)
    listed += (f"{n}:{t.dtype if isinstance(t, types.Array) else ''}" for n, t in kinds.items())
    call = lowering.caller(" ".join([name, layout, *listed]), result if out is None else out)
    return _define(function, f"""
    code, text, result = call(({" ".join(f"{n}," for n in kinds)}))
    if code:
        fail(code, text)
    return {"result" if out is None else "out"}
""", call=call, fail=_fail)  # fmt: skip


def _define(function, body, **names):
    """A function of the same arguments, all of which Numba wants to be positional ones."""
    parameters = inspect.signature(function).parameters.values()
    listed = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters)
    exec(f"def {function.__name__}({listed}):{body}", names)
    return names[function.__name__]


def _overload(function):
    def typed(arguments):
        """None and defaults stand for arguments that a call does not have."""
        given = {n: t.value if isinstance(t, types.Omitted) else t for n, t in arguments.items()}
        return _implement(function, {n: t for n, t in given.items() if isinstance(t, types.Type)})

    literals = any(name in inspect.signature(function).parameters for name in _WRITTEN)
    overload(function, prefer_literal=literals)(_define(function, "\n    return typed(locals())\n", typed=typed))


for _function in FUNCTIONS.values():
    _overload(_function)
