"""The threads of the compiled kernels: every share runs once, whoever launches, and nobody waits for who sleeps."""

import ctypes
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv
from fastconv.engines import loader
from tests import child

if loader.absent("cython"):
    pytest.skip("kernels are not compiled", allow_module_level=True)
from fastconv.engines.cython_ import _pool  # type: ignore[attr-defined, unused-ignore]

SHARE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_ssize_t)
launch = ctypes.CFUNCTYPE(None, SHARE, ctypes.c_void_p, ctypes.c_ssize_t)(_pool.LAUNCH)
PART = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_ssize_t, ctypes.c_ssize_t, ctypes.c_int)
launch_parts = ctypes.CFUNCTYPE(None, PART, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_ssize_t, ctypes.c_ssize_t)(
    _pool.LAUNCH_PARTS
)


def together(call: Callable[[], None], n: int) -> None:
    """Calls from n Python threads at once; an error of one of them is raised."""
    start = threading.Barrier(n)

    def one(_: int) -> None:
        start.wait(60)
        call()

    with ThreadPoolExecutor(n) as pool:
        list(pool.map(one, range(n)))


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


@pytest.mark.parametrize(
    "jobs, threads, ways",
    [(0, 2, 1), (1, 2, 1), (5, 8, 1), (1000, 1, 1), (1000, 3, 1), (64, 6, 2), (64, 7, 3), (9, 4, 4), (700, 300, 1)],
)
def test_every_job_runs_once(jobs: int, threads: int, ways: int) -> None:
    """Each crew's way of it, in parts that are not empty, `again` from a thread's second part on."""
    seen: Counter[tuple[int, int]] = Counter()
    parts: Counter[int] = Counter()

    def part(_: object, first: int, end: int, ithr: int, again: int) -> None:
        assert first < end and bool(again) == bool(parts[ithr])
        parts[ithr] += 1
        for job in range(first, end):
            seen[job, ithr % ways] += 1

    launch_parts(PART(part), None, jobs, threads, ways)
    assert seen == Counter((job, way) for job in range(jobs) for way in range(ways))
    assert max(parts, default=0) < threads // ways * ways


def test_jobs_of_a_slow_thread_go_to_others() -> None:
    """The first part of thread 0 ends when all that others can take has been done."""
    done: Counter[int] = Counter()
    rest = threading.Event()

    def part(_: object, first: int, end: int, ithr: int, again: int) -> None:
        if ithr == 0 and not again:
            assert rest.wait(60)
        done[ithr] += end - first
        if done[1] == 96:  # its own 64, and the 32 that thread 0 had not begun
            rest.set()

    launch_parts(PART(part), None, 128, 2, 1)
    assert done == {0: 32, 1: 96}


def test_shares_run_side_by_side() -> None:
    start = time.perf_counter()
    arrived: set[int] = set()

    def share(_: object, ithr: int, nthr: int) -> None:
        arrived.add(threading.get_native_id())
        while len(arrived) < 2 and time.perf_counter() < start + 10:
            time.sleep(0.001)

    launch(SHARE(share), None, 2)
    assert len(arrived) == 2


def test_many_callers() -> None:
    """Also more than there are jobs: who gets none does its shares alone."""
    wrong: list[object] = []

    def call() -> None:
        for n in list(range(1, 9)) * 20:
            found = shares_of(n)
            if found != Counter((k, n) for k in range(n)):
                wrong.append((n, found))

    together(call, 20)
    assert not wrong


def test_many_small_launches_at_once() -> None:
    """A thread that comes late runs no share of the next job with the arguments of the last, nor the other way."""
    from fastconv.engines.records import ConvGeometry, pack

    steps = fastconv.get_backend("naive/cython").steps("float32")
    geometry = pack(ConvGeometry(kh=1, kw=1, ow=2, sh=1, sw=1, pt=0, pl=0, dh=1, dw=1, g=1))
    seeds, wrong = iter(range(6)), []

    def call() -> None:
        rng = np.random.default_rng(next(seeds))
        for _ in range(5000):
            n = int(rng.integers(2, 6))
            x, w = (rng.integers(-9, 10, shape).astype(np.float32) for shape in ((1, 1, 1, 2), (n, 1, 1, 1)))
            y = np.empty((1, n, 1, 2), np.float32)
            steps.naive_forward(x, w, y, geometry, n)
            if not np.array_equal(y, w.reshape(1, n, 1, 1) * x):
                wrong.append((x, w, y))

    together(call, 6)
    assert not wrong


