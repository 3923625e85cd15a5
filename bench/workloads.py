"""Which convolutions are measured: layers of known networks, a sweep of kernel sizes, and plain images."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastconv.core.problem import ConvProblem

PASSES = ("forward", "grad_input", "grad_weight")
IMAGE_KERNELS = (3, 5, 7, 9, 11, 15, 21, 31, 45, 63)


class Layer(NamedTuple):
    """One convolution: n images of ci channels, h x w; co outputs, kernel kh x kw; options as in `conv2d`."""

    name: str
    n: int
    ci: int
    h: int
    w: int
    co: int
    kh: int
    kw: int
    stride: int = 1
    padding: int | tuple[int, int] = 0
    dilation: int = 1
    groups: int = 1
    padding_mode: str = "zeros"

    @property
    def pads(self) -> tuple[int, int]:
        """Zero rows above and below, zero columns left and right."""
        return (self.padding, self.padding) if isinstance(self.padding, int) else self.padding

    @property
    def out_size(self) -> tuple[int, int]:
        """Rows and columns of the output."""
        ph, pw = self.pads
        oh = (self.h + 2 * ph - self.dilation * (self.kh - 1) - 1) // self.stride + 1
        ow = (self.w + 2 * pw - self.dilation * (self.kw - 1) - 1) // self.stride + 1
        return oh, ow

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input, (N, Ci, H, W)."""
        return self.n, self.ci, self.h, self.w

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        """Shape of the weights, (Co, Ci / groups, KH, KW)."""
        return self.co, self.ci // self.groups, self.kh, self.kw

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        """Shape of the output, (N, Co, OH, OW)."""
        return self.n, self.co, *self.out_size

    @property
    def kernel(self) -> int:
        """The longer side of the kernel."""
        return max(self.kh, self.kw)

    @property
    def kind(self) -> str:
        """``"grouped"``, ``"plane"`` (one input channel) or ``"dense"``."""
        return "grouped" if self.groups > 1 else "plane" if self.ci == 1 else "dense"

    @property
    def in_sweep(self) -> bool:
        """Whether the layer belongs to the sweep of kernel sizes."""
        return self.name.startswith("sweep_")

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of `fastconv.conv2d` and its gradients."""
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
            "padding_mode": self.padding_mode,
        }

    @property
    def flops(self) -> int:
        """Nominal operations of any of the three passes: a multiplication and an addition per tap."""
        oh, ow = self.out_size
        return 2 * self.n * self.co * oh * ow * (self.ci // self.groups) * self.kh * self.kw

    def problem(self, dtype: str) -> ConvProblem:
        """The layer as fastconv's planner sees it; `str` of it is a name that says everything."""
        return ConvProblem.from_shapes(self.x_shape, self.w_shape, dtype=dtype, **self.options)

    def traffic(self, dtype: str) -> int:
        """Bytes of compulsory memory traffic: input, weights and output, each once."""
        elements = sum(int(np.prod(shape)) for shape in (self.x_shape, self.w_shape, self.y_shape))
        return elements * np.dtype(dtype).itemsize


class Tensors(NamedTuple):
    """The arrays of one layer: x (N, Ci, H, W), w (Co, Ci / groups, KH, KW) and dy (N, Co, OH, OW)."""

    x: np.ndarray
    w: np.ndarray
    dy: np.ndarray

    def lying(self, layout: str) -> Tensors:
        """The same numbers with the channels of x and dy first (``"nchw"``) or last (``"nhwc"``) in memory."""
        if layout == "nchw":
            return self
        return self._replace(x=channels_last(self.x), dy=channels_last(self.dy))


