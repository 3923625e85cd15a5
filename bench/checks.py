"""Nothing is timed before its answer has been checked: calls on trial, and the cells that come of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bench.measure import Cell
from bench.oracle import Oracle


class Candidate(NamedTuple):
    """
    A cell to be.

    Attributes
    ----------
    name : str
    make : callable
        Makes the call that is timed, or None where there is no such call.
    to_numpy : callable
        Makes an array of the call's result.
    note : str
        For whoever made the candidate.
    """

    name: str
    make: Callable[[], Callable[[], Any] | None]
    to_numpy: Callable[[Any], np.ndarray] = np.asarray
    note: str = ""


class Verdict(NamedTuple):
    """A warmed-up cell and its error; or no cell, and the reason (none where there is no such call)."""

    cell: Cell | None = None
    error: float = 0.0
    reason: str = ""

    @property
    def wrong(self) -> bool:
        """Whether an answer was given and was not right."""
        return self.reason.startswith("WRONG")


def check(candidate: Candidate, oracle: Oracle) -> Verdict:
    """Call a candidate once and compare the result with the oracle's; whatever it throws becomes the reason."""
    try:
        call = candidate.make()
        if call is None:
            return Verdict()
        error = oracle.error(candidate.to_numpy(call()))
    except Exception as failure:  # one broken library must not end the measurement of the others
        return Verdict(reason=f"{type(failure).__name__}: {(str(failure).splitlines() or [''])[0]}")
    if not oracle.accepts(error):
        return Verdict(None, error, f"WRONG ANSWER, error {error:.1e}")
    cell = Cell(candidate.name, call)
    cell.warm_up()
    return Verdict(cell, error)
