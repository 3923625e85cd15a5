"""Long runs that look for what tests have missed: `python -m stress [SUITE ...] [--quick] [--seed N]`.

    cases.py        random problems as strings, their arrays in odd dress, the oracle's answer
    problems.py     every backend, pass, layout and epilogue on them; exactness on integers
    adjoint.py      <dy, conv(x, w)> = <dx, x> = <dw, w>
    calls.py        one valid call of every public function
    bad_input.py    each argument of each spoiled, in processes of their own
    sizes.py        shapes up to 2^62, strides beyond 2^31 bytes
    threads.py      cold start by eight threads, pools, calls inside calls
    processes.py    fork, spawn, forkserver, grandchildren, a fork during a call
    memory.py       growth, limits of the address space, booked beside used scratch memory
    files.py        damaged tuning and calibration files, many writers, no HOME
    interrupts.py   Ctrl-C in a long call
    numbers.py      NaN, infinities, denormals
    checkers.py     valgrind, ThreadSanitizer (pool.c), Numba with boundscheck
    fuzz.py         coverage-guided bytes for all that is read; targets.py

A suite is a function `run(seed, quick)` that yields a `Line` a subject; a failure is a string to repeat it by.
Children are started through `tests.child`, so that whatever crashes or hangs is a failure of the suite and not its end.
"""

from typing import NamedTuple


class Line(NamedTuple):
    """What became of one subject."""

    subject: str
    done: int
    failures: list[str]
    note: str = ""
