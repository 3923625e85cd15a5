"""`halo`: tiles that are cut with it give the outputs of the whole image, and with a row less they do not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv


def needed(k: int, s: int, p: int, d: int, size: int, first: int, stop: int) -> tuple[int, int]:
    """Rows that the outputs of the tile [first, stop) read above and below it, by a list of all of them."""
    outputs = [i for i in range(size) if first <= i * s < stop]
    read = [i * s - p + t * d for i in outputs for t in range(k)]
    return max(first - min(read), 0), max(max(read) - stop + 1, 0)


@given(*[st.tuples(st.integers(low, high), st.integers(low, high)) for low, high in ((1, 7), (1, 5), (0, 6), (1, 3))])
def test_exactly_what_is_read(k: tuple[int, int], s: tuple[int, int], p: tuple[int, int], d: tuple[int, int]) -> None:
    found = fastconv.halo(k, stride=s, padding=p, dilation=d)
    for axis in (0, 1):
        want = needed(k[axis], s[axis], p[axis], d[axis], 999, 20 * s[axis], 40 * s[axis])
        assert found[axis] == want


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(3, 3), (4, 5), (1, 6)])
@pytest.mark.parametrize("padding", [0, "same", "full", ((1, 0), (0, 2))])
def test_convolution_in_tiles(kernel: Any, stride: int, padding: Any) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 36, 48)), rng.standard_normal((3, 2, *kernel))
    whole = fastconv.conv2d(x, w, stride=stride, padding=padding, backend="reference")
    (top, bottom), (left, right) = fastconv.halo(kernel, stride=stride, padding=padding)
    framed = np.pad(x, ((0, 0), (top, bottom), (left, right)))  # tiles of the first row and column see the padding
    for i in range(0, 36, 12):
        for j in range(0, 48, 12):
            tile = framed[:, i : i + 12 + top + bottom, j : j + 12 + left + right]
            got = fastconv.conv2d(tile, w, stride=stride, backend="reference")[:, : 12 // stride, : 12 // stride]
            want = whole[:, i // stride :, j // stride :][:, : 12 // stride, : 12 // stride]
            np.testing.assert_allclose(got[:, : want.shape[1], : want.shape[2]], want, rtol=0, atol=1e-12)


def test_bad_numbers_are_named() -> None:
    for name, bad in (("kernel_size", 0), ("stride", 0), ("padding", -1), ("padding", "some"), ("dilation", 1.5)):
        with pytest.raises((TypeError, ValueError), match=name):
            fastconv.halo(**{"kernel_size": 3, name: bad})  # type: ignore[arg-type]
