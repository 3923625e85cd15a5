"""Pooling and unfolding of integers and booleans: exact, in the dtype of the image."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv

DTYPES = ["bool", "int8", "uint8", "int16", ">u2", "int32", "uint32", "int64", "uint64", ">i8"]


def numbers(rng: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """From one end of the dtype to the other, neighbours that no float tells apart among them."""
    if dtype == "bool":
        return rng.random(shape) < 0.3
    limits = np.iinfo(dtype)
    near = rng.integers(limits.max - 3, limits.max, shape, dtype=np.dtype(dtype).newbyteorder("="), endpoint=True)
    far = rng.integers(limits.min, limits.max, shape, dtype=near.dtype, endpoint=True)
    return np.where(rng.random(shape) < 0.5, near, far).astype(dtype)


def largest(x: Any, k: int, stride: int, pad: int) -> tuple[Any, Any]:
    """Of every window, and where its first is."""
    *most, h, w = x.shape
    starts = [range(-pad, n + pad - k + 1, stride) for n in (h, w)]
    y = np.empty((*most, len(starts[0]), len(starts[1])), x.dtype.newbyteorder("="))
    index = np.empty(y.shape, np.int64)
    for (i, r), (j, q) in ((a, b) for a in enumerate(starts[0]) for b in enumerate(starts[1])):
        rows, cols = np.arange(max(r, 0), min(r + k, h)), np.arange(max(q, 0), min(q + k, w))
        flat = x[..., rows[:, None], cols].reshape(*most, -1)
        at = flat.argmax(axis=-1)
        y[..., i, j] = np.take_along_axis(flat, at[..., None], -1)[..., 0]
        index[..., i, j] = rows[at // len(cols)] * w + cols[at % len(cols)]
    return y, index


@given(st.sampled_from(DTYPES), st.integers(0, 99), st.integers(1, 4), st.integers(1, 3), st.booleans(), st.booleans())
def test_max(dtype: str, seed: int, k: int, stride: int, last: bool, swapped: bool) -> None:
    rng = np.random.default_rng(seed)
    x = numbers(rng, (2, 3, 7, 9), dtype)
    want, places = largest(x, k, stride, k // 2)
    given_x = x.transpose(0, 2, 3, 1) if last else x
    given_x = np.asfortranarray(given_x) if swapped else given_x
    options: Any = dict(stride=stride, padding=k // 2, layout="NHWC" if last else "NCHW")
    got, index = fastconv.max_pool2d(given_x, k, return_indices=True, **options)
    shown = [a.transpose(0, 3, 1, 2) if last else a for a in (got, index, fastconv.max_pool2d(given_x, k, **options))]
    assert got.dtype == want.dtype
    for found, expected in zip(shown, (want, places, want), strict=True):
        np.testing.assert_array_equal(found, expected)
    out = np.zeros_like(got)
    assert fastconv.max_pool2d(given_x, k, out=out, **options) is out
    np.testing.assert_array_equal(out, got)
    np.testing.assert_array_equal(fastconv.global_max_pool2d(x), x.max(axis=(2, 3), keepdims=True))


def test_windows_without_a_pixel() -> None:
    """The least number, and no place: dilated windows that step over an image of one pixel."""
    for dtype in DTYPES:
        x = np.ones((1, 1, 1), dtype)
        y, index = fastconv.max_pool2d(x, 2, dilation=2, padding=1, stride=1, return_indices=True)
        assert index.tolist() == [[[-1]]]
        assert y.item() == (False if dtype == "bool" else np.iinfo(dtype).min)


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean(dtype: str) -> None:
    """In float64, as numpy.mean."""
    x = numbers(np.random.default_rng(0), (2, 3, 8, 6), dtype)
    want = x.reshape(2, 3, 4, 2, 3, 2).astype(float).mean(axis=(3, 5))
    got = fastconv.avg_pool2d(x, 2)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, want, rtol=1e-15, atol=np.abs(x.astype(float)).max() * 1e-15)
    np.testing.assert_allclose(fastconv.avg_pool2d(x, 2, divisor_override=1), want * 4, rtol=1e-15, atol=1e4)
    np.testing.assert_allclose(fastconv.global_avg_pool2d(x)[..., 0, 0], x.astype(float).mean(axis=(2, 3)), rtol=1e-12)
    with pytest.raises(TypeError, match="out must have dtype float64"):
        fastconv.avg_pool2d(x, 2, out=np.empty(got.shape, x.dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_unfold(dtype: str) -> None:
    """To the last bit, of every pattern; zeros at the border."""
    x = numbers(np.random.default_rng(1), (2, 3, 6, 7), dtype)
    got = fastconv.unfold(x[..., ::-1], 3, padding=1, stride=2)
    padded = np.pad(x[..., ::-1], ((0, 0), (0, 0), (1, 1), (1, 1)))
    want = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
    np.testing.assert_array_equal(got, want.transpose(0, 1, 4, 5, 2, 3).reshape(2, 27, -1))
    assert got.dtype == x.dtype.newbyteorder("=")
    out = np.zeros_like(got)
    assert fastconv.unfold(x[..., ::-1], 3, padding=1, stride=2, out=out) is out
    np.testing.assert_array_equal(out, got)


def test_bits_of_floats_that_are_no_numbers() -> None:
    for dtype, bits in (("uint32", 0x7F800001), ("uint64", 0x7FF0000000000001)):
        x = np.full((1, 9, 9), bits, dtype)
        x[0, ::2] = 1  # the smallest subnormal
        np.testing.assert_array_equal(fastconv.unfold(x, 1), x.reshape(1, 81))


def test_gradients_want_floats() -> None:
    x = np.ones((1, 4, 4), int)
    for back in (fastconv.max_pool2d_backward, fastconv.avg_pool2d_backward):
        with pytest.raises(TypeError, match="x must be"):
            back(np.ones((1, 2, 2)), x, 2)
    wrong: Any
    for wrong, error in ((0, ValueError), (-2, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="divisor_override"):
            fastconv.avg_pool2d(x, 2, divisor_override=wrong)
