"""`filter2d`: OpenCV's and scipy.ndimage's image filter, gray and colour, in the dtype of the image."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike as Numbers

from ..core.arrays import check_out, delivered, destination, foreign
from ..core.typing import Array, ArrayLike, FilterMethod, ImageMode
from ..engines.loader import ENGINES
from ..planning.registry import find_backends
from . import bands, filtering
from .filtering import MODES

METHODS = ("auto", "direct", "separable", "fft")
_DTYPES = {np.dtype(n): n for n in ("uint8", "uint16", "int16", "float16", "float32", "float64")}
_COMPLEX = np.dtype(np.complex64), np.dtype(np.complex128)


def filter2d(
    image: ArrayLike,
    kernel: Numbers,
    *,
    mode: ImageMode = "reflect",
    cval: float = 0.0,
    flip: bool = False,
    method: FilterMethod = "auto",
    out: Array | None = None,
    backend: str | None = None,
) -> Array:
    """Filter an image with a kernel, every channel alike; the result has the image's shape and dtype.

    The kernel's element (KH // 2, KW // 2) lies on the pixel, as in OpenCV and scipy.ndimage. Integer images are
    computed in float32, rounded to the nearest integer (ties to even) and saturated, as in OpenCV.

    Parameters
    ----------
    image : array (H, W) or (H, W, C), uint8, uint16, int16, float16, float32, float64, complex64 or complex128
        Any strides and byte order; never changed. Real and imaginary parts are channels of one call.
    kernel : array (KH, KW) of real numbers
        Of any size, also even, and larger than the image.
    mode : {"reflect", "mirror", "nearest", "wrap", "constant"}
        What lies outside of the image, by the names of scipy.ndimage (also "grid-mirror", "grid-wrap" and
        "grid-constant"): "reflect" repeats the edge pixel (OpenCV's BORDER_REFLECT), "mirror" does not
        (BORDER_REFLECT_101, OpenCV's default), "nearest" is BORDER_REPLICATE.
    cval : float
        The value outside, for ``mode="constant"``; of complex images 0.
    flip : bool
        True for true convolution: the kernel is turned by 180 degrees. False for correlation, as in OpenCV.
    method : {"auto", "direct", "separable", "fft"}
        How: "separable" takes kernels that are a column times a row. All but "auto" also with an engine
        ("direct/numba").
    out : ndarray, optional
        Where the result goes: the image's exact shape and dtype, any strides; may overlap the inputs. With it an
        image of any size is filtered in bounded memory, from one `numpy.memmap` into another, say.
    backend : str, optional
        Deprecated: ``method``, or another backend of `conv2d` (see `list_backends`), which sees bordered bands.

    Returns
    -------
    ndarray
        C-contiguous (or ``out``), of the shape and dtype of ``image``.

    Raises
    ------
    TypeError
        If ``image`` is no array, or a dtype is not among those above.
    ValueError
        For wrong ranks, an empty kernel, an unknown mode or method; the message names the argument.
    BackendRefused
        If ``method="separable"`` and the kernel is not separable.

    Notes
    -----
    "auto" finds separable kernels from their values, and takes FFTs for large ones; with those a non-finite pixel
    would spread, so an image or kernel that is not finite is filtered directly instead.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.filter2d(np.eye(3, dtype=np.uint8) * 90, np.full((3, 3), 1 / 9))
    array([[50, 30, 10],
           [30, 30, 30],
           [10, 30, 50]], dtype=uint8)
    """
    given, w = _image(image), _kernel(kernel)
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    try:
        outside = float(cval)
    except (TypeError, ValueError):
        raise TypeError(f"cval must be a real number, got {cval!r}") from None
    if given.dtype.kind == "c":
        return _complex(given, out, outside, kernel, mode=mode, flip=flip, method=method, backend=backend)
    how, engine = _method(method) if backend is None else _backend(backend)
    dtype = _DTYPES[given.dtype.newbyteorder("=")]
    compute = np.dtype("float32" if dtype == "float16" else dtype)
    large = given.size * compute.itemsize > bands.BAND_BYTES
    if large and not (bands.plain(given, compute) and bands.plain(given if out is None else out, compute)):
        if out is not None:
            check_out(out, given.shape, dtype)
        shared = out is None or np.may_share_memory(out, given)
        result: Any = np.empty(given.shape, dtype) if shared else out
        write = bands.correlate_in_bands
    else:
        result, write = destination(out, given.shape, dtype, (given,), compute), bands.correlate_at_once
    if given.size:
        before = tuple((k - 1) // 2 if flip else k // 2 for k in w.shape)
        name = MODES[mode]
        see = filtering.window(
            given.shape,
            (-before[0], -before[1]),
            (given.shape[0] + w.shape[0] - 1, given.shape[1] + w.shape[1] - 1),
            (name, name),
            outside,
        )
        write(given, w[::-1, ::-1] if flip else w, result, see, how, engine, compute)
    return delivered(result, out, dtype)


def _complex(given: Array, out: Any, cval: float, kernel: Numbers, **options: Any) -> Array:
    """The filter of a complex image: its real and imaginary parts are channels side by side in memory."""
    if cval:
        raise ValueError(f"cval must be 0 for complex images, got {cval}")
    dtype = given.dtype.newbyteorder("=")
    result = destination(out, given.shape, dtype.name, (given,), dtype)
    real = np.dtype(f"f{dtype.itemsize // 2}")
    parts, filled = (np.require(a, dtype, ("C", "A")).view(real) for a in (given, result))
    if given.ndim == 2:
        parts, filled = (a.reshape(*given.shape, 2) for a in (parts, filled))
    filter2d(parts, kernel, out=filled, **options)
    return delivered(result, out, dtype.name)


def _image(image: ArrayLike) -> Array:
    x = foreign("image", image)
    if x.dtype.newbyteorder("=") not in (*_DTYPES, *_COMPLEX):
        *most, last = *_DTYPES.values(), *map(str, _COMPLEX)
        raise TypeError(f"image must be {', '.join(most)} or {last}, got {x.dtype}")
    if x.ndim not in (2, 3):
        raise ValueError(f"image must have shape (H, W) or (H, W, C), got {x.shape}")
    return x


def _kernel(kernel: Numbers) -> Array:
    w = np.asarray(kernel)
    if w.dtype.kind not in "buif":
        raise TypeError(f"kernel must hold real numbers, got {w.dtype}")
    if w.ndim != 2:
        raise ValueError(f"kernel must have shape (KH, KW), got {w.shape}")
    if not w.size:
        raise ValueError(f"kernel must not be empty, got shape {w.shape}")
    return w.astype(np.float64)


def _method(name: Any) -> tuple[str, str | None]:
    """Algorithm and engine."""
    if not isinstance(name, str):
        raise TypeError(f"method must be a string, got {name!r}")
    how, slash, engine = name.partition("/")
    if how not in METHODS or (slash and (how == "auto" or engine not in ENGINES)):
        listed = ", ".join(METHODS)
        raise ValueError(f"method must be one of {listed}, all but auto also with an engine, got {name!r}")
    return how, engine or None


def _backend(name: Any) -> tuple[str, str | None]:
    """The same for the old argument, which also takes backends of `conv2d`."""
    warnings.warn("filter2d(backend=) is deprecated: use method=", DeprecationWarning, stacklevel=3)
    if not isinstance(name, str):
        raise TypeError(f"backend must be a string, got {name!r}")
    try:
        return _method(name)
    except ValueError:
        pass
    try:
        find_backends(name)
    except ValueError as error:
        raise ValueError(f"{error}; image filters also know 'separable' and 'fft'") from None
    return name, None