def channels_last(a: np.ndarray) -> np.ndarray:
    """A copy of `a` (N, C, H, W), of the same shape, whose channels lie last in memory."""
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether `name` fits one of the shell-style `patterns`; no patterns fit everything."""
    patterns = list(patterns)
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def image_layers() -> list[Layer]:
    """One-channel 1024x1024 images, kernels 3 to 63: the case that image libraries are made for."""
    return [Layer(f"image_k{k}", 1, 1, 1024, 1024, 1, k, k, padding=k // 2) for k in IMAGE_KERNELS]


def load_layers(patterns: Iterable[str] = (), max_kernel: int | None = None) -> list[Layer]:
    """
    Layers of ``workloads.json``, smallest operation count first.

    Parameters
    ----------
    patterns : iterable of str
        Shell-style patterns of names. The one-channel images (``image_k*``) take part only when a pattern
        names them.
    max_kernel : int, optional
        Leave out layers whose kernel has a longer side.

    Raises
    ------
    ValueError
        If nothing is left.
    """
    patterns = list(patterns)
    entries = json.loads(Path(__file__).with_name("workloads.json").read_text())["workloads"]
    layers = [
        Layer(**{**entry, "padding": tuple(pad) if isinstance(pad := entry["padding"], list) else pad})
        for entry in entries
    ]
    if patterns:
        layers += image_layers()
    chosen = [
        layer
        for layer in layers
        if matches(layer.name, patterns) and (max_kernel is None or layer.kernel <= max_kernel)
    ]
    if not chosen:
        known = ", ".join(dict.fromkeys(f"{layer.name.split('_')[0]}*" for layer in layers))
        size = "" if max_kernel is None else f" with kernels up to {max_kernel}"
        raise ValueError(f"layers: {' '.join(patterns) or 'none'} fits none of {known}{size}")
    return sorted(chosen, key=lambda layer: layer.flops)


def load_networks(names: Iterable[str] = ()) -> dict[str, dict[Layer, int]]:
    """
    The convolutions of whole networks, of ``networks.json``: distinct layers and how often each occurs.

    Parameters
    ----------
    names : iterable of str
        Shell-style patterns of networks; none means all.

    Returns
    -------
    dict
        Network -> {layer: count}, batch 1. Layers of equal sizes are equal, in whatever network they stand.

    Raises
    ------
    ValueError
        If a pattern fits no network.
    """
    entries = json.loads(Path(__file__).with_name("networks.json").read_text())
    names = list(names)
    for pattern in names:
        if not any(fnmatchcase(network, pattern) for network in entries):
            raise ValueError(f"networks: {pattern!r} fits none of {', '.join(entries)}")
    return {
        network: {_layer_of(entry): int(entry["count"]) for entry in layers}
        for network, layers in entries.items()
        if matches(network, names)
    }


def _layer_of(entry: dict[str, Any]) -> Layer:
    (n, ci, h, w), (co, _, kh, kw) = entry["x"], entry["w"]
    (stride, _), (dilation, _), (ph, pw) = entry["stride"], entry["dilation"], entry["padding"]
    padding = ph if ph == pw else (ph, pw)
    layer = Layer("", n, ci, h, w, co, kh, kw, stride, padding, dilation, entry["groups"])
    return layer._replace(name=str(layer.problem("float32")))


def random_layers(count: int, seed: int = 0, largest: float = 1e9) -> list[Layer]:
    """
    Layers such as networks hold, at random: dense, in groups and depthwise, of at most `largest` operations.

    The same `count` and `seed` give the same layers everywhere.
    """
    rng = random.Random(seed)
    found: list[Layer] = []
    while len(found) < count:
        kh, kw = rng.choice([(1, 1), (1, 1), (3, 3), (3, 3), (3, 3), (5, 5), (7, 7), (1, 7), (7, 1)])
        ci, co = (rng.choice([3, 8, 13, 16, 24, 32, 48, 64, 96, 100, 128, 160, 192, 256, 384, 512]) for _ in "io")
        kind = rng.choice(["dense", "dense", "dense", "depthwise", "grouped"])
        groups = ci if kind == "depthwise" else rng.choice([2, 4, 8]) if kind == "grouped" else 1
        if kind == "depthwise":
            co = ci
        if ci % groups or co % groups:
            continue
        dilation = rng.choice([1] * 9 + [2]) if max(kh, kw) > 1 else 1
        padding = (dilation * (kh - 1) // 2, dilation * (kw - 1) // 2)
        h = rng.choice([7, 8, 13, 14, 17, 20, 28, 33, 40, 56, 75, 80, 112])
        w = rng.choice([h, h, h, h + 1, 2 * h])
        n, stride = rng.choice([1, 1, 1, 2, 4]), rng.choice([1, 1, 1, 2])
        layer = Layer("", n, ci, h, w, co, kh, kw, stride, padding, dilation, groups)
        if layer.flops <= largest:
            found.append(layer._replace(name=str(layer.problem("float32"))))
    return found


def make_tensors(layer: Layer, dtype: str = "float32", seed: int = 0) -> Tensors:
    """Normally distributed arrays for `layer`; the weights are scaled so that outputs are about one."""
    rng = np.random.default_rng(seed)
    fan_in = layer.ci // layer.groups * layer.kh * layer.kw
    x = rng.standard_normal(layer.x_shape).astype(dtype)
    w = (rng.standard_normal(layer.w_shape) / np.sqrt(fan_in)).astype(dtype)
    dy = rng.standard_normal(layer.y_shape).astype(dtype)
    return Tensors(x, w, dy)
