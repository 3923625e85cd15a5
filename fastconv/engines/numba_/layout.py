"""Channels first to channels last and back, and the epilogue of a convolution as a step of its own."""

from __future__ import annotations

from .ground import vector as v
from .ground.epilogue import activate
from .ground.launch import step

_WIDE = 4  # vectors of a row that are read on: whole cache lines, and pages are met once


def to_channels_last(x, out, threads):
    """out (N, H, W, C) OUT: x (N, C, H, W)."""
    n, c, h, w = x.shape
    _flip(x.reshape(-1), out.reshape(-1), n, c, h * w, threads)


def to_channels_first(x, out, threads):
    """out (N, C, H, W) OUT: x (N, H, W, C)."""
    n, h, w, c = x.shape
    _flip(x.reshape(-1), out.reshape(-1), n, h * w, c, threads)


def epilogue(y, bias, residual, code, channels_last, threads):
    """y IN OUT (N, C, H, W), or (N, H, W, C) if channels_last: activation(y + bias + residual).

    bias (C) and residual (as y) may be empty; code is the activation's place in ACTIVATIONS.
    """
    channels = y.shape[3] if channels_last else y.shape[1]
    n = channels if channels_last else y.shape[2] * y.shape[3]
    if channels_last and not bias.size:  # nothing depends on the channel: longer rows
        n *= y.shape[2]
    rows = y.size // n
    _epilogue(
        y.reshape(-1), bias.reshape(-1), residual.reshape(-1), code, n, channels, int(channels_last), min(rows, threads)
    )


def epilogue_pixels(y, bias, residual, code, n0, p0, pixels, threads):
    """y IN OUT (N, C, H, W): `epilogue` for pixels p0 .. p0 + pixels of image n0."""
    channels, plane = y.shape[1], y.shape[2] * y.shape[3]
    first, bias, residual = n0 * channels * plane + p0, bias.reshape(-1), residual.reshape(-1)
    _epilogue_pixels(y.reshape(-1), bias, residual, code, plane, first, pixels, channels, threads)


@step("out")
def _flip(x, out, images, rows, cols, share, shares):
    """The transposes of matrices (rows, cols): all rows of some vectors of columns of an image at a time."""
    L = v.lanes(x)
    wide = -(-cols // (_WIDE * L))
    tasks = images * wide
    for task in range(tasks * share // shares, tasks * (share + 1) // shares):
        image, c0 = task // wide * rows * cols, task % wide * _WIDE * L
        for r in range(0, rows, L):
            for c in range(c0, min(c0 + _WIDE * L, cols), L):
                block = v.transpose(v.load_rows(x, image + r * cols + c, cols, rows - r, cols - c))
                v.store_rows(out, image + c * rows + r, rows, block, cols - c, rows - r)


@step("y")
def _epilogue(y, bias, residual, code, n, period, per_number, share, shares):
    """Rows of n numbers: bias of each number (per_number) or of each row modulo `period`."""
    L, rows = v.lanes(y), y.size // n
    for row in range(rows * share // shares, rows * (share + 1) // shares):
        first = row * n
        for j in range(0, n, L):
            x = v.load_part(y, first + j, n - j)
            if bias.size:
                x = x + (v.load_part(bias, j, n - j) if per_number else v.splat_at(bias, row % period))
            if residual.size:
                x = x + v.load_part(residual, first + j, n - j)
            v.store_part(y, first + j, activate(x, code), n - j)


@step("y")
def _epilogue_pixels(y, bias, residual, code, plane, first, pixels, channels, share, shares):
    """A row of pixels from `first` on of every plane."""
    L = v.lanes(y)
    for c in range(channels * share // shares, channels * (share + 1) // shares):
        for j in range(0, pixels, L):
            at = first + c * plane + j
            x = v.load_part(y, at, pixels - j)
            if bias.size:
                x = x + v.splat_at(bias, c)
            if residual.size:
                x = x + v.load_part(residual, at, pixels - j)
            v.store_part(y, at, activate(x, code), pixels - j)
