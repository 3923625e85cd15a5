"""What no algorithm can pass on this machine, measured in the run that it is drawn in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numba
import numpy as np

from bench.calibrate import best_seconds, copy_gbs, fma_gflops

_CACHED = 128 * 2**10  # bytes of each array that is copied within a core's own cache
_COPIES = 200  # in a row, so that handing work to a thread costs little


class Ceilings(NamedTuple):
    """
    Rates of all threads together.

    Attributes
    ----------
    fma_gflops : float
        Multiply-adds in registers, two operations each.
    cache_gbs, memory_gbs : float
        Bytes read and written by copies in the cores' own caches, and far beyond all caches.
    """

    fma_gflops: float
    cache_gbs: float
    memory_gbs: float

    def seconds(self, flops: float, moved: float) -> float:
        """The least time for so many operations on so many bytes from memory (the roofline of Williams, 2009)."""
        return max(flops / self.fma_gflops, moved / self.memory_gbs) / 1e9


def measure(threads: int, dtype: str = "float32") -> Ceilings:
    """The best of many short runs each; some two seconds."""
    return Ceilings(fma_gflops(dtype, threads), cache_gbs(threads), copy_gbs(threads))


def cache_gbs(threads: int) -> float:
    """Copies that stay in the cores' own caches, bytes read plus bytes written, in GB/s."""
    pairs = [(np.ones(_CACHED // 8, np.int64), np.empty(_CACHED // 8, np.int64)) for _ in range(threads)]
    _copy(pairs[0])  # compiles it
    with ThreadPoolExecutor(threads) as pool:
        return 2 * threads * _CACHED * _COPIES / best_seconds(lambda: list(pool.map(_copy, pairs)), 0.3) / 1e9


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _copy(pair: Any) -> None:
    """Copy again and again without the interpreter, whose lock would pass from thread to thread after each copy."""
    source, target = pair
    for number in range(_COPIES):
        for i in range(source.size):
            target[i] = source[i] ^ number  # a copy of the same again might be left out
