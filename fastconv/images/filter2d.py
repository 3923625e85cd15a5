"""`filter2d`: OpenCV's and scipy.ndimage's image filter, gray and colour, in the dtype of the image."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike as Numbers
from numpy.typing import DTypeLike

from ..core.arguments import integer
from ..core.arrays import delivered, destination, foreign
from ..core.typing import Array, ArrayLike, FilterMethod, ImageMode, NanTreatment
from ..engines.loader import ENGINES
from ..planning.registry import find_backends
from . import filtering, normalized
from .correlation import correlate
from .filtering import MODES

METHODS = ("auto", "direct", "separable", "fft")
_DTYPES = {np.dtype(n): n for n in ("uint8", "uint16", "int16", "float16", "float32", "float64")}
#: what the steps read or write in place of these
_COMPUTED = {n: np.dtype("float32" if n == "float16" else n) for n in _DTYPES.values()}


def filter2d(
    image: ArrayLike,
    kernel: Numbers,
    *,
    mode: ImageMode = "reflect",
    cval: float = 0.0,
    flip: bool = False,
    nan: NanTreatment = "propagate",
    weights: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
    anchor: tuple[int, int] | None = None,
    delta: float = 0.0,
    method: FilterMethod = "auto",
    out: Array | None = None,
    backend: str | None = None,
) -> Array:
    """Filter an image with a kernel, every channel alike; the result has the image's shape.

    The kernel's element (KH // 2, KW // 2) lies on the pixel, as in OpenCV and scipy.ndimage. Results of an integer
    dtype are rounded to the nearest integer (ties to even) and saturated, as in OpenCV; sums are of float64 where the
    image or the result is, else of float32.

    Parameters
    ----------
    image : array (H, W) or (H, W, C), bool, uint8, uint16, int16, float16, float32 or float64
        Any strides and byte order; never changed. Booleans count as 0 and 1. A masked array with masked pixels is
        taken with ``nan="ignore"`` only, which leaves them out.
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
    nan : {"propagate", "ignore"}
        "ignore" leaves out pixels that are NaN: the result is the mean of the others, weighed with the kernel.
    weights : array (H, W) or (H, W, C) of real numbers, optional
        How much each pixel counts, zero or more: normalised convolution. See the notes.
    dtype : dtype, optional
        Of the result (OpenCV's ddepth), any of those of images but bool; the image's unless given, float32 for
        booleans.
    anchor : (row, column), optional
        The element of ``kernel`` that lies on the pixel (OpenCV has it the other way round).
    delta : float
        Added to every result before it is rounded.
    method : {"auto", "direct", "separable", "fft"}
        How: "separable" takes kernels that are a column times a row. All but "auto" also with an engine
        ("direct/numba").
    out : ndarray, optional
        Where the result goes: the exact shape and dtype, any strides; may overlap the inputs.
    backend : str, optional
        Deprecated: ``method``, or another backend of `conv2d` (see `list_backends`), which sees bordered bands.

    Returns
    -------
    ndarray
        C-contiguous (or ``out``), of the shape of ``image``, and of its dtype unless ``dtype`` says another.

    Raises
    ------
    TypeError
        If ``image`` is no array, or a dtype is not among those above; for masked pixels unless ``nan="ignore"``, and
        for arrays with a unit (an astropy Quantity).
    ValueError
        For wrong ranks, an empty kernel, an unknown mode or method, an anchor outside of the kernel; for weights of
        another shape, below zero or not finite; with these or ``nan="ignore"`` also for a kernel that sums to zero.
        The message names the argument.
    BackendRefused
        If ``method="separable"`` and the kernel is not separable.

    Notes
    -----
    "auto" finds separable kernels from their values, and takes FFTs for large ones; with those a non-finite pixel
    would spread, so an image or kernel that is not finite is filtered directly instead.

    With ``weights`` w (zero is a hole, whatever the pixel holds) or ``nan="ignore"`` (w is zero where a pixel is NaN,
    else one) the result is ``sum(w k x) / sum(w k)`` over the window [1]_, whatever the sum of the kernel. Outside of
    the image, weights go on as the image does; a ``cval`` counts one, or is a hole if it is NaN and ignored. Where the
    denominator is zero there is nothing to take the mean of: the result is NaN, or 0 in an integer dtype. "auto" takes
    no FFTs then, since their errors would fill the holes; named, those count a denominator within rounding as zero.

    References
    ----------
    .. [1] Knutsson and Westin, "Normalized and differential convolution" (1993).

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.filter2d(np.eye(3, dtype=np.uint8) * 90, np.full((3, 3), 1 / 9))
    array([[50, 30, 10],
           [30, 30, 30],
           [10, 30, 50]], dtype=uint8)

    A hole, filled with the mean of its neighbours:

    >>> x = np.array([[1., 2, 3], [4, np.nan, 6], [7, 8, 9]])
    >>> float(fastconv.filter2d(x, np.ones((3, 3)), nan="ignore")[1, 1])
    5.0

    OpenCV's matchTemplate with TM_CCORR, a view of it: where the pattern begins.

    >>> image = np.zeros((6, 8), np.uint8)
    >>> image[2:4, 5:7] = pattern = np.array([[9, 1], [1, 9]], np.uint8)
    >>> score = fastconv.filter2d(image, pattern, mode="constant", anchor=(0, 0), dtype="float32")[:5, :7]
    >>> [int(i) for i in np.unravel_index(score.argmax(), score.shape)]
    [2, 5]
    """
    holes = None
    if type(image) is not np.ndarray and np.ma.is_masked(image):
        if nan != "ignore":
            raise TypeError(
                "image has masked pixels: nan='ignore' leaves them out, as do image.data, weights=~image.mask"
            )
        masked: Any = image
        image, holes = np.ma.getdata(masked), np.ma.getmaskarray(masked)
    given, w = _image(image), _kernel(kernel)
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if nan not in ("propagate", "ignore"):
        raise ValueError(f"nan must be 'propagate' or 'ignore', got {nan!r}")
    outside, more = _real("cval", cval), _real("delta", delta)
    how, engine = _method(method) if backend is None else _backend(backend)
    ours = _dtype(dtype, given.dtype)
    numbers = given.view(np.uint8) if given.dtype.kind == "b" else given
    x = np.require(numbers, _COMPUTED[_DTYPES[numbers.dtype]], ("C", "A"))
    result = destination(out, given.shape, ours, (given,), _COMPUTED[ours])
    if not x.size:
        return delivered(result, out, ours)
    planes = *x.shape[:2], x.size // (x.shape[0] * x.shape[1])
    before = [k // 2 for k in w.shape] if anchor is None else _anchor(anchor, w.shape)
    if flip:
        w, before = w[::-1, ::-1], [k - 1 - b for k, b in zip(w.shape, before, strict=True)]
    name = MODES[mode]
    see = filtering.window(
        x.shape,
        (-before[0], -before[1]),
        (x.shape[0] + w.shape[0] - 1, x.shape[1] + w.shape[1] - 1),
        (name, name),
        outside,
    )
    x, y = x.reshape(planes), result.reshape(planes)
    if weights is not None or nan == "ignore":
        there = normalized.presence(x, given.shape, weights, nan == "ignore", holes)
        sums = normalized.means(x, there, w, see, how, engine, y.dtype, nan == "ignore")
    elif more or (x.itemsize == 8 != y.itemsize):  # the steps round sums of float32 only
        sums = np.empty(planes, np.result_type(x.dtype, y.dtype, np.float32))
        correlate(x, w, sums, see, how, engine)
    else:
        correlate(x, w, y, see, how, engine)
        return delivered(result, out, ours)
    if more:
        sums += more
    _round(sums, y)
    return delivered(result, out, ours)


def _image(image: ArrayLike) -> Array:
    x = foreign("image", image)
    if x.dtype not in _DTYPES and x.dtype != bool:
        if x.dtype.newbyteorder("=") not in _DTYPES:
            *most, last = _DTYPES.values()
            raise TypeError(f"image must be bool, {', '.join(most)} or {last}, got {x.dtype}")
        x = x.astype(x.dtype.newbyteorder("="))
    if x.ndim not in (2, 3):
        raise ValueError(f"image must have shape (H, W) or (H, W, C), got {x.shape}")
    return x


def _dtype(dtype: Any, image: Any) -> str:
    """The name of the result's."""
    if dtype is None:
        return _DTYPES.get(image, "float32")
    try:
        return _DTYPES[np.dtype(dtype).newbyteorder("=")]
    except (TypeError, KeyError):
        *most, last = _DTYPES.values()
        raise TypeError(f"dtype must be {', '.join(most)} or {last}, got {dtype!r}") from None


def _real(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a real number, got {value!r}") from None


def _anchor(anchor: Any, shape: tuple[int, ...]) -> list[int]:
    if not isinstance(anchor, (tuple, list)) or len(anchor) != 2:
        raise ValueError(f"anchor must be (row, column) of an element of the kernel, got {anchor!r}")
    return [integer("anchor", a, 0, k - 1) for a, k in zip(anchor, shape, strict=True)]


def _round(sums: Array, y: Array) -> None:
    """Fill ``y`` with sums, to the nearest integers and saturated if it holds such. Changes ``sums``."""
    if y.dtype.kind in "iu":
        limits = np.iinfo(y.dtype)
        np.clip(np.rint(sums, out=sums), limits.min, limits.max, out=sums)
    y[...] = sums


def _kernel(kernel: Numbers) -> Array:
    w = foreign("kernel", kernel) if hasattr(kernel, "__array__") else np.asarray(kernel)
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
