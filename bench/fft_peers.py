"""Other Fourier transforms under SciPy's own overlap-add, by way of its backends: one image of one channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.adapter import Call, Peer, single_plane
from bench.workloads import Layer, Tensors


class UnderSciPy(Peer):
    """``scipy.signal.oaconvolve`` on another library's transforms."""

    transforms = True

    def start(self, threads: int) -> None:
        self.signal: Any = import_module("scipy.signal")
        self.fft: Any = import_module("scipy.fft")
        self.threads = threads
        self.backend = self._backend()

    def _backend(self) -> Any:
        raise NotImplementedError

    def call(self, layer: Layer, pass_: str, tensors: Tensors) -> Call | None:
        if pass_ != "forward" or not single_plane(layer):
            return None
        image, flipped = tensors.x[0, 0], np.ascontiguousarray(tensors.w[0, 0, ::-1, ::-1])

        def run() -> Any:
            with self.fft.set_backend(self.backend, only=True), self.fft.set_workers(self.threads):
                return self.signal.oaconvolve(image, flipped, mode="same")

        return run

    def to_numpy(self, result: Any) -> np.ndarray:
        return np.asarray(result)[None, None]


class PyFftw(UnderSciPy):
    """FFTW by way of pyFFTW."""

    name = "oaconvolve pyfftw"
    module = "pyfftw"

    def _backend(self) -> Any:
        import_module("pyfftw").interfaces.cache.enable()  # of plans
        return import_module("pyfftw.interfaces.scipy_fft")


class MklFft(UnderSciPy):
    """MKL's transforms by way of mkl_fft, whose interface to SciPy needs mkl-service."""

    name = "oaconvolve mkl"
    module = "mkl_fft"
    package = "mkl-fft mkl-service"

    @classmethod
    def available(cls) -> bool:
        return super().available() and find_spec("mkl") is not None

    def _backend(self) -> Any:
        return import_module("mkl_fft.interfaces.scipy_fft")

    def start(self, threads: int) -> None:
        super().start(threads)
        import_module("mkl").set_num_threads(threads)


class Ducc(UnderSciPy):
    """ducc0, the descendant of the transforms that SciPy has."""

    name = "oaconvolve ducc"
    module = "ducc0"

    def _backend(self) -> Any:
        return DuccBackend(import_module("ducc0").fft, self.threads)


class DuccBackend:
    """What `scipy.fft.set_backend` asks for: the transforms of whole arrays that SciPy's convolutions call."""

    __ua_domain__ = "numpy.scipy.fft"

    def __init__(self, fft: Any, threads: int):
        self.fft, self.threads = fft, threads

    def __ua_function__(self, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        known: dict[str, Callable[..., Any]] = {
            "rfftn": self.rfftn,
            "irfftn": self.irfftn,
            "fftn": self.fftn,
            "ifftn": partial(self.fftn, forward=False),
        }
        call = known.get(method.__name__)
        return NotImplemented if call is None else call(*args, **kwargs)

    def rfftn(self, x: Any, s: Iterable[int] | None = None, axes: Any = None, **_: Any) -> Any:
        x, axes = _sized(np.asarray(x), s, axes)
        return self.fft.r2c(x, axes=axes, nthreads=self.threads)

    def irfftn(self, x: Any, s: Iterable[int] | None = None, axes: Any = None, **_: Any) -> Any:
        x = np.asarray(x)
        *outer, last = list(s) if s is not None else [*x.shape[:-1], 2 * (x.shape[-1] - 1)]
        x, axes = _sized(x, [*outer, last // 2 + 1], axes)
        return self.fft.c2r(x, axes=axes, lastsize=last, forward=False, inorm=2, nthreads=self.threads)

    def fftn(self, x: Any, s: Iterable[int] | None = None, axes: Any = None, forward: bool = True, **_: Any) -> Any:
        x, axes = _sized(np.asarray(x), s, axes)
        return self.fft.c2c(x, axes=axes, forward=forward, inorm=0 if forward else 2, nthreads=self.threads)


def _sized(x: np.ndarray, s: Iterable[int] | None, axes: Any) -> tuple[np.ndarray, list[int]]:
    """The array cut or filled with zeros to the lengths `s` along `axes`, by default the last ones; and the axes."""
    if s is None:
        return x, list(range(x.ndim)) if axes is None else list(axes)
    lengths = list(s)
    axes = list(range(x.ndim - len(lengths), x.ndim)) if axes is None else [axis % x.ndim for axis in axes]
    shape = list(x.shape)
    for axis, length in zip(axes, lengths, strict=True):
        shape[axis] = length
    if shape == list(x.shape):
        return x, axes
    sized = np.zeros(shape, x.dtype)
    common = tuple(slice(min(a, b)) for a, b in zip(shape, x.shape, strict=True))
    sized[common] = x[common]
    return sized, axes
