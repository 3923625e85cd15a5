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
