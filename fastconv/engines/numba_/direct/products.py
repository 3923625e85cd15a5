"""forward and grad_input: bands of register blocks, panel by panel of weights."""

from __future__ import annotations

from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import address
from ..ground.transpose import store_block
from .block import BIAS, ONTO, RELU6, RESIDUAL, WIDE, products_block
from .numbers import PHASE, at, ceil, inside, nothing, of, outside, split
from .pack import pack
from .view import activate_numbers, source

_TURN = 64  # pixels of a tile: some lines of each plane


def direct_products(x, u, w, bias, residual, y, work, record, phases, order, activation, threads):
    """y OUT (n, oh, ow, co) = activation(conv + bias + residual) of x IN (n, h, w, ci), or grad_input;
    either with its channels as planes, if the record says so.

    u IN: packed weights, or None, then w IN (co, ci // groups, kh, kw) is packed panel by panel. bias IN (co,),
    residual IN as y, or None. work WORK [threads][room].
    """
    one, four = nothing(y.dtype.char, 1), nothing(y.dtype.char, 4)
    _direct_products(
        x, one if u is None else u, w, one if bias is None else bias, four if residual is None else residual, y, work,
        record, phases, order, activation, threads,
    )  # fmt: skip


@v.copied
def _band_end(r, b, last, columns):
    """One behind the last register block of the band that begins with b: whole images, whole rows or part of one."""
    image = r[at.oh] * columns
    images, e = min(r[at.band], last - b) // image, min(last, b + r[at.band], b - b % image + image)
    if b % image == 0 and images:
        e = b + images * image
    elif e < last and e // columns * columns > b:
        e = e // columns * columns
    return e


@step("y", "work")
def _direct_products(x, u, w, bias, residual, y, work, record, phases, order, activation, share, shares):
    r, L = record, v.lanes(y)
    oh, ow, ways = r[at.oh], r[at.ow], r[at.ways]
    columns, width = ceil(ow, r[at.nr]), r[at.nv] * L
    image, panels = oh * columns, r[at.groups] * ceil(r[at.og], width)
    crews, crew, mine = shares // ways, share // ways, share % ways
    p0, p1, keep = split(panels, ways, mine), split(panels, ways, mine + 1), r[at.keep]
    b, last, scratch = 0, 0, share * r[at.room]
    if crew < crews:
        b, last = split(r[at.n] * image, crews, crew), split(r[at.n] * image, crews, crew + 1)
    first = b
    while b < last:
        e = _band_end(r, b, last, columns)
        n0, n1 = b // image, (e - 1) // image + 1
        i0, i1, j0, j1 = 0, oh, 0, ow
        if n1 - n0 == 1:
            i0, i1 = b % image // columns, (e - 1) % image // columns + 1
        if i1 - i0 == 1:
            j0, j1 = split(ow, columns, b % columns), split(ow, columns, (e - 1) % columns + 1)
        view = source(r, x, work, scratch, n0, n1, i0, i1, j0, j1)
        tile = scratch + r[at.copied]
        for p in range(p0, p1):
            panel = tile + r[at.tile] + (p - p0) * keep * width * r[at.taps] * r[at.cg]
            packed = b > first and keep
            _panel(r, phases, order, view, u, w, bias, residual, y, work, tile, panel, packed, activation, p, b, e,
                   columns)  # fmt: skip
        b = e


@v.copied
def _panel(r, phases, order, view, u, w, bias, residual, y, work, tile, panel, packed, activation, p, b, e, columns):
    """Register blocks [b, e) of a panel of outputs; panel: a thread's place for weights, packed: that are there."""
    L, og, cg, taps, width, chunk = v.lanes(y), r[at.og], r[at.cg], r[at.taps], r[at.nv] * v.lanes(y), r[at.chunk]
    panels = ceil(og, width)
    g, first = p // panels, p % panels * width
    outputs = min(width, og - first)
    nv = ceil(outputs, L)
    turned = r[at.yplane] > 0
    later = turned and (residual.size > 0 or activation > RELU6)  # see _turn
    for c0 in range(0, cg, chunk):
        c1 = min(cg, c0 + chunk)
        if u.size:
            weights = address(u, p * width * taps * cg + c0 * taps * nv * L)
        else:
            place = panel + r[at.keep] * c0 * taps * nv * L
            if not packed:
                pack(r, order, w, g, first, outputs, nv, c0, c1, work, place)
            weights = address(work, place)
        adds, last = (ONTO if c0 else 0) + (WIDE if turned else 0), 0
        if c1 == cg:
            adds += (BIAS if bias.size else 0) + (RESIDUAL if residual.size and not turned else 0)
            last = 0 if later else activation
        for f in range(r[at.phases]):
            _phase(r, phases, f * PHASE, view, weights, bias, residual, y, work, tile + f * r[at.tile] // r[at.phases],
                   nv, outputs, g * og + first, g * cg + c0, c0, c1, adds, last, activation, b, e, columns)  # fmt: skip


