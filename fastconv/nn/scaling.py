"""Layers that weigh channels, by what was learned or by what they see, and the one that drops numbers."""

from __future__ import annotations

import numpy as np

from ..core.typing import Array, Shape
from ..operations.normalization import channel_products, gate
from .activations import ReLU, Sigmoid
from .containers import Sequential
from .convolutions import Conv2d
from .init import Random, Rule, he
from .layer import Layer, Parameter, images
from .pooling import GlobalAvgPool2d


class Scale(Layer):
    """``y[n, c] = weight[c] x[n, c]``: a factor a channel.

    ``dx[n, c] = weight[c] dy[n, c]``, ``dweight[c] = sum_{n, i, j} dy x``.

    ``x`` and ``y (N, channels, H, W)``, float32 or float64.

    Parameters
    ----------
    channels : int
    value : float
        First value of the factors; small at the end of a residual body.

    Attributes
    ----------
    weight : Parameter (channels,)

    Raises
    ------
    ValueError
        In a call for another number of channels.

    References
    ----------
    Touvron et al., "Going deeper with image transformers" (2021), section 2: LayerScale.
    """

    settings = ("channels",)

    def __init__(self, channels: int, value: float = 1.0) -> None:
        self.channels = channels
        self.weight = Parameter(np.full(channels, value, np.float32))

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        return images(input_shape, self.channels)

    def _forward(self, x: Array) -> Array:
        self._x = x
        return gate(x, np.broadcast_to(self.weight.value, x.shape[:2]))

    def _backward(self, dy: Array) -> Array:
        self.weight.put(channel_products(dy, self._x)[1].sum(axis=0))
        return gate(dy, np.broadcast_to(self.weight.value, dy.shape[:2]))


class SqueezeExcitation(Layer):
    """``y[n, c] = s[n, c] x[n, c]`` with ``s = sigmoid(W2 relu(W1 mean(x) + b1) + b2)``.

    ``dx = s dy + gate'(sum_{i, j} dy x)``, where ``gate`` is the way from ``x`` to ``s``.

    ``x`` and ``y (N, channels, H, W)``, float32 or float64.

    Parameters
    ----------
    channels, squeezed : int
        Channels, and those that are left of them in between: a quarter unless given.
    init : rule of `nn.init`
    rng : numpy.random.Generator or seed, optional

    Attributes
    ----------
    gate : Sequential
        GlobalAvgPool2d, 1x1 Conv2d, ReLU, 1x1 Conv2d, Sigmoid.

    Raises
    ------
    ValueError
        In a call for another number of channels.

    References
    ----------
    Hu, Shen and Sun, "Squeeze-and-excitation networks" (2018), equations 2 to 4.
    """

    settings = ("channels", "squeezed")

    def __init__(self, channels: int, squeezed: int | None = None, *, init: Rule = he, rng: Random = None) -> None:
        self.channels, self.squeezed = channels, max(1, channels // 4) if squeezed is None else squeezed
        rng = np.random.default_rng(rng)
        self.gate = Sequential(
            GlobalAvgPool2d(),
            Conv2d(channels, self.squeezed, 1, init=init, rng=rng),
            ReLU(),
            Conv2d(self.squeezed, channels, 1, init=init, rng=rng),
            Sigmoid(),
        )

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        return images(input_shape, self.channels)

    def _forward(self, x: Array) -> Array:
        self._x, self._s = x, self.gate.forward(x)
        return gate(x, self._s)

    def _backward(self, dy: Array) -> Array:
        ds = channel_products(dy, self._x)[1].astype(self._x.dtype)
        dx = gate(dy, self._s)
        dx += self.gate.backward(ds[:, :, None, None])
        return dx


class Dropout(Layer):
    """``y = x m / (1 - p)``, where each number of m is 0 with probability p, else 1; "inverted" dropout.

    ``dx = dy m / (1 - p)``. When the network infers, ``y = x``: the mean is the same.

    Arrays of any shape, float32 or float64.

    Parameters
    ----------
    p : float, from 0 to below 1
        Probability that a number is dropped.
    rng : numpy.random.Generator or seed, optional

    Raises
    ------
    ValueError
        For another p.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014), section 10.
    """

    settings = ("p",)

    def __init__(self, p: float = 0.5, *, rng: Random = None) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"p must be from 0 to below 1, got {p}")
        self.p, self.rng = p, np.random.default_rng(rng)

    def _forward(self, x: Array) -> Array:
        self._mask = None
        if not self.training or self.p == 0:
            return x
        self._mask = np.empty_like(x)  # lies as x does; the same numbers in either layout
        self._mask[...] = self.rng.random(x.shape, np.float32) >= self.p
        self._mask /= 1 - self.p
        return x * self._mask

    def _backward(self, dy: Array) -> Array:
        return dy if self._mask is None else dy * self._mask
