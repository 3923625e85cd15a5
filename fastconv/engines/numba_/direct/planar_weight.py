"""grad_weight on plain planes: a number of dw is the dot product of a plane of dy with a shifted plane of x.

Lanes are neighbouring pixels, summed only at the end of a unit (a strip of rows, or a few small images). A tile is up
to DOTS outputs x DOTS (channel, tap) pairs. Rows are chained: where x has a border dy has zeros.
"""

from __future__ import annotations

from numba import extending, prange, types

from ..ground import emit
from ..ground import vector as v
from ..ground.control import cases, loop
from ..ground.emit import I64, vector_of
from ..ground.launch import step
from ..ground.memory import clear, copy_strided
from ..ground.target import VECTOR_BYTES
from .planar import _copy_row

intrinsic = extending.intrinsic(prefer_literal=True)

DOTS = 5 if VECTOR_BYTES == 64 else 3


@intrinsic
def _dots(
    typingctx, n, pairs, images, segments, steps, d, id_, plane, dimage, x, ix, image, segment, off, io, a, ia, row
):
    """n <= DOTS outputs x pairs <= DOTS::

        a[ia + t*row + k] += sum over images i, segments j, m < steps*lanes of
            d[id_ + t*plane + i*dimage + j*steps*lanes + m] * x[ix + off[io + k] + i*image + j*segment + m]

    d, x, off (int64; DOTS of them are read) IN, a INOUT; images, segments and steps are positive.
    """
    vec = vector_of(x)
    L = vec.lanes

    def codegen(context, b, sig, args):
        n, pairs, images, segments, steps, d_, id_, plane, dimage, x_, ix, image, segment, off_, io, a_, ia, row = args
        pixels = emit.pointer(context, b, x, x_, ix)
        start = emit.pointer(context, b, d, d_, id_)
        offsets = emit.pointer(context, b, off, off_, io)
        out = emit.pointer(context, b, a, a_, ia)
        shifts = [b.load(b.gep(offsets, [I64(k)])) for k in range(DOTS)]

        def tile(nt):
            planes = [b.mul(plane, I64(t)) for t in range(nt)]
            sums = [emit.zero(vec)] * (nt * DOTS)
            with loop(b, I64(0), images, sums) as (i, outer):
                first = b.gep(start, [b.mul(i, dimage)])
                with loop(b, I64(0), segments, [first, *outer]) as (j, middle):
                    p = b.gep(pixels, [b.add(b.mul(i, image), b.mul(j, segment))])
                    with loop(b, I64(0), steps, [p, *middle]) as (_, inner):
                        p, f, sums = inner[0], inner[1], inner[2:]
                        ds = [emit.load(b, vec, b.gep(f, [q])) for q in planes]
                        for k in range(DOTS):
                            value = emit.load(b, vec, b.gep(p, [shifts[k]]))
                            for t in range(nt):
                                sums[t * DOTS + k] = emit.fma(b, vec, ds[t], value, sums[t * DOTS + k])
                        inner[:] = [b.gep(p, [I64(L)]), b.gep(f, [I64(L)]), *sums]
                    middle[:] = inner[1:]
                outer[:] = middle[1:]
            for k in range(DOTS):
                with b.if_then(b.icmp_signed("<", I64(k), pairs)):
                    for t in range(nt):
                        to = b.gep(out, [b.add(b.mul(row, I64(t)), I64(k))])
                        b.store(b.fadd(b.load(to), emit.lane_sum(b, vec, outer[t * DOTS + k])), to)

        with cases(b, n) as case:
            for nt in range(1, DOTS + 1):
                with case(nt):
                    tile(nt)
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, i, i, i, d, i, i, i, x, i, i, i, off, i, a, i, i), codegen


