"""Normalisation of pixels: a pixel's channels side by side, or channels first, where lanes are pixels."""

from __future__ import annotations

import numpy as np

from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import clear, local
from .channels import PIXELS, distances, ones

FLUSH = 64  # blocks whose sums are vectors


@v.copied
def _inverse(var, eps):
    return 1 / np.sqrt(max(var, 0.0) + eps) if var == var else var


@v.inline
def _pixel(x, i, n, eps, one):
    """The mean in two parts, 1 / sqrt(variance + eps), in every lane."""
    near, total, squares = distances(x, i, n, one)
    rest = np.float64(total) / n
    inverse = _inverse(np.float64(squares) / n - rest * rest, eps)
    return v.splat(near), v.splat(x.dtype.type(rest)), v.splat(x.dtype.type(inverse))


@step("y")
def layer_norm_last(x, weight, bias, y, eps, ithr, nthr):
    """x (p, c) IN; y OUT, may be x: each pixel with mean 0 and variance 1, times weight (c), plus bias (c)."""
    (P, C), L, one = x.shape, v.lanes(x), ones(x)
    for row in range(P * ithr // nthr, P * (ithr + 1) // nthr):
        i = row * C
        near, rest, inverse = _pixel(x, i, C, eps, one)
        for j in range(0, C, L):
            normal = (v.load_part(x, i + j, C - j) - near - rest) * inverse
            v.store_part(y, i + j, normal * v.load_part(weight, j, C - j) + v.load_part(bias, j, C - j), C - j)


@step("dx", "sums", "work")
def layer_norm_last_backward(dy, x, weight, dx, sums, work, eps, ithr, nthr):
    """dy, x (p, c) IN; dx OUT; sums (parts, 2, c) float64 OUT: of each channel those of dy and dy x', parts are even
    shares of the pixels; work (parts, 2, c)."""
    (P, C), L, one, parts = x.shape, v.lanes(x), ones(x), sums.shape[0]
    for part in range(parts * ithr // nthr, parts * (ithr + 1) // nthr):
        first, end, w = P * part // parts, P * (part + 1) // parts, part * 2 * C
        for j in range(2 * C):
            v.put(sums, w + j, 0.0)
        clear(work, w, 2 * C)
        for row in range(first, end):
            i = row * C
            near, rest, inverse = _pixel(x, i, C, eps, one)
            s, q = v.zero(x), v.zero(x)
            for j in range(0, C, L):
                k = C - j
                d, normal = v.load_part(dy, i + j, k), (v.load_part(x, i + j, k) - near - rest) * inverse
                g = d * v.load_part(weight, j, k)
                s += g
                q += g * normal
                v.store_part(work, w + j, v.load_part(work, w + j, k) + d, k)
                v.store_part(work, w + C + j, v.load_part(work, w + C + j, k) + d * normal, k)
            mean, along = v.splat(v.lane_sum(s) / x.dtype.type(C)), v.splat(v.lane_sum(q) / x.dtype.type(C))
            for j in range(0, C, L):
                k = C - j
                normal = (v.load_part(x, i + j, k) - near - rest) * inverse
                g = v.load_part(dy, i + j, k) * v.load_part(weight, j, k)
                v.store_part(dx, i + j, (g - mean - normal * along) * inverse, k)
            if row == end - 1 or (row - first) % PIXELS == PIXELS - 1:
                for j in range(w, w + 2 * C):
                    v.put(sums, j, v.at(sums, j) + np.float64(v.at(work, j)))
                clear(work, w, 2 * C)


@v.inline
def _planes(x, i, k, C, P, eps, room):
    """The same of the k pixels from i on, one a lane."""
    L, s, q, size = v.lanes(x), v.zero(x), v.zero(x), v.splat(x.dtype.type(C))
    for c in range(C):
        s += v.load_part(x, i + c * P, k)
    near = s / size
    s = v.zero(x)
    for c in range(C):
        d = v.load_part(x, i + c * P, k) - near
        s += d
        q += d * d
    rest = s / size
    v.store(room, 0, q / size - rest * rest)
    for lane in range(L):  # 0 behind the end
        inverse = _inverse(np.float64(v.at(room, lane)), eps) if lane < k else 0.0
        v.put(room, lane, x.dtype.type(inverse))
    return near, rest, v.load(room, 0)


@step("y")
def layer_norm_planes(x, weight, bias, y, eps, ithr, nthr):
    """The same for x (n, c, p)."""
    (N, C, P), L, room = x.shape, v.lanes(x), local(x, 16)
    wide = -(-P // L)
    for block in range(N * wide * ithr // nthr, N * wide * (ithr + 1) // nthr):
        p = block % wide * L
        i, k = block // wide * C * P + p, P - p
        near, rest, inverse = _planes(x, i, k, C, P, eps, room)
        for c in range(C):
            normal = (v.load_part(x, i + c * P, k) - near - rest) * inverse
            v.store_part(y, i + c * P, normal * v.splat_at(weight, c) + v.splat_at(bias, c), k)


@step("dx", "sums", "work")
def layer_norm_planes_backward(dy, x, weight, dx, sums, work, eps, ithr, nthr):
    """The same for dy, x (n, c, p); work (parts, 2, c, 16)."""
    (N, C, P), L, room, parts = x.shape, v.lanes(x), local(x, 16), sums.shape[0]
    wide, size = -(-P // L), v.splat(x.dtype.type(C))
    for part in range(parts * ithr // nthr, parts * (ithr + 1) // nthr):
        first, end = N * wide * part // parts, N * wide * (part + 1) // parts
        to, w = part * 2 * C, part * 2 * C * 16
        for j in range(2 * C):
            v.put(sums, to + j, 0.0)
        clear(work, w, 2 * C * L)
        for block in range(first, end):
            p = block % wide * L
            i, k = block // wide * C * P + p, P - p
            near, rest, inverse = _planes(x, i, k, C, P, eps, room)
            s, q = v.zero(x), v.zero(x)
            for c in range(C):
                o, at = i + c * P, w + c * L
                d, normal = v.load_part(dy, o, k), (v.load_part(x, o, k) - near - rest) * inverse
                g = d * v.splat_at(weight, c)
                s += g
                q += g * normal
                v.store(work, at, v.load(work, at) + d)
                v.store(work, at + C * L, v.load(work, at + C * L) + d * normal)
            s /= size
            q /= size
            for c in range(C):
                o = i + c * P
                normal = (v.load_part(x, o, k) - near - rest) * inverse
                g = v.load_part(dy, o, k) * v.splat_at(weight, c)
                v.store_part(dx, o, (g - s - normal * q) * inverse, k)
            if block == end - 1 or (block - first) % FLUSH == FLUSH - 1:
                for j in range(2 * C):
                    v.put(sums, to + j, v.at(sums, to + j) + np.float64(v.lane_sum(v.load(work, w + j * L))))
                clear(work, w, 2 * C * L)
