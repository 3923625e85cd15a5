"""Places in the records, and how work and taps are counted."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...records import DirectPass, DirectPhase, places
from ..ground import vector as v
from ..ground.target import VECTOR_BYTES

at, of = places(DirectPass), places(DirectPhase)
PHASE = len(DirectPhase._fields)
SQUARE = (VECTOR_BYTES // 4) ** 2  # numbers of as many vectors as they have lanes


@lru_cache
def nothing(kind, ndim):
    """Stands for an array, of the dtype of character `kind`, that is not there."""
    return np.empty((0,) * ndim, kind)


@v.inline
def ceil(a, b):
    return (a + b - 1) // b


@v.inline
def split(size, parts, k):
    """Where part k of an even split begins."""
    return size * k // parts


@v.inline
def outside(start, step, k):
    """How many of k taps from `start` on lie before 0."""
    return 0 if start >= 0 else min(k, (-start + step - 1) // step)


@v.inline
def inside(start, step, k, size):
    """How many of k taps from `start` on lie before `size`."""
    return 0 if start >= size else min(k, (size - start + step - 1) // step)
