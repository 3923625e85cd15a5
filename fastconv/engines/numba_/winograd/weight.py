"""grad_weight by Winograd: a tile of dy is the "filter" of a tile of x.

Per frequency, S[co][ci] is the sum over tiles of Q[tile][co] * X[tile][ci], a matrix product whose inner index is the
tile; one inverse transform at the end. Layout: X[f][ci/lanes][tile][lanes] and Q[f][co/lanes][tile][lanes], so that
products read both in one run; S in blocks [rows outputs][cols vectors of inputs][f][lanes] that stay in a core's cache
until they are transformed back.
"""

from __future__ import annotations

from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import address, local
from .blocks import ROWS, outputs_1d, products, weights_1d
from .steps import as_table, clear_slots, frequencies, inputs, stage
from .tables import OUTS, SLOTS, TILES, WO, at, ceil, make_block, pack, tiles_at

_SQUARE = 64 * 16  # numbers of a transform
_OWN, _TILES, _SUMS, _TAPS = range(4)  # what a share does


def winograd_grad_weight(dy, x, dw, work, q, coef, by_panels, threads):
    """dw OUT. by_panels: threads share the tiles and split the sums; else they split the tiles and add at last."""
    dy, x, dw, table = dy.reshape(-1), x.reshape(-1), dw.reshape(-1), as_table(work)
    stages = [(_OWN, 0), (_TAPS, 0)]
    if by_panels:
        batches = range(0, int(q[at.row_blocks] * q[at.col_blocks]), int(q[at.batch]))
        stages = [(what, first) for first in batches for what in (_TILES, _SUMS)]
    for group in range(int(q[at.g])):
        for what, first in stages:
            _gradient(dy, x, dw, work, table, q, coef, what, group, first, threads)


