"""Pooling: nothing to learn."""

from __future__ import annotations

from typing import Any

from ..core.typing import Array, IntPair, Padding, Shape
from ..operations.average_pooling import avg_pool2d, avg_pool2d_backward
from ..operations.global_pooling import global_avg_pool2d, global_avg_pool2d_backward
from ..operations.pooling import max_pool2d, max_pool2d_backward
from ..operations.windows import windows_of
from .layer import Layer, images


class MaxPool2d(Layer):
    """`fastconv.max_pool2d`: the largest number of every window.

    ``y[n, c, i, j] = max_{k, l} x[n, c, s i + d k - p, s j + d l - p]``; ``dx`` has each number of ``dy``
    at the first of the window's largest pixels, added up where windows overlap.

    ``x (N, C, H, W)``, ``y (N, C, OH, OW)``, float32 or float64.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, ceil_mode
        As in `fastconv.max_pool2d`.

    Raises
    ------
    ValueError
        In a call for an image smaller than the window, and as `fastconv.max_pool2d`.

    References
    ----------
    Riesenhuber and Poggio, "Hierarchical models of object recognition in cortex" (1999).
    """

    settings = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: IntPair,
        *,
        stride: IntPair | None = None,
        padding: Padding = 0,
        dilation: IntPair = 1,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.settings}

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        n, c, h, w = images(input_shape)
        return n, c, *windows_of((h, w), **self._options()).out

    def _forward(self, x: Array) -> Array:
        self._x = x
        y: Array = max_pool2d(x, **self._options())
        return y

    def _backward(self, dy: Array) -> Array:
        return max_pool2d_backward(dy, self._x, **self._options())


class AvgPool2d(Layer):
    """`fastconv.avg_pool2d`: the mean of every window.

    ``y[n, c, i, j] = sum_{k, l} x[n, c, s i + k - p, s j + l - p] / count[i, j]``; ``dx`` has each number of
    ``dy``, divided by the window's count, at every pixel of the window.

    ``x (N, C, H, W)``, ``y (N, C, OH, OW)``, float32 or float64.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As in `fastconv.avg_pool2d`.

    Raises
    ------
    ValueError
        In a call for an image smaller than the window, and as `fastconv.avg_pool2d`.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition" (1998), section II: subsampling.
    """

    settings = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

    def __init__(
        self,
        kernel_size: IntPair,
        *,
        stride: IntPair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.settings}

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        n, c, h, w = images(input_shape)
        return n, c, *windows_of((h, w), self.kernel_size, self.stride, self.padding, 1, self.ceil_mode).out

    def _forward(self, x: Array) -> Array:
        self._x = x
        return avg_pool2d(x, **self._options())

    def _backward(self, dy: Array) -> Array:
        return avg_pool2d_backward(dy, self._x, **self._options())


class GlobalAvgPool2d(Layer):
    """`fastconv.global_avg_pool2d`: the mean of every channel.

    ``y[n, c, 0, 0] = sum_{i, j} x[n, c, i, j] / (H W)``; ``dx = dy / (H W)`` everywhere.

    ``x (N, C, H, W)``, ``y (N, C, 1, 1)``, float32 or float64.

    Raises
    ------
    ValueError
        In a call for other than four axes.

    References
    ----------
    Lin, Chen and Yan, "Network in network" (2014), section 3.2.
    """

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        n, c, _, _ = images(input_shape)
        return n, c, 1, 1

    def _forward(self, x: Array) -> Array:
        self._x = x
        return global_avg_pool2d(x)

    def _backward(self, dy: Array) -> Array:
        return global_avg_pool2d_backward(dy, self._x)
