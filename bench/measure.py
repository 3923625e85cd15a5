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
from statistics import median
from typing import Protocol

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
    rounds : list of int
        The round in which each sample was taken: ratios of two cells are made within a round.
    round : int
        The present one.
    """

    name: str
    call: Callable[[], object]
    estimate: float = math.nan
    samples: list[float] = field(default_factory=list)
    iterations: int = 1
    rounds: list[int] = field(default_factory=list)
    round: int = 0

    def by_round(self) -> dict[int, float]:
        """Round -> median of its samples."""
        found: dict[int, list[float]] = {}
        for number, sample in zip(self.rounds, self.samples, strict=True):
            found.setdefault(number, []).append(sample)
        return {number: median(samples) for number, samples in found.items()}

    def forget(self, number: int) -> None:
        """Drop the samples of a round."""
        kept = [(r, s) for r, s in zip(self.rounds, self.samples, strict=True) if r != number]
        self.rounds, self.samples = [r for r, _ in kept], [s for _, s in kept]

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
            self.rounds.append(self.round)


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


def schedule(visits: Sequence[int], rng: random.Random) -> Iterator[list[int]]:
    """
    The indices that are due in each round, shuffled: i comes ``visits[i]`` times, spread evenly over the rounds.
    """
    rounds = max(visits, default=0)
    for r in range(rounds):
        due = [i for i, v in enumerate(visits) if (r + 1) * v // rounds > r * v // rounds]
        rng.shuffle(due)
        yield due


class Watch(Protocol):
    """Looks at the machine."""

    def busy(self) -> bool:
        """Whether it has less time for us now than it had before."""


def interleave(
    cells: Sequence[Cell],
    seconds: float,
    *,
    rounds: tuple[int, int] = (3, 40),
    pause: float = PAUSE,
    rng: random.Random | None = None,
    watch: Watch | None = None,
    patience: float | None = None,
) -> list[int]:
    """
    Measure warmed-up `cells` side by side; the samples are added to the cells.

    Parameters
    ----------
    cells : sequence of Cell
        What to measure.
    seconds : float
        Time for all of them together; each gets an equal share. The least number of rounds comes first.
    rounds : pair of int
        Least and largest number of visits to each cell; calls so slow that the least would overrun `patience` are
        visited as often as it allows, twice in any case.
    pause : float
        Seconds of sleep before each visit, at least; see `settle`.
    rng : random.Random, optional
        Source of the order.
    watch : Watch, optional
        Is asked before and after each round. A round that was busy is taken once more and the busy one forgotten, as
        long as time is left; a third of the rounds at most.
    patience : float, optional
        Seconds that a cell may take for the least number of rounds (default: `seconds`). With many cells the whole
        takes up to as many times as long, so they should have less.

    Returns
    -------
    list of int
        The rounds that were busy and had to stay.
    """
    if not cells:
        return []
    share, most = seconds / len(cells), seconds if patience is None else patience
    visits = []
    for cell in cells:
        cost = cell.cost(3 * pause)  # what `settle` takes after most
        least = rounds[0] if rounds[0] * cost <= most else max(2, min(rounds[0], int(most / cost)))
        visits.append(max(least, min(rounds[1], int(share / cost))))
    enabled = gc.isenabled()
    gc.disable()
    rng = rng or random.Random()
    start, busy = time.monotonic(), []
    try:
        for number, due in enumerate(schedule(visits, rng)):
            if _round(cells, due, number, pause, watch):
                busy.append((number, due))
        again = max(visits) // 3
        for number, due in list(busy)[:again]:
            if time.monotonic() - start > 1.3 * seconds:
                break
            fresh = max(visits) + number
            calm = not _round(cells, due, fresh, pause, watch)
            for i in due:
                cells[i].forget(number if calm else fresh)
            if calm:
                busy.remove((number, due))
    finally:
        if enabled:
            gc.enable()
    return [number for number, _ in busy]


def _round(cells: Sequence[Cell], due: Sequence[int], number: int, pause: float, watch: Watch | None) -> bool:
    """Visit the cells that are due; whether the machine was busy before or after."""
    before = watch is not None and watch.busy()
    for i in due:
        settle(pause)
        cells[i].round = number
        cells[i].visit()
    settle(pause)
    return (watch is not None and watch.busy()) or before


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
