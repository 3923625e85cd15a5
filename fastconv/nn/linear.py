"""Layers of features: the fully connected layer, and the way to it from images."""

from __future__ import annotations

from math import prod

import numpy as np

from ..core.layouts import lies_last, returned, stored
from ..core.typing import Array, Shape
from .init import Random, Rule, he
from .layer import Layer, Parameter


class Linear(Layer):
    """``y = x W^T + b``, the fully connected layer.

    ``dx = dy W``, ``dW = dy^T x``, ``db = sum_n dy_n``.

    ``x (N, in_features)``, ``y (N, out_features)``, float32 or float64.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    init : rule of `nn.init`
    rng : numpy.random.Generator or seed, optional

    Attributes
    ----------
    weight : Parameter (out_features, in_features)
    bias : Parameter (out_features,) or None

    Raises
    ------
    ValueError
        For fewer than one feature; in a call for another number of features.

    References
    ----------
    Rosenblatt, "The perceptron: a probabilistic model" (1958).
    """

    settings = ("in_features", "out_features")

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = True, init: Rule = he, rng: Random = None
    ) -> None:
        if min(in_features, out_features) < 1:
            raise ValueError(f"in_features and out_features must be 1 or more, got {in_features} and {out_features}")
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init((out_features, in_features), np.random.default_rng(rng)))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        if len(input_shape) != 2:
            raise ValueError(f"x must have shape (N, {self.in_features}), got {tuple(input_shape)}: nn.Flatten before?")
        if input_shape[1] != self.in_features:
            raise ValueError(f"x has {input_shape[1]} features, weight wants {self.in_features}")
        return input_shape[0], self.out_features

    def _forward(self, x: Array) -> Array:
        self._x = x
        y: Array = x @ self.weight.value.T
        return y if self.bias is None else y + self.bias.value

    def _backward(self, dy: Array) -> Array:
        self.weight.put(dy.T @ self._x)
        if self.bias is not None:
            self.bias.put(dy.sum(axis=0, dtype=np.float64))
        dx: Array = dy @ self.weight.value
        return dx


class Flatten(Layer):
    """``y[n] = x[n].ravel()``: images (N, C, H, W) as rows (N, C H W); ``dx`` is ``dy`` in the shape of ``x``.

    The order is that of the axes, whatever lies beside what in memory; ``dx`` lies as ``x`` did.

    Raises
    ------
    ValueError
        For an ``x`` without a batch axis.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition" (1998), figure 2: from C5 to F6.
    """

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        if len(input_shape) < 2:
            raise ValueError(f"x must have shape (N, ..), got {tuple(input_shape)}")
        return input_shape[0], prod(input_shape[1:])

    def _forward(self, x: Array) -> Array:
        self._shape, self._last = x.shape, x.ndim == 4 and lies_last(x)
        return x.reshape(len(x), prod(x.shape[1:]))

    def _backward(self, dy: Array) -> Array:
        dx = dy.reshape(self._shape)
        return returned(np.ascontiguousarray(stored(dx, True)), True, False, False) if self._last else dx