def test_two_callers_have_helpers_at_once() -> None:
    """Four shares that wait for each other, two of each job: nobody can do two of them."""
    shares_of(4)  # makes three threads, on one core too
    arrived: set[tuple[int, int]] = set()
    end = time.perf_counter() + 20

    def call() -> None:
        me = threading.get_ident()

        def share(_: object, ithr: int, nthr: int) -> None:
            arrived.add((me, ithr))
            while len(arrived) < 4 and time.perf_counter() < end:
                time.sleep(0.001)

        launch(SHARE(share), None, 2)

    together(call, 2)
    assert len(arrived) == 4
    assert time.perf_counter() < end


def test_a_job_has_no_more_threads_than_shares() -> None:
    shares_of(8)
    most: list[int] = []

    def call() -> None:
        for _ in range(50):
            threads: set[int] = set()

            def share(_: object, ithr: int, nthr: int, threads: set[int] = threads) -> None:
                threads.add(threading.get_native_id())
                time.sleep(0.0002)

            launch(SHARE(share), None, 3)
            most.append(len(threads))

    together(call, 3)
    assert max(most) <= 3


def test_a_share_that_launches_does_so_alone() -> None:
    """On its own thread, be it the caller's or another."""
    inner: list[Counter[tuple[int, int]]] = []
    where: set[tuple[int, int]] = set()

    def share(_: object, ithr: int, nthr: int) -> None:
        outside = threading.get_native_id()
        seen: Counter[tuple[int, int]] = Counter()

        def nested(_: object, ithr: int, nthr: int) -> None:
            seen[ithr, nthr] += 1
            where.add((outside, threading.get_native_id()))
            time.sleep(0.001)

        launch(SHARE(nested), None, 3)
        inner.append(seen)

    together(lambda: launch(SHARE(share), None, 4), 2)
    assert inner == [Counter((k, 3) for k in range(3))] * 8
    assert all(outside == inside for outside, inside in where)
    assert shares_of(4) == Counter((k, 4) for k in range(4))


def test_a_share_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """ctypes reports it; the other shares run, and later launches too."""
    reported: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))

    def share(_: object, ithr: int, nthr: int) -> None:
        raise RuntimeError

    for _ in range(20):
        launch(SHARE(share), None, 3)
    assert reported == [RuntimeError] * 60
    assert shares_of(4) == Counter((k, 4) for k in range(4))


def test_errors_reach_who_made_them() -> None:
    """Each Python thread gets its own errors and its own results while others compute."""
    x, w = np.ones((1, 4, 16, 16), np.float32), np.ones((4, 4, 3, 3), np.float32)
    want = fastconv.conv2d(x, w)
    outcome: Counter[object] = Counter()
    turn = iter(range(4))

    def call() -> None:
        bad = next(turn) % 2
        with fastconv.num_threads(3):
            for _ in range(100):
                try:
                    outcome[bad, np.array_equal(fastconv.conv2d(x, w[:, bad:]), want)] += 1
                except ValueError:
                    outcome[bad, "error"] += 1

    together(call, 4)
    assert outcome == {(0, True): 200, (1, "error"): 200}


def test_after_a_sleep() -> None:
    """Threads that went to sleep, and the caller that did while a share took long."""
    for _ in range(3):
        time.sleep(0.02)
        assert shares_of(4, pause=0.01) == Counter((k, 4) for k in range(4))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_threads_of_its_own() -> None:
    """Forked while threads of the parent launch."""
    code = """
import os, threading
from collections import Counter
from tests.engines.test_pool import shares_of
def compute():
    for _ in range(300):
        shares_of(3)
for _ in range(5):
    others = [threading.Thread(target=compute) for _ in range(3)]
    for other in others:
        other.start()
    pid = os.fork()
    if pid == 0:
        os._exit(7 if all(shares_of(n) == Counter((k, n) for k in range(n)) for n in (1, 2, 5) * 10) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    for other in others:
        other.join()
print("good")
"""
    assert child.run_code(code).strip() == "good"


@pytest.mark.parametrize(("policy", "spin"), [("passive", 0), ("active", 1000), ("", 1000)])
def test_waiting(policy: str, spin: int) -> None:
    code = "from fastconv.engines.cython_ import _pool; print(_pool.SPIN)"
    assert int(child.run_code(code, OMP_WAIT_POLICY=policy)) == spin
