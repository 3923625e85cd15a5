"""Convolution and pooling for dask arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arguments import step_pair
from ..core.layouts import is_nhwc, shape_forms
from ..core.problem import ConvProblem
from ..operations import average_pooling, pooling
from ..operations import conv2d as convolution
from ..operations.windows import windows_of
from .blocks import Axes, Windows, door


def _sides(x: Any, layout: Any) -> tuple[int, int, tuple[int, ...]]:
    """The axes of height and width, and the shape with channels first."""
    nhwc = is_nhwc(layout)
    if x.ndim not in (3, 4):
        raise ValueError(f"x must have shape {' or '.join(shape_forms(nhwc))}, got {x.shape}")
    *n, h, w, c = x.shape
    return (x.ndim - 3, x.ndim - 2, (*n, c, h, w)) if nhwc else (x.ndim - 2, x.ndim - 1, x.shape)


@door(convolution.conv2d, "(N, C, H, W) or (C, H, W)")
def conv2d(
    x: Any, w: Any, stride: Any, padding: Any, dilation: Any, groups: Any, padding_mode: Any, layout: Any, **_: Any
) -> Axes:
    """2-D convolution (cross-correlation), also with strides."""
    down, right, shape = _sides(x, layout)
    p = ConvProblem.from_shapes(shape, np.shape(w), stride, padding, dilation, groups, padding_mode)
    (sh, sw), wraps = step_pair("stride", stride), padding_mode == "circular"
    return {
        down: Windows(p.dh * (p.kh - 1) + 1, p.pt, p.oh, wraps, sh, p.pb),
        right: Windows(p.dw * (p.kw - 1) + 1, p.pl, p.ow, wraps, sw, p.pr),
    }


def _pooled(
    x: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: Any, layout: Any, dilation: Any = 1
) -> Axes:
    down, right, shape = _sides(x, layout)
    geo = windows_of((shape[-2], shape[-1]), kernel_size, stride, padding, dilation, ceil_mode)
    strides = step_pair("stride", kernel_size if stride is None else stride)
    ends = zip((down, right), (geo.rows, geo.cols), strides, strict=True)
    return {k: Windows(a.span, a.before, a.n, False, s, a.after) for k, a, s in ends}


@door(pooling.max_pool2d, "(N, C, H, W) or (C, H, W)")
def max_pool2d(x: Any, **arguments: Any) -> Axes:
    """Largest pixel of every window, channel by channel."""
    return _pooled(x, **arguments)


@door(average_pooling.avg_pool2d, "(N, C, H, W) or (C, H, W)")
def avg_pool2d(x: Any, count_include_pad: Any, divisor_override: Any, **arguments: Any) -> Axes:
    """Mean pixel of every window, channel by channel."""
    return _pooled(x, **arguments)
