"""``python -m bench compare``: fastconv against every installed peer, in the same rounds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape

import fastconv
from bench import subjects
from bench.adapter import Peer
from bench.checks import Candidate, check
from bench.measure import Cell, Forecast, interleave
from bench.oracle import Oracle
from bench.peers import PEERS, started
from bench.probe import Lookout
from bench.ratios import OURS, OURS_PREPARED, PEER, PEER_PREPARED
from bench.records import benchmark_of, extra_info
from bench.run import progress_bar
from bench.workloads import PASSES, Layer, Tensors, load_layers, make_tensors, matches

TEST = "bench/compare.py::compare"
SLOWEST_CALL = 4.0  # seconds; slower cells are left out
_CROWD = 0.4  # of a layer's time: a cell that has taken as much is not visited again only to have nine rounds


class Settings(NamedTuple):
    """What to compare."""

    layers: tuple[str, ...] = ()
    passes: tuple[str, ...] = PASSES
    peers: tuple[str, ...] = ()
    backends: tuple[str, ...] = ("auto",)
    max_kernel: int | None = None
    dtype: str = "float32"
    seconds: float = 1.0  # for the cells of one layer and pass together
    rounds: tuple[int, int] = (9, 40)
    seed: int = 0


class Comparer:
    """Checks and times all subjects and peers, layer by layer."""

    def __init__(self, settings: Settings, console: Console):
        self.settings, self.console = settings, console
        self.benchmarks: list[dict[str, Any]] = []
        self.left_out: list[dict[str, str]] = []
        self.forecast = Forecast()
        self.transforming: set[str] = set()
        self.rng = random.Random(settings.seed)
        self.threads: int = fastconv.get_num_threads()
        self.lookout = Lookout(self.threads)

    def run(self) -> list[dict[str, Any]]:
        """Measure; returns entries of pytest-benchmark's ``benchmarks`` list."""
        s = self.settings
        layers = load_layers(s.layers, s.max_kernel)
        for name in s.peers:
            if not any(matches(kind.name, [name]) for kind in PEERS):
                raise ValueError(f"peers: {name!r} fits none of {', '.join(kind.name for kind in PEERS)}")
        known = fastconv.list_backends()
        for name in s.backends:
            if name != "auto" and name not in known and not any(full.split("/")[0] == name for full in known):
                raise ValueError(f"backends: {name!r} is none of auto, {', '.join(known)}")
        peers = started(
            lambda peer: matches(peer.name, s.peers) and bool(s.peers or not peer.on_request),
            self.threads,
            self.console,
        )
        self.transforming = {peer.name for peer in peers if peer.transforms}
        self.console.print("Peers:", ", ".join(peer.name for peer in peers) or "none installed", highlight=False)
        groups = [(layer, pass_) for layer in layers for pass_ in s.passes]
        with progress_bar(self.console) as progress:
            task = progress.add_task("", total=len(groups))
            for layer, pass_ in groups:
                progress.update(task, description=f"{layer.name} {pass_}")
                self._measure(layer, pass_, peers)
                progress.advance(task)
        return self.benchmarks

    def _measure(self, layer: Layer, pass_: str, peers: Sequence[Peer]) -> None:
        s = self.settings
        tensors = make_tensors(layer, s.dtype, s.seed)
        oracle = Oracle(layer, pass_, tensors, s.seed)
        cells, errors, notes = [], {}, {}
        for candidate in self._candidates(layer, pass_, tensors, peers):
            cell, error = self._checked(candidate, layer, pass_, oracle)
            if cell is not None:
                cells.append(cell)
                errors[cell.name], notes[cell.name] = error, candidate.note
        interleave(cells, s.seconds, rounds=s.rounds, rng=self.rng, watch=self.lookout, patience=_CROWD * s.seconds)
        for cell in cells:
            self.forecast.learn((cell.name, pass_, layer.kind), self._work(cell.name, layer), min(cell.samples))
            extra = extra_info(layer, pass_, cell.name, s.dtype, errors[cell.name], self.threads)
            self.benchmarks.append(benchmark_of(cell, {**extra, "note": notes[cell.name]}, TEST))

    def _candidates(self, layer: Layer, pass_: str, tensors: Tensors, peers: Sequence[Peer]) -> list[Candidate]:
        found = []
        for backend in self.settings.backends:
            name = "fastconv" if backend == "auto" else backend
            call = subjects.call_of(layer, pass_, tensors, backend)
            found.append(Candidate(name, lambda call=call: call, note=OURS))  # type: ignore[misc]
            if pass_ == "forward":

                def planned(backend: str = backend) -> Callable[[], Any]:
                    return subjects.prepared_call_of(layer, tensors, backend)

                found.append(Candidate(f"{name} plan", planned, note=OURS_PREPARED))
        for peer in peers:

            def make(peer: Peer = peer) -> Callable[[], Any] | None:
                return peer.call(layer, pass_, tensors)

            found.append(Candidate(peer.name, make, peer.to_numpy, PEER_PREPARED if peer.prepared else PEER))
        return found

    def _checked(self, candidate: Candidate, layer: Layer, pass_: str, oracle: Oracle) -> tuple[Cell | None, float]:
        """A warmed-up cell and its error, or None where there is no right answer in time."""
        name = candidate.name
        kind, work = (name, pass_, layer.kind), self._work(name, layer)
        predicted = self.forecast.predict(kind, work)
        if predicted > SLOWEST_CALL:
            self._leave_out(name, layer, pass_, f"predicted to take {predicted:.1f} s a call")
            return None, 0.0
        verdict = check(candidate, oracle)
        if verdict.cell is not None and (took := verdict.cell.estimate) > SLOWEST_CALL:
            self.forecast.learn(kind, work, took)  # so that larger layers are not tried
            self._leave_out(name, layer, pass_, f"takes {took:.1f} s a call")
            return None, 0.0
        if verdict.reason:
            self._leave_out(name, layer, pass_, verdict.reason)
        return verdict.cell, verdict.error

    def _work(self, name: str, layer: Layer) -> int:
        """What the time of a peer is taken to grow with."""
        return layer.flops // (layer.kh * layer.kw) if name in self.transforming else layer.flops

    def _leave_out(self, name: str, layer: Layer, pass_: str, reason: str) -> None:
        self.left_out.append({"layer": layer.name, "pass": pass_, "backend": name, "reason": reason})
        style = "bold white on red" if reason.startswith("WRONG") else "yellow"
        self.console.print(f"[{style}]left out[/] {name}, {layer.name} {pass_}: {escape(reason)}")
