"""PyTorch's threads do our shares of work too.

The threads of its OpenMP spin for milliseconds after every parallel loop, on cores that threads of our own would have
to wait for: a convolution between two of PyTorch's operators took twice as long. So calls from here run as one more
loop of PyTorch's.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

_pool: Any = None
with contextlib.suppress(ImportError):  # nothing was compiled
    _pool = importlib.import_module("fastconv.engines.cython_._pool")


def _address(library: ctypes.CDLL, name: str) -> int:
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0


def _move_in() -> bool:
    """Find PyTorch's OpenMP -> whether there is one."""
    if _pool is None:
        return False
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        _pool.host(_address(library, "GOMP_parallel"), _address(library, "omp_get_thread_num"))
    except (AttributeError, OSError):
        return False
    return True


_found = _move_in()


def as_guest(call: Callable[..., Any], *args: Any) -> Any:
    """``call(*args)``, whose launches run on PyTorch's threads if they can."""
    if not _found:
        return call(*args)
    before = _pool.guest(True)
    try:
        return call(*args)
    finally:
        _pool.guest(before)
