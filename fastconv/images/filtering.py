"""Image filters over the engines: tables of borders, strips and bands, scratch memory, the choice of an algorithm.

What `filter2d`, `ndimage` and `signal` share. An image is (H, W, C) here, and a border is two tables: the image
row (column) of every row (column) that some output needs, -1 for ``cval``. A table may begin and end anywhere, so
that every size of output and any kernel larger than the image are the same thing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core import workspace
from ..core.borders import sources
from ..core.rank_one import outer_factors
from ..core.threads import get_num_threads
from ..core.typing import Array
from ..engines import loader
from ..engines.records import FilterTasks, pack

if TYPE_CHECKING:
    from ..engines.kernels import Kernels

#: bytes of bordered rows that a thread keeps: they should stay in its cache
RING_BYTES = 400_000
#: columns of a kernel up to which transposed blocks do not pay, by bytes of a vector
NARROW = {64: 21, 32: 11, 16: 11}
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


def _height(vector: int) -> int:
    """Rows of a block, FILTER_ROWS of the steps."""
    return 6 if vector == 64 else 4


class _Shape(NamedTuple):
    """What the cut depends on."""

    output: tuple[int, ...]
    kh: int
    kw: int
    inside: tuple[int, int]
    sign: int
    dtype: str
    vector: int  # bytes of a vector of the engine
    threads: int

    @property
    def lanes(self) -> int:
        return self.vector // np.dtype(self.dtype).itemsize

    def wide(self, rows: int) -> int:
        """Numbers of a row so that so many stay in the cache."""
        return max(1024, RING_BYTES // np.dtype(self.dtype).itemsize // rows)

    def cut(self, unit: int, width: int) -> tuple[int, int, int]:
        """Columns of a task, about `width` numbers; its rows, whole blocks of `unit`, four a thread; and the pitch."""
        oh, ow, c = self.output
        lanes, strip = self.lanes, min(max(width // c, 1), ow)
        strips = -(-ow // strip)
        if strips > 1:
            strip = -(-ow // strips)
            strip = min(ow, -(-strip // lanes) * lanes)
        bands = max(1, 4 * self.threads // max(1, min(strips, self.threads)))
        band = -(-max(1, -(-oh // bands)) // unit) * unit
        pitch = (-(-((strip + self.kw - 1) * c) // lanes) + 15) * lanes
        if pitch * np.dtype(self.dtype).itemsize % 4096 == 0:  # rows must not share their places in the cache
            pitch += lanes
        return strip, band, pitch


@lru_cache(1024)
def _tasks(step: str, s: _Shape) -> tuple[Array, int]:
    """The record of a step, and bytes of scratch memory."""
    (_, ow, c), kh, kw, lanes = s.output, s.kh, s.kw, s.lanes
    room, at, group = workspace.Scratch(s.dtype), dict.fromkeys(FilterTasks._fields[8:], 0), max(s.lanes, 8)

    def book(pointers: int = 0, **rows: int) -> None:
        """Pointers, and parts of so many rows."""
        room.book("pointers", pointers * 8 // np.dtype(s.dtype).itemsize)
        for name, n in rows.items():
            at[name] = room.book(name, n, pitch)

    if step == "direct":
        strip, band, pitch = s.cut(_height(s.vector), s.wide(kh + 5))
        book(2 * (kh + 5), ring=kh + 5, results=6)
    elif step == "separable" and kw <= NARROW[s.vector]:
        strip, band, pitch = s.cut(_height(s.vector), 2048)
        book(2 * (kh + 5), ring=kh + 5, sums=6, results=6)
    elif step == "separable":
        strip, band, pitch = s.cut(group, s.wide(kh + 4 * group))
        book(2 * (kh + group), ring=kh + group, sums=group, results=group, lines=group)
    elif step == "line":
        strip, band, pitch = s.cut(1, max(8 * lanes, 4096 // kh) if kh > 1 else 4096)  # many rows in the first cache
        book(max(kh, kw), ring=kh, results=1)
    elif step == "running":
        strip, band, pitch = s.cut(s.output[0], 512 if kh > 1 else 1 << 62)  # all rows: their sums go on
        book(0, **{"ring": kh + 1, "sums": 1, "results": 1} if kh > 1 else {"ring": lanes, "lines": lanes})
    else:  # split and join
        strip, band, pitch = ow, -(-s.output[0] // (4 * s.threads)), ow * c
        book(0, ring=1)
    at["block"] = room.book("block", 32, lanes)
    at["per_thread"] = room.numbers
    return pack(FilterTasks(kh, kw, *s.inside, s.sign, strip, band, pitch, **at)), room.nbytes * s.threads


def _run(
    step: str,
    arrays: tuple[Array, ...],
    output: tuple[int, ...],
    see: Window | None,
    dtype: str,
    engine: str | None = None,
    sign: int = 0,
) -> Any:
    """Run a step on its arrays and the window, if it has one."""
    name, kernels = steps(dtype, engine)
    threads, kh, kw, inside = get_num_threads(), 1, 1, (0, 0)
    shown: tuple[Any, ...] = ()
    if see is not None:
        kh, kw, inside = len(see.rows) - output[0] + 1, len(see.cols) - output[1] + 1, see.inside
        shown = see.rows, see.cols, see.cval
    record, nbytes = _tasks(step, _Shape(output, kh, kw, inside, sign, dtype, loader.vector_bytes(name), threads))
    work = workspace.borrow(dtype, nbytes)
    try:
        return getattr(kernels, f"filter_{step}")(*arrays, *shown, work, record, threads)
    finally:
        workspace.give_back(dtype, work)


def direct(x: Array, kernel: Array, y: Array, see: Window, dtype: str, engine: str | None = None) -> None:
    """Fill ``y`` (OH, OW, C) with the correlation of ``x`` (H, W, C) with ``kernel`` (KH, KW), computed in ``dtype``.

    float64 sums are those of plain C in raster order, number by number. float32 kernels that equal their mirror
    image, or its negative, take half the multiplications.
    """
    kw, tall = kernel.shape[1], len(kernel) >= _height(loader.vector_bytes(steps(dtype, engine)[0]))
    sign = _symmetry(kernel) if dtype == "float32" and tall else 0
    w = np.array(kernel.T[: (kw + 1) // 2 if sign else kw, ::-1], dtype, order="C")
    if sign and kw % 2:
        w[-1] /= 2
    _run("direct", (x, w, y), y.shape, see, dtype, engine, sign)


def separable(
    x: Array, column: Array, row: Array, y: Array, see: Window, dtype: str, engine: str | None = None
) -> None:
    """The same for the kernel ``outer(column, row)``: sums along columns of a few rows, then along those rows."""
    _run("separable", (x, np.array(column[::-1], dtype), np.array(row, dtype), y), y.shape, see, dtype, engine)


def line(x: Array, weights: Array, sign: int, y: Array, see: Window, engine: str | None = None) -> None:
    """Correlation along one axis in float64, number by number the sums of `scipy.ndimage.correlate1d`.

    The axis is the one whose table is longer than ``y``; ``sign`` 1 or -1 tells that the weights equal plus or
    minus their reverse.
    """
    _run("line", (x, np.ascontiguousarray(weights, np.float64), y), y.shape, see, "float64", engine, sign)


def running(x: Array, y: Array, see: Window, engine: str | None = None) -> None:
    """Means along one axis in float64, number by number those of `scipy.ndimage.uniform_filter1d`."""
    _run("running", (x, y), y.shape, see, "float64", engine)


def split(x: Array, planes: Array, see: Window, engine: str | None = None) -> None:
    """Fill ``planes`` (C, rows, columns) with all that the window shows of an image."""
    c, rows, columns = planes.shape
    _run("split", (x, planes), (rows, columns, c), see, planes.dtype.name, engine)


def join(planes: Array, y: Array, engine: str | None = None) -> bool:
    """Fill the image ``y`` with planes, rounded and saturated if it holds integers; whether they are all finite."""
    return bool(_run("join", (planes, y), y.shape, None, planes.dtype.name, engine))


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
