"""Sums over the numbers of a channel, and what is added and multiplied channel by channel.

Sums of a chunk are vectors, of distances from a number near the chunk's mean, which are exact or small: nothing
cancels. Chunks are added up in float64, in an order that no thread changes.
"""

from __future__ import annotations

import numpy as np

from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import local

CHUNK, PIXELS = 1024, 64  # numbers of a plane; pixels, channels last


@v.copied
def ones(a):
    """A vector of ones to be loaded in part: what lies behind an end is taken times 0."""
    room = local(a, 16)
    v.store(room, 0, v.splat(a.dtype.type(1)))
    return room


@v.inline
def distances(x, i, n, one):
    """Of n numbers from i on: one near their mean, the sum of their distances from it, and of the squares."""
    L, s, t = v.lanes(x), v.zero(x), v.zero(x)
    pairs = n // (2 * L) * 2 * L
    for j in range(i, i + pairs, 2 * L):
        s += v.load(x, j)
        t += v.load(x, j + L)
    for j in range(pairs, n, L):
        s += v.load_part(x, i + j, n - j)
    near = v.lane_sum(s + t) / x.dtype.type(n)
    c = v.splat(near)
    s, t, q, r = v.zero(x), v.zero(x), v.zero(x), v.zero(x)
    for j in range(i, i + pairs, 2 * L):
        d, e = v.load(x, j) - c, v.load(x, j + L) - c
        s += d
        t += e
        q += d * d
        r += e * e
    for j in range(pairs, n, L):
        d = v.load_part(x, i + j, n - j) - c * v.load_part(one, 0, n - j)
        s += d
        q += d * d
    return near, v.lane_sum(s + t), v.lane_sum(q + r)


@v.copied
def _add(m, i, C, first, n, near, total, squares):
    """A chunk of n numbers onto base, sum of distances from it, sum of their squares."""
    if first:
        v.put(m, i, np.float64(near))
        v.put(m, i + C, 0.0)
        v.put(m, i + 2 * C, 0.0)
    s = np.float64(total)
    u = np.float64(near) - v.at(m, i) + s / n
    v.put(m, i + C, v.at(m, i + C) + n * u)
    v.put(m, i + 2 * C, v.at(m, i + 2 * C) + n * u * u + (np.float64(squares) - s * s / n))


@step("moments")
def channel_moments(x, moments, channels_last, ithr, nthr):
    """x (n, c, p) IN, or (n, p, c); moments (parts, 3, c) float64 OUT: of each channel a number near its mean, the
    sum of distances from it, and of their squares. Parts: images, or with channels last even shares of all pixels."""
    L, one = v.lanes(x), ones(x)
    if not channels_last:
        N, C, P = x.shape
        for row in range(N * C * ithr // nthr, N * C * (ithr + 1) // nthr):
            i = row // C * 3 * C + row % C
            for j in range(0, P, CHUNK):
                n = min(CHUNK, P - j)
                near, total, squares = distances(x, row * P + j, n, one)
                _add(moments, i, C, j == 0, n, near, total, squares)
        return
    N, P, C = x.shape
    parts, a, b, c3 = moments.shape[0], local(x, 16), local(x, 16), local(x, 16)
    for part in range(parts * ithr // nthr, parts * (ithr + 1) // nthr):
        first, end, m = N * P * part // parts, N * P * (part + 1) // parts, part * 3 * C
        for i in range(first, end, PIXELS):
            n = min(PIXELS, end - i)
            for c in range(0, C, L):
                k = C - c
                s, q = v.zero(x), v.zero(x)
                for j in range(i, i + n):
                    s += v.load_part(x, j * C + c, k)
                near = s / v.splat(x.dtype.type(n))
                s = v.zero(x)
                for j in range(i, i + n):
                    d = v.load_part(x, j * C + c, k) - near
                    s += d
                    q += d * d
                v.store(a, 0, near)
                v.store(b, 0, s)
                v.store(c3, 0, q)
                for lane in range(min(L, k)):
                    _add(moments, m + c + lane, C, i == first, n, v.at(a, lane), v.at(b, lane), v.at(c3, lane))


@step("sums")
def channel_products(dy, x, centre, sums, channels_last, ithr, nthr):
    """dy, x IN, centre (c); sums (parts, 2, c) float64 OUT: of each channel those of dy and dy (x - centre)."""
    L = v.lanes(x)
    if not channels_last:
        N, C, P = x.shape
        for row in range(N * C * ithr // nthr, N * C * (ithr + 1) // nthr):
            total, product, mean = 0.0, 0.0, v.splat_at(centre, row % C)
            for j0 in range(row * P, (row + 1) * P, CHUNK):
                stop, s, q = min((row + 1) * P, j0 + CHUNK), v.zero(x), v.zero(x)
                for j in range(j0, stop, L):
                    d = v.load_part(dy, j, stop - j)
                    s += d
                    q += d * (v.load_part(x, j, stop - j) - mean)
                total += np.float64(v.lane_sum(s))
                product += np.float64(v.lane_sum(q))
            i = row // C * 2 * C + row % C
            v.put(sums, i, total)
            v.put(sums, i + C, product)
        return
    N, P, C = x.shape
    parts, a, b = sums.shape[0], local(x, 16), local(x, 16)
    for part in range(parts * ithr // nthr, parts * (ithr + 1) // nthr):
        first, end, m = N * P * part // parts, N * P * (part + 1) // parts, part * 2 * C
        for c in range(2 * C):
            v.put(sums, m + c, 0.0)
        for i in range(first, end, PIXELS):
            for c in range(0, C, L):
                k, s, q, mean = C - c, v.zero(x), v.zero(x), v.load_part(centre, c, C - c)
                for j in range(i, min(end, i + PIXELS)):
                    d = v.load_part(dy, j * C + c, k)
                    s += d
                    q += d * (v.load_part(x, j * C + c, k) - mean)
                v.store(a, 0, s)
                v.store(b, 0, q)
                for lane in range(min(L, k)):
                    o = m + c + lane
                    v.put(sums, o, v.at(sums, o) + np.float64(v.at(a, lane)))
                    v.put(sums, o + C, v.at(sums, o + C) + np.float64(v.at(b, lane)))


@step("y")
def channel_affine(x, other, table, y, channels_last, ithr, nthr):
    """x (n, c, p) IN, or (n, p, c); other (as x) may be empty; y OUT: (x - p) a + b + other e; table: p, a, b, e."""
    L, C, (N, R, n) = v.lanes(x), table.shape[1], x.shape
    two = other.size > 0
    for row in range(N * R * ithr // nthr, N * R * (ithr + 1) // nthr):
        i, c = row * n, row % C
        if channels_last:
            for j in range(0, n, L):
                k = n - j
                z = v.load_part(table, 2 * C + j, k)
                if two:
                    z += v.load_part(other, i + j, k) * v.load_part(table, 3 * C + j, k)
                d = v.load_part(x, i + j, k) - v.load_part(table, j, k)
                v.store_part(y, i + j, d * v.load_part(table, C + j, k) + z, k)
        else:
            p, a = v.splat_at(table, c), v.splat_at(table, C + c)
            b, e = v.splat_at(table, 2 * C + c), v.splat_at(table, 3 * C + c)
            for j in range(i, i + n, L):
                k = i + n - j
                z = v.load_part(other, j, k) * e + b if two else b
                v.store_part(y, j, (v.load_part(x, j, k) - p) * a + z, k)
