"""`filter2d`: OpenCV's and scipy.ndimage's image filter, gray and colour, in the dtype of the image."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arrays import foreign
from ..core.errors import BackendRefused
from ..planning.registry import find_backends
from . import filtering, spectral
from .filtering import Window

#: mode of scipy.ndimage: name of the table (see `filtering.table`)
MODES = {
    "reflect": "reflect", "grid-mirror": "reflect", "mirror": "mirror", "nearest": "nearest", "wrap": "wrap",
    "grid-wrap": "wrap", "constant": "constant", "grid-constant": "constant",
}  # fmt: skip
_DTYPES = ("uint8", "uint16", "int16", "float16", "float32", "float64")


def filter2d(
    image: Any,
    kernel: Any,
    *,
    mode: str = "reflect",
    cval: float = 0.0,
    flip: bool = False,
    backend: str = "auto",
) -> Any:
    """Filter an image with a kernel, every channel alike; the result has the image's shape and dtype.

    The kernel's element (KH // 2, KW // 2) lies on the pixel, as in OpenCV and scipy.ndimage. Integer images are
    computed in float32, rounded to the nearest integer (ties to even) and saturated, as in OpenCV.

    Parameters
    ----------
    image : array (H, W) or (H, W, C), uint8, uint16, int16, float16, float32 or float64
        Any strides and byte order; never changed.
    kernel : array (KH, KW) of real numbers
        Of any size, also even, and larger than the image.
    mode : {"reflect", "mirror", "nearest", "wrap", "constant"}
        What lies outside of the image, by the names of scipy.ndimage (also "grid-mirror", "grid-wrap" and
        "grid-constant"): "reflect" repeats the edge pixel (OpenCV's BORDER_REFLECT), "mirror" does not
        (BORDER_REFLECT_101, OpenCV's default), "nearest" is BORDER_REPLICATE.
    cval : float
        The value outside, for ``mode="constant"``.
    flip : bool
        True for true convolution: the kernel is turned by 180 degrees. False for correlation, as in OpenCV.
    backend : str
        "auto", "direct", "separable" (kernels that are a column times a row), "fft", each also with an engine
        ("direct/numba"), or another backend of `conv2d` (see `list_backends`), which then sees bordered bands.

    Returns
    -------
    ndarray
        C-contiguous, of the shape and dtype of ``image``.

    Raises
    ------
    TypeError
        If ``image`` is no array, or a dtype is not among those above.
    ValueError
        For wrong ranks, an empty kernel, an unknown mode or backend; the message names the argument.
    BackendRefused
        If ``backend="separable"`` and the kernel is not separable.

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
    x, w = _image(image), _kernel(kernel)
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    try:
        outside = float(cval)
    except (TypeError, ValueError):
        raise TypeError(f"cval must be a real number, got {cval!r}") from None
    how, engine = _backend(backend)
    planes = x.astype(np.float32) if x.dtype == np.float16 else x
    planes = planes.reshape(*x.shape[:2], -1) if x.size else planes
    y = np.empty(planes.shape, planes.dtype)
    if x.size:
        before = tuple((k - 1) // 2 if flip else k // 2 for k in w.shape)
        name = MODES[mode]
        see = filtering.window(
            x.shape, (-before[0], -before[1]), (x.shape[0] + w.shape[0] - 1, x.shape[1] + w.shape[1] - 1),
            (name, name), outside,
        )  # fmt: skip
        correlate(planes, w[::-1, ::-1] if flip else w, y, see, how, engine)
    return y.astype(x.dtype, copy=False).reshape(x.shape)


def correlate(x: Any, kernel: Any, y: Any, see: Window, how: str = "auto", engine: str | None = None) -> None:
    """Fill ``y`` (OH, OW, C) by the algorithm ``how``; ``x`` (H, W, C) and ``y`` are images that steps can read."""
    dtype = "float64" if x.dtype == np.float64 else "float32"
    small = kernel.size <= (8 if x.dtype == np.uint8 else 15) or 1 in kernel.shape  # two passes would not pay
    pair = filtering.factors(kernel, dtype) if how == "separable" or (how == "auto" and not small) else None
    if how == "separable" and pair is None:
        raise BackendRefused("backend 'separable' refuses: the kernel is not a column times a row")
    if how == "auto":
        how = choose(kernel.shape, pair is not None, x.shape[2])
    if how == "separable" and pair is not None:
        filtering.separable(x, *pair, y, see, dtype, engine)
    elif how == "direct" or not spectral.filter_bands(x, kernel, y, see, dtype, how, engine):
        filtering.direct(x, kernel, y, see, dtype, engine)


def choose(shape: tuple[int, int], separable: bool, channels: int = 1) -> str:
    """The algorithm for a kernel of ``shape``: where each begins to pay, from measurements of 1024x1024 images."""
    kh, kw = shape
    if separable:
        return "separable"
    return "fft" if kh * kw >= spectral.pays_from(channels) and min(kh, kw) > 8 else "direct"


def _image(image: Any) -> Any:
    x = foreign("image", image)
    if x.dtype.name not in _DTYPES:
        raise TypeError(f"image must be {', '.join(_DTYPES[:-1])} or {_DTYPES[-1]}, got {x.dtype}")
    if x.ndim not in (2, 3):
        raise ValueError(f"image must have shape (H, W) or (H, W, C), got {x.shape}")
    return np.require(x, x.dtype.newbyteorder("="), ("C", "A"))


def _kernel(kernel: Any) -> Any:
    w = np.asarray(kernel)
    if w.dtype.kind not in "buif":
        raise TypeError(f"kernel must hold real numbers, got {w.dtype}")
    if w.ndim != 2:
        raise ValueError(f"kernel must have shape (KH, KW), got {w.shape}")
    if not w.size:
        raise ValueError(f"kernel must not be empty, got shape {w.shape}")
    return w.astype(np.float64)


def _backend(name: Any) -> tuple[str, str | None]:
    """Algorithm and engine."""
    if not isinstance(name, str):
        raise TypeError(f"backend must be a string, got {name!r}")
    algorithm, _, engine = name.partition("/")
    if algorithm in ("auto", "direct", "separable", "fft") and engine in ("", "cython", "numba") and name[-1] != "/":
        if algorithm == "auto" and engine:
            raise ValueError(f"backend 'auto' has no engine, got {name!r}")
        return algorithm, engine or None
    try:
        find_backends(name)
    except ValueError as error:
        raise ValueError(f"{error}; image filters also know 'separable' and 'fft'") from None
    return name, None
