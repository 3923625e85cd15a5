"""Layers that give numbers mean 0 and variance 1, then a mean and a variance that are learned."""

from __future__ import annotations

import numpy as np

from ..core.typing import Array, Shape
from .arithmetic import by_channel, channel_sum
from .layer import Layer, Parameter, images


class BatchNorm2d(Layer):
    """``y = weight x' + bias`` with ``x' = (x - mean) / sqrt(var + eps)``, each channel by itself.

    While it learns, mean and (biased) variance are those of the channel's m numbers in the batch, and the running ones
    follow: ``running = (1 - momentum) running + momentum batch``, the variance times ``m / (m - 1)``. When the network
    infers, the running ones are used. Sums are in float64. With ``g = weight / sqrt(var + eps)``::

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
        self._m = m = x.size // self.channels
        if not self.training:
            self._learned = False
            mean, var = self.running_mean, self.running_var
        else:
            if m < 2:
                raise ValueError(f"a batch of {m} number{'s' * (m != 1)} a channel has no variance, x {x.shape}")
            self._learned = True
            mean = channel_sum(x) / m
            var = channel_sum((x - by_channel(mean, x)) ** 2) / m
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * m / (m - 1) - self.running_var)
        self._std = np.sqrt(var + self.eps)
        self._normal: Array = (x - by_channel(mean, x)) * by_channel(1 / self._std, x)
        y: Array = self._normal * by_channel(self.weight.value, x) + by_channel(self.bias.value, x)
        return y

    def _backward(self, dy: Array) -> Array:
        db, dw = channel_sum(dy), channel_sum(dy * self._normal)
        self.bias.put(db)
        self.weight.put(dw)
        g = by_channel(self.weight.value / self._std, dy)
        if not self._learned:
            return dy * g
        dx: Array = (dy - by_channel(db / self._m, dy) - self._normal * by_channel(dw / self._m, dy)) * g
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
        centred = x - x.mean(axis=1, keepdims=True)
        self._std = np.sqrt((centred**2).mean(axis=1, keepdims=True) + x.dtype.type(self.eps))
        self._normal: Array = centred / self._std
        y: Array = self._normal * by_channel(self.weight.value, x) + by_channel(self.bias.value, x)
        return y

    def _backward(self, dy: Array) -> Array:
        self.bias.put(channel_sum(dy))
        self.weight.put(channel_sum(dy * self._normal))
        dn = dy * by_channel(self.weight.value, dy)
        along = (dn * self._normal).mean(axis=1, keepdims=True)
        dx: Array = (dn - dn.mean(axis=1, keepdims=True) - self._normal * along) / self._std
        return dx
