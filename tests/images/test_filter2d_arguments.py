"""filter2d: where the result goes, and the old name of ``method``."""

from typing import Any

import numpy as np
import pytest

import fastconv
from tests.images.test_filters import DTYPES, check


@pytest.mark.parametrize("backend", ["im2col", "direct", "fft", "separable", "naive/cython"])
def test_the_old_name_of_method(backend: str) -> None:
    """``backend=`` goes on working, also with backends of `conv2d`, and says what to write instead."""
    rng = np.random.default_rng(5)
    image, kernel = rng.random((20, 30, 3)), np.outer(rng.random(4), rng.random(3))
    with pytest.warns(DeprecationWarning, match="method="):
        got = fastconv.filter2d(image, kernel, backend=backend)
    check(got, image, kernel)
    for wrong, error in (("nonsense", ValueError), ("direct/", ValueError), (3, TypeError)):
        with pytest.raises(error, match="backend must be"), pytest.warns(DeprecationWarning):
            fastconv.filter2d(image, kernel, backend=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["direct", "fft"])
def test_out(dtype: str, method: Any) -> None:
    """Any strides, also over the image itself and a window of it."""
    rng = np.random.default_rng(7)
    image, kernel = (rng.random((24, 31, 3)) * 90).astype(dtype), rng.standard_normal((5, 4))
    want = fastconv.filter2d(image, kernel, method=method)
    apart = np.zeros((*image.shape, 2), dtype)[..., 1]
    assert fastconv.filter2d(image, kernel, method=method, out=apart) is apart
    np.testing.assert_array_equal(apart, want)
    over = image.copy()
    assert fastconv.filter2d(over, kernel, method=method, out=over) is over
    np.testing.assert_array_equal(over, want)
    both = np.concatenate([image, image])
    fastconv.filter2d(both[:24], kernel, method=method, out=both[9:33])
    np.testing.assert_array_equal(both[9:33], want)
