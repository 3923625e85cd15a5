"""
A float64 answer to check every measured result against; it shares no code with what it checks.

Computing every output channel in float64 would take longer than the benchmark. Convolution is linear in its
channels, so a weighted sum of the output channels is a convolution with one output channel (Freivalds, 1979:
check a product by multiplying it with a random vector). Two sums are compared for each group of channels: one
channel by itself, which shows the plain error, and all channels with random signs, in which a wrong value
anywhere shows up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.workloads import Layer, Tensors

# Largest error that counts as rounding, relative to the largest value of the result.
TOLERANCE = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-11}

_NUMPY_PAD = {
    "zeros": "constant",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "replicate": "edge",
    "circular": "wrap",
}


class Oracle:
    """
    What the result of one pass over one layer has to be.

    Parameters
    ----------
    layer : Layer
        The convolution. Gradients are known for zero padding only.
    pass_ : str
        ``"forward"``, ``"grad_input"`` or ``"grad_weight"``.
    tensors : Tensors
        Its arrays, of any float dtype.
    seed : int
        Chooses the channel and the signs.
    """

    def __init__(self, layer: Layer, pass_: str, tensors: Tensors, seed: int = 0):
        self.layer, self.pass_ = layer, pass_
        self.shape = {"forward": layer.y_shape, "grad_input": layer.x_shape, "grad_weight": layer.w_shape}[pass_]
        self.dtype = tensors.x.dtype.name
        outputs = layer.co // layer.groups if pass_ != "grad_input" else layer.ci // layer.groups
        rng = np.random.default_rng(seed)
        single = np.eye(outputs)[rng.integers(outputs)]
        self.projection = np.stack([single, rng.choice([-1.0, 1.0], outputs)])
        x, w, dy = (a.astype(np.float64) for a in tensors)
        self.expected = getattr(self, f"_{pass_}")(x, w, dy)

    def error(self, result: np.ndarray) -> float:
        """
        Largest error of `result` relative to the largest expected value; infinite for a wrong shape or a NaN.
        """
        result = np.asarray(result)
        if result.shape != self.shape:
            return float("inf")
        difference = np.abs(self._project(result.astype(np.float64)) - self.expected)
        # One scale per projected sum: a sum of many channels is larger than one channel.
        axes = tuple(axis for axis in range(difference.ndim) if axis != self._sum_axis)
        scale = np.abs(self.expected).max(axis=axes)
        worst = float((difference.max(axis=axes) / np.where(scale > 0, scale, 1)).max())
        return worst if np.isfinite(worst) else float("inf")

    def accepts(self, error: float) -> bool:
        """Whether `error` is no more than rounding."""
        return error <= TOLERANCE[self.dtype]

    @property
    def _sum_axis(self) -> int | None:
        return 1 if self.pass_ == "grad_weight" else 2

    def _project(self, result: np.ndarray) -> np.ndarray:
        """Sums of the channels of each group: (N, g, 2, H, W), or (g, 2, Ci / g, KH, KW) for weights."""
        g = self.layer.groups
        if self.pass_ == "grad_weight":
            sums = np.einsum("pk,gkcij->gpcij", self.projection, result.reshape(g, -1, *result.shape[1:]))
            return np.asarray(sums)
        n, _, rows, columns = result.shape
        sums = np.einsum("pk,ngkhw->ngphw", self.projection, result.reshape(n, g, -1, rows, columns))
        return np.asarray(sums)

    def _summed(self, w: np.ndarray) -> np.ndarray:
        """Weights (g, Co / g, Ci / g, KH, KW) of the sums: (KH, KW, g, 2, Ci / g)."""
        return np.asarray(np.einsum("pk,gkcij->ijgpc", self.projection, w))

    def _taps(self, padded: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """For each tap of the kernel, the pixels it meets: a view (..., OH, OW) of the padded image."""
        oh, ow = self.layer.out_size
        s, d = self.layer.stride, self.layer.dilation
        for i in range(self.layer.kh):
            for j in range(self.layer.kw):
                rows = slice(i * d, i * d + s * (oh - 1) + 1, s)
                columns = slice(j * d, j * d + s * (ow - 1) + 1, s)
                yield i, j, padded[..., rows, columns]

    def _padded(self, x: np.ndarray) -> np.ndarray:
        """The input with its border, its channels split into groups: (N, g, Ci / g, H + 2 ph, W + 2 pw)."""
        (ph, pw), g = self.layer.pads, self.layer.groups
        border = ((0, 0), (0, 0), (ph, ph), (pw, pw))
        mode: Any = _NUMPY_PAD[self.layer.padding_mode]
        pad = np.pad(x, border, mode)
        return np.asarray(pad.reshape(pad.shape[0], g, -1, *pad.shape[2:]))

    def _forward(self, x: np.ndarray, w: np.ndarray, dy: np.ndarray) -> np.ndarray:
        oh, ow = self.layer.out_size
        n, g = self.layer.n, self.layer.groups
        weights = self._summed(w.reshape(g, -1, *w.shape[1:]))
        y = np.zeros((n, g, weights.shape[3], oh * ow))
        for i, j, pixels in self._taps(self._padded(x)):
            y += weights[i, j] @ pixels.reshape(n, g, -1, oh * ow)
        return y.reshape(*y.shape[:3], oh, ow)

    def _grad_input(self, x: np.ndarray, w: np.ndarray, dy: np.ndarray) -> np.ndarray:
        if self.layer.padding_mode != "zeros":
            raise ValueError("padding_mode: the oracle knows gradients for zeros only")
        (ph, pw), (oh, ow) = self.layer.pads, self.layer.out_size
        n, g = self.layer.n, self.layer.groups
        weights = np.einsum("pc,gkcij->ijgpk", self.projection, w.reshape(g, -1, *w.shape[1:]))
        dy = dy.reshape(n, g, -1, oh * ow)
        dx = np.zeros((n, g, 2, self.layer.h + 2 * ph, self.layer.w + 2 * pw))
        for i, j, pixels in self._taps(dx):
            pixels += (weights[i, j] @ dy).reshape(n, g, 2, oh, ow)
        return dx[..., ph : ph + self.layer.h, pw : pw + self.layer.w]

    def _grad_weight(self, x: np.ndarray, w: np.ndarray, dy: np.ndarray) -> np.ndarray:
        if self.layer.padding_mode != "zeros":
            raise ValueError("padding_mode: the oracle knows gradients for zeros only")
        oh, ow = self.layer.out_size
        n, g = self.layer.n, self.layer.groups
        dy = self.projection @ dy.reshape(n, g, -1, oh * ow)
        dw = np.empty((g, 2, self.layer.ci // g, self.layer.kh, self.layer.kw))
        for i, j, pixels in self._taps(self._padded(x)):
            dw[..., i, j] = (dy @ pixels.reshape(n, g, -1, oh * ow).swapaxes(-1, -2)).sum(axis=0)
        return dw


class FusedOracle(Oracle):
    """
    What ``relu(conv + bias)`` has to be; every value is compared, since ReLU is not linear.

    Parameters
    ----------
    layer, tensors
        As in `Oracle`.
    bias : ndarray (Co,)
    """

    def __init__(self, layer: Layer, tensors: Tensors, bias: np.ndarray):
        self.layer, self.pass_, self.shape, self.dtype = layer, "forward", layer.y_shape, tensors.x.dtype.name
        sums = self._forward(*(a.astype(np.float64) for a in tensors))
        self.expected = np.maximum(sums + bias.reshape(layer.groups, -1, 1, 1), 0)

    _sum_axis = None  # one scale for all: ReLU leaves channels that are nearly nothing

    def _summed(self, w: np.ndarray) -> np.ndarray:
        return w.transpose(3, 4, 0, 1, 2)

    def _project(self, result: np.ndarray) -> np.ndarray:
        return result.reshape(self.expected.shape)
