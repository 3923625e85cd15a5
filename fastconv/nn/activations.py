"""Activations: one function for every number."""

from __future__ import annotations

import numpy as np

from ..core.typing import Array
from . import arithmetic
from .layer import Layer


class Activation(Layer):
    """An element-wise function; arrays of any shape.

    Attributes
    ----------
    function : str
        Its name in `nn.arithmetic`, and, where `fastconv.conv2d` knows it, there.
    """

    function: str

    def _forward(self, x: Array) -> Array:
        self._x, self._y = x, arithmetic.FUNCTIONS[self.function].of(x)
        return self._y

    def _backward(self, dy: Array) -> Array:
        return dy * arithmetic.FUNCTIONS[self.function].slope(self._x, self._y)


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

    function = "leaky_relu"
    settings = ("slope",)

    def __init__(self, slope: float = arithmetic.SLOPE) -> None:
        if not 0 <= slope <= 1:
            raise ValueError(f"slope must be from 0 to 1, got {slope}")
        self.slope = slope

    def _forward(self, x: Array) -> Array:
        self._x = x
        return np.maximum(x, self.slope * x)

    def _backward(self, dy: Array) -> Array:
        return dy * arithmetic.leak(self._x, self.slope)


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

    function = "softsign"


class ArcTan(Activation):
    """``y = arctan(x)``.

    ``dx = dy / (1 + x^2)``.

    References
    ----------
    Abramowitz and Stegun, "Handbook of mathematical functions" (1964), 4.4.53: the derivative.
    """

    function = "arctan"


class SiLU(Activation):
    """``y = x s`` with ``s = 1 / (1 + exp(-x))``; also called swish.

    ``dx = dy s (1 + x (1 - s))``.

    References
    ----------
    Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning" (2018), equations 2 and 3.
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
