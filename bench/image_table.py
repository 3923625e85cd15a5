"""``python -m bench images --full``: where the image filters stand against SciPy and OpenCV, cell by cell.

A cell's two sides run in the same rounds, fastconv with one thread and with two; its ratio is that of the shortest
samples, for a busy machine only ever adds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import fastconv
from bench.fits import geometric_mean, si
from bench.image_cells import Task, tasks
from bench.measure import Cell, interleave
from bench.workloads import matches

_LEVEL = {"SciPy": 0.95, "OpenCV": 0.9}  # below: behind
_ERROR = {"SciPy": 1e-5, "OpenCV": 1e-4}  # of the largest result, for floats; OpenCV sums large kernels by FFT
_SECONDS, _ROUNDS = 0.015, (3, 8)


@dataclass
class Contestant(Cell):
    """A cell with a number of threads of its own."""

    threads: int = 1

    def warm_up(self) -> None:
        with _threads(self):
            super().warm_up()

    def visit(self) -> None:
        with _threads(self):
            super().visit()


def _threads(cell: Contestant) -> Any:
    if find_spec("cv2"):
        import cv2

        cv2.setNumThreads(cell.threads)
    return fastconv.num_threads(cell.threads)


class Row(NamedTuple):
    """One cell with so many threads: seconds at best, and whether the numbers agree."""

    name: str
    function: str
    peer: str
    threads: int
    ours: float
    theirs: float
    right: bool

    @property
    def ratio(self) -> float:
        """How many times as fast as the peer."""
        return self.theirs / self.ours


def measure(task: Task, threads: Sequence[int] = (1, 2), seconds: float = _SECONDS) -> list[Row]:
    """A row for each number of threads; SciPy has one thread whatever the number."""
    ours, theirs = task.build()
    right = _agree(ours(), theirs(), task.peer)
    mine = [Contestant("fastconv", ours, threads=n) for n in threads]
    others = [Contestant(task.peer, theirs, threads=n) for n in (threads if task.peer == "OpenCV" else (1,))]
    for cell in (*mine, *others):
        cell.warm_up()
    interleave([*mine, *others], seconds * len(mine + others), rounds=_ROUNDS)
    best = [min(cell.samples) for cell in others] * (len(mine) // len(others))
    return [
        Row(task.name, task.function, task.peer, cell.threads, min(cell.samples), peer, right)
        for cell, peer in zip(mine, best, strict=True)
    ]


def _agree(got: Any, want: Any, peer: str) -> bool:
    """Whether results agree; whole numbers of OpenCV may be one off, for it computes some of them in fixed point."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if got.dtype.kind in "iu":
        return bool(np.abs(got.astype(np.int64) - want).max() <= (peer == "OpenCV"))
    return bool(np.abs(got - want).max() <= _ERROR[peer] * np.abs(want).max())


def tables(rows: Sequence[Row]) -> list[Table]:
    """A summary by function and peer, and the ten worst cells of each peer."""
    found = []
    for peer in dict.fromkeys(row.peer for row in rows):
        mine = [row for row in rows if row.peer == peer]
        table = Table(
            "", "cells", "geometric mean", "lowest", f"below {_LEVEL[peer]}", title=f"Times as fast as {peer}"
        )
        for function in dict.fromkeys(row.function for row in mine):
            for n in sorted({row.threads for row in mine}):
                some = [row for row in mine if (row.function, row.threads) == (function, n)]
                table.add_row(f"{function}, {n} thread{'s' * (n > 1)}", *_summary(some))
        table.add_section()
        table.add_row("all", *_summary(mine))
        worst = Table("cell", "threads", "fastconv", peer, "times as fast", title="The ten worst")
        for row in sorted(mine, key=lambda row: row.ratio)[:10]:
            worst.add_row(row.name, str(row.threads), si(row.ours, "s"), si(row.theirs, "s"), f"{row.ratio:.2f}")
        found += [table, worst]
    return found


def _summary(rows: Sequence[Row]) -> tuple[str, ...]:
    ratios = [row.ratio for row in rows]
    behind = sum(ratio < _LEVEL[rows[0].peer] for ratio in ratios)
    return str(len(ratios)), f"{geometric_mean(ratios):.2f}", f"{min(ratios):.2f}", str(behind)


def command(arguments: argparse.Namespace, console: Console) -> int:
    """Measure the cells whose name fits ``--filter``, print the tables, write ``--json``; 1 after a wrong answer."""
    chosen = [task for task in tasks() if matches(task.name, arguments.filter)]
    if not chosen:
        raise ValueError(f"--filter fits no cell: {' '.join(arguments.filter)}")
    threads = (arguments.threads,) if arguments.threads else (1, 2)
    rows = [row for task in track(chosen, "measuring", console=console) for row in measure(task, threads)]
    for table in tables(rows):
        console.print(table)
    if arguments.json:
        doc = [row._asdict() | {"ratio": row.ratio} for row in rows]
        arguments.json.write_text(json.dumps(doc, indent=1) + "\n", encoding="utf-8")
    wrong = [row.name for row in rows if not row.right]
    for name in dict.fromkeys(wrong):
        console.print(f"[bold white on red] DIFFERS [/] {name}", highlight=False)
    return 1 if wrong else 0
