"""Direct convolution on a channel-blocked copy of the input; lanes are output channels.

The copy is [image][channel block][padded row][column phase][column][block channels], so that the pixels of a tile are
neighbours for any stride. `block` is the number of lanes, or 1 for inputs of few channels. algorithms/axes.py
tells how outputs meet the copy: a phase of its table is [nkh, nkw, rows of kernel rows, columns, offsets of taps].
"""

from __future__ import annotations

import numpy as np

from ..ground import vector as v
from ..ground.launch import shared_step
from ..ground.memory import clear, copy_strided, inside
from ..ground.transpose import load_block, load_every_other, store_each
from .tiles import TILE, TILE1, deal, tile_products

_STRIP = 8  # rows of the copy that a thread packs at a time


@shared_step("copy")
def direct_pack(x, copy, n0, nb, c0, nc, groups, block, first, rows, rstep, pt, pl, split, nph, wph, plane,
                share, shares):  # fmt: skip
    """copy OUT [nb][groups][blocks][rows][nph][wph][block]: images n0.., groups of nc channels from c0 on, padded rows
    first.. (each rstep-th)."""
    _, C, H, W = x.shape
    blocks, strips = (nc + block - 1) // block, (rows + _STRIP - 1) // _STRIP
    jobs = nb * groups * blocks * strips
    for job in range(jobs * share // shares, jobs * (share + 1) // shares):
        n, k, b = job // (groups * blocks * strips), job // (groups * blocks) % strips, job % (groups * blocks)
        done = b % blocks * block
        image = ((n0 + n) * C + c0 + b // blocks * nc + done) * H * W
        for r in range(k * _STRIP, min(rows, (k + 1) * _STRIP)):
            row = first + r - pt
            to = (n * groups * blocks + b) * plane + r * nph * wph * block
            if 0 <= row < H and (first + r) % rstep == 0:
                c = min(block, nc - done)
                _pack_row(x, image + row * W, H * W, c, block, W, pl, split, nph, wph, copy, to)
            elif block == 1:  # otherwise rows outside the image are never read
                clear(copy, to, nph * wph)


@v.inline
def _pack_row(x, i, plane, nc, block, width, pl, split, nph, wph, copy, to):
    """One image row of a channel block: column phases, zeros on both sides."""
    for b in range(nph):
        first, last = columns(width, split, pl - b, wph)
        clear(copy, to, first * block)
        clear(copy, to + last * block, (wph - last) * block)
        source = i + first * split + b - pl
        if block == 1:
            copy_strided(copy, to + first, x, source, last - first, split)
        elif nph == 1:
            pack_run(x, source, plane, nc, last - first, split, copy, to + first * block)
        to += wph * block
    if block != 1 and nph > 1:  # all phases at once: each pixel is read once
        first = max(0, -pl)
        n, at = min(width, wph * split - pl) - first, to - (nph * wph - (first + pl) // split) * block
        for p in range(0, n, block):
            rows = v.transpose(load_block(x, i + first + p, plane, nc, n - p))
            q = first + p + pl
            deal(copy, at + (q // split - (first + pl) // split) * block, q % split, split, wph * block, n - p, rows)


@v.inline
def columns(width, stride, shift, count):
    """The range of q, within [0, count), for which 0 <= q*stride - shift < width."""
    first, last = inside(width, stride, shift)
    first = min(max(first, 0), count)
    return first, max(first, min(count, last))


@v.inline
def pack_run(x, i, plane, nc, n, stride, out, o):
    """n pixels, `stride` apart, of nc <= lanes planes -> [pixel][lanes]; what is missing is zero."""
    L = v.lanes(out)
    if stride == 1:
        for p in range(0, n, L):
            v.store_rows(out, o + p * L, L, v.transpose(load_block(x, i + p, plane, nc, n - p)), n - p, L)
    elif stride == 2:
        for p in range(0, n, L):
            v.store_rows(out, o + p * L, L, v.transpose(load_every_other(x, i + 2 * p, plane, nc, n - p)), n - p, L)
    else:
        for p in range(n):
            v.store(out, o + p * L, v.zero(out))
            for c in range(nc):
                v.put(out, o + p * L + c, v.at(x, i + c * plane + p * stride))


def direct_weights(w, u, w0, nout, C, groups, T, pos, nv, adjoint, tmp, tmp_size, threads):
    """u OUT [groups][panels][T][C][nv * lanes]: weights as the microkernel streams them; w0: where they start."""
    flat = u.reshape(-1)
    _weights(w, flat, _places(pos, C, adjoint), w0, nout, C, groups, T, nv, int(adjoint), threads)


def _places(pos, C, adjoint):
    """Where [tap][channel] of a panel holds a weight (channel, tap), or without channels the first of a tap."""
    return pos * C if adjoint else (pos * C + np.arange(C)[:, None]).ravel()


@shared_step("u")
def _weights(w, u, places, w0, nout, C, groups, T, nv, adjoint, share, shares):
    width, ws = nv * v.lanes(u), w.shape[1] * T
    panels = (nout + width - 1) // width
    for i in range(groups * panels * share // shares, groups * panels * (share + 1) // shares):
        start = w0 + i // panels * nout * C * T
        _pack_panel(w, ws, start, nout, i % panels * width, C, T, places, nv, adjoint, u, i * T * C * width)


@v.inline
def narrow(nv, nout, lanes):
    """Vectors of a panel with nout outputs left: half as many as usual, or a quarter, where that is enough."""
    while nv > 1 and nout <= nv // 2 * lanes:
        nv //= 2
    return nv


@v.inline
def _pack_panel(w, ws, w0, nout, o, C, T, places, nv, adjoint, u, iu):
    """Outputs o ..: w[o*ws + c*T + tap], or adjoint w[c*ws + o*T + tap], lanes = outputs; missing ones are zero."""
    L = v.lanes(u)
    first = o
    nv = narrow(nv, nout - first, L)
    if adjoint:
        for c in range(C):
            for j in range(nv):
                o = first + j * L
                for k in range(0, L * T, L):
                    v.prefetch(w, w0 + (c + 6) * ws + o * T + k)
                for t in range(0, T, L):
                    rows = v.load_rows(w, w0 + c * ws + o * T + t, T, nout - o, T - t)
                    store_each(u, iu + (c * nv + j) * L, nv * L, places, t, min(L, T - t), v.transpose(rows))
    else:
        for j in range(nv):
            o = first + j * L
            for k in range(0, C * T, L):
                rows = load_block(w, w0 + o * ws + k, ws, nout - o, C * T - k)
                store_each(u, iu + j * L, nv * L, places, k, min(L, C * T - k), v.transpose(rows))


def direct_rows(copy, u, w, y, bias, taps, pos, work, source, rows, outputs, blocks, threads):
    """A band of y OUT from the copy; what the tuples hold: see `Direct._products` in algorithms/direct.py."""
    jit, adjoint = blocks[2:4]
    places = _places(pos, source[8], adjoint) if jit else pos
    add = np.empty(0, y.dtype) if bias is None else bias
    _rows(
        copy, work if jit else u, w, y, add, taps, places, work, *source, *rows, *outputs, *map(int, blocks[:-1]),
        pos.size, threads,
    )  # fmt: skip


@shared_step("u", "y", "work")
def _rows(copy, u, w, y, bias, taps, places, work, image, plane, row, first, pt, pl, h, wd, C, block, r0, rd, rm, rs,
          c0, cd, cm, cs, oh, ow, n0, nb, o0, nout, groups, i0, i1, nv, per, jit, adjoint, w0, tmp, T,
          share, shares):  # fmt: skip
    """Panels of outputs and strips of rows, shared out evenly. jit: u is work; a panel is packed just before use."""
    L = v.lanes(work)
    width = nv * L
    usize, msize, panels = T * C * width, per * ow * width, (nout + width - 1) // width
    strips = (i1 - i0 + per - 1) // per
    while not jit and nb * strips * groups * panels % shares and strips < i1 - i0:  # as many tasks for every thread
        strips += 1
    tasks = panels if jit else nb * strips * groups * panels
    blocks = (C + block - 1) // block
    source = image, plane, row, first, pt, pl, h, wd, C, block
    geometry = r0, rd, rm, rs, c0, cd, cm, cs, ow
    m = share * (msize + usize + tmp if jit else msize)
    for task in range(tasks * share // shares, tasks * (share + 1) // shares):
        panel, group = (task, 0) if jit else (task % panels, task // panels % groups)
        iu = m + msize if jit else (group * panels + panel) * usize
        if jit:
            _pack_panel(w, w.shape[1] * T, w0, nout, panel * width, C, T, places, nv, adjoint, u, iu)
        o = panel * width
        vectors = narrow(nv, nout - o, L)
        first_strip = 0 if jit else task // panels // groups
        first_out = o0 + group * nout + o
        for strip in range(first_strip, nb * strips if jit else first_strip + 1):
            n, k = strip // strips, strip % strips
            a, b = i0 + (i1 - i0) * k // strips, i0 + (i1 - i0) * (k + 1) // strips
            ix = n * image + group * blocks * plane
            _products(source, geometry, copy, ix, taps, u, iu, vectors, a, b, work, m, bias, first_out,
                      nout - o if bias.size else 0)  # fmt: skip
            size = (b - a) * ow
            out = ((n0 + n) * y.shape[1] + first_out) * oh * ow + a * ow
            for j in range(vectors):
                _unpack(work, m + j * size * L, y, out + j * L * oh * ow, oh * ow, nout - o - j * L, size)


@v.inline
def _unpack(m, i, y, o, plane, nc, n):
    """[pixel][lanes] -> the first nc <= lanes planes of n pixels."""
    L = v.lanes(y)
    for p in range(0, n if nc > 0 else 0, L):
        for c in range(min(nc, L)):
            v.prefetch_write(y, o + c * plane + p + 4 * L)
        v.store_rows(y, o + p, plane, v.transpose(v.load_rows(m, i + p * L, L, n - p, L)), nc, n - p)


@v.inline
def _products(source, geometry, copy, ix, taps, u, iu, nv, i0, i1, m, im, bias, ib, nbias):
    """Output rows [i0, i1) of one image and panel into m [nv][pixel][lanes]."""
    _, plane, row, top, pt, pl, h, wd, C, block = source
    r0, rd, rm, rs, c0, cd, cm, cs, ow = geometry
    L = v.lanes(m)
    most = TILE1 if nv == 1 else TILE * 2 // nv
    for i in range(i0, i1):
        base = (i + r0) // rd * rm + rs
        for b in range(cd):
            first = (b - c0 % cd + cd) % cd  # first output column of this phase
            count = (ow - first + cd - 1) // cd
            if first >= ow:
                continue
            at, before = phase_of(taps, (i + r0) % rd * cd + b)
            nkh, nkw = v.at(taps, at), v.at(taps, at + 1)
            ro, co = at + 2, at + 2 + nkh
            u0, u1 = 0, nkh
            while u0 < u1 and not pt <= base + v.at(taps, ro + u0) < pt + h:
                u0 += 1
            while u1 > u0 and not pt <= base + v.at(taps, ro + u1 - 1) < pt + h:
                u1 -= 1
            low = (first + c0) // cd + cs  # base column of the first pixel
            tiles = (count + most - 1) // most
            for k in range(tiles):
                m0, m1 = count * k // tiles, count * (k + 1) // tiles
                left, right = (low + m0) * cm, (low + m1 - 1) * cm
                v0, v1 = 0, nkw
                while v0 < v1 and not pl - right <= v.at(taps, co + v0) < pl + wd - left:
                    v0 += 1
                while v1 > v0 and not pl - right <= v.at(taps, co + v1 - 1) < pl + wd - left:
                    v1 -= 1
                tile_products(m1 - m0, nv, block, copy, ix + (base - top) * row + (low + m0) * block,
                              taps, co + nkw, nkw, u0, u1, v0, v1, plane, C, u, iu + before * C * nv * L,
                              m, im + ((i - i0) * ow + first + m0 * cd) * L, cd * L, (i1 - i0) * ow * L,
                              bias, ib, nbias)  # fmt: skip


@v.inline
def phase_of(taps, q):
    """Where phase q of the table begins, and the number of taps before it."""
    at, before = 0, 0
    for _ in range(q):
        nkh, nkw = v.at(taps, at), v.at(taps, at + 1)
        at += 2 + nkh + nkw + nkh * nkw
        before += nkh * nkw
    return at, before
