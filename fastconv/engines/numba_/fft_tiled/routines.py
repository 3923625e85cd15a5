"""FFT tiles: what all passes are made of. Transforms of tiles, by rows and then column by column, and back.

`s` is the table of a share and `k` one of lanes (tables.py). Two rows make one complex signal. Places and
steps count vectors. A transform of length n1 * n2 is two passes (Cooley and Tukey 1965): signal n2 * j + i goes to
frequency k + n1 * lane. The inverse swaps real and imaginary parts, before and after.
"""

from __future__ import annotations

from ..ground import vector as v
from ..ground.epilogue import activate
from ..ground.memory import address
from . import tables as tb
from .blocks import ROWS, complex_products, first_pass, last_pass
from .pixels import load_block, load_row, store_block, store_row
from .tables import at, ceil, kept, real, routine


@routine("naannaann")
def transform(s, kind, re, im, step, count, outr, outi, out, stop):
    """Frequencies below `stop` of complex signals, of which the first `count` numbers are not zero.

    kind: TILE_H, TILE_W, KERNEL_H or KERNEL_W.
    """
    n1, n2, y, row = v.at(s, kind), v.at(s, kind + 1), kept(re, s, tb.Y), 0
    if count > n2:  # else the first pass would only copy
        row = 2 * n2 + 2
        first_pass(n1, n2, re, im, step, count, y, row)
        re, im, step, count = y, address(y, v.lanes(re)), 2, n2
    last_pass(n2, n1, re, im, step, row, count, kept(re, s, kind + 2), outr, outi, out, stop)


@routine("nnannnnnannannn")
def multiply(s, nv, nm, a, am, ak, blocks, start, channels, b, bk, bv, c, cm, cv, first):
    """c[m][v] (+)= sum over k of a[m][k] * conj(b[k][v]) in even blocks; k runs over blocks of channels, or tiles."""
    parts, step, inner, around, most = ceil(nm, ROWS), 1, v.lanes(a), v.at(s, at.cib), v.at(s, at.ci)
    if not channels:
        step, inner, around, most, blocks = ak, blocks, 1, blocks, 1
    for i in range(parts):
        m = nm * i // parts
        complex_products(nv, nm * (i + 1) // parts - m, address(a, m * am), am, step, ak, blocks, inner, start,
                         around, most, b, bk, bv, address(c, m * cm * v.lanes(a)), cm, cv, first != 0)  # fmt: skip


@routine("ainnai")
def rows(s, planes, k, count, columns, a, pairs):
    """Row transforms of a tile: a[frequency][pair of rows], for `pairs` from, to; others are zero."""
    columns, last = min(columns, v.at(k, tb.RIGHT_ANY)), min(v.at(k, tb.LAST), count)
    start, stop, row, L = min(v.at(k, tb.FIRST), count) // 2, ceil(last, 2), kept(a, s, tb.ROW), v.lanes(a)
    if columns <= 0 or stop <= start:
        start = stop = 0
    v.put(pairs, 0, start)
    v.put(pairs, 1, stop)
    for j in range(start, stop):
        for half in range(2):
            load_row(
                planes, k, 2 * j + half if 2 * j + half < count else v.at(k, tb.LAST), columns, address(row, half * L)
            )
        transform(s, tb.TILE_W, row, address(row, L), 2, columns, address(a, 2 * j * L), address(a, (2 * j + 1) * L),
                  v.at(s, at.row_a), v.at(s, at.w.t))  # fmt: skip


