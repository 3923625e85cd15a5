"""Channel-wise forward and grad_input: lanes are output pixels of a row, rows of outputs stay in registers.

A job is a band of output rows of one image and group. The source rows that it needs are copied once into a zero-padded
buffer, columns split by their remainder modulo the stride; from there on every tap is a fixed distance, whatever
stride, dilation and padding are (tables.py).
"""

from __future__ import annotations

from numba import njit

from ..ground import vector as v
from ..ground.launch import shared_step
from ..ground.memory import address, clear_vectors, local
from ..ground.target import VECTOR_BYTES
from . import tables as at
from .blocks import HALF, LOW, MASKS, TALL, copy_block, filter_block
from .rows import filter_planes, spread_planes
from .tables import backward_bands, forward_bands

_inline = njit(inline="always")
_ROOM = TALL * 16  # numbers of the tallest block of one vector of columns
_LINES = 64 // VECTOR_BYTES  # vectors of a cache line


def depthwise_forward(x, w, bias, y, sh, sw, pt, pl, dh, dw, g, rows, height, left, width, share, work, threads):
    """x, w, bias (Co, or empty) IN; y OUT; work WORK. Block sizes as algorithms/depthwise.py sets them."""
    f = forward_bands(x.shape, w.shape, y.shape, (sh, sw), (pt, pl), (dh, dw), g, (rows, height, left, width, share),
                      1, x.itemsize)  # fmt: skip
    if f[at.STREAM]:
        filter_planes(x, w, bias, y, f, threads)
        return
    _filter(x, w, bias, y, f, work, threads)


def depthwise_grad_input(dy, w, dx, sh, sw, pt, pl, dh, dw, g, rows, height, left, width, share, top, work, threads):
    """dy, w IN; dx OUT; work WORK."""
    f = backward_bands(dy.shape, w.shape, dx.shape, (sh, sw), (pt, pl), (dh, dw), g,
                       (rows, height, left, width, share), top, dy.itemsize)  # fmt: skip
    if f[at.STREAM] == 1:
        filter_planes(dy, w, work[:0], dx, f, threads)
        return
    if f[at.STREAM] == 2:
        spread_planes(dy, w, dx, f, threads)
        return
    _filter(dy, w, work[:0], dx, f, work, threads)


