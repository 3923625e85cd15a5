"""Winograd convolution, forward and grad_input; lanes are channels.

Tiles of x become V[f][group][ci/lanes][tile][lanes], weights U[panel][chunk of ci][f][ci][2*lanes]; the products
M[f][2][tile][lanes] of a panel of 2*lanes outputs go back through the output transform. A group of tiles is what a
block of products holds. Transforms: Lavin and Gray 2016; coefficients: `table` of algorithms/winograd_matrices.py.
"""

from __future__ import annotations

import numpy as np

from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import address, clear_vectors, local
from ..ground.transpose import load_block
from .blocks import AHEAD, inputs_1d, outputs_1d, products, weights_1d
from .blocks import TILES as MOST
from .tables import SLOTS, TILES, WI, WO, at, ceil, make_block, pack, tiles_at, unpack

_TAPS = 16  # filters that are transformed one after the other
_FILTERS = (_TAPS * 25 + 16) * 16  # numbers of their taps, with room for a last piece
_SQUARE = 64 * 16  # numbers of a transform between its two directions
_WEIGHTS, _OWN, _INPUTS, _PANELS = range(4)  # what a share does


def winograd_weights(w, u, q, coef, threads):
    """u OUT: all weights transformed, [group][panel][chunk][f][ci][2*lanes]."""
    w, none = w.reshape(-1), coef[:0]
    _forward(w, w, u, none, none, u, u, as_table(none), q, coef, _WEIGHTS, 0, 0, 0, threads)


def winograd_tiles(x, u, bias, residual, y, work, q, coef, activation, threads):
    """y OUT, from transformed weights u; a thread takes its blocks of tiles through all stages. bias and residual may
    be empty."""
    x, y, residual = x.reshape(-1), y.reshape(-1), residual.reshape(-1)
    _forward(x, x, u, bias, residual, y, work, as_table(work), q, coef, _OWN, 0, 1, activation, threads)


def winograd_panels(x, w, u, bias, residual, y, work, q, coef, activation, threads):
    """y OUT; all threads transform a block of x, then each takes panels of outputs, whose weights it transforms
    when it needs them (or finds in u, if that is not empty)."""
    x, w, y, table, ready = x.reshape(-1), w.reshape(-1), y.reshape(-1), as_table(work), int(u.size > 0)
    u, residual = u if ready else work, residual.reshape(-1)
    for block in range(int(q[at.row_blocks] * q[at.col_blocks])):
        for what in (_INPUTS, _PANELS):
            _forward(x, w, u, bias, residual, y, work, table, q, coef, what, block, ready, activation, threads)


def as_table(work):
    """The workspace as int32."""
    return work.view(np.int32)


