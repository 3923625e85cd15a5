"""How far a network's output is from the target: one number, and its gradient."""

from __future__ import annotations

import numpy as np

from ..core.typing import Array, ArrayLike
from .arithmetic import sigmoid, softmax
from .layer import floats


class Loss:
    """Base of the losses: ``loss(y, target)`` is the mean over the batch, ``loss.backward()`` its gradient ``dy``.

    Raises
    ------
    TypeError
        If ``y`` is no array of float32 or float64.
    ValueError
        If the batch is empty, or the target has another shape.
    RuntimeError
        If `backward` is called without a call before it.
    """

    _kept: tuple[Array, Array] | None = None

    def __call__(self, y: ArrayLike, target: ArrayLike) -> float:
        """The loss."""
        a, t = floats("y", y), np.asarray(target)
        if not a.size:
            raise ValueError(f"{type(self).__name__}: the batch is empty, y has shape {a.shape}")
        t = self._target(a, t)
        self._kept = a, t
        return float(self._loss(a, t))

    def backward(self) -> Array:
        """Gradient of the last loss with respect to its ``y``, of its dtype."""
        if self._kept is None:
            raise RuntimeError(f"{type(self).__name__}: backward needs a call before it")
        y, t = self._kept
        return self._gradient(y, t).astype(y.dtype, copy=False)

    def _target(self, y: Array, t: Array) -> Array:
        if t.shape != y.shape:
            raise ValueError(f"{type(self).__name__}: target has shape {t.shape}, y {y.shape}")
        return t.astype(y.dtype, copy=False)

    def _loss(self, y: Array, t: Array) -> float:
        raise NotImplementedError

    def _gradient(self, y: Array, t: Array) -> Array:
        raise NotImplementedError


class MeanSquaredError(Loss):
    """``mean((y - t)^2)``; ``dy = 2 (y - t) / size``. Arrays of any one shape.

    References
    ----------
    Bishop, "Pattern recognition and machine learning" (2006), equation 5.11: the sum of squares.
    """

    def _loss(self, y: Array, t: Array) -> float:
        return float(np.mean((y - t) ** 2, dtype=np.float64))

    def _gradient(self, y: Array, t: Array) -> Array:
        dy: Array = (y - t) * (2 / y.size)
        return dy


class MeanAbsoluteError(Loss):
    """``mean(|y - t|)``; ``dy = sign(y - t) / size``, 0 where both are the same. Arrays of any one shape.

    References
    ----------
    Bishop, "Pattern recognition and machine learning" (2006), equation 1.91 with q = 1: the Minkowski loss.
    """

    def _loss(self, y: Array, t: Array) -> float:
        return float(np.mean(np.abs(y - t), dtype=np.float64))

    def _gradient(self, y: Array, t: Array) -> Array:
        dy: Array = np.sign(y - t) / y.size
        return dy


class BinaryCrossEntropy(Loss):
    """``mean(-t log p - (1 - t) log(1 - p))`` for probabilities p, or for logits z with ``p = sigmoid(z)``.

    Of probabilities ``dy = (p - t) / (p (1 - p)) / size``, with logarithms of -100 at least and ``p (1 - p)`` of 1e-12
    at least; of logits ``dy = (p - t) / size``, and the loss ``max(z, 0) - z t + log(1 + exp(-|z|))`` never overflows.
    Arrays of any one shape, targets from 0 to 1.

    Parameters
    ----------
    logits : bool
        Whether ``y`` holds logits: no Sigmoid at the end of the network.

    Raises
    ------
    ValueError
        Also for targets or probabilities out of range.

    References
    ----------
    Bishop, "Pattern recognition and machine learning" (2006), equation 4.90.
    """

    def __init__(self, *, logits: bool = False) -> None:
        self.logits = logits

    def _target(self, y: Array, t: Array) -> Array:
        t = super()._target(y, t)
        for name, a in (("target", t),) if self.logits else (("target", t), ("y", y)):
            if a.min() < 0 or a.max() > 1:
                raise ValueError(f"BinaryCrossEntropy: {name} must be from 0 to 1, got {a.min()} to {a.max()}")
        return t

    def _loss(self, y: Array, t: Array) -> float:
        if self.logits:
            each = np.maximum(y, 0) - y * t + np.log1p(np.exp(-np.abs(y)))
        else:
            with np.errstate(divide="ignore"):
                each = -t * np.maximum(np.log(y), -100) - (1 - t) * np.maximum(np.log1p(-y), -100)
        return float(np.mean(each, dtype=np.float64))

    def _gradient(self, y: Array, t: Array) -> Array:
        if self.logits:
            return (sigmoid(y) - t) / y.size
        dy: Array = (y - t) / np.maximum(y * (1 - y), y.dtype.type(1e-12)) / y.size
        return dy


class SoftmaxCrossEntropy(Loss):
    """``mean_n(-sum_c t_c log p_c)`` with ``p = softmax(y)`` along axis 1; ``dy = (p - t) / n``.

    ``y (N, C)`` or ``(N, C, H, W)`` are logits: no softmax at the end of the network. Targets are labels, integers 0 to
    C - 1 of shape ``(N,)`` or ``(N, H, W)``, or probabilities of the shape of ``y``. n counts images, or their pixels.

    Raises
    ------
    TypeError
        Also for labels that are no integers.
    ValueError
        Also for a label out of range.

    References
    ----------
    Bishop, "Pattern recognition and machine learning" (2006), equations 4.104 and 4.108.
    """

    def _target(self, y: Array, t: Array) -> Array:
        if y.ndim < 2:
            raise ValueError(f"SoftmaxCrossEntropy: y must have shape (N, C) or (N, C, H, W), got {y.shape}")
        if t.shape == y.shape:
            return t.astype(y.dtype, copy=False)
        if t.shape != (y.shape[0], *y.shape[2:]):
            raise ValueError(f"SoftmaxCrossEntropy: target has shape {t.shape}, y {y.shape}")
        if t.dtype.kind not in "iu":
            raise TypeError(f"SoftmaxCrossEntropy: labels must be integers, got {t.dtype}")
        if t.min() < 0 or t.max() >= y.shape[1]:
            wrong = t.min() if t.min() < 0 else t.max()
            raise ValueError(f"SoftmaxCrossEntropy: labels must be 0 to {y.shape[1] - 1}, got {wrong}")
        return np.moveaxis(np.eye(y.shape[1], dtype=y.dtype)[t], -1, 1)

    def _loss(self, y: Array, t: Array) -> float:
        z = y - y.max(axis=1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        total = float((t * log_p).sum(dtype=np.float64))
        return float(-total * y.shape[1] / y.size)

    def _gradient(self, y: Array, t: Array) -> Array:
        # the sum over t is 1 for labels; probabilities need not add up to it
        dy: Array = (softmax(y) * t.sum(axis=1, keepdims=True) - t) / (y.size // y.shape[1])
        return dy
