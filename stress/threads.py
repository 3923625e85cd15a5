"""Eight Python threads from a cold start, pools of the standard library, event loops: always the same bits."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from stress import Line
from tests import child

MIXED = """
import asyncio, sys, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import fastconv
from stress import cases

seed, calls, engines = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split()
names = [n for n in fastconv.list_backends() if n.split("/")[-1] in engines and not fastconv.get_backend(n).absent()]
jobs = cases.cases(seed, 40, names)
data = [cases.data(job) for job in jobs]
order = [np.random.default_rng(seed + t).integers(0, len(jobs), calls) for t in range(8)]
first = [[None] * len(jobs) for _ in range(8)]
wrong, start = [], threading.Barrier(8)

def work(t):
    start.wait()
    try:
        for i in order[t]:
            got = cases.compute(jobs[i], *data[i])
            if first[t][i] is None:
                first[t][i] = got
            elif not np.array_equal(got, first[t][i], equal_nan=True):
                wrong.append(f"{jobs[i]}  # thread {t}: two results")
    except Exception as error:
        wrong.append(f"{jobs[i]}  # thread {t}: {type(error).__name__}: {error}")

threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
for t in threads: t.start()
for t in threads: t.join()
alone = [cases.compute(job, *d) for job, d in zip(jobs, data)]

def again(i):
    got = cases.compute(jobs[i], *data[i])
    return "" if np.array_equal(got, alone[i], equal_nan=True) else f"{jobs[i]}  # in a pool"

for t in range(8):
    for i, job in enumerate(jobs):
        if first[t][i] is not None and not np.array_equal(first[t][i], alone[i], equal_nan=True):
            wrong.append(f"{job}  # thread {t} differs from a call alone")
with ThreadPoolExecutor(8) as pool:
    wrong += filter(None, pool.map(again, np.tile(np.arange(len(jobs)), 3)))

async def gathered():
    loop = asyncio.get_running_loop()
    return await asyncio.gather(*(loop.run_in_executor(None, again, i) for i in range(len(jobs))))

wrong += filter(None, asyncio.run(gathered()))
wrong += filter(None, (cases.wrong(job) and f"{job}  # {cases.wrong(job)}" for job in jobs))
print(*dict.fromkeys(wrong), sep="\\n")
"""


def run(seed: int, quick: bool) -> Iterator[Line]:
    """1,000 calls a thread on the compiled kernels, 100 on Numba's, whose first calls compile under all eight."""
    engines = [("cython", 60 if quick else 1000)] + ([] if quick else [("numba", 100)])
    for engine, calls in engines:
        try:
            out = child.run("-c", MIXED, str(seed), str(calls), engine, timeout=3000).stdout
            failures = out.split("\n")
        except AssertionError as error:
            failures = [str(error)]
        failures = [f for f in failures if f]
        note = f"8 threads x {calls} calls from a cold start; a thread pool; an event loop's executor"
        yield Line(f"threads on {engine}", 8 * calls, failures, f"{note}; Python {sys.version.split()[0]}")
