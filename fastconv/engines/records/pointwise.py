"""1x1 kernels on planes."""

from __future__ import annotations

from typing import NamedTuple


class PointwisePass(NamedTuple):
    """A pass of `pointwise`, and its block sizes."""

    n: int  # images, and groups of each
    groups: int
    channels: int  # a group, of the source (grad_weight: of x), and of the result (of dy)
    outputs: int
    pixels: int  # of a plane of y
    width: int  # of a row of them
    picks: int  # 1: at a stride, the source is x
    spreads: int  # 1: at a stride, the result is x
    sh: int
    sw: int
    x_width: int  # of a row of x
    x_pixels: int  # of a plane of x
    nv: int  # vectors of pixels (grad_weight: of channels) and rows of outputs of a register block
    nr: int
    ways: int  # shares of the outputs; threads beyond it share the pixels
    keep: int  # panels of pixels that are brought together at a time
    strip: int  # grad_weight: pixels that are summed before they are added to what is in memory
    room: int  # numbers of a thread's scratch memory
