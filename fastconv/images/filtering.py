"""Image filters over the engines: strips and bands, scratch memory, what `filter2d`, `ndimage` and `signal` share.

An image is (H, W, C) here, its borders are a `Window`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from ..core import workspace
from ..core.rank_one import outer_factors
from ..core.threads import get_num_threads
from ..core.typing import Array
from ..core.vectors import registers
from ..engines import loader
from ..engines.records import FilterTasks, pack
from .window import Window as Window
from .window import window as window

if TYPE_CHECKING:
    from ..engines.kernels import Kernels

#: bytes of bordered rows that a thread keeps: they should stay in its cache
RING_BYTES = 400_000
#: columns of a kernel up to which transposed blocks do not pay, by bytes of a vector
NARROW = {64: 21, 32: 5, 16: 11}
#: multiplications from which on a second thread pays
_SHORT = 1 << 20
#: numbers up to which a sum of squares takes less time than a sum that is not to warn
_QUICK = 1 << 13
_COMPUTED = {np.dtype(t) for t in (np.uint8, np.uint16, np.int16, np.float32, np.float64)}
#: SciPy's names of borders: their names here (see `core.borders`)
MODES = {
    "reflect": "symmetric", "grid-mirror": "symmetric", "mirror": "reflect", "nearest": "replicate",
    "wrap": "circular", "grid-wrap": "circular", "constant": "zeros", "grid-constant": "zeros",
}  # fmt: skip


def steps(dtype: str, engine: str | None = None) -> tuple[str, Kernels]:
    """The engine in use and its steps: compiled ones where they are built."""
    engine = engine or ("numba" if loader.absent("cython") else "cython")
    return engine, loader.unrecorded(engine, dtype)


def _height(vector: int) -> int:
    """Rows of a block, FILTER_ROWS of the steps."""
    return 6 if registers(vector) == 32 else 4


class _Shape(NamedTuple):
    """What the cut depends on."""

    image: tuple[int, int]
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
        bands = 1 if self.threads == 1 else max(1, 4 * self.threads // max(1, min(strips, self.threads)))
        band = -(-max(1, -(-oh // bands)) // unit) * unit
        pitch = (-(-((strip + self.kw - 1) * c) // lanes) + 15) * lanes
        if pitch * np.dtype(self.dtype).itemsize % 4096 == 0:  # rows must not share their places in the cache
            pitch += lanes
        return strip, band, pitch


@lru_cache(1024)
def _tasks(step: str, s: _Shape) -> tuple[Array, int]:
    """The record of a step, and bytes of scratch memory."""
    (h, w), (oh, ow, c), kh, kw, lanes = s.image, s.output, s.kh, s.kw, s.lanes
    room, at, group = workspace.Scratch(s.dtype), dict.fromkeys(FilterTasks._fields[13:], 0), max(s.lanes, 8)

    def book(pointers: int = 0, **rows: int) -> None:
        """Pointers, and parts of so many rows."""
        room.book("pointers", pointers * 8 // np.dtype(s.dtype).itemsize)
        for name, n in rows.items():
            at[name] = room.book(name, n, pitch)

    if step == "direct":
        strip, band, pitch = s.cut(_height(s.vector), s.wide(kh + 5))
        book(2 * (kh + 5), ring=kh + 5, results=6)
    elif step == "separable" and (kw <= NARROW[s.vector] or s.output[0] <= group // 2):  # few rows fill no lanes
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
    cut = FilterTasks(h, w, oh, ow, c, kh, kw, *s.inside, s.sign, strip, band, pitch, **at)
    return pack(cut), room.nbytes * s.threads


#: a step with all its arguments but the image and the result, which may have any shapes of so many numbers
Bound: TypeAlias = Callable[[Array, Array], Any]


def bind(
    step: str,
    weights: tuple[Array, ...],
    output: tuple[int, ...],
    see: Window | None,
    dtype: str,
    engine: str | None = None,
    sign: int = 0,
    threads: int | None = None,
) -> Bound:
    """A step with its weights, window, record and scratch memory; without ``threads`` small work has one thread."""
    name, kernels = steps(dtype, engine)
    kh, kw, inside, image = 1, 1, (0, 0), (output[0], output[1])
    shown: tuple[Any, ...] = ()
    if see is not None:
        kh, kw = len(see.rows) - output[0] + 1, len(see.cols) - output[1] + 1
        inside, image = see.inside, see.image
        shown = see.rows, see.cols, see.cval
    if threads is None:
        taps = kh * kw if step == "direct" else kh + kw
        threads = 1 if math.prod(output) * max(taps, 8) < _SHORT else get_num_threads()
    cut = _Shape(image, output, kh, kw, inside, sign, dtype, loader.vector_bytes(name), threads)
    record, nbytes = _tasks(step, cut)
    run, borrow, give_back = getattr(kernels, f"filter_{step}"), workspace.borrow, workspace.give_back

    def bound(x: Array, y: Array) -> Any:
        work = borrow(dtype, nbytes)
        try:
            return run(x, *weights, y, *shown, work, record, threads)
        finally:
            give_back(dtype, work)

    def small(x: Array, y: Array) -> Any:
        try:
            work = spare.pop()
        except IndexError:
            work = workspace.aligned(dtype, workspace.SMALL)
        try:
            return run(x, *weights, y, *shown, work, record, 1)
        finally:
            spare.append(work)

    spare = workspace.spare(dtype)
    return small if threads == 1 and nbytes <= workspace.SMALL else bound


def bind_direct(kernel: Array, output: tuple[int, ...], see: Window, dtype: str, engine: str | None = None) -> Bound:
    """What fills ``y`` (OH, OW, C) with the correlation of ``x`` (H, W, C) with ``kernel`` (KH, KW).

    float64 sums are those of plain C in raster order, number by number. float32 kernels that equal their mirror
    image, or its negative, take half the multiplications.
    """
    kernel = kernel.astype(np.float64, copy=False)
    kw, tall = kernel.shape[1], len(kernel) >= _height(loader.vector_bytes(steps(dtype, engine)[0]))
    sign = _symmetry(kernel) if dtype == "float32" and tall else 0
    w = np.array(kernel.T[: (kw + 1) // 2 if sign else kw, ::-1], dtype, order="C")
    if sign and kw % 2:
        w[-1] /= 2
    return bind("direct", (w,), output, see, dtype, engine, sign)


def bind_separable(
    column: Array, row: Array, output: tuple[int, ...], see: Window, dtype: str, engine: str | None = None
) -> Bound:
    """The same for the kernel ``outer(column, row)``: sums along columns of a few rows, then along those rows."""
    weights = np.array(column[::-1], dtype), np.array(row, dtype)
    return bind("separable", weights, output, see, dtype, engine)


def direct(x: Array, kernel: Array, y: Array, see: Window, dtype: str, engine: str | None = None) -> None:
    """Fill ``y`` as `bind_direct` says, computed in ``dtype``."""
    bind_direct(kernel, y.shape, see, dtype, engine)(x, y)


def separable(
    x: Array, column: Array, row: Array, y: Array, see: Window, dtype: str, engine: str | None = None
) -> None:
    """Fill ``y`` as `bind_separable` says, computed in ``dtype``."""
    bind_separable(column, row, y.shape, see, dtype, engine)(x, y)


def line(x: Array, weights: Array, sign: int, y: Array, see: Window, engine: str | None = None) -> None:
    """Correlation along one axis in float64, number by number the sums of `scipy.ndimage.correlate1d`.

    The axis is the one whose table is longer than ``y``; ``sign`` 1 or -1 tells that the weights equal plus or
    minus their reverse.
    """
    bind("line", (np.ascontiguousarray(weights, np.float64),), y.shape, see, "float64", engine, sign)(x, y)


def running(x: Array, y: Array, see: Window, engine: str | None = None) -> None:
    """Means along one axis in float64, number by number those of `scipy.ndimage.uniform_filter1d`."""
    bind("running", (), y.shape, see, "float64", engine)(x, y)


def split(x: Array, planes: Array, see: Window, engine: str | None = None) -> None:
    """Fill ``planes`` (C, rows, columns) with all that the window shows of an image."""
    c, rows, columns = planes.shape
    bind("split", (), (rows, columns, c), see, planes.dtype.name, engine)(x, planes)


def join(planes: Array, y: Array, engine: str | None = None) -> bool:
    """Fill the image ``y`` with planes, rounded and saturated if it holds integers; whether they are all finite."""
    return bool(bind("join", (), y.shape, None, planes.dtype.name, engine)(planes, y))


def finite(a: Array) -> bool:
    """Whether all numbers are finite, and not so large that their sum is not."""
    if a.size <= _QUICK and a.flags.c_contiguous:
        flat = a.ravel()
        if math.isfinite(flat.dot(flat)):
            return True
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(a.sum()))


def _symmetry(kernel: Array) -> int:
    """1 if a kernel equals its mirror image (left and right), -1 if it equals its negative, else 0."""
    mirrored = kernel[:, ::-1]
    if np.array_equal(kernel, mirrored):
        return 1
    return -1 if np.array_equal(kernel, -mirrored) else 0


def factors(kernel: Array, dtype: str) -> tuple[Array, Array] | None:
    """Column and row whose outer product is the kernel to within rounding in ``dtype``; None if there are none."""
    return outer_factors(kernel, 4 * float(np.finfo(dtype).eps))


def readable(a: Array, dtype: Any) -> Array:
    """``a`` as the steps read it: C-contiguous, aligned, native, of ``dtype``."""
    flags = a.flags
    if a.dtype == dtype and flags.c_contiguous and flags.aligned and dtype.isnative:
        return a
    return np.require(a, dtype, ("C", "A"))


def computable(dtype: Any) -> bool:
    """Whether the compiled steps read and write this dtype themselves."""
    return dtype in _COMPUTED and dtype.isnative
