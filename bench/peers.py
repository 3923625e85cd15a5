"""
Other libraries behind one face: an adapter says what it can compute and gives the call that is timed.

Each library gets its data in the layout and container it likes best, made before the clock starts; the call
returns when the result is there, as something that `numpy.asarray` takes. Weights are handed over unprepared
except where the library knows only prepared ones (`prepared`): those meet fastconv's prepared plan.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from bench import adapter
from bench.adapter import Call, Peer, single_plane
from bench.fft_peers import Ducc, MklFft, PyFftw
from bench.image_peers import LIBRARIES
from bench.inference_peers import OnnxRuntime, OpenVino, OpenVinoChannelsLast
from bench.litert_peer import LiteRt
from bench.more_peers import MORE
from bench.onednn_peer import OneDnn
from bench.workloads import Layer, Tensors


class Torch(Peer):
    """PyTorch, contiguous NCHW; oneDNN does the work."""

    name = "torch"
    module = "torch"
    memory_format = "contiguous_format"

    def start(self, threads: int) -> None:
        self.torch: Any = import_module("torch")
        self.torch.set_num_threads(threads)
        self.torch.set_grad_enabled(False)

    def call(self, layer: Layer, pass_: str, tensors: Tensors) -> Call | None:
        torch = self.torch
        layout = getattr(torch, self.memory_format)
        x, w, dy = (torch.from_numpy(a).contiguous(memory_format=layout) for a in tensors)
        stride, dilation = [layer.stride] * 2, [layer.dilation] * 2
        padding = list(layer.pads)
        if pass_ == "forward":
            conv2d = torch.nn.functional.conv2d
            return lambda: conv2d(x, w, None, stride, padding, dilation, layer.groups)
        backward = torch.ops.aten.convolution_backward
        wanted = 0 if pass_ == "grad_input" else 1
        mask = [wanted == 0, wanted == 1, False]
        rest = (None, stride, padding, dilation, False, [0, 0], layer.groups, mask)
        return lambda: backward(dy, x, w, *rest)[wanted]

    def fused_call(self, layer: Layer, tensors: Tensors, bias: np.ndarray) -> Call | None:
        conv2d = self.torch.nn.functional.conv2d
        layout = getattr(self.torch, self.memory_format)
        x, w = (self.torch.from_numpy(a).contiguous(memory_format=layout) for a in (tensors.x, tensors.w))
        rest = self.torch.from_numpy(bias), layer.stride, layer.pads, layer.dilation, layer.groups
        return lambda: conv2d(x, w, *rest).relu_()


class TorchChannelsLast(Torch):
    """PyTorch with every tensor in channels_last memory format."""

    name = "torch nhwc"
    memory_format = "channels_last"


class Jax(Peer):
    """JAX on the CPU, compiled by XLA; gradients are the compiled transposes of the forward pass."""

    name = "jax"
    module = "jax"

    def start(self, threads: int) -> None:
        flags = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()} intra_op_parallelism_threads={threads}"
        os.environ.setdefault("XLA_FLAGS", flags)
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        self.jax: Any = import_module("jax")
        self.jax.config.update("jax_enable_x64", True)

    def call(self, layer: Layer, pass_: str, tensors: Tensors) -> Call | None:
        jax = self.jax
        ph, pw = layer.pads

        def conv(x: Any, w: Any) -> Any:
            return jax.lax.conv_general_dilated(
                x,
                w,
                window_strides=(layer.stride,) * 2,
                padding=((ph, ph), (pw, pw)),
                rhs_dilation=(layer.dilation,) * 2,
                feature_group_count=layer.groups,
                dimension_numbers=("NCHW", "OIHW", "NCHW"),
            )

        x, w, dy = (jax.device_put(a) for a in tensors)
        if pass_ == "forward":
            function, arguments = jax.jit(conv), (x, w)
        elif pass_ == "grad_input":
            zero = jax.numpy.zeros_like(x)  # the gradient does not depend on the point it is taken at
            function = jax.jit(lambda dy, w: jax.vjp(lambda x: conv(x, w), zero)[1](dy)[0])
            arguments = (dy, w)
        else:
            zero = jax.numpy.zeros_like(w)
            function = jax.jit(lambda dy, x: jax.vjp(lambda w: conv(x, w), zero)[1](dy)[0])
            arguments = (dy, x)
        return lambda: function(*arguments).block_until_ready()


class SciPyDirect(Peer):
    """``scipy.ndimage.correlate`` on one image of one channel; one thread."""

    name = "scipy.ndimage"
    module = "scipy"

    def start(self, threads: int) -> None:
        self.ndimage: Any = import_module("scipy.ndimage")

    def call(self, layer: Layer, pass_: str, tensors: Tensors) -> Call | None:
        if pass_ != "forward" or not single_plane(layer):
            return None
        correlate, image, kernel = self.ndimage.correlate, tensors.x[0, 0], tensors.w[0, 0]
        return lambda: correlate(image, kernel, mode="constant")

    def to_numpy(self, result: Any) -> np.ndarray:
        return np.asarray(result)[None, None]


class SciPyFft(SciPyDirect):
    """``scipy.signal.oaconvolve`` on one image of one channel; one thread."""

    name = "scipy oaconvolve"
    transforms = True

    def start(self, threads: int) -> None:
        self.signal: Any = import_module("scipy.signal")

    def call(self, layer: Layer, pass_: str, tensors: Tensors) -> Call | None:
        if pass_ != "forward" or not single_plane(layer):
            return None
        oaconvolve, image = self.signal.oaconvolve, tensors.x[0, 0]
        flipped = np.ascontiguousarray(tensors.w[0, 0, ::-1, ::-1])
        return lambda: oaconvolve(image, flipped, mode="same")


PEERS: tuple[type[Peer], ...] = (
    Torch,
    TorchChannelsLast,
    OnnxRuntime,
    OpenVino,
    OpenVinoChannelsLast,
    Jax,
    SciPyDirect,
    SciPyFft,
    *LIBRARIES,
    OneDnn,
    *MORE,
    LiteRt,
    PyFftw,
    MklFft,
    Ducc,
)


def absent() -> str:
    """Words on the peers that are not installed, and the packages that install them; empty where all are."""
    return adapter.absent(PEERS)


def installed() -> list[Peer]:
    """An adapter for every peer whose library is there."""
    return [peer() for peer in PEERS if peer.available()]


def started(wanted: Callable[[Peer], bool], threads: int, console: Console) -> list[Peer]:
    """The wanted ones, ready to compute with so many threads; the console names those that are absent or broken."""
    found = []
    for peer in filter(wanted, installed()):
        try:
            peer.start(threads)
        except Exception as failure:  # one broken library must not end the measurement of the others
            reason = (str(failure).splitlines() or [""])[0]
            console.print(f"[yellow]left out[/] {peer.name}: {escape(f'{type(failure).__name__}: {reason}')}")
        else:
            found.append(peer)
    if words := absent():
        console.print(words, highlight=False, soft_wrap=True)
    return found
