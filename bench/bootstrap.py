"""Ratios of measured times with intervals: how sure is it that one is faster?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

_DRAWS = 500


class Ratio(NamedTuple):
    """
    A ratio of times and the interval that holds it with 95 per cent probability.

    Attributes
    ----------
    value, low, high : float
    """

    value: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Whether the interval leaves 1 out."""
        return not self.low <= 1 <= self.high

    def __str__(self) -> str:
        return f"{self.value:.2f}" if self.differs else "~"


def paired_ratio(above: Mapping[int, float], below: Mapping[int, float], seed: int = 0) -> Ratio:
    """
    Mean of the middle half of the ratios within each round, so that what strikes a whole round cancels.

    Parameters
    ----------
    above, below : mapping of int to float
        Round -> seconds; rounds that only one of them has are passed over.
    seed : int

    Returns
    -------
    Ratio
        With the percentile interval of a bootstrap over rounds (Efron, 1979).

    Raises
    ------
    ValueError
        If they have no round in common.
    """
    common = sorted(above.keys() & below.keys())
    if not common:
        raise ValueError("above and below have no round in common")
    logs = np.log([above[r] / below[r] for r in common])
    low, high = np.quantile(_middles(logs, seed), (0.025, 0.975))
    return Ratio(*(float(np.exp(v)) for v in (middle(logs), low, high)))


def middle(logs: np.ndarray) -> np.ndarray:
    """Mean of the middle half along the last axis: as deaf to busy rounds as the median, with less noise."""
    n = logs.shape[-1]
    found: np.ndarray = np.sort(logs, -1)[..., n // 4 : n - n // 4].mean(-1)
    return found


def log_spread(seconds: Sequence[float]) -> float:
    """Standard error of `middle` of the logarithms, from their winsorised variance (Yuen, 1974); 0 for few times."""
    logs = np.sort(np.log(seconds))
    n = len(logs)
    if n < 4:
        return 0.0
    logs[: n // 4], logs[n - n // 4 :] = logs[n // 4], logs[n - n // 4 - 1]
    return float(logs.std(ddof=1) / ((1 - 2 * (n // 4) / n) * np.sqrt(n)))


def _middles(values: np.ndarray, seed: int) -> np.ndarray:
    """`middle` of samples drawn with replacement from `values`."""
    picks = np.random.default_rng(seed).integers(len(values), size=(_DRAWS, len(values)))
    return middle(values[picks])
