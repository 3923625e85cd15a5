"""From whatever the caller holds to C-contiguous native arrays, copied at most once, and the way of the result back."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .problem import HALVES
from .typing import Array

_FLOATS = {np.dtype(np.float16): "float16", np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}
_COMPUTE = {name: np.dtype("float32" if name in HALVES else name) for name in (*_FLOATS.values(), "bfloat16")}


def as_array(name: str, value: Any) -> Array:
    """An ndarray of a float dtype, sharing memory where it can.

    Raises
    ------
    TypeError
        If ``value`` is no array, or its dtype is not bfloat16, float16, float32 or float64.
    """
    if type(value) is not np.ndarray:
        value = foreign(name, value)
    if value.dtype not in _FLOATS and value.dtype.name == "bfloat16":
        _FLOATS[value.dtype] = "bfloat16"  # NumPy knows it only from its package, ml_dtypes
    if value.dtype not in _FLOATS and value.dtype.newbyteorder("=") not in _FLOATS:
        raise TypeError(f"{name} must be float16, float32 or float64, got {value.dtype}")
    out: Array = value
    return out


def as_numbers(name: str, value: Any) -> Array:
    """An ndarray of a float dtype, of integers or of booleans, sharing memory where it can.

    Raises
    ------
    TypeError
        As `as_array`.
    """
    if type(value) is not np.ndarray:
        value = foreign(name, value)
    if value.dtype.kind in "bui":
        found: Array = value
        return found
    try:
        return as_array(name, value)
    except TypeError:
        raise TypeError(
            f"{name} must hold floats of 16, 32 or 64 bits, integers or booleans, got {value.dtype}"
        ) from None


def foreign(name: str, value: Any) -> Array:
    """An ndarray that shares memory with ``value``, an array of any library.

    Raises
    ------
    TypeError
        For anything else, and for arrays that their library does not hand out: what requires a gradient or lies
        on another device, dtypes that NumPy does not have. Also for what a plain array would lose: masked pixels,
        a unit.
    """
    if type(value) is np.ndarray:
        return value
    if np.ma.is_masked(value):
        raise TypeError(f"{name} has masked elements, which would count as numbers: fill them, say {name}.filled(0)")
    unit = getattr(value, "unit", None) if isinstance(value, np.ndarray) else None
    if unit is not None:
        raise TypeError(f"{name} has a unit, {unit}, which would be lost: give {name}.value")
    try:
        if isinstance(value, np.ndarray) or hasattr(value, "__array__"):
            return np.asarray(value)
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise TypeError(f"{name} must be an array that NumPy can read: {error}") from error
    raise TypeError(f"{name} must be an array, got {type(value).__name__}")


def tell_of_mask(name: str, value: Any, stacklevel: int) -> None:
    """Warn the caller of a drop-in that a mask is passed over, as SciPy does without a word."""
    if type(value) is not np.ndarray and np.ma.is_masked(value):
        text = f"the mask of {name} is passed over, as by SciPy; filter2d(nan='ignore') leaves masked pixels out"
        warnings.warn(text, UserWarning, stacklevel + 1)


def common_dtype(*arrays: Array) -> str:
    """The dtype of the result, by NumPy promotion."""
    first = arrays[0].dtype
    for a in arrays:
        if a.dtype != first or first not in _FLOATS:
            return _FLOATS[np.result_type(*arrays).newbyteorder("=")]
    return _FLOATS[first]


def ready(a: Array, dtype: str) -> Array:
    """``a`` as the kernels want it: C-contiguous, aligned, native and of the dtype computed in."""
    want, flags = _COMPUTE[dtype], a.flags
    if a.dtype == want and flags.c_contiguous and flags.aligned and a.dtype.isnative:
        return a
    return np.require(a, want, ("C", "A"))


def destination(
    out: Any, shape: tuple[int, ...], dtype: str, inputs: tuple[Array | None, ...] = (), compute: Any = None
) -> Array:
    """Where kernels write a result: ``out`` itself if they can and it overlaps no input, else a fresh array.

    C-contiguous, of ``shape`` and of the dtype that is computed in (that of ``dtype`` unless given). What was
    written goes to the caller by `delivered`.

    Raises
    ------
    TypeError
        If ``out`` is neither None nor an ndarray of ``dtype``.
    ValueError
        If it does not have this shape, or is read-only.
    """
    compute = _COMPUTE[dtype] if compute is None else compute
    if out is None:
        return np.empty(shape, compute)
    check_out(out, shape, dtype)
    flags = out.flags
    fits = out.dtype == compute and out.dtype.isnative and flags.c_contiguous and flags.aligned
    if fits and not any(a is not None and np.may_share_memory(out, a) for a in inputs):
        array: Array = out
        return array
    return np.empty(shape, compute)


def delivered(result: Array, out: Array | None, dtype: str) -> Array:
    """The caller's array with the result in it; without one the result in its dtype."""
    if out is None:
        return result.astype(dtype, copy=False) if dtype in HALVES else result  # all others are computed as they are
    if result is not out:
        out[...] = result
    return out


def check_out(out: Any, shape: tuple[int, ...], dtype: str) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, got {type(out).__name__}")
    if out.dtype.newbyteorder("=") != np.dtype(dtype):
        raise TypeError(f"out must have dtype {dtype}, got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable")
