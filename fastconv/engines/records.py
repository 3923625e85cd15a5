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
