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


def pack(record: Any) -> Any:
    """A record as an array of intp, as steps take it."""
    return np.array(record, np.intp)


def places(kind: type[Record]) -> Record:
    """A record whose fields are their own places: ``array[places(Kind).field]``."""
    return kind(*range(len(kind._fields)))  # type: ignore[attr-defined]


def kinds() -> dict[str, type[Any]]:
    """All records by name, in the order of this file."""
    here = vars(sys.modules[__name__])
    return {k: v for k, v in here.items() if isinstance(v, type) and issubclass(v, tuple) and hasattr(v, "_fields")}


def cython_source() -> str:
    """The C structs of all records, and for each a function that reads one from an array."""
    text = "# Written by setup.py from engines/records.py: a struct a record, and how a step reads it.\n"
    for name, kind in kinds().items():
        fields = "".join(f"    intp {field}\n" for field in kind._fields)
        text += f"""

cdef struct {name}:
{fields}

cdef inline const {name}* read_{name}(cnp.ndarray a) except NULL:
    if cnp.PyArray_SIZE(a) != {len(kind._fields)}:
        raise ValueError("a record of {name} has {len(kind._fields)} numbers")
    return <const {name}*> cnp.PyArray_DATA(a)
"""
    return text
