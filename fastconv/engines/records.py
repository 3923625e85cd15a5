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
