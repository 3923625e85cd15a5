"""The windows of pooling: sizes, and the tables that the loops in engines/ walk them by (pooling.pxi)."""

from __future__ import annotations

from types import NoneType
from typing import Any, NamedTuple

import numpy as np

from ..core.problem import output_size, paddings, pair
from ..engines.records import PoolWindows, pack

_BAND = 16 << 10  # bytes of rows that a task takes at a time: they stay in the first-level cache
_MOST_TAPS = 1 << 24  # the loops number taps by float32
_VECTOR = 16  # numbers of the widest vector


class Windows(NamedTuple):
    """Windows on a plane, and how the loops walk them."""

    out: tuple[int, int]
    record: Any  # engines.records.PoolWindows, as steps take it
    taps: Any
    pitch: int  # of the plane: its width
    kh: int
    kw: int
    dh: int
    dw: int
    per_thread: int  # numbers of scratch memory
    counts: dict[Any, Any]  # by dtype and whether padding counts: rows and columns of the windows, as divisors

    @property
    def offsets(self) -> Any:
        """Flat distance of each tap from the corner of its window, (KH * KW,) intp."""
        kh, kw = self.kh, self.kw
        if kh * kw > _MOST_TAPS:
            raise ValueError(f"kernel_size must have at most 2**24 pixels to find the largest, got {kh} x {kw}")
        return np.add.outer(np.arange(kh) * (self.dh * self.pitch), np.arange(kw) * self.dw).ravel()


def windows_of(
    size: tuple[int, int], kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any
) -> Windows:
    """The checked geometry of a call; those of plain integers are looked up."""
    key = size, kernel_size, stride, padding, dilation, ceil_mode
    plain = type(kernel_size) is type(padding) is type(dilation) is int and type(stride) in (int, NoneType)
    if plain and key in _known:
        return _known[key]
    k = pair("kernel_size", kernel_size, 1)
    s = k if stride is None else pair("stride", stride, 1)
    d = pair("dilation", dilation, 1)
    pads = paddings(padding, tuple(zip(size, k, s, d, strict=True)))
    geo = _windows(size, k, s, pads, d, bool(ceil_mode))
    if plain:
        if len(_known) >= 256:
            _known.clear()
        _known[key] = geo
    return geo


_known: dict[tuple[Any, ...], Windows] = {}


def _windows(
    size: tuple[int, int], k: tuple[int, int], s: tuple[int, int], pads: Any, d: tuple[int, int], ceil_mode: bool
) -> Windows:
    w, (kh, kw), (sh, sw), (dh, dw), pl = size[1], k, s, d, pads[1][0]
    axes, ceil = ("height", "width"), (ceil_mode, ceil_mode)
    oh, ow = (_outputs(*axis) for axis in zip(axes, size, k, s, pads, d, ceil, strict=True))
    left = -(-max(pl, kw - 1) // sw)
    taps = [v * dw - pl for v in range(kw)]
    fits = max(-(-ow // _VECTOR), -(-w // sw // _VECTOR)) * _VECTOR
    width = left + fits + (max(dw * (kw - 1), pl) + sw) // sw + 2 * _VECTOR
    row = max(w, ow) + 2 * _VECTOR
    band = max(1, _BAND // (4 * max(w, ow)))
    per_thread = -(-(sw * width + width + 3 * row) // _VECTOR) * _VECTOR
    rows, cols = (_extents(*axis) for axis in zip((oh, ow), size, k, s, pads, strict=True))
    counts = {
        (dtype, include): (rows[include].astype(dtype), np.append(cols[include], np.ones(_VECTOR)).astype(dtype))
        for dtype in (np.dtype(np.float32), np.dtype(np.float64))
        for include in (False, True)
    }
    return Windows(
        (oh, ow),
        pack(PoolWindows(kh, kw, sh, sw, pads[0][0], pl, dh, dw, left, width, row, band, per_thread)),
        np.array([t % sw * width + left + t // sw for t in taps], np.intp),
        w,
        kh,
        kw,
        dh,
        dw,
        per_thread,
        counts,
    )


def _outputs(axis: str, size: int, k: int, stride: int, pads: tuple[int, int], dilation: int, ceil_mode: bool) -> int:
    """How many windows there are along an axis."""
    span = dilation * (k - 1) + 1
    for p in pads:
        if p >= span:
            raise ValueError(f"padding must be below the {axis} of the window, {span}, got {p}")
    if size + sum(pads) < span:
        raise ValueError(f"kernel_size is larger than the padded x: {axis} {span} of {size} + {sum(pads)} pixels")
    n = output_size(size, k, stride, sum(pads), dilation)
    if ceil_mode and (n - 1) * stride + span < size + sum(pads) and n * stride < size + pads[0]:
        n += 1
    return n


def _extents(n: int, size: int, k: int, stride: int, pads: tuple[int, int]) -> tuple[Any, Any]:
    """Pixels that each window spans along an axis: those of the image, and those of image and padding."""
    first = np.arange(n) * stride - pads[0]
    last = np.minimum(first + k, size + pads[1])
    return np.minimum(last, size) - np.maximum(first, 0), last - first
