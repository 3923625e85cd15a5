"""How many times as fast as the others: speed-ups of one subject over peers, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.fits import geometric_mean
from bench.records import Row
from bench.workloads import PASSES

OURS, OURS_PREPARED, PEER, PEER_PREPARED = "ours", "ours prepared", "peer", "peer prepared"


class Comparison(NamedTuple):
    """
    One subject in one pass against all peers that compute the same.

    Attributes
    ----------
    subject : str
        The backend or plan that is compared.
    pass_ : str
    prepared : bool
        Whether weights are prepared; if so, peers that prepare theirs take part.
    times : dict
        Layer -> (subject's seconds, {peer: seconds}), smallest operation count first.
    """

    subject: str
    pass_: str
    prepared: bool
    times: dict[str, tuple[float, dict[str, float]]]

    @property
    def title(self) -> str:
        """Pass, whether weights are prepared, and the subject if it is a backend chosen by name."""
        subject = "" if self.subject in ("fastconv", "fastconv plan") else f"{self.subject} "
        return f"{subject}{self.pass_}{', prepared' if self.prepared else ''}"

    @property
    def peers(self) -> list[str]:
        """Peers of at least one layer, in the order they were met."""
        return list(dict.fromkeys(peer for _, others in self.times.values() for peer in others))

    def speedup(self, layer: str, peer: str) -> float | None:
        """Time of `peer` over the subject's time, or None where the peer has no time."""
        mine, others = self.times[layer]
        return others[peer] / mine if peer in others else None

    def over_best(self, layer: str) -> float:
        """Speed-up over the fastest peer of the layer."""
        mine, others = self.times[layer]
        return min(others.values()) / mine

    def best_peer(self, layer: str) -> str:
        """The fastest peer of the layer."""
        others = self.times[layer][1]
        return min(others, key=lambda peer: others[peer])

    def mean(self, peer: str | None = None) -> float:
        """Geometric mean of the speed-ups over `peer`, or over the best peer of each layer."""
        if peer is None:
            return geometric_mean(self.over_best(layer) for layer in self.times)
        found = (self.speedup(layer, peer) for layer in self.times)
        return geometric_mean(value for value in found if value is not None)

    def worst(self, count: int = 3) -> list[str]:
        """The layers with the smallest speed-up over the best peer, the worst first."""
        return sorted(self.times, key=self.over_best)[:count]


def comparisons(rows: Sequence[Row]) -> list[Comparison]:
    """Every subject and pass of `rows` that has a peer; unprepared subjects meet unprepared peers only."""
    found = []
    for pass_ in PASSES:
        chosen = (row for row in rows if row.pass_ == pass_)
        mine = sorted(chosen, key=lambda row: (row.in_sweep, row.flops))
        subjects = dict.fromkeys((r.backend, r.note) for r in mine if r.note in (OURS, OURS_PREPARED))
        for subject, note in subjects:
            allowed = (PEER,) if note == OURS else (PEER, PEER_PREPARED)
            times = {}
            for row in mine:
                if (row.backend, row.note) != (subject, note):
                    continue
                others = {r.backend: r.median for r in mine if r.layer == row.layer and r.note in allowed}
                if others:
                    times[row.layer] = (row.median, others)
            if times:
                found.append(Comparison(subject, pass_, note == OURS_PREPARED, times))
    return found
