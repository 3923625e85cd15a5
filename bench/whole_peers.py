"""
Who computes a whole network at batch 1: fastconv in all its forms, PyTorch, ONNX Runtime, OpenVINO.

`Contestant.make` takes the network, the same as a module of PyTorch, and an input; it gives the call that is timed,
whose result `numpy.asarray` takes. What can be prepared is prepared before: packed weights, compiled graphs.

PyTorch is loaded by `fastconv.torch`: its waiting threads do not spin, which costs PyTorch alone some percent and those
who share a model with it nothing. ``GOMP_SPINCOUNT=300000`` lets them, as libgomp does by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import fastconv.torch  # isort: skip (it loads PyTorch so that its waiting threads do not spin)

import numpy as np
import torch

from bench.zoo_onnx import to_onnx
from fastconv import nn

Call = Callable[[], Any]


class Contestant(NamedTuple):
    """
    One way to run a network.

    Attributes
    ----------
    name : str
        With "nhwc" where images lie channels last.
    ours : bool
    make : callable
        Of network, module, input and threads.
    optional : bool
        Only on demand: it takes a minute a network to prepare.
    """

    name: str
    ours: bool
    make: Callable[[nn.Layer, torch.nn.Module, np.ndarray, int], Call]
    optional: bool = False


def channels_last(x: np.ndarray) -> np.ndarray:
    """The same numbers, the channels of a pixel side by side."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if x.ndim == 4 else x


def _nn(net: nn.Layer, module: torch.nn.Module, x: np.ndarray, threads: int, *, last: bool) -> Call:
    a = channels_last(x) if last else x
    return lambda: net(a)


def _compiled(net: nn.Layer, module: torch.nn.Module, x: np.ndarray, threads: int) -> Call:
    fast = nn.compile(net, x.shape)  # type: ignore[attr-defined]
    return lambda: fast(x)


def _torch(
    net: nn.Layer,
    module: torch.nn.Module,
    x: np.ndarray,
    threads: int,
    *,
    last: bool,
    change: Callable[[torch.nn.Module], Any] = lambda module: module,
) -> Call:
    layout = torch.channels_last if last else torch.contiguous_format
    own = change(copy.deepcopy(module).to(memory_format=layout))  # type: ignore[call-overload]
    a = torch.from_numpy(x).contiguous(memory_format=layout)

    @torch.inference_mode()
    def call() -> torch.Tensor:
        result: torch.Tensor = own(a)
        return result

    return call


def _replaced(module: torch.nn.Module, freeze: bool) -> torch.nn.Module:
    return fastconv.torch.replace_convolutions(module, freeze=freeze)


def _backend(module: torch.nn.Module) -> Any:
    return torch.compile(module, backend=fastconv.torch.compile_backend, dynamic=False)


def _inductor(module: torch.nn.Module, freezing: bool) -> Any:
    return torch.compile(module, dynamic=False, options={"freezing": freezing})


def onnx_call(runtime: str, net: nn.Layer, x: np.ndarray, threads: int) -> Call:
    """A call of ``"onnxruntime"`` or ``"openvino"``, with the settings of `bench.inference_peers`."""
    from bench import inference_peers as peers

    peer = peers.OnnxRuntime() if runtime == "onnxruntime" else peers.OpenVino()
    peer.start(threads)
    run = peer._session(to_onnx(net, x.shape), x)
    return lambda: peer.to_numpy(run())


def _onnx(net: nn.Layer, module: torch.nn.Module, x: np.ndarray, threads: int, *, runtime: str) -> Call:
    return onnx_call(runtime, net, x, threads)


def contestants() -> list[Contestant]:
    """All that can run here."""
    layouts = (("", False), (" nhwc", True))
    found = [Contestant(f"nn{text}", True, partial(_nn, last=last)) for text, last in layouts]
    if hasattr(nn, "compile"):
        found.append(Contestant("nn.compile", True, _compiled))
    for text, last in layouts:
        for frozen in (False, True):
            make = partial(_torch, last=last, change=partial(_replaced, freeze=frozen))
            found.append(Contestant(f"replaced{' frozen' if frozen else ''}{text}", True, make))
        found.append(Contestant(f"backend{text}", True, partial(_torch, last=last, change=_backend)))
    for text, last in layouts:
        found.append(Contestant(f"torch{text}", False, partial(_torch, last=last)))
    for text, last in layouts:
        for frozen in (False, True):
            make = partial(_torch, last=last, change=partial(_inductor, freezing=frozen))
            found.append(Contestant(f"inductor{' frozen' if frozen else ''}{text}", False, make, True))
    for runtime in ("onnxruntime", "openvino"):
        if find_spec(runtime) is not None:
            import_module(runtime)
            found.append(Contestant(runtime, False, partial(_onnx, runtime=runtime)))
    return found
