"""``python -m bench run``: every backend, every layer, every pass; checked, timed, drawn."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import fastconv
from bench import subjects
from bench.measure import Cell, Forecast, interleave
from bench.oracle import Oracle
from bench.photo import photo_layers, photo_tensors
from bench.probe import Lookout
from bench.records import benchmark_of, extra_info
from bench.resume import Store
from bench.workloads import PASSES, Layer, Tensors, load_layers, make_tensors, matches

PHOTO_TEST = "bench/test_photograph.py::test_photograph"


class Settings(NamedTuple):
    """What to measure and for how long."""

    seconds: float = 190.0  # for all backends, checks and first calls included
    slowest: float = 1.0  # seconds of a call; what is predicted to take longer is left out
    rounds: tuple[int, int] = (9, 25)
    layers: tuple[str, ...] = ("sweep_*",)
    backends: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()  # patterns of "layer pass backend"
    passes: tuple[str, ...] = PASSES
    max_kernel: int | None = None
    dtype: str = "float32"
    seed: int = 0
    photo: bool = True
    networks: tuple[str, ...] | None = ()  # patterns; None for no networks
    around: bool = True  # scaling, scratch memory and phases, too


DEFAULT = Settings()
FULL = Settings(seconds=1800.0, slowest=10.0, rounds=(9, 100), layers=())
QUICK = Settings(
    seconds=6.0, slowest=0.1, rounds=(2, 4), layers=("sweep_k[1357]", "lenet_c2"), networks=None, around=False
)


def ensure_cells(settings: Settings) -> None:
    """
    Before anything is measured: whether the patterns leave anything to measure.

    Raises
    ------
    ValueError
        Naming the pattern that fits nothing.
    """
    backends, layers = subjects.backends(settings.backends), load_layers(settings.layers, settings.max_kernel)
    if not backends:
        raise ValueError(f"backends: {' '.join(settings.backends)} fits none of {', '.join(subjects.backends(()))}")
    names = [layer.name for layer in (*layers, *(photo_layers() if settings.photo else ()))]
    cells = (f"{name} {pass_} {backend}" for name in names for pass_ in settings.passes for backend in backends)
    if not any(matches(cell, settings.cells) for cell in cells):
        raise ValueError(
            f"filter: {' '.join(settings.cells)} fits no 'layer pass backend', such as 'sweep_k3 forward *'"
        )


@dataclass
class Outcome:
    """What a run brought: pytest-benchmark entries, and what has no time and why."""

    benchmarks: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    auto: list[dict[str, Any]] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)


def progress_bar(console: Console) -> Progress:
    """What is being measured, how far it is, how long it took and will take."""
    return Progress(
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


class _Group(NamedTuple):
    """Cells that are measured side by side: one pass over one layer."""

    layer: Layer
    pass_: str
    test: str | None = None

    @property
    def key(self) -> str:
        """Its name in the file of an interrupted run."""
        return f"{self.layer.name} {self.pass_}"


class Runner:
    """Measures group after group and keeps to the time it was given; `store` keeps what is done, for a next run."""

    def __init__(self, settings: Settings, console: Console, store: Store | None = None):
        self.settings, self.console = settings, console
        self.threads: int = fastconv.get_num_threads()
        self.outcome = Outcome()
        self.forecast = Forecast()
        self.lookout = Lookout(self.threads)
        self.rng = random.Random(settings.seed)
        self.store = store

    def run(self) -> Outcome:
        """Measure everything; the progress bar goes to the console."""
        groups = self._left(self._groups())
        deadline = time.monotonic() + self.settings.seconds
        with progress_bar(self.console) as progress:
            task = progress.add_task("", total=len(groups))
            for index, group in enumerate(groups):
                progress.update(task, description=group.key)
                left = max(0.0, deadline - time.monotonic())
                self._measure(group, left / (len(groups) - index))
                if self.store is not None:
                    self.store.add(group.key, self.outcome)
                progress.advance(task)
        return self.outcome

    def _left(self, groups: list[_Group]) -> list[_Group]:
        """Groups that an interrupted run has not done; those it has done are in the outcome, and teach the forecast."""
        if self.store is None or not (count := self.store.load(self.outcome)):
            return groups
        self.console.print(f"Going on after {count} of {len(groups)} groups, from {self.store.path.name}.")
        kinds = {group.layer.name: group.layer for group in groups}
        for entry in self.outcome.benchmarks:
            extra, layer = entry["extra_info"], kinds[entry["extra_info"]["layer"]]
            self.forecast.learn((extra["backend"], extra["pass"], layer.kind), layer.flops, entry["stats"]["min"])
        return [group for group in groups if group.key not in self.store.groups]

    def _groups(self) -> list[_Group]:
        s = self.settings
        layers = load_layers(s.layers, s.max_kernel)
        groups = [_Group(layer, pass_) for layer in layers for pass_ in s.passes]
        if s.photo and "forward" in s.passes:
            groups += [_Group(layer, "forward", PHOTO_TEST) for layer in photo_layers()]
        return groups

    def _measure(self, group: _Group, seconds: float) -> None:
        """Check and time all backends on one group, in about `seconds`."""
        layer, pass_, test = group
        start = time.monotonic()
        candidates = self._candidates(layer, pass_)
        if not candidates:
            return
        dtype = self.settings.dtype
        tensors = photo_tensors(layer, dtype) if test else make_tensors(layer, dtype, self.settings.seed)
        oracle = Oracle(layer, pass_, tensors, self.settings.seed)
        errors: dict[str, float] = {}
        first: dict[str, float] = {}
        cells = []
        for backend in candidates:
            cell = self._checked_cell(backend, group, tensors, oracle, errors, first)
            if cell is not None:
                cells.append(cell)
        left = max(0.0, seconds - (time.monotonic() - start))
        seen = len(self.lookout.glances)
        busy = interleave(cells, left, rounds=self.settings.rounds, rng=self.rng, watch=self.lookout)
        for glance in self.lookout.glances[seen:]:
            self.outcome.probes.append({"layer": layer.name, "pass": pass_, **glance._asdict()})
        chosen = subjects.chosen(layer, pass_, dtype=dtype)
        self.outcome.auto.append({"layer": layer.name, "pass": pass_, "backend": chosen})
        for cell in cells:
            self.forecast.learn((cell.name, pass_, layer.kind), layer.flops, min(cell.samples))
            extra = extra_info(layer, pass_, cell.name, dtype, errors[cell.name], self.threads)
            extra |= {"first_seconds": first[cell.name], "busy_rounds": [r for r in busy if r in cell.rounds]}
            entry = benchmark_of(cell, extra, test) if test else benchmark_of(cell, extra)
            self.outcome.benchmarks.append(entry)

    def _candidates(self, layer: Layer, pass_: str) -> list[str]:
        """Backends that take the layer and are expected to answer in time; the quickest one in any case."""
        predicted = {}
        for backend in subjects.backends(self.settings.backends):
            if not matches(f"{layer.name} {pass_} {backend}", self.settings.cells):
                continue
            reason = subjects.refusal(backend, layer, pass_, self.settings.dtype)
            if reason is None:
                predicted[backend] = self.forecast.predict((backend, pass_, layer.kind), layer.flops)
            else:
                where = {"layer": layer.name, "pass": pass_, "backend": backend}
                self.outcome.refused.append({**where, "reason": reason})
        limit = max(self.settings.slowest, min(predicted.values(), default=0.0))
        for backend, time_ in predicted.items():
            if time_ > limit:
                where = {"layer": layer.name, "pass": pass_, "backend": backend}
                self.outcome.skipped.append({**where, "predicted_seconds": time_})
        return [backend for backend, time_ in predicted.items() if time_ <= limit]

    def _checked_cell(
        self,
        backend: str,
        group: _Group,
        tensors: Tensors,
        oracle: Oracle,
        errors: dict[str, float],
        first: dict[str, float],
    ) -> Cell | None:
        """A warmed-up cell, or None when its answer is wrong; the first call, which may compile, is timed apart."""
        layer, pass_, _ = group
        where = {"layer": layer.name, "pass": pass_, "backend": backend}
        cell = Cell(backend, subjects.call_of(layer, pass_, tensors, backend))
        try:
            start = time.perf_counter()
            result = np.asarray(cell.call())
            first[backend] = time.perf_counter() - start
        except fastconv.BackendRefused as refusal:
            self.outcome.refused.append({**where, "reason": str(refusal)})
            return None
        except Exception as failure:  # one broken backend must not end the measurement of the others
            self._reject(where, f"{type(failure).__name__}: {failure}")
            return None
        errors[backend] = error = oracle.error(result)
        if not oracle.accepts(error):
            self._reject(where, f"error {error:.1e}")
            return None
        cell.warm_up()
        return cell

    def _reject(self, where: dict[str, str], error: str) -> None:
        """Say loudly that an answer is wrong; it gets no time."""
        self.outcome.wrong.append({**where, "error": error})
        self.console.print("[bold white on red] WRONG [/]", *where.values(), escape(error))
