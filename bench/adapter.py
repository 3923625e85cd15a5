"""The face that every other library is given: what it can compute, and the call that is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.workloads import Layer, Tensors

Call = Callable[[], Any]


class Peer:
    """
    One library in one layout.

    Attributes
    ----------
    name : str
        What tables and charts call it.
    module : str
        What has to be installed.
    package : str
        What installs it, where that has another name.
    on_request : bool
        Whether it takes part only where a pattern names it: each layer costs it many seconds before the first call.
    prepared : bool
        Whether the weights are prepared before the call.
    transforms : bool
        Whether the time depends on the image rather than on the kernel.
    """

    name: str
    module: str
    package = ""
    on_request = False
    prepared = False
    transforms = False

    @classmethod
    def available(cls) -> bool:
        """Whether it is installed."""
        return find_spec(cls.module) is not None

    def start(self, threads: int) -> None:
        """Import the library and limit it to `threads` threads."""

    def call(self, layer: Layer, pass_: str, tensors: Tensors) -> Call | None:
        """The call to time, or None where the library has no such convolution."""
        raise NotImplementedError

    def fused_call(self, layer: Layer, tensors: Tensors, bias: np.ndarray) -> Call | None:
        """The call that computes ``relu(conv + bias)`` with weights that stay, or None."""
        return None

    def to_numpy(self, result: Any) -> np.ndarray:
        """The result as (N, C, H, W)."""
        return np.asarray(result)


def absent(peers: Iterable[type[Peer]]) -> str:
    """Words on those that are not installed, and the packages that install them; empty where all are."""
    missing = {peer.module: peer.package or peer.module for peer in peers if not peer.available()}
    if not missing:
        return ""
    return f"Not installed, so not compared: {', '.join(missing)} (pip install {' '.join(missing.values())})"


def single_plane(layer: Layer) -> bool:
    """Whether the layer is what image libraries call filtering, with an output of the input's size."""
    planes = layer.n == layer.ci == layer.co == layer.stride == layer.dilation == 1
    same = layer.pads == (layer.kh // 2, layer.kw // 2) and layer.kh % 2 == layer.kw % 2 == 1
    return planes and same and layer.padding_mode == "zeros"
