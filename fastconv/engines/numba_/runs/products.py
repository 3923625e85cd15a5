"""forward and grad_input: bands of register blocks, panel by panel of weights."""

from __future__ import annotations

from ..ground import vector as v
from ..ground.launch import shared_step
from ..ground.memory import address
from .block import BIAS, ONTO, RELU, RESIDUAL, products_block
from .pack import pack
from .view import activate_numbers, at, ceil, inside, nothing, outside, source, split


def runs_products(x, u, w, bias, residual, y, work, record, activation, threads):
    """y OUT (n, oh, ow, co) = activation(conv + bias + residual) of x IN (n, h, w, ci), or a phase of grad_input.

    u IN: packed weights, or None, then w IN (co, ci // groups, kh, kw) is packed panel by panel. bias IN (co,),
    residual IN as y, or None. work WORK [threads][room].
    """
    one, four = nothing(y.dtype.char, 1), nothing(y.dtype.char, 4)
    _runs_products(
        x, one if u is None else u, w, one if bias is None else bias, four if residual is None else residual, y, work,
        record, activation, threads,
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


@shared_step("y", "work")
def _runs_products(x, u, w, bias, residual, y, work, record, activation, share, shares):
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
        for p in range(p0, p1):
            panel = scratch + r[at.copied] + (p - p0) * keep * width * r[at.kh] * r[at.kw] * r[at.cg]
            _band(r, view, u, w, bias, residual, y, work, panel, b > first and keep, activation, p, b, e, columns)
        b = e


@v.copied
def _band(r, view, u, w, bias, residual, y, work, panel, packed, activation, p, b, e, columns):
    """Register blocks [b, e) of one panel of outputs; panel: a thread's place for weights, packed: that are there."""
    start, image, row, pixel = view
    L, oh, ow, og, cg, kh, kw = v.lanes(y), r[at.oh], r[at.ow], r[at.og], r[at.cg], r[at.kh], r[at.kw]
    width, chunk, out = r[at.nv] * L, r[at.chunk], r[at.ypixel]
    panels = ceil(og, width)
    g, first = p // panels, p % panels * width
    outputs = min(width, og - first)
    nv = ceil(outputs, L)
    down, over = r[at.rd] * row, r[at.cs] * pixel
    for c0 in range(0, cg, chunk):
        c1 = min(cg, c0 + chunk)
        if u.size:
            weights = address(u, p * width * kh * kw * cg + c0 * kh * kw * nv * L)
        else:
            place = panel + r[at.keep] * c0 * kh * kw * nv * L
            if not packed:
                pack(r, w, g, first, outputs, nv, c0, c1, work, place)
            weights = address(work, place)
        adds, last = ONTO if c0 else 0, 0
        if c1 == cg:
            adds, last = adds + (BIAS if bias.size else 0) + (RESIDUAL if residual.size else 0), activation
        inline = last if last == RELU else 0
        taps, n, tap, step = kw, c1 - c0, r[at.cd] * pixel, kw * (c1 - c0) * nv * L
        if tap == n:  # neighbouring taps are one run
            taps, n = 1, kw * n
        block = b
        while block < e:  # a row of outputs, or part of it
            i, k0 = block // columns, block % columns
            k1 = min(columns, k0 + e - block)
            h = r[at.r0] + i % oh * r[at.rs]
            top, bottom = outside(h, r[at.rd], kh), inside(h, r[at.rd], kh, r[at.h])
            from_ = i // oh * image + (h + top * r[at.rd]) * row + r[at.c0] * pixel + g * cg + c0
            to = r[at.y0] + g * og + first + i // oh * r[at.yimage] + i % oh * r[at.yrow]
            for k in range(k0, k1):
                j = split(ow, columns, k)
                place = to + j * out
                products_block(nv, split(ow, columns, k + 1) - j, address(start, from_ + j * over),
                               address(weights, top * step), address(y, place), address(bias, g * og + first),
                               address(residual, place), bottom - top, taps, n, down, tap, over, out,
                               outputs - (nv - 1) * L, adds, inline)  # fmt: skip
                if last > RELU:
                    for c in range(place, place + (split(ow, columns, k + 1) - j) * out, out):
                        activate_numbers(y, c, outputs, last)
            block += k1 - k0
