"""Calls that are made again and again on the same arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core import workspace
from ..core.typing import Array
from ..engines import tape

Calls = tape.Calls


def repeatable(call: Callable[[], Any], inputs: Sequence[Array], out: Array, scratch: dict[str, Any]) -> Calls:
    """What fills ``out`` again from what ``inputs`` then hold: the steps of a call, or the call itself.

    Parameters
    ----------
    call : callable
        Fills ``out`` from ``inputs``, always the same arrays.
    inputs : sequence of ndarray
        Overwritten here.
    out : ndarray
        May be one of the inputs.
    scratch : dict
        Scratch memory by dtype: all calls that share it must be made one after the other.

    Notes
    -----
    A call that does anything beside steps (a matrix product of NumPy, a border) is seen by its result: on other
    numbers its steps alone give another one.
    """
    rng = np.random.default_rng(0)

    def fill() -> None:
        for a in inputs:
            a[...] = rng.standard_normal(a.shape, np.float32)

    with workspace.private(scratch):
        call()  # what is planned or compiled at first, is now
        fill()
        with tape.recording() as calls:
            call()
        fill()
        held = [a.copy() for a in inputs]
        call()
        expected = out.copy()
        fill()
        call()  # whatever else it leaves in scratch memory is now that of other numbers
        out[...] = np.nan
        for a, b in zip(inputs, held, strict=True):
            a[...] = b
        for step, args in calls:
            step(*args)
        if np.array_equal(out, expected, equal_nan=True):
            return calls

    def whole() -> None:
        with workspace.private(scratch):
            call()

    return [(whole, ())]
