"""Image filters over the engines: tables of borders, strips and bands, scratch memory, the choice of an algorithm.

What `filter2d`, `ndimage` and `signal` share. An image is (H, W, C) here, and a border is two tables: the image
row (column) of every row (column) that some output needs, -1 for ``cval``. A table may begin and end anywhere, so
that every size of output and any kernel larger than the image are the same thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core import workspace
from ..core.borders import sources
from ..core.rank_one import outer_factors
from ..core.threads import get_num_threads
from ..core.typing import Array
from ..engines import loader

if TYPE_CHECKING:
    from ..engines.kernels import Kernels

#: bytes of bordered rows that a thread keeps: they should stay in its cache
RING_BYTES = 400_000
#: columns of a kernel up to which column sums pass through the first cache
NARROW = 21
_COMPUTED = {np.dtype(t) for t in (np.uint8, np.uint16, np.int16, np.float32, np.float64)}


#: SciPy's names of borders: their names here (see `core.borders`)
MODES = {
    "reflect": "symmetric", "grid-mirror": "symmetric", "mirror": "reflect", "nearest": "replicate",
    "wrap": "circular", "grid-wrap": "circular", "constant": "zeros", "grid-constant": "zeros",
}  # fmt: skip


class Window(NamedTuple):
    """Which image row and column is seen where; output (i, j) sees rows[i : i + kh] and cols[j : j + kw]."""

    rows: Array
    cols: Array
    inside: tuple[int, int]  # these columns of the table are neighbours in the image
    cval: float


def window(
    shape: tuple[int, ...], first: tuple[int, int], count: tuple[int, int], mode: tuple[str, str], cval: float
) -> Window:
    """The window of an image of ``shape`` whose tables begin at ``first`` and hold ``count`` positions.

    ``mode`` holds names of `core.borders`; "zeros" stands for ``cval``.
    """
    rows, cols = (sources(shape[k], first[k], count[k], mode[k]) for k in (0, 1))
    start = min(max(-first[1], 0), count[1])
    return Window(rows, cols, (start, max(start, min(shape[1] - first[1], count[1]))), float(cval))


def steps(dtype: str, engine: str | None = None) -> tuple[str, Kernels]:
    """The engine in use and its steps: compiled ones where they are built."""
    engine = engine or ("numba" if loader.absent("cython") else "cython")
    return engine, loader.load(engine, dtype)


class _Blocks(NamedTuple):
    """How an output is cut: columns and rows of a task, numbers from one buffered row to the next."""

    strip: int
    band: int
    pitch: int


def _blocks(y: Array, kh: int, kw: int, dtype: str, lanes: int, threads: int, unit: int, width: int) -> _Blocks:
    """Strips of about `width` numbers, and four bands a thread of whole blocks of `unit` rows."""
    oh, ow, c = y.shape
    strip = min(max(width // c, 1), ow)
    strips = -(-ow // strip)
    if strips > 1:
        strip = -(-ow // strips)
        strip = min(ow, -(-strip // lanes) * lanes)
    bands = max(1, 4 * threads // max(1, min(strips, threads)))
    band = -(-max(1, -(-oh // bands)) // unit) * unit
    pitch = (-(-((strip + kw - 1) * c) // lanes) + 15) * lanes
    if pitch * np.dtype(dtype).itemsize % 4096 == 0:  # rows must not share their places in the cache
        pitch += lanes
    return _Blocks(strip, band, pitch)


def _work(dtype: str, pointers: int, numbers: int) -> int:
    """Numbers of scratch memory a thread, whole cache lines."""
    head = -(-pointers * 8 // np.dtype(dtype).itemsize // 16) * 16
    return head + -(-numbers // 16) * 16


def _lanes(engine: str, dtype: str) -> int:
    return loader.vector_bytes(engine) // np.dtype(dtype).itemsize


def _height(engine: str) -> int:
    """Rows of a block, FILTER_ROWS of the steps."""
    return 6 if loader.vector_bytes(engine) == 64 else 4


def _wide(dtype: str, rows: int) -> int:
    return max(1024, RING_BYTES // np.dtype(dtype).itemsize // rows)


def _run(step: Any, args: tuple[Any, ...], blocks: tuple[int, ...], dtype: str, share: int, threads: int) -> Any:
    work = workspace.borrow(dtype, share * threads * np.dtype(dtype).itemsize)
    try:
        return step(*args, *blocks, work, share, threads)
    finally:
        workspace.give_back(dtype, work)


def direct(x: Array, kernel: Array, y: Array, see: Window, dtype: str, engine: str | None = None) -> None:
    """Fill ``y`` (OH, OW, C) with the correlation of ``x`` (H, W, C) with ``kernel`` (KH, KW), computed in ``dtype``.

    float64 sums are those of plain C in raster order, number by number. float32 kernels that equal their mirror
    image, or its negative, take half the multiplications.
    """
    name, s = steps(dtype, engine)
    (kh, kw), lanes, threads = kernel.shape, _lanes(name, dtype), get_num_threads()
    height = _height(name)
    fold = _symmetry(kernel) if dtype == "float32" and kh >= height else 0
    w = np.array(kernel.T[: (kw + 1) // 2 if fold else kw, ::-1], dtype, order="C")
    if fold and kw % 2:
        w[-1] /= 2
    blocks = _blocks(y, kh, kw, dtype, lanes, threads, height, _wide(dtype, kh + 5))
    share = _work(dtype, 2 * (kh + 5), (kh + 5 + 6) * blocks.pitch + 32 * lanes)
    _run(s.filter_direct, (x, w, y, see.rows, see.cols, *see.inside, see.cval, fold), blocks, dtype, share, threads)


def separable(
    x: Array, column: Array, row: Array, y: Array, see: Window, dtype: str, engine: str | None = None
) -> None:
    """The same for the kernel ``outer(column, row)``: sums along columns of a few rows, then along those rows."""
    name, s = steps(dtype, engine)
    kh, kw, lanes, threads = len(column), len(row), _lanes(name, dtype), get_num_threads()
    group = max(lanes, 8)
    unit, width = (_height(name), 2048) if kw <= NARROW else (group, _wide(dtype, kh + 4 * group))
    blocks = _blocks(y, kh, kw, dtype, lanes, threads, unit, width)
    share = _work(dtype, 2 * (kh + group), (kh + 4 * group) * blocks.pitch + 32 * lanes)
    w = (np.array(column[::-1], dtype), np.array(row, dtype))
    _run(s.filter_separable, (x, *w, y, see.rows, see.cols, *see.inside, see.cval), blocks, dtype, share, threads)


def line(x: Array, weights: Array, sign: int, y: Array, see: Window, engine: str | None = None) -> None:
    """Correlation along one axis in float64, number by number the sums of `scipy.ndimage.correlate1d`.

    The axis is the one whose table is longer than ``y``; ``sign`` 1 or -1 tells that the weights equal plus or
    minus their reverse.
    """
    name, s = steps("float64", engine)
    kh, kw = len(see.rows) - y.shape[0] + 1, len(see.cols) - y.shape[1] + 1
    lanes, threads = _lanes(name, "float64"), get_num_threads()
    width = max(8 * lanes, 4096 // kh) if kh > 1 else 4096  # many rows in the first cache
    blocks = _blocks(y, kh, kw, "float64", lanes, threads, 1, width)
    share = _work("float64", max(kh, kw), (kh + 1) * blocks.pitch)
    w = np.ascontiguousarray(weights, np.float64)
    args = (x, w, y, see.rows, see.cols, *see.inside, see.cval, sign)
    _run(s.filter_line, args, blocks, "float64", share, threads)


def running(x: Array, y: Array, see: Window, engine: str | None = None) -> None:
    """Means along one axis in float64, number by number those of `scipy.ndimage.uniform_filter1d`."""
    name, s = steps("float64", engine)
    kh, kw = len(see.rows) - y.shape[0] + 1, len(see.cols) - y.shape[1] + 1
    lanes, threads = _lanes(name, "float64"), get_num_threads()
    strip, _, pitch = _blocks(y, kh, kw, "float64", lanes, threads, 1, 512 if kh > 1 else 1 << 62)
    share = _work("float64", 0, (kh + 3) * pitch if kh > 1 else 2 * lanes * pitch)
    _run(s.filter_running, (x, y, see.rows, see.cols, *see.inside, see.cval), (strip, pitch), "float64", share, threads)


def split(x: Array, planes: Array, see: Window, engine: str | None = None) -> None:
    """Fill ``planes`` (C, rows, columns) with all that the window shows of an image."""
    threads = get_num_threads()
    share = _work(planes.dtype.name, 0, len(see.cols) * len(planes))
    args = (x, planes, see.rows, see.cols, *see.inside, see.cval)
    _run(steps(planes.dtype.name, engine)[1].filter_split, args, (), planes.dtype.name, share, threads)


def join(planes: Array, y: Array, engine: str | None = None) -> bool:
    """Fill the image ``y`` with planes, rounded and saturated if it holds integers; whether they are all finite."""
    threads = get_num_threads()
    share = _work(planes.dtype.name, 0, y.shape[1] * len(planes))
    done = _run(steps(planes.dtype.name, engine)[1].filter_join, (planes, y), (), planes.dtype.name, share, threads)
    return bool(done)


def _symmetry(kernel: Array) -> int:
    """1 if a kernel equals its mirror image (left and right), -1 if it equals its negative, else 0."""
    mirrored = kernel[:, ::-1]
    if np.array_equal(kernel, mirrored):
        return 1
    return -1 if np.array_equal(kernel, -mirrored) else 0


def factors(kernel: Array, dtype: str) -> tuple[Array, Array] | None:
    """Column and row whose outer product is the kernel to within rounding in ``dtype``; None if there are none."""
    return outer_factors(kernel, 4 * float(np.finfo(dtype).eps))


def computable(dtype: Any) -> bool:
    """Whether the compiled steps read and write this dtype themselves."""
    return dtype in _COMPUTED and dtype.isnative
