"""Normalised pixels, and numbers times a factor of their channel; rows are planes, or pixels of channels last."""

from __future__ import annotations

import numpy as np

from ..ground import vector as v
from ..ground.epilogue import activate
from ..ground.launch import step
from ..ground.memory import local


@v.copied
def ones(a):
    """A vector of ones to be loaded in part: what lies behind an end is taken times 0."""
    room = local(a, 16)
    v.store(room, 0, v.splat(a.dtype.type(1)))
    return room


@v.inline
def moments(x, i, n, eps, one):
    """Of n numbers from i on: one near their mean, what the mean is beyond it, 1 / sqrt(variance + eps).

    Distances from the near number are exact or small: nothing cancels.
    """
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
    rest = np.float64(v.lane_sum(s + t)) / n
    var = np.float64(v.lane_sum(q + r)) / n - rest * rest
    if var < 0:
        var = 0.0
    return near, x.dtype.type(rest), x.dtype.type(1 / np.sqrt(var + eps))


@step("y")
def layer_norm_last(x, weight, bias, y, eps, ithr, nthr):
    """x (p, c) IN; y OUT, may be x: each pixel with mean 0 and variance 1, times weight (c), plus bias (c)."""
    (rows, n), L, one = x.shape, v.lanes(x), ones(x)
    for row in range(rows * ithr // nthr, rows * (ithr + 1) // nthr):
        i = row * n
        near, rest, inverse = moments(x, i, n, eps, one)
        a, b, c = v.splat(near), v.splat(rest), v.splat(inverse)
        for j in range(0, n, L):
            normal = (v.load_part(x, i + j, n - j) - a - b) * c
            v.store_part(y, i + j, normal * v.load_part(weight, j, n - j) + v.load_part(bias, j, n - j), n - j)


@step("y")
def gate_last(x, s, y, ithr, nthr):
    """x (n, p, c) IN; y OUT, may be x: x times s (n, c)."""
    (images, pixels, n), L = x.shape, v.lanes(x)
    rows = images * pixels
    for row in range(rows * ithr // nthr, rows * (ithr + 1) // nthr):
        i, at = row * n, row // pixels * n
        for j in range(0, n, L):
            v.store_part(y, i + j, v.load_part(x, i + j, n - j) * v.load_part(s, at + j, n - j), n - j)


@step("y")
def gate_planes(x, s, y, ithr, nthr):
    """x (n, c, p) IN; y OUT, may be x: x times s (n, c)."""
    (images, channels, n), L = x.shape, v.lanes(x)
    rows = images * channels
    for row in range(rows * ithr // nthr, rows * (ithr + 1) // nthr):
        i, factor = row * n, v.splat_at(s, row)
        for j in range(0, n, L):
            v.store_part(y, i + j, v.load_part(x, i + j, n - j) * factor, n - j)


@step("y")
def affine_last(x, scale, shift, y, code, ithr, nthr):
    """x (p, c) IN; y OUT, may be x: activation(x scale + shift), scale and shift (c); code: place in ACTIVATIONS."""
    (rows, n), L = x.shape, v.lanes(x)
    for row in range(rows * ithr // nthr, rows * (ithr + 1) // nthr):
        i = row * n
        for j in range(0, n, L):
            k = n - j
            z = v.load_part(x, i + j, k) * v.load_part(scale, j, k) + v.load_part(shift, j, k)
            v.store_part(y, i + j, activate(z, code), k)


@step("y")
def affine_planes(x, scale, shift, y, code, ithr, nthr):
    """The same for x (n, c, p)."""
    (images, channels, n), L = x.shape, v.lanes(x)
    rows = images * channels
    for row in range(rows * ithr // nthr, rows * (ithr + 1) // nthr):
        i, a, b = row * n, v.splat_at(scale, row % channels), v.splat_at(shift, row % channels)
        for j in range(0, n, L):
            v.store_part(y, i + j, activate(v.load_part(x, i + j, n - j) * a + b, code), n - j)
