"""grad_weight: numbers of a kernel row x vectors of outputs stay in registers while the pixels of a strip stream by."""

from __future__ import annotations

from ..ground import vector as v
from ..ground.launch import shared_step
from ..ground.memory import address, local
from ..ground.target import VECTOR_BYTES
from .block import sums_block
from .view import at, ceil, inside, outside, source, split

_SQUARE = (VECTOR_BYTES // 4) ** 2  # numbers of as many vectors as they have lanes


@v.inline
def _size(r, L):
    """Numbers of one thread's sums."""
    return r[at.groups] * ceil(r[at.og], r[at.nv] * L) * r[at.nv] * L * r[at.kh] * r[at.kw] * r[at.cg]


@shared_step("sums", "work")
def runs_sums(x, dy, sums, work, record, share, shares):
    """sums OUT [threads, if private][groups][panels][kh][kw][channel][nv * lanes] of x IN (n, h, w, ci) and
    dy IN (n, oh, ow, co). work WORK [threads][room]."""
    r, L = record, v.lanes(sums)
    oh, kw, cg = r[at.oh], r[at.kw], r[at.cg]
    panels = r[at.groups] * ceil(r[at.og], r[at.nv] * L)
    each, run = kw, cg  # runs a kernel row
    if r[at.cd] * r[at.c] == cg:
        each, run = 1, kw * cg
    blocks = ceil(run, r[at.nr])
    runs = r[at.kh] * each * blocks  # register blocks a panel
    tasks, rows, start = panels * runs, r[at.n] * oh, 0
    begin, end, q, last = split(tasks, shares, share), split(tasks, shares, share + 1), 0, rows
    if r[at.private]:
        begin, end, q, last = 0, tasks, split(rows, shares, share), split(rows, shares, share + 1)
        start = share * _size(r, L)
    first = q
    while q < last and begin < end:
        e = min(last, q + r[at.band], q - q % oh + oh)
        view = source(r, x, work, share * r[at.room], q // oh, q // oh + 1, q % oh, (e - 1) % oh + 1, 0, r[at.ow])
        for p in range(begin // runs, (end - 1) // runs + 1):
            _strip(r, view, dy, work, share * r[at.room] + r[at.copied], sums, start, p, max(begin - p * runs, 0),
                   min(end - p * runs, runs), q, e, each, run, blocks, q > first)  # fmt: skip
        q = e


@v.copied
def _strip(r, view, dy, work, lanes, sums, start, p, begin, end, q, e, each, run, blocks, onto):
    """Register blocks [begin, end) of panel p, summed over output rows [q, e) of one image."""
    source, image, row, pixel = view
    L, oh, ow, og, cg = v.lanes(sums), r[at.oh], r[at.ow], r[at.og], r[at.cg]
    width = r[at.nv] * L
    panels = ceil(og, width)
    g, o = p // panels, p % panels * width
    outputs, co = min(width, og - o), r[at.groups] * og
    nv = ceil(outputs, L)
    _side_by_side(dy, q * ow * co + g * og + o, co, (e - q) * ow, outputs, nv, work, lanes)
    start += p * width * r[at.kh] * r[at.kw] * cg
    for task in range(begin, end):
        k, u, t = task % blocks, task // blocks // each, task // blocks % each
        first = split(run, blocks, k)
        h = r[at.r0] + q % oh * r[at.rs] + u * r[at.rd]
        i0, i1 = outside(h, r[at.rs], e - q), inside(h, r[at.rs], e - q, r[at.h])  # output rows that meet the image
        x = q // oh * image + (h + i0 * r[at.rs]) * row + (r[at.c0] + t * r[at.cd]) * pixel + g * cg + first
        to = start + ((u * r[at.kw] + t) * cg + first) * nv * L
        sums_block(nv, split(run, blocks, k + 1) - first, address(source, x), address(work, lanes + i0 * ow * nv * L),
                   address(sums, to), i1 - i0, 1, ow, r[at.rs] * row, 0, r[at.cs] * pixel, nv * L, onto)  # fmt: skip


@v.copied
def _side_by_side(dy, i, step, pixels, outputs, nv, work, o):
    """[pixels][nv * lanes] of outputs: rows of dy far apart would meet in few sets of the cache."""
    L = v.lanes(work)
    for _ in range(pixels):
        for j in range(nv - 1):
            v.store(work, o + j * L, v.load(dy, i + j * L))
        j = (nv - 1) * L
        v.store(work, o + j, v.load_part(dy, i + j, outputs - j))
        i += step
        o += nv * L


@shared_step("dw")
def runs_weights(sums, dw, record, parts, share, shares):
    """dw OUT (co, ci // groups, kh, kw): all parts of sums IN together."""
    r, L = record, v.lanes(dw)
    taps, cg, og, size = r[at.kh] * r[at.kw], r[at.cg], r[at.og], _size(r, L)
    K, width, vectors, block = cg * taps, r[at.nv] * L, ceil(og, L), local(dw, _SQUARE)
    for i in range(split(r[at.groups] * vectors, shares, share), split(r[at.groups] * vectors, shares, share + 1)):
        g, o = i // vectors, i % vectors * L
        nv = min(r[at.nv], vectors - o // width * r[at.nv])
        start = (g * ceil(og, width) + o // width) * width * K + o % width
        for k in range(0, K, L):
            for j in range(min(L, K - k)):
                c, t = (k + j) // taps, (k + j) % taps
                p = start + (t * cg + c) * nv * L
                total = v.load(sums, p)
                for s in range(1, parts):
                    total += v.load(sums, p + s * size)
                v.store(block, j * L, total)
            rows = v.transpose(v.load_rows(block, 0, L, K - k, L))
            v.store_rows(dw, (g * og + o) * K + k, K, rows, og - o, K - k)
