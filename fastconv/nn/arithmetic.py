"""Activations and their derivatives, number by number. NumPy; each result lies in memory as ``x`` does.

A table: name, y of x, derivative of x and y. Where y alone gives the derivative, x is not read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..core.typing import Array

SLOPE = 0.01  # of the leaky ReLU, as in `fastconv.conv2d`
_ROOT_HALF, _ROOT_TWO_PI = 0.5**0.5, (2 * np.pi) ** 0.5


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, without overflow."""
    from scipy.special import expit

    y: Array = expit(x)
    return y


def normal_cdf(x: Array) -> Array:
    """Probability that a standard normal number is at most ``x``."""
    from scipy.special import erfc

    y: Array = erfc(x * -_ROOT_HALF)
    y *= 0.5
    return y


def _silu_slope(x: Array, y: Array) -> Array:
    s = sigmoid(x)
    slope: Array = s * (1 + x * (1 - s))
    return slope


def _gelu_slope(x: Array, y: Array) -> Array:
    slope: Array = normal_cdf(x) + x * np.exp(-0.5 * x * x) / _ROOT_TWO_PI
    return slope


def _hardswish_slope(x: Array, y: Array) -> Array:
    return np.where(x >= 3, 1, (x > -3) * (x / 3 + 0.5)).astype(x.dtype, copy=False)


class Function(NamedTuple):
    """y of x, and its derivative of x and y."""

    of: Callable[[Array], Array]
    slope: Callable[[Array, Array], Array]


FUNCTIONS = {
    "relu": Function(lambda x: np.maximum(x, 0), lambda x, y: y > 0),
    "relu6": Function(lambda x: np.clip(x, 0, 6), lambda x, y: (y > 0) & (y < 6)),
    "leaky_relu": Function(lambda x: np.maximum(x, SLOPE * x), lambda x, y: leak(y, SLOPE)),
    "sigmoid": Function(sigmoid, lambda x, y: y * (1 - y)),
    "tanh": Function(np.tanh, lambda x, y: 1 - y * y),
    "softsign": Function(lambda x: x / (1 + np.abs(x)), lambda x, y: (1 + np.abs(x)) ** -2),
    "arctan": Function(np.arctan, lambda x, y: 1 / (1 + x * x)),
    "silu": Function(lambda x: x * sigmoid(x), _silu_slope),
    "gelu": Function(lambda x: x * normal_cdf(x), _gelu_slope),
    "hardswish": Function(lambda x: x * np.clip(x + 3, 0, 6) / 6, _hardswish_slope),
}


def leak(y: Array, slope: float) -> Array:
    """Derivative of the leaky ReLU: 1 where it is positive, else ``slope``."""
    found: Array = np.where(y > 0, y.dtype.type(1), y.dtype.type(slope))
    return found


def softmax(z: Array) -> Array:
    """``exp(z_i) / sum_j exp(z_j)`` along axis 1, without overflow."""
    e: Array = np.exp(z - z.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return e


def channel_sum(a: Array) -> Array:
    """Sum over all axes but that of the channels, (C,); summed in float64."""
    total: Array = np.add.reduce(a, axis=(0, *range(2, a.ndim)), dtype=np.float64)
    return total


def by_channel(v: Array, x: Array) -> Array:
    """A number a channel, (C,), as it meets images (N, C, H, W), in their dtype."""
    column: Array = v.astype(x.dtype, copy=False)[:, None, None]
    return column
