"""Each argument of every public function spoiled, one at a time, in a child process that is replaced when it dies.

`python -m stress.bad_input FUNCTION ARGUMENT PLACE` repeats one.
"""

from __future__ import annotations

import multiprocessing
import re
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

import fastconv
from stress import Line
from stress.calls import ALSO, Spoilt, W, X, spoilt

DOCUMENTED = TypeError, ValueError, MemoryError
PATIENCE = 600  # seconds; the machine may be busy


def verdict(case: Spoilt) -> str:
    """What is wrong with the answer to a spoiled call, or nothing; a good call afterwards must work."""
    told = ""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            case.call()
            told = "accepted"
        except DOCUMENTED as error:
            names = f"{case.argument}|{ALSO.get(case.argument, case.argument)}"
            if not re.search(rf"\b({names})\b", str(error)):
                told = f"not named in {type(error).__name__}: {error}"
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
    if heard:
        told += f" and warned: {heard[0].message}"
    if not np.array_equal(fastconv.conv2d(X, W), np.full((2, 6, 5, 6), 36)):
        told += " and the next call was wrong"
    return told


def run(seed: int, quick: bool) -> Iterator[Line]:
    """All of the table; the quick part is a random tenth."""
    every = list(spoilt())
    rng = np.random.default_rng(seed)
    cases = [every[i] for i in rng.permutation(len(every))[: len(every) // 10 if quick else None]]
    context, failures, deaths = multiprocessing.get_context("spawn"), [], 0
    pool = ProcessPoolExecutor(1, context)
    for case in cases:
        try:
            told = pool.submit(verdict, case).result(timeout=PATIENCE)
        except BrokenProcessPool:
            told, pool, deaths = "killed the process", ProcessPoolExecutor(1, context), deaths + 1
        except TimeoutError:
            told, pool = f"no answer after {PATIENCE} s", ProcessPoolExecutor(1, context)
        if told:
            failures.append(f"python -m stress.bad_input {case} {told}")
    pool.shutdown(cancel_futures=True)
    yield Line("bad input", len(cases), failures, f"{len({c.function for c in cases})} functions, {deaths} deaths")


if __name__ == "__main__":
    found = verdict(Spoilt(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    print(found or "right")
    sys.exit(bool(found))
