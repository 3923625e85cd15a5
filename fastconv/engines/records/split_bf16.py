"""Convolution in parts of bfloat16."""

from __future__ import annotations

from typing import NamedTuple


class SplitCopy(NamedTuple):
    """A copy of a band of images in bfloat16 parts: flat planes of padded rows, distances in bfloat16 numbers."""

    n0: int  # first image, how many; first channel, groups, channels of each
    nb: int
    c0: int
    groups: int
    channels: int
    parts: int
    pixels: int  # 0: lines of 32 channels of a pixel; 1: of pairs of pixels of 16 channels; 2: also odd ones
    h: int  # of an image
    w: int
    wph: int  # columns of a row of the copy; column c of row k is pixel (row + k * rs, col + c * cs), or zero
    row: int
    rs: int
    col: int
    cs: int
    nr: int  # row and column phases
    nc: int
    length: int  # pixels of a plane; of dy its chunks of 32
    image: int  # from one image, group, part, block of channels, plane to the next
    group: int
    part: int
    block: int
    plane: int


class SplitWeights(NamedTuple):
    """Weights in bfloat16 parts."""

    w0: int  # the first number
    outputs: int  # of a group
    channels: int
    groups: int
    parts: int
    adjoint: int  # 1: outputs are the second axis of the weights


class SplitProducts(NamedTuple):
    """Products over a band, forward or grad_input; base row r and phase a make output row (r0 + r) * rd + a - rt."""

    image: int  # from one image or group of the copy to the next
    group: int
    wph: int  # columns of a row of the copy
    columns: int  # base columns, and rows
    rows: int
    r0: int
    rd: int
    rt: int
    c0: int  # likewise columns
    cd: int
    ct: int
    n0: int  # first image, how many; first output channel
    nb: int
    o0: int
    i0: int  # output rows of the band
    i1: int
    unit: int  # of SPLIT_UNITS
    flat: int  # 1: all rows of a strip are one run
    strip: int  # base rows of a strip
    jit: int  # 1: a thread packs a panel of 32 outputs just before it multiplies it with everything
    chain: int  # steps that are summed by themselves
    panel: int  # where a thread's scratch memory goes on behind its sums: a packed panel,
    tmp: int  # and room to pack it
    per_thread: int


class SplitSums(NamedTuple):
    """Sums for the gradient of the weights over a band."""

    xgroup: int  # from one group or block of channels of the copy of x to the next, and groups of dy's
    xblock: int
    group: int
    groups: int
    o0: int  # first output channel
    co: int  # channels of a group
    ci: int
    chunks: int  # of 32 pixels
    products: int  # of parts
    unit: int  # of SPLIT_UNITS
    per: int  # chunks that are summed by themselves
    splits: int  # shares of a panel
    add: int  # 1: to what is there
