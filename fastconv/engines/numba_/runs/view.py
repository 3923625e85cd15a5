"""How blocks meet the source.

A kernel row of kw * c numbers is one run of the image at any stride; with dilation, or in groups, every tap is one.
Rows outside the image are runs left out. Where columns lie outside, a thread copies its band of rows, zeros beside it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...records import RunsPass, places
from ..ground import vector as v
from ..ground.epilogue import activate
from ..ground.memory import address, clear, copy_strided

at = places(RunsPass)


@lru_cache
def nothing(kind, ndim):
    """Stands for an array, of the dtype of character `kind`, that is not there."""
    return np.empty((0,) * ndim, kind)


@v.inline
def ceil(a, b):
    return (a + b - 1) // b


@v.inline
def split(size, parts, k):
    """Where part k of an even split begins."""
    return size * k // parts


@v.inline
def outside(start, step, k):
    """How many of k taps from `start` on lie before 0."""
    return 0 if start >= 0 else min(k, (-start + step - 1) // step)


@v.inline
def inside(start, step, k, size):
    """How many of k taps from `start` on lie before `size`."""
    return 0 if start >= size else min(k, (size - start + step - 1) // step)


@v.copied
def source(r, x, work, copy, n0, n1, i0, i1, j0, j1):
    """The source as outputs [i0, i1) x [j0, j1) of images [n0, n1) read it: in place, or in a copy from work[copy] on.

    Where pixel (0, 0) of image 0 is, even if it is not there; numbers between images, rows, pixels.
    """
    h, w, c = r[at.h], r[at.w], r[at.c]
    if r[at.copied] == 0:
        return address(x, 0), h * w * c, w * c, c
    top, bottom = (
        max(0, r[at.r0] + i0 * r[at.rs]),
        min(h, r[at.r0] + (i1 - 1) * r[at.rs] + (r[at.kh] - 1) * r[at.rd] + 1),
    )
    bottom = max(bottom, top)
    left, right = r[at.c0] + j0 * r[at.cs], r[at.c0] + (j1 - 1) * r[at.cs] + (r[at.kw] - 1) * r[at.cd] + 1
    first = min(max(left, 0), right)  # the columns that there are
    last = max(first, min(right, w))
    row = (right - left) * c
    image = (bottom - top) * row
    for n in range(n0, n1):
        for i in range(top, bottom):
            to, place = copy + (n - n0) * image + (i - top) * row, ((n * h + i) * w + first) * c
            clear(work, to, (first - left) * c)
            copy_strided(work, to + (first - left) * c, x, place, (last - first) * c, 1)
            clear(work, to + (last - left) * c, (right - last) * c)
    return address(work, copy - n0 * image - top * row - left * c), image, row, c


@v.copied
def activate_numbers(y, o, n, code):
    """y[o :+ n] = activation(y[o :+ n])"""
    for k in range(0, n, v.lanes(y)):
        v.store_part(y, o + k, activate(v.load_part(y, o + k, n - k), code), n - k)
