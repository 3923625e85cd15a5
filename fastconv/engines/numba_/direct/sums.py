"""grad_weight: numbers of a kernel row x vectors of outputs stay in registers while the pixels of a strip stream by."""

from __future__ import annotations

from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import address, clear, local
from ..ground.transpose import load_block
from .block import sums_block
from .numbers import SQUARE, at, ceil, inside, of, outside, split
from .pack import store_walk
from .view import source


@v.inline
def _size(r, L):
    """Numbers of one thread's sums."""
    return r[at.groups] * ceil(r[at.og], r[at.nv] * L) * r[at.nv] * L * r[at.taps] * r[at.cg]


@step("sums", "work")
def direct_sums(x, dy, sums, work, record, phases, share, shares):
    """sums OUT [threads, if private][groups][panels][kh][kw][channel][nv * lanes] of x IN (n, h, w, ci) and
    dy IN (n, oh, ow, co). work WORK [threads][room]."""
    r, L = record, v.lanes(sums)
    oh, kw, cg = r[at.oh], phases[of.kw], r[at.cg]
    panels = r[at.groups] * ceil(r[at.og], r[at.nv] * L)
    each, run = kw, cg  # runs a kernel row
    if phases[of.cd] * r[at.c] == cg:
        each, run = 1, kw * cg
    blocks = ceil(run, r[at.nr])
    runs = phases[of.kh] * each * blocks  # register blocks a panel
    tasks, rows, start = panels * runs, r[at.n] * oh, 0
    begin, end, q, last = split(tasks, shares, share), split(tasks, shares, share + 1), 0, rows
    if r[at.private]:
        begin, end, q, last = 0, tasks, split(rows, shares, share), split(rows, shares, share + 1)
        start = share * _size(r, L)
        if q == last:  # nothing to sum
            clear(sums, start, _size(r, L))
    first = q
    while q < last and begin < end:
        e = min(last, q + r[at.band], q - q % oh + oh)
        view = source(r, x, work, share * r[at.room], q // oh, q // oh + 1, q % oh, (e - 1) % oh + 1, 0, r[at.ow])
        ahead = _ahead(r, x, dy, e, last, end - begin)
        for p in range(begin // runs, (end - 1) // runs + 1):
            lanes, first_task, last_task = (
                share * r[at.room] + r[at.copied], max(begin - p * runs, 0), min(end - p * runs, runs)
            )  # fmt: skip
            _strip(r, phases, view, dy, work, lanes, sums, start, p, first_task, last_task, q, e, each, run, blocks,
                   q > first, x, ahead, p * runs - begin)  # fmt: skip
        q = e


@v.copied
def _ahead(r, x, dy, q, last, tasks):
    """What the strip from output row q on will read in place: first numbers of x and dy, how many, lines a block."""
    oh, row, line = r[at.oh], r[at.w] * r[at.c], 64 // x.itemsize
    a, b, m, n = 0, 0, 0, 0
    if q < last:
        e = min(last, q + r[at.band], q - q % oh + oh)
        if r[at.copied] == 0:
            top, bottom = max(0, r[at.r0] + q % oh * r[at.rs]), r[at.r0] + (e - 1) % oh * r[at.rs] + r[at.high]
            a, m = (q // oh * r[at.h] + top) * row, (min(r[at.h], bottom) - top) * row
        if r[at.yplane] == 0:
            each = r[at.ow] * r[at.groups] * r[at.og]
            b, n = q * each, (e - q) * each
    return a, m, b, n, (max(m, n) // (line * tasks) + 1) * line


@v.copied
def _ask(x, dy, ahead, task):
    """Ask for what a register block of the next strip reads: no prefetcher foresees a walk down columns."""
    a, m, b, n, each = ahead
    line = 64 // x.itemsize
    for k in range(task * each, min((task + 1) * each, m), line):
        v.prefetch(x, a + k)
    for k in range(task * each, min((task + 1) * each, n), line):
        v.prefetch(dy, b + k)


@v.copied
def _strip(
    r, phases, view, dy, work, lanes, sums, start, p, begin, end, q, e, each, run, blocks, onto, array, ahead, before
):
    """Register blocks [begin, end) of panel p, summed over output rows [q, e) of one image."""
    source, image, row, pixel, over = view
    L, oh, ow, og, cg = v.lanes(sums), r[at.oh], r[at.ow], r[at.og], r[at.cg]
    width = r[at.nv] * L
    panels = ceil(og, width)
    g, o = p // panels, p % panels * width
    outputs = min(width, og - o)
    nv = ceil(outputs, L)
    _side_by_side(r, dy, g * og + o, q, e, outputs, nv, work, lanes)
    start += p * width * r[at.taps] * cg
    whole = r[at.rs] * row == ow * over  # a row begins where the last one ended
    for task in range(begin, end):
        k, u, t = task % blocks, task // blocks // each, task // blocks % each
        first = split(run, blocks, k)
        h = r[at.r0] + q % oh * r[at.rs] + u * phases[of.rd]
        i0, i1 = outside(h, r[at.rs], e - q), inside(h, r[at.rs], e - q, r[at.h])  # output rows that meet the image
        x = q // oh * image + (h + i0 * r[at.rs]) * row + (r[at.c0] + t * phases[of.cd]) * pixel + g * cg + first
        to = start + ((u * phases[of.kw] + t) * cg + first) * nv * L
        _ask(array, dy, ahead, before + task)
        numbers = split(run, blocks, k + 1) - first
        for z in range(numbers * nv if onto else 0):  # the next block's sums
            v.prefetch_write(sums, to + (numbers * nv + z) * L)
        m, pixels = max(i1 - i0, 0), ow
        if whole:
            m, pixels = 1, m * ow
        sums_block(nv, numbers, address(source, x), address(work, lanes + i0 * ow * nv * L),
                   address(sums, to), m, 1, pixels, r[at.rs] * row, 0, over, nv * L, onto)  # fmt: skip


@v.copied
def _side_by_side(r, dy, o, q, e, outputs, nv, work, to):
    """[pixels][nv * lanes] of outputs from o on: rows of dy far apart would meet in few sets of the cache."""
    L, oh, ow, co, plane = v.lanes(work), r[at.oh], r[at.ow], r[at.groups] * r[at.og], r[at.yplane]
    pixels, width, i = (e - q) * ow, nv * L, q // oh * oh * ow * co
    if plane:
        i += o * plane + q % oh * ow
        for j in range(0, width, L):
            for k in range(0, pixels, L):
                block = v.transpose(load_block(dy, i + j * plane + k, plane, outputs - j, pixels - k))
                store_walk(work, to + j + k * width, width, 0, pixels + L, 0, pixels - k, block)
        return
    i += q % oh * ow * co + o
    for _ in range(pixels):
        for j in range(nv - 1):
            v.store(work, to + j * L, v.load(dy, i + j * L))
        j = (nv - 1) * L
        v.store(work, to + j, v.load_part(dy, i + j, outputs - j))
        i += co
        to += width


@step("dw")
def direct_weights(sums, dw, record, parts, share, shares):
    """dw OUT (co, ci // groups, kh, kw): all parts of sums IN together."""
    r, L = record, v.lanes(dw)
    taps, cg, og, size = r[at.taps], r[at.cg], r[at.og], _size(r, L)
    K, width, vectors, block = cg * taps, r[at.nv] * L, ceil(og, L), local(dw, SQUARE)
    blocks = ceil(K, L)
    total = r[at.groups] * vectors * blocks
    for z in range(split(total, shares, share), split(total, shares, share + 1)):
        i, k = z // blocks, z % blocks * L
        g, o = i // vectors, i % vectors * L
        nv = min(r[at.nv], vectors - o // width * r[at.nv])
        start = (g * ceil(og, width) + o // width) * width * K + o % width
        for j in range(min(L, K - k)):
            c, t = (k + j) // taps, (k + j) % taps
            p = start + (t * cg + c) * nv * L
            vector = v.load(sums, p)
            for s in range(1, parts):
                vector += v.load(sums, p + s * size)
            v.store(block, j * L, vector)
        rows = v.transpose(v.load_rows(block, 0, L, K - k, L))
        v.store_rows(dw, (g * og + o) * K + k, K, rows, og - o, K - k)
