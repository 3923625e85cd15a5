"""From whatever the caller holds to C-contiguous native arrays, copied at most once."""

from __future__ import annotations

from typing import Any

import numpy as np

_FLOATS = {np.dtype(np.float16): "float16", np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}
_COMPUTE = {name: np.dtype("float32" if name == "float16" else name) for name in _FLOATS.values()}


def as_array(name: str, value: Any) -> Any:
    """An ndarray of a float dtype, sharing memory where it can.

    Raises
    ------
    TypeError
        If ``value`` is no array, or its dtype is not float16, float32 or float64.
    """
    if type(value) is not np.ndarray:
        value = foreign(name, value)
    if value.dtype not in _FLOATS and value.dtype.newbyteorder("=") not in _FLOATS:
        raise TypeError(f"{name} must be float16, float32 or float64, got {value.dtype}")
    return value


def foreign(name: str, value: Any) -> Any:
    """An ndarray that shares memory with ``value``, an array of any library; TypeError for anything else."""
    if isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    raise TypeError(f"{name} must be an array, got {type(value).__name__}")


def common_dtype(*arrays: Any) -> str:
    """The dtype of the result, by NumPy promotion."""
    first = arrays[0].dtype
    for a in arrays:
        if a.dtype != first or first not in _FLOATS:
            return _FLOATS[np.result_type(*arrays).newbyteorder("=")]
    return _FLOATS[first]


def ready(a: Any, dtype: str) -> Any:
    """``a`` as the kernels want it: C-contiguous, aligned, native and of the dtype computed in."""
    want, flags = _COMPUTE[dtype], a.flags
    if a.dtype == want and flags.c_contiguous and flags.aligned and a.dtype.isnative:
        return a
    return np.require(a, want, ("C", "A"))


def check_out(out: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Raise unless ``out`` is a writeable ndarray of just this shape and dtype."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, got {type(out).__name__}")
    if out.dtype.newbyteorder("=") != np.dtype(dtype):
        raise TypeError(f"out must have dtype {dtype}, got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable")


def usable(out: Any, dtype: str, inputs: tuple[Any, ...]) -> bool:
    """True if kernels may write straight into ``out``: their layout, and no overlap with an input."""
    flags = out.flags
    return (
        out.dtype == _COMPUTE[dtype]
        and out.dtype.isnative
        and flags.c_contiguous
        and flags.aligned
        and not any(np.may_share_memory(out, a) for a in inputs)
    )