@step("u", "y", "work", "table")
def _forward(x, w, u, bias, residual, y, work, table, q, coef, what, block, ready, activation, ithr, nthr):
    """_WEIGHTS: into u; _OWN: blocks of tiles, all stages; _INPUTS, _PANELS: the stages of a block that all share.

    ready: u has the transformed weights; else u is the workspace, and they are made there.
    """
    L, groups = v.lanes(y), q[at.g]
    vectors, panels = (q[at.ci] + L - 1) // L, (q[at.co] + 2 * L - 1) // (2 * L)
    own = q[at.shared] + ithr * q[at.per_thread]
    t = (own + q[at.at_table]) * work.itemsize // table.itemsize
    i0, i1, units = block, block + 1, 1
    if what == _OWN:
        blocks = q[at.row_blocks] * q[at.col_blocks]
        i0, i1, units = blocks * ithr // nthr, blocks * (ithr + 1) // nthr, groups
    for i in range(i0, i1):
        if what in (_OWN, _INPUTS):
            make_block(q, i, table, t)
        for unit in range(units):
            a, b, c, d = unit * vectors, (unit + 1) * vectors, unit * panels, (unit + 1) * panels
            if what != _OWN:
                a, b = groups * vectors * ithr // nthr, groups * vectors * (ithr + 1) // nthr
                c, d = groups * panels * ithr // nthr, groups * panels * (ithr + 1) // nthr
            if what in (_OWN, _INPUTS):
                clear_slots(q, table, t, SLOTS, work, own + q[at.at_in])
                for k in range(a, b):
                    to = own + q[at.at_v] if what == _OWN else k // vectors * q[at.group_v]
                    pack(q, x, k // vectors, k % vectors * L, table, t, 0, work, own + q[at.at_in])
                    inputs(q, k % vectors * L, table, t, work, own + q[at.at_in], to, coef)
            if what != _INPUTS:
                for k in range(c, d):
                    inputs_at = own + q[at.at_v] if what == _OWN else k // panels * q[at.group_v]
                    _panel(q, w, u, bias, residual, y, k // panels, k % panels * 2 * L, table, t, work, inputs_at, own,
                           coef, what == _WEIGHTS, what != _WEIGHTS, ready, activation)  # fmt: skip


@v.inline
def clear_slots(q, table, t, count, work, i):
    """What lies outside the image stays zero."""
    clear_vectors(work, i, i + v.at(table, t + count) * v.lanes(work))


@v.inline
def frequencies(q):
    return (q[at.mh] + q[at.rh] - 1) * (q[at.mw] + q[at.rw] - 1)


@v.inline
def stage(s, flat, a, rs, cs, out, ors, ocs, between, k, last):
    """The first or second direction of a transform: how vectors are read and written, and how many times.

    A tile's vectors are rs and cs apart, the results ors and ocs; k columns of the tile go first, then `last` rows.
    """
    if flat:
        return a, cs, 0, out, ocs, 0, 1
    if s == 0:
        return a, rs, cs, between, k, 1, k
    return between, 1, k, out, ocs, ors, last


@v.inline
def inputs(q, c, table, t, work, slots, V, coef):
    """The tiles of a block, channels c .. c + lanes of a group, from slots to V."""
    L, between = v.lanes(work), address(local(work, _SQUARE), 0)
    flat, n, vs, held = q[at.flat], q[at.points], q[at.vf] // L, q[at.held]  # tiles of a vector
    rs = q[at.dh] * v.at(table, t + WI)
    cs = q[at.dw] if q[at.along_w] else rs
    tiles = v.at(table, t + TILES)
    groups = ceil(tiles, MOST)
    for g in range(groups):
        a, b = tiles * g // groups, tiles * (g + 1) // groups
        to = V + (a * L + held * c if held else a * q[at.cip] + (b - a) * c)
        for k in range(a, b):
            tile = address(work, slots + v.at(table, tiles_at(q, t) + 2 * k) * L)
            for s in range(flat, 2):
                source, gap, step, out, out_gap, out_step, many = stage(
                    s, flat, tile, rs, cs, address(work, to), n * vs, vs, between, n, n
                )
                inputs_1d(0, n, source, gap, step, out, out_gap, out_step, many, coef, 0)
            to += L


@v.copied
def _panel(
    q, w, u, bias, residual, y, group, o, table, t, work, V, own, coef, only_weights, multiply, ready, activation
):
    """Outputs o .. o + 2*lanes: weights unless u has them, products, inverse transform, store."""
    L, co, ci, kc, F = v.lanes(y), q[at.co], q[at.ci], q[at.kc], frequencies(q)
    chunks, panels, products_at = (ci + kc - 1) // kc, (co + 2 * L - 1) // (2 * L), own + q[at.at_m]
    tiles = v.at(table, t + TILES) if multiply else 0
    groups = (tiles + MOST - 1) // MOST
    for j in range(chunks):
        n = min(kc, ci - j * kc)
        iu = own + q[at.at_u]
        if ready or only_weights:
            iu = ((group * panels + o // (2 * L)) * chunks + j) * q[at.chunk]
        if not ready:
            for s in range(2):
                _weights(q, w, group, o + s * L, j * kc, n, u, iu + s * L, coef)
        if multiply:
            for f in range(F):
                if not ready:
                    _fetch_weights(q, w, group, o + 2 * L * ((j + 1) // chunks), (j + 1) % chunks * kc, f, F)
                for g in range(groups):
                    a, b = tiles * g // groups, tiles * (g + 1) // groups
                    x = V + f * q[at.vf] + a * q[at.cip] + (b - a) * j * kc
                    m = products_at + f * q[at.mf] + a * L
                    for k in range(0, n, q[at.sum]):  # short sums have smaller errors
                        products(v.lanes(work), b - a, work, x + k * (b - a), 1, (b - a) * L, L, u,
                                 iu + f * q[at.uf] + k * 2 * L, 2 * L, L,
                                 iu + f * q[at.uf] + (k + AHEAD) * 2 * L, work, m, L, tiles * L,
                                 min(n - k, q[at.sum]), j == 0 and k == 0)  # fmt: skip
    if multiply:
        for s in range(2 if co - o > L else 1):
            _outputs(q, table, t, work, products_at + s * tiles * L, own + q[at.at_out], coef)
            unpack(q, work, own + q[at.at_out], table, t, y, group, o + s * L, bias, residual, activation)


@v.inline
def _outputs(q, table, t, work, M_, slots, coef):
    """One vector of output channels of all tiles, from M to slots."""
    L, between = v.lanes(work), address(local(work, _SQUARE), 0)
    flat, n, m, vs = q[at.flat], q[at.points], q[at.m], q[at.mf] // L
    rs = q[at.dh] * v.at(table, t + WO)
    cs = q[at.dw] if q[at.along_w] else rs
    P = (n - 1) // 2
    for k in range(v.at(table, t + TILES)):
        to = address(work, slots + v.at(table, tiles_at(q, t) + 2 * k + 1) * L)
        for s in range(flat, 2):
            source, gap, step, out, out_gap, out_step, many = stage(
                s, flat, address(work, M_ + k * L), n * vs, vs, to, rs, cs, between, n, m
            )
            outputs_1d(0, 8 * n + m, source, gap, step, out, out_gap, out_step, many, coef, P + P * P)


@v.inline
def _weights(q, w, group, o, k, ci, u, iu, coef):
    """One vector of outputs from o on, input channels k .. k + ci: to u[f][ci][2*lanes]."""
    L, taps, between = v.lanes(u), local(u, _FILTERS), address(local(u, _SQUARE), 0)
    flat, n, m, r = q[at.flat], q[at.points], q[at.m], q[at.r]
    so, sc = q[at.so], q[at.sc]
    P, count, us = (n - 1) // 2, q[at.rh] * q[at.rw], q[at.uf] // L
    turn = -1 if q[at.flip] else 1
    corner = count - 1 if q[at.flip] else 0
    first = group * q[at.ci] * q[at.co] * count + o * so + k * sc
    outputs = max(0, min(q[at.co] - o, L))
    for c in range(0, ci, _TAPS):
        filters = min(ci - c, _TAPS)
        together = filters if sc == count else 1  # filters of neighbouring channels follow each other
        for p in range(0, filters, together):
            for i in range(0, together * count, L):  # the last piece writes over the end
                rows = load_block(w, first + (c + p) * sc + i, so, outputs, together * count - i)
                v.store_rows(taps, (p * count + i) * L, L, v.transpose(rows), L, L)
        for p in range(filters):
            for s in range(flat, 2):
                source, gap, step, out, out_gap, out_step, many = stage(
                    s,
                    flat,
                    address(taps, (p * count + corner) * L),
                    r * turn,
                    turn,
                    address(u, iu + 2 * (c + p) * L),
                    n * us,
                    us,
                    between,
                    r,
                    n,
                )
                weights_1d(0, 8 * n + r, source, gap, step, out, out_gap, out_step, many, coef, P + P * P + m * P)


@v.inline
def _fetch_weights(q, w, group, o, k, part, parts):
    """Prefetch one of so many parts of the panel that is transformed next."""
    L, count = v.lanes(w), q[at.rh] * q[at.rw]
    outputs, channels = min(2 * L, q[at.co] - o), min(q[at.kc], q[at.ci] - k)
    rows, size, step = outputs, channels * count, q[at.so]
    if q[at.sc] != count:
        rows, size, step = channels, outputs * count, q[at.sc]
    first = group * q[at.ci] * q[at.co] * count + o * q[at.so] + k * q[at.sc]
    if outputs > 0:
        for i in range(size * part // parts // 16, size * (part + 1) // parts // 16):
            for r in range(rows):
                v.prefetch(w, first + r * step + 16 * i)
