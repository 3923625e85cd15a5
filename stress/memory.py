"""Growth over many calls, a limit of the address space, booked beside used scratch memory."""

from __future__ import annotations

import copy
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np

import fastconv
from fastconv.core.problem import PASSES
from fastconv.planning.layouts import lying
from stress import Line
from stress.cases import problem
from tests import battery, child
from tests.problems import integer_data

OBJECTS = 4 << 10  #: bytes that a call's own Python objects take at most
GROWTH = """
import sys
import numpy as np
import fastconv

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

what, count = sys.argv[1], int(sys.argv[2])
x, w = np.ones((1, 4, 12, 13), "f4"), np.ones((8, 4, 3, 3), "f4")
shapes = [(1 + i % 2, 4, 5 + i // 2 % 50, 5 + i // 100) for i in range(count)]
def call(i):
    if what == "one":
        g = fastconv.conv2d_backward(fastconv.conv2d(x, w, padding=1), x, w, padding=1)
    else:
        fastconv.conv2d(np.ones(shapes[i], "f4"), w, padding=1)
for i in range(count // 10 if what == "one" else count // 2):
    call(i)
before = resident()
for i in range(count) if what == "one" else range(count // 2, count):
    call(i)
print(resident() - before)
"""
LIMITED = """
import resource
import numpy as np
import fastconv

x, w = np.ones((1, 8, 64, 64), "f4"), np.ones((8, 8, 3, 3), "f4")
y = fastconv.conv2d(x, w, padding=1)
size = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (size + (1 << 28), -1))
large = np.broadcast_to(np.ones((1, 1, 1, 1), "f4"), (64, 8, 1024, 1024))
for backend in ("auto", *fastconv.list_backends()):
    if backend.endswith("/numba"):
        continue
    for call in (lambda: fastconv.conv2d(large, w, padding=1, backend=backend),
                 lambda: fastconv.conv2d_grad_weight(large, large, w.shape, padding=1, backend=backend),
                 lambda: fastconv.conv2d_grad_input(large, w, large.shape, padding=1, backend=backend)):
        try:
            call()
            print(f"{backend}: 2 GiB were found")
        except MemoryError:
            pass
        except fastconv.BackendRefused:
            pass
        except Exception as error:
            print(f"{backend}: {type(error).__name__}: {error}")
        if not np.array_equal(fastconv.conv2d(x, w, padding=1), y):
            print(f"{backend}: the next call was wrong")
"""


def grown(what: str, count: int, limit: int) -> tuple[str, str]:
    """(what is wrong, a note) of a child's growth in bytes over so many calls."""
    got = int(child.run("-c", GROWTH, what, str(count), timeout=1500).stdout)
    return f"grew by {got} bytes, allowed {limit}" if got > limit else "", f"{got / 1024:.0f} KiB"


def used(name: str, pass_: str, p: Any, prepared: bool = False) -> tuple[int, int] | None:
    """(booked, used) bytes of scratch memory: up to the last number that is changed, and what is allocated besides.

    None if the backend does not prepare weights.
    """
    backend, mark, d = copy.copy(fastconv.get_backend(name)), np.float64(-7.25e77), integer_data(p)
    if backend.by_value:
        backend = backend.with_weights(p, pass_, d.w, None) or backend
    q = lying(p, backend, pass_)
    cfg = backend.configure(q, pass_, 1)
    made = backend.prepare(q, cfg, d.w) if prepared else None
    if prepared and made is None:
        return None
    backend.prepare = lambda *_: made  # type: ignore[method-assign]
    booked = backend.workspace(q, pass_, cfg, 1) - (backend.spares(q, cfg, 1) if prepared else 0)
    work = battery.aligned(-(-booked // 8) * 8, p.dtype)
    work.view(np.uint64)[...] = mark.view(np.uint64)
    out = np.empty(battery.result_shape(p, pass_), p.dtype)
    battery.raw(backend, pass_, p, d, 1, out, work)  # tables are made, and stay
    tracemalloc.start()
    battery.raw(backend, pass_, p, d, 1, out, work)
    besides = max(0, tracemalloc.get_traced_memory()[1] - OBJECTS)
    tracemalloc.stop()
    changed = np.flatnonzero(work.view(np.uint64) != mark.view(np.uint64))
    return booked, (int(changed[-1] + 1) * 8 if changed.size else 0) + besides


def booked(seed: int, count: int) -> Line:
    """Scratch memory of at least 32 KiB that is booked is used, to within a tenth; with prepared weights, too."""
    rng, failures = np.random.default_rng(seed), []
    shares: list[float] = []
    names = [n for n in battery.backends() if n.endswith("/cython")]
    while len(shares) < count:
        p = problem(rng)
        p = p._replace(mode="zeros", dtype="float32", ih=p.ih + 40, iw=p.iw + 40)
        for pass_, prepared in (*((q, False) for q in PASSES), ("forward", True)):
            for name in names:
                found = None if fastconv.get_backend(name).refuse(p, pass_) else used(name, pass_, p, prepared)
                if found and found[0] >= 1 << 15:
                    shares.append(found[1] / found[0])
                    if not 0.9 <= shares[-1] <= 1.1:
                        how = ", weights prepared" if prepared else ""
                        failures.append(f"{name} {pass_} {p}{how}  # booked {found[0]} bytes, used {found[1]}")
    note = f"median share {float(np.median(shares)):.2f}, least {min(shares):.2f}, most {max(shares):.2f}"
    return Line("booked scratch memory", len(shares), failures, note)


def run(seed: int, quick: bool) -> Iterator[Line]:
    """1e5 calls of one shape, 1e4 shapes, RLIMIT_AS, and booked beside used scratch memory."""
    for what, count, limit in (("one", 10**5, 1 << 20), ("many", 10**4, 8 << 20)):
        count = count // 50 if quick else count
        wrong, note = grown(what, count, limit)
        yield Line(f"growth, {what} shape(s)", count, [wrong] if wrong else [], note)
    told = child.run("-c", LIMITED, timeout=1500, OPENBLAS_NUM_THREADS="1").stdout.split("\n")
    yield Line("limited address space", 1, [t for t in told if t])
    yield booked(seed, 30 if quick else 1000)
