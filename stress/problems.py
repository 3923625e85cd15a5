"""Every backend, pass, layout and epilogue on random problems, against the oracle: `python -m stress.problems CASE`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator

from stress import Line
from stress.cases import cases, read, wrong
from tests import battery


def verdict(text: str) -> str:
    """What is wrong with a case, as a line that repeats it, or nothing."""
    try:
        told = wrong(read(text))
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    return f"python -m stress.problems '{text}'  # {told}" if told else ""


def run(seed: int, quick: bool) -> Iterator[Line]:
    """10,000 results; the quick part leaves out the Numba engine, which compiles for minutes."""
    names = [name for name in battery.backends() if not (quick and name.endswith("/numba"))]
    found = cases(seed, 300 if quick else 10_000, names)
    start, failures = time.monotonic(), [told for case in found if (told := verdict(str(case)))]
    counts = Counter(case.backend for case in found)
    note = ", ".join(f"{name} {counts[name]}" for name in names)
    exact = sum(case.numbers == "integers" for case in found)
    yield Line(
        "random problems", len(found), failures, f"{time.monotonic() - start:.0f} s; {exact} of integers; {note}"
    )


if __name__ == "__main__":
    told = [verdict(text) for text in sys.argv[1:]]
    print("\n".join(told) if any(told) else "right")
    sys.exit(any(told))
