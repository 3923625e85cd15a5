"""Direct convolution on channels-last arrays."""

from __future__ import annotations

from typing import NamedTuple


class RunsPass(NamedTuple):
    """How `runs` meets its arrays in one pass (of grad_input: in one phase), and its block sizes."""

    n: int  # images of the source, their rows, columns and channels
    h: int
    w: int
    c: int
    groups: int
    cg: int  # channels a group that are summed over, outputs a group
    og: int
    oh: int  # rows and columns of outputs
    ow: int
    kh: int  # taps
    kw: int
    r0: int  # row of the source where the first tap of the first output lies,
    rs: int  # rows from an output to the next,
    rd: int  # from a tap to the next
    c0: int  # the same for columns
    cs: int
    cd: int
    y0: int  # where outputs start, numbers between images, rows and pixels
    yimage: int
    yrow: int
    ypixel: int
    th: int  # rows and columns of the whole kernel, and the steps in it: tap k is row u0 + k * us
    tw: int
    u0: int
    us: int
    v0: int
    vs: int
    swapped: int  # 1: outputs are the second axis of the weights (grad_input)
    xplane: int  # numbers between channels of the source, between outputs; 0: they are neighbours (channels last)
    yplane: int
    pick: int  # of columns `cs` apart only those that are met are copied, and lie side by side
    nv: int  # vectors of outputs and pixels (in grad_weight: numbers of a run) of a register block
    nr: int
    chunk: int  # channels of a group at a time
    ways: int  # shares of the outputs; threads beyond it share the pixels
    band: int  # register blocks (in grad_weight: rows) whose source stays in cache
    room: int  # numbers of a thread's scratch memory
    copied: int  # of these, for its copy of the source; 0: that is read in place
    tile: int  # and for outputs before they go to their planes
    keep: int  # 1: weights that a thread packs are kept for its next band
    private: int  # grad_weight: threads share the pixels and have sums of their own
