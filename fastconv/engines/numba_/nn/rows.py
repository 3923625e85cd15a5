"""Numbers times a factor of their channel: rows are planes, or pixels whose channels lie side by side."""

from __future__ import annotations

from ..ground import vector as v
from ..ground.epilogue import activate
from ..ground.launch import step


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
