"""
``python -m bench diff OLD NEW``: what became slower or faster between two runs, and what only seems so.

Two runs never saw the same machine. What all cells share is drift, not a change: it is taken from the peers where
both files have some (their code is the same), else from all cells. Whether drift that no peer vouches for is the
machine's or ours, the probes of the two runs decide. What is left differs between runs even for equal code (where
arrays lie, what a neighbour did): the spread of the unmoved half of the cells says by how much, and widens the
intervals that the rounds of each run give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table
from scipy.special import stdtr

from bench.bootstrap import Ratio, log_spread, middle
from bench.ratios import PEER, PEER_PREPARED

RATE = 0.01  # of false alarms among the alarms
_ENOUGH = 5  # cells from which on they say what drift is


class Times(NamedTuple):
    """
    One run as `diff` sees it.

    Attributes
    ----------
    ours, peers : dict
        Cell -> seconds, one for each round.
    probes : list of float
        Speed of the machine, GFLOP/s, wherever it was probed.
    """

    ours: dict[str, list[float]]
    peers: dict[str, list[float]]
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
        The drift is larger than what the probes explain, and nobody else vouches for it.
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
    ours: dict[str, list[float]] = {}
    peers: dict[str, list[float]] = {}
    for entry in doc.get("benchmarks", []):
        extra = entry.get("extra_info", {})
        mine = peers if extra.get("note") in (PEER, PEER_PREPARED) else ours
        mine[entry["fullname"].rpartition("::")[2]] = extra.get("round_seconds") or entry["stats"]["data"]
    for record in doc.get("records", []):
        samples = record.get("samples", {})
        for mine, found in ((ours, record["ours"]), (peers, record["peers"])):
            for name, seconds in found.items():
                mine[f"{record['problem']} {record['pass_']} {name}"] = samples.get(name) or [seconds]
    if not ours:
        raise ValueError("neither benchmarks nor records of networks: not a file of run, compare or networks")
    return Times(ours, peers, [probe["fma_gflops"] for probe in doc.get("probes", [])])


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
    errors = {cell: math.hypot(log_spread(old.ours[cell]), log_spread(new.ours[cell])) for cell in logs}
    usual = float(
        np.median(list(errors.values()))
    )  # few rounds tell a cell's spread badly: half of it is the usual one
    errors = {cell: math.hypot(error, usual) / math.sqrt(2) for cell, error in errors.items()}
    between = _between([log - drift for log in judges] if len(judges) >= _ENOUGH else [], list(errors.values()))
    changes, chances = [], []
    for cell, log in logs.items():
        error = math.hypot(errors[cell], between)
        moved = log - drift
        ratio = Ratio(*(math.exp(moved + z * error) for z in (0, -1.96, 1.96)))
        changes.append(Change(cell, float(np.median(old.ours[cell])), float(np.median(new.ours[cell])), ratio, False))
        # Student's distribution, since the spread is but estimated: from the middle half of the rounds, and the usual
        freedom = max(1, len(old.ours[cell]) + len(new.ours[cell]) - 4)
        chances.append(float(2 * stdtr(freedom, -abs(moved) / error)) if error else float(moved == 0))
    alarm = _alarms(chances)
    changes = [
        c._replace(found=sure and abs(math.log(c.ratio.value)) > least) for c, sure in zip(changes, alarm, strict=True)
    ]
    changes.sort(key=lambda c: -c.ratio.value)
    alone = source == "all cells" and machine is not None
    slower = alone and machine is not None and math.exp(drift) > machine.high * (1 + least)
    faster = alone and machine is not None and math.exp(drift) < machine.low / (1 + least)
    return Difference(changes, math.exp(drift), source, machine, slower, faster)


def _log_ratios(old: Mapping[str, Sequence[float]], new: Mapping[str, Sequence[float]]) -> dict[str, float]:
    common = [cell for cell in old if cell in new]
    return {cell: float(middle(np.log(new[cell])) - middle(np.log(old[cell]))) for cell in common}


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
                table.add_row(c.cell, *figures, f"{c.ratio.value:.3f}", f"{low} to {high}")
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
