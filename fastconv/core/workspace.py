"""Scratch memory: one grow-only arena a thread and dtype, 64-byte aligned, reused between calls.

Fresh memory costs a page fault for every 4 KB, more than a small convolution; so it is kept, up to
`KEEP_BYTES` each, until `release_workspace` is called.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

KEEP_BYTES = 1 << 30
_ALIGN = 64
_local = threading.local()


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


def aligned(dtype: str, nbytes: int) -> Any:
    """A fresh 1-D array of at least ``nbytes`` bytes whose first byte is on a cache line."""
    size = -(-max(nbytes, 1) // _ALIGN) * _ALIGN
    raw = np.empty(size + _ALIGN, np.uint8)
    start = -raw.ctypes.data % _ALIGN
    return raw[start : start + size].view(dtype)


def release_workspace() -> None:
    """Give this thread's scratch memory back to the system."""
    _local.__dict__.clear()
