"""`filter2d`: OpenCV's and scipy.ndimage's image filter, gray and colour, in the dtype of the image."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike as Numbers
from numpy.typing import DTypeLike

from ..core.arrays import check_out, delivered, destination
from ..core.threads import get_num_threads
from ..core.typing import Array, ArrayLike, FilterMethod, ImageMode, NanTreatment
from . import bands, filtering, normalized
from .arguments import anchor_in, backend_of, dtype_of, image_of, kernel_of, method_of, real, real_only
from .correlation import FEW, bound
from .filtering import MODES
from .recent import ByKernel

#: what the steps read or write for these
_COMPUTED = {n: np.dtype(n) for n in ("uint8", "uint16", "int16", "float32", "float64")}
_COMPUTED["float16"] = _COMPUTED["float32"]
_PLAIN = "propagate"


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
    image : array (H, W) or (H, W, C), bool, uint8, uint16, int16, or floats of 16, 32, 64, complex of 64, 128 bits
        Any strides and byte order; never changed. Booleans count as 0 and 1, real and imaginary parts are channels of
        one call. A masked array with masked pixels is taken with ``nan="ignore"`` only, which leaves them out.
    kernel : array (KH, KW) of real numbers
        Of any size, also even, and larger than the image.
    mode : {"reflect", "mirror", "nearest", "wrap", "constant"}
        What lies outside of the image, by the names of scipy.ndimage (also "grid-mirror", "grid-wrap" and
        "grid-constant"): "reflect" repeats the edge pixel (OpenCV's BORDER_REFLECT), "mirror" does not
        (BORDER_REFLECT_101, OpenCV's default), "nearest" is BORDER_REPLICATE.
    cval : float
        The value outside, for ``mode="constant"``. Complex images take 0 only, as for ``delta``, and no ``nan`` or
        ``dtype``.
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
        Where the result goes: the exact shape and dtype, any strides; may overlap the inputs. With it an image of
        any size is filtered in bounded memory, from one `numpy.memmap` into another, say.
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
    plain = out is None and weights is None and anchor is None and backend is None
    if (
        plain
        and nan is _PLAIN
        and type(delta) is float
        and not delta
        and type(image) is type(kernel) is np.ndarray
        and kernel.size <= FEW
    ):
        known = _known(image, kernel, mode, cval, flip, dtype, method)
        if known is not None:
            step, compute = known
            result = np.empty(image.shape, compute)
            step(image, result)
            return result
    holes = None
    if type(image) is not np.ndarray and np.ma.is_masked(image):
        if nan != "ignore":
            raise TypeError(
                "image has masked pixels: nan='ignore' leaves them out, as do image.data, weights=~image.mask"
            )
        masked: Any = image
        image, holes = np.ma.getdata(masked), np.ma.getmaskarray(masked)
    given, w = image_of(image), kernel_of(kernel)
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if nan not in ("propagate", "ignore"):
        raise ValueError(f"nan must be 'propagate' or 'ignore', got {nan!r}")
    outside, more = real("cval", cval), real("delta", delta)
    if given.dtype.kind == "c":
        real_only(given.dtype, cval=outside != 0, delta=more != 0, nan=nan == "ignore", dtype=dtype)
        return _complex(
            given, out, kernel, mode=mode, flip=flip, weights=weights, anchor=anchor, method=method, backend=backend
        )
    how, engine = method_of(method) if backend is None else backend_of(backend)
    ours, first = dtype_of(dtype, given.dtype), None if anchor is None else anchor_in(anchor, w.shape)
    numbers = given.view(np.uint8) if given.dtype.kind == "b" else given
    read, compute = _COMPUTED[dtype_of(None, numbers.dtype)], _COMPUTED[ours]
    if weights is not None:
        weights = normalized.weights_of(weights, given.shape)
    job = bands.Filter(w[::-1, ::-1] if flip else w, how, engine, more, nan == "ignore", weights, holes)
    if bands.needed(numbers, read, out, compute):
        if out is not None:
            check_out(out, given.shape, ours)
        result = np.empty(given.shape, ours) if out is None or np.may_share_memory(out, given) else out
        run = bands.in_bands
    elif out is None:
        result, run = np.empty(given.shape, compute), bands.at_once
    else:
        result, run = destination(out, given.shape, ours, (given,), compute), bands.at_once
    if given.size:
        run(job, numbers, read, result, compute, _window(given.shape[:2], w.shape, MODES[mode], outside, flip, first))
    return delivered(result, out, ours)


def _known(image: Array, kernel: Array, *said: Any) -> tuple[filtering.Bound, Any] | None:
    """The step of a call that says no more than this, and the dtype of its result."""
    flags = image.flags
    if not (flags.c_contiguous and flags.aligned):
        return None
    shape, taps, threads = image.shape, kernel.shape, get_num_threads()
    try:
        return _step(kernel.tobytes(), shape, image.dtype, taps, kernel.dtype, threads, *said)
    except TypeError:  # what cannot be looked up; what is wrong will be found so again
        return None


@ByKernel
def _step(
    kernel: bytes,
    shape: tuple[int, ...],
    dtype: Any,
    taps: tuple[int, ...],
    number: Any,
    threads: int,
    mode: Any,
    cval: Any,
    flip: Any,
    to: Any,
    method: Any,
) -> tuple[filtering.Bound, Any] | None:
    """Everything but pixels; None for what has to be converted, and for what is wrong."""
    if not (kernel and all(shape) and len(taps) == 2 and len(shape) in (2, 3) and number.kind in "buif"):
        return None
    if not isinstance(mode, str) or mode not in MODES or dtype not in _COMPUTED.values():
        return None
    ours, outside, (how, engine) = dtype_of(to, dtype), real("cval", cval), method_of(method)
    if ours == "float16" or dtype.itemsize == 8 != _COMPUTED[ours].itemsize:
        return None
    w, see = np.frombuffer(kernel, number).reshape(taps), _window(shape[:2], taps, MODES[mode], outside, flip, None)
    if not see.kept:
        return None
    image, kinds = (*shape, 1)[:3], dtype.char + _COMPUTED[ours].char
    run = bound(w[::-1, ::-1] if flip else w, image, kinds, see, how, engine, threads)
    return None if run is None else (run, _COMPUTED[ours])


def _complex(given: Array, out: Any, kernel: Numbers, weights: Any, **options: Any) -> Array:
    """The filter of a complex image: its real and imaginary parts are channels side by side in memory."""
    dtype = given.dtype.newbyteorder("=")
    result = destination(out, given.shape, dtype.name, (given,), dtype)
    half = np.dtype(f"f{dtype.itemsize // 2}")
    parts, filled = (np.require(a, dtype, ("C", "A")).view(half) for a in (given, result))
    if given.ndim == 2:
        parts, filled = (a.reshape(*given.shape, 2) for a in (parts, filled))
    if weights is not None:
        weights = normalized.weights_of(weights, given.shape)
        weights = np.repeat(weights, 2, axis=2) if weights.shape[2] > 1 else weights[:, :, 0]
    filter2d(parts, kernel, out=filled, weights=weights, **options)
    return delivered(result, out, dtype.name)


@lru_cache(256)
def _window(
    image: tuple[int, ...],
    kernel: tuple[int, ...],
    mode: str,
    outside: float,
    flip: bool,
    anchor: tuple[int, int] | None,
) -> filtering.Window:
    before = tuple(k // 2 for k in kernel) if anchor is None else anchor
    if flip:
        before = tuple(k - 1 - b for k, b in zip(kernel, before, strict=True))
    count = image[0] + kernel[0] - 1, image[1] + kernel[1] - 1
    return filtering.window(image, (-before[0], -before[1]), count, (mode, mode), outside)
