"""Strides and dilations once for all: how outputs meet the source along an axis, and the sizes of a pass."""

from __future__ import annotations

from typing import NamedTuple

from ..core.problem import ConvProblem


class Axis(NamedTuple):
    """How outputs of one phase meet the source along one axis."""

    first: int  # output, how many (outs), and the step between them
    outs: int
    every: int
    source: int  # where the first tap of the first output lies
    step: int  # from an output to the next
    dilation: int  # from a tap to the next
    taps: int
    tap: int  # the first, and the step between them
    skip: int


def forward_axis(out: int, k: int, stride: int, pad: int, dilation: int) -> Axis:
    return Axis(0, out, 1, -pad, stride, dilation, k, 0, 1)


def adjoint_axes(size: int, k: int, stride: int, pad: int, dilation: int) -> list[Axis]:
    """The phases of grad_input: x[i] meets y[(i + pad - tap * dilation) / stride] where that is whole."""
    axes = []
    for first in range(min(stride, size)):
        taps = [u for u in reversed(range(k)) if (first + pad - u * dilation) % stride == 0]
        skip = taps[1] - taps[0] if len(taps) > 1 else -1
        source = (first + pad - taps[0] * dilation) // stride if taps else 0
        count = -(-(size - first) // stride)
        apart = -skip * dilation // stride if len(taps) > 1 else 1
        axes.append(Axis(first, count, stride, source, 1, apart, len(taps), (taps or [0])[0], skip))
    return axes


def sides(p: ConvProblem, pass_: str) -> tuple[int, int, int, int]:
    """Channels summed over, output channels (both a group), output rows and columns."""
    if pass_ == "grad_input":
        return p.co // p.g, p.ci // p.g, p.ih, p.iw
    return p.ci // p.g, p.co // p.g, p.oh, p.ow


def source(p: ConvProblem, pass_: str) -> tuple[int, int]:
    """Rows and columns of the image that is read."""
    return (p.oh, p.ow) if pass_ == "grad_input" else (p.ih, p.iw)
