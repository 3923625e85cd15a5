"""Convolution by tiles of FFTs, groups of few channels: lanes are outputs, or tiles of one channel.

Nothing is shared between outputs. A tile goes through all stages at once; the sums go back to rows in the place of
the tile's own rows.
"""

from __future__ import annotations

from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import address, clear_vectors, local
from . import tables as tb
from .routines import column, column_back, kernel_rows, kernel_rows_back, rows, rows_back, store_taps, weight_column
from .tables import adding, at, ceil, fill_table, kept, place_kernels, place_lanes, real

_SPECTRA, _TILES, _SUMS, _RESULTS = range(4)  # what a share does


def fft_tiled_points(x, w, bias, residual, y, work, q, place, twiddles, activation, threads):
    """y OUT; bias and residual may be empty."""
    x, w, y, code = x.reshape(-1), w.reshape(-1), y.reshape(-1), tb.shared.addresses(x.dtype)
    for what in (_SPECTRA, _TILES)[1 - int(q[at.lanes_are_tiles]) :]:
        _points(x, w, bias, residual.reshape(-1), y, work, q, place, twiddles, code, activation, what, threads)


def fft_tiled_points_grad_weight(dy, x, dw, work, q, place, twiddles, threads):
    """dw OUT."""
    dy, x, dw, code = dy.reshape(-1), x.reshape(-1), dw.reshape(-1), tb.shared.addresses(x.dtype)
    for what in (_SUMS, _RESULTS):
        _gradient(dy, x, dw, work, q, place, twiddles, code, what, threads)


