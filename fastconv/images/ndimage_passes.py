"""Passes along the axes of an array in float64, number by number those of SciPy, ready to be called again.

An array of any rank is an image to the steps. Along axis k it is (A, L, B): A rows of L columns with B channels. That
is one call for a whole stack of small planes; where a plane fills the cache, each is an image (L, B, 1) of its own.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..core import workspace
from ..core.typing import Array
from ..engines import loader
from . import filtering
from .filtering import Window
from .ndimage_calls import Line, Odd

#: numbers of planes that are filtered together, so that what lies between two passes stays in the cache
TOGETHER = 1 << 18
#: numbers of a plane up to which a stack's planes are rows of one image
PLANE = 4096
#: products up to which one thread is faster than two
SERIAL = 1 << 16
#: numbers of a row up to which many rows, at least TALL, are filtered as columns
NARROW = 12
TALL = 512
#: numbers of a row from which on running sums buffer more than the image holds
LONGEST = 1 << 16
#: running sums side by side from which on vectors pay, if they are long: for vectors of 64 bytes, and for others; where
#: SciPy would have to do all passes of a filter, two are enough
FEW = 7, 3
TWO = 2
EPSILON = np.finfo(np.float64).eps


#: one array to another of the same shape
Pass: TypeAlias = filtering.Bound


def prepared(
    step: str, output: tuple[int, ...], see: Window, dtype: str, sign: int, threads: int, *weights: Array
) -> Pass:
    """A step of the engine with all but its images: (H, W, C) to (OH, OW, C)."""
    kh, kw = len(see.rows) - output[0] + 1, len(see.cols) - output[1] + 1
    threads = threads if prod(output) * (kh * kw if step == "direct" else kh + kw) > SERIAL else 1
    return filtering.bind(step, weights, output, see, dtype, sign=sign, threads=threads)


def along(shape: tuple[int, ...], line: Line, threads: int, alone: bool = True) -> Pass:
    """The pass along one axis of an array of ``shape``; ``alone``: it is all of a filter."""
    a, n, b = prod(shape[: line.axis]), shape[line.axis], prod(shape[line.axis + 1 :])
    if line.weights is None and _scipys_mean(a, n, b, line.size, alone):
        raise Odd
    if a == 1 and (b > NARROW or (line.weights is None and not _side_by_side(n, b))):
        return _down(n, b, line, threads)
    if b == 1 or n * b <= PLANE or a == 1:
        image = a, n, b
        see = filtering.window(image, (0, line.first), (a, n + line.size - 1), (line.mode, line.mode), line.cval)
        return _step(line, image, see, threads)
    return partial(each_plane, _down(n, b, line, threads), a)


def _scipys_mean(a: int, n: int, b: int, size: int, alone: bool) -> bool:
    """Whether SciPy's loop takes less time for running means (few long sums), or less memory (long rows)."""
    few = FEW[loader.vector_bytes() < 64] if alone else TWO
    return size == 1 or size > LONGEST or (a * b < few and n > 256) or (b == 1 and n > LONGEST)


def _side_by_side(n: int, b: int) -> bool:
    """Whether b running sums of n numbers, which lie side by side, fill vectors as they lie, but no row of blocks."""
    return loader.vector_bytes() // 8 <= b <= NARROW and TALL <= n <= LONGEST


def _down(n: int, b: int, line: Line, threads: int) -> Pass:
    image = n, b, 1
    see = filtering.window(image, (line.first, 0), (n + line.size - 1, b), (line.mode, line.mode), line.cval)
    return _step(line, image, see, threads)


def _step(line: Line, image: tuple[int, ...], see: Window, threads: int) -> Pass:
    if line.weights is None:
        return prepared("running", image, see, "float64", 0, threads)
    weights = np.ascontiguousarray(line.weights)
    return prepared("line", image, see, "float64", sign_of(weights), threads, weights)


def each_plane(plane: Pass, a: int, x: Array, y: Array) -> None:
    """The same for each of ``a`` planes."""
    for source, result in zip(x.reshape(a, -1), y.reshape(a, -1), strict=True):
        plane(source, result)


def sign_of(weights: Any) -> int:
    """1 or -1 for weights that SciPy takes for (anti-)symmetric: an odd number of them, equal to within epsilon."""
    if len(weights) % 2 == 0:
        return 0
    left, right = weights[: len(weights) // 2], weights[: len(weights) // 2 : -1]
    if (np.abs(left - right) <= EPSILON).all():
        return 1
    return -1 if (np.abs(left + right) <= EPSILON).all() else 0


def as_c_casts(y: Any, dtype: Any) -> Any:
    """Another dtype; whole numbers by way of 32 bits where these hold all of it: that matters out of range."""
    if y.dtype.kind != "f" or dtype.kind not in "iu":
        return y.astype(dtype, copy=False)
    with np.errstate(invalid="ignore"):
        return y.astype(np.int32 if np.can_cast(dtype, np.int32) else np.int64).astype(dtype, copy=False)


def readable(one: Pass, read: Any, to: Any) -> Pass:
    """A pass for arrays of any dtypes: what steps cannot read or write goes through float64, as SciPy does it."""
    return one if filtering.computable(read) and filtering.computable(to) else partial(_through_float64, one)


def _through_float64(one: Pass, x: Array, y: Array) -> None:
    x = x if filtering.computable(x.dtype) else x.astype(np.float64)
    if filtering.computable(y.dtype):
        one(x, y)
        return
    sums = np.empty(y.shape)
    one(x, sums)
    y[...] = as_c_casts(sums, y.dtype)


def chain(shape: tuple[int, ...], lines: list[Line], read: Any, to: Any, threads: int) -> Pass:
    """Passes one after the other, each rounded to the dtype of the result as SciPy does."""
    reads = [read, *(to for _ in lines)]
    alone = len(lines) == 1
    passes = [
        readable(along(shape, line, threads, alone), dtype, to) for line, dtype in zip(lines, reads, strict=False)
    ]
    return passes[0] if len(passes) == 1 else partial(_in_turn, passes)


def _in_turn(passes: list[Pass], x: Array, y: Array) -> None:
    room = workspace.borrow("uint8", y.nbytes)
    between = room[: y.nbytes].view(y.dtype).reshape(y.shape)
    try:
        left = len(passes)
        for one in passes:
            to = y if left % 2 else between
            one(x, to)
            x, left = to, left - 1
    finally:
        workspace.give_back("uint8", room)
