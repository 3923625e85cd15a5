"""Convolutions with weights to learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arguments import pair
from ..core.typing import Array, IntPair, Padding, PaddingMode, PaddingNumbers, Shape
from ..operations.arithmetic import conv2d_output_shape
from ..operations.conv2d import conv2d
from ..operations.conv_transpose2d import conv_transpose2d, conv_transpose2d_backward, conv_transpose2d_shape
from ..operations.depthwise_separable import depthwise_separable_conv2d, depthwise_separable_conv2d_backward
from ..operations.gradients import conv2d_backward
from .init import Random, Rule, he
from .layer import Layer, Parameter, images


def _divided(groups: int, **channels: int) -> None:
    for name, c in channels.items():
        if c < 1 or groups < 1 or c % groups:
            raise ValueError(f"groups must divide {name}, got {groups} groups of {c} channels")


_STEPS = ("stride", "padding", "dilation")


def _options(layer: Layer, *names: str) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in names}


def _value(bias: Parameter | None) -> Array | None:
    return None if bias is None else bias.value


def _wanted(bias: Parameter | None, *weights: str) -> tuple[str, ...]:
    return ("x", *weights) if bias is None else ("x", *weights, "bias")


def _kept(found: Any, **parameters: Parameter | None) -> Array:
    """Keep the gradients of parameters, each under its name there; that of x."""
    for name, p in parameters.items():
        if p is not None:
            p.put(getattr(found, name))
    dx: Array = found.x
    return dx


class Conv2d(Layer):
    """`fastconv.conv2d` with weights to learn.

    ``y[n, o, i, j] = bias[o] + sum_{c, k, l} weight[o, c, k, l] x[n, c, s i + d k - p, s j + d l - p]``;
    ``dx``, ``dweight`` and ``dbias`` are those of `fastconv.conv2d_backward`.

    ``x (N, in_channels, H, W)``, ``y (N, out_channels, OH, OW)``, float32 or float64.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, dilation, groups, padding_mode
        As in `fastconv.conv2d`.
    bias : bool
        Without one in front of batch normalisation, which takes it off again.
    init : rule of `nn.init`
    rng : numpy.random.Generator or seed, optional

    Attributes
    ----------
    weight : Parameter (out_channels, in_channels // groups, KH, KW)
    bias : Parameter (out_channels,) or None

    Raises
    ------
    ValueError
        If ``groups`` does not divide both numbers of channels; in a call for another number of channels, or an image
        smaller than the kernel.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition" (1998), section II. Dumoulin and Visin, "A
    guide to convolution arithmetic for deep learning" (2016), relationship 15.
    """

    settings = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        *,
        stride: IntPair = 1,
        padding: Padding = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        padding_mode: PaddingMode = "zeros",
        bias: bool = True,
        init: Rule = he,
        rng: Random = None,
    ) -> None:
        _divided(groups, in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.groups, self.padding_mode = groups, padding_mode
        shape = out_channels, in_channels // groups, *self.kernel_size
        self.weight = Parameter(init(shape, np.random.default_rng(rng)))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        options = _options(self, *_STEPS, "groups")
        return conv2d_output_shape(images(input_shape, self.in_channels), self.weight.value.shape, **options)

    def _forward(self, x: Array) -> Array:
        self._x = x
        return conv2d(x, self.weight.value, _value(self.bias), **_options(self, *_STEPS, "groups", "padding_mode"))

    def _backward(self, dy: Array) -> Array:
        options = _options(self, *_STEPS, "groups", "padding_mode")
        found = conv2d_backward(dy, self._x, self.weight.value, wrt=_wanted(self.bias, "w"), **options)
        return _kept(found, w=self.weight, bias=self.bias)


class ConvTranspose2d(Layer):
    """`fastconv.conv_transpose2d` with weights to learn: the adjoint of a convolution, which enlarges images.

    ``y[n, o, s i + d k - p, s j + d l - p] += weight[c, o, k, l] x[n, c, i, j]``, then the bias;
    ``dx`` is the convolution of ``dy`` with the same weights (`fastconv.conv_transpose2d_backward`).

    ``x (N, in_channels, H, W)``, ``y (N, out_channels, OH, OW)``, float32 or float64.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, output_padding, dilation, groups
        As in `fastconv.conv_transpose2d`.
    bias : bool
    init : rule of `nn.init`
    rng : numpy.random.Generator or seed, optional

    Attributes
    ----------
    weight : Parameter (in_channels, out_channels // groups, KH, KW)
        The rule's fans are those of the convolution whose adjoint this is.
    bias : Parameter (out_channels,) or None

    Raises
    ------
    ValueError
        If ``groups`` does not divide both numbers of channels; in a call for another number of channels.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), chapter 4.
    """

    settings = (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "dilation", "groups",
    )  # fmt: skip

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        *,
        stride: IntPair = 1,
        padding: PaddingNumbers = 0,
        output_padding: IntPair = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        init: Rule = he,
        rng: Random = None,
    ) -> None:
        _divided(groups, in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride, self.padding, self.output_padding = stride, padding, output_padding
        self.dilation, self.groups = dilation, groups
        shape = in_channels, out_channels // groups, *self.kernel_size
        self.weight = Parameter(init(shape, np.random.default_rng(rng)))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        options = _options(self, *_STEPS, "output_padding", "groups")
        return conv_transpose2d_shape(images(input_shape, self.in_channels), self.weight.value.shape, **options)

    def _forward(self, x: Array) -> Array:
        self._x, options = x, _options(self, *_STEPS, "output_padding", "groups")
        return conv_transpose2d(x, self.weight.value, _value(self.bias), **options)

    def _backward(self, dy: Array) -> Array:
        options = _options(self, *_STEPS, "output_padding", "groups")
        found = conv_transpose2d_backward(dy, self._x, self.weight.value, wrt=_wanted(self.bias, "w"), **options)
        return _kept(found, w=self.weight, bias=self.bias)


class DepthwiseSeparableConv2d(Layer):
    """`fastconv.depthwise_separable_conv2d` with weights to learn: a kernel a channel, then a 1x1 convolution.

    ``z[n, c m + q] = depthwise[c m + q] * x[n, c]``, ``y[n, o] = bias[o] + sum_c pointwise[o, c] z[n, c]``; gradients
    are those of `fastconv.depthwise_separable_conv2d_backward`.

    ``x (N, in_channels, H, W)``, ``y (N, out_channels, OH, OW)``, float32 or float64.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, dilation, padding_mode
        Of the depthwise convolution, as in `fastconv.conv2d`.
    multiplier : int
        Kernels a channel: m.
    bias : bool
    init : rule of `nn.init`
    rng : numpy.random.Generator or seed, optional

    Attributes
    ----------
    depthwise : Parameter (in_channels * multiplier, 1, KH, KW)
    pointwise : Parameter (out_channels, in_channels * multiplier, 1, 1)
    bias : Parameter (out_channels,) or None

    Raises
    ------
    ValueError
        For fewer channels than one; in a call for another number of channels.

    References
    ----------
    Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications" (2017),
    section 3.1.
    """

    settings = (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "multiplier", "padding_mode",
    )  # fmt: skip

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        *,
        stride: IntPair = 1,
        padding: Padding = 0,
        dilation: IntPair = 1,
        multiplier: int = 1,
        padding_mode: PaddingMode = "zeros",
        bias: bool = True,
        init: Rule = he,
        rng: Random = None,
    ) -> None:
        _divided(1, in_channels=in_channels, out_channels=out_channels, multiplier=multiplier)
        self.in_channels, self.out_channels, self.multiplier = in_channels, out_channels, multiplier
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride, self.padding, self.dilation, self.padding_mode = stride, padding, dilation, padding_mode
        rng, between = np.random.default_rng(rng), in_channels * multiplier
        self.depthwise = Parameter(init((between, 1, *self.kernel_size), rng))
        self.pointwise = Parameter(init((out_channels, between, 1, 1), rng))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        shape, deep = images(input_shape, self.in_channels), self.depthwise.value.shape
        n, _, h, w = conv2d_output_shape(shape, deep, groups=self.in_channels, **_options(self, *_STEPS))
        return n, self.out_channels, h, w

    def _forward(self, x: Array) -> Array:
        self._x, options = x, _options(self, *_STEPS, "padding_mode")
        deep, point = self.depthwise.value, self.pointwise.value
        return depthwise_separable_conv2d(x, deep, point, _value(self.bias), **options)

    def _backward(self, dy: Array) -> Array:
        names, options = _wanted(self.bias, "w_depthwise", "w_pointwise"), _options(self, *_STEPS, "padding_mode")
        deep, point = self.depthwise.value, self.pointwise.value
        found = depthwise_separable_conv2d_backward(dy, self._x, deep, point, wrt=names, **options)
        return _kept(found, w_depthwise=self.depthwise, w_pointwise=self.pointwise, bias=self.bias)
