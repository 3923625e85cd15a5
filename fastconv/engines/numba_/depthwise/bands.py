"""Channel-wise forward and grad_input: lanes are output pixels of a row, rows of outputs stay in registers.

A job is a band of output rows of one image and group. The source rows that it needs are copied once into a zero-padded
buffer, columns split by their remainder modulo the stride; from there on every tap is a fixed distance, whatever
stride, dilation and padding are.
"""

from __future__ import annotations

from ...records import DepthwiseBands, DepthwisePhase, places
from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import address, clear_vectors, local
from ..ground.target import VECTOR_BYTES
from .blocks import HALF, LOW, MASKS, TALL, copy_block, filter_block

at, phase = places(DepthwiseBands), places(DepthwisePhase)
ROOM = TALL * 16  # numbers of the tallest block of one vector of columns
LINES = 64 // VECTOR_BYTES  # vectors of a cache line


@step("y", "work")
def depthwise_bands(x, w, bias, y, q, phases, places, work, share, shares):
    """y OUT = conv(x IN, w IN) + bias IN (co, or empty), or dx of dy. work WORK [threads][share]."""
    jobs, z = q[at.images] * q[at.groups] * q[at.bands], share * q[at.share]
    buffer = z if q[at.phases_h] == 1 else z + q[at.phases_h] * TALL * v.lanes(y)
    clear_buffer(q, work, buffer)
    for job in range(jobs * share // shares, jobs * (share + 1) // shares):
        _job(x, w, bias, y, q, phases, places, work, z, buffer, job)


@v.copied
def _job(x, w, bias, y, q, phases, places, work, z, buffer, job):
    """One band of one image and group; z: room for a block of results, if they come in phases."""
    L, tile, channels, outputs, bands = v.lanes(y), local(y, ROOM), q[at.channels], q[at.outputs], q[at.bands]
    width, out_height, out_width, stride, rows = q[at.width], q[at.out_height], q[at.out_width], q[at.step], q[at.rows]
    uh, uw, image, band, pitch = q[at.phases_v], q[at.phases_h], job // bands, job % bands, q[at.split] * q[at.line]
    plane, out_plane, k0 = q[at.height] * width, out_height * out_width, band * rows
    count = min(rows, (out_height + uh - 1) // uh - k0)
    most = TALL if stride != 2 else HALF
    ix, iy, group = image * channels * plane, image * outputs * out_plane, image % q[at.groups]
    copy_in(x, ix, q, k0 * stride + q[at.top], q[at.lines] - (rows - count) * stride, work, buffer)
    # what comes next is fetched meanwhile, some lines for every block
    steps = (count + most - 1) // most * uh * ((out_width + uw * L - 1) // (uw * L))
    lines_x = count * stride * width // (L * LINES * steps) + 1
    lines_y = count * uh * out_width // (L * LINES * steps) + 1
    next_x = ix + (channels * plane if band + 1 == bands else (k0 + count) * stride * width)
    next_y = iy + (outputs * out_plane if band + 1 == bands else (k0 + count) * uh * out_width)
    for a in range(uh):
        end = min(k0 + rows, (out_height - a + uh - 1) // uh)
        for k in range(k0, end, most):
            high = min(most, end - k)
            for i in range(0, (out_width + uw - 1) // uw, L):
                cols = min(out_width - i * uw, uw * L)
                if q[at.ahead]:
                    for c in range(channels):
                        fetch(x, next_x + c * plane, lines_x)
                    for c in range(outputs):
                        _claim(y, next_y + c * out_plane, lines_y)
                    next_x += lines_x * L * LINES
                    next_y += lines_y * L * LINES
                corner = buffer + (k - k0) * stride * pitch + i
                for o in range(outputs):
                    iw = group * q[at.group] + o * q[at.output]
                    target = iy + o * out_plane + (k * uh + a) * out_width + i * uw
                    start = v.at(bias, group * outputs + o) if bias.size else w.dtype.type(0)
                    for b in range(uw):
                        out, step, n = address(y, target), uh * out_width, cols
                        if uw > 1:
                            out, step, n = address(work, z + b * TALL * L), L, L
                        t = phases[a * uw + b]
                        _strip(q, t, places, work, corner, w, iw, out, step, tile, high, n, start, uw > 1)
                    if uw > 1:
                        _interleave(work, z, uw, y, target, uh * out_width, high, cols)


@v.copied
def _strip(q, t, places, x, ix, w, iw, out, ys, tile, rows, cols, start, room):
    """Up to TALL rows (HALF at stride 2) of one vector of columns, all taps; room: whole blocks may be written."""
    L, whole = v.lanes(x), address(tile, 0)
    run, stride, pitch, down = t[phase.run], q[at.step], q[at.split] * q[at.line], t[phase.down]
    at_t, count = t[phase.start], t[phase.columns]
    ix, iw, done = ix + t[phase.source], iw + t[phase.weight], 0
    while done < run:
        k, s, apart = next_run(run - done, run, stride)
        size = TALL if s == 1 and rows > HALF else HALF if rows > LOW else LOW
        at_once = room or (rows == size and (MASKS or cols == L))
        if not at_once and done:
            copy_block(out, ys, whole, L, rows, x, cols)
        to, step, n = (out, ys, cols) if at_once else (whole, L, L)
        which, first = block_key(k, s, size), done == 0
        filter_block(which, x, ix, pitch * apart, places, at_t, count, w, iw, down, to, step, n, first, start)
        if not at_once:
            copy_block(whole, L, out, ys, rows, x, cols)
        done += k
        ix += k * pitch
        iw += k * down


@v.inline
def block_key(k, stride, rows):
    """`blocks.key` for loops."""
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
def copy_in(x, ix, q, first, count, b, ib):
    """Source rows first .. first + count - 1 of a group's channels into the buffer, zeros outside the image."""
    h, w, pitch = q[at.height], q[at.width], q[at.split] * q[at.line]
    for c in range(q[at.channels]):
        for r in range(count):
            to = ib + (c * q[at.lines] + r) * pitch
            if 0 <= first + r < h:
                _copy_row(x, ix + (c * h + first + r) * w, w, q[at.split], q[at.line], b, to + q[at.left])
            else:
                clear_vectors(b, to, to + pitch)


@v.inline
def _copy_row(x, i, w, split, line, b, to):
    """A row, its columns split by their remainder; those around it are zero already."""
    L = v.lanes(b)
    if split == 1:
        while w >= L:
            v.store(b, to, v.load(x, i))
            i, to, w = i + L, to + L, w - L
        if w:
            v.store(b, to, v.load_part(x, i, w))
    elif split == 2:
        while w > 0:
            a, c = _load_pair(x, i, w)
            v.store(b, to, v.even(a, c))
            v.store(b, to + line, v.odd(a, c))
            i, to, w = i + 2 * L, to + L, w - 2 * L
    else:
        for k in range(w):
            v.put(b, to + k % split * line + k // split, v.at(x, i + k))


@v.inline
def _load_pair(x, i, n):
    """Two vectors, of which n lanes are valid."""
    L = v.lanes(x)
    if n >= 2 * L:
        return v.load(x, i), v.load(x, i + L)
    return v.load_part(x, i, n), v.load_part(x, i + L, n - L)


@v.inline
def clear_buffer(q, b, i):
    """What lies beside the image is never written again."""
    clear_vectors(b, i, i + q[at.channels] * q[at.lines] * q[at.split] * q[at.line])


@v.inline
def fetch(a, i, lines):
    """Ask for cache lines to be read soon."""
    for k in range(lines):
        v.prefetch(a, i + k * v.lanes(a) * LINES)


@v.inline
def _claim(a, i, lines):
    """Ask for cache lines to be written soon."""
    for k in range(lines):
        v.prefetch_write(a, i + k * v.lanes(a) * LINES)
