"""grad_weight by Winograd: a tile of dy is the "filter" of a tile of x.

Per frequency, S[co][ci] is the sum over tiles of Q[tile][co] * X[tile][ci], a matrix product whose inner index is the
tile; one inverse transform at the end.
"""
from __future__ import annotations

from . import vector as v
from . import winograd_tables as at
from .depthwise_blocks import address, local
from .launch import shared_step
from .winograd import as_table, clear_slots, frequencies, inputs, stage
from .winograd_blocks import TILES as MOST
from .winograd_blocks import outputs_1d, products, weights_1d
from .winograd_tables import ceil, make_block, pack, tiles_at

_SQUARE = 64 * 16  # numbers of a transform
_OWN, _TILES, _SUMS, _TAPS = range(4)  # what a share does


def winograd_grad_weight(dy, x, dw, work, grid, coef, by_panels, threads):
    """dw OUT. by_panels: threads share the tiles and split the sums; else they split the tiles and add at last."""
    dy, x, dw, table = dy.reshape(-1), x.reshape(-1), dw.reshape(-1), as_table(work)
    blocks = int(grid[at.ROW_BLOCKS] * grid[at.COL_BLOCKS])
    stages = [(what, block) for block in range(blocks) for what in (_TILES, _SUMS)] if by_panels else [(_OWN, 0)]
    if not by_panels or blocks > 1:
        stages.append((_TAPS, 0))
    for group in range(int(grid[at.G])):
        for what, block in stages:
            _gradient(dy, x, dw, work, table, grid, coef, what, group, block, threads)


@shared_step("dw", "work", "table")
def _gradient(dy, x, dw, work, table, q, coef, what, group, block, share, shares):
    """_OWN: blocks of tiles with sums of their own; _TILES: some channels of a block that all share; _SUMS: sums of
    some of its outputs, transformed back at once if it is the only block; _TAPS: all sums transformed back."""
    L, co, ci, blocks = v.lanes(x), v.at(q, at.CO), v.at(q, at.CI), v.at(q, at.ROW_BLOCKS) * v.at(q, at.COL_BLOCKS)
    vx, vq = (ci + L - 1) // L, (co + L - 1) // L
    own = v.at(q, at.SHARED) + share * v.at(q, at.PER_THREAD)
    t = (own + v.at(q, at.AT_TABLE)) * work.itemsize // table.itemsize
    X, Q, s0, s1, o0, o1 = v.at(q, at.AT_X), v.at(q, at.AT_Q), 0, 1, co * share // shares, co * (share + 1) // shares
    at_once = what == _SUMS and blocks == 1
    if what == _OWN:
        X, Q, o0, o1 = own + v.at(q, at.AT_V), own + Q, 0, co
        s0, s1 = v.at(q, at.SEGMENTS) * share // shares, v.at(q, at.SEGMENTS) * (share + 1) // shares
    for segment in range(s0, s1):
        i0, i1 = block, block + 1
        if what == _OWN:
            i0, i1 = blocks * segment // v.at(q, at.SEGMENTS), blocks * (segment + 1) // v.at(q, at.SEGMENTS)
        for i in range(i0, i1):
            if what in (_OWN, _TILES):
                a, b = 0, vx + vq
                if what == _TILES:
                    a, b = (vx + vq) * share // shares, (vx + vq) * (share + 1) // shares
                make_block(q, i, table, t)
                clear_slots(q, table, t, at.SLOTS, work, own + v.at(q, at.AT_IN))
                clear_slots(q, table, t, at.OUTS, work, own + v.at(q, at.AT_OUT))
                for k in range(a, b):  # channels of x, then of dy
                    output = int(k >= vx)
                    c = (k - vx * output) * L
                    slots = own + v.at(q, at.AT_OUT if output else at.AT_IN)
                    pack(q, dy if output else x, group, c, table, t, output, work, slots)
                    if output:
                        _dy_tiles(q, c, table, t, work, slots, Q, coef)
                    else:
                        inputs(q, c, table, t, work, slots, X, coef)
            if what != _TILES:
                columns = groups = 1
                if at_once:
                    columns, groups = (ci + 2 * L - 1) // (2 * L), (o1 - o0 + 2 * MOST - 1) // (2 * MOST)
                for c in range(columns):
                    c0, c1 = (c * 2 * L, min(ci, (c + 1) * 2 * L)) if at_once else (0, ci)
                    for g in range(groups):
                        a, b = o0 + (o1 - o0) * g // groups, o0 + (o1 - o0) * (g + 1) // groups
                        S = own + v.at(q, at.AT_S) if at_once else segment * v.at(q, at.PART_S) + a * v.at(q, at.ROW_S)
                        if what != _TAPS:
                            first = at_once or i == (i0 if what == _OWN else 0)
                            _sums(q, v.at(table, t + at.TILES), work, Q + a, X + c0, S, b - a, c1 - c0, first)
                        if what == _TAPS or at_once:
                            for o in range(a, b):
                                for k in range(c0, c1, L):
                                    _taps(q, work, S + (o - a) * v.at(q, at.ROW_S) + k - c0, dw,
                                          ((group * co + o) * ci + k), min(c1 - k, L), coef)  # fmt: skip


