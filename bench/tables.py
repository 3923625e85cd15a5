"""The tables that a run prints at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from bench.fits import fastest, geometric_mean, si, times_of
from bench.records import Row
from bench.style import ordered
from bench.workloads import PASSES


class Summary:
    """
    What each backend achieved, over the cells that were measured.

    Columns: cells measured and won; for each pass the geometric mean of its time as a multiple of the fastest
    backend's; the best effective speed; the largest error; cells refused, left out as too slow, and wrong.

    Attributes
    ----------
    header : list of str
    lines : list of list of str
        One line for each backend.
    """

    def __init__(self, rows: Sequence[Row], missing: dict[str, list[dict[str, Any]]]):
        passes = [pass_ for pass_ in PASSES if any(row.pass_ == pass_ for row in rows)]
        best = {cell: min(row.median for row in group) for cell, group in _by_cell(rows).items()}
        self.header = ["backend", "cells", "wins", *passes, "GFLOP/s", "error", "refused", "slow", "wrong"]
        self.lines = []
        backends = {row.backend for row in rows} | {x["backend"] for group in missing.values() for x in group}
        for name in ordered(backends):
            mine = [row for row in rows if row.backend == name]
            line = [name, str(len(mine)), str(sum(row.median == best[row.layer, row.pass_] for row in mine))]
            for pass_ in passes:
                ratios = [row.median / best[row.layer, pass_] for row in mine if row.pass_ == pass_]
                line.append(f"{geometric_mean(ratios):.3g}" if ratios else "-")
            line.append(f"{max(row.gflops for row in mine):.0f}" if mine else "-")
            line.append(f"{max(row.error for row in mine):.1e}" if mine else "-")
            for kind in ("refused", "skipped", "wrong"):
                line.append(str(sum(entry["backend"] == name for entry in missing.get(kind, []))))
            self.lines.append(line)

    def table(self) -> Table:
        """For the terminal."""
        table = Table(
            title="Every backend (by pass: its time as a multiple of the fastest, geometric mean)",
            box=SIMPLE,
            padding=(0, 1, 0, 0),
        )
        for i, heading in enumerate([*self.header[:-3], "no time"]):
            split = heading.replace("grad_", "grad_\n").replace("no ", "no\n")
            table.add_column(split, justify="left" if i == 0 else "right", no_wrap=True)
        for line in self.lines:
            refused, slow, wrong = map(int, line[-3:])
            style = "bold red" if wrong else None
            table.add_row(*line[:-3], str(refused + slow + wrong), style=style)
        return table


def _by_cell(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row.layer, row.pass_), []).append(row)
    return cells


def winners_table(rows: Sequence[Row]) -> Table | None:
    """The fastest backend at each kernel size of the sweep, with its time; None without a sweep."""
    sweep = [row for row in rows if row.in_sweep]
    if not sweep:
        return None
    table = Table(title="The fastest backend at each kernel size (median time)", box=SIMPLE)
    table.add_column("kernel", justify="right")
    columns = {}
    for pass_ in PASSES:
        if chosen := [row for row in sweep if row.pass_ == pass_]:
            table.add_column(pass_, no_wrap=True)
            times = times_of(chosen)
            columns[pass_] = {k: f"{name}  {si(times[name][k], 's')}" for k, name in fastest(times).items()}
    for k in sorted({row.kernel for row in sweep}):
        table.add_row(f"{k}x{k}", *(column.get(k, "-") for column in columns.values()))
    return table
