"""Channel-wise 3x3 kernels, one column of padding on the left: rows stream by, at stride 1 and 2.

A row of the image is loaded once, the columns beside it are made in registers (a load across cache lines costs two),
and the output rows that it meets stay there. Two vectors of columns at a time: sums, weights and a row fill the
registers.
"""

from __future__ import annotations

from ...records import DepthwiseRows, places
from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import address
from .blocks import MASKS
from .streams import filter_row, gather_row, put_row, spread_row, take_row, weights

at = places(DepthwiseRows)


@step("y")
def depthwise_rows(x, w, bias, y, q, share, shares):
    """y OUT = conv(x IN, w IN) + bias IN (co, or empty), or dx of dy. A job: a band of rows of one plane."""
    L, bands, rows = v.lanes(y), q[at.bands], q[at.rows]
    h, wx, oh, ow, stride, top = q[at.height], q[at.width], q[at.out_height], q[at.out_width], q[at.stride], q[at.top]
    jobs = q[at.images] * q[at.channels] * bands
    if q[at.spread]:
        rows *= 2
    for job in range(jobs * share // shares, jobs * (share + 1) // shares):
        plane, first = job // bands, job % bands * rows
        channel, end = plane % q[at.channels], min(first + rows, oh)
        k = weights(w, channel * 9, q[at.turned])
        if q[at.spread]:
            for col in range(0, (ow + 1) // 2, L):
                source, out = (address(x, plane * h * wx), h, wx, col), plane * oh * ow + 2 * col
                _spread_rows(source, top, k, y, out, ow, first, end, ow - 2 * col)
            continue
        start = v.splat_at(bias, channel) if bias.size else v.zero(y)
        for col in range(0, ow, 2 * L):
            source, out = (address(x, plane * h * wx), h, wx, col * stride), plane * oh * ow + col
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


@v.inline
def _spread_rows(source, top, k, y, out, ow, first, end, n):
    """grad_input at stride 2: rows first .. end - 1 of dx, two vectors of columns.

    Row i and column j of dy go to rows 2i + top + (0, 1, 2) and columns 2j - 1 + (0, 1, 2).
    """
    even = odd = v.zero(y)
    for i in range((first - top) // 2 - 1, (end - 1 - top) // 2 + 1):
        here, right = spread_row(source, i)
        even, odd = v.fma(k[1], here, even), v.fma(k[0], right, v.fma(k[2], here, odd))
        row = 2 * i + top
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


@step("sums")
def depthwise_rows_sums(dy, x, sums, q, share, shares):
    """sums OUT [parts][as dw] of dy IN, x IN; a job: one channel's weights, summed over one part of all bands."""
    L, bands, rows, parts, channels = v.lanes(x), q[at.bands], q[at.rows], q[at.parts], q[at.channels]
    h, w, oh, ow, stride, top = q[at.height], q[at.width], q[at.out_height], q[at.out_width], q[at.stride], q[at.top]
    jobs, items, zero = channels * parts, q[at.images] * bands, v.zero(x)
    wide = 2 * L if MASKS or stride == 2 else L  # sums and three rows of two vectors are more than 16 registers
    for job in range(jobs * share // shares, jobs * (share + 1) // shares):
        channel, part = job % channels, job // channels
        found = (zero, zero, zero, zero, zero, zero, zero, zero, zero)
        for i in range(items * part // parts, items * (part + 1) // parts):
            plane, first = i // bands * channels + channel, i % bands * rows
            count = min(rows, oh - first)
            for col in range(0, ow, wide):
                source, at_dy = (address(x, plane * h * w), h, w, col * stride), (plane * oh + first) * ow + col
                row = first * stride + top
                if stride == 1:
                    if MASKS and ow - col > L:
                        found = _gather_rows(source, row, dy, at_dy, ow, count, ow - col, found, (zero, zero))
                    else:
                        found = _gather_rows(source, row, dy, at_dy, ow, count, ow - col, found, (zero,))
                elif ow - col > L:
                    found = _gather_rows2(source, row, dy, at_dy, ow, count, ow - col, found, (zero, zero))
                else:
                    found = _gather_rows2(source, row, dy, at_dy, ow, count, ow - col, found, (zero,))
        for i in range(9):
            v.put(sums, 9 * job + i, v.lane_sum(found[i % 3 * 3 + i // 3]))


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
