"""More images out of those there are: random changes of a batch, each image by itself, for ``nn.fit(augment=)``.

Every function returns a change: ``change(x, rng)`` of images (N, C, H, W), float32 or float64, and a generator of
NumPy. Results lie in memory as ``x`` does; outside an image there are zeros. After Krizhevsky, Sutskever and Hinton,
"ImageNet classification with deep convolutional neural networks" (2012), section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ..core.arguments import pair
from ..core.typing import Array, IntPair
from .layer import images

Change: TypeAlias = Callable[[Array, np.random.Generator], Array]


def flip(p: float = 0.5) -> Change:
    """Left and right exchanged.

    Parameters
    ----------
    p : float
        Probability of it.

    Returns
    -------
    callable
        The change.

    Raises
    ------
    ValueError
        For a probability that is none.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p must be from 0 to 1, got {p}")

    def change(x: Array, rng: np.random.Generator) -> Array:
        y, chosen = x.copy(order="K"), rng.random(images(x.shape)[0]) < p
        y[chosen] = x[chosen, :, :, ::-1]
        return y

    return change


def shift(most: IntPair) -> Change:
    """Moved by up to so many pixels, down or up and to the right or left.

    Parameters
    ----------
    most : int or (rows, columns)

    Returns
    -------
    callable
        The change.

    Raises
    ------
    TypeError, ValueError
        For what is no number of pixels.
    """
    down, right = pair("most", most, 0)

    def change(x: Array, rng: np.random.Generator) -> Array:
        return crop(x.shape[2:], padding=(down, right))(x, rng)

    return change


def crop(size: IntPair, *, padding: IntPair = 0) -> Change:
    """A part of the image, at a random place.

    Parameters
    ----------
    size : int or (height, width)
    padding : int or (height, width)
        Zeros around the image at first.

    Returns
    -------
    callable
        The change; it raises ValueError for images smaller than the part.

    Raises
    ------
    TypeError, ValueError
        For what is no number of pixels.
    """
    (h, w), (ph, pw) = pair("size", size, 1), pair("padding", padding, 0)

    def change(x: Array, rng: np.random.Generator) -> Array:
        n, _, ih, iw = images(x.shape)
        if h > ih + 2 * ph or w > iw + 2 * pw:
            raise ValueError(f"crop: the part is {h} x {w}, the image {ih} x {iw} and {ph}, {pw} pixels around it")
        tops, lefts = rng.integers(0, ih + 2 * ph - h + 1, n), rng.integers(0, iw + 2 * pw - w + 1, n)
        rows = tops[:, None, None] - ph + np.arange(h)[:, None]
        cols = lefts[:, None, None] - pw + np.arange(w)
        return _as_lies(_pixels(x, rows, cols), x)

    return change


def rotate(degrees: float) -> Change:
    """Turned around the middle by up to so many degrees; numbers between pixels are bilinear.

    Parameters
    ----------
    degrees : float
        To either side.

    Returns
    -------
    callable
        The change.

    Raises
    ------
    ValueError
        For less than nothing.
    """
    if degrees < 0:
        raise ValueError(f"degrees must be 0 or more, got {degrees}")

    def change(x: Array, rng: np.random.Generator) -> Array:
        n, _, h, w = images(x.shape)
        angle = np.deg2rad(rng.uniform(-degrees, degrees, n))[:, None, None]
        i, j = np.arange(h)[:, None] - (h - 1) / 2, np.arange(w) - (w - 1) / 2
        rows = np.cos(angle) * i + np.sin(angle) * j + (h - 1) / 2
        cols = np.cos(angle) * j - np.sin(angle) * i + (w - 1) / 2
        top, left = np.floor(rows).astype(np.intp), np.floor(cols).astype(np.intp)
        y = np.zeros(x.shape, x.dtype)
        for down in (0, 1):
            for right in (0, 1):
                weight = np.abs(1 - down - (rows - top)) * np.abs(1 - right - (cols - left))
                y += _pixels(x, top + down, left + right) * weight[:, None].astype(x.dtype)
        return _as_lies(y, x)

    return change


def noise(std: float) -> Change:
    """Normal numbers added to every pixel.

    Parameters
    ----------
    std : float
        Their standard deviation.

    Returns
    -------
    callable
        The change.

    Raises
    ------
    ValueError
        For less than nothing.
    """
    if std < 0:
        raise ValueError(f"std must be 0 or more, got {std}")

    def change(x: Array, rng: np.random.Generator) -> Array:
        added = np.empty_like(x)
        added[...] = rng.standard_normal(images(x.shape), np.float32)
        return x + added * std

    return change


def _pixels(x: Array, rows: Array, cols: Array) -> Array:
    """x at (rows, cols) of every image, (N, H, W) after broadcasting; zero outside."""
    n, _, h, w = x.shape
    inside = (rows >= 0) & (rows < h) & (cols >= 0) & (cols < w)
    found = x[np.arange(n)[:, None, None], :, rows.clip(0, h - 1), cols.clip(0, w - 1)]  # (N, H, W, C)
    result: Array = np.moveaxis(found * inside[..., None], -1, 1)
    return result


def _as_lies(y: Array, x: Array) -> Array:
    """y in the memory layout of x."""
    room = np.empty_like(x, shape=y.shape)
    room[...] = y
    return room
