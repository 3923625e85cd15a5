"""Steps of training, whole: forward, loss, backward, SGD; and an epoch of LeNet on scikit-learn's digits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import fastconv.torch  # isort: skip (it loads PyTorch so that its waiting threads do not spin)

import numpy as np
import torch
from torch.nn import functional

from bench import zoo
from bench.whole import Measurer, Trial, image
from bench.whole_peers import channels_last
from bench.workloads import matches
from bench.zoo_torch import to_torch
from fastconv import nn

RATE = 1e-3
#: Of the gradients: batch norm of few images and ReLU's kink enlarge what float32 rounds off, to some percent.
TOLERANCE = 0.2
LOSS_TOLERANCE = 1e-3

Step = Callable[[], float]
_LAYOUTS = (("", False), (" nhwc", True))


class Ours:
    """A network of `fastconv.nn` that learns."""

    def __init__(self, net: nn.Layer, rate: float = RATE) -> None:
        self.net = copy.deepcopy(net).train()
        self.loss = nn.SoftmaxCrossEntropy()
        self.optimiser = nn.SGD(self.net.parameters(), rate)

    def step(self, x: np.ndarray, labels: np.ndarray) -> float:
        """Loss before the step."""
        value = self.loss(self.net(x), labels)
        self.net.backward(self.loss.backward())
        self.optimiser.step()
        return float(value)

    def gradients(self) -> dict[tuple[int, ...], list[np.ndarray]]:
        """By shape: both sides name parameters in their own way, but in one order."""
        return _by_shape([p.grad for p in self.net.parameters()])


class Theirs:
    """The same network as a module of PyTorch that learns."""

    def __init__(self, net: nn.Layer, *, last: bool, replaced: bool, rate: float = RATE) -> None:
        module = to_torch(copy.deepcopy(net).train())
        self.layout = torch.channels_last if last else torch.contiguous_format
        if last:
            module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.module = fastconv.torch.replace_convolutions(module) if replaced else module
        self.optimiser = torch.optim.SGD(self.module.parameters(), rate)

    def step(self, x: torch.Tensor, labels: torch.Tensor) -> float:
        """Loss before the step."""
        self.optimiser.zero_grad()
        value = functional.cross_entropy(self.module(x), labels)
        value.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return float(value.detach())

    def gradients(self) -> dict[tuple[int, ...], list[np.ndarray]]:
        """As `Ours.gradients`."""
        return _by_shape([p.grad.numpy() for p in self.module.parameters() if p.grad is not None])


def _by_shape(arrays: list[np.ndarray]) -> dict[tuple[int, ...], list[np.ndarray]]:
    found: dict[tuple[int, ...], list[np.ndarray]] = {}
    for a in arrays:
        found.setdefault(a.shape, []).append(a)
    return found


def deviation(found: Any, wanted: Any) -> float:
    """Length of the error of all gradients together, relative to theirs."""
    if {k: len(v) for k, v in found.items()} != {k: len(v) for k, v in wanted.items()}:
        return float("inf")
    pairs = [(a, b) for shape in wanted for a, b in zip(found[shape], wanted[shape], strict=True)]
    error = sum(float(np.square(a - b, dtype=np.float64).sum()) for a, b in pairs)
    value = (error / sum(float(np.square(b, dtype=np.float64).sum()) for _, b in pairs)) ** 0.5
    return value if np.isfinite(value) else float("inf")


def steps(measurer: Measurer) -> None:
    """Measure a step of every network at every batch that was asked for."""
    s = measurer.settings
    measurer._probe("before")
    for name, network in zoo.chosen(s.networks).items():
        for n in s.batches:
            x, net = image(network, n, s.seed), network.made(s.seed)
            shape = net.output_shape(x.shape)
            labels = np.random.default_rng(s.seed).integers(0, shape[1], (n, *shape[2:]))
            measurer.compare(f"training, batch {n}", name, _trials(net, x, labels, s.peers), TOLERANCE)
        measurer._probe(f"after {name}")


def _trials(net: nn.Layer, x: np.ndarray, labels: np.ndarray, peers: tuple[str, ...]) -> list[Trial]:
    """The first step of each is compared with PyTorch's: its loss, then all gradients."""
    tx, tl = torch.from_numpy(x), torch.from_numpy(labels)
    first = Theirs(net, last=False, replaced=False)
    loss, wanted = first.step(tx, tl), first.gradients()
    found = []

    def trial(name: str, ours: bool, made: Callable[[], Any], a: Any, target: Any) -> Trial:
        side: list[Any] = []

        def make() -> Step:
            side.append(made())
            return lambda: float(side[0].step(a, target))

        def error(value: float) -> float:
            return deviation(side[0].gradients(), wanted) if abs(value / loss - 1) < LOSS_TOLERANCE else float("inf")

        return Trial(name, ours, make, error)

    for text, last in _LAYOUTS:
        ax = channels_last(x) if last else x
        found.append(trial(f"nn{text}", True, lambda: Ours(net), ax, labels))
    for replaced in (True, False):
        for text, last in _LAYOUTS:
            layout = torch.channels_last if last else torch.contiguous_format
            at = tx.contiguous(memory_format=layout)
            name = f"{'replaced' if replaced else 'torch'}{text}"
            found.append(
                trial(name, replaced, lambda r=replaced, q=last: Theirs(net, last=q, replaced=r), at, tl)  # type: ignore[misc]
            )
    return [t for t in found if matches(t.name, peers)]


def digits(measurer: Measurer) -> None:
    """An epoch of LeNet on scikit-learn's digits; errors are those of the losses of all steps."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = (data.images[:, None] / 16).astype(np.float32)
    net = zoo.lenet(np.random.default_rng(measurer.settings.seed), 8, 3)
    order = np.random.default_rng(measurer.settings.seed).permutation(len(x))
    batches = [(x[k], data.target[k].astype(np.int64)) for k in np.array_split(order, len(x) // 32)]
    tensors = [(torch.from_numpy(a), torch.from_numpy(t)) for a, t in batches]

    def epoch(made: Callable[[], Any], given: list[Any]) -> Callable[[], list[float]]:
        def call() -> list[float]:
            side = made()  # every epoch begins with the same weights
            return [side.step(*batch) for batch in given]

        return call

    sides: dict[str, Callable[[], list[float]]] = {
        "nn": epoch(lambda: Ours(net, 0.1), batches),
        "replaced": epoch(lambda: Theirs(net, last=False, replaced=True, rate=0.1), tensors),
        "torch": epoch(lambda: Theirs(net, last=False, replaced=False, rate=0.1), tensors),
    }
    wanted = np.array(sides["torch"]())

    def error(losses: list[float]) -> float:
        return float(np.abs(np.array(losses) - wanted).max() / wanted.max())

    found = [
        Trial(name, name != "torch", lambda call=call: call, error)  # type: ignore[misc]
        for name, call in sides.items()
        if matches(name, measurer.settings.peers)
    ]
    measurer.compare("an epoch", "digits", found, LOSS_TOLERANCE)
    measurer.console.print(f"digits: loss {wanted[0]:.4f} at first, {wanted[-5:].mean():.4f} at last", highlight=False)
