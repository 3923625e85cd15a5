"""The tuning file: which backend was fastest, by CPU, threads, versions and problem.

JSON, written by an atomic replace, one process at a time, under the latest content of the file, so that several can
share it and two files can be merged by hand. A damaged or unwritable file costs a warning, no more.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from ..core.problem import ConvProblem
from ..engines import loader
from .rates import cache_dir

_lock = threading.Lock()
_winners: dict[str, dict[str, str]] | None = None
_generation = 0


def winner(p: ConvProblem, pass_: str, threads: int) -> str:
    """Name of the backend that `remember` stored for a problem; empty if none."""
    return _read().get(machine_key(threads), {}).get(f"{p} {pass_}", "")


def remember(found: dict[tuple[ConvProblem, str], str], threads: int) -> None:
    """Store winners, ``{(problem, pass): backend name}``, here and in the tuning file."""
    global _generation, _winners
    new = {f"{p} {pass_}": name for (p, pass_), name in found.items()}
    with _lock, _alone():
        table = _load()
        for key, entries in (_winners or {}).items():
            table[key] = {**table.get(key, {}), **entries}
        table[machine_key(threads)] = {**table.get(machine_key(threads), {}), **new}
        _winners = table
        _generation += 1
        try:
            _save(table)
        except OSError as error:
            warnings.warn(f"tuning file {tuning_file()} could not be written ({error})", stacklevel=3)


def forget() -> None:
    """Drop what was read, so that the file is read again."""
    global _generation, _winners
    with _lock:
        _winners = None
        _generation += 1


def generation() -> int:
    """Changes whenever the winners do."""
    return _generation


def tuning_file() -> Path:
    """Path of the tuning file."""
    return cache_dir() / "tuning.json"


def machine_key(threads: int) -> str:
    """CPU, instruction set, threads and versions: figures are worth nothing beside another key."""
    return f"{cpu_name()} | {loader.isa() or 'numba'} | {threads} threads | {_versions()}"


@cache
def cpu_name() -> str:
    """The processor's own name where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    def of(name: str) -> str:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"{name} ?"

    return ", ".join(of(name) for name in ("fastconv", "numpy"))


@contextmanager
def _alone() -> Iterator[None]:
    """No other process reads, adds and writes meanwhile, where the system can lock a folder."""
    try:
        import fcntl

        tuning_file().parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(tuning_file().parent, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _read() -> dict[str, dict[str, str]]:
    global _winners
    if _winners is None:
        with _lock:
            if _winners is None:
                _winners = _load()
    return _winners


def _load() -> dict[str, dict[str, str]]:
    path = tuning_file()
    try:
        table = json.loads(path.read_text())
        if not (
            isinstance(table, dict)
            and all(isinstance(e, dict) for e in table.values())
            and all(isinstance(v, str) for e in table.values() for v in e.values())
        ):
            raise ValueError("not a table of winners")
        return table
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        warnings.warn(f"tuning file {path} is not usable ({error}); it is ignored", stacklevel=4)
        return {}


def _save(table: dict[str, Any]) -> None:
    path = tuning_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".json")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(table, file, indent=1, sort_keys=True)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