def planar_sums(dy, x, dw, off, work, copy, channels, units, threads):
    """dw OUT (outputs o0 ..); what the tuples hold: see `Planar.grad_weight` in algorithms/planar.py."""
    flat, out = dw.reshape(-1), channels[2] * channels[4]
    if threads == 1:
        _sums(dy, x, flat, out, off, work, 0, *copy, *channels, *units, 1, 1)
        return
    count = channels[3] * channels[4]
    _sums(dy, x, work, 0, off, work, -(-count // 16) * 16, *copy, *channels, *units, threads, threads)
    _add_shares(work, flat, out, count, units[-1], threads, threads)


@step("sums", "work")
def _sums(dy, x, sums, to, off, work, skip, plane, row, pt, pl, split, nph, wph, rstep, reach, sh,
          c0, C, o0, nout, pairs, most, strips, flat, size, shares):  # fmt: skip
    """A share's scratch: its sums (if there are several shares), then copies of x and of a block of dy."""
    (N, Co, OH, OW), (_, Ci, H, W) = dy.shape, x.shape
    L, groups, blocks = v.lanes(x), (N + most - 1) // most, (nout + DOTS - 1) // DOTS
    for share in prange(shares):
        a, buffer = to + share * size, share * size + skip
        if shares == 1:
            a = to
        clear(sums, a, nout * pairs)
        for unit in range(groups * strips * share // shares, groups * strips * (share + 1) // shares):
            n, strip = N * (unit // strips) // groups, unit % strips
            images = N * (unit // strips + 1) // groups - n
            r0, r1 = OH * strip // strips, OH * (strip + 1) // strips
            segments, step_ = (1, row) if flat else (r1 - r0, (OW + L - 1) // L * L)
            steps = ((r1 - r0) * row + L - 1) // L if flat else (OW + L - 1) // L
            run = segments * steps * L
            if flat == 2:
                r0, r1 = OH * OW // L * strip // strips, OH * OW // L * (strip + 1) // strips
                steps = r1 - r0
            else:
                _copy_x(x, (n * Ci + c0) * H, images, C, Ci, r0, r1, plane, row, pt, pl, split, nph, wph, rstep, reach,
                        sh, work, buffer)  # fmt: skip
            copied = buffer + images * C * plane
            for k in range(blocks):
                o, end = nout * k // blocks, nout * (k + 1) // blocks
                source = (n * Co + o0 + o) * OH * OW
                if flat != 2:
                    _copy_dy(dy, source + r0 * OW, images, end - o, r1 - r0, step_, run, work, copied)
                for q in range(0, pairs, DOTS):
                    to_ = a + o * pairs + q
                    if flat == 2:
                        _dots(
                            end - o, min(DOTS, pairs - q), images, 1, steps, dy, source + r0 * L, OH * OW, Co * OH * OW,
                            x, (n * Ci + c0) * H * W + r0 * L, Ci * H * W, 0, off, q, sums, to_, pairs,
                        )  # fmt: skip
                    else:
                        _dots(end - o, min(DOTS, pairs - q), images, segments, steps, work, copied, images * run, run,
                              work, buffer, C * plane, sh // rstep * row, off, q, sums, to_, pairs)  # fmt: skip


@v.inline
def _copy_x(x, ix, images, C, Ci, r0, r1, plane, row, pt, pl, split, nph, wph, rstep, reach, sh, work, buffer):
    """[image][channel][row][row of `row` numbers]: padded rows that outputs [r0, r1) read, zeros behind them."""
    H, W = x.shape[2], x.shape[3]
    for n in range(images):
        for c in range(C):
            to = buffer + (n * C + c) * plane
            end = to + plane
            for r in range(r0 * sh, (r1 - 1) * sh + reach + 1, rstep):
                _copy_row(x, (ix + (n * Ci + c) * H + r - pt) * W, 0 <= r - pt < H, W, pl, split, nph, wph, work, to)
                to += row
            clear(work, to, end - to)


@v.inline
def _copy_dy(dy, source, images, nout, rows, step_, run, work, copied):
    """[output][image][row of `step_` numbers]: rows with zeros behind each."""
    Co, OH, OW = dy.shape[1:]
    for o in range(nout):
        for n in range(images):
            to = copied + (o * images + n) * run
            for r in range(rows):
                copy_strided(work, to + r * step_, dy, source + ((n * Co + o) * OH + r) * OW, OW, 1)
                clear(work, to + r * step_ + OW, step_ - OW)
            clear(work, to + rows * step_, run - rows * step_)


@step("out")
def _add_shares(work, out, to, count, size, shares):
    for share in prange(shares):
        for i in range(count * share // shares, count * (share + 1) // shares):
            s = v.at(work, i)
            for k in range(1, shares):
                s += v.at(work, k * size + i)
            v.put(out, to + i, s)
