"""The records that algorithms hand to steps: numbers with names, explained once.

A record is a NamedTuple of integers. It crosses the seam as an array of `intp`, made once by `pack` when a plan
is made: the Cython engine reads it as a C struct, which setup.py writes from this file (``records.pxi``), the Numba
engine as ``r[at.field]`` with ``at = places(Kind)``. A field may be a record itself: ``q.h.t`` and ``q[at.h.t]``.
Algorithms may import this file and nothing else of the engines.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple, TypeVar, get_type_hints

import numpy as np

Record = TypeVar("Record", bound=tuple)  # type: ignore[type-arg]


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


class FftProducts(NamedTuple):
    """Products of spectra, y[g, i, j] = sum over k of x[g, i, k] * w[g, j, k]; distances in numbers."""

    size: int  # numbers of a spectrum
    groups: int
    i: int
    j: int
    k: int
    xi: int  # from one i, k, group to the next in x
    xk: int
    xg: int
    wj: int
    wk: int
    wg: int
    yi: int
    yj: int
    yg: int


class SeparableBands(NamedTuple):
    """Columns, then rows: an image and group is cut into bands of output rows."""

    sh: int
    sw: int
    pt: int  # padding; below zero rows or columns of x are left out
    pl: int
    dh: int
    dw: int
    bands: int
    rows: int  # of a band, at most
    wph: int  # numbers of a column phase of a buffered row
    per_thread: int  # numbers of scratch memory


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
    nv: int  # vectors of outputs and pixels (in grad_weight: numbers of a run) of a register block
    nr: int
    chunk: int  # channels of a group at a time
    ways: int  # shares of the outputs; threads beyond it share the pixels
    band: int  # register blocks (in grad_weight: rows) whose source stays in cache
    room: int  # numbers of a thread's scratch memory
    copied: int  # of these, for its copy of the source; 0: that is read in place
    keep: int  # 1: weights that a thread packs are kept for its next band
    private: int  # grad_weight: threads share the pixels and have sums of their own


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


class FftSide(NamedTuple):
    """Pixels of the source (or destination) along one axis of a tile of FFTs.

    Row r of a tile is pixel ``step * (tile * out + r) + image * of the image + phase * of the phase + start``.
    """

    size: int  # pixels
    step: int
    image: int
    phase: int
    start: int


class FftAxis(NamedTuple):
    """One axis of tiles of FFTs, of a dense problem: phases of strides and dilations are images or channels."""

    t: int  # length of transforms; its two factors for tiles, and for weights
    n1: int
    n2: int
    m1: int
    m2: int
    out: int  # outputs of a tile
    tiles: int
    taps: int  # of a phase
    images: int  # phases that are images of their own
    src: FftSide
    dst: FftSide
    sp: int  # phases that are channels, of the source and of the destination
    dp: int


class FftTiles(NamedTuple):
    """Convolution by tiles of FFTs. Sizes count vectors, unless they are channels or said to be numbers."""

    h: FftAxis
    w: FftAxis
    lanes: int  # of a vector
    lanes_are_tiles: int  # 1: lanes are tiles of a channel, otherwise channels
    src_last: int  # 1: channels lie last in memory, lanes are channels
    dst_last: int
    g: int
    ci: int  # source and destination channels of a group
    co: int
    so: int  # numbers of the weights between outputs, between inputs
    sc: int
    taps: int  # of a whole kernel
    kernel: int  # all phases of a kernel; a row of it, as far as transforms read
    row_k: int
    cib: int  # channels in vectors; with their phases
    cob: int
    sblocks: int
    dblocks: int
    tiles: int  # in all
    tile_block: int  # tiles, vectors of outputs, vectors of inputs that are taken together
    dst_block: int
    src_chunk: int
    parts: int  # grad_weight: runs of tiles that have sums of their own
    row_a: int  # from one to the next: rows of a tile,
    unit_a: int
    row_x: int  # spectra of tiles,
    unit_x: int
    row_r: int  # row transforms of weights,
    unit_r: int
    row_z: int  # rows of sums,
    unit_z: int
    row_w: int  # frequencies of a column of weights, of products
    row_p: int
    spectra: int  # numbers in front of what threads share: spectra of tiles, row transforms of weights, sums,
    kernels: int
    sums: int
    own: int  # and of what each has of its own
    per_thread: int
    own_row: int  # in there: two rows of pixels,
    own_column: int  # a column of a tile, and of a kernel,
    own_pass: int  # between the two passes of a transform,
    own_rows: int  # rows of a tile,
    own_taps: int  # kernels,
    own_weights: int  # columns of weights,
    own_products: int  # of products,
    own_kernels: int  # row transforms of weights,
    own_sums: int  # and spectra of sums
    twiddle_h: int  # numbers in front of the twiddle factors of tiles' columns and rows, of kernels'
    twiddle_w: int
    twiddle_mh: int
    twiddle_mw: int


class FilterTasks(NamedTuple):
    """An image filter, cut into tasks; parts of a thread's scratch memory begin where they say, 0: not needed."""

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


def pack(record: tuple[Any, ...]) -> np.ndarray[Any, Any]:
    """A record as an array of intp, as steps take it."""
    packed = np.array(_numbers(record), np.intp)
    packed.setflags(write=False)  # it is kept and shared
    return packed


def _numbers(record: tuple[Any, ...]) -> list[int]:
    return [n for field in record for n in (_numbers(field) if isinstance(field, tuple) else (field,))]


def places(kind: type[Record], start: int = 0) -> Record:
    """A record whose fields are their own places: ``array[places(Kind).field]``."""
    found: list[Any] = []
    for inner in _kinds_of_fields(kind):
        found.append(places(inner, start) if inner else start)
        start += length(inner) if inner else 1
    return kind(*found)


def length(kind: type[Any]) -> int:
    """Numbers of a packed record."""
    return sum(length(inner) if inner else 1 for inner in _kinds_of_fields(kind))


def _kinds_of_fields(kind: type[Any]) -> list[type[Any] | None]:
    """Which record each field is; None: a number."""
    return [None if found is int else found for found in get_type_hints(kind).values()]


def kinds() -> dict[str, type[Any]]:
    """All records by name, in the order of this file."""
    here = vars(sys.modules[__name__])
    return {k: v for k, v in here.items() if isinstance(v, type) and hasattr(v, "_fields")}


def cython_source() -> str:
    """The C structs of all records, and for each a function that reads one from an array."""
    text = "# Written by setup.py from engines/records.py: a struct a record, and how a step reads it.\n"
    for name, kind in kinds().items():
        inner = [found.__name__ if found else "" for found in _kinds_of_fields(kind)]
        named = list(zip(inner, kind._fields, strict=True))
        fields = "".join(f"        {record or 'intp'} {field}\n" for record, field in named)
        members = "".join(f"        {record or 'ptrdiff_t'} {field};\n" for record, field in named)
        text += f"""

cdef extern from *:
    \"\"\"
    typedef struct {{
{members}    }} {name};
    \"\"\"
    ctypedef struct {name}:
{fields}

cdef inline const {name}* read_{name}(cnp.ndarray a) except NULL:
    if cnp.PyArray_SIZE(a) != {length(kind)}:
        raise ValueError("a record of {name} has {length(kind)} numbers")
    return <const {name}*> cnp.PyArray_DATA(a)
"""
    return text
