"""Activations number by number, and their gradients: calls of the engine's loops on arrays of any layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..algorithms.base import ACTIVATIONS
from ..core.threads import get_num_threads
from ..core.typing import Activation, Array
from ..engines.loader import first as _steps

if TYPE_CHECKING:
    from ..engines.kernels import Kernels

_LAUNCH = 1 << 15  # numbers below which threads are not worth their start


def activation(x: Array, name: Activation) -> Array:
    """The activation of every number of ``x``, float32 or float64; lies in memory as ``x`` does."""
    a = _plain(x)
    y = np.empty_like(a)
    if a.size:
        engine, threads = _engine(a)
        engine.activation(_flat(a), _flat(y), ACTIVATIONS.index(name), threads)
    return y


def activation_into(x: Array, y: Array, name: Activation) -> None:
    """The same into ``y``, which may be ``x``; both C-contiguous, of one shape and dtype."""
    engine, threads = _engine(x)
    engine.activation(x, y, ACTIVATIONS.index(name), threads)


def to_channels_last(x: Array, y: Array) -> None:
    """Images (N, C, H, W) into ``y`` (N, H, W, C), both C-contiguous, native and of one dtype."""
    engine, threads = _engine(x)
    engine.to_channels_last(x, y, threads)


def largest(dtype: str) -> Callable[[Array, int], float]:
    """What finds the largest magnitude in an array of ``dtype``, on some threads; not finite if one number is not."""
    return _steps(dtype).abs_peak


def activation_backward(dy: Array, x: Array, name: Activation) -> Array:
    """``dy`` times the derivative of the activation at ``x``, in the dtype and memory layout of ``x``."""
    a = _plain(x)
    dya = dy
    if dy.strides != a.strides or dy.dtype != a.dtype:
        dya = np.empty_like(a)
        dya[...] = dy
    dx = np.empty_like(a)
    if a.size:
        engine, threads = _engine(a)
        engine.activation_backward(_flat(dya), _flat(a), _flat(dx), ACTIVATIONS.index(name), threads)
    return dx


def _engine(a: Array) -> tuple[Kernels, int]:
    return _steps(a.dtype.name), get_num_threads() if a.size >= _LAUNCH else 1


def _plain(a: Array) -> Array:
    """Native, aligned and without gaps, its axes in any order."""
    whole = a.flags.c_contiguous or a.transpose(np.argsort([-abs(s) for s in a.strides])).flags.c_contiguous
    if whole and a.flags.aligned and a.dtype.isnative:
        return a
    room = np.empty_like(a, a.dtype.newbyteorder("="))
    room[...] = a
    return room


def _flat(a: Array) -> Array:
    """All numbers as they lie."""
    return a.ravel(order="K")
