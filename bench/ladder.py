"""The ladder of accuracy: error on one axis, speed on the other, for backends that trade one for the other."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import pyplot as plt
from rich.table import Table

import fastconv
from bench import peers, subjects
from bench.adapter import Peer
from bench.measure import Cell, interleave
from bench.oracle import Oracle
from bench.style import colour_of, save
from bench.workloads import load_layers, make_tensors

LAYERS = ("resnet_3x3_56", "vgg_c3_2", "vgg_c5", "resnet_3x3_s2", "resnet_1x1_up")
BACKENDS = ("split_bf16*/cython", "direct/cython", "winograd/cython")


class TorchBfloat16(peers.Torch):
    """PyTorch on bfloat16 copies of float32 tensors, made within the call."""

    name = "torch bf16"

    def call(self, layer, pass_, tensors):  # type: ignore[no-untyped-def]
        b16, stride, padding = self.torch.bfloat16, [layer.stride] * 2, list(layer.pads)
        x, w = (self.torch.from_numpy(a) for a in (tensors.x, tensors.w))
        conv2d, rest = self.torch.nn.functional.conv2d, ([layer.dilation] * 2, layer.groups)
        return lambda: conv2d(x.to(b16), w.to(b16), None, stride, padding, *rest).float()


class Rung(NamedTuple):
    """One forward pass: largest error relative to the largest value, median seconds, and operations."""

    layer: str
    name: str
    error: float
    seconds: float
    flops: int


def measure(patterns: Sequence[str], seconds: float, threads: int) -> list[Rung]:
    """Every rung of each layer, in interleaved rounds of `seconds` a layer."""
    others: list[Peer] = [peers.Torch(), TorchBfloat16()] if find_spec("torch") else []
    for peer in others:
        peer.start(threads)
    found = []
    for layer in load_layers(patterns or LAYERS):
        tensors = make_tensors(layer)
        oracle, cells, errors = Oracle(layer, "forward", tensors), [], []
        for name in subjects.backends(BACKENDS):
            if fastconv.get_backend(name).refuse(layer.problem("float32"), "forward") is None:
                cells.append(Cell(name, subjects.call_of(layer, "forward", tensors, name)))
                errors.append(oracle.error(np.asarray(cells[-1].call())))
        for peer in others:
            if (call := peer.call(layer, "forward", tensors)) is not None:
                cells.append(Cell(peer.name, call))
                errors.append(oracle.error(peer.to_numpy(call())))
        for cell in cells:
            cell.warm_up()
        interleave(cells, seconds)
        for cell, error in zip(cells, errors, strict=True):
            found.append(Rung(layer.name, cell.name, error, float(np.median(cell.samples)), layer.flops))
    return found


def table(rungs: Sequence[Rung]) -> Table:
    """Layer by layer, fastest first."""
    made = Table("layer", "", "error", "ms", "GFLOP/s", title="forward, unprepared weights")
    for r in sorted(rungs, key=lambda r: (r.layer, r.seconds)):
        made.add_row(r.layer, r.name, f"{r.error:.1e}", f"{r.seconds * 1e3:.3f}", f"{r.flops / r.seconds / 1e9:.0f}")
    return made


def draw(rungs: Sequence[Rung], folder: Path) -> str:
    """A panel for each layer; returns the chart's name."""
    layers = list(dict.fromkeys(r.layer for r in rungs))
    figure, axes = plt.subplots(
        1, len(layers), figsize=(3.2 * len(layers), 3.4), sharex=True, squeeze=False, layout="constrained"
    )
    for axis, layer in zip(axes[0], layers, strict=True):
        for r in (r for r in rungs if r.layer == layer):
            axis.plot(r.error, r.flops / r.seconds / 1e9, "o" if "/" in r.name else "^", color=colour_of(r.name))
            axis.annotate(
                r.name.split("/")[0],
                (r.error, r.flops / r.seconds / 1e9),
                (4, 4),
                textcoords="offset points",
                fontsize=8,
            )
        axis.set(xscale="log", title=layer, xlabel="largest error / largest value", ylim=(0, None))
        axis.margins(x=0.25)
    axes[0][0].set_ylabel("GFLOP/s")
    folder.mkdir(parents=True, exist_ok=True)
    return save(figure, folder, "ladder")
