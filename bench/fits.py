"""Small sums over measured times: power laws, crossovers, geometric means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bench.records import Row


class PowerLaw(NamedTuple):
    """seconds = scale * flops ** exponent."""

    scale: float
    exponent: float

    def __call__(self, flops: float | np.ndarray) -> float | np.ndarray:
        return self.scale * flops**self.exponent


class Crossover(NamedTuple):
    """At size `kernel` the fastest backend changes from `before` to `after`; both take `seconds` there."""

    kernel: float
    seconds: float
    before: str
    after: str


def fit_power_law(flops: Sequence[float], seconds: Sequence[float]) -> PowerLaw | None:
    """Least-squares line through the logarithms, or None with fewer than two different operation counts."""
    if len(set(flops)) < 2:
        return None
    exponent, offset = np.polyfit(np.log(flops), np.log(seconds), 1)
    return PowerLaw(float(np.exp(offset)), float(exponent))


def fastest(times: Mapping[str, Mapping[int, float]]) -> dict[int, str]:
    """The fastest backend at each kernel size, ascending; `times` is backend -> kernel size -> seconds."""
    sizes = sorted({k for series in times.values() for k in series})
    return {k: min((name for name in times if k in times[name]), key=lambda name: times[name][k]) for k in sizes}


def crossovers(times: Mapping[str, Mapping[int, float]]) -> list[Crossover]:
    """
    Where the fastest backend changes.

    Between two measured sizes both curves are straight lines on logarithmic axes, as the chart draws them;
    where one of the two backends was not measured at both ends, the change is put midway.
    """
    best = fastest(times)
    found = []
    for (k0, before), (k1, after) in zip(best.items(), list(best.items())[1:], strict=False):
        if before == after:
            continue
        left, right = times[before], times[after]
        share = 0.5
        if k1 in left and k0 in right:
            gap0, gap1 = math.log(right[k0] / left[k0]), math.log(right[k1] / left[k1])
            share = gap0 / (gap0 - gap1) if gap0 != gap1 else 0.5
        end = left[k1] if k1 in left else right[k1]
        seconds = math.exp((1 - share) * math.log(left[k0]) + share * math.log(end))
        found.append(Crossover(k0 * (k1 / k0) ** share, seconds, before, after))
    return found


def times_of(rows: Iterable[Row]) -> dict[str, dict[int, float]]:
    """Rows of one pass as backend -> kernel size -> seconds."""
    times: dict[str, dict[int, float]] = {}
    for row in rows:
        times.setdefault(row.backend, {})[row.kernel] = row.median
    return times


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean; not a number for no values."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def si(value: float, unit: str, digits: int = 3) -> str:
    """`value` with an SI prefix: ``si(0.0012, "s") == "1.2 ms"``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    value = float(f"{value:.{digits}g}")  # first, lest 999.9 become "1000"
    power = min(4, max(-3, math.floor(math.log10(abs(value)) / 3 + 1e-12)))
    prefix = {-3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T"}[power]
    return f"{float(f'{value / 1000.0**power:.{digits}g}'):g} {prefix}{unit}"
