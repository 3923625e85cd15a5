"""
``python -m bench networks``: all convolutions of whole networks, against every peer in the same rounds.

Each distinct layer is measured once and weighs as often as it occurs. "forward" takes the weights as they are,
"prepared" is a plan with bias and ReLU fused, "gradients" are those of input and weights. Our side runs once on
arrays with channels first and once on arrays with channels last; peers have their arrays as they like them
best, and the fastest of them counts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape

import fastconv
from bench import subjects
from bench.adapter import Peer
from bench.checks import Candidate, check
from bench.measure import interleave
from bench.oracle import FusedOracle, Oracle
from bench.peers import started
from bench.probe import Probe, probe
from bench.run import progress_bar
from bench.workloads import Layer, Tensors, load_networks, make_tensors, matches

#: What can be asked for -> (the passes that are timed, images at a time).
PASSES: dict[str, tuple[tuple[str, ...], int]] = {
    "forward": (("forward",), 1),
    "prepared": (("prepared",), 1),
    "gradients": (("grad_input", "grad_weight"), 4),
}
LAYOUTS = ("nchw", "nhwc")
PEERS = ("torch", "torch nhwc", "onnxruntime", "openvino", "openvino nhwc", "ncnn", "mnn", "litert xnnpack")
QUICK_NETWORKS = ("resnet18", "mobilenet_v2")


class Settings(NamedTuple):
    """What to measure and for how long."""

    networks: tuple[str, ...] = ()
    passes: tuple[str, ...] = tuple(PASSES)
    layouts: tuple[str, ...] = LAYOUTS
    peers: tuple[str, ...] = PEERS
    seconds: float = 0.2  # for the cells of one layer and pass together
    rounds: tuple[int, int] = (5, 40)
    seed: int = 0


class Record(NamedTuple):
    """
    One layer in one pass; seconds are medians.

    Attributes
    ----------
    problem : str
        What `fastconv.core.problem.parse` reads.
    pass_ : str
        ``"forward"``, ``"prepared"``, ``"grad_input"`` or ``"grad_weight"``.
    counts : dict
        Network -> how often the layer occurs in it.
    ours, backends : dict
        Layout -> seconds, and the backend that ran.
    peers : dict
        Peer -> seconds.
    samples : dict
        Layout or peer -> seconds, one for each round.
    """

    problem: str
    pass_: str
    counts: dict[str, int]
    ours: dict[str, float]
    backends: dict[str, str]
    peers: dict[str, float]
    samples: dict[str, list[float]]

    @property
    def best(self) -> float:
        """Seconds of the fastest peer; not a number without any."""
        return min(self.peers.values(), default=float("nan"))

    def loss(self, layout: str) -> float:
        """Seconds lost against the fastest peer, over all networks together."""
        return sum(self.counts.values()) * (self.ours[layout] - self.best)


class Measurer:
    """
    Checks and times layer after layer, network after network.

    Attributes
    ----------
    records : list of Record
    probes : list of (when, Probe)
        The state of the machine before the first network and after each.
    missing : list of str
        Rows that this version of fastconv cannot compute yet, and cells that could not be timed.
    wrong : list of str
        Wrong answers, and failures of fastconv itself.
    """

    def __init__(self, settings: Settings, console: Console):
        self.settings, self.console = settings, console
        self.threads: int = fastconv.get_num_threads()
        self.rng = random.Random(settings.seed)
        self.records: list[Record] = []
        self.probes: list[tuple[str, Probe]] = []
        self.missing: list[str] = []
        self.wrong: list[str] = []

    def run(self) -> list[Record]:
        """Measure everything; the progress bar goes to the console."""
        networks = load_networks(self.settings.networks)
        peers = started(lambda peer: matches(peer.name, self.settings.peers), self.threads, self.console)
        groups = list(self._groups(networks))
        with progress_bar(self.console) as progress:
            task = progress.add_task("", total=len(groups))
            self._probe("before")
            for index, (network, counts, layer, pass_) in enumerate(groups):
                progress.update(task, description=f"{network} {pass_}")
                self._measure(layer, pass_, counts, peers)
                progress.advance(task)
                if index + 1 == len(groups) or groups[index + 1][0] != network:
                    self._probe(f"after {network}")
        return self.records

    def _groups(self, networks: Mapping[str, Mapping[Layer, int]]) -> Iterator[tuple[str, dict[str, int], Layer, str]]:
        """Network, counts, layer and pass; a layer stands in the first network that has it."""
        passes = [(pass_, n) for name in self._possible() for pass_ in PASSES[name][0] for n in (PASSES[name][1],)]
        seen: set[Layer] = set()
        for network, layers in networks.items():
            for layer in layers:
                if layer not in seen:
                    seen.add(layer)
                    counts = {name: held[layer] for name, held in networks.items() if layer in held}
                    yield from ((network, counts, layer._replace(n=n), pass_) for pass_, n in passes)

    def _possible(self) -> list[str]:
        """The passes asked for, but those that this version of fastconv does not have."""
        passes = list(self.settings.passes)
        if "prepared" in passes and not subjects.takes(fastconv.plan_conv2d, "activation"):
            passes.remove("prepared")
            self._say(self.missing, "prepared: this version's plan_conv2d has no activation to fuse")
        return passes

    def _measure(self, layer: Layer, pass_: str, counts: dict[str, int], peers: Sequence[Peer]) -> None:
        s, problem = self.settings, str(layer.problem("float32"))
        tensors = make_tensors(layer, seed=s.seed)
        bias = np.random.default_rng(s.seed).standard_normal(layer.co, dtype=np.float32)
        fused = pass_ == "prepared"
        oracle = FusedOracle(layer, tensors, bias) if fused else Oracle(layer, pass_, tensors, s.seed)
        backends: dict[str, str] = {}
        candidates = [self._ours(layer, pass_, tensors, bias, layout, backends) for layout in s.layouts]
        for peer in peers:

            def make(peer: Peer = peer) -> Any:
                if fused:
                    return peer.fused_call(layer, tensors, bias)
                return None if peer.prepared else peer.call(layer, pass_, tensors)

            candidates.append(Candidate(peer.name, make, peer.to_numpy))
        cells = {}
        for candidate in candidates:
            verdict = check(candidate, oracle)
            if verdict.reason:
                serious = verdict.wrong or candidate.name in LAYOUTS
                text = f"{candidate.name}, {problem} {pass_}: {verdict.reason}"
                self._say(self.wrong if serious else self.missing, text)
            if verdict.cell is not None:
                cells[candidate.name] = verdict.cell
        interleave(list(cells.values()), s.seconds, rounds=s.rounds, rng=self.rng)
        seconds = {name: float(np.median(cell.samples)) for name, cell in cells.items()}
        ours = {layout: seconds.pop(layout) for layout in s.layouts if layout in seconds}
        samples = {name: list(cell.by_round().values()) for name, cell in cells.items()}
        self.records.append(Record(problem, pass_, counts, ours, backends, seconds, samples))

    def _ours(
        self, layer: Layer, pass_: str, tensors: Tensors, bias: np.ndarray, layout: str, backends: dict[str, str]
    ) -> Candidate:
        """Our side on arrays of one layout; making the call notes the backend."""
        lying = tensors.lying(layout)

        def make() -> Any:
            if pass_ != "prepared":
                backends[layout] = subjects.chosen(layer, pass_, layout)
                return subjects.call_of(layer, pass_, lying)
            more: dict[str, Any] = {"activation": "relu"}
            if subjects.takes(fastconv.plan_conv2d, "channels_last"):
                more["channels_last"] = layout == "nhwc"
            plan = fastconv.plan_conv2d(layer.x_shape, tensors.w, bias, **layer.options, **more)
            backends[layout] = plan.backend
            return lambda: plan(lying.x)

        return Candidate(layout, make)

    def _probe(self, when: str) -> None:
        self.probes.append((when, probe(self.threads)))
        self.console.print(f"{when}: {self.probes[-1][1]}", highlight=False)

    def _say(self, where: list[str], text: str) -> None:
        where.append(text)
        style = "bold white on red" if where is self.wrong else "yellow"
        self.console.print(f"[{style}]{'WRONG' if where is self.wrong else 'left out'}[/] {escape(text)}")
