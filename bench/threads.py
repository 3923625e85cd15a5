"""
``python -m bench threads``: what threads cost, and how calls fare where cores are not theirs alone.

Medians of whole calls: one after the other, after pauses in which threads fall asleep, and from four Python threads
at once; on the machine as it is and beside two busy processes. PyTorch stands beside ours where it is installed. What
``OMP_WAIT_POLICY=passive`` does is seen by setting it for the command.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

import fastconv
from bench.calibrate import launch_us
from bench.measure import settle

BUSY, CALLERS = 2, 4
PAUSES = 0.3e-3, 2e-3, 5e-3, 20e-3  # seconds
LAYERS = {"small": (32, 28, 1), "large": (64, 56, 3)}  # channels, rows and columns, kernel
LEAST = 5  # calls


class Row(NamedTuple):
    """Median seconds of a call by column, of one library under one load."""

    library: str
    load: str
    times: dict[str, float]


def measure(seconds: float, threads: int) -> tuple[float, list[Row]]:
    """Microseconds of a launch, and every row; `seconds` for each of its cells."""
    rows = []
    launch = launch_us(threads)
    for load, busy in (("as it is", 0), (f"beside {BUSY} busy processes", BUSY)):
        with busy_processes(busy):
            rows += [Row(name, load, _times(calls, seconds)) for name, calls in _libraries(threads).items()]
    return launch, rows


@contextlib.contextmanager
def busy_processes(n: int) -> Iterator[None]:
    """So many processes that want a core each."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        time.sleep(0.2 if n else 0)  # until they run
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def table(launch: float, rows: list[Row], threads: int) -> Table:
    """Milliseconds of every call."""
    title = f"{threads} threads, a launch costs {launch:.2f} us; milliseconds of a call, median"
    made = Table("library", "load", *rows[0].times, title=title)
    for row in rows:
        made.add_row(row.library, row.load, *(f"{t * 1e3:.3f}" for t in row.times.values()))
    return made


def _libraries(threads: int) -> dict[str, dict[str, Callable[[], Any]]]:
    """Calls of every layer by library."""
    rng, ours, theirs = np.random.default_rng(0), {}, {}
    torch: Any = import_module("torch") if find_spec("torch") else None
    if torch:
        torch.set_num_threads(threads)
    for name, (channels, side, kernel) in LAYERS.items():
        x = rng.standard_normal((1, channels, side, side), np.float32)
        w = rng.standard_normal((channels, channels, kernel, kernel), np.float32)
        ours[name] = _our_call(x, w, kernel // 2, threads)
        if torch:
            theirs[name] = _torch_call(torch, x, w, kernel // 2)
    return {"fastconv": ours} | ({"torch": theirs} if torch else {})


def _our_call(x: np.ndarray, w: np.ndarray, padding: int, threads: int) -> Callable[[], Any]:
    def call() -> Any:
        with fastconv.num_threads(threads):  # which is of one Python thread
            return fastconv.conv2d(x, w, padding=padding)

    return call


def _torch_call(torch: Any, x: np.ndarray, w: np.ndarray, padding: int) -> Callable[[], Any]:
    tx, tw = torch.from_numpy(x), torch.from_numpy(w)
    return lambda: torch.nn.functional.conv2d(tx, tw, padding=padding)


def _times(calls: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """The columns."""
    small, large = calls["small"], calls["large"]
    times = {"small": _samples(small, seconds)}
    times |= {f"after {pause * 1e3:g} ms": _samples(small, seconds, pause) for pause in PAUSES}
    times[f"from {CALLERS} at once"] = _at_once(small, seconds)
    times["large"] = _samples(large, seconds)
    times[f"large, from {CALLERS} at once"] = _at_once(large, seconds)
    return {column: float(np.median(samples)) for column, samples in times.items()}


def _samples(call: Callable[[], Any], seconds: float, pause: float = 0.0) -> list[float]:
    """Seconds of calls with pauses between them."""
    settle()
    call()
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while len(samples) < LEAST or time.perf_counter() < end:
        if pause:
            time.sleep(pause)
        start = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start)
    return samples


def _at_once(call: Callable[[], Any], seconds: float) -> list[float]:
    """The same from several Python threads, all together."""
    with ThreadPoolExecutor(CALLERS) as pool:
        found = [pool.submit(_samples, call, seconds) for _ in range(CALLERS)]
        return [sample for samples in found for sample in samples.result()]
