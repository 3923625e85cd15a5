"""How many threads a call may use: the first of these that says something.

1. ``with num_threads(n):``, for its own Python thread
2. ``set_num_threads(n)``, for the process
3. ``FASTCONV_NUM_THREADS``
4. ``OMP_NUM_THREADS``
5. the cores that this process may use: affinity, and its container's quota

Never more than a limit that somebody else set on OpenMP in this Python thread, as ``threadpoolctl.threadpool_limits``
does. A forked child runs serial: neither OpenMP nor a BLAS pool survives a fork, and it is one of many as a rule.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator

from . import openmp
from .arguments import integer
from .cores import cpu_count

_forked = False
_global = 0  # 0: not yet read from the environment
_max_threads, _UNLIMITED = openmp.max_threads, openmp.UNLIMITED


class _Local(threading.local):
    n = 0  # outside of `num_threads`


_local = _Local()


def get_num_threads() -> int:
    """Number of threads that a call from this Python thread uses.

    The innermost ``with num_threads(n)``, else `set_num_threads`, else the environment's ``FASTCONV_NUM_THREADS``, else
    its ``OMP_NUM_THREADS``, else the cores that this process may use (affinity and its container's quota); at most what
    ``threadpoolctl.threadpool_limits`` allows OpenMP in this thread.

    Returns
    -------
    int
    """
    if _forked:
        return 1
    n = _local.n or _global or _read_environment()
    limit = _max_threads()
    return limit if limit < n and limit < _UNLIMITED else n


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
    n, before = integer("n", n, 1), _local.n
    _local.n = n
    try:
        yield
    finally:
        _local.n = before


def _read_environment() -> int:
    """Set and return the number that the environment asks for, or that of the cores."""
    global _global
    text = os.environ.get("FASTCONV_NUM_THREADS", "")
    if text and not _is_number(text):
        warnings.warn(f"FASTCONV_NUM_THREADS must be an integer of at least 1, got {text!r}", stacklevel=3)
        text = ""
    if not text:  # OpenMP itself complains of nonsense; a list has a number for each level of nesting
        text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    _global = int(text) if _is_number(text) else cpu_count()
    return _global


def _is_number(text: str) -> bool:
    return text.isdecimal() and int(text) > 0


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
