"""Layers that give numbers mean 0 and variance 1, then a mean and a variance that are learned."""

from __future__ import annotations

import numpy as np

from ..core.typing import Array, Shape
from ..operations.normalization import (
    batch_norm,
    batch_norm_backward,
    channel_moments,
    layer_norm,
    layer_norm_backward,
)
from .layer import Layer, Parameter, images


class BatchNorm2d(Layer):
    """``y = weight x' + bias`` with ``x' = (x - mean) / sqrt(var + eps)``, each channel by itself.

    While it learns, mean and (biased) variance are those of the channel's m numbers in the batch, and the running ones
    follow: ``running = (1 - momentum) running + momentum batch``, the variance times ``m / (m - 1)``. When the network
    infers, the running ones are used. Sums of chunks are added up in float64. With ``g = weight / sqrt(var + eps)``::

        dbias = sum(dy)    dweight = sum(dy x')
        dx = g (dy - dbias / m - x' dweight / m)      learning
        dx = g dy                                     inferring

    ``x`` and ``y (N, channels, H, W)``, float32 or float64.

    Parameters
    ----------
    channels : int
    eps : float
    momentum : float
        Weight of the newest batch.

    Attributes
    ----------
    weight, bias : Parameter (channels,)
        At first 1 and 0.
    running_mean, running_var : ndarray (channels,)
        At first 0 and 1.

    Raises
    ------
    ValueError
        In a call for another number of channels; while it learns for fewer than two numbers a channel.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate shift"
    (2015), algorithms 1 and 2, gradients in section 3.
    """

    settings = ("channels", "eps", "momentum")
    buffers = ("running_mean", "running_var")

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.channels, self.eps, self.momentum = channels, eps, momentum
        self.weight, self.bias = Parameter(np.ones(channels, np.float32)), Parameter(np.zeros(channels, np.float32))
        self.running_mean: Array = np.zeros(channels, np.float32)
        self.running_var: Array = np.ones(channels, np.float32)

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        return images(input_shape, self.channels)

    def _forward(self, x: Array) -> Array:
        m = x.size // self.channels
        if not self.training:
            mean, var = self.running_mean.astype(np.float64), self.running_var.astype(np.float64)
        else:
            if m < 2:
                raise ValueError(f"a batch of {m} number{'s' * (m != 1)} a channel has no variance, x {x.shape}")
            mean, squares = channel_moments(x)
            var = squares / m
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * m / (m - 1) - self.running_var)
        self._x, self._mean, self._std, self._learned = x, mean, np.sqrt(var + self.eps), self.training
        return batch_norm(x, mean, self._std, self.weight.value, self.bias.value)

    def _backward(self, dy: Array) -> Array:
        dx, dw, db = batch_norm_backward(dy, self._x, self._mean, self._std, self.weight.value, self._learned)
        self.weight.put(dw)
        self.bias.put(db)
        return dx


class LayerNorm2d(Layer):
    """``y = weight x' + bias`` with ``x' = (x - mean) / sqrt(var + eps)`` over the channels of each pixel.

    With C channels and ``dx' = weight dy``, sums over channels::

        dbias = sum_{n, i, j} dy    dweight = sum_{n, i, j} dy x'
        dx = (dx' - sum(dx') / C - x' sum(dx' x') / C) / sqrt(var + eps)

    ``x`` and ``y (N, channels, H, W)``, float32 or float64.

    Parameters
    ----------
    channels : int
    eps : float

    Attributes
    ----------
    weight, bias : Parameter (channels,)
        At first 1 and 0.

    Raises
    ------
    ValueError
        In a call for another number of channels.

    References
    ----------
    Ba, Kiros and Hinton, "Layer normalization" (2016), equation 3; over channels as in Liu et al., "A ConvNet for the
    2020s" (2022).
    """

    settings = ("channels", "eps")

    def __init__(self, channels: int, *, eps: float = 1e-6) -> None:
        self.channels, self.eps = channels, eps
        self.weight, self.bias = Parameter(np.ones(channels, np.float32)), Parameter(np.zeros(channels, np.float32))

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        return images(input_shape, self.channels)

    def _forward(self, x: Array) -> Array:
        self._x = x
        return layer_norm(x, self.weight.value, self.bias.value, self.eps)

    def _backward(self, dy: Array) -> Array:
        dx, dw, db = layer_norm_backward(dy, self._x, self.weight.value, self.eps)
        self.weight.put(dw)
        self.bias.put(db)
        return dx
