"""Pooling: scratch memory that does not grow with windows and strides, and results where the caller wants them."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import fastconv
from tests.peers import integers

SIGNAL = (1, 2, 3, 300_000)


@pytest.mark.parametrize("kernel", [(1, 300_000), (3, 299_999), (2, 100_000), (1, 600), (3, 3), (1, 2), (1, 70_000)])
def test_long_signals_take_little_memory(kernel: tuple[int, int]) -> None:
    """Scratch memory, Python's and the loops', stays below a few times the image whatever the window."""
    x = integers(np.random.default_rng(0), SIGNAL, "float32")
    stride = kernel if kernel[1] != 70_000 else (1, 40_000)
    fastconv.release_workspace()
    tracemalloc.start()
    try:
        for calls in (
            (fastconv.max_pool2d, fastconv.max_pool2d_backward),
            (fastconv.avg_pool2d, fastconv.avg_pool2d_backward),
        ):
            y = calls[0](x, kernel, stride=stride)
            calls[1](y, x, kernel, stride=stride)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * x.nbytes


def test_a_stride_beyond_the_image_takes_little_memory() -> None:
    """Scratch memory does not grow with a stride that no window takes."""
    x = np.ones((1, 1, 4, 8), np.float32)
    found = [call(x, 2) for call in (fastconv.avg_pool2d, fastconv.max_pool2d)]  # loads the loops
    tracemalloc.start()
    try:
        for stride in (1000, 2**31 - 1):
            found += [call(x, 2, stride=stride) for call in (fastconv.avg_pool2d, fastconv.max_pool2d)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found[2:], np.ones((4, 1, 1, 1, 1)))
    assert peak < 1 << 16


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_out(dtype: str) -> None:
    """Every call writes where it is told to: any strides, also over its input."""
    x = integers(np.random.default_rng(0), (2, 3, 8, 8), dtype)
    y, dx = fastconv.max_pool2d(x, 3, stride=1, padding=1), fastconv.max_pool2d_backward(x, x, 3, stride=1, padding=1)
    cases: list[tuple[Any, Any, tuple[Any, ...], dict[str, Any]]] = [
        (fastconv.max_pool2d, y, (x, 3), dict(stride=1, padding=1)),
        (fastconv.max_pool2d_backward, dx, (x, x, 3), dict(stride=1, padding=1)),
        (fastconv.avg_pool2d, None, (x, 3), dict(stride=1, padding=1)),
        (fastconv.avg_pool2d_backward, None, (x, x, 3), dict(stride=1, padding=1)),
        (fastconv.global_avg_pool2d, None, (x,), {}),
        (fastconv.global_max_pool2d, None, (x,), {}),
        (fastconv.global_avg_pool2d_backward, None, (x[:, :, :1, :1], x), {}),
        (fastconv.global_max_pool2d_backward, None, (x[:, :, :1, :1], x), {}),
    ]
    for call, want, args, opt in cases:
        want = call(*args, **opt) if want is None else want
        apart = np.full((*want.shape, 2), np.nan, dtype)[..., 0]
        assert call(*args, **opt, out=apart) is apart
        np.testing.assert_array_equal(apart, want)
        with pytest.raises(ValueError, match="out"):
            call(*args, **opt, out=np.empty((1, *want.shape), dtype))
        with pytest.raises(TypeError, match="out"):
            call(*args, **opt, out=np.empty(want.shape, np.int32))
        if want.shape == x.shape:
            over = [a.copy() if a is x else a for a in args if isinstance(a, np.ndarray)]
            call(*over, *[a for a in args if not isinstance(a, np.ndarray)], **opt, out=over[-1])
            np.testing.assert_array_equal(over[-1], want)
    places = fastconv.max_pool2d(x, 3, stride=1, padding=1, return_indices=True, out=(over := x.copy()))[1]
    np.testing.assert_array_equal(over, y)
    np.testing.assert_array_equal(places, fastconv.max_pool2d(x, 3, stride=1, padding=1, return_indices=True)[1])
