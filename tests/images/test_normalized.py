"""filter2d with holes and weights: against sums over a padded image, window by window."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
from tests.images.test_filters import ENGINES, PAD, by_definition


def expected(image: Any, kernel: Any, w: Any, mode: str, cval: float, flip: bool) -> Any:
    """Numerator by denominator in float64; what lies outside counts one, or nothing where it is NaN."""
    x, w = image.astype(float), np.array(np.broadcast_to(w, image.shape), float)
    gone = np.isnan(cval)
    top = by_definition(np.where(w > 0, x, 0) * w, kernel, mode, 0.0 if gone else cval, flip)
    below = by_definition(w, kernel, mode, 0.0 if gone else 1.0, flip)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below == 0, np.nan, top / below)


@st.composite
def calls(draw: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(2, 30)), draw(st.integers(2, 60)), *draw(st.sampled_from([(), (1,), (3,)])))
    image = (rng.random(shape) * 250).astype(draw(st.sampled_from(["uint8", "int16", "float32", "float64"])))
    kernel = rng.random((draw(st.integers(1, 12)), draw(st.integers(1, 12)))) + 0.1
    if draw(st.booleans()):
        kernel = np.outer(kernel[:, 0], kernel[0])
    kernel *= draw(st.sampled_from([1, -3]))
    holes = rng.random(shape) < draw(st.sampled_from([0, 0.1, 0.9, 1]))
    given = draw(st.sampled_from([None, "plane", "pixel"]))
    weights = None if given is None else rng.integers(0, 3, shape if given == "pixel" else shape[:2])
    if weights is not None:
        weights = weights.astype(draw(st.sampled_from(["bool", "int64", "float16", ">f4", "float64"])))
    mode = draw(st.sampled_from(sorted(PAD)))
    options = dict(mode=mode, cval=draw(st.sampled_from([0.0, 7.5, np.nan])), flip=draw(st.booleans()))
    return image, kernel, holes, dict(weights=weights, **options)


@given(calls(), st.sampled_from(["auto", *(f"direct/{e}" for e in ENGINES)]), st.sampled_from([None, "float64"]))
def test_random_calls(call: tuple[Any, Any, Any, dict[str, Any]], method: Any, dtype: Any) -> None:
    image, kernel, holes, options = call
    weights = options.pop("weights")
    w = np.ones(image.shape) if weights is None else weights.astype(float)
    w = w[..., None] if w.ndim < image.ndim else w
    given_image = image
    if image.dtype.kind == "f":
        given_image, w = np.where(holes, np.nan, image).astype(image.dtype), np.where(holes, 0, w)
    want = expected(image, kernel, w, **options)
    before = given_image.copy()
    got = fastconv.filter2d(given_image, kernel, nan="ignore", weights=weights, **options, method=method, dtype=dtype)
    np.testing.assert_array_equal(given_image, before)
    assert got.dtype == (dtype or image.dtype) and got.shape == image.shape
    if got.dtype.kind == "f":
        np.testing.assert_allclose(got, want, rtol=2e-5 if "float32" in (got.dtype, image.dtype) else 1e-12, atol=1e-9)
    else:
        assert np.abs(got - np.nan_to_num(want)).max() <= 0.5 + 1e-3


def test_masked_arrays() -> None:
    """Masked pixels are holes, whatever they hold, beside those that are NaN."""
    rng = np.random.default_rng(0)
    x = rng.random((20, 30, 3))
    x[4, 5] = np.nan
    mask = rng.random(x.shape) < 0.2
    holes = x.copy()
    holes[mask] = np.nan
    x[7, 7], mask[7, 7] = np.inf, True
    holes[7, 7] = np.nan
    want = fastconv.filter2d(holes, np.ones((3, 3)), nan="ignore")
    np.testing.assert_array_equal(fastconv.filter2d(np.ma.array(x, mask=mask), np.ones((3, 3)), nan="ignore"), want)
    ints = np.ma.array(np.arange(9, dtype=np.uint8).reshape(3, 3), mask=np.eye(3, dtype=bool))
    got = fastconv.filter2d(ints, np.ones((1, 3)), nan="ignore", mode="constant", cval=np.nan)
    assert got.tolist() == [[1, 2, 2], [3, 4, 5], [6, 6, 7]]  # 1.5 and 6.5 are ties
    np.testing.assert_array_equal(
        fastconv.filter2d(np.ma.array(np.eye(3)), np.eye(3)), fastconv.filter2d(np.eye(3), np.eye(3))
    )


def test_weights_alone_let_nan_through() -> None:
    """But not where its weight is zero."""
    x = np.ones((5, 9))
    x[2, 2], x[2, 6] = np.nan, np.nan
    w = np.ones(x.shape)
    w[2, 2] = 0
    got = fastconv.filter2d(x, np.ones((3, 3)), weights=w)
    held = np.zeros(x.shape, bool)
    held[1:4, 5:8] = True
    np.testing.assert_array_equal(np.isnan(got), held)
    assert (got[~held] == 1).all()


def test_windows_without_a_pixel() -> None:
    """NaN, or 0 among integers; also by FFTs, whose sums are not exactly zero."""
    x = np.full((60, 60), np.nan, np.float32)
    x[:9] = 5
    for kernel in (np.ones((5, 5)), np.random.default_rng(0).random((21, 21)) + 0.1):
        for method in ("auto", "direct", "fft"):
            got = fastconv.filter2d(x, kernel, nan="ignore", method=method)  # type: ignore[arg-type]
            last = 9 + len(kernel) // 2
            np.testing.assert_allclose(got[:last], 5, rtol=1e-4)
            assert np.isnan(got[last:]).all()
    whole = fastconv.filter2d(np.full((60, 60), 7, np.uint8), np.ones((3, 3)), weights=~np.isnan(x))
    assert (whole[:10] == 7).all() and not whole[10:].any()


def test_out_and_delta() -> None:
    rng = np.random.default_rng(3)
    x = rng.random((30, 40)).astype(np.float32)
    x[3, 4] = np.nan
    want = fastconv.filter2d(x, np.ones((4, 3)), nan="ignore", anchor=(3, 0)) + np.float32(2)
    got = fastconv.filter2d(x, np.ones((4, 3)), nan="ignore", anchor=(3, 0), delta=2, out=x)
    assert got is x
    np.testing.assert_array_equal(x, want)
    assert fastconv.filter2d(x[:0], np.ones((3, 3)), nan="ignore").shape == (0, 40)


W = np.ones((5, 6))


@pytest.mark.parametrize(("weights", "error"), [
    (W[:4], ValueError), (W.T, ValueError), (W[..., None], ValueError), (-W, ValueError), (W * np.nan, ValueError),
    (W * np.inf, ValueError), (W * 1j, TypeError), (W.astype(object), TypeError), (W.tolist(), TypeError),
    (np.ma.array(W, mask=W > 0), TypeError), (3.0, TypeError),
])  # fmt: skip
def test_bad_weights(weights: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="weights"):
        fastconv.filter2d(W.astype(np.float32), np.eye(3), weights=weights)


def test_kernels_of_sum_zero() -> None:
    for kernel in (np.array([[-1, 0, 1]]), np.array([[0.1, 0.2, -0.3]]), np.zeros((3, 3))):
        with pytest.raises(ValueError, match="kernel must not sum to zero"):
            fastconv.filter2d(W, kernel, nan="ignore")
