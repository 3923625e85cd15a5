"""Ctrl-C in a long call: KeyboardInterrupt when it ends, and the process goes on; a killed writer loses nothing."""

from __future__ import annotations

from collections.abc import Iterator

from stress import Line
from tests import child

INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
import fastconv

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
x, w = np.ones((4, 32, 200, 200), "f4"), np.ones((32, 32, 3, 3), "f4")
small = fastconv.conv2d(x[:, :, :9, :9], w)
wrong = 0
for k in range(int(sys.argv[2])):
    timer = threading.Timer(0.001 * (1 + k % 20), os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        for _ in range(10_000):
            fastconv.conv2d(x, w, padding=1, backend=sys.argv[1])
        print("no interrupt")
    except KeyboardInterrupt:
        pass
    timer.join()
    wrong += not np.array_equal(fastconv.conv2d(x[:, :, :9, :9], w), small)
print(wrong, "wrong")
"""
KILLED = """
import itertools
from fastconv.core.problem import parse
from fastconv.planning import tuning
print("ready", flush=True)
for k in itertools.count(1):
    tuning.remember({(parse(f"n{k}ci1ih8iw8co1kh3kw3_f32"), "forward"): "naive/cython"}, 2)
"""


def killed(times: int) -> list[str]:
    """The tuning file after SIGKILLs at random moments: always a whole table that holds what it held."""
    import json
    import os
    import random
    import subprocess
    import sys
    import tempfile
    import time
    from pathlib import Path

    failures, kept = [], 0
    with tempfile.TemporaryDirectory() as d:
        for k in range(times):
            environment = {**os.environ, "FASTCONV_CACHE_DIR": d, "PYTHONPATH": str(child.ROOT)}
            with subprocess.Popen([sys.executable, "-c", KILLED], env=environment, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(random.uniform(0.01, 0.05))
                process.kill()
            try:
                now = sum(map(len, json.loads((Path(d) / "tuning.json").read_text()).values()))
                if now < kept:
                    failures.append(f"kill {k}: {kept} entries became {now}")
                kept = now
            except FileNotFoundError:
                pass  # killed before the first was there
            except ValueError as error:
                failures.append(f"kill {k}: {error}")
    return failures


def run(seed: int, quick: bool) -> Iterator[Line]:
    """Interrupts at many moments, through backends that thread in different ways."""
    names, times = ("auto", "direct/cython", "winograd/cython", "im2col/cython"), 3 if quick else 50
    failures = []
    for name in names:
        try:
            told = child.run("-c", INTERRUPTED, name, str(times), timeout=1500).stdout.strip()
        except AssertionError as error:
            told = str(error)
        if told != "0 wrong":
            failures.append(f"{name}: {told}")
    yield Line("interrupts", times * len(names), failures)
    count = 3 if quick else 30
    yield Line("killed writers", count, killed(count))
