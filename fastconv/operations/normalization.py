"""Normalisation and factors of channels on images (N, C, H, W) of either layout, float32 or float64.

Results lie in memory as ``x`` does. ``out``, of the shape and dtype of ``x``, takes the result; it may be ``x`` itself.
Sums over a channel are float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..algorithms.base import ACTIVATIONS
from ..core.arrays import check_out, ready
from ..core.layouts import lies_last, returned, stored
from ..core.threads import get_num_threads
from ..core.typing import Activation, Array
from ..engines.loader import first as _steps

if TYPE_CHECKING:
    from ..engines.kernels import Kernels

_LAUNCH = 1 << 15  # numbers below which threads are not worth their start
_PARTS, _PIXELS = 64, 64  # parts of a sum, whatever the number of threads; pixels that are worth one


def layer_norm(x: Array, weight: Array, bias: Array, eps: float, out: Array | None = None) -> Array:
    """``weight (x - mean) / sqrt(var + eps) + bias``, mean and variance of the channels of each pixel."""
    a, last = _memory(x)
    y = _room(out, a, last)
    if a.size:
        engine, threads = _engine(a)
        (rows, pixels), results = _rows(a, last), _rows(y, last)[0]
        numbers = _numbers(weight, a), _numbers(bias, a)
        if pixels:
            engine.layer_norm_last(_flat(rows), *numbers, _flat(results), float(eps), threads)
        else:
            engine.layer_norm_planes(rows, *numbers, results, float(eps), threads)
    return _handed(y, out, last)


def layer_norm_backward(dy: Array, x: Array, weight: Array, eps: float) -> tuple[Array, Array, Array]:
    """Gradients of `layer_norm` with respect to x, weight and bias."""
    a, last = _memory(x)
    d, dx = _like(dy, a, last), np.empty_like(a)
    c = x.shape[1]
    if not a.size:
        return returned(dx, last, False, False), np.zeros(c), np.zeros(c)
    engine, threads = _engine(a)
    (rows, pixels), (grads, _), (results, _) = _rows(a, last), _rows(d, last), _rows(dx, last)
    parts = min(_PARTS, -(-a.size // c // _PIXELS))
    sums, w = np.empty((parts, 2, c)), _numbers(weight, a)
    if pixels:
        work = np.empty((parts, 2, c), a.dtype)
        engine.layer_norm_last_backward(
            _flat(grads), _flat(rows), w, _flat(results), sums, work, float(eps), threads
        )  # fmt: skip
    else:
        work = np.empty((parts, 2, c, 16), a.dtype)
        engine.layer_norm_planes_backward(grads, rows, w, results, sums, work, float(eps), threads)
    db, dw = sums.sum(axis=0)
    return returned(dx, last, False, False), dw, db


def gate(x: Array, s: Array, out: Array | None = None) -> Array:
    """``s x``, a factor an image and channel: ``s (N, C)`` or ``(N, C, 1, 1)``."""
    a, last = _memory(x)
    y = _room(out, a, last)
    if a.size:
        engine, threads = _engine(a)
        factors = np.ascontiguousarray(s, a.dtype).reshape(x.shape[:2])
        rows, pixels = _rows(a, last)
        (engine.gate_last if pixels else engine.gate_planes)(rows, factors, _rows(y, last)[0], threads)
    return _handed(y, out, last)


def affine(x: Array, scale: Array, shift: Array, name: Activation | None = None, out: Array | None = None) -> Array:
    """``activation(x scale + shift)``, scale and shift a number a channel."""
    a, last = _memory(x)
    y = _room(out, a, last)
    if a.size:
        engine, threads = _engine(a)
        (rows, pixels), results, code = _rows(a, last), _rows(y, last)[0], ACTIVATIONS.index(name or "")
        numbers = _numbers(scale, a), _numbers(shift, a)
        if pixels:
            engine.affine_last(_flat(rows), *numbers, _flat(results), code, threads)
        else:
            engine.affine_planes(rows, *numbers, results, code, threads)
    return _handed(y, out, last)


def channel_moments(x: Array) -> tuple[Array, Array]:
    """Mean of each channel, and the sum of squares of distances from it, float64; x must not be empty."""
    a, last = _memory(x)
    engine, threads = _engine(a)
    rows, pixels = _rows(a, last)
    c = x.shape[1]
    m = x.size // c
    parts = min(_PARTS, -(-m // _PIXELS)) if pixels else len(rows)
    moments = np.empty((parts, 3, c))
    engine.channel_moments(rows, moments, pixels, threads)
    bases, sums, squares = moments.transpose(1, 0, 2)
    n = np.diff(m * np.arange(parts + 1) // parts)[:, None]  # of each part
    off = bases - bases[0] + sums / n
    mean = (n * off).sum(axis=0) / m
    squares = np.maximum(squares - sums**2 / n, 0) + n * (off - mean) ** 2  # Chan, Golub, LeVeque (1979), equation 2.1
    return bases[0] + mean, squares.sum(axis=0)


def channel_products(dy: Array, x: Array, centre: Array | None = None) -> tuple[Array, Array]:
    """Sums of ``dy`` and of ``dy (x - centre)`` of each image and channel, (N, C) float64; centre: 0 unless given."""
    a, last = _memory(x)
    d, (n, c) = _like(dy, a, last), x.shape[:2]
    if not a.size:
        return np.zeros((n, c)), np.zeros((n, c))
    engine, threads = _engine(a)
    (rows, pixels), (grads, _) = _rows(a, last), _rows(d, last)
    each = max(1, min(rows.shape[1] // _PIXELS, _PARTS // n)) if pixels else 1  # parts of an image
    sums = np.empty((n * each, 2, c))
    about = np.zeros(c, a.dtype) if centre is None else _numbers(centre, a)
    engine.channel_products(grads, rows, about, sums, pixels, threads)
    total = sums.reshape(n, each, 2, c).sum(axis=1)
    return total[:, 0], total[:, 1]


def batch_norm(x: Array, mean: Array, std: Array, weight: Array, bias: Array, out: Array | None = None) -> Array:
    """``weight (x - mean) / std + bias``, all of them a number a channel; best in float64."""
    centre, a = mean.astype(x.dtype), weight / std
    return _combined(x, None, (centre, a, bias - (mean - centre) * a, a), out)


def batch_norm_backward(
    dy: Array, x: Array, mean: Array, std: Array, weight: Array, learned: bool
) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm` with respect to x, weight and bias; learned: mean and std are those of x."""
    centre, m = mean.astype(x.dtype), max(1, x.size // x.shape[1])
    off = mean - centre
    sums, products = channel_products(dy, x, centre)
    db = sums.sum(axis=0)
    dw = (products.sum(axis=0) - off * db) / std
    g = weight / std
    if not learned:
        none = np.zeros_like(g)
        return _combined(dy.astype(x.dtype, copy=False), None, (none, g, none, g)), dw, db
    slope = -g * dw / (m * std)
    return _combined(x, dy, (centre, slope, -g * db / m - slope * off, g)), dw, db


def _combined(x: Array, other: Array | None, table: tuple[Array, ...], out: Array | None = None) -> Array:
    """``(x - p) a + b + other e`` with a table p, a, b, e of numbers a channel."""
    a, last = _memory(x)
    d = a[:0] if other is None else _like(other, a, last)
    y = _room(out, a, last)
    if a.size:
        engine, threads = _engine(a)
        rows, pixels = _rows(a, last)
        others = rows[:0] if other is None else _rows(d, last)[0]
        engine.channel_affine(rows, others, np.array(table, a.dtype), _rows(y, last)[0], pixels, threads)
    return _handed(y, out, last)


def _engine(a: Array) -> tuple[Kernels, int]:
    return _steps(a.dtype.name), get_num_threads() if a.size >= _LAUNCH else 1


def _memory(x: Array) -> tuple[Array, bool]:
    """The numbers in C order, and whether channels lie last: (N, H, W, C), else (N, C, H, W)."""
    last = lies_last(x)
    return ready(stored(x, last), x.dtype.newbyteorder("=").name), last


def _like(dy: Array, a: Array, last: bool) -> Array:
    """Another array of the shape of x, in its memory layout and dtype."""
    return ready(stored(dy, last), a.dtype.name)


def _room(out: Array | None, a: Array, last: bool) -> Array:
    """Where a step may write what is to be `out`, as `a` lies and with its shape."""
    if out is not None:
        check_out(out, returned(a, last, False, False).shape, a.dtype.name)
        y = stored(out, last)
        same = y.ctypes.data == a.ctypes.data
        if y.flags.c_contiguous and y.flags.aligned and y.dtype == a.dtype and (same or not np.may_share_memory(y, a)):
            return y
    return np.empty(a.shape, a.dtype)


def _handed(y: Array, out: Array | None, last: bool) -> Array:
    seen = returned(y, last, False, False)
    if out is None:
        return seen
    if not np.may_share_memory(y, out):
        out[...] = seen
    return out


def _rows(a: Array, last: bool) -> tuple[Array, bool]:
    """(N, H W, C) or (N, C, H W), and whether channels lie last: one pixel is taken so, one channel as a plane."""
    n, second, _, fourth = a.shape
    c = fourth if last else second
    pixels = a.size // (n * c) if a.size else 0
    last = pixels == 1 if c == 1 else last or pixels == 1
    return (a.reshape(n, pixels, c) if last else a.reshape(n, c, pixels)), last


def _flat(rows: Array) -> Array:
    """(N H W, C)."""
    return rows.reshape(-1, rows.shape[2])


def _numbers(numbers: Array, a: Array) -> Array:
    return np.ascontiguousarray(numbers, a.dtype)
