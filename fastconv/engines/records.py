"""The records that algorithms hand to steps: numbers with names, explained once.

A record is a NamedTuple of integers. It crosses the seam as an array of `intp`, made once by `pack` when a plan
is made: the Cython engine reads it as a C struct, which setup.py writes from this file (``records.pxi``), the Numba
engine as ``r[at.field]`` with ``at = places(Kind)``. Algorithms may import this file and nothing else of the engines.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple, TypeVar

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
    share: int  # numbers of scratch memory a thread


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
    pixels: (
        int  # 0: lines of 32 channels of a pixel; 1: of pairs of neighbouring pixels of 16 channels; 2: also odd ones
    )
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


def pack(record: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A record as an array of intp, as steps take it."""
    packed = np.array(record, np.intp)
    packed.setflags(write=False)  # it is kept and shared
    return packed


def places(kind: type[Record]) -> Record:
    """A record whose fields are their own places: ``array[places(Kind).field]``."""
    return kind(*range(len(kind._fields)))  # type: ignore[attr-defined]


def kinds() -> dict[str, type[Any]]:
    """All records by name, in the order of this file."""
    here = vars(sys.modules[__name__])
    return {k: v for k, v in here.items() if isinstance(v, type) and hasattr(v, "_fields")}


def cython_source() -> str:
    """The C structs of all records, and for each a function that reads one from an array."""
    text = "# Written by setup.py from engines/records.py: a struct a record, and how a step reads it.\n"
    for name, kind in kinds().items():
        fields = "".join(f"        intp {field}\n" for field in kind._fields)
        members = "".join(f"        ptrdiff_t {field};\n" for field in kind._fields)
        text += f"""

cdef extern from *:
    \"\"\"
    typedef struct {{
{members}    }} {name};
    \"\"\"
    ctypedef struct {name}:
{fields}

cdef inline const {name}* read_{name}(cnp.ndarray a) except NULL:
    if cnp.PyArray_SIZE(a) != {len(kind._fields)}:
        raise ValueError("a record of {name} has {len(kind._fields)} numbers")
    return <const {name}*> cnp.PyArray_DATA(a)
"""
    return text
