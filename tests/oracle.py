"""Convolution written down a second time, in float64 NumPy and nothing else.

This module must never import fastconv: a mistake shared with the library would be invisible. Every function
takes plain numbers and arrays; sums of small integers are exact in float64.

Conventions: x (N, Ci, H, W), w (Co, Ci // groups, KH, KW), y and dy (N, Co, OH, OW). ``stride`` and ``dilation``
are pairs, ``padding`` is ((top, bottom), (left, right)).
"""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
Array = NDArray[np.float64]

NUMPY_MODE = {"reflect": "reflect", "symmetric": "symmetric", "replicate": "edge", "circular": "wrap"}


class Geometry(NamedTuple):
    """Everything about a convolution that is neither an array nor a size."""

    stride: Pair = (1, 1)
    padding: Padding = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1
    mode: str = "zeros"


DENSE = Geometry()


def border_index(size: int, pad: Pair, mode: str) -> NDArray[np.intp]:
    """For every index of the padded axis the index it is read from, or -1 where a zero stands."""
    inside = np.arange(size)
    if mode == "zeros":
        return np.pad(inside, pad, constant_values=-1)
    return np.pad(inside, pad, mode=NUMPY_MODE[mode])  # type: ignore[call-overload, no-any-return]


def pad(x: ArrayLike, padding: Padding, mode: str) -> Array:
    """Pad the last two axes."""
    x = np.asarray(x, np.float64)
    width = [(0, 0)] * (x.ndim - 2) + list(padding)
    if mode == "zeros":
        return np.pad(x, width)
    return np.pad(x, width, mode=NUMPY_MODE[mode])  # type: ignore[call-overload, no-any-return]


def pad_adjoint(dxp: Array, size: Pair, padding: Padding, mode: str) -> Array:
    """The transpose of `pad`: every padded value is added to the place it was read from."""
    for axis, length, before_after in zip((-2, -1), size, padding, strict=True):
        source = border_index(length, before_after, mode)
        moved = np.moveaxis(dxp, axis, 0)
        folded = np.zeros((length, *moved.shape[1:]))
        np.add.at(folded, source[source >= 0], moved[source >= 0])
        dxp = np.moveaxis(folded, 0, axis)
    return np.ascontiguousarray(dxp)


def output_size(size: int, k: int, stride: int, before: int, after: int, dilation: int) -> int:
    return (size + before + after - dilation * (k - 1) - 1) // stride + 1


def _taps(w_shape: tuple[int, ...], out: Pair, geo: Geometry) -> list[tuple[int, int, slice, slice]]:
    """(row, column, rows of the padded image it meets, columns it meets) for every weight of a kernel."""
    (sh, sw), (dh, dw), (oh, ow) = geo.stride, geo.dilation, out
    return [
        (a, b, slice(a * dh, a * dh + sh * (oh - 1) + 1, sh), slice(b * dw, b * dw + sw * (ow - 1) + 1, sw))
        for a, b in itertools.product(range(w_shape[2]), range(w_shape[3]))
    ]


def _grouped(a: Array, groups: int, axis: int) -> Array:
    """Split `axis` into (groups, rest)."""
    return a.reshape(*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1 :])


def out_size(x_size: Pair, k_size: Pair, geo: Geometry) -> Pair:
    h, w = (
        output_size(i, k, s, *p, d)
        for i, k, s, p, d in zip(x_size, k_size, geo.stride, geo.padding, geo.dilation, strict=True)
    )
    return h, w


def forward(x: ArrayLike, w: ArrayLike, bias: ArrayLike | None = None, geo: Geometry = DENSE) -> Array:
    """y[n, o] = bias[o] + sum over i, a, b of w[o, i, a, b] * padded x[n, i, oh*sh + a*dh, ow*sw + b*dw]."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    xp = _grouped(pad(x, geo.padding, geo.mode), geo.groups, 1)
    wg = _grouped(w, geo.groups, 0)
    oh, ow = out_size(x.shape[2:], w.shape[2:], geo)  # type: ignore[arg-type]
    y = np.zeros((x.shape[0], geo.groups, w.shape[0] // geo.groups, oh, ow))
    for a, b, rows, cols in _taps(w.shape, (oh, ow), geo):
        y += np.einsum("ngihw,goi->ngohw", xp[..., rows, cols], wg[..., a, b])
    y = y.reshape(x.shape[0], w.shape[0], oh, ow)
    return y if bias is None else y + np.asarray(bias, np.float64)[:, None, None]


def grad_input(dy: ArrayLike, w: ArrayLike, size: Pair, geo: Geometry = DENSE) -> Array:
    """The gradient of <dy, forward(x, w)> with respect to x; `size` is (H, W) of x."""
    dy, w = np.asarray(dy, np.float64), np.asarray(w, np.float64)
    dyg, wg = _grouped(dy, geo.groups, 1), _grouped(w, geo.groups, 0)
    padded = tuple(s + sum(p) for s, p in zip(size, geo.padding, strict=True))
    dxp = np.zeros((dy.shape[0], geo.groups, w.shape[1], *padded))
    for a, b, rows, cols in _taps(w.shape, dy.shape[2:], geo):  # type: ignore[arg-type]
        dxp[..., rows, cols] += np.einsum("ngohw,goi->ngihw", dyg, wg[..., a, b])
    dxp = dxp.reshape(dy.shape[0], geo.groups * w.shape[1], *padded)
    return pad_adjoint(dxp, size, geo.padding, geo.mode)


def grad_weight(dy: ArrayLike, x: ArrayLike, k_size: Pair, geo: Geometry = DENSE) -> Array:
    """The gradient of <dy, forward(x, w)> with respect to w; `k_size` is (KH, KW)."""
    dy, x = np.asarray(dy, np.float64), np.asarray(x, np.float64)
    dyg, xp = _grouped(dy, geo.groups, 1), _grouped(pad(x, geo.padding, geo.mode), geo.groups, 1)
    dw = np.zeros((geo.groups, dyg.shape[2], xp.shape[2], *k_size))
    for a, b, rows, cols in _taps((0, 0, *k_size), dy.shape[2:], geo):  # type: ignore[arg-type]
        dw[..., a, b] = np.einsum("ngohw,ngihw->goi", dyg, xp[..., rows, cols])
    return dw.reshape(dy.shape[1], xp.shape[2], *k_size)


def grad_bias(dy: ArrayLike) -> Array:
    """The gradient of <dy, forward(x, w, bias)> with respect to bias."""
    total: Array = np.asarray(dy, np.float64).sum(axis=(0, 2, 3))
    return total


def by_definition(x: ArrayLike, w: ArrayLike, geo: Geometry = DENSE) -> Array:
    """The sum of `forward` with one Python loop per index: for tiny arrays, to check `forward` itself."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    (n, _, h, wd), (co, cig, kh, kw) = x.shape, w.shape
    oh, ow = out_size((h, wd), (kh, kw), geo)
    rows, cols = (border_index(s, p, geo.mode) for s, p in zip((h, wd), geo.padding, strict=True))
    y = np.zeros((n, co, oh, ow))
    for i, o, r, c in np.ndindex(y.shape):
        first = o // (co // geo.groups) * cig
        for ch, a, b in np.ndindex(cig, kh, kw):
            at_r = rows[r * geo.stride[0] + a * geo.dilation[0]]
            at_c = cols[c * geo.stride[1] + b * geo.dilation[1]]
            if at_r >= 0 and at_c >= 0:
                y[i, o, r, c] += w[o, ch, a, b] * x[i, first + ch, at_r, at_c]
    return y
