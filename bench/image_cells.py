"""The cells of ``python -m bench images --full``: every linear filter of SciPy on two axes, and OpenCV's two.

Sizes from thumbnails to large photographs, tall and wide strips, kernels from 3 to the size of the image. Cells whose
peer would take long are left out: `_MOST` multiplications.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from typing import Any, NamedTuple

import numpy as np

import fastconv

SHAPES = ((8, 8), (32, 32), (96, 96), (512, 512), (2048, 2048), (4096, 4), (4, 4096))
DTYPES = ("uint8", "uint16", "float32", "float64")
WHOLE = 0  #: a kernel of the size of the image
_MOST = 1e8

Call = Callable[..., Any]


class Task(NamedTuple):
    """One thing that fastconv and a peer compute; ``build`` makes the arrays and returns both calls."""

    function: str
    shape: tuple[int, ...]
    kernel: str
    dtype: str
    build: Callable[[], tuple[Call, Call]]

    @property
    def name(self) -> str:
        return f"{self.function} {'x'.join(map(str, self.shape))} {self.kernel} {self.dtype}".replace("  ", " ")

    @property
    def peer(self) -> str:
        return "OpenCV" if self.function.startswith("filter2d") else "SciPy"


def tasks() -> Iterable[Task]:
    """All cells; where a kernel of some size is cut to the image it may be another one's equal."""
    return {task.name: task for task in _tasks()}.values()


def _tasks() -> Iterator[Task]:
    for shape, dtype in product(SHAPES, DTYPES):
        yield from _ndimage(shape, dtype)
        yield from _signal(shape, dtype)
        if find_spec("cv2"):
            yield from _opencv(shape, dtype)
            yield from _opencv((*shape, 3), dtype)


def image_of(shape: tuple[int, ...], dtype: str) -> Any:
    rng = np.random.default_rng(0)
    if dtype.startswith("u"):
        return rng.integers(0, 256, shape).astype(dtype)
    return rng.random(shape).astype(dtype)


def _bell(n: int) -> Any:
    line = np.exp(-0.5 * np.linspace(-2.5, 2.5, n) ** 2) if n > 1 else np.ones(1)
    return line / line.sum()


def _any(shape: tuple[int, ...]) -> Any:
    w = np.random.default_rng(1).random(shape)
    return w / w.sum()


def _sides(shape: tuple[int, ...], k: int) -> tuple[int, int]:
    """A kernel of k x k that is nowhere longer than the image."""
    return (min(k, shape[0]), min(k, shape[1])) if k else (shape[0], shape[1])


def _both(module: str, name: str) -> Iterator[tuple[Call, Call]]:
    """Our function and SciPy's, where there is one of ours."""
    ours, theirs = getattr(fastconv, module), getattr(import_module(f"scipy.{module}"), name)
    if name in ours.__all__ and getattr(ours, name) is not theirs:
        yield getattr(ours, name), theirs


def _ndimage(shape: tuple[int, int], dtype: str) -> Iterator[Task]:
    pixels = shape[0] * shape[1]

    def task(name: str, kernel: str, *arguments: Any, **named: Any) -> Iterator[Task]:
        for ours, theirs in _both("ndimage", name):

            def build(ours: Call = ours, theirs: Call = theirs) -> tuple[Call, Call]:
                x = image_of(shape, dtype)
                return lambda: ours(x, *arguments, **named), lambda: theirs(x, *arguments, **named)

            yield Task(f"ndimage.{name}", shape, kernel, dtype, build)

    for k in (3, 7, 15, 31, WHOLE):
        kh, kw = _sides(shape, k)
        if pixels * kh * kw <= _MOST and (k < min(shape) or k <= 15):
            yield from task("correlate", f"{kh}x{kw}", _any((kh, kw)))
            yield from task("convolve", f"{kh}x{kw}", _any((kh, kw)), mode="constant")
    for k, axis in product((3, 9, 31, WHOLE), (0, 1)):
        n = k or shape[axis]
        if pixels * n <= _MOST and (k or n > 31):
            yield from task("correlate1d", f"{n} taps, axis {axis}", _bell(n), axis)
            yield from task("convolve1d", f"{n} taps, axis {axis}", np.arange(n) / n**2, axis, mode="mirror")
    for sigma in (0.5, 1.0, 3.0, 10.0):
        yield from task("gaussian_filter", f"sigma {sigma:g}", sigma)
        yield from task("gaussian_filter1d", f"sigma {sigma:g}", sigma, 0)
    for sigma in (1.0, 3.0):
        yield from task("gaussian_laplace", f"sigma {sigma:g}", sigma)
        yield from task("gaussian_gradient_magnitude", f"sigma {sigma:g}", sigma)
    for n in (3, 9, 31):
        yield from task("uniform_filter", f"{n}x{n}", n)
        yield from task("uniform_filter1d", f"{n} taps, axis 0", n, 0)
    for name, axis in product(("sobel", "prewitt"), (0, 1)):
        yield from task(name, f"axis {axis}", axis)
    yield from task("laplace", "")