@v.copied
def _phase(r, phases, f, view, weights, bias, residual, y, work, tile, nv, outputs, o, c, c0, c1, adds, last,
           activation, b, e, columns):  # fmt: skip
    """Register blocks [b, e) of a phase, split as the largest phase is: outputs from o on, channels from c on."""
    start, image, row, pixel, over = view
    L, oh, ow, cg, plane, channels = v.lanes(y), r[at.oh], r[at.ow], r[at.cg], r[at.yplane], c1 - c0
    kh, kw, rows, wide, down = (
        phases[f + of.kh], phases[f + of.kw], phases[f + of.oh], phases[f + of.ow], phases[f + of.rd] * row
    )  # fmt: skip
    out = nv * L if plane else r[at.ypixel]
    first, inline = phases[f + of.y0] + o * (plane if plane else 1), last if last <= RELU6 else 0
    taps, n, tap, step = kw, channels, phases[f + of.cd] * pixel, kw * channels * nv * L
    if tap == n:  # neighbouring taps are one run
        taps, n = 1, kw * n
    before = phases[f + of.before] * channels * nv * L
    whole = channels == cg  # no sums to go on from, here or later
    most = max(1, _TURN // r[at.nr]) if whole and plane else columns
    begin = b // columns * ow + split(ow, columns, b % columns)
    block = b
    while block < e:  # a row of outputs, or part of it
        i, k0 = block // columns, block % columns
        k1 = min(columns, k0 + e - block, k0 + most)
        block += k1 - k0
        if i % oh >= rows:
            continue
        h = phases[f + of.r0] + i % oh * r[at.rs]
        top, bottom = outside(h, phases[f + of.rd], kh), inside(h, phases[f + of.rd], kh, r[at.h])
        from_ = i // oh * image + h * row + top * down + phases[f + of.c0] * pixel + c
        to = first + i // oh * r[at.yimage] + i % oh * r[at.yrow]
        j0 = split(ow, columns, k0)
        place = tile + ((0 if whole else i * ow - begin + j0) - j0) * out
        for k in range(k0, k1):
            j = split(ow, columns, k)
            size = min(wide, split(ow, columns, k + 1)) - j
            if size > 0:
                target = address(work, place + j * out) if plane else address(y, to + j * out)
                products_block(nv, size, address(start, from_ + j * over), address(weights, before + top * step),
                               target, address(bias, o), address(residual, to + j * out), bottom - top, taps, n, down,
                               tap, over, out, outputs - (nv - 1) * L, adds, inline)  # fmt: skip
                if last > RELU6 and not plane:
                    many = size * outputs if out == outputs else outputs  # pixels that lie side by side
                    for a in range(to + j * out, to + (j + size) * out, max(many, out)):
                        activate_numbers(y, a, many, last)
        if plane and c1 == cg:
            n_ = min(wide, split(ow, columns, k1)) - j0
            _turn(r, work, place + j0 * out, out, y, to + j0 * r[at.ypixel], outputs, n_, residual, activation)


@v.copied
def _turn(r, tile, i, pitch, y, o, outputs, n, residual, activation):
    """The outputs of n pixels to their planes, from y[o] on, with what is left of the epilogue."""
    L, plane = v.lanes(y), r[at.yplane]
    if r[at.ypixel] > 1:  # between the pixels of other phases
        for k in range(outputs):
            for j in range(n):
                v.put(y, o + k * plane + j * r[at.ypixel], v.at(tile, i + j * pitch + k))
        return
    for k in range(0, outputs, L):
        for j in range(0, n, L):
            rows = v.load_rows(tile, i + j * pitch + k, pitch, n - j, L)
            store_block(y, o + k * plane + j, plane, v.transpose(rows), outputs - k, n - j)
    if residual.size > 0 or activation > RELU6:
        for k in range(o, o + outputs * plane, plane):
            if residual.size > 0:
                for j in range(0, n, L):
                    v.store_part(y, k + j, v.load_part(y, k + j, n - j) + v.load_part(residual, k + j, n - j), n - j)
            activate_numbers(y, k, n, activation)
