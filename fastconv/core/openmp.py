"""What others ask of OpenMP's threads, and how they wait where Numba runs on them.

Compiled kernels have threads of their own (engines/cython_/ground/pool.h), but obey the limits that are set on OpenMP
from outside. Where nothing is compiled, Numba's OpenMP layer runs on GNU OpenMP. That reads once, when it is loaded,
how long a thread that waits spins before it sleeps: 300,000 turns, milliseconds in which it holds a core that another
process could use and on which the thread it waits for may have to run. Loaded here, it spins `SPIN` turns, unless the
user's environment says otherwise.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable

SPIN = 1000
_LIBRARY = "libgomp.so.1"
_POLICIES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def _load() -> tuple[Callable[[], int], str]:
    """What tells the threads of a region that names no number, and how waiting threads behave, in words."""
    said = [f"{name}={os.environ[name]}" for name in _POLICIES if name in os.environ]
    if _loaded():
        return _library(), "as OpenMP was told when it was loaded, before fastconv"
    if said:
        return _library(), f"as {', '.join(said)} says"
    os.environ["GOMP_SPINCOUNT"] = str(SPIN)
    try:
        return _library(), f"GOMP_SPINCOUNT={SPIN}, set by fastconv"
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def _loaded() -> bool:
    """Whether the library is in this process already, as PyTorch brings it."""
    try:
        ctypes.CDLL(_LIBRARY, mode=os.RTLD_NOLOAD)
    except (AttributeError, OSError):
        return False
    return True


def _library() -> Callable[[], int]:
    try:
        from ._openmp import max_threads  # type: ignore[import-not-found, unused-ignore]
    except ImportError:  # nothing was compiled: Numba's layer takes the system's library, if there is one
        try:
            max_threads = ctypes.CDLL(_LIBRARY).omp_get_max_threads
        except OSError:
            return int
    return max_threads  # type: ignore[no-any-return]


def _of_a_new_thread() -> int:
    """`max_threads` where nobody has asked for another number: such requests hold for one thread."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(max_threads()))
    thread.start()
    thread.join()
    return found[0]


max_threads, WAITING = _load()
UNLIMITED = _of_a_new_thread()
