"""The face that every other library is given: what it can compute, and the call that is timed."""

from __future__ import annotations

from collections.abc import Callable
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
    prepared : bool
        Whether the weights are prepared before the call.
    """

    name: str
    module: str
    prepared = False

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
