"""Convolution by tiles of FFTs, groups of many channels: lanes are channels.

Spectra of the tiles are X[tile][block of channels][column][row frequency]; those of the weights are made column by
column, from their row transforms R[channel][block of outputs][column][pair of rows], multiplied at once, and the sums
go back to rows in Z.
"""

from __future__ import annotations

from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import address, clear_vectors, local
from . import tables as tb
from .routines import column, column_back, kernel_rows, multiply, rows, rows_back, weight_column
from .tables import adding, at, ceil, fill_table, kept, place_kernels, place_lanes

_SOURCES, _PRODUCTS, _DESTINATIONS = range(3)  # what a share does


def fft_tiled_weights(w, r, work, q, place, twiddles, threads):
    """r OUT: row transforms of all weights, a group after the other."""
    w, code = w.reshape(-1), tb.shared.addresses(w.dtype)
    step = r.size // int(q[at.g])
    for group in range(int(q[at.g])):
        _channels(w, w, r, twiddles[:0], twiddles[:0], r, work, q, place, twiddles, code, 0, _SOURCES, group, 0, 0, 0,
                  int(q[at.cob]), group * step, threads)  # fmt: skip


def fft_tiled_channels(x, w, r, bias, residual, y, work, q, place, twiddles, activation, threads):
    """y OUT. r: row transforms of the weights, or empty; bias and residual may be empty."""
    x, w, y, code = x.reshape(-1), w.reshape(-1), y.reshape(-1), tb.shared.addresses(x.dtype)
    residual = residual.reshape(-1)
    outputs, tiles = int(q[at.dblocks]), int(q[at.tiles])
    most_tiles, most = int(q[at.tile_block]), int(q[at.dst_block])
    kept_rows, at_r, step = (r, 0, r.size // int(q[at.g])) if r.size else (work, int(q[at.kernels]), 0)
    for group in range(int(q[at.g])):
        for tile in range(0, tiles, most_tiles):
            for block in range(0, outputs, most):
                kernels = int(q[at.cob]) if not r.size and block == tile == 0 else 0
                for what in (_SOURCES, _PRODUCTS, _DESTINATIONS)[block > 0 :]:
                    _channels(x, w, kept_rows, bias, residual, y, work, q, place, twiddles, code, activation, what,
                              group, tile, min(most_tiles, tiles - tile), block,
                              kernels if what == _SOURCES else min(most, outputs - block), at_r + group * step,
                              threads)  # fmt: skip


@step("r", "y", "work")
def _channels(
    x, w, r, bias, residual, y, work, q, place, twiddles, code, activation, what, group, tile, tiles, block, blocks,
    at_r, ithr, nthr
):  # fmt: skip
    """_SOURCES: spectra of `tiles` tiles, row transforms of weights for `blocks` vectors of outputs from `block` on;
    _PRODUCTS: with the weights, for these outputs; _DESTINATIONS: their pixels."""
    s, k, pairs, L = tb.table(), tb.table(), tb.table(), v.lanes(work)
    fill_table(q, place, twiddles, code, work, ithr, s)
    X, Z = address(work, v.at(q, at.spectra)), address(work, v.at(q, at.sums))
    R, ci, sblocks, dblocks = address(r, at_r), v.at(q, at.ci), v.at(q, at.sblocks), v.at(q, at.dblocks)
    if what == _SOURCES:
        units = tiles * sblocks
        for i in range(units * ithr // nthr, units * (ithr + 1) // nthr):
            source_unit(s, k, pairs, address(x, 0), 1, group, tile + i // sblocks, i % sblocks,
                        address(X, i * v.at(q, at.unit_x) * L))  # fmt: skip
        units = ci * blocks
        if units:  # some rows and columns a phase does not have
            clear_vectors(kept(X, s, tb.KERNELS), 0, v.at(q, at.kernel) * L)
        for i in range(units * ithr // nthr, units * (ithr + 1) // nthr):
            c, o = i // blocks, i % blocks
            phase = ci * dblocks if v.at(q, at.h.sp) * v.at(q, at.w.sp) > 1 else v.at(q, at.cob)
            place_kernels(s, k, 1, 0, group * v.at(q, at.co) + o * L, min(L, v.at(q, at.co) - o * L), c, L)
            kernel_rows(
                s, address(w, 0), k, address(R, (c * dblocks + o) * v.at(q, at.unit_r) * L), phase * v.at(q, at.unit_r)
            )
    elif what == _PRODUCTS:
        panels = ceil(blocks, 2)
        units = (v.at(q, at.w.t) // 2 + 1) * panels
        for i in range(units * ithr // nthr, units * (ithr + 1) // nthr):
            o = i % panels * 2
            _product_unit(
                s, X, R, address(Z, o * v.at(q, at.unit_z) * L), i // panels, min(2, blocks - o), block + o, tiles
            )
    else:
        add, adds = local(work, 16), adding(bias, residual)
        for i in range(tiles * blocks * ithr // nthr, tiles * blocks * (ithr + 1) // nthr):
            o = (block + i % blocks) % v.at(q, at.cob) * L
            count = min(L, v.at(q, at.co) - o)
            place_lanes(s, k, 0, tb.CHANNELS, group * v.at(q, at.co) + o, tile + i // blocks,
                        (block + i % blocks) // v.at(q, at.cob), count, 0, L)  # fmt: skip
            if bias.size:
                v.store(add, 0, v.load_part(bias, group * v.at(q, at.co) + o, count))
            z = (i // blocks * v.at(q, at.dst_block) + i % blocks) * v.at(q, at.unit_z)
            rows_back(s, address(Z, z * L), v.at(q, at.row_z), address(y, 0), k, address(add, 0), address(residual, 0),
                      adds, activation)  # fmt: skip


@v.inline
def source_unit(s, k, pairs, planes, source, group, tile, block, x):
    """The spectrum of one tile and block of channels, of the source or destination: x[column][row frequency]."""
    L, a, blocks = v.lanes(x), kept(x, s, tb.A), v.at(s, at.cib if source else at.cob)
    channels, high, wide = v.at(s, at.ci), v.at(s, at.h.t), v.at(s, at.w.t)
    if not source:
        channels, high, wide = v.at(s, at.co), v.at(s, at.h.out), v.at(s, at.w.out)
    c = block % blocks * L
    place_lanes(s, k, source, tb.CHANNELS, group * channels + c, tile, block // blocks, min(L, channels - c), 0, L)
    rows(s, planes, k, high, wide, a, pairs)
    for i in range(v.at(s, at.w.t) // 2 + 1):
        column(s, a, i, v.at(pairs, 0), v.at(pairs, 1), high, address(x, i * v.at(s, at.row_x) * L))


@v.copied
def _product_unit(s, X, R, Z, i, nv, first, tiles):
    """Column i of up to two blocks of outputs, from `first` on: weights, products, rows of the sums to Z."""
    L, ci, cib, sblocks = v.lanes(X), v.at(s, at.ci), v.at(s, at.cib), v.at(s, at.sblocks)
    high, t, row_w, row_p = v.at(s, at.h.t), v.at(s, at.w.t), v.at(s, at.row_w), v.at(s, at.row_p)
    unit_x, unit_r, row_r, pairs = v.at(s, at.unit_x), v.at(s, at.unit_r), v.at(s, at.row_r), v.at(s, at.h.taps)
    weights, products, pairs = kept(X, s, tb.WEIGHTS), kept(X, s, tb.PRODUCTS), ceil(pairs, 2)
    for k0 in range(0, sblocks, v.at(s, at.src_chunk)):
        k1, k = min(k0 + v.at(s, at.src_chunk), sblocks), 0
        for b in range(k0, k1):
            for c in range(min(L, ci - b % cib * L)):
                for o in range(nv):
                    place = (b // cib * ci + b % cib * L + c) * v.at(s, at.dblocks) + first + o
                    r = address(R, place * unit_r * L)
                    for j in range(2 * pairs):  # of the weights after the next ones
                        v.prefetch(r, (2 * unit_r + i * row_r + j) * L)
                        v.prefetch(r, (2 * unit_r + (t - i) * row_r + j) * L)
                    weight_column(s, r, i, address(weights, 2 * (k * nv + o) * L), row_w)
                k += 1
        for u in range(high):
            x = address(X, (i * v.at(s, at.row_x) + 2 * u) * L)
            for j in range(tiles * sblocks):  # too many streams for the hardware to see
                v.prefetch(x, (j * unit_x + 8) * L)
                v.prefetch(x, (j * unit_x + 9) * L)
            multiply(s, nv, tiles, address(x, k0 * unit_x * L), sblocks * unit_x * L, unit_x * L, k1 - k0, k0, 1,
                     address(weights, u * row_w * L), 2 * nv, 2, address(products, 2 * u * L), 2 * row_p, row_p,
                     int(k0 == 0))  # fmt: skip
    for j in range(tiles):
        for o in range(nv):
            column_back(s, address(products, (2 * j + o) * row_p * L), i, v.at(s, at.h.out), 0,
                        address(Z, (j * v.at(s, at.dst_block) + o) * v.at(s, at.unit_z) * L), v.at(s, at.row_z),
                        2)  # fmt: skip
