"""Normalisation and factors of channels on images (N, C, H, W) of either layout, float32 or float64.

Results lie in memory as ``x`` does. ``out``, of the shape and dtype of ``x``, takes the result; it may be ``x`` itself.
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


def layer_norm(x: Array, weight: Array, bias: Array, eps: float, out: Array | None = None) -> Array:
    """``weight (x - mean) / sqrt(var + eps) + bias``, mean and variance of the channels of each pixel."""
    last = lies_last(x)
    a = _memory(x, True)  # channels first are turned, and turned back
    y = _room(out, a, True) if last else np.empty_like(a)
    if a.size:
        c, (engine, threads) = a.shape[3], _engine(a)
        rows = a.reshape(-1, c)
        engine.layer_norm_last(rows, _numbers(weight, a), _numbers(bias, a), y.reshape(-1, c), float(eps), threads)
    if not last:
        planes = _room(out, a.transpose(0, 3, 1, 2), False)
        if a.size:
            engine.to_channels_first(y, planes, threads)
        y = planes
    return _handed(y, out, last)


def gate(x: Array, s: Array, out: Array | None = None) -> Array:
    """``s x``, a factor an image and channel: ``s (N, C)`` or ``(N, C, 1, 1)``."""
    last = lies_last(x)
    a = _memory(x, last)
    y = _room(out, a, last)
    if a.size:
        engine, threads = _engine(a)
        factors = np.ascontiguousarray(s, a.dtype).reshape(x.shape[:2])
        (engine.gate_last if last else engine.gate_planes)(_rows(a, last), factors, _rows(y, last), threads)
    return _handed(y, out, last)


def affine(x: Array, scale: Array, shift: Array, name: Activation | None = None, out: Array | None = None) -> Array:
    """``activation(x scale + shift)``, scale and shift a number a channel."""
    last = lies_last(x)
    a = _memory(x, last)
    y = _room(out, a, last)
    if a.size:
        engine, threads = _engine(a)
        numbers, code = (_numbers(scale, a), _numbers(shift, a)), ACTIVATIONS.index(name or "")
        if last:
            c = a.shape[3]
            engine.affine_last(a.reshape(-1, c), *numbers, y.reshape(-1, c), code, threads)
        else:
            engine.affine_planes(_rows(a, False), *numbers, _rows(y, False), code, threads)
    return _handed(y, out, last)


def _engine(a: Array) -> tuple[Kernels, int]:
    return _steps(a.dtype.name), get_num_threads() if a.size >= _LAUNCH else 1


def _memory(x: Array, last: bool) -> Array:
    """The numbers in C order, (N, H, W, C) if channels are to lie last; x itself if they do."""
    native = x.dtype.newbyteorder("=")
    if last and x.size and not lies_last(x) and x.flags.c_contiguous and x.flags.aligned and x.dtype == native:
        a = np.empty((x.shape[0], *x.shape[2:], x.shape[1]), native)
        engine, threads = _engine(x)
        engine.to_channels_last(x, a, threads)
        return a
    return ready(stored(x, last), native.name)


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


def _rows(a: Array, last: bool) -> Array:
    """(N, H W, C) or (N, C, H W)."""
    return a.reshape(a.shape[0], -1, a.shape[3]) if last else a.reshape(*a.shape[:2], -1)


def _numbers(numbers: Array, a: Array) -> Array:
    return np.ascontiguousarray(numbers, a.dtype)
