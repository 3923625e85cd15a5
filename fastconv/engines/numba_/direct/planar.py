"""Convolution on plain planes: lanes are neighbouring pixels, weights are broadcast. Nothing is transposed.

For 1x1 kernels the image is read in place; for few outputs a thread copies its strip of rows, zero-padded, with columns
split by stride phase (direct.py). A tile is n outputs x nv vectors of pixels.
"""

from __future__ import annotations

import numpy as np
from numba import extending, prange, types

from ..ground import emit
from ..ground import vector as v
from ..ground.control import cases, loop, merge
from ..ground.emit import I64, vector_of
from ..ground.launch import step
from ..ground.memory import clear, copy_strided
from .steps import columns, phase_of
from .tiles import TILE, multiply_add

intrinsic = extending.intrinsic(prefer_literal=True)

_WIDE = 6 if TILE == 14 else 3  # outputs of a tile of 4 vectors, at most
#: the tiles that are compiled, by vectors; another number of outputs is done by the tile of one more
_OUTPUTS = {2: (2, 4, 6, 8, 10, 12, 13, 14) if TILE == 14 else (2, 4, 5, 6), 4: tuple(range(1, _WIDE + 1))}


@intrinsic
def _tile(typingctx, n, nv, x, ix, plane, C, taps, it, T, w, iw, bias, ib, y, iy, ys):
    """n outputs x nv (2, 4) vectors of pixels::

        y[iy + o*ys :+ nv*lanes] = bias[ib + o]
            + sum over t < T, c < C of w[iw + (t*C + c)*n + o] * x[ix + taps[it + t] + c*plane :+ nv*lanes]

    x, w, taps (int64), bias IN, y OUT.
    """
    vec = vector_of(x)
    L = vec.lanes

    def codegen(context, b, sig, args):
        n, nv, x_, ix, plane, C, taps_, it, T, w_, iw, bias_, ib, y_, iy, ys = args
        pixels = emit.pointer(context, b, x, x_, ix)
        offsets = emit.pointer(context, b, taps, taps_, it)
        weights = emit.pointer(context, b, w, w_, iw)
        start = emit.pointer(context, b, bias, bias_, ib)
        out = emit.pointer(context, b, y, y_, iy)
        last = b.sub(n, I64(1))

        def tile(nt, NV):
            def each(address):
                return [b.gep(address, [last if t == nt - 1 else I64(t)]) for t in range(nt)]

            for t in range(nt):
                emit.prefetch(b, b.gep(out, [b.mul(ys, I64(t))]), write=True)
            first = [emit.splat(b, vec.llvm, b.load(address)) for address in each(start) for _ in range(NV)]
            before = b.block
            with b.if_then(b.icmp_signed("<", I64(0), T)):
                with loop(b, I64(0), T, [weights, *first]) as (t, outer):
                    p = b.gep(pixels, [b.load(b.gep(offsets, [t]))])
                    with loop(b, I64(0), C, [p, *outer]) as (_, inner):
                        p, f, sums = inner[0], inner[1], inner[2:]
                        vectors = [emit.load(b, vec, b.gep(p, [I64(s * L)])) for s in range(NV)]
                        emit.prefetch(b, b.gep(f, [I64(16 * nt)]))
                        multiply_add(b, vec, vectors, each(f), sums)
                        inner[:] = [b.gep(p, [plane]), b.gep(f, [n]), *sums]
                    outer[:] = inner[1:]
                summed = b.block
            sums = merge(b, first, before, outer[1:], summed)
            for k, value in enumerate(sums):  # the tile of one more output writes the last one twice
                o = last if k // NV == nt - 1 else I64(k // NV)
                emit.store(b, vec, value, b.gep(out, [b.add(b.mul(ys, o), I64(k % NV * L))]))

        with cases(b, b.add(b.mul(nv, I64(64)), n)) as case:
            for NV, sizes in _OUTPUTS.items():
                for nt in sizes:
                    counts = [nt] if nt == 1 or nt - 1 in sizes else [nt - 1, nt]
                    with case(*(NV * 64 + count for count in counts)):
                        tile(nt, NV)
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, x, i, i, i, taps, i, i, w, i, bias, i, y, i, i), codegen


