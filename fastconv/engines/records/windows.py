"""Windows of plain convolutions, of pools and of image filters."""

from __future__ import annotations

from typing import NamedTuple


class ConvGeometry(NamedTuple):
    """How the windows of a convolution lie, beside what the shapes of its arrays say."""

    kh: int
    kw: int
    ow: int  # output columns
    sh: int
    sw: int
    pt: int
    pl: int
    dh: int
    dw: int
    g: int


class PoolWindows(NamedTuple):
    """Windows on a plane, and the padded line of merged rows that they are walked by."""

    kh: int
    kw: int
    sh: int
    sw: int
    pt: int
    pl: int
    dh: int
    dw: int
    left: int  # columns of the line in front of the image
    width: int  # columns of the line of one remainder modulo the stride
    row: int  # room for a plain row
    band: int  # rows of a task: of outputs, in gradients of inputs
    per_thread: int  # numbers of scratch memory


class FilterTasks(NamedTuple):
    """An image filter, cut into tasks; parts of a thread's scratch memory begin where they say, 0: not needed."""

    ih: int  # rows and columns of the image and of the result, whose arrays may have any shape
    iw: int
    oh: int
    ow: int
    c: int  # channels
    kh: int  # rows and columns of the window
    kw: int
    in0: int  # columns [in0, in1) of the window are neighbours in the image
    in1: int
    sign: int  # 1 or -1: the kernel equals plus or minus its mirror image (a line: its reverse); 0: neither
    strip: int  # columns of a task, and its rows
    band: int
    pitch: int  # numbers from one buffered row to the next
    ring: int  # rows with their borders, converted
    sums: int  # along columns
    results: int  # rows of results to be converted
    block: int  # a register block that ends behind the image
    lines: int  # rows, column by column; 0: a row is summed as it lies
    per_thread: int  # numbers of scratch memory
