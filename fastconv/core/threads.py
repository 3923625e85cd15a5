"""How many threads a call may use.

The number is a process-wide setting, which a ``with num_threads(n)`` block overrides for its own
Python thread. A forked child runs serial: neither OpenMP nor a BLAS pool survives a fork.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator

from .arguments import integer

_forked = False
_global = 0  # 0: not yet read from the environment
_local = threading.local()


def get_num_threads() -> int:
    """Number of threads that a call from this Python thread uses.

    Returns
    -------
    int
    """
    if _forked:
        return 1
    return getattr(_local, "n", 0) or _global or _read_environment()


def set_num_threads(n: int) -> None:
    """Set the number of threads for the whole process.

    Parameters
    ----------
    n : int, at least 1

    Raises
    ------
    TypeError, ValueError
        If ``n`` is no integer, or below 1.
    """
    global _global
    _global = integer("n", n, 1)


@contextlib.contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use ``n`` threads inside a ``with`` block, in this Python thread only.

    Parameters
    ----------
    n : int, at least 1

    Yields
    ------
    None

    Raises
    ------
    TypeError, ValueError
        If ``n`` is no integer, or below 1.
    """
    n, before = integer("n", n, 1), getattr(_local, "n", 0)
    _local.n = n
    try:
        yield
    finally:
        _local.n = before


def cpu_count() -> int:
    """Cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this operating system
        return os.cpu_count() or 1


def _read_environment() -> int:
    global _global
    text = os.environ.get("FASTCONV_NUM_THREADS", "")
    if text and not (text.isdigit() and int(text) > 0):
        warnings.warn(f"FASTCONV_NUM_THREADS must be an integer of at least 1, got {text!r}", stacklevel=3)
        text = ""
    _global = int(text) if text else cpu_count()
    return _global


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
