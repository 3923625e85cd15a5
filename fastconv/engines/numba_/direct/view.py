"""How blocks meet the source.

A kernel row of kw * c numbers is one run of the image at any stride; with dilation, or in groups, every tap is one.
Rows outside the image are runs left out. Where columns lie outside, a thread copies its band of rows, zeros beside it;
so it does where channels are planes, whose blocks are turned.
"""

from __future__ import annotations

from ..ground import vector as v
from ..ground.epilogue import activate
from ..ground.memory import address, clear, copy_strided
from ..ground.transpose import load_block, load_every_other
from .numbers import at, ceil
from .pack import store_walk


@v.copied
def _copy_row(r, x, n, i, first, last, work, to):
    """Columns [first, last) of a row, channels last; behind them some numbers may be spoilt."""
    c, step, plane, L = r[at.c], r[at.pick], r[at.xplane], v.lanes(work)
    if plane == 0:
        copy_strided(work, to, x, ((n * r[at.h] + i) * r[at.w] + first) * c, (last - first) * c, 1)
        return
    place, pixels = n * c * plane + i * r[at.w] + first, ceil(last - first, step)
    for q in range((c - 1) // L, -1, -1):  # the last, which may spoil others, first
        from_, rows = place + q * L * plane, c - q * L
        if step > 2:
            for j in range(min(L, rows)):
                for k in range(pixels):
                    v.put(work, to + q * L + k * c + j, v.at(x, from_ + j * plane + k * step))
            continue
        for k in range(0, pixels, L):
            if step == 1:
                block = v.transpose(load_block(x, from_ + k, plane, rows, pixels - k))
            else:
                block = v.transpose(load_every_other(x, from_ + 2 * k, plane, rows, pixels - k))
            store_walk(work, to + q * L + k * c, c, 0, pixels + L, 0, pixels - k, block)


@v.copied
def source(r, x, work, copy, n0, n1, i0, i1, j0, j1):
    """The source as outputs [i0, i1) x [j0, j1) of any phase, of images [n0, n1), read it: in place, or in a copy from
    work[copy] on.

    Where pixel (0, 0) of image 0 is, even if it is not there; numbers between images, rows, pixels, and between the
    pixels of neighbouring outputs.
    """
    h, w, c, pick = r[at.h], r[at.w], r[at.c], r[at.pick]
    over = r[at.cs] // pick * c
    if r[at.copied] == 0:
        return address(x, 0), h * w * c, w * c, c, over
    top = max(0, r[at.r0] + i0 * r[at.rs])
    bottom = max(top, min(h, r[at.r0] + (i1 - 1) * r[at.rs] + r[at.high]))
    left, right = r[at.c0] + j0 * r[at.cs], r[at.c0] + (j1 - 1) * r[at.cs] + r[at.wide]
    first = min(max(left, 0), right)  # the columns that there are
    last = max(first, min(right, w))
    row = ((right - left - 1) // pick + 1) * c
    image = (bottom - top) * row
    gaps = r[at.xplane] == 0 or left != 0 or right != w or pick > 1 or (r[at.high] == 1 and r[at.rs] > 1)
    for n in range(n0, n1):
        to = copy + (n - n0) * image
        if not gaps:
            _copy_row(r, x, n, top, 0, (bottom - top) * w, work, to)
            continue
        for i in range(top, bottom):
            if r[at.high] > 1 or (i - r[at.r0]) % r[at.rs] == 0:  # else a row that no tap meets
                clear(work, to, (first - left) * c)
                if first < last:
                    _copy_row(r, x, n, i, first, last, work, to + (first - left) * c)
                clear(work, to + (last - left) * c, (right - last) * c)
            to += row
    return address(work, copy - n0 * image - top * row - left // pick * c), image, row, c, over


@v.copied
def activate_numbers(y, o, n, code):
    """y[o :+ n] = activation(y[o :+ n])"""
    for k in range(0, n, v.lanes(y)):
        v.store_part(y, o + k, activate(v.load_part(y, o + k, n - k), code), n - k)
