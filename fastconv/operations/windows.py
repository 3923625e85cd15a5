"""The windows of pooling: sizes, and the tables that the loops in engines/ walk them by (pooling/forward.pxi)."""

from __future__ import annotations

from functools import cached_property
from types import NoneType
from typing import Any, NamedTuple

import numpy as np

from ..core.arguments import paddings, pair, step_pair
from ..core.problem import output_size
from ..core.typing import Array, IntPair, Padding
from ..engines.records import PoolWindows, pack

_BAND = 16 << 10  # bytes of rows that a task takes at a time: they stay in the first-level cache
_MOST_TAPS = 1 << 24  # the loops number taps by float32
VECTOR = 16  # numbers of the widest vector
#: columns that the loops take in one piece, or more where windows span more: scratch memory grows with them
LONG = 1 << 16
#: columns from one window to the next from which NumPy's reduction of a window beats vectors of neighbours
WIDE = 256
_LINE = 128  # columns that the loops over channels-last arrays buffer, if windows share them


class Axis(NamedTuple):
    """Windows along one axis: n of k pixels, ``dilation`` apart."""

    size: int
    k: int
    stride: int
    before: int
    after: int
    dilation: int
    n: int

    @property
    def span(self) -> int:
        """Pixels from the first of a window to behind its last."""
        return self.dilation * (self.k - 1) + 1

    @property
    def most(self) -> int:
        """Pixels and windows that the loops take in one piece."""
        return max(LONG, 2 * self.span)

    @property
    def is_long(self) -> bool:
        """Whether the axis is cut into pieces."""
        return max(self.size, self.n) > self.most

    @property
    def is_wide(self) -> bool:
        """Whether each window is worth a reduction of its own."""
        apart = self.stride if self.n > 1 else self.k // 4
        return self.k > LONG or (apart >= WIDE and max(self.k, self.stride) > 1)

    def extents(self, dtype: Any, include_pad: bool) -> Array:
        """Pixels that each window spans: those of the image, and on demand those of the padding."""
        first = np.arange(self.n) * self.stride - self.before
        last = np.minimum(first + self.k, self.size + self.after)
        found: Array = last - first if include_pad else np.minimum(last, self.size) - np.maximum(first, 0)
        return found.astype(dtype)


class Windows:
    """Windows on a plane, and how the loops walk them.

    Attributes
    ----------
    rows, cols : Axis
    wide, long : bool
        Whether windows are wide, and rows long (see `Axis`).
    by_channels : bool
        Whether the loops over channels-last arrays are for them.
    out : (OH, OW)
    record : ndarray
        Both, as the loops take them: `engines.records.PoolWindows`.
    per_thread : int
        Numbers of scratch memory.
    """

    def __init__(self, rows: Axis, cols: Axis) -> None:
        self.rows, self.cols, self.out = rows, cols, (rows.n, cols.n)
        self.wide, self.long = cols.is_wide, cols.is_long
        shared = cols.n > 1 and cols.k >= 2 * cols.stride
        self.by_channels = not (self.wide or self.long or (shared and cols.span > _LINE // 2))
        self._counts: dict[Any, tuple[Array, Array]] = {}
        w, ow, kw, sw, dw, pl = cols.size, cols.n, cols.k, cols.stride, cols.dilation, cols.before
        left = -(-max(pl, kw - 1) // sw)
        fits = max(-(-ow // VECTOR), -(-w // sw // VECTOR)) * VECTOR
        width = left + fits + (max(dw * (kw - 1), pl) + sw) // sw + 2 * VECTOR
        row = max(w, ow) + 2 * VECTOR
        band = max(1, _BAND // (4 * max(w, ow)))
        self.per_thread = -(-(sw * width + width + 3 * row) // VECTOR) * VECTOR
        sizes = left, width, row, band, self.per_thread
        self._left, self._width = left, width
        self.record = pack(PoolWindows(rows.k, kw, rows.stride, sw, rows.before, pl, rows.dilation, dw, *sizes))

    @cached_property
    def taps(self) -> Array:
        """Where each tap of a kernel row stands in the loops' line, (KW,) intp."""
        c, left, width = self.cols, self._left, self._width
        t = np.arange(c.k, dtype=np.intp) * c.dilation - c.before
        return t % c.stride * width + left + t // c.stride

    @property
    def offsets(self) -> Array:
        """Flat distance of each tap from the corner of its window, (KH * KW,) intp."""
        r, c = self.rows, self.cols
        if r.k * c.k > _MOST_TAPS:
            raise ValueError(f"kernel_size must have at most 2**24 pixels to find the largest, got {r.k} x {c.k}")
        down = np.arange(r.k, dtype=np.intp) * (r.dilation * c.size)
        return np.add.outer(down, np.arange(c.k, dtype=np.intp) * c.dilation).ravel()

    def counts(self, dtype: Any, include_pad: bool) -> tuple[Array, Array]:
        """Rows and columns of the windows, as divisors; a vector of ones follows the columns."""
        found = self._counts.get((dtype, include_pad))
        if found is None:
            cols = np.append(self.cols.extents(dtype, include_pad), np.ones(VECTOR, dtype))
            found = self._counts[dtype, include_pad] = self.rows.extents(dtype, include_pad), cols
        return found


def windows_of(
    size: tuple[int, int],
    kernel_size: IntPair,
    stride: IntPair | None,
    padding: Padding,
    dilation: IntPair,
    ceil_mode: bool,
) -> Windows:
    """The checked geometry of a call; those of plain integers are looked up."""
    key = size, kernel_size, stride, padding, dilation, ceil_mode
    plain = type(kernel_size) is type(padding) is type(dilation) is int and type(stride) in (int, NoneType)
    if plain and key in _known:
        return _known[key]
    k = pair("kernel_size", kernel_size, 1)
    s = k if stride is None else step_pair("stride", stride)
    d = step_pair("dilation", dilation)
    heights, widths = tuple(zip(size, k, s, d, strict=True))
    pads = paddings(padding, (heights, widths))
    ceil = bool(ceil_mode)
    geo = Windows(_axis("height", *heights, pads[0], ceil), _axis("width", *widths, pads[1], ceil))
    if plain and not geo.long and not geo.rows.is_long:
        if len(_known) >= 256:
            _known.clear()
        _known[key] = geo
    return geo


_known: dict[tuple[Any, ...], Windows] = {}


def _axis(name: str, size: int, k: int, stride: int, dilation: int, pads: tuple[int, int], ceil_mode: bool) -> Axis:
    span = dilation * (k - 1) + 1
    for p in pads:
        if p >= span:
            raise ValueError(f"padding must be below the {name} of the window, {span}, got {p}")
    if size + sum(pads) < span:
        raise ValueError(f"kernel_size is larger than the padded x: {name} {span} of {size} + {sum(pads)} pixels")
    n = output_size(size, k, stride, sum(pads), dilation)
    if ceil_mode and (n - 1) * stride + span < size + sum(pads) and n * stride < size + pads[0]:
        n += 1
    return Axis(size, k, stride if n > 1 else 1, *pads, dilation if k > 1 else 1, n)