@v.inline
def _dy_tiles(q, c, table, t, work, slots, Q, coef):
    """The tiles of dy, channels c .. c + lanes, from slots to Q."""
    L, between, row = v.lanes(work), address(local(work, _SQUARE), 0), v.at(q, at.ROW_Q)
    flat, P, m, r, us = v.at(q, at.FLAT), v.at(q, at.PAIRS), v.at(q, at.M), v.at(q, at.R), v.at(q, at.QF) // L
    rs, n = v.at(q, at.DH) * v.at(table, t + at.WO), 2 * P + 2
    cs = v.at(q, at.DW) if v.at(q, at.ALONG_W) else rs
    for k in range(v.at(table, t + at.TILES)):
        tile = address(work, slots + v.at(table, tiles_at(q, t) + 2 * k + 1) * L)
        for s in range(flat, 2):
            source, gap, step, out, out_gap, out_step, many = stage(
                s, flat, tile, rs, cs, address(work, Q + c + k * row), n * us, us, between, r, n)
            weights_1d(1, 8 * P + r, source, gap, step, out, out_gap, out_step, many, coef, P + P * P + m * P)


@v.inline
def _sums(q, tiles, work, Q, X, S, outputs, columns, first):
    """S (+)= all tiles of a block, so many outputs and inputs, these in panels of 2*lanes."""
    L, length = v.lanes(work), v.at(q, at.SUM)
    row_q, row_v, row_s = v.at(q, at.ROW_Q), v.at(q, at.ROW_V), v.at(q, at.ROW_S)
    groups = ceil(outputs, MOST)
    for f in range(frequencies(q)):
        for c in range(0, columns, 2 * L):
            for g in range(groups):
                a, b = outputs * g // groups, outputs * (g + 1) // groups
                for k in range(0, tiles, length):
                    count = min(length, tiles - k)
                    products(1, b - a, work, Q + f * v.at(q, at.QF) + a + k * row_q, row_q, 0, count,
                             work, X + f * v.at(q, at.VF) + c + k * row_v, row_v,
                             work, S + f * v.at(q, at.SF) + a * row_s + c, row_s, L, count,
                             first and k == 0)  # fmt: skip


@v.inline
def _taps(q, work, S, dw, o, channels, coef):
    """One output, up to `lanes` input channels: parts of S are added, transformed back and stored at o, [ci][taps]."""
    L, total, taps = v.lanes(work), local(work, _SQUARE), local(work, _SQUARE)
    flat, P, m, between = v.at(q, at.FLAT), v.at(q, at.PAIRS), v.at(q, at.M), address(local(work, _SQUARE), 0)
    n = 2 * P + 2
    count = m if flat else m * m
    for i in range(n if flat else n * n):
        part = v.load(work, S + i * v.at(q, at.SF))
        for k in range(1, v.at(q, at.SEGMENTS)):
            part += v.load(work, S + i * v.at(q, at.SF) + k * v.at(q, at.PART_S))
        v.store(total, i * L, part)
    for s in range(flat, 2):
        source, gap, step, out, out_gap, out_step, many = stage(
            s, flat, address(total, 0), n, 1, address(taps, 0), m, 1, between, n, m)
        outputs_1d(1, 8 * P + m, source, gap, step, out, out_gap, out_step, many, coef, P + P * P)
    for i in range(0, count, L):
        v.store_rows(dw, o * count + i, count, v.transpose(v.load_rows(taps, i * L, L, count - i, L)),
                     channels, count - i)  # fmt: skip