@step("y", "work")
def _points(x, w, bias, residual, y, work, q, place, twiddles, code, activation, what, ithr, nthr):
    """_SPECTRA: of the weights, if lanes are tiles, a number each: [output][phase of it][input][column][frequency];
    _TILES: all stages."""
    s, k, pairs, L, add = tb.table(), tb.table(), tb.table(), v.lanes(work), local(work, 16)
    fill_table(q, place, twiddles, code, work, ithr, s)
    g, ci, co = v.at(q, at.g), v.at(q, at.ci), v.at(q, at.co)
    sp, dp = phases(s, at.h.sp, at.w.sp), phases(s, at.h.dp, at.w.dp)
    columns, by_tiles, unit_r = v.at(q, at.w.t) // 2 + 1, v.at(q, at.lanes_are_tiles), v.at(q, at.unit_r)
    a, r, f = kept(address(work, 0), s, tb.A), kept(address(work, 0), s, tb.ROWS), address(work, v.at(q, at.kernels))
    if by_tiles == (what == _SPECTRA):
        clear_vectors(kept(a, s, tb.KERNELS), 0, v.at(q, at.kernel) * L)  # some rows and columns a phase does not have
    if what == _SPECTRA:
        units = ceil(g * co * ci, L)
        for i in range(units * ithr // nthr, units * (ithr + 1) // nthr):
            count = min(L, g * co * ci - i * L)
            place_kernels(s, k, 1, 1, i * L, count, 0, L)
            kernel_rows(s, address(w, 0), k, r, unit_r)
            for b in range(sp * dp):
                _spread(s, address(r, b * unit_r * L), i * L, count, b, f)
    else:
        inputs, blocks, outputs = ci * sp, ceil(v.at(q, at.tiles) if by_tiles else g * co, L), co * dp
        items, kind, done = g * blocks, tb.TILES_, -1
        if not by_tiles:
            items, kind, outputs = blocks * dp * v.at(q, at.tiles), tb.OUTPUTS, 1
        z = address(a, inputs * v.at(q, at.unit_a) * L if outputs > 1 else 0)
        adds = adding(bias, residual)
        for i in range(items * ithr // nthr, items * (ithr + 1) // nthr):
            group, first, tile, count = i // blocks, i % blocks * L, i % blocks * L, v.at(q, at.tiles)
            o0 = 0
            if not by_tiles:
                group, tile, o0 = 0, i % v.at(q, at.tiles), i // v.at(q, at.tiles) % dp
                first, count = i // (v.at(q, at.tiles) * dp) * L, g * co
            count = min(L, count - first)
            if not by_tiles and first != done:
                for c in range(ci):
                    place_kernels(s, k, 1, 0, first, count, c, L)
                    kernel_rows(s, address(w, 0), k, address(r, c * unit_r * L), ci * unit_r)
                done = first
            for j in range(inputs):
                place_lanes(s, k, 1, kind, group * ci + j % ci if by_tiles else first, tile, j // ci, count, j % ci, L)
                rows(s, address(x, 0), k, v.at(q, at.h.t), v.at(q, at.w.t),
                     address(a, j * v.at(q, at.unit_a) * L), address(pairs, 2 * j))  # fmt: skip
            for o in range(o0, o0 + outputs):  # a phase of all lanes, or an output and its phase
                spectra = address(f, (group * outputs + o) * inputs * columns * 2 * v.at(q, at.h.t))
                _tile(s, a, address(r, o * ci * unit_r * L), spectra, pairs, z)
                c = group * co + o // dp
                place_lanes(s, k, 0, kind, c if by_tiles else first, tile, o % dp, count, 0, L)
                if bias.size:
                    v.store(add, 0, v.splat_at(bias, c) if by_tiles else v.load_part(bias, first, count))
                rows_back(s, z, v.at(q, at.row_a), address(y, 0), k, address(add, 0), address(residual, 0), adds,
                          activation)  # fmt: skip


@v.copied
def phases(s, h, w):
    """Phases that are channels, of the source (sp of both axes) or the destination (dp)."""
    return v.at(s, h) * v.at(s, w)


@v.copied
def _spread(s, r, first, count, phase, f):
    """Spectra of the kernels of all lanes, in one phase, from their rows to where each pair has its own."""
    L, t, ci, columns = v.lanes(r), v.at(s, at.h.t), v.at(s, at.ci), v.at(s, at.w.t) // 2 + 1
    w, many = kept(r, s, tb.WEIGHTS), phases(s, at.h.sp, at.w.sp) * phases(s, at.h.dp, at.w.dp)
    for i in range(columns):
        weight_column(s, r, i, w, 2)
        for lane in range(count):
            pair = first + lane
            to = (((pair // ci * many + phase) * ci + pair % ci) * columns + i) * t * 2
            for u in range(2 * t):
                v.put(f, to + u, v.at(w, u * L + lane))


@v.inline
def _products(x, w, f, by_tiles, add, t, p):
    """p (+)= x conj(w), or conj(f), a spectrum of numbers."""
    L = v.lanes(x)
    for u in range(t):
        i = 2 * u * L
        if by_tiles:
            wr, wi = v.splat_at(f, 2 * u), v.splat_at(f, 2 * u + 1)
        else:
            wr, wi = v.load(w, i), v.load(w, i + L)
        xr, xi = v.load(x, i), v.load(x, i + L)
        re, im = xr * wr + xi * wi, xi * wr - xr * wi
        if add:
            re += v.load(p, i)
            im += v.load(p, i + L)
        v.store(p, i, re)
        v.store(p, i + L, im)


@v.copied
def _tile(s, a, r, f, pairs, z):
    """All columns of a tile, or of a vector of them: the inputs' rows are in a, the result's go to z."""
    L, t, columns = v.lanes(a), v.at(s, at.h.t), v.at(s, at.w.t) // 2 + 1
    x, w, by_tiles = kept(a, s, tb.PRODUCTS), kept(a, s, tb.WEIGHTS), v.at(s, at.lanes_are_tiles)
    sums, inputs = address(x, 2 * t * L), v.at(s, at.ci) * phases(s, at.h.sp, at.w.sp)
    for i in range(columns):
        for j in range(inputs):
            column(s, address(a, j * v.at(s, at.unit_a) * L), i, v.at(pairs, 2 * j), v.at(pairs, 2 * j + 1), t, x)
            if not by_tiles:
                weight_column(s, address(r, j * v.at(s, at.unit_r) * L), i, w, 2)
            _products(x, w, address(f, (j * columns + i) * t * 2), by_tiles, j > 0, t, sums)
        column_back(s, sums, i, v.at(s, at.h.out), 0, z, v.at(s, at.row_a), 2)


@step("dw", "work")
def _gradient(dy, x, dw, work, q, place, twiddles, code, what, ithr, nthr):
    """_SUMS: products of dy and x, summed over runs of tiles, rows of the sums as [run][unit][phase]; _RESULTS: the
    runs' sums, in their order, transformed back."""
    s, k, pairs, L = tb.table(), tb.table(), tb.table(), v.lanes(work)
    fill_table(q, place, twiddles, code, work, ithr, s)
    ci, co, sp, by_tiles = v.at(q, at.ci), v.at(q, at.co), phases(s, at.h.sp, at.w.sp), v.at(q, at.lanes_are_tiles)
    outputs, unit_r, parts = v.at(q, at.g) * co, v.at(q, at.unit_r), v.at(q, at.parts)
    lanes, blocks = (1, ceil(v.at(q, at.tiles), L)) if by_tiles else (L, v.at(q, at.tiles))
    units, R = ceil(outputs, lanes) * ci, address(work, v.at(q, at.kernels))
    if what == _SUMS:
        for i in range(units * parts * ithr // nthr, units * parts * (ithr + 1) // nthr):
            unit, run = i % units, i // units
            _sums(s, k, pairs, address(x, 0), address(dy, 0), unit // ci * lanes, unit % ci, blocks * run // parts,
                  blocks * (run + 1) // parts, address(R, i * sp * unit_r * L))  # fmt: skip
    else:
        size = sp * unit_r * L
        for i in range(units * ithr // nthr, units * (ithr + 1) // nthr):
            for j in range(1, parts):
                for e in range(i * size, (i + 1) * size, L):
                    v.store(R, e, v.load(R, e) + v.load(R, j * units * size + e))
            o = i // ci * lanes
            place_kernels(s, k, 0, 0, o, min(lanes, outputs - o), i % ci, L)
            kernel_rows_back(s, address(R, i * size), unit_r)
            if by_tiles:
                _add_lanes(s, address(dw, v.at(k, tb.ORIGIN)), kept(R, s, tb.KERNELS))
            else:
                store_taps(s, address(dw, 0), k)


@v.copied
def _add_lanes(s, dw, taps):
    """The kernel of which lanes hold parts."""
    L, places = v.lanes(taps), kept(s, s, tb.PLACES)
    scale = real(taps, 0.25 / (v.at(s, at.h.t) * v.at(s, at.w.t)))
    for t in range(v.at(s, at.taps)):
        v.put(dw, t, v.lane_sum(v.load(taps, v.at(places, t) * L)) * scale)


@v.copied
def _sums(s, k, pairs, x, dy, o, c, first, stop, R):
    """Output o, or those from there on, and input c: over tiles, or vectors of them, first to stop."""
    L, t, columns, sp = v.lanes(x), v.at(s, at.h.t), v.at(s, at.w.t) // 2 + 1, phases(s, at.h.sp, at.w.sp)
    by_tiles, unit_a, a = v.at(s, at.lanes_are_tiles), v.at(s, at.unit_a), kept(x, s, tb.A)
    p, w, ci, co = kept(x, s, tb.PRODUCTS), kept(x, s, tb.WEIGHTS), v.at(s, at.ci), v.at(s, at.co)
    kind, plane, step, count = tb.OUTPUTS, o, 1, min(L, v.at(s, at.g) * co - o)
    if by_tiles:
        kind, plane, step = tb.TILES_, o // co * ci + c, L
    rows_of_dy = address(a, sp * unit_a * L)
    for j in range(first, stop):
        if by_tiles:
            count = min(L, v.at(s, at.tiles) - j * L)
        for b in range(sp):
            place_lanes(s, k, 1, kind, plane, j * step, b, count, c, L)
            rows(s, x, k, t, v.at(s, at.w.t), address(a, b * unit_a * L), address(pairs, 2 * b))
        place_lanes(s, k, 0, kind, o, j * step, 0, count, 0, L)
        rows(s, dy, k, v.at(s, at.h.out), v.at(s, at.w.out), rows_of_dy, address(pairs, 2 * sp))
        for i in range(columns):
            column(s, rows_of_dy, i, v.at(pairs, 2 * sp), v.at(pairs, 2 * sp + 1), v.at(s, at.h.out), w)
            for b in range(sp):
                sums = address(p, 2 * t * L)
                if stop - first > 1:
                    sums = address(kept(x, s, tb.SUMS), (b * columns + i) * 2 * t * L)
                column(s, address(a, b * unit_a * L), i, v.at(pairs, 2 * b), v.at(pairs, 2 * b + 1), t, p)
                _products(p, w, w, 0, j > first, t, sums)
                if j == stop - 1:
                    column_back(
                        s, sums, i, v.at(s, at.h.taps), 0, address(R, b * v.at(s, at.unit_r) * L), v.at(s, at.row_r), 2
                    )
