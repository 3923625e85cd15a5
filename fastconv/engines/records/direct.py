"""Direct convolution on contiguous runs."""

from __future__ import annotations

from typing import NamedTuple


class DirectPhase(NamedTuple):
    """Outputs that meet the same taps: all of them, or in grad_input those of one remainder modulo the stride."""

    oh: int  # rows and columns of outputs
    ow: int
    kh: int  # taps
    kw: int
    r0: int  # row of the source where the first tap of the first output lies, rows from a tap to the next
    rd: int
    c0: int  # the same for columns
    cd: int
    y0: int  # where its outputs start
    before: int  # taps of the phases before it


class DirectPass(NamedTuple):
    """How `direct` meets its arrays in one pass, and its block sizes."""

    n: int  # images of the source, their rows, columns and channels
    h: int
    w: int
    c: int
    groups: int
    cg: int  # channels a group that are summed over, outputs a group
    og: int
    oh: int  # rows and columns of outputs of the largest phase
    ow: int
    phases: int
    taps: int  # of all phases
    r0: int  # row of the source where the first output of any phase begins to read, rows from an output to the next,
    rs: int
    high: int  # and rows from the first that an output reads to the last, both counted
    c0: int  # the same for columns
    cs: int
    wide: int
    yimage: int  # numbers between images, rows and pixels of outputs
    yrow: int
    ypixel: int
    kernel: int  # taps of the kernel as the weights have it
    swapped: int  # 1: outputs are the second axis of the weights (grad_input)
    xplane: int  # numbers between channels of the source, between outputs; 0: they are neighbours (channels last)
    yplane: int
    pick: int  # of columns `cs` apart only those that are met are copied, and lie side by side
    nv: int  # vectors of outputs and pixels (in grad_weight: numbers of a run) of a register block
    nr: int
    chunk: int  # channels of a group at a time
    ways: int  # shares of the outputs; threads beyond it share the pixels
    units: int  # jobs that a thread's register blocks are
    band: int  # register blocks (in grad_weight: rows) whose source stays in cache
    room: int  # numbers of a thread's scratch memory
    copied: int  # of these, for its copy of the source; 0: that is read in place
    tile: int  # and for outputs before they go to their planes
    keep: int  # 1: weights that a thread packs are kept for its next band
    private: int  # grad_weight: threads share the pixels and have sums of their own