@step("u")
def _weights(w, u, pos, w0, nout, C, T, tile, adjoint):
    ws, blocks = w.shape[1] * T, (nout + tile - 1) // tile
    for i in prange(blocks):
        a = nout * i // blocks
        n = nout * (i + 1) // blocks - a
        for c in range(C):
            for k in range(T):
                to = a * T * C + (v.at(pos, k) * C + c) * n
                for t in range(n):
                    at = c * ws + (a + t) * T + k if adjoint else (a + t) * ws + c * T + k
                    v.put(u, to + t, v.at(w, w0 + at))


def planar_weights(w, u, w0, nout, C, T, pos, tile, adjoint, threads):
    """u OUT [output block][T][C][n]: outputs split evenly into blocks of at most `tile`."""
    _weights(w, u, pos, w0, nout, C, T, tile, int(adjoint), threads)


def pointwise(x, u, y, bias, c0, C, o0, nout, work, per, threads):
    """1x1, stride 1, no padding: y[n, o] OUT = sum over c of u[o, c] x[n, c]; `per` tiles of pixels a task."""
    add = np.zeros(nout, y.dtype) if bias is None else bias[o0 : o0 + nout]
    _pointwise(x, u, y, add, np.zeros(1, np.int64), work, c0, C, o0, nout, per, threads, threads)


