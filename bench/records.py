"""Measurements as files: pytest-benchmark's JSON and CSV out, rows for charts and tables back in."""

from __future__ import annotations

import csv
import json
import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest_benchmark

from bench.measure import Cell
from bench.workloads import Layer
from fastconv.engines import loader

# pytest-benchmark has no type annotations.
_Stats: Any = import_module("pytest_benchmark.stats").Stats
_machine_info: Any = import_module("pytest_benchmark.plugin").pytest_benchmark_generate_machine_info
_commit_info: Any = import_module("pytest_benchmark.utils").get_commit_info

TEST_FILE = "bench/test_convolution.py::test_convolution"
_VERSIONS_OF = (
    "fastconv",
    "numpy",
    "scipy",
    "numba",
    "torch",
    "onnxruntime",
    "openvino",
    "jax",
    "opencv-python-headless",
    "ncnn",
    "MNN",
    "ai-edge-litert",
    "pyfftw",
)
_VARIABLES = ("FASTCONV_", "OPENBLAS_", "OMP_", "MKL_", "NUMBA_", "ONEDNN_", "XLA_FLAGS")


class Row(NamedTuple):
    """One measured cell, as charts and tables see it: seconds, and an error relative to the largest value."""

    layer: str
    pass_: str
    backend: str
    kernel: int
    flops: int
    bytes: int
    median: float
    q1: float
    q3: float
    rounds: int
    error: float
    dtype: str
    note: str = ""

    @property
    def in_sweep(self) -> bool:
        """Whether the cell belongs to the sweep of kernel sizes."""
        return self.layer.startswith("sweep_")

    @property
    def gflops(self) -> float:
        """Nominal operations per second, in units of 1e9."""
        return self.flops / self.median / 1e9


def environment(threads: int) -> dict[str, Any]:
    """Versions, threads, caches, instruction sets, BLAS builds, load, and the variables that change a measurement."""
    versions = {"python": platform.python_version()}
    for name in _VERSIONS_OF:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    variables = {
        key: value for key, value in sorted(os.environ.items()) if key.startswith(_VARIABLES) and "/" not in value
    }
    return {
        "threads": threads,
        "cores": os.cpu_count(),
        "versions": versions,
        "blas": _blas(),
        "variables": variables,
        "isa": loader.isa(),
        "caches": _caches(),
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else [],
        "system": f"{platform.system()} {platform.machine()}",
    }


def _caches() -> dict[str, str]:
    """Size of each cache of the first core, where Linux tells it."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        found[f"L{level} {kind.lower()}"] = size
    return found


def _blas() -> list[str]:
    import scipy.linalg  # noqa: F401  (loads SciPy's own copy of BLAS, so that it is listed)
    from threadpoolctl import threadpool_info

    return [
        f"{pool['internal_api']} {pool.get('version')}, kernels for {pool.get('architecture')}, "
        f"{pool['num_threads']} threads"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]


def extra_info(layer: Layer, pass_: str, backend: str, dtype: str, error: float, threads: int) -> dict[str, Any]:
    """What a record says beside its times; everything in it is plain JSON."""
    return {
        "layer": layer.name,
        "pass": pass_,
        "backend": backend,
        "dtype": dtype,
        "x_shape": list(layer.x_shape),
        "w_shape": list(layer.w_shape),
        "y_shape": list(layer.y_shape),
        **{key: list(value) if isinstance(value, tuple) else value for key, value in layer.options.items()},
        "kernel": layer.kernel,
        "flops": layer.flops,
        "bytes": layer.traffic(dtype),
        "max_error": error,
        "threads": threads,
    }


def benchmark_of(cell: Cell, extra: dict[str, Any], test: str = TEST_FILE) -> dict[str, Any]:
    """A measured cell as an entry of pytest-benchmark's ``benchmarks`` list."""
    stats = _Stats()
    for sample in cell.samples:
        stats.update(sample)
    by_round = cell.by_round() if cell.rounds else dict(enumerate(cell.samples))
    param = f"{extra['pass']}-{extra['layer']}-{extra['backend']}"
    return {
        "group": f"{extra['pass']} {extra['layer']}",
        "name": f"{test.rsplit('::', 1)[-1]}[{param}]",
        "fullname": f"{test}[{param}]",
        "params": {"pass_": extra["pass"], "layer": extra["layer"], "backend": extra["backend"]},
        "param": param,
        "extra_info": {
            **extra,
            "gflops": extra["flops"] / stats.median / 1e9,
            "rounds": list(by_round),
            "round_seconds": list(by_round.values()),
        },
        "options": {"disable_gc": True, "timer": "perf_counter", "interleaved": True},
        "stats": {**stats.as_dict(), "data": stats.data, "iterations": cell.iterations},
    }


def document(benchmarks: list[dict[str, Any]], threads: int, **more: Any) -> dict[str, Any]:
    """
    The JSON document that pytest-benchmark would have written, with the environment and `more` at its top.
    """
    machine = _machine_info()
    machine["node"] = ""  # the name of a machine says nothing about its speed
    return {
        "machine_info": machine,
        "commit_info": _commit_info("fastconv"),
        "benchmarks": benchmarks,
        "datetime": datetime.now(UTC).isoformat(),
        "version": pytest_benchmark.__version__,
        "environment": environment(threads),
        **more,
    }


def save(path: Path, doc: dict[str, Any]) -> None:
    """Write `doc` as JSON."""
    path.write_text(json.dumps(doc, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> dict[str, Any]:
    """
    Read a document written by `save` or by ``pytest --benchmark-json``.

    Raises
    ------
    ValueError
        If the file is not a pytest-benchmark document.
    """
    doc = load_any(path)
    if "benchmarks" not in doc:
        raise ValueError(f"{path}: not a pytest-benchmark JSON file")
    return doc


def load_any(path: Path) -> dict[str, Any]:
    """Read the JSON of any command; `ValueError` if it is something else."""
    doc = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(doc, dict):
        raise ValueError(f"{path}: not a JSON file of the benchmarks")
    return doc


def rows_of(doc: Mapping[str, Any]) -> list[Row]:
    """The measured cells of a document; entries that are not convolutions of this suite are passed over."""
    rows = []
    for entry in doc["benchmarks"]:
        extra, stats = entry.get("extra_info", {}), entry["stats"]
        if "flops" not in extra:
            continue
        rows.append(
            Row(
                extra["layer"],
                extra["pass"],
                extra["backend"],
                extra["kernel"],
                extra["flops"],
                extra["bytes"],
                stats["median"],
                stats["q1"],
                stats["q3"],
                stats["rounds"],
                extra["max_error"],
                extra["dtype"],
                extra.get("note", ""),
            )
        )
    return rows


def save_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV; times in seconds, one line for each cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*(field.rstrip("_") for field in Row._fields), "gflops"])
        writer.writerows([*row, f"{row.gflops:.3f}"] for row in rows)
