"""
``python -m bench calibrate``: what this machine can do, as fastconv's cost model wants to know it.

Every rate is the best of many short runs: the machine's ability, not its mood. All are measured in this
process, with fastconv's own loops where there is one for it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import fastconv
from fastconv.engines.records import ConvGeometry, pack
from fastconv.planning import rates as costs

DTYPES = ("float32", "float64")
_MEGABYTES = 64  # of each array that is copied, to be far beyond any cache
_GEMM = 768  # rows and columns of the product


def measure() -> dict[str, Any]:
    """
    Rates of this machine.

    Returns
    -------
    dict
        ``cpu``, ``date``, ``threads``, ``isa`` (of the compiled kernels); by dtype ``fma_gflops``, the
        multiply-add ceiling of one core, ``fma_gflops_all``, of all threads, and ``blas_gflops``, a matrix
        product for each thread; ``copy_gbs`` and ``copy_gbs_all``, bytes read and written by copies beyond
        the caches, of one thread and all; ``launch_us``, start and end of a parallel loop.
    """
    threads = fastconv.get_num_threads()
    return {
        "cpu": _cpu(),
        "date": datetime.now(UTC).date().isoformat(),
        "threads": threads,
        "isa": _isa(),
        "fma_gflops": {dtype: round(fma_gflops(dtype, 1), 1) for dtype in DTYPES},
        "fma_gflops_all": {dtype: round(fma_gflops(dtype, threads), 1) for dtype in DTYPES},
        "blas_gflops": {dtype: round(blas_gflops(dtype, threads) / threads, 1) for dtype in DTYPES},
        "copy_gbs": round(copy_gbs(1), 2),
        "copy_gbs_all": round(copy_gbs(threads), 2),
        "launch_us": round(launch_us(threads), 2),
    }


def save(rates: dict[str, Any], path: Path | None = None) -> Path:
    """Write rates as JSON to `path`, or to where fastconv reads them; the file is replaced in one step."""
    path = path or Path(costs.cache_dir()) / "rates.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".json")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(rates, file, indent=1)
    Path(name).replace(path)
    return path


def best_seconds(call: Callable[[], Any], seconds: float = 0.4, least: int = 5) -> float:
    """The shortest of the calls that fit into `seconds`, after one to warm up."""
    call()
    best, count, start = float("inf"), 0, time.perf_counter()
    while count < least or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - before)
        count += 1
    return best


def fma_gflops(
    dtype: str, threads: int, steps: int = 100_000, timed: Callable[[Callable[[], Any]], float] | None = None
) -> float:
    """
    Fused multiply-adds held in registers, counted as two operations each; GFLOP/s of `threads` cores.

    `timed` makes seconds of a call of so many `steps`; `best_seconds` does by default.
    """
    probe = _step("fma_probe", dtype)
    scratch = np.ones((threads, 1024), dtype)
    operations = probe(scratch, steps, threads)
    return float(operations / (timed or best_seconds)(lambda: probe(scratch, steps, threads)) / 1e9)


def blas_gflops(dtype: str, threads: int) -> float:
    """A square matrix product by NumPy's BLAS with `threads` threads; GFLOP/s of all together."""
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((_GEMM, _GEMM)).astype(dtype) for _ in range(2))
    out = np.empty_like(a)
    with threadpool_limits(threads, user_api="blas"):
        return 2 * _GEMM**3 / best_seconds(lambda: np.matmul(a, b, out=out)) / 1e9


def copy_gbs(threads: int) -> float:
    """Copies of large arrays, `threads` at a time; bytes read plus bytes written, in GB/s."""
    elements = _MEGABYTES * 2**20 // 4
    pairs = [(np.ones(elements, np.float32), np.empty(elements, np.float32)) for _ in range(threads)]
    total = 2 * threads * elements * 4
    if threads == 1:
        (source, target) = pairs[0]
        return total / best_seconds(lambda: np.copyto(target, source)) / 1e9
    with ThreadPoolExecutor(threads) as pool:  # copyto releases the interpreter lock
        return total / best_seconds(lambda: list(pool.map(lambda p: np.copyto(p[1], p[0]), pairs))) / 1e9


def launch_us(threads: int) -> float:
    """A parallel loop over next to nothing, less the same loop in one thread; microseconds."""
    if threads == 1:
        return 0.1
    step = _step("naive_forward", "float32")
    x, w, y = (np.ones(shape, np.float32) for shape in ((1, 1, 2, 2), (threads, 1, 1, 1), (1, threads, 2, 2)))

    geometry = pack(ConvGeometry(kh=1, kw=1, ow=2, sh=1, sw=1, pt=0, pl=0, dh=1, dw=1, g=1))

    def loop(count: int) -> Callable[[], None]:
        def many() -> None:
            for _ in range(50):
                step(x, w, y, geometry, count)

        return many

    return max(0.1, (best_seconds(loop(threads)) - best_seconds(loop(1))) / 50 * 1e6)


def _step(name: str, dtype: str) -> Any:
    """A step of the compiled engine, or of the other where the compiled one is absent or does not have it."""
    for engine in ("cython", "numba"):
        try:
            steps = fastconv.get_backend(f"naive/{engine}").steps(dtype)
        except ImportError:
            continue
        if hasattr(steps, name):
            return getattr(steps, name)
    raise RuntimeError(f"no engine has the step {name}")


def _isa() -> str | None:
    found: str | None = import_module("fastconv.engines.loader").isa()
    return found


def _cpu() -> str:
    info: Any = import_module("pytest_benchmark.plugin").get_cpu_info()
    return str(info.get("brand_raw", "unknown"))
