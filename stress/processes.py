"""A warm parent's children by every way to start one, grandchildren, and forks during calls of other threads."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

from stress import Line
from tests import child

POOLS = """
import multiprocessing, os, sys, threading
import numpy as np
import fastconv

def one(seed):
    rng = np.random.default_rng(seed)
    x, w = rng.integers(-3, 4, (2, 8, 40, 40)), rng.integers(-3, 4, (16, 8, 3, 3))
    y = fastconv.conv2d(x.astype("f4"), w.astype("f4"), padding=1)
    return float(y.sum() + fastconv.max_pool2d(y, 2).sum()), y.tobytes()

def deeper(seed):
    "In a child that forks again."
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.write(write, repr(one(seed)[0]).encode())
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return float(os.read(read, 99)), one(seed)[1]

if __name__ == "__main__":
    method, count = sys.argv[1], int(sys.argv[2])
    want = [one(i) for i in range(count)]  # the parent is warm
    stop = threading.Event()
    busy = threading.Thread(target=lambda: [one(0) for _ in iter(stop.is_set, True)])
    if method.endswith("+busy"):
        busy.start()
    name = method.split("+")[0]
    with multiprocessing.get_context(name).Pool(4) as pool:
        got = pool.map_async(deeper if "deeper" in method else one, range(count), chunksize=1).get(1200)
    stop.set()
    if busy.ident:
        busy.join()
    print(sum(a != b for a, b in zip(got, want)), "wrong")
"""
METHODS = ("fork", "spawn", "forkserver", "fork+deeper", "spawn+deeper", "fork+busy", "fork+deeper+busy")


def run(seed: int, quick: bool) -> Iterator[Line]:
    """Pools of four that share their tasks, as a data loader's; each result is the parent's, bit by bit."""
    import tempfile
    from pathlib import Path

    methods = [m for m in METHODS if m.split("+")[0] in multiprocessing.get_all_start_methods()]
    count, failures = 8 if quick else 200, []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "pools.py"  # a file, since spawned children import it
        script.write_text(POOLS)
        for method in methods[:4] if quick else methods:
            try:
                told = child.run(str(script), method, str(count), timeout=1500, PYTHONPATH=str(child.ROOT)).stdout
            except AssertionError as error:
                told = str(error)
            if told.strip() != "0 wrong":
                failures.append(f"{method}: {told.strip()}")
    yield Line(
        "processes", count * (4 if quick else len(methods)), failures, ", ".join(methods[: 4 if quick else None])
    )
