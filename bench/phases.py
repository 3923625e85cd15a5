"""Where the time of a first result goes: import, plan, compile, first call, steady calls, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import NamedTuple

PHASES = ("import", "plan", "compile", "first call", "steady")
BACKENDS = ("direct", "winograd", "fft_tiled")
_CHILD = """
import json, sys, time
start = time.perf_counter()
import numpy as np, fastconv
times = {"import": time.perf_counter() - start}
fastconv.set_num_threads(int(sys.argv[2]))
x, w = np.ones((1, 32, 64, 64), np.float32), np.ones((32, 32, 3, 3), np.float32)
def timed(call):
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result
times["plan"], plan = timed(lambda: fastconv.plan_conv2d(x.shape, w, padding=1, backend=sys.argv[1]))
times["first call"], _ = timed(lambda: plan(x))
times["steady"] = sorted(timed(lambda: plan(x))[0] for _ in range(30))[15]
print(json.dumps(times))
"""


class Phase(NamedTuple):
    """Seconds of one phase; to compile is what plan and first call take longer where nothing was compiled before."""

    backend: str
    phase: str
    seconds: float


def measure(threads: int, *, compiling: bool = False) -> list[Phase]:
    """
    A second or two for each backend.

    Parameters
    ----------
    threads : int
    compiling : bool
        Compile the Numba engine anew for the figure, in a cache of its own: a minute or more for each backend.
    """
    found = []
    for name in BACKENDS:
        for engine in ("cython", "numba"):
            times = _child(f"{name}/{engine}", threads, {})
            if times is None:
                continue
            if compiling and engine == "numba":
                with tempfile.TemporaryDirectory() as folder:
                    cold = _child(f"{name}/{engine}", threads, {"NUMBA_CACHE_DIR": folder})
                if cold is not None:
                    times["compile"] = sum(cold[p] - times[p] for p in ("plan", "first call"))
            found += [Phase(f"{name}/{engine}", phase, times[phase]) for phase in PHASES if phase in times]
    return found


def _child(backend: str, threads: int, variables: dict[str, str]) -> dict[str, float] | None:
    """The times of a fresh process, the second one, since the first may compile; None where the backend is missing."""
    command = [sys.executable, "-c", _CHILD, backend, str(threads)]
    for _ in range(1 if variables else 2):
        run = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, check=False)
        if run.returncode:
            return None
    times: dict[str, float] = json.loads(run.stdout)
    return times
