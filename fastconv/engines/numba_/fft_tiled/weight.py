"""grad_weight by tiles of FFTs, groups of many channels: lanes are channels.

The spectra of x are X, those of dy, with the outputs of a tile and zeros, are Q. Products are summed over the tiles
of a block, column by column; their rows are summed in R.
"""

from __future__ import annotations

from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import address
from . import tables as tb
from .routines import column_back, kernel_rows_back, multiply, store_taps
from .steps import source_unit
from .tables import at, ceil, fill_table, kept, place_kernels

_SOURCES, _PRODUCTS, _RESULTS = range(3)  # what a share does


def fft_tiled_channels_grad_weight(dy, x, dw, work, q, place, twiddles, threads):
    """dw OUT."""
    dy, x, dw, code = dy.reshape(-1), x.reshape(-1), dw.reshape(-1), tb.shared.addresses(x.dtype)
    tiles, most = int(q[at.tiles]), int(q[at.tile_block])
    for group in range(int(q[at.g])):
        stages = [(what, tile) for tile in range(0, tiles, most) for what in (_SOURCES, _PRODUCTS)]
        for what, tile in [*stages, (_RESULTS, 0)]:
            _gradient(dy, x, dw, work, q, place, twiddles, code, what, group, tile, min(most, tiles - tile), threads)


@step("dw", "work")
def _gradient(dy, x, dw, work, q, place, twiddles, code, what, group, tile, tiles, ithr, nthr):
    """_SOURCES: spectra of some tiles of x and dy; _PRODUCTS: rows of the sums of their products; _RESULTS: kernels."""
    s, k, pairs, L = tb.table(), tb.table(), tb.table(), v.lanes(work)
    fill_table(q, place, twiddles, code, work, ithr, s)
    X, Q, R = address(work, v.at(q, at.spectra)), address(work, v.at(q, at.sums)), address(work, v.at(q, at.kernels))
    ci, co, sblocks, dblocks = v.at(q, at.ci), v.at(q, at.co), v.at(q, at.sblocks), v.at(q, at.dblocks)
    unit_x, unit_r = v.at(q, at.unit_x), v.at(q, at.unit_r)
    if what == _SOURCES:
        first = tiles * sblocks
        units = first + tiles * dblocks
        for i in range(units * ithr // nthr, units * (ithr + 1) // nthr):
            source, blocks, j, planes, to = 1, sblocks, i, address(x, 0), X
            if i >= first:
                source, blocks, j, planes, to = 0, dblocks, i - first, address(dy, 0), Q
            source_unit(s, k, pairs, planes, source, group, tile + j // blocks, j % blocks, address(to, j * unit_x * L))
    elif what == _PRODUCTS:
        panels = ceil(dblocks, 2)
        units = (v.at(q, at.w.t) // 2 + 1) * panels * sblocks
        for i in range(units * ithr // nthr, units * (ithr + 1) // nthr):
            c, o = i % sblocks % v.at(q, at.cib) * L, i // sblocks % panels * 2
            to = (i % sblocks // v.at(q, at.cib) * ci + c) * dblocks + o
            _product_unit(s, address(X, i % sblocks * unit_x * L), address(Q, o * unit_x * L),
                          address(R, to * unit_r * L), i // (panels * sblocks), min(2, dblocks - o), min(L, ci - c),
                          tiles, tile > 0)  # fmt: skip
    else:
        for i in range(ci * dblocks * ithr // nthr, ci * dblocks * (ithr + 1) // nthr):
            o = i % dblocks * L
            place_kernels(s, k, 0, 0, group * co + o, min(L, co - o), i // dblocks, L)
            kernel_rows_back(s, address(R, i * unit_r * L), ci * dblocks * unit_r)
            store_taps(s, address(dw, 0), k)


@v.copied
def _product_unit(s, X, Q, R, i, nv, n, tiles, add):
    """Column i of n inputs and up to two blocks of outputs: products, summed over tiles, rows of the sums to R."""
    L, sblocks, dblocks, unit_x = v.lanes(X), v.at(s, at.sblocks), v.at(s, at.dblocks), v.at(s, at.unit_x)
    products, row_p = kept(X, s, tb.PRODUCTS), v.at(s, at.row_p)
    for u in range(v.at(s, at.h.t)):
        place = (i * v.at(s, at.row_x) + 2 * u) * L
        for t in range(tiles):
            for e in range(8, 10):
                v.prefetch(X, place + (t * sblocks * unit_x + e) * L)
                for o in range(nv):
                    v.prefetch(Q, place + ((t * dblocks + o) * unit_x + e) * L)
        multiply(s, nv, n, address(X, place), 1, sblocks * unit_x * L, tiles, 0, 0, address(Q, place),
                 dblocks * unit_x, unit_x, address(products, 2 * u * L), 2 * row_p, row_p, 1)  # fmt: skip
    for c in range(n):
        for o in range(nv):
            column_back(s, address(products, (2 * c + o) * row_p * L), i, v.at(s, at.h.taps), int(add),
                        address(R, (c * dblocks + o) * v.at(s, at.unit_r) * L), v.at(s, at.row_r), 2)  # fmt: skip
