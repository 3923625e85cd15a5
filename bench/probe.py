"""What the machine can do at this moment: a busy neighbour shows here and not in the figures beside it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import numba
import numpy as np

from bench.calibrate import fma_gflops
from bench.measure import seconds_of, settle

_BYTES = 8 * 2**20  # of the pointer chase: beyond L2, within the last cache
_HOPS = 200_000  # of the chase: some 4 ms
_LONG, _SHORT = 1_500_000, 50_000  # steps of the FMA probe: some 5 ms and 0.2 ms
_REPEATS = 15


class Probe(NamedTuple):
    """
    Medians of three probes.

    Attributes
    ----------
    fma_gflops : float
        Multiply-adds of all threads together, in calls of some 5 ms.
    short_gflops : float
        The same in calls as short as a small layer: low where threads wait for a core that another process has.
    latency_ns : float
        Of a load from the last cache.
    """

    fma_gflops: float
    short_gflops: float
    latency_ns: float

    def __str__(self) -> str:
        fma = f"FMA {self.fma_gflops:.0f} GFLOP/s, {self.short_gflops:.0f} in short calls"
        return f"{fma}; last cache {self.latency_ns:.0f} ns"


def probe(threads: int) -> Probe:
    """Measure for some 0.2 s, after a rest in which threads of others stop to spin."""

    def middle(call: Callable[[], object]) -> float:
        call()
        return median(seconds_of(call) for _ in range(_REPEATS))

    ring = _ring()
    settle()
    long, short = (fma_gflops("float32", threads, steps, middle) for steps in (_LONG, _SHORT))
    return Probe(long, short, middle(lambda: _chase(ring, _HOPS)) / _HOPS * 1e9)


class Glance(NamedTuple):
    """
    The machine between two rounds.

    Attributes
    ----------
    fma_gflops : float
        Multiply-adds of all threads together, in the best of three short calls.
    latency_ns : float
        Of a load from the last cache.
    stolen : float
        Share of the cores' time since the last glance that the host of a virtual machine gave to others.
    """

    fma_gflops: float
    latency_ns: float
    stolen: float


class Lookout:
    """
    Glances at the machine before and after every round, some 3 ms each.

    Attributes
    ----------
    glances : list of Glance
    """

    def __init__(self, threads: int):
        self.threads = threads
        self.glances: list[Glance] = []
        self._ticks = _ticks()
        _ring()

    def busy(self) -> bool:
        """Whether the machine is slower than it mostly was, by a tenth, or its host takes a twentieth of its time."""
        settle()
        fma = fma_gflops("float32", self.threads, _SHORT, lambda call: min(seconds_of(call) for _ in range(3)))
        latency = seconds_of(lambda: _chase(_ring(), _HOPS // 10)) / (_HOPS // 10) * 1e9
        (stolen, total), (stolen_before, total_before) = _ticks(), self._ticks
        self._ticks = (stolen, total)
        glance = Glance(fma, latency, (stolen - stolen_before) / max(1, total - total_before))
        self.glances.append(glance)
        usual = quantiles([g.fma_gflops for g in self.glances], n=4)[2] if len(self.glances) > 1 else fma
        return glance.fma_gflops < 0.9 * usual or glance.stolen > 0.05


def _ticks() -> tuple[int, int]:
    """Time stolen from this machine's cores, and all time, in ticks since it started; zeros where nobody says."""
    try:
        fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    except (OSError, ValueError):
        return 0, 0
    return fields[7] if len(fields) > 7 else 0, sum(fields[:8])


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
