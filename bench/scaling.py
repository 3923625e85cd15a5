"""How time grows with threads, images and pixels: one dense 3x3 layer, four algorithms side by side."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import fastconv
from bench import subjects
from bench.measure import Cell, interleave
from bench.workloads import Layer, make_tensors

ALGORITHMS = ("im2col", "direct", "winograd", "fft_tiled")
SIZES = {"images": (1, 2, 4, 8), "pixels": (16, 32, 64, 128)}  # the latter are sides of the image


class Point(NamedTuple):
    """Median seconds of a call of `backend` on ``size`` of what grows, ``over``: threads, images or pixels."""

    over: str
    size: int
    backend: str
    seconds: float


def measure(threads: int, seconds: float = 8.0, seed: int = 0) -> list[Point]:
    """All points in about `seconds`; call it with `threads` threads set."""
    cases = list(_cases(threads))
    rng, found = random.Random(seed), []
    for over, size, layer, used in cases:
        tensors = make_tensors(layer, seed=seed)
        names = [subjects.backends([f"{name}/*"])[0] for name in ALGORITHMS]  # the compiled engine, where there is one
        with fastconv.num_threads(used):
            cells = [Cell(name, subjects.call_of(layer, "forward", tensors, name)) for name in names]
            for cell in cells:
                cell.call()
                cell.warm_up()
            interleave(cells, seconds / len(cases), rounds=(5, 25), rng=rng)
        found += [Point(over, size, cell.name, float(np.median(cell.samples))) for cell in cells]
    return found


def _cases(threads: int) -> Iterator[tuple[str, int, Layer, int]]:
    counts = [*(2**i for i in range(threads.bit_length()) if 2**i < threads), threads]
    for count in counts:
        yield "threads", count, _layer(4, 64), count
    for n in SIZES["images"]:
        yield "images", n, _layer(n, 32), threads
    for side in SIZES["pixels"]:
        yield "pixels", side**2, _layer(1, side), threads


def _layer(n: int, side: int) -> Layer:
    return Layer("scaling", n, 32, side, side, 32, 3, 3, padding=1)
