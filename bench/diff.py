"""
``python -m bench diff OLD NEW``: what became slower or faster between two runs, and what only seems so.

Two runs never saw the same machine. What all cells share is drift, not a change: it is taken from the peers where
both files have some (their code is the same), else from all cells. Whether drift that no peer vouches for is the
machine's or ours, the probes of the two runs decide. What is left differs between runs even for equal code (where
arrays lie, what a neighbour did). With several runs on each side their spread says by how much, cell by cell; with one
run each, the spread of the unmoved half of the cells does, which widens all intervals: on a shared machine 2 % are
usual, and 5 % can then not be told from chance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.markup import escape
from rich.table import Table
from scipy.special import stdtr

from bench.bootstrap import Ratio, log_spread, middle
from bench.ratios import PEER, PEER_PREPARED

RATE = 0.01  # of false alarms among the alarms
_ENOUGH = 5  # cells from which on they say what drift is


class Times(NamedTuple):
    """
    One or more runs of the same code as `diff` sees them.

    Attributes
    ----------
    ours, peers : dict
        Cell -> for each run, seconds, one for each round.
    probes : list of float
        Speed of the machine, GFLOP/s, wherever it was probed.
    """

    ours: dict[str, list[list[float]]]
    peers: dict[str, list[list[float]]]
    probes: list[float]


class Change(NamedTuple):
    """How many times as long a cell takes in the new run, drift taken out; `found` if that is no accident."""

    cell: str
    old: float
    new: float
    ratio: Ratio
    found: bool


class Difference(NamedTuple):
    """
    What `diff` found.

    Attributes
    ----------
    changes : list of Change
        Of our cells, the worst first.
    drift : float
        By which all times grew.
    source : str
        What the drift was taken from.
    machine : Ratio or None
        By how much the probes say that times should have grown.
    all_slower, all_faster : bool
        Times moved, by more than the probes explain, and nobody else vouches for it. A machine that became faster
        excuses nothing and accuses nobody: the multipliers' speed is not that of memory.
    """

    changes: list[Change]
    drift: float
    source: str
    machine: Ratio | None
    all_slower: bool
    all_faster: bool

    @property
    def slower(self) -> list[Change]:
        """Cells that became slower."""
        return [c for c in self.changes if c.found and c.ratio.value > 1]

    @property
    def faster(self) -> list[Change]:
        """Cells that became faster, the largest gain first."""
        return [c for c in self.changes[::-1] if c.found and c.ratio.value < 1]


def times_of(doc: Mapping[str, Any]) -> Times:
    """
    The times in a document of ``run``, ``compare``, ``networks`` or ``pytest bench``.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    ours: dict[str, list[list[float]]] = {}
    peers: dict[str, list[list[float]]] = {}
    for entry in doc.get("benchmarks", []):
        extra = entry.get("extra_info", {})
        mine = peers if extra.get("note") in (PEER, PEER_PREPARED) else ours
        mine[entry["fullname"].rpartition("::")[2]] = [extra.get("round_seconds") or entry["stats"]["data"]]
    for record in doc.get("records", []):
        samples = record.get("samples", {})
        for mine, found in ((ours, record["ours"]), (peers, record["peers"])):
            for name, seconds in found.items():
                mine[f"{record['problem']} {record['pass_']} {name}"] = [samples.get(name) or [seconds]]
    if not ours:
        raise ValueError("neither benchmarks nor records of networks: not a file of run, compare or networks")
    return Times(ours, peers, [probe["fma_gflops"] for probe in doc.get("probes", [])])


def load(path: Path) -> Times:
    """
    The runs of a JSON file, or of all those in a folder and below, which are then taken together.

    Raises
    ------
    ValueError
        If there are none, or one is no file of ``run``, ``compare`` or ``networks``.
    """
    paths = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    runs = [times_of(json.loads(file.read_text(encoding="utf-8"))) for file in paths]
    if not runs:
        raise ValueError(f"{path}: no JSON file in this folder")

    def together(name: str) -> dict[str, list[list[float]]]:
        found: dict[str, list[list[float]]] = {}
        for run in runs:
            for cell, rounds in getattr(run, name).items():
                found.setdefault(cell, []).extend(rounds)
        return found

    return Times(together("ours"), together("peers"), [speed for run in runs for speed in run.probes])


