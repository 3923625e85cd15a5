"""What the machine can do at this moment: a busy neighbour shows here and not in the figures beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from statistics import median
from typing import Any, NamedTuple

import numba
import numpy as np

from bench.calibrate import fma_gflops
from bench.measure import seconds_of

_BYTES = 8 * 2**20  # of the pointer chase: beyond L2, within the last cache
_CHASE_STEPS = 200_000  # some 4 ms
_FMA_STEPS = 1_500_000  # some 5 ms: long enough that threads which share a core at first are moved apart
_REPEATS = 15
_REST = 0.02  # seconds


class Probe(NamedTuple):
    """Multiply-adds of all threads together in GFLOP/s, and the latency of the last cache in ns; medians."""

    fma_gflops: float
    latency_ns: float

    def __str__(self) -> str:
        return f"FMA {self.fma_gflops:.0f} GFLOP/s, last cache {self.latency_ns:.0f} ns"


def probe(threads: int) -> Probe:
    """Measure for some 0.2 s, after a rest in which threads of others stop to spin."""

    def middle(call: Callable[[], object]) -> float:
        call()
        return median(seconds_of(call) for _ in range(_REPEATS))

    ring = _ring()
    time.sleep(_REST)
    rate = fma_gflops("float32", threads, _FMA_STEPS, middle)
    return Probe(rate, middle(lambda: _chase(ring, _CHASE_STEPS)) / _CHASE_STEPS * 1e9)


@cache
def _ring() -> np.ndarray:
    """Each entry names the next; one ring through all of them in random order, a cache line each."""
    order = np.random.default_rng(0).permutation(_BYTES // 64) * 8
    ring = np.zeros(_BYTES // 8, np.int64)
    ring[order] = np.roll(order, -1)
    return ring


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _chase(ring: Any, steps: int) -> int:
    place = 0
    for _ in range(steps):
        place = ring[place]
    return place