@routine("anaiaann")
def rows_back(s, z, row_z, planes, k, bias, residual, adds, code):
    """activation(tile's outputs + the bias of every lane + residual) to the planes."""
    count, columns, t = v.at(s, at.h.out), v.at(s, at.w.out), v.at(s, at.w.t)
    row, more, L = kept(z, s, tb.ROW), kept(z, s, tb.RESIDUAL), v.lanes(z)
    for j in range(v.at(k, tb.FIRST) // 2, ceil(min(v.at(k, tb.LAST), count), 2)):
        p = address(z, 2 * j * L)
        for i in range(t):
            v.prefetch(p, (i * row_z + 2) * L)
        transform(s, tb.TILE_W, address(p, L), p, row_z, t, address(row, L), row, 2, columns)
        if adds & tb.ADDS_RESIDUAL:
            for half in range(2):
                r = 2 * j + half if 2 * j + half < count else v.at(k, tb.LAST)
                load_row(residual, k, r, columns, address(more, half * L))
        for i in range(2 * columns if adds or code else 0):
            x = v.load(row, i * L)
            if adds & tb.ADDS_BIAS:
                x = x + v.load(bias, 0)
            if adds & tb.ADDS_RESIDUAL:
                x = x + v.load(more, i * L)
            v.store(row, i * L, activate(x, code))
        for half in range(min(2, count - 2 * j)):
            store_row(planes, k, 2 * j + half, columns, address(row, half * L))


@v.inline
def separate(p, n, step, start, stop, column):
    """Rows of column v from those of columns v and -v of the complex signals (all times two)."""
    L = v.lanes(p)
    for i in range(4 * start):
        v.store(column, i * L, v.zero(p))
    for j in range(start, stop):
        i, o = j * step * L, 4 * j * L
        a, b, c, d = v.load(p, i), v.load(p, i + L), v.load(n, i), v.load(n, i + L)
        v.store(column, o, a + c)
        v.store(column, o + L, b - d)
        v.store(column, o + 2 * L, b + d)
        v.store(column, o + 3 * L, c - a)


@routine("annnna")
def column(s, a, i, start, stop, count, x):
    """Transform of column i, of `count` rows: x[frequency] complex."""
    L, t, c = v.lanes(a), v.at(s, at.w.t), kept(a, s, tb.COLUMN)
    row = v.at(s, at.row_a) * L
    separate(address(a, i * row), address(a, (t - i if i else 0) * row), 2, start, stop, c)
    transform(s, tb.TILE_H, c, address(c, L), 2, min(count, 2 * stop), x, address(x, L), 2, v.at(s, at.h.t))


@routine("anan")
def weight_column(s, r, i, w, out):
    """Transform of column i of kernels, from those of their rows."""
    L, t, c, taps = v.lanes(r), v.at(s, at.w.t), kept(r, s, tb.COLUMN), v.at(s, at.h.taps)
    other, row = t - i if i else 0, v.at(s, at.row_r)
    separate(address(r, i * row * L), address(r, other * row * L), 2, 0, ceil(taps, 2), c)
    transform(s, tb.KERNEL_H, c, address(c, L), 2, taps, w, address(w, L), out, v.at(s, at.h.t))


@v.inline
def _put(z, i, re, im, add):
    if add:
        re += v.load(z, i)
        im += v.load(z, i + v.lanes(z))
    v.store(z, i, re)
    v.store(z, i + v.lanes(z), im)


@routine("annnann")
def column_back(s, x, i, count, add, z, step, row):
    """`count` rows of column i, and of its counterpart, from its frequencies; `step` and `row` to the next column, row.

    They are added to what is there if `add`. A column that is its own counterpart is real.
    """
    L, t, c = v.lanes(x), v.at(s, at.w.t), kept(x, s, tb.COLUMN)
    transform(s, tb.TILE_H, address(x, L), x, 2, v.at(s, at.h.t), address(c, L), c, 2, count)
    p, n = i * step * L, (t - i) * step * L
    for j in range(ceil(count, 2)):
        o = 4 * j * L
        ar, ai, br, bi = v.load(c, o), v.load(c, o + L), v.zero(c), v.zero(c)
        if 2 * j + 1 < count:
            br, bi = v.load(c, o + 2 * L), v.load(c, o + 3 * L)
        if i == 0 or 2 * i == t:
            ai, bi = v.zero(c), v.zero(c)
        _put(z, p + j * row * L, ar - bi, ai + br, add)
        if i != 0 and 2 * i != t:
            _put(z, n + j * row * L, ar + bi, br - ai, add)


@routine("aian")
def kernel_rows(s, w, k, r, step):
    """Row transforms of the kernels of all lanes: r[column][pair of rows]; `step` between phases."""
    L, count, taps, t = v.lanes(w), v.at(s, at.taps), kept(w, s, tb.KERNELS), v.at(s, at.w.taps)
    row, places, scale = kept(w, s, tb.ROW), kept(s, s, tb.PLACES), v.splat(_scale(s, w))
    for i in range(0, count, L):
        load_block(w, k, 0, i, i + L <= v.at(k, tb.RIGHT_ALL), row)
        for lane in range(min(L, count - i)):
            v.store(taps, v.at(places, i + lane) * L, v.load(row, 2 * lane * L) * scale)
    pairs, row = ceil(v.at(s, at.h.taps), 2), v.at(s, at.row_k)
    for phase in range(v.at(s, at.kernel) // (2 * pairs * row)):
        for j in range(pairs):
            o = address(r, (phase * step + 2 * j) * L)
            p = address(taps, 2 * (phase * pairs + j) * row * L)
            for i in range(2 * v.at(s, at.w.t)):  # of the next pair
                v.prefetch_write(o, (i // 2 * v.at(s, at.row_r) + 2 + i % 2) * L)
            transform(
                s, tb.KERNEL_W, p, address(p, row * L), 1, t, o, address(o, L), v.at(s, at.row_r), v.at(s, at.w.t)
            )


@routine("an")
def kernel_rows_back(s, r, step):
    """The reverse, to the scratch for kernels; not scaled."""
    L, taps, t = v.lanes(r), kept(r, s, tb.KERNELS), v.at(s, at.w.taps)
    pairs, row = ceil(v.at(s, at.h.taps), 2), v.at(s, at.row_k)
    for phase in range(v.at(s, at.h.sp) * v.at(s, at.w.sp)):
        for j in range(pairs):
            p = address(r, (phase * step + 2 * j) * L)
            o = address(taps, 2 * (phase * pairs + j) * row * L)
            transform(s, tb.TILE_W, address(p, L), p, v.at(s, at.row_r), v.at(s, at.w.t), address(o, row * L), o, 1, t)


@routine("ai")
def store_taps(s, dw, k):
    """Kernels of all lanes, scaled, from the scratch."""
    L, count, taps = v.lanes(dw), v.at(s, at.taps), kept(dw, s, tb.KERNELS)
    row, places, scale = kept(dw, s, tb.ROW), kept(s, s, tb.PLACES), v.splat(_scale(s, dw))
    for i in range(0, count, L):
        for lane in range(min(L, count - i)):
            v.store(row, 2 * lane * L, v.load(taps, v.at(places, i + lane) * L) * scale)
        store_block(dw, k, 0, i, i + L <= v.at(k, tb.RIGHT_ALL), count, row)


@v.copied
def _scale(s, like):
    """Of transforms there and back, and of factors that were doubled."""
    return real(like, 0.25 / (v.at(s, at.h.t) * v.at(s, at.w.t)))