def _signal(shape: tuple[int, int], dtype: str) -> Iterator[Task]:
    pixels, whole = shape[0] * shape[1], dtype.startswith("u")

    def task(name: str, k: int, *arguments: Any) -> Iterator[Task]:
        sides = _sides(shape, k)
        for ours, theirs in _both("signal", name):

            def build(ours: Call = ours, theirs: Call = theirs) -> tuple[Call, Call]:
                x = image_of(shape, dtype).astype(np.int64 if whole else dtype)  # as an image's users must: sums fit
                w = np.random.default_rng(1).integers(-9, 10, sides) if whole else _any(sides).astype(dtype)
                return lambda: ours(x, w, *arguments), lambda: theirs(x, w, *arguments)

            yield Task(f"signal.{name}", shape, f"{sides[0]}x{sides[1]} {arguments[0]}", dtype, build)

    if dtype == "uint16":
        return  # the same int64 numbers as uint8
    for k in (3, 7, 15, 31, WHOLE):
        kh, kw = _sides(shape, k)
        if pixels * kh * kw <= _MOST and (k < min(shape) or k <= 15):
            yield from task("convolve2d", k, "full")
            yield from task("correlate2d", k, "same", "symm")
    for k in (3, 7, 15, 31, 73, 127, WHOLE):
        if (k < min(shape) or k == 7) and (k or pixels <= 2**18):
            for mode in ("full", "same"):
                yield from task("fftconvolve", k, mode)
            yield from task("oaconvolve", k, "same")
            yield from task("convolve", k, "full")
            yield from task("correlate", k, "same")


def _opencv(shape: tuple[int, ...], dtype: str) -> Iterator[Task]:
    pixels = shape[0] * shape[1]
    for k, separable in product((3, 7, 15, 31, 73, 127, WHOLE), (False, True)):
        kh, kw = _sides(shape, k)
        fits = (k < min(shape[:2]) or k == 7) and kh * kw > 1
        if fits and (k <= 31 or pixels <= 2**18) and (k or pixels <= 2**14):
            kernel = f"{kh}x{kw}"
            function = "filter2d separable" if separable else "filter2d"
            yield Task(function, shape, kernel, dtype, partial(_pair, shape, (kh, kw), dtype, separable))


def _pair(shape: tuple[int, ...], sides: tuple[int, int], dtype: str, separable: bool) -> tuple[Call, Call]:
    import cv2

    border = cv2.BORDER_REFLECT
    x, real = image_of(shape, dtype), "float64" if dtype == "float64" else "float32"
    column, row = (_bell(n).astype(real) for n in sides)
    w = np.outer(column, row) if separable else _any(sides).astype(real)
    if separable:
        return lambda: fastconv.filter2d(x, w), lambda: cv2.sepFilter2D(x, -1, row, column, borderType=border)
    return lambda: fastconv.filter2d(x, w), lambda: cv2.filter2D(x, -1, w, borderType=border)
