"""Winograd convolution."""

from __future__ import annotations

from typing import NamedTuple


class WinogradPass(NamedTuple):
    """Tiles of one pass of `winograd`, how weights lie, and where things are in its scratch memory.

    The pass is the forward one of a dense problem (in grad_input: the adjoint's). A slot is a vector: one pixel of as
    many channels as there are lanes. A block of tiles is what goes through all stages at once. V, M, U are the
    transforms of x, of y and of the weights; in grad_weight X and Q those of x and dy, S the sums.
    """

    n: int
    ci: int  # channels are those of one group
    ih: int
    iw: int
    co: int
    oh: int
    ow: int
    g: int
    pt: int
    pl: int
    dh: int
    dw: int
    x_last: int  # 1: the channels of x lie last in memory,
    y_last: int  # those of y (in grad_weight: of dy)
    mh: int  # a tile: mh x mw outputs of rh x rw taps
    rh: int
    mw: int
    rw: int
    so: int  # weights: numbers from an output to the next,
    sc: int  # from an input to the next
    flip: int  # 1: taps are reversed
    points: int  # of the transform along an axis, its outputs and its taps
    m: int
    r: int
    flat: int  # 1: one axis only
    along_w: int  # 1: it is the width
    sum: int  # channels (in grad_weight: tiles) whose products are summed by themselves: smaller errors
    row_blocks: int  # blocks of tiles: cuts of the rows, and of the columns
    col_blocks: int
    kc: int  # channels of a chunk of weights
    cip: int  # input channels in whole vectors
    tiles: int  # of a block, at most; likewise slots, pixels and their pieces
    in_slots: int
    in_pixels: int
    out_pixels: int
    runs: int
    vf: int  # numbers from a frequency to the next in V (X),
    mf: int  # in M,
    uf: int  # in U
    chunk: int  # numbers of a chunk of U
    group_v: int  # numbers of V of a group
    held: int  # grad_weight: tiles that are held at once,
    batch: int  # blocks that are,
    qf: int  # numbers from a frequency to the next in Q,
    square: int  # of all frequencies of a vector of S,
    rows: int  # outputs of a block of S,
    cols: int  # its vectors of inputs
    at_x: int  # where X, Q and S begin
    at_q: int
    at_s: int
    part_s: int  # numbers of a block of S, or of a thread's
    parts: int  # shares of the blocks that have sums of their own
    segment: int  # blocks whose sums are added up by themselves
    shared: int  # numbers before the threads' own; places in these of V, M, slots of input and output, U, the table
    at_v: int
    at_m: int
    at_in: int
    at_out: int
    at_u: int
    at_table: int
    per_thread: int  # numbers of a thread
