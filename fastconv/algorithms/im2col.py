"""im2col: patches become the columns of a matrix, and the convolution one matrix product.

Chellapilla, Puri and Simard, "High performance convolutional neural networks for document processing"
(2006). The matrix is never whole: panels of a few images or of a run of output pixels are packed into
a bounded buffer, then multiplied by one BLAS call with BLAS's own threads. Packing runs on one thread:
idle threads of ours and of OpenBLAS spin for milliseconds and, taking turns, keep each other's work off
the cores (measured 50 ms a call instead of 2).

All matrices are (pixels, terms) or (pixels, channels), however they lie: BLAS takes either order, and writes y as it
is to lie. Terms are in the order (c, u, v) of the weights, or (u, v, c) where the channels of x lie last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..core import blas
from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from ..core.workspace import Scratch
from .base import Array, Backend, Cost, Epilogue, Rates, geometry, plain_bound

_BLAS_BLOCK = 384  # terms that BLAS sums before it adds to the result
_PANEL_BYTES = 2 << 20  # small enough for L2 and L3, wide enough for BLAS

_CROWD = 1.3  # BLAS's threads and ours take each other's cores: seen where both serve the layers of a network


class Panels(NamedTuple):
    """``images`` whole images a panel, or ``pixels`` output pixels of one image."""

    images: int
    pixels: int


class Im2col(Backend):
    """Packed panels and BLAS, refuses nothing."""

    algorithm = "im2col"
    adds_bias = fuses = True

    def layout(self, p: ConvProblem, pass_: str) -> tuple[bool, bool]:
        return p.x_last, p.y_last

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Panels:
        pixels = p.oh * p.ow
        room = max(_PANEL_BYTES // (p.ci * p.kh * p.kw * p.itemsize), 16)  # columns
        return Panels(1, min(room, pixels)) if room < 2 * pixels else Panels(min(room // pixels, p.n), pixels)

    def workspace(self, p: ConvProblem, pass_: str, cfg: Panels, threads: int) -> int:
        return _scratch(p, pass_, cfg).nbytes

    def spares(self, p: ConvProblem, cfg: Panels, threads: int) -> int:
        return _scratch(p, "forward", cfg).nbytes - _scratch(p, "forward", cfg, True).nbytes

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        return plain_bound(p, pass_, _BLAS_BLOCK)

    def cost(self, p: ConvProblem, pass_: str, cfg: Panels, threads: int, rates: Rates) -> Cost:
        flops, panels = nominal_flops(p), -(-p.n // cfg.images) * -(-p.oh * p.ow // cfg.pixels)
        k = (p.ci // p.g) * p.kh * p.kw
        packed = p.co * k * p.itemsize  # weights, or their gradient: few pixels do not hide that they are read
        packed += 0 if _in_place(p) else 2 * p.n * p.g * k * p.oh * p.ow * p.itemsize
        if pass_ == "grad_weight":
            packed += 3 * panels * _products(p, cfg) * p.co * k * p.itemsize
        if _turns(p):
            packed += 2 * p.co * k * p.itemsize
        calls = panels * _products(p, cfg) * p.g * 1.5e-6 + panels * 20e-6
        thin = min(1.0, p.co / p.g / 16) * min(1.0, k / 16)  # BLAS on thin matrices
        if pass_ == "grad_weight":  # long sums for few results
            thin /= 1 + 24 * p.g / p.co
        crowd = _CROWD if threads > 1 else 1.0
        seconds = crowd * flops / (rates.blas_gflops * 1e9 * threads * thin) + packed / (rates.copy_gbs * 1e9)
        return Cost(flops, compulsory_bytes(p) + packed, seconds + calls)

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        return (_CROWD if threads > 1 else 1.0) * nominal_flops(p) / (rates.blas_gflops * 1e9 * threads) + 20e-6

    def prepare(self, p: ConvProblem, cfg: Panels, w: Array) -> Array | None:
        """The weights in the order of the terms, if that is another one."""
        if not _turns(p):
            return None
        turned = np.empty((p.co, p.kh, p.kw, p.ci // p.g), w.dtype)
        self.steps(p.dtype).to_channels_last(w, turned, 1)
        return turned

    def forward(
        self,
        p: ConvProblem,
        cfg: Panels,
        x: Array,
        w: Array,
        bias: Epilogue | None,
        y: Array,
        work: Array,
        threads: int,
        packed: Array | None = None,
    ) -> None:
        room = _scratch(p, "forward", cfg, packed is not None).take(work)
        rows = self._weights(p, w, room) if packed is None else packed.reshape(p.g, p.co // p.g, -1)
        for images, pixels in _panels(p, cfg):
            columns = self._columns(p, x, images, pixels, room)
            blas.matmul(columns, rows.swapaxes(1, 2), _matrices(p, y, p.y_last, images, pixels), threads)
            if bias is not None:
                self._finish(p, bias, y, images, pixels)

    def grad_input(
        self, p: ConvProblem, cfg: Panels, dy: Array, w: Array, dx: Array, work: Array, threads: int
    ) -> None:
        room = _scratch(p, "grad_input", cfg).take(work)
        rows = self._weights(p, w, room)
        if _in_place(p):
            whole = slice(0, p.n), slice(0, p.oh * p.ow)
            blas.matmul(_matrices(p, dy, p.y_last, *whole), rows, _matrices(p, dx, p.x_last, *whole), threads)
            return
        steps = self.steps(p.dtype)
        add = steps.col2im_add_last if p.x_last else steps.col2im_add
        dx[...] = 0
        for images, pixels in _panels(p, cfg):
            col, columns = _room_for_columns(p, images, pixels, room)
            blas.matmul(_matrices(p, dy, p.y_last, images, pixels), rows, columns, threads)
            add(col, dx, geometry(p), images.start, pixels.start, 1)

    def grad_weight(
        self, p: ConvProblem, cfg: Panels, dy: Array, x: Array, dw: Array, work: Array, threads: int
    ) -> None:
        room = _scratch(p, "grad_weight", cfg).take(work)
        total = (room["total"] if _turns(p) else dw).reshape(p.g, p.co // p.g, -1)
        total[...] = 0
        for images, pixels in _panels(p, cfg):
            columns = self._columns(p, x, images, pixels, room)
            part = _carve(room["sums"], (columns.shape[0], *total.shape))
            blas.matmul(_matrices(p, dy, p.y_last, images, pixels).swapaxes(2, 3), columns, part, threads)
            for one in part:
                np.add(total, one, out=total)
        if _turns(p):
            self.steps(p.dtype).to_channels_first(room["total"].reshape(p.co, p.kh, p.kw, -1), dw, 1)

    def _weights(self, p: ConvProblem, w: Array, room: dict[str, Array]) -> Array:
        """(groups, outputs, terms)"""
        if _turns(p):
            turned = room["weights"].reshape(p.co, p.kh, p.kw, -1)
            self.steps(p.dtype).to_channels_last(w, turned, 1)
            w = turned
        return w.reshape(p.g, p.co // p.g, -1)

    def _columns(self, p: ConvProblem, x: Array, images: slice, pixels: slice, room: dict[str, Array]) -> Array:
        """(images, groups, pixels, terms): the patches as a matrix; a 1x1 kernel takes the image as it is."""
        if _in_place(p):
            return _matrices(p, x, p.x_last, images, pixels)
        col, columns = _room_for_columns(p, images, pixels, room)
        steps = self.steps(p.dtype)
        (steps.im2col_pack_last if p.x_last else steps.im2col_pack)(x, col, geometry(p), images.start, pixels.start, 1)
        return columns

    def _finish(self, p: ConvProblem, after: Epilogue, y: Array, images: slice, pixels: slice) -> None:
        """The epilogue of a panel, while it is in cache."""
        if after.bias is None and after.residual is None and not after.activation:
            return
        steps, none = self.steps(p.dtype), y.reshape(-1)[:0]
        bias, residual = (none if a is None else a for a in (after.bias, after.residual))
        count = pixels.stop - pixels.start
        if count < p.oh * p.ow and not p.y_last:
            steps.epilogue_pixels(y, bias, residual, after.code, images.start, pixels.start, count, 1)
            return

        def part(a: Array) -> Array:
            if not a.size:
                return a
            return a.reshape(p.n, 1, -1, p.co)[images, :, pixels] if p.y_last else a[images]

        steps.epilogue(part(y), bias, part(residual), after.code, p.y_last, 1)


def _in_place(p: ConvProblem) -> bool:
    """A 1x1 kernel on the plain grid: the image already is the matrix."""
    return (p.kh, p.kw, p.sh, p.sw, p.pt, p.pb, p.pl, p.pr) == (1, 1, 1, 1, 0, 0, 0, 0)


def _turns(p: ConvProblem) -> bool:
    """Whether the order of the terms is not that of the weights."""
    return p.x_last and p.kh * p.kw > 1 and p.ci > p.g


def _products(p: ConvProblem, cfg: Panels) -> int:
    """Products a panel and group: the pixels of all its images are one matrix where all channels lie last."""
    return 1 if p.x_last and p.y_last else cfg.images


def _panels(p: ConvProblem, cfg: Panels) -> Iterator[tuple[slice, slice]]:
    """(images, pixels) of each panel."""
    for n in range(0, p.n, cfg.images):
        for q in range(0, p.oh * p.ow, cfg.pixels):
            yield slice(n, min(n + cfg.images, p.n)), slice(q, min(q + cfg.pixels, p.oh * p.ow))


def _matrices(p: ConvProblem, a: Array, last: bool, images: slice, pixels: slice) -> Array:
    """(images, groups, pixels, channels) of x or y, a view; one matrix of all images where `_products` says so."""
    channels = a.shape[3] if last else a.shape[1]
    if not last:
        return a.reshape(p.n, p.g, channels // p.g, -1)[images, ..., pixels].swapaxes(2, 3)
    part = a.reshape(p.n, -1, p.g, channels // p.g)[images, pixels]
    return (part.reshape(1, -1, *part.shape[2:]) if p.x_last and p.y_last else part).swapaxes(1, 2)


def _room_for_columns(p: ConvProblem, images: slice, pixels: slice, room: dict[str, Array]) -> tuple[Array, Array]:
    """The columns as steps take them, and the same numbers as `_matrices`."""
    nb, size, terms = images.stop - images.start, pixels.stop - pixels.start, p.ci * p.kh * p.kw
    if not p.x_last:
        col = _carve(room["columns"], (nb, terms, size))
        return col, col.reshape(nb, p.g, -1, size).swapaxes(2, 3)
    col = _carve(room["columns"], (p.g, nb, size, terms // p.g))
    return col, col.reshape(1, p.g, -1, terms // p.g) if p.y_last else col.swapaxes(0, 1)


@lru_cache(1024)
def _scratch(p: ConvProblem, pass_: str, cfg: Panels, packed: bool = False) -> Scratch:
    room, weights = Scratch(p.dtype), p.co * (p.ci // p.g) * p.kh * p.kw
    if not _in_place(p):
        room.book("columns", cfg.images * p.ci * p.kh * p.kw * cfg.pixels)
    if pass_ == "grad_weight":
        room.book("sums", _products(p, cfg) * weights)
    if _turns(p) and not packed:
        room.book("total" if pass_ == "grad_weight" else "weights", weights)
    return room


def _carve(work: Array, shape: tuple[int, ...]) -> Array:
    """The last panel may be smaller than the others."""
    return work[: math.prod(shape)].reshape(shape)
