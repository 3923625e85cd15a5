"""Sums of float32 images in float32, on request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from ..images.ndimage_plans import single


@contextmanager
def precision(kind: Literal["single", "double"]) -> Iterator[None]:
    """Let float32 images be summed in float32 inside a ``with`` block.

    A Gaussian of a megapixel takes a third of the time. Holds for `correlate`, `convolve`, and filters of two passes
    along neighbouring axes (`gaussian_filter` and its derivatives, `sobel`, `prewitt`) of images of 2**14 pixels or
    more, input and result float32; all other calls give SciPy's numbers as ever.

    Parameters
    ----------
    kind : {"single", "double"}
        "double" gives SciPy's numbers, which is the default.

    Yields
    ------
    None

    Raises
    ------
    ValueError
        For another kind.

    Notes
    -----
    Every result y of a kernel w of KH x KW taps (for two passes: of their outer product) on pixels x is within
    ``(n + 4) * 2**-24 * sum |w| |x|`` of the exact sum, where n is KH * KW, or KH + KW for two passes: each product
    and each addition rounds once, and so do weights and factors (Higham, Accuracy and Stability of Numerical
    Algorithms, 2002, section 3.1). A context of its own thread or task (`contextvars`).
    """
    if kind not in ("single", "double"):
        raise ValueError(f"kind must be 'single' or 'double', got {kind!r}")
    token = single.set(kind == "single")
    try:
        yield
    finally:
        single.reset(token)
