"""Depthwise convolution: planes, bands of which are copied or whose rows stream by, and channels-last arrays."""

from __future__ import annotations

from typing import NamedTuple


class DepthwisePhase(NamedTuple):
    """Taps of the destination's pixels of one phase, by growing source position: `columns` of `run` rows each."""

    run: int  # taps of a column, on consecutive source rows
    columns: int
    start: int  # in the table of places: of each column from the corner of a block; behind these, of its first weight
    source: int  # numbers from the corner to the first tap
    weight: int  # number of the first weight,
    down: int  # from one weight of a column to the next


class DepthwiseBands(NamedTuple):
    """Bands of rows that are copied into a zero-padded buffer, any pass: the source of grad_input is dy.

    The buffer has its columns split by their remainder modulo `split`.
    """

    images: int
    groups: int
    channels: int  # of a group: of the source,
    outputs: int  # of the destination (in grad_weight: of dy)
    height: int  # of the source
    width: int
    out_height: int  # of the destination
    out_width: int
    step: int  # source rows from an output row to the next
    split: int
    phases_v: int  # of the rows of the destination, and of its columns
    phases_h: int
    output: int  # weights from one destination channel to the next, from one group to the next
    group: int
    rows: int  # of each phase, in a band
    bands: int  # of an image and group
    lines: int  # rows of the buffer; the columns of one remainder, of which `left` lie in front of the image
    line: int
    left: int
    top: int  # source row of the buffer's first one, for output row 0
    parts: int  # grad_weight: of all bands, that have sums of their own
    ahead: int  # 1: images are beyond the caches, what comes next is fetched meanwhile
    share: int  # numbers of scratch memory a thread


class DepthwiseRows(NamedTuple):
    """3x3 kernels on planes whose rows stream by, any pass: the source of grad_input is dy.

    Output row i meets source rows ``i * stride + top`` and the two below it; columns begin one left of the image. If
    `spread`, source row i meets output rows ``i * stride + top``, and so on.
    """

    images: int
    channels: int
    height: int  # of the source
    width: int
    out_height: int  # of the destination (in grad_weight: of dy)
    out_width: int
    stride: int  # 1 or 2
    top: int
    spread: int  # 1: grad_input at stride 2
    turned: int  # 1: the last weight meets the first pixel of a window: grad_input at stride 1
    rows: int  # of a band; pairs of rows, if `spread`
    bands: int  # of a plane
    parts: int  # grad_weight: of all bands, that have sums of their own


class DepthwiseAxis(NamedTuple):
    """How the outputs of a phase meet the source along one axis.

    Output ``o`` of ``outputs`` lies at ``first + o * every``; tap ``t`` of ``taps`` meets source pixel
    ``source + o * step + t * dilation`` for it.
    """

    outputs: int
    first: int
    every: int
    source: int
    step: int
    taps: int
    dilation: int


class DepthwiseLast(NamedTuple):
    """Channel-wise convolution of channels-last arrays, any pass."""

    images: int
    channels: int  # numbers of a pixel that are computed side by side: those of y or dy
    pixel: int  # numbers between neighbouring pixels while they are computed with
    planes: int  # 1: arrays are (n, c, h, w), a job turns planes into pixels of one vector and back
    repeat: int  # a source channel stands for so many of them
    fold: int  # so many of them are added into one channel of the result
    height: int  # of the source
    width: int
    out_height: int  # of the result; of dy in grad_weight
    out_width: int
    phases_v: int  # of the rows of the result, and of its columns
    phases_h: int
    taps: int  # of a whole kernel
    rows: int  # of each phase, in a band
    chunk: int  # vectors of channels of a job
    parts: int  # of the pixels that have sums of their own: grad_weight
    ahead: int  # 1: arrays are beyond the caches, rows are fetched before they are needed
    source: int  # numbers of scratch memory for pixels of the source, in front of those of the result
    share: int  # numbers of scratch memory a thread
