"""Winograd: which pixels and tiles belong to a block, and their way between images and slots.

A slot is one vector: one pixel of as many channels as there are lanes; where channels lie last, it is copied as it
lies. Tables are kept in the workspace, as int32.
"""

from __future__ import annotations

from ...records import WinogradPass, places
from ..ground import vector as v
from ..ground.epilogue import activate
from ..ground.transpose import load_block
from .blocks import gather, scatter, store_block

at = places(WinogradPass)

#: a table: tiles, slots of input and output, slots in a row of them; runs and pixels of input and of output;
#: then the runs (image, row, column, rows, columns), the slots of their pixels, and of tiles' first pixels
TILES, SLOTS, OUTS, WI, WO, X_RUNS, X_PIXELS, Y_RUNS, Y_PIXELS = range(9)
HEAD, RUN = 64, 6  # numbers of the header, of a run


@v.copied
def ceil(a, b):
    return (a + b - 1) // b


@v.copied
def runs_at(q, t, output):
    """Where the runs of the input or output begin."""
    return t + HEAD + output * RUN * q[at.runs]


@v.copied
def slots_at(q, t, output):
    """Where the slots of the pixels of the input or output begin."""
    return t + HEAD + 2 * RUN * q[at.runs] + output * q[at.in_pixels]


@v.copied
def tiles_at(q, t):
    """Where the (input slot, output slot) of the tiles' first pixels begin."""
    return t + HEAD + 2 * RUN * q[at.runs] + q[at.in_pixels] + q[at.out_pixels]


@v.inline
def _region(q, table, t, output, image, w, h0, h1, c0, c1, base, top, left, width, trash):
    """Rows h0..h1, columns c0..c1 of a plane: pixel (h, c) to slot base + (h - top) * width + c - left."""
    runs, pixels = v.at(table, t + X_RUNS + 2 * output), v.at(table, t + X_PIXELS + 2 * output)
    slots = slots_at(q, t, output)
    h1 = max(h0, h1) if c1 > c0 else h0  # nothing, if all of it is padding
    together = max(1, h1 - h0) if c1 - c0 == w else 1  # whole rows are one run
    for h in range(h0, h1, together):
        run = runs_at(q, t, output) + RUN * runs
        for k, number in enumerate((image, h, c0, together, c1 - c0)):
            v.put(table, run + k, number)
        runs += 1
    for h in range(h0, h1):
        for c in range(c0, c1):
            v.put(table, slots + pixels, base + (h - top) * width + c - left if 0 <= c - left < width else trash)
            pixels += 1
    v.put(table, t + X_RUNS + 2 * output, runs)
    v.put(table, t + X_PIXELS + 2 * output, pixels)


@v.inline
def make_block(q, index, table, t):
    """Which pixels and tiles belong to a block; the table from t on."""
    dh, dw, oh, ow, ih, iw = q[at.dh], q[at.dw], q[at.oh], q[at.ow], q[at.ih], q[at.iw]
    high, wide, row_blocks, col_blocks = q[at.mh] * dh, q[at.mw] * dw, q[at.row_blocks], q[at.col_blocks]
    down, across = ceil(oh, high), ceil(ow, wide)
    row, col = index // col_blocks, index % col_blocks
    r, end = q[at.n] * down * row // row_blocks, q[at.n] * down * (row + 1) // row_blocks
    t0, t1 = across * col // col_blocks, across * (col + 1) // col_blocks
    left = t0 * wide - q[at.pl]
    wi, wo = (t1 - t0) * wide + (q[at.rw] - 1) * dw, (t1 - t0) * wide
    tiles = slots = outs = 0
    for k in range(X_RUNS, Y_PIXELS + 1):
        v.put(table, t + k, 0)
    while r < end:
        image, h0 = r // down, r % down
        h1 = min(down, h0 + end - r)
        r += h1 - h0
        top, rows = h0 * high - q[at.pt], (h1 - h0) * high + (q[at.rh] - 1) * dh
        for output in range(2):  # one call: it is compiled into its place
            if output:
                region = h0 * high, min(oh, h1 * high), t0 * wide, min(ow, t1 * wide), outs, h0 * high, t0 * wide, wo, 0
            else:
                c0, c1 = (0, iw) if col_blocks == 1 else (max(0, left), min(iw, left + wi))
                region = max(0, top), min(ih, top + rows), c0, c1, slots, top, left, wi, q[at.in_slots]
            _region(q, table, t, output, image, ow if output else iw, *region)
        for h in range(h0, h1):
            for a in range(min(dh, oh - h * high)):
                for k in range(t0, t1):
                    for b in range(min(dw, ow - k * wide)):
                        place = tiles_at(q, t) + 2 * tiles
                        v.put(table, place, slots + ((h - h0) * high + a) * wi + (k - t0) * wide + b)
                        v.put(table, place + 1, outs + ((h - h0) * high + a) * wo + (k - t0) * wide + b)
                        tiles += 1
        slots += rows * wi
        outs += (h1 - h0) * high * wo
    for k, number in enumerate((tiles, slots, outs, wi, wo)):
        v.put(table, t + k, number)


