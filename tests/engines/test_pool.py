"""The threads of the compiled kernels: every share runs once, whoever launches, and nobody waits for who sleeps."""

import ctypes
import os
import threading
import time
from collections import Counter

import pytest

from fastconv.engines import loader
from tests import child

if loader.absent("cython"):
    pytest.skip("kernels are not compiled", allow_module_level=True)
from fastconv.engines.cython_ import _pool  # type: ignore[attr-defined, unused-ignore]

SHARE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_ssize_t)
launch = ctypes.CFUNCTYPE(None, SHARE, ctypes.c_void_p, ctypes.c_ssize_t)(_pool.LAUNCH)


def shares_of(n: int, pause: float = 0.0) -> Counter[tuple[int, int]]:
    """How often every share ran."""
    seen: Counter[tuple[int, int]] = Counter()

    def share(_: object, ithr: int, nthr: int) -> None:
        seen[ithr, nthr] += 1
        time.sleep(pause)

    launch(SHARE(share), None, n)
    return seen


@pytest.mark.parametrize("n", [0, 1, 2, 3, 17, 1023, 1024, 1500, 70_000])
def test_every_share_runs_once(n: int) -> None:
    """Also more than there are threads, and than a ticket can count."""
    assert shares_of(n) == Counter((k, n) for k in range(n))


def test_shares_run_side_by_side() -> None:
    start = time.perf_counter()
    together: set[int] = set()

    def share(_: object, ithr: int, nthr: int) -> None:
        together.add(threading.get_native_id())
        while len(together) < 2 and time.perf_counter() < start + 10:
            time.sleep(0.001)

    launch(SHARE(share), None, 2)
    assert len(together) == 2


def test_many_callers() -> None:
    """One has the pool, the others do their shares alone."""
    wrong: list[object] = []

    def call() -> None:
        for n in list(range(1, 9)) * 20:
            found = shares_of(n)
            if found != Counter((k, n) for k in range(n)):
                wrong.append((n, found))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_a_share_may_launch() -> None:
    inner: list[Counter[tuple[int, int]]] = []

    def share(_: object, ithr: int, nthr: int) -> None:
        inner.append(shares_of(3))

    launch(SHARE(share), None, 4)
    assert inner == [Counter((k, 3) for k in range(3))] * 4


def test_after_a_sleep() -> None:
    """Threads that went to sleep, and the caller that did while a share took long."""
    for _ in range(3):
        time.sleep(0.02)
        assert shares_of(4, pause=0.01) == Counter((k, 4) for k in range(4))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_threads_of_its_own() -> None:
    """Forked while the parent computes."""
    code = """
import os, threading
from collections import Counter
from tests.engines.test_pool import shares_of
def compute():
    for _ in range(300):
        shares_of(3)
for _ in range(5):
    other = threading.Thread(target=compute)
    other.start()
    pid = os.fork()
    if pid == 0:
        os._exit(7 if all(shares_of(n) == Counter((k, n) for k in range(n)) for n in (1, 2, 5) * 10) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    other.join()
print("good")
"""
    assert child.run_code(code).strip() == "good"


@pytest.mark.parametrize(("policy", "spin"), [("passive", 0), ("active", 1000), ("", 1000)])
def test_waiting(policy: str, spin: int) -> None:
    code = "from fastconv.engines.cython_ import _pool; print(_pool.SPIN)"
    assert int(child.run_code(code, OMP_WAIT_POLICY=policy)) == spin
