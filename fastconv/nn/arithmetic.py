"""What layers and losses compute beside fastconv's calls, in NumPy; results lie in memory as ``x`` does."""

from __future__ import annotations

import numpy as np

from ..core.typing import Array


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, without overflow."""
    from scipy.special import expit

    y: Array = expit(x)
    return y


def leak(x: Array, slope: float) -> Array:
    """Derivative of the leaky ReLU: 1 where x is positive, else ``slope``."""
    found: Array = np.where(x > 0, x.dtype.type(1), x.dtype.type(slope))
    return found


def softmax(z: Array) -> Array:
    """``exp(z_i) / sum_j exp(z_j)`` along axis 1, without overflow."""
    e: Array = np.exp(z - z.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return e
