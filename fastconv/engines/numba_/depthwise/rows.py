"""Channel-wise 3x3 kernels, one column of padding on the left: rows stream by, at stride 1 and 2.

A row of the image is loaded once, the columns beside it are made in registers (a load across cache lines costs two),
and the output rows that it meets stay there. Two vectors of columns at a time: sums, weights and a row fill the
registers. tables.py says where this is done.
"""

from __future__ import annotations

from ..ground import vector as v
from ..ground.launch import shared_step
from ..ground.memory import address
from . import tables as at
from .blocks import MASKS
from .streams import filter_row, gather_row, put_row, spread_row, take_row, weights


@shared_step("y")
def filter_planes(x, w, bias, y, f, share, shares):
    """Forward, and grad_input at stride 1. A job: a band of rows of one plane."""
    L, bands, rows, t = v.lanes(y), v.at(f, at.BANDS), v.at(f, at.ROWS), v.at(f, at.PHASES)
    h, wx, oh, ow, stride = v.at(f, at.SH), v.at(f, at.SW), v.at(f, at.DH), v.at(f, at.DW), v.at(f, at.STEP)
    jobs, corner = v.at(f, at.N) * v.at(f, at.G) * bands, v.at(f, t + at.W0) + v.at(f, t + at.AT + 3)
    for job in range(jobs * share // shares, jobs * (share + 1) // shares):
        plane, first = job // bands, job % bands * rows
        channel = plane % v.at(f, at.G)
        k = weights(w, channel * 9 + corner, v.at(f, t + at.DOWN))
        start = v.splat_at(bias, channel) if bias.size else v.zero(y)
        for col in range(0, ow, 2 * L):
            source, out = (address(x, plane * h * wx), h, wx, col * stride), plane * oh * ow + col
            end, top = min(first + rows, oh), v.at(f, at.TOP)
            if stride == 1:
                if ow - col > L:
                    _filter_rows(source, top, k, (start, start), y, out, ow, first, end, ow - col)
                else:
                    _filter_rows(source, top, k, (start,), y, out, ow, first, end, ow - col)
            elif ow - col > L:
                _filter_rows2(source, top, k, (start, start), y, out, ow, first, end, ow - col)
            else:
                _filter_rows2(source, top, k, (start,), y, out, ow, first, end, ow - col)


@v.inline
def _filter_rows(source, top, k, start, y, out, ow, first, end, n):
    """Output rows first .. end - 1 of as many vectors of columns as there are in `start`."""
    a = b = c = start
    for row in range(first - 2, end):
        c, b, a = filter_row(1, source, row + 2 + top, k, (c, b, a))
        if row >= first:
            put_row(y, out + row * ow, a, n)
        a, b, c = b, c, start


@v.inline
def _filter_rows2(source, top, k, start, y, out, ow, first, end, n):
    a, _, _ = filter_row(2, source, 2 * first + top, k, (start, None, None))
    for row in range(first, end):
        _, a, _ = filter_row(2, source, 2 * row + 1 + top, k, (None, a, None))
        b, _, a = filter_row(2, source, 2 * row + 2 + top, k, (start, None, a))
        put_row(y, out + row * ow, a, n)
        a = b


@shared_step("y")
def spread_planes(x, w, y, f, share, shares):
    """grad_input at stride 2: x is dy, y is dx. A job: a band of two times as many rows of one plane.

    Row i and column j of dy go to rows 2i - pt + (0, 1, 2) and columns 2j - 1 + (0, 1, 2).
    """
    L, bands, rows = v.lanes(y), v.at(f, at.BANDS), 2 * v.at(f, at.ROWS)
    h, wx, oh, ow = v.at(f, at.SH), v.at(f, at.SW), v.at(f, at.DH), v.at(f, at.DW)
    jobs = v.at(f, at.N) * v.at(f, at.G) * bands
    for job in range(jobs * share // shares, jobs * (share + 1) // shares):
        plane, first = job // bands, job % bands * rows
        k, end = weights(w, plane % v.at(f, at.G) * 9, 3), min(first + rows, oh)
        for col in range(0, (ow + 1) // 2, L):
            source, out = (address(x, plane * h * wx), h, wx, col), plane * oh * ow + 2 * col
            _spread_rows(source, v.at(f, at.PT), k, y, out, ow, first, end, ow - 2 * col)


@v.inline
def _spread_rows(source, pt, k, y, out, ow, first, end, n):
    """Rows first .. end - 1 of dx, two vectors of columns."""
    even = odd = v.zero(y)
    for i in range((first + pt) // 2 - 1, (end - 1 + pt) // 2 + 1):
        here, right = spread_row(source, i)
        even, odd = v.fma(k[1], here, even), v.fma(k[0], right, v.fma(k[2], here, odd))
        row = 2 * i - pt
        if first <= row < end:
            _put_pairs(y, out + row * ow, even, odd, n)
        row += 1
        if first <= row < end:
            even, odd = k[4] * here, v.fma(k[3], right, k[5] * here)
            _put_pairs(y, out + row * ow, even, odd, n)
        even, odd = k[7] * here, v.fma(k[6], right, k[8] * here)


@v.inline
def _put_pairs(y, i, even, odd, n):
    """Columns 2j and 2j + 1, of which n are there."""
    low, high = v.zip_low(even, odd), v.zip_high(even, odd)
    if n > v.lanes(y):
        put_row(y, i, (low, high), n)
    else:
        put_row(y, i, (low,), n)


# ---- grad_weight ----


@shared_step("dw")
def gather_planes(dy, x, dw, f, share, shares):
    """dw [part][channel][3, 3]; a job: one channel's weights, summed over one part of all bands of all images."""
    L, bands, rows, parts, g = v.lanes(x), v.at(f, at.BANDS), v.at(f, at.ROWS), v.at(f, at.PARTS), v.at(f, at.G)
    h, w, oh, ow, stride = v.at(f, at.SH), v.at(f, at.SW), v.at(f, at.DH), v.at(f, at.DW), v.at(f, at.STEP)
    jobs, items, top, zero = g * parts, v.at(f, at.N) * bands, v.at(f, at.TOP), v.zero(x)
    wide = 2 * L if MASKS or stride == 2 else L  # sums and three rows of two vectors are more than 16 registers
    for job in range(jobs * share // shares, jobs * (share + 1) // shares):
        channel, part = job % g, job // g
        sums = (zero, zero, zero, zero, zero, zero, zero, zero, zero)
        for i in range(items * part // parts, items * (part + 1) // parts):
            plane, first = i // bands * g + channel, i % bands * rows
            count = min(rows, oh - first)
            for col in range(0, ow, wide):
                source, at_dy = (address(x, plane * h * w), h, w, col * stride), (plane * oh + first) * ow + col
                row = first * stride + top
                if stride == 1:
                    if MASKS and ow - col > L:
                        sums = _gather_rows(source, row, dy, at_dy, ow, count, ow - col, sums, (zero, zero))
                    else:
                        sums = _gather_rows(source, row, dy, at_dy, ow, count, ow - col, sums, (zero,))
                elif ow - col > L:
                    sums = _gather_rows2(source, row, dy, at_dy, ow, count, ow - col, sums, (zero, zero))
                else:
                    sums = _gather_rows2(source, row, dy, at_dy, ow, count, ow - col, sums, (zero,))
        o = (part * g + channel) * 9
        for i in range(9):
            v.put(dw, o + i, v.lane_sum(sums[i % 3 * 3 + i // 3]))


@v.inline
def _gather_rows(source, row, dy, i, ow, count, n, sums, like):
    """`count` rows of dy, of which the first one begins in image row `row`; as many vectors as there are in `like`."""
    a = b = take_row(dy, i, n, like)
    sums = gather_row(1, source, row, n, sums, (b, None, None))
    if count > 1:
        b = take_row(dy, i + ow, n, like)
        sums = gather_row(1, source, row + 1, n, sums, (b, a, None))
    else:
        sums = gather_row(1, source, row + 1, n, sums, (None, a, None))
    for r in range(2, count):
        c = take_row(dy, i + r * ow, n, like)
        sums = gather_row(1, source, row + r, n, sums, (c, b, a))
        a, b = b, c
    if count > 1:
        sums = gather_row(1, source, row + count, n, sums, (None, b, a))
    return gather_row(1, source, row + count + 1, n, sums, (None, None, b))


@v.inline
def _gather_rows2(source, row, dy, i, ow, count, n, sums, like):
    a = take_row(dy, i, n, like)
    sums = gather_row(2, source, row, n, sums, (a, None, None))
    for r in range(1, count):
        sums = gather_row(2, source, row + 2 * r - 1, n, sums, (None, a, None))
        b = take_row(dy, i + r * ow, n, like)
        sums = gather_row(2, source, row + 2 * r, n, sums, (b, None, a))
        a = b
    sums = gather_row(2, source, row + 2 * count - 1, n, sums, (None, a, None))
    return gather_row(2, source, row + 2 * count, n, sums, (None, None, a))
