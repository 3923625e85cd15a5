"""Every backend, pass, layout and epilogue on random problems, against the oracle: `python -m stress.problems CASE`."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from stress import Line
from stress.cases import Case, cases, read, wrong
from tests import battery, child


def verdict(text: str) -> str:
    """What is wrong with a case, as a line that repeats it, or nothing."""
    try:
        told = wrong(read(text))
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    return f"python -m stress.problems '{text}'  # {told}" if told else ""


def grouped(found: list[Case]) -> list[list[Case]]:
    """Cases of one backend and one dtype together, whose steps are then compiled in one process only."""
    groups = defaultdict(list)
    for case in found:
        groups[case.backend, battery.COMPUTED_IN[case.problem.dtype]].append(case)
    return [groups[key] for key in sorted(groups)]


def failed(group: list[Case]) -> list[str]:
    """What is wrong with the cases of a group, computed in a child; a crash is one failure, that names its case."""
    done = child.run("-m", "stress.problems", *map(str, group), timeout=7200, check=False)
    told = [] if done.stdout.strip() == "right" else done.stdout.splitlines()
    ended = done.returncode == bool(told)
    return told if ended else [*told, f"ended with {done.returncode}: {done.stderr[-4000:]}"]


def compared(subject: str, names: list[str], seed: int, count: int, apart: bool = True) -> Line:
    """So many results of these backends, in a child for each of their groups or in one."""
    found, start = cases(seed, count, names), time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = [told for part in pool.map(failed, grouped(found) if apart else [found]) for told in part]
    counts = Counter(case.backend for case in found)
    exact = sum(case.numbers == "integers" for case in found)
    note = f"{exact} of integers; {', '.join(f'{name} {counts[name]}' for name in names)}"
    return Line(f"random problems, {subject}", len(found), failures, f"{time.monotonic() - start:.0f} s; {note}")


def run(seed: int, quick: bool) -> Iterator[Line]:
    """10,000 results an engine; the quick part leaves out Numba's, which compiles for minutes."""
    numba = [name for name in battery.backends() if name.endswith("/numba")]
    others = [name for name in battery.backends() if name not in numba]
    yield compared("compiled kernels", others, seed, 300 if quick else 10_000, apart=not quick)
    if numba and not quick:
        yield compared("Numba", numba, seed, 10_000)


if __name__ == "__main__":
    right = True
    for text in sys.argv[1:]:
        print(text, file=sys.stderr, flush=True)  # the last one is what a crash is of
        if told := verdict(text):
            print(told, flush=True)
            right = False
    if right:
        print("right")
    sys.exit(not right)
