"""The arguments of `filter2d`, checked one by one. Every message names the argument."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike as Numbers

from ..core.arguments import integer
from ..core.arrays import foreign
from ..core.typing import Array, ArrayLike
from ..engines.loader import ENGINES
from ..planning.registry import find_backends

METHODS = ("auto", "direct", "separable", "fft")
_DTYPES = {np.dtype(n): n for n in ("uint8", "uint16", "int16", "float16", "float32", "float64")}
_COMPLEX = np.dtype(np.complex64), np.dtype(np.complex128)


def image_of(image: ArrayLike) -> Array:
    """An array (H, W) or (H, W, C) of booleans or one of the dtypes of images, in any byte order."""
    x = image if type(image) is np.ndarray else foreign("image", image)
    if x.dtype not in _DTYPES and x.dtype != bool and x.dtype.newbyteorder("=") not in (*_DTYPES, *_COMPLEX):
        *most, last = *_DTYPES.values(), *map(str, _COMPLEX)
        raise TypeError(f"image must be bool, {', '.join(most)} or {last}, got {x.dtype}")
    if x.ndim not in (2, 3):
        raise ValueError(f"image must have shape (H, W) or (H, W, C), got {x.shape}")
    return x


def dtype_of(dtype: Any, image: Any) -> str:
    """The name of the result's, for an image of the dtype ``image``."""
    if dtype is None:
        return _DTYPES.get(image) or _DTYPES.get(image.newbyteorder("="), "float32")
    try:
        return _DTYPES[np.dtype(dtype).newbyteorder("=")]
    except (TypeError, KeyError):
        *most, last = _DTYPES.values()
        raise TypeError(f"dtype must be {', '.join(most)} or {last}, got {dtype!r}") from None


def real(name: str, value: Any) -> float:
    """A number."""
    try:
        if not isinstance(value, (str, bytes)):  # which float would read
            return float(value)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"{name} must be a real number, got {value!r}")


def real_only(image: Any, dtype: Any, **given: bool) -> None:
    """Refuse what has no meaning for complex images, of the dtype ``image``."""
    for name, wrong in given.items():
        if wrong:
            raise ValueError(f"{name} must be left out for complex images")
    if dtype is not None and np.dtype(dtype).newbyteorder("=") != image.newbyteorder("="):
        raise ValueError(f"dtype must be that of the image where that is complex, {image}, got {dtype!r}")


def anchor_in(anchor: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """The row and column of an element of a kernel of ``shape``."""
    if not isinstance(anchor, (tuple, list)) or len(anchor) != 2:
        raise ValueError(f"anchor must be (row, column) of an element of the kernel, got {anchor!r}")
    row, column = (integer("anchor", a, 0, k - 1) for a, k in zip(anchor, shape, strict=True))
    return row, column


def kernel_of(kernel: Numbers) -> Array:
    """A matrix of real numbers."""
    if type(kernel) is np.ndarray:
        w = kernel
    else:
        w = foreign("kernel", kernel) if hasattr(kernel, "__array__") else np.asarray(kernel)
    if w.dtype.kind not in "buif":
        raise TypeError(f"kernel must hold real numbers, got {w.dtype}")
    if w.ndim != 2:
        raise ValueError(f"kernel must have shape (KH, KW), got {w.shape}")
    if not w.size:
        raise ValueError(f"kernel must not be empty, got shape {w.shape}")
    return w


def method_of(name: Any) -> tuple[str, str | None]:
    """Algorithm and engine."""
    if name is METHODS[0]:
        return name, None
    if not isinstance(name, str):
        raise TypeError(f"method must be a string, got {name!r}")
    how, slash, engine = name.partition("/")
    if how not in METHODS or (slash and (how == "auto" or engine not in ENGINES)):
        listed = ", ".join(METHODS)
        raise ValueError(f"method must be one of {listed}, all but auto also with an engine, got {name!r}")
    return how, engine or None


def backend_of(name: Any) -> tuple[str, str | None]:
    """The same for the old argument, which also takes backends of `conv2d`."""
    warnings.warn("filter2d(backend=) is deprecated: use method=", DeprecationWarning, stacklevel=3)
    if not isinstance(name, str):
        raise TypeError(f"backend must be a string, got {name!r}")
    try:
        return method_of(name)
    except ValueError:
        pass
    try:
        find_backends(name)
    except ValueError as error:
        raise ValueError(f"{error}; image filters also know 'separable' and 'fft'") from None
    return name, None
