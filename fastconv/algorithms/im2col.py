"""im2col: patches become the columns of a matrix, and the convolution one matrix product.

Chellapilla, Puri and Simard, "High performance convolutional neural networks for document processing"
(2006). The matrix is never whole: panels of a few images or of a run of output pixels are packed into
a bounded buffer, then multiplied by one BLAS call with BLAS's own threads. Packing runs on one thread:
idle threads of OpenMP and of OpenBLAS spin for milliseconds and, taking turns, keep each other's work off
the cores (measured 50 ms a call instead of 2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..core import blas
from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from ..core.workspace import Scratch
from .base import Array, Backend, Cost, Rates, geometry, plain_bound

_BLAS_BLOCK = 384  # terms that BLAS sums before it adds to the result
_PANEL_BYTES = 2 << 20  # small enough for L2 and L3, wide enough for BLAS

_CROWD = 1.3  # BLAS's threads and ours take each other's cores: seen where both serve the layers of a network


class Panels(NamedTuple):
    """``images`` whole images a panel, or ``pixels`` output pixels of one image."""

    images: int
    pixels: int


def _in_place(p: ConvProblem) -> bool:
    """A 1x1 kernel on the plain grid: the image already is the matrix."""
    return (p.kh, p.kw, p.sh, p.sw, p.pt, p.pb, p.pl, p.pr) == (1, 1, 1, 1, 0, 0, 0, 0)


def _panels(p: ConvProblem, cfg: Panels) -> Iterator[tuple[slice, slice]]:
    """(images, pixels) of each panel."""
    for n in range(0, p.n, cfg.images):
        for q in range(0, p.oh * p.ow, cfg.pixels):
            yield slice(n, min(n + cfg.images, p.n)), slice(q, min(q + cfg.pixels, p.oh * p.ow))


class Im2col(Backend):
    """Packed panels and BLAS, refuses nothing."""

    algorithm = "im2col"

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Panels:
        pixels = p.oh * p.ow
        room = max(_PANEL_BYTES // (p.ci * p.kh * p.kw * p.itemsize), 16)  # columns
        return Panels(1, min(room, pixels)) if room < 2 * pixels else Panels(min(room // pixels, p.n), pixels)

    def workspace(self, p: ConvProblem, pass_: str, cfg: Panels, threads: int) -> int:
        return _scratch(p, pass_, cfg).nbytes

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        return plain_bound(p, pass_, _BLAS_BLOCK)

    def cost(self, p: ConvProblem, pass_: str, cfg: Panels, threads: int, rates: Rates) -> Cost:
        flops, panels = nominal_flops(p), -(-p.n // cfg.images) * -(-p.oh * p.ow // cfg.pixels)
        k = (p.ci // p.g) * p.kh * p.kw
        packed = 0 if _in_place(p) else 2 * p.n * p.g * k * p.oh * p.ow * p.itemsize
        if pass_ == "grad_weight":
            packed += 3 * panels * cfg.images * p.co * k * p.itemsize
        calls = panels * cfg.images * p.g * 1.5e-6 + panels * 20e-6
        thin = min(1.0, p.co / p.g / 16) * min(1.0, k / 16)  # BLAS on thin matrices
        if pass_ == "grad_weight":  # long sums for few results
            thin /= 1 + 24 * p.g / p.co
        crowd = _CROWD if threads > 1 else 1.0
        seconds = crowd * flops / (rates.blas_gflops * 1e9 * threads * thin) + packed / (rates.copy_gbs * 1e9)
        return Cost(flops, compulsory_bytes(p) + packed, seconds + calls)

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        return (_CROWD if threads > 1 else 1.0) * nominal_flops(p) / (rates.blas_gflops * 1e9 * threads) + 20e-6

    def forward(
        self,
        p: ConvProblem,
        cfg: Panels,
        x: Array,
        w: Array,
        bias: Array | None,
        y: Array,
        work: Array,
        threads: int,
        packed: Any = None,
    ) -> None:
        rows, out = w.reshape(p.g, p.co // p.g, -1), y.reshape(p.n, p.g, p.co // p.g, -1)
        room = _scratch(p, "forward", cfg).take(work)
        for images, pixels in _panels(p, cfg):
            blas.matmul(rows, self._columns(p, x, images, pixels, room), out[images, ..., pixels], threads)

    def grad_input(
        self, p: ConvProblem, cfg: Panels, dy: Array, w: Array, dx: Array, work: Array, threads: int
    ) -> None:
        rows, d = w.reshape(p.g, p.co // p.g, -1).swapaxes(1, 2), dy.reshape(p.n, p.g, p.co // p.g, -1)
        if _in_place(p):
            blas.matmul(rows, d, dx.reshape(p.n, p.g, p.ci // p.g, -1), threads)
            return
        dx[...] = 0
        room = _scratch(p, "grad_input", cfg).take(work)
        for images, pixels in _panels(p, cfg):
            col = _carve(room["columns"], (images.stop - images.start, p.g, rows.shape[1], pixels.stop - pixels.start))
            blas.matmul(rows, d[images, ..., pixels], col, threads)
            self.steps(p.dtype).col2im_add(
                col.reshape(col.shape[0], -1, col.shape[3]), dx, geometry(p), images.start, pixels.start, 1
            )

    def grad_weight(
        self, p: ConvProblem, cfg: Panels, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        d, total = dy.reshape(p.n, p.g, p.co // p.g, -1), dw.reshape(p.g, p.co // p.g, -1)
        total[...] = 0
        room = _scratch(p, "grad_weight", cfg).take(work)
        for images, pixels in _panels(p, cfg):
            col = self._columns(p, x, images, pixels, room)
            part = _carve(room["sums"], (col.shape[0], *total.shape))
            blas.matmul(d[images, ..., pixels], col.swapaxes(2, 3), part, threads)
            for one in part:
                np.add(total, one, out=total)

    def _columns(self, p: ConvProblem, x: Array, images: slice, pixels: slice, room: dict[str, Array]) -> Array:
        """(images, groups, taps, pixels): the patches as a matrix; a 1x1 kernel takes the image as it is."""
        if _in_place(p):
            return x.reshape(p.n, p.g, p.ci // p.g, -1)[images, ..., pixels]
        col = _carve(room["columns"], (images.stop - images.start, p.ci * p.kh * p.kw, pixels.stop - pixels.start))
        self.steps(p.dtype).im2col_pack(x, col, geometry(p), images.start, pixels.start, 1)
        return col.reshape(col.shape[0], p.g, -1, col.shape[2])


@lru_cache(1024)
def _scratch(p: ConvProblem, pass_: str, cfg: Panels) -> Scratch:
    room = Scratch(p.dtype)
    if not _in_place(p):
        room.book("columns", cfg.images * p.ci * p.kh * p.kw * cfg.pixels)
    if pass_ == "grad_weight":
        room.book("sums", cfg.images * p.co * (p.ci // p.g) * p.kh * p.kw)
    return room


def _carve(work: Array, shape: tuple[int, ...]) -> Array:
    """The last panel may be smaller than the others."""
    return work[: math.prod(shape)].reshape(shape)