def compare(old: Times, new: Times, least: float = 0.02) -> Difference:
    """
    Hold two runs against each other.

    Parameters
    ----------
    old, new : Times
    least : float
        Changes below it are of no interest, however sure they are.

    Raises
    ------
    ValueError
        If the runs have no cell in common.
    """
    logs = _log_ratios(old.ours, new.ours)
    if not logs:
        raise ValueError("the two runs have no cell in common")
    shared = _log_ratios(old.peers, new.peers)
    machine = _machine(old.probes, new.probes)
    judges, source = list(logs.values()), "all cells"
    if len(shared) >= _ENOUGH:
        judges, source = list(shared.values()), "the peers"
    elif len(logs) < _ENOUGH:
        judges, source = ([math.log(machine.value)], "the probes") if machine else ([0.0], "nothing to tell it from")
    drift = float(np.median(judges))
    errors = {cell: math.hypot(_error(old.ours[cell]), _error(new.ours[cell])) for cell in logs}
    usual = float(
        np.median(list(errors.values()))
    )  # few rounds tell a cell's spread badly: half of it is the usual one
    errors = {cell: math.hypot(error, usual) / math.sqrt(2) for cell, error in errors.items()}
    single = any(len(side.ours[cell]) == 1 for side in (old, new) for cell in logs)
    residuals = [log - drift for log in judges] if single and len(judges) >= _ENOUGH else []
    between = _between(residuals, list(errors.values()))
    changes, chances = [], []
    for cell, log in logs.items():
        error = math.hypot(errors[cell], between)
        moved = log - drift
        ratio = Ratio(*(math.exp(moved + z * error) for z in (0, -1.96, 1.96)))
        changes.append(Change(cell, _median(old.ours[cell]), _median(new.ours[cell]), ratio, False))
        # Student's distribution, since the spread is but estimated: of runs, or half of the rounds, and the usual one
        freedom = _freedom(old.ours[cell]) + _freedom(new.ours[cell])
        chances.append(float(2 * stdtr(freedom, -abs(moved) / error)) if error else float(moved == 0))
    alarm = _alarms(chances)
    changes = [
        c._replace(found=sure and abs(math.log(c.ratio.value)) > least) for c, sure in zip(changes, alarm, strict=True)
    ]
    changes.sort(key=lambda c: -c.ratio.value)
    alone = source == "all cells" and machine is not None
    slower = alone and machine is not None and math.exp(drift) > max(1, machine.high) * (1 + least)
    faster = alone and machine is not None and math.exp(drift) < min(1, machine.low) / (1 + least)
    return Difference(changes, math.exp(drift), source, machine, slower, faster)


Runs = Sequence[Sequence[float]]


def _log_ratios(old: Mapping[str, Runs], new: Mapping[str, Runs]) -> dict[str, float]:
    return {cell: float(np.mean(_logs(new[cell])) - np.mean(_logs(old[cell]))) for cell in old if cell in new}


def _logs(runs: Runs) -> list[float]:
    """Where the rounds of each run lie."""
    return [float(middle(np.log(rounds))) for rounds in runs]


def _error(runs: Runs) -> float:
    """Standard error of the mean of `_logs`: by the runs' spread, or the rounds' where there is one run."""
    return log_spread(runs[0]) if len(runs) == 1 else float(np.std(_logs(runs), ddof=1)) / math.sqrt(len(runs))


def _freedom(runs: Runs) -> int:
    return max(1, len(runs[0]) - 2) if len(runs) == 1 else 2 * (len(runs) - 1)


def _median(runs: Runs) -> float:
    return float(np.median([seconds for rounds in runs for seconds in rounds]))


def _machine(old: Sequence[float], new: Sequence[float]) -> Ratio | None:
    """By how much times should have grown, from the speeds of the probes."""
    if not old or not new:
        return None
    log = float(middle(np.log(old)) - middle(np.log(new)))
    error = math.hypot(log_spread(old), log_spread(new))
    return Ratio(*(math.exp(log + z * error) for z in (0, -1.96, 1.96)))


def _between(residuals: Sequence[float], errors: Sequence[float]) -> float:
    """What runs of equal code differ by, beyond what their rounds show: from the middle half, so changes hide not."""
    if not residuals:
        return 0.0
    spread = 1.4826 * float(np.median(np.abs(residuals)))
    return math.sqrt(max(0.0, spread**2 - float(np.median(errors)) ** 2))


def _alarms(chances: Sequence[float]) -> list[bool]:
    """Benjamini and Hochberg (1995): of so many cells some look changed by chance; `RATE` of the alarms at most."""
    order = np.argsort(chances)
    steps = RATE * np.arange(1, len(chances) + 1) / len(chances)
    below = np.nonzero(np.asarray(chances)[order] <= steps)[0]
    limit = chances[order[below[-1]]] if len(below) else -1.0
    return [chance <= limit for chance in chances]


def tables(found: Difference) -> list[Table]:
    """What became slower, then what became faster; nothing where nothing did."""
    made = []
    for title, changes in (("slower", found.slower), ("faster", found.faster)):
        if changes:
            table = Table("cell", "old us", "new us", "times as long", "95 %", title=f"{len(changes)} {title}")
            for c in changes:
                low, high = f"{c.ratio.low:.3f}", f"{c.ratio.high:.3f}"
                figures = (f"{seconds * 1e6:.1f}" for seconds in (c.old, c.new))
                table.add_row(escape(c.cell), *figures, f"{c.ratio.value:.3f}", f"{low} to {high}")
            made.append(table)
    return made


def words(found: Difference) -> str:
    """One sentence on the cells, one on the drift."""
    count, moved = len(found.changes), len(found.slower) + len(found.faster)
    text = f"{count} cells: {len(found.slower)} slower, {len(found.faster)} faster, {count - moved} the same (~). "
    text += f"All together take {found.drift:.3f} times as long, judged by {found.source}"
    if found.machine:
        low, high = found.machine.low, found.machine.high
        text += f"; by the probes it should be {found.machine.value:.3f} ({low:.3f} to {high:.3f})"
    if found.all_slower or found.all_faster:
        text += f". EVERYTHING became {'slower' if found.all_slower else 'faster'} by more than the machine did"
    return text + "."