@v.inline
def pack(q, x, group, c, table, t, output, out, o):
    """Pixels of a block, channels c .. c + lanes of a group, to slots; the last piece steps back, not to read too far.

    output: x is laid out as the output is.
    """
    L, place = v.lanes(x), slots_at(q, t, output)
    C, w, last = q[at.co if output else at.ci], q[at.ow if output else at.iw], q[at.y_last if output else at.x_last]
    plane, channels, pixel = q[at.oh if output else at.ih] * w, min(C - c, L), q[at.g] * C
    first = group * C + c
    for k in range(v.at(table, t + X_RUNS + 2 * output)):
        run = runs_at(q, t, output) + RUN * k
        image, start = v.at(table, run) * pixel * plane, v.at(table, run + 1) * w + v.at(table, run + 2)
        count = v.at(table, run + 3) * v.at(table, run + 4)
        if last:
            i = image + start * pixel + first
            for p in range(count):
                values = v.load(x, i + p * pixel) if channels == L else v.load_part(x, i + p * pixel, channels)
                v.store(out, o + v.at(table, place + p) * L, values)
        else:
            n = min(count, L)
            for p in range(0, count, L):
                back = max(0, min(p, count - L))
                rows = load_block(x, image + first * plane + start + back, plane, channels, n)
                scatter(out, o, table, place + back, n, v.transpose(rows))
        place += count


@v.inline
def unpack(q, source, i, table, t, y, group, c, bias, residual, activation):
    """Slots to pixels of channels c .. c + lanes of a group, and all that follows a convolution; see `pack`."""
    L, place = v.lanes(y), slots_at(q, t, 1)
    C, w, last = q[at.co], q[at.ow], q[at.y_last]
    plane, channels, pixel = q[at.oh] * w, min(C - c, L), q[at.g] * C
    first = group * C + c
    add = v.load_part(bias, first, channels) if bias.size else v.zero(y)
    for k in range(v.at(table, t + Y_RUNS)):
        run = runs_at(q, t, 1) + RUN * k
        image, start = v.at(table, run) * pixel * plane, v.at(table, run + 1) * w + v.at(table, run + 2)
        count = v.at(table, run + 3) * v.at(table, run + 4)
        if last:
            o = image + start * pixel + first
            for p in range(count):
                values = v.load(source, i + v.at(table, place + p) * L) + add
                if residual.size:
                    values = values + v.load_part(residual, o + p * pixel, channels)
                v.store_part(y, o + p * pixel, activate(values, activation), channels)
        else:
            n, o = min(count, L), image + first * plane + start
            for p in range(0, count, L):
                back = max(0, min(p, count - L))
                store_block(y, o + back, plane, gather(source, i, table, place + back, n), add, channels, n)
            if residual.size > 0 or activation > 0:
                for r in range(channels):
                    for p in range(0, count, L):
                        m = o + r * plane + p
                        values = v.load_part(y, m, count - p)
                        if residual.size:
                            values = values + v.load_part(residual, m, count - p)
                        v.store_part(y, m, activate(values, activation), count - p)
        place += count
