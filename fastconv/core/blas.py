"""Matrix products through NumPy's BLAS, made safe beside our own threads.

One process-wide lock: OpenBLAS up to 0.3.31 can mix up concurrent products of different transposes.
BLAS keeps its own threads, so it is never called from inside a parallel loop.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

_lock = threading.Lock()


def matmul(a: Any, b: Any, out: Any, threads: int) -> None:
    """``out = a @ b`` with at most ``threads`` threads; ``out`` may be a strided view."""
    with _lock, _limited(threads):
        np.matmul(a, b, out=out)


@contextmanager
def no_fork(threads: int) -> Iterator[None]:
    """Keeps forks away meanwhile: SciPy's transforms wait for ever for work that a fork took from their threads."""
    if threads == 1:
        yield
        return
    with _lock:
        yield


if hasattr(os, "register_at_fork"):  # OpenBLAS hangs if a fork catches it in the middle of a product
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


@contextmanager
def _limited(threads: int) -> Iterator[None]:
    pools = _pools()
    before = [pool.num_threads for pool in pools]
    for pool, n in zip(pools, before, strict=True):
        if n != threads:
            pool.set_num_threads(threads)
    try:
        yield
    finally:
        for pool, n in zip(pools, before, strict=True):
            if n != threads:
                pool.set_num_threads(n)


@cache
def _pools() -> list[Any]:
    """The BLAS libraries in the process that can be limited (found once: looking costs milliseconds)."""
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)