@shared_step("y", "work")
def _filter(x, w, bias, y, f, work, share, shares):
    jobs, z = v.at(f, at.N) * v.at(f, at.G) * v.at(f, at.BANDS), share * v.at(f, at.SHARE)
    buffer = z if v.at(f, at.UW) == 1 else z + v.at(f, at.UW) * TALL * v.lanes(y)
    clear_borders(f, work, buffer)
    for job in range(jobs * share // shares, jobs * (share + 1) // shares):
        _filter_job(x, w, bias, y, f, work, z, buffer, job)


@_inline
def _filter_job(x, w, bias, y, f, work, z, buffer, job):
    """One band of one image and group; z: room for a block of results, if they come in phases."""
    L, tile = v.lanes(y), local(y, _ROOM)
    cs, cd, bands, rows, stride = v.at(f, at.CS), v.at(f, at.CD), v.at(f, at.BANDS), v.at(f, at.ROWS), v.at(f, at.STEP)
    h, wd, dh, dw = v.at(f, at.SH), v.at(f, at.SW), v.at(f, at.DH), v.at(f, at.DW)
    uh, uw = v.at(f, at.UH), v.at(f, at.UW)
    image, band, pitch = job // bands, job % bands, v.at(f, at.SPLIT) * v.at(f, at.WIDTH)
    k0 = band * rows
    count = min(rows, (dh + uh - 1) // uh - k0)
    most = TALL if stride != 2 else HALF
    ix, iy, group = image * cs * h * wd, image * cd * dh * dw, image % v.at(f, at.G)
    copy_in(x, ix, f, k0 * stride + v.at(f, at.TOP), v.at(f, at.HEIGHT) - (rows - count) * stride, work, buffer)
    # what comes next is fetched meanwhile, some lines for every block
    steps = (count + most - 1) // most * uh * ((dw + uw * L - 1) // (uw * L))
    lines_x, lines_y = count * stride * wd // (L * _LINES * steps) + 1, count * uh * dw // (L * _LINES * steps) + 1
    next_x = ix + (cs * h * wd if band + 1 == bands else (k0 + count) * stride * wd)
    next_y = iy + (cd * dh * dw if band + 1 == bands else (k0 + count) * uh * dw)
    for a in range(uh):
        end = min(k0 + rows, (dh - a + uh - 1) // uh)
        for k in range(k0, end, most):
            high = min(most, end - k)
            for q in range(0, (dw + uw - 1) // uw, L):
                cols = min(dw - q * uw, uw * L)
                if v.at(f, at.AHEAD):
                    for c in range(cs):
                        fetch(x, next_x + c * h * wd, lines_x)
                    for c in range(cd):
                        _claim(y, next_y + c * dh * dw, lines_y)
                    next_x += lines_x * L * _LINES
                    next_y += lines_y * L * _LINES
                for o in range(cd):
                    target = iy + (o * dh + k * uh + a) * dw + q * uw
                    start = v.at(bias, group * cd + o) if bias.size else w.dtype.type(0)
                    for b in range(uw):
                        out = address(y, target) if uw == 1 else address(work, z + b * TALL * L)
                        _strip(f, v.at(f, at.PHASES + a * uw + b), work, buffer + (k - k0) * stride * pitch + q,
                               w, group * v.at(f, at.WG) + o * v.at(f, at.WD), out, uh * dw if uw == 1 else L,
                               tile, high, cols if uw == 1 else L, start, uw > 1)  # fmt: skip
                    if uw > 1:
                        _interleave(work, z, uw, y, target, uh * dw, high, cols)


@_inline
def _strip(f, t, x, ix, w, iw, out, ys, tile, rows, cols, start, room):
    """Up to TALL rows (HALF at stride 2) of one vector of columns, all taps; room: whole blocks may be written."""
    L, whole = v.lanes(x), address(tile, 0)
    run, stride, pitch = v.at(f, t + at.RUN), v.at(f, at.STEP), v.at(f, at.SPLIT) * v.at(f, at.WIDTH)
    down = v.at(f, t + at.DOWN)
    ix, iw, done = ix + v.at(f, t + at.X0), iw + v.at(f, t + at.W0), 0
    while done < run:
        k, s, apart = next_run(run - done, run, stride)
        size = TALL if s == 1 and rows > HALF else HALF if rows > LOW else LOW
        at_once = room or (rows == size and (MASKS or cols == L))
        if not at_once and done:
            copy_block(out, ys, whole, L, rows, x, cols)
        to, step, n = (out, ys, cols) if at_once else (whole, L, L)
        filter_block(block_key(k, s, size), x, ix, pitch * apart, f, t + at.AT, v.at(f, t + at.COLS), w, iw, down,
                     to, step, n, done == 0, start)  # fmt: skip
        if not at_once:
            copy_block(whole, L, out, ys, rows, x, cols)
        done += k
        ix += k * pitch
        iw += k * down


@v.inline
def block_key(k, stride, rows):
    """`depthwise_blocks.key` for loops."""
    return (k * 4 + stride) * 16 + rows


@v.inline
def next_run(left, run, stride):
    """How many of the kernel rows left to do go into one block, their stride in it, source rows of a row."""
    if run == 1:  # rows at any distance
        return 1, 1, stride
    k = 7 if left >= 7 else 5 if left >= 5 else 3 if left >= 3 else left
    if stride == 2:
        return (k, 2, 1) if k >= 3 else (1, 1, 2)
    return k, 1, 1


@v.inline
def _interleave(z, i, phases, y, o, ys, rows, cols):
    """Phases of the columns, TALL vectors each, into `cols` columns of the destination."""
    L = v.lanes(y)
    for r in range(rows):
        if phases == 2:
            a, b = v.load(z, i + r * L), v.load(z, i + (TALL + r) * L)
            v.store_part(y, o + r * ys, v.zip_low(a, b), cols)
            v.store_part(y, o + r * ys + L, v.zip_high(a, b), cols - L)
        else:
            for k in range(cols):
                v.put(y, o + r * ys + k, v.at(z, i + (k % phases * TALL + r) * L + k // phases))


@v.inline
def copy_in(x, ix, f, first, count, b, ib):
    """Source rows first .. first + count - 1 of a group's channels into the buffer, zeros outside the image."""
    h, w, pitch = v.at(f, at.SH), v.at(f, at.SW), v.at(f, at.SPLIT) * v.at(f, at.WIDTH)
    for c in range(v.at(f, at.CS)):
        for r in range(count):
            to = ib + (c * v.at(f, at.HEIGHT) + r) * pitch
            if 0 <= first + r < h:
                _copy_row(x, ix + (c * h + first + r) * w, w, v.at(f, at.SPLIT), v.at(f, at.WIDTH), b,
                          to + v.at(f, at.LEFT), to + v.at(f, at.END))  # fmt: skip
            else:
                clear_vectors(b, to, to + pitch)


@v.inline
def _copy_row(x, i, w, split, width, b, to, end):
    """Whole vectors, of every remainder, from `to` to `end`: what lies behind the row becomes zero."""
    L = v.lanes(b)
    if split == 1:
        while w >= L:
            v.store(b, to, v.load(x, i))
            i, to, w = i + L, to + L, w - L
        if w:
            v.store(b, to, v.load_part(x, i, w))
    elif split == 2:
        while to < end:
            a, c = load_pair(x, i, w)
            v.store(b, to, v.even(a, c))
            v.store(b, to + width, v.odd(a, c))
            i, to, w = i + 2 * L, to + L, w - 2 * L
    else:
        for q in range(split):
            for k in range(end - to):
                n = k * split + q
                v.put(b, to + q * width + k, v.at(x, i + n) if n < w else x.dtype.type(0))


@v.inline
def load_pair(x, i, n):
    """Two vectors, of which n lanes are valid."""
    L = v.lanes(x)
    if n >= 2 * L:
        return v.load(x, i), v.load(x, i + L)
    return v.load_part(x, i, n), v.load_part(x, i + L, n - L)


@v.inline
def clear_borders(f, b, i):
    """The whole buffer: what lies beside the image is never written again."""
    clear_vectors(b, i, i + v.at(f, at.CS) * v.at(f, at.HEIGHT) * v.at(f, at.SPLIT) * v.at(f, at.WIDTH))


@v.inline
def fetch(a, i, lines):
    """Ask for cache lines to be read soon."""
    for k in range(lines):
        v.prefetch(a, i + k * v.lanes(a) * _LINES)


@v.inline
def _claim(a, i, lines):
    """Ask for cache lines to be written soon."""
    for k in range(lines):
        v.prefetch_write(a, i + k * v.lanes(a) * _LINES)
