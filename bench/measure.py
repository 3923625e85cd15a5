"""
Interleaved timing.

Everything that is to be compared is measured in the same rounds, in a random order, so that a busy spell of
the machine or a lower clock strikes all alike. Between two cells there is a pause until the worker threads of
the last one have stopped to spin: they would take a core from the next. OpenMP's spin for some 8 ms, those of
ONNX Runtime for 50.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

PAUSE = 0.004  # seconds, a tick of the kernel's clock: shorter sleeps may not see that a thread spins
_LONGEST_PAUSE = 0.1  # seconds
_SPINNING = 0.1  # of the pause: CPU time of this process meanwhile, from which on threads of it must be spinning
_SHORTEST_SAMPLE = 100e-6  # seconds; shorter calls are repeated within a sample
_WARM_BELOW = 0.02  # seconds; shorter calls are preceded by an untimed one, which wakes threads and fills caches
_BURST = 0.008  # seconds of timed calls a visit


@dataclass
class Cell:
    """
    One thing to measure.

    Attributes
    ----------
    name : str
        What the table calls it.
    call : callable
        Does the work once, without arguments.
    estimate : float
        Seconds a call takes, roughly; `warm_up` sets it.
    samples : list of float
        Seconds per call, one for each sample.
    iterations : int
        Calls that a sample is the mean of.
    """

    name: str
    call: Callable[[], object]
    estimate: float = math.nan
    samples: list[float] = field(default_factory=list)
    iterations: int = 1

    def warm_up(self) -> None:
        """Estimate the time of a call by the last of up to 3 calls; the first fills caches."""
        spent = 0.0
        for _ in range(3):
            self.estimate = seconds_of(self.call)
            spent += self.estimate
            if spent > 0.05:
                break
        self.iterations = max(1, math.ceil(_SHORTEST_SAMPLE / max(self.estimate, 1e-9)))

    @property
    def burst(self) -> int:
        """Samples taken in one visit."""
        return max(1, min(5, int(_BURST / (self.estimate * self.iterations))))

    def cost(self, pause: float) -> float:
        """Seconds that one visit takes."""
        warm = self.estimate if self.estimate < _WARM_BELOW else 0.0
        return pause + warm + self.estimate * self.iterations * self.burst

    def visit(self) -> None:
        """Take one burst of samples."""
        if self.estimate < _WARM_BELOW:
            self.call()
        for _ in range(self.burst):
            self.samples.append(seconds_of(self.call, self.iterations))


def seconds_of(call: Callable[[], object], iterations: int = 1) -> float:
    """Mean seconds of `iterations` calls in a row."""
    loops = range(iterations)
    start = time.perf_counter()
    for _ in loops:
        call()
    return (time.perf_counter() - start) / iterations


def settle(pause: float = PAUSE) -> None:
    """Sleep for `pause` seconds, and again while threads of this process run meanwhile; 0.1 s at most."""
    end = time.perf_counter() + _LONGEST_PAUSE
    while pause > 0:
        before = time.process_time()
        time.sleep(pause)
        if time.process_time() - before < _SPINNING * pause or time.perf_counter() > end:
            break


def schedule(visits: Sequence[int], rng: random.Random) -> Iterator[int]:
    """
    Indices in the order of their visits: i comes ``visits[i]`` times, spread evenly over shuffled rounds.
    """
    rounds = max(visits, default=0)
    for r in range(rounds):
        due = [i for i, v in enumerate(visits) if (r + 1) * v // rounds > r * v // rounds]
        rng.shuffle(due)
        yield from due


def interleave(
    cells: Sequence[Cell],
    seconds: float,
    *,
    rounds: tuple[int, int] = (3, 40),
    pause: float = PAUSE,
    rng: random.Random | None = None,
) -> None:
    """
    Measure warmed-up `cells` side by side; the samples are added to the cells.

    Parameters
    ----------
    cells : sequence of Cell
        What to measure.
    seconds : float
        Time for all of them together; each gets an equal share. The least number of rounds comes first.
    rounds : pair of int
        Least and largest number of visits to each cell; two will do where the least alone would overrun
        the time.
    pause : float
        Seconds of sleep before each visit, at least; see `settle`.
    rng : random.Random, optional
        Source of the order.
    """
    if not cells:
        return
    share = seconds / len(cells)
    visits = []
    for cell in cells:
        cost = cell.cost(3 * pause)  # what `settle` takes after most
        least = rounds[0] if rounds[0] * cost <= seconds else min(rounds[0], 2)
        visits.append(max(least, min(rounds[1], int(share / cost))))
    enabled = gc.isenabled()
    gc.disable()
    try:
        for i in schedule(visits, rng or random.Random()):
            settle(pause)
            cells[i].visit()
    finally:
        if enabled:
            gc.enable()


class Forecast:
    """
    Seconds that a call will take at best, judged by what was measured before.

    Calls are kept apart by `kind`: what a backend needs for a grouped layer says nothing about a dense one.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], list[tuple[int, float]]] = {}

    def learn(self, kind: tuple[str, ...], flops: int, seconds: float) -> None:
        """Remember a measured time."""
        self._seen.setdefault(kind, []).append((flops, seconds))

    def predict(self, kind: tuple[str, ...], flops: int) -> float:
        """Predicted seconds, 0 when nothing is known. Time is taken to grow no faster than the operations."""
        scaled = (seconds * max(1.0, flops / known) for known, seconds in self._seen.get(kind, ()))
        return min(scaled, default=0.0)
