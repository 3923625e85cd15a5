"""Cores that this process may use: its affinity, and the quota of its container."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_count() -> int:
    """Cores that this process may use, at least 1."""
    try:
        n = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this operating system
        n = os.cpu_count() or 1
    return max(1, min(n, cpu_quota() or n))


def cpu_quota(root: str = "/") -> int:
    """Cores that the control groups of this process grant it in sum, rounded up; 0 without a limit.

    Every group above a process limits it too. Within a container the tree often begins at the process's own group,
    whatever its name outside: a group that is not there is passed over, the root of the tree is always read.

    Parameters
    ----------
    root : str
        Where ``proc`` and ``sys`` are (tests have some of their own).
    """
    tree, limits = Path(root, "sys/fs/cgroup"), []
    for line in _text(Path(root, "proc/self/cgroup")).splitlines():
        _, controllers, name = line.split(":", 2)
        if not controllers:  # version 2
            hierarchy, read = tree, _version_2
        elif "cpu" in controllers.split(","):
            named = tree / controllers
            hierarchy, read = named if named.is_dir() else tree / "cpu", _version_1
        else:
            continue
        group = hierarchy / name.strip("/")
        while group.is_relative_to(hierarchy):
            limits.append(read(group))
            group = group.parent
    return min((n for n in limits if n), default=0)


def _version_2(group: Path) -> int:
    return _rounded_up(*_text(group / "cpu.max").split()[:2])


def _version_1(group: Path) -> int:
    return _rounded_up(_text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us"))


def _rounded_up(quota: str = "", period: str = "") -> int:
    """Cores of ``quota`` microseconds a ``period``; 0 where there is no limit ("max", "-1", or no file)."""
    try:
        return max(0, -(-int(quota) // int(period)))
    except (ValueError, ZeroDivisionError):
        return 0


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
