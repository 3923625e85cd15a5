"""Activations: one function for every number."""

from __future__ import annotations

import numpy as np

from ..core.typing import Activation as Name
from ..core.typing import Array
from ..operations.elementwise import activation, activation_backward
from .arithmetic import leak
from .layer import Layer


class Activation(Layer):
    """An element-wise function; arrays of any shape. One pass over memory forward, one backward.

    Attributes
    ----------
    function : str or None
        Its name in `fastconv.conv2d`, which can fuse it; None if it has none there.
    """

    function: Name | None = None

    def _forward(self, x: Array) -> Array:
        assert self.function is not None
        self._x = x
        return activation(x, self.function)

    def _backward(self, dy: Array) -> Array:
        assert self.function is not None
        return activation_backward(dy, self._x, self.function)


class ReLU(Activation):
    """``y = max(x, 0)``.

    ``dx = dy`` where ``x > 0``, else 0.

    References
    ----------
    Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines" (2010).
    """

    function = "relu"


class ReLU6(Activation):
    """``y = min(max(x, 0), 6)``.

    ``dx = dy`` where ``0 < x < 6``, else 0.

    References
    ----------
    Krizhevsky, "Convolutional deep belief networks on CIFAR-10" (2010).
    """

    function = "relu6"


class LeakyReLU(Activation):
    """``y = x`` where ``x > 0``, else ``slope x``.

    ``dx = dy`` where ``x > 0``, else ``slope dy``.

    Parameters
    ----------
    slope : float, from 0 to 1

    Raises
    ------
    ValueError
        For another slope.

    References
    ----------
    Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models" (2013).
    """

    settings = ("slope",)

    def __init__(self, slope: float = 0.01) -> None:
        if not 0 <= slope <= 1:
            raise ValueError(f"slope must be from 0 to 1, got {slope}")
        self.slope = slope
        self.function = "leaky_relu" if slope == 0.01 else None

    def _forward(self, x: Array) -> Array:
        if self.function is not None:
            return super()._forward(x)
        self._x = x
        return np.maximum(x, self.slope * x)

    def _backward(self, dy: Array) -> Array:
        return dy * leak(self._x, self.slope) if self.function is None else super()._backward(dy)


class Sigmoid(Activation):
    """``y = 1 / (1 + exp(-x))``, the logistic function.

    ``dx = dy y (1 - y)``.

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986), equation 2.
    """

    function = "sigmoid"


class Tanh(Activation):
    """``y = tanh(x)``.

    ``dx = dy (1 - y^2)``.

    References
    ----------
    LeCun, Bottou, Orr and Müller, "Efficient backprop" (1998), section 4.4.
    """

    function = "tanh"


class Softsign(Activation):
    """``y = x / (1 + |x|)``.

    ``dx = dy / (1 + |x|)^2``.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010), section 3.
    """

    def _forward(self, x: Array) -> Array:
        self._below = 1 + np.abs(x)
        y: Array = x / self._below
        return y

    def _backward(self, dy: Array) -> Array:
        dx: Array = dy / self._below**2
        return dx


class ArcTan(Activation):
    """``y = arctan(x)``.

    ``dx = dy / (1 + x^2)``.

    References
    ----------
    Abramowitz and Stegun, "Handbook of mathematical functions" (1964), section 4.4: the derivative.
    """

    def _forward(self, x: Array) -> Array:
        self._x = x
        y: Array = np.arctan(x)
        return y

    def _backward(self, dy: Array) -> Array:
        dx: Array = dy / (1 + self._x * self._x)
        return dx


class SiLU(Activation):
    """``y = x s`` with ``s = 1 / (1 + exp(-x))``; also called swish.

    ``dx = dy s (1 + x (1 - s))``.

    References
    ----------
    Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning" (2018).
    """

    function = "silu"


class GELU(Activation):
    """``y = x P(x)``, P the distribution function of the standard normal; the exact one, by erf.

    ``dx = dy (P(x) + x p(x))`` with the density ``p(x) = exp(-x^2 / 2) / sqrt(2 pi)``.

    References
    ----------
    Hendrycks and Gimpel, "Gaussian error linear units" (2016), section 2.
    """

    function = "gelu"


class Hardswish(Activation):
    """``y = x min(max(x + 3, 0), 6) / 6``.

    ``dx = dy`` where ``x >= 3``, 0 where ``x <= -3``, else ``dy (2 x + 3) / 6``.

    References
    ----------
    Howard et al., "Searching for MobileNetV3" (2019), section 5.2.
    """

    function = "hardswish"
