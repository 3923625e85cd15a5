"""`python -m stress [SUITE ...] [--quick] [--seed N]`: a line a subject, failures as strings to paste."""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from importlib import import_module

SUITES = (
    "problems",
    "adjoint",
    "bad_input",
    "sizes",
    "threads",
    "processes",
    "memory",
    "files",
    "interrupts",
    "numbers",
    "checkers",
    "fuzz",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m stress", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="seconds instead of an hour; without the Numba engine")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    given = parser.parse_args()
    unknown = [name for name in given.suites if name not in SUITES]
    if unknown:
        parser.error(f"SUITE must be one of {', '.join(SUITES)}, got {', '.join(unknown)}")
    print(f"--seed {given.seed}", flush=True)
    bad, begun = 0, time.monotonic()
    for suite in given.suites or SUITES:
        start = time.monotonic()
        try:
            for line in import_module(f"stress.{suite}").run(given.seed, given.quick):
                print(f"{suite}: {line.subject}: {line.done}, {len(line.failures)} wrong. {line.note}", flush=True)
                for text in line.failures[:80]:
                    print(f"    {text}", flush=True)
                bad += len(line.failures)
        except Exception:  # the others still have their turn
            print(f"{suite}: {traceback.format_exc()}", flush=True)
            bad += 1
        print(f"{suite}: {time.monotonic() - start:.0f} s", flush=True)
    print(f"{bad} wrong, {time.monotonic() - begun:.0f} s")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