@step("dw", "work", "table")
def _gradient(dy, x, dw, work, table, q, coef, what, group, batch, ithr, nthr):
    """_OWN: blocks of tiles with sums of their own, in segments that are added up by themselves; _TAPS: these sums
    added and transformed back; _TILES: some channels of a batch of blocks that all share; _SUMS: some blocks of its
    sums, transformed back after the last batch."""
    L, co, ci, blocks = v.lanes(x), q[at.co], q[at.ci], q[at.row_blocks] * q[at.col_blocks]
    vx, vq, square, parts = (ci + L - 1) // L, (co + L - 1) // L, q[at.square], q[at.parts]
    rows, cols, segment = q[at.rows], q[at.cols], q[at.segment]
    own = q[at.shared] + ithr * q[at.per_thread]
    t = (own + q[at.at_table]) * work.itemsize // table.itemsize
    X, Q, S, a, b = q[at.at_x], q[at.at_q], own + q[at.at_s], 0, vx + vq
    last, high = batch + q[at.batch] >= blocks, (co + rows - 1) // rows
    i0, i1 = batch, min(batch + q[at.batch], blocks)
    if what == _OWN:
        X, Q = own + X, own + Q
        i0, i1 = blocks * min(ithr, parts) // parts, blocks * min(ithr + 1, parts) // parts
    elif what == _TILES:
        a, b = (vx + vq) * ithr // nthr, (vx + vq) * (ithr + 1) // nthr
    elif what == _SUMS:
        total = high * ((vx + cols - 1) // cols)
        i0, i1 = total * ithr // nthr, total * (ithr + 1) // nthr
    else:
        i0, i1 = ithr, ithr + 1
    before = 0  # tiles
    for i in range(i0, i1):
        tiles, first = v.at(table, t + TILES), batch == 0
        o, o1, c, c1 = 0, co, 0, vx
        if what in (_OWN, _TILES):
            make_block(q, i, table, t)
            clear_slots(q, table, t, SLOTS, work, own + q[at.at_in])
            clear_slots(q, table, t, OUTS, work, own + q[at.at_out])
            for k in range(a, b):  # channels of x, then of dy
                output = int(k >= vx)
                channel = (k - vx * output) * L
                slots = own + q[at.at_out if output else at.at_in]
                pack(q, dy if output else x, group, channel, table, t, output, work, slots)
                if output:
                    _dy_tiles(q, channel, table, t, work, slots, Q + before * L, coef)
                else:
                    inputs(q, channel, table, t, work, slots, X + before * L, coef)
            tiles = v.at(table, t + TILES)
            if what == _TILES:
                before += tiles
                v.put(table, t + TILES, before)
            else:
                first = (i - i0) % segment == 0
                S = ithr * q[at.part_s] if i - i0 < segment else own + q[at.at_s]
        elif what == _SUMS:
            o, c = i % high * rows, i // high * cols
            o1, c1 = min(co, o + rows), min(vx, c + cols)
            if batch > 0 or not last:
                S = q[at.at_s] + i * q[at.part_s]
        else:
            o, o1 = co * ithr // nthr, co * (ithr + 1) // nthr
            S = o * cols * square
        if what in (_OWN, _SUMS):
            _sums(q, tiles, work, Q, X, S, o, o1, c, c1, first)
        if what == _OWN and i - i0 >= segment and ((i - i0 + 1) % segment == 0 or i + 1 == i1):
            for k in range(0, q[at.part_s], L):
                whole = ithr * q[at.part_s] + k
                v.store(work, whole, v.load(work, whole) + v.load(work, S + k))
        if what == _TAPS or (what == _SUMS and last):
            for k in range(o, o1):
                for j in range(c, c1):
                    _taps(q, work, S + ((k - o) * cols + j - c) * square, dw, (group * co + k) * ci + j * L,
                          min(ci - j * L, L), coef)  # fmt: skip


@v.inline
def _dy_tiles(q, c, table, t, work, slots, Q, coef):
    """The tiles of dy, channels c .. c + lanes, from slots to Q."""
    L, between = v.lanes(work), address(local(work, _SQUARE), 0)
    flat, n, m, r, us = q[at.flat], q[at.points], q[at.m], q[at.r], q[at.qf] // L
    rs, P = q[at.dh] * v.at(table, t + WO), (n - 1) // 2
    cs = q[at.dw] if q[at.along_w] else rs
    for k in range(v.at(table, t + TILES)):
        tile = address(work, slots + v.at(table, tiles_at(q, t) + 2 * k + 1) * L)
        for s in range(flat, 2):
            source, gap, step, out, out_gap, out_step, many = stage(
                s, flat, tile, rs, cs, address(work, Q + c * q[at.held] + k * L), n * us, us, between, r, n
            )
            weights_1d(1, 8 * n + r, source, gap, step, out, out_gap, out_step, many, coef, P + P * P + m * P)


@v.inline
def _sums(q, tiles, work, Q, X, S, o0, o1, c0, c1, first):
    """S (+)= so many tiles, outputs o0..o1, vectors c0..c1 of inputs; o0 is a multiple of ROWS."""
    L, length, square, qf, vf = v.lanes(work), q[at.sum], q[at.square], q[at.qf], q[at.vf]
    between, row, vectors = q[at.held] * L, q[at.cols] * square, ceil(o1 - o0, L)
    for f in range(frequencies(q)):
        turn = 0
        for c in range(c0, c1, 2):
            pair = int(c + 1 < c1)  # else both vectors are the same
            x = X + f * vf + c * between
            for o in range(o0, o1, min(ROWS, L)):
                n, ahead = min(o1 - o, ROWS, L), x  # what the next frequency will read goes into L2, in turn
                if turn < vectors:
                    ahead = Q + (f + 1) * qf + (o0 // L + turn) * between
                elif turn < vectors + c1 - c0:
                    ahead = X + (f + 1) * vf + (c0 + turn - vectors) * between
                turn += 1
                for k in range(0, tiles, length):
                    count = min(length, tiles - k)
                    products(1, n, work, Q + f * qf + o // L * between + o % L + k * L, L, 0, count,
                             work, x + k * L, L, pair * between, ahead + k * L,
                             work, S + (o - o0) * row + (c - c0) * square + f * L, row, pair * square, count,
                             first and k == 0)  # fmt: skip


@v.inline
def _taps(q, work, S, dw, o, channels, coef):
    """One output, up to `lanes` input channels: parts of S are added, transformed back and stored at o, [ci][taps]."""
    L, total, taps = v.lanes(work), local(work, _SQUARE), local(work, _SQUARE)
    flat, n, m, between = q[at.flat], q[at.points], q[at.m], address(local(work, _SQUARE), 0)
    P = (n - 1) // 2
    count = m if flat else m * m
    for i in range(count):  # the next output's
        v.prefetch_write(dw, (o + q[at.ci]) * count + i * L)
    sums = address(work, S)
    if q[at.parts] > 1:
        sums = address(total, 0)
    for i in range((n if flat else n * n) if q[at.parts] > 1 else 0):
        part = v.load(work, S + i * L)
        for k in range(1, q[at.parts]):
            part += v.load(work, S + i * L + k * q[at.part_s])
        v.store(total, i * L, part)
    for s in range(flat, 2):
        source, gap, step, out, out_gap, out_step, many = stage(
            s, flat, sums, n, 1, address(taps, 0), m, 1, between, n, m
        )
        outputs_1d(1, 8 * n + m, source, gap, step, out, out_gap, out_step, many, coef, P + P * P)
    for i in range(0, count, L):
        v.store_rows(
            dw, o * count + i, count, v.transpose(v.load_rows(taps, i * L, L, count - i, L)), channels, count - i
        )
