"""Which convolutions are measured: layers of known networks, a sweep of kernel sizes, and plain images."""

from __future__ import annotations

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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

    def traffic(self, dtype: str) -> int:
        """Bytes of compulsory memory traffic: input, weights and output, each once."""
        elements = sum(int(np.prod(shape)) for shape in (self.x_shape, self.w_shape, self.y_shape))
        return elements * np.dtype(dtype).itemsize


class Tensors(NamedTuple):
    """The arrays of one layer: x (N, Ci, H, W), w (Co, Ci / groups, KH, KW) and dy (N, Co, OH, OW)."""

    x: np.ndarray
    w: np.ndarray
    dy: np.ndarray


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
        raise ValueError(f"no layer fits {patterns} with kernels up to {max_kernel}")
    return sorted(chosen, key=lambda layer: layer.flops)


def make_tensors(layer: Layer, dtype: str = "float32", seed: int = 0) -> Tensors:
    """Normally distributed arrays for `layer`; the weights are scaled so that outputs are about one."""
    rng = np.random.default_rng(seed)
    fan_in = layer.ci // layer.groups * layer.kh * layer.kw
    x = rng.standard_normal(layer.x_shape).astype(dtype)
    w = (rng.standard_normal(layer.w_shape) / np.sqrt(fan_in)).astype(dtype)
    dy = rng.standard_normal(layer.y_shape).astype(dtype)
    return Tensors(x, w, dy)
