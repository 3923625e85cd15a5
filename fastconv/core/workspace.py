"""Scratch memory: one grow-only arena a thread and dtype, 64-byte aligned, reused between calls.

`Scratch` books parts of it by name when a plan is made, and hands them out by name when the plan runs.

Fresh memory costs a page fault for every 4 KB, more than a small convolution; so it is kept, up to
`KEEP_BYTES` each, until `release_workspace` is called.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

KEEP_BYTES = 1 << 30
SMALL = 1 << 16  # bytes of what `spare` holds
_ALIGN = 64
_local = threading.local()
_spare: dict[str, list[Any]] = {}


class Scratch:
    """Parts of one array of scratch memory, booked by name: each begins on a cache line.

    >>> room = Scratch("float32")
    >>> room.book("columns", 5), room.book("sums", 2, 8)
    (0, 16)
    >>> room.nbytes
    128
    >>> room.take(np.zeros(32, np.float32))["sums"].shape
    (2, 8)
    """

    def __init__(self, dtype: str) -> None:
        self._itemsize = np.dtype(dtype).itemsize
        self._parts: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.numbers = 0  #: in all

    def book(self, name: str, *shape: int) -> int:
        """Book an array of a shape; returns where it begins, in numbers."""
        if name in self._parts:
            raise ValueError(f"{name} is booked already")
        start, line = self.numbers, _ALIGN // self._itemsize
        self._parts[name] = start, shape
        self.numbers += -(-math.prod(shape) // line) * line
        return start

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return self.numbers * self._itemsize

    def take(self, work: Any) -> dict[str, Any]:
        """The parts as views of an array of at least `numbers` numbers; what it has besides is called ``rest``."""
        if work.size < self.numbers:
            raise ValueError(f"work must have at least {self.numbers} numbers, got {work.size}")
        views = {k: work[at : at + math.prod(shape)].reshape(shape) for k, (at, shape) in self._parts.items()}
        return views | {"rest": work[self.numbers :]}


def borrow(dtype: str, nbytes: int) -> Any:
    """A 1-D array of at least ``nbytes`` bytes, 64-byte aligned, content arbitrary; `give_back` it.

    It leaves the arena meanwhile, so that a call made inside a call gets memory of its own.
    """
    array = _local.__dict__.pop(dtype, None)
    return aligned(dtype, nbytes + nbytes // 8) if array is None or array.nbytes < nbytes else array


def give_back(dtype: str, array: Any) -> None:
    """Keep a borrowed array for the next call of this thread."""
    if array.nbytes <= KEEP_BYTES:
        _local.__dict__[dtype] = array


def spare(dtype: str) -> list[Any]:
    """Arrays of `SMALL` bytes that nobody uses, for calls of a few microseconds: pop one, and append it afterwards.

    Of all threads, since both are atomic; so many as calls were under way at the same time.
    """
    return _spare.setdefault(dtype, [])


@contextmanager
def private(arrays: dict[str, Any]) -> Iterator[None]:
    """Scratch memory of this thread's calls comes from ``arrays``, by dtype, and is kept there."""
    before = dict(_local.__dict__)
    _local.__dict__.clear()
    _local.__dict__.update(arrays)
    try:
        yield
    finally:
        arrays.update(_local.__dict__)
        _local.__dict__.clear()
        _local.__dict__.update(before)


def aligned(dtype: str, nbytes: int) -> Any:
    """A fresh 1-D array of at least ``nbytes`` bytes whose first byte is on a cache line."""
    size = -(-max(nbytes, 1) // _ALIGN) * _ALIGN
    raw = np.empty(size + _ALIGN, np.uint8)
    start = -raw.ctypes.data % _ALIGN
    return raw[start : start + size].view(dtype)


def release_workspace() -> None:
    """Give this thread's scratch memory back to the system."""
    _local.__dict__.clear()
    for arrays in _spare.values():
        arrays.clear()