@step("y", "work")
def _pointwise(x, u, y, bias, origin, work, c0, C, o0, nout, per, shares):
    """A task: copies of all channels of its pixels stay in cache while the outputs pass by."""
    (N, Ci, H, W), Co = x.shape, y.shape[1]
    HW, width = H * W, 2 * v.lanes(y)
    L = v.lanes(y)
    tiles, blocks = (HW + width - 1) // width, (nout + TILE - 1) // TILE
    tasks = (tiles + per - 1) // per
    while N * tasks % shares and tasks < tiles:  # as many for every thread
        tasks += 1
    for share in prange(shares):
        buffer = share * (C * per + nout) * width
        for task in range(N * tasks * share // shares, N * tasks * (share + 1) // shares):
            n, k = task // tasks, task % tasks
            t0, t1, ix, iy = tiles * k // tasks, tiles * (k + 1) // tasks, (n * Ci + c0) * HW, (n * Co + o0) * HW
            full = min(t1, HW // width)
            for t in range(t0, t1):
                for c in range(C):
                    q, to = ix + c * HW + t * width, buffer + ((t - t0) * C + c) * width
                    if t < full:
                        v.prefetch(x, q + width)
                        v.prefetch(x, q + width + L)
                        v.store(work, to, v.load(x, q))
                        v.store(work, to + L, v.load(x, q + L))
                    else:
                        left = HW - t * width
                        v.store(work, to, v.load_part(x, q, left))
                        v.store(work, to + L, v.load_part(x, q + L, left - L))
            ends = buffer + (t1 - t0) * C * width  # results of the pixels behind the last full tile
            for b in range(blocks):
                o = nout * b // blocks
                count = nout * (b + 1) // blocks - o
                for t in range(t0, t1):
                    if t < full:
                        _tile(
                            count,
                            2,
                            work,
                            buffer + (t - t0) * C * width,
                            width,
                            C,
                            origin,
                            0,
                            1,
                            u,
                            o * C,
                            bias,
                            o,
                            y,
                            iy + o * HW + t * width,
                            HW,
                        )
                    else:
                        _tile(
                            count,
                            2,
                            work,
                            buffer + (t - t0) * C * width,
                            width,
                            C,
                            origin,
                            0,
                            1,
                            u,
                            o * C,
                            bias,
                            o,
                            work,
                            ends + o * width,
                            width,
                        )
            if full < t1:
                for o in range(nout):
                    copy_strided(y, iy + o * HW + full * width, work, ends + o * width, HW - full * width, 1)


def planar_rows(x, u, y, bias, taps, work, copy, rows, channels, blocks, threads):
    """y OUT, strip by strip; what the tuples hold: see `Planar._rows` in algorithms/planar.py."""
    o0, nout = channels[2:]
    add = np.zeros(nout, y.dtype) if bias is None else bias[o0 : o0 + nout]
    _rows(x, u, y, add, taps, work, *copy, *rows, *channels, *blocks, threads, threads)


@step("y", "work")
def _rows(x, u, y, bias, taps, work, plane, row, pt, pl, split, nph, wph, rstep, low, high, r0, rd, rm, rs,
          c0, cd, cm, cs, oh, ow, i0, C, o0, nout, strips, tile, size, T, shares):  # fmt: skip
    """A share's scratch: one row of results [phase][output][stride], then its copy [channel][row]."""
    (N, Ci, H, W), L = x.shape, v.lanes(y)
    Co, blocks = y.shape[1], (nout + tile - 1) // tile
    stride = (ow // cd + 4 * L) // (4 * L) * 4 * L
    for share in prange(shares):
        line = share * size
        copy = line + cd * nout * stride
        for task in range(N * strips * share // shares, N * strips * (share + 1) // shares):
            n, k = task // strips, task % strips
            top, end = oh * k // strips, oh * (k + 1) // strips
            first = (top + r0) // rd * rm + rs + low
            for c in range(C):
                for r in range(first, (end - 1 + r0) // rd * rm + rs + high + 1):
                    if r % rstep == 0:
                        to, image = copy + c * plane + (r - first) * row, (n * Ci + i0 + c) * H + r - pt
                        _copy_row(x, image * W, 0 <= r - pt < H, W, pl, split, nph, wph, work, to)
            for i in range(top, end):
                pixels = copy + ((i + r0) // rd * rm + rs - first) * row
                for b in range(cd):
                    at, before = phase_of(taps, (i + r0) % rd * cd + b)
                    nkh, nkw = v.at(taps, at), v.at(taps, at + 1)
                    start = (b - c0 % cd + cd) % cd
                    count = (ow - start + cd - 1) // cd if start < ow else 0
                    p = pixels + (start + c0) // cd + cs
                    for block in range(blocks):
                        o = nout * block // blocks
                        many, m = nout * (block + 1) // blocks - o, 0
                        while m < count:
                            nv = 4 if count - m > 2 * L and many <= _WIDE else 2
                            _tile(
                                many,
                                nv,
                                work,
                                p + m,
                                plane,
                                C,
                                taps,
                                at + 2 + nkh + nkw,
                                nkh * nkw,
                                u,
                                (o * T + many * before) * C,
                                bias,
                                o,
                                work,
                                line + (b * nout + o) * stride + m,
                                stride,
                            )
                            m += nv * L
                for o in range(nout):
                    to = ((n * Co + o0 + o) * oh + i) * ow
                    _interleave(work, line + o * stride, nout * stride, y, to, ow, c0, cd)


@v.inline
def _copy_row(x, i, inside, width, pl, split, nph, wph, copy, to):
    """One image row: column phases, zeros on both sides; or a row of zeros."""
    for b in range(nph):
        first, last = columns(width if inside else 0, split, pl - b, wph)
        clear(copy, to, first)
        copy_strided(copy, to + first, x, i + first * split + b - pl, last - first, split)
        clear(copy, to + last, wph - last)
        to += wph


@v.inline
def _interleave(line, i, phase, y, o, ow, c0, cd):
    """One row of results: output column j comes from phase (j + c0) % cd."""
    L = v.lanes(y)
    if cd == 1:
        copy_strided(y, o, line, i, ow, 1)
    elif cd == 2:
        full = ow // (2 * L)
        for j in range(full):
            p, q = v.load(line, i + c0 % 2 * phase + j * L), v.load(line, i + (1 - c0 % 2) * phase + j * L)
            v.store(y, o + 2 * j * L, v.zip_low(p, q))
            v.store(y, o + (2 * j + 1) * L, v.zip_high(p, q))
        for j in range(full * 2 * L, ow):
            v.put(y, o + j, v.at(line, i + (j + c0) % 2 * phase + j // 2))
    else:
        for j in range(ow):
            v.put(y, o + j, v.at(line, i + (j + c0) % cd * phase + j // cd))
