"""
Whole networks: every contestant's output is compared with PyTorch's in float64, then all are timed side by side.

Inference at batch 1 here; steps of training stand in whole_training.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape

import fastconv
from bench import zoo
from bench.measure import Cell, interleave
from bench.probe import Probe, probe
from bench.whole_peers import contestants
from bench.workloads import matches
from bench.zoo_torch import to_torch

#: Largest error of an output relative to the largest output: float32 through a hundred layers.
TOLERANCE = 2e-3


class Settings(NamedTuple):
    """What to measure and for how long."""

    networks: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()  # patterns of contestants, fastconv's own among them
    batches: tuple[int, ...] = (4,)  # of training
    inductor: bool = False
    seconds: float = 5.0  # for all contestants of one network together
    rounds: tuple[int, int] = (5, 40)
    seed: int = 0


class Record(NamedTuple):
    """
    One network in one task.

    Attributes
    ----------
    task : str
        ``"inference, batch 1"``, ``"training, batch 4"``, ...
    ours, peers : dict
        Contestant -> median seconds.
    errors : dict
        Contestant -> largest error relative to the largest number.
    """

    task: str
    network: str
    ours: dict[str, float]
    peers: dict[str, float]
    errors: dict[str, float]


class Trial(NamedTuple):
    """One contestant made ready: the call, and what its error is found by."""

    name: str
    ours: bool
    make: Callable[[], Callable[[], Any]]
    error: Callable[[Any], float]


class Measurer:
    """
    Checks and times network after network.

    Attributes
    ----------
    records : list of Record
    probes : list of (when, Probe)
        The state of the machine before the first network and after each.
    missing, wrong : list of str
        Peers that failed; wrong answers and failures of fastconv.
    """

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings, self.console = settings, console
        self.threads: int = fastconv.get_num_threads()
        self.rng = random.Random(settings.seed)
        self.records: list[Record] = []
        self.probes: list[tuple[str, Probe]] = []
        self.missing: list[str] = []
        self.wrong: list[str] = []
        torch.set_num_threads(self.threads)

    def inference(self) -> list[Record]:
        """Measure the networks at batch 1."""
        self._probe("before")
        for name, network in zoo.chosen(self.settings.networks).items():
            torch.compiler.reset()  # type: ignore[no-untyped-call]
            net = network.made(self.settings.seed)
            x = image(network, 1, self.settings.seed)
            self.compare("inference, batch 1", name, inference_trials(net, x, self.threads, self.settings))
            self._probe(f"after {name}")
        return self.records

    def compare(self, task: str, network: str, trials: Sequence[Trial], tolerance: float = TOLERANCE) -> None:
        """Check all trials, then time those that gave right answers."""
        cells, errors, ours = [], {}, set[str]()
        for trial in trials:
            with self.console.status(f"{network}, {task}: {trial.name}"):
                try:
                    call = trial.make()
                    errors[trial.name] = trial.error(call())
                except Exception as error:  # a peer that fails must not end the run
                    self._say(trial.ours, f"{trial.name}, {network}: {type(error).__name__}: {error}")
                    continue
                if not errors[trial.name] <= tolerance:
                    self._say(trial.ours, f"{trial.name}, {network}: error {errors[trial.name]:.1e}")
                    continue
                cells.append(Cell(trial.name, call))
                cells[-1].warm_up()
                ours |= {trial.name} if trial.ours else set()
        with self.console.status(f"{network}, {task}: timing"):
            interleave(cells, self.settings.seconds, rounds=self.settings.rounds, rng=self.rng)
        seconds = {cell.name: float(np.median(cell.samples)) for cell in cells}
        self.records.append(
            Record(
                task,
                network,
                {name: s for name, s in seconds.items() if name in ours},
                {name: s for name, s in seconds.items() if name not in ours},
                errors,
            )
        )
        worst = max(errors, key=lambda name: errors[name], default="nobody")
        self.console.print(f"{network}, {task}: largest error {errors.get(worst, 0):.1e}, {worst}", highlight=False)

    def _probe(self, when: str) -> None:
        self.probes.append((when, probe(self.threads)))
        self.console.print(f"{when}: {self.probes[-1][1]}", highlight=False)

    def _say(self, serious: bool, text: str) -> None:
        (self.wrong if serious else self.missing).append(text)
        style, word = ("bold white on red", "WRONG") if serious else ("yellow", "left out")
        self.console.print(f"[{style}]{word}[/] {escape(text)}")


def image(network: zoo.Network, n: int, seed: int) -> np.ndarray:
    """A batch of random images."""
    return np.random.default_rng(seed + 1).standard_normal((n, *network.image), dtype=np.float32)


def deviation(found: Any, wanted: Any) -> float:
    """Largest error relative to the largest number that is wanted; infinite for another shape or what is not finite."""
    a, b = np.asarray(found), np.asarray(wanted)
    if a.shape != b.shape or not np.isfinite(a).all():
        return float("inf")
    return float(np.max(np.abs(a - b)) / max(float(np.max(np.abs(b))), 1e-30))


def inference_trials(net: Any, x: np.ndarray, threads: int, settings: Settings) -> list[Trial]:
    """Everybody who was asked for."""
    module = to_torch(net)
    with torch.inference_mode():
        wanted = to_torch(net).double()(torch.from_numpy(x).double()).numpy()
    return [
        Trial(c.name, c.ours, lambda c=c: c.make(net, module, x, threads), lambda y: deviation(y, wanted))  # type: ignore[misc]
        for c in contestants()
        if (settings.inductor or not c.optional) and matches(c.name, settings.peers)
    ]
