"""filter2d: where the result goes, of which dtype, and what lies on the pixel; the old name of ``method``."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
from tests.images.test_filters import DTYPES, PAD, by_definition, check

SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
OPENCV = {"reflect": 2, "mirror": 4, "nearest": 1}  # its numbers of borders


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


def expected(sums: Any, dtype: str) -> Any:
    if np.dtype(dtype).kind == "f":
        return sums.astype(dtype)
    limits = np.iinfo(dtype)
    return np.rint(sums).clip(limits.min, limits.max).astype(dtype)


@st.composite
def depths(draw: Any) -> tuple[Any, Any, dict[str, Any], Any]:
    """A call on whole numbers, whose sums are exact, and its result."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(2, 30)), draw(st.integers(2, 60)), *draw(st.sampled_from([(), (1,), (3,)])))
    image = rng.integers(0, 200, shape).astype(draw(st.sampled_from(["bool", *DTYPES])))
    kernel = rng.integers(-9, 10, (draw(st.integers(1, 6)), draw(st.integers(1, 6))))
    if draw(st.booleans()):
        kernel = np.outer(kernel[:, 0], kernel[0])
    dtype, delta = draw(st.sampled_from([None, *DTYPES])), draw(st.sampled_from([0.0, 10.5, -3.0]))
    anchor = tuple(int(rng.integers(k)) for k in kernel.shape)
    mode, flip = draw(st.sampled_from(sorted(PAD))), draw(st.booleans())
    whole = np.zeros([2 * k - 1 for k in kernel.shape])  # the anchor in the middle
    whole[tuple(slice(k - 1 - a, 2 * k - 1 - a) for k, a in zip(kernel.shape, anchor, strict=True))] = kernel
    sums = by_definition(image, whole, mode, 3.0, flip) + delta
    options = dict(mode=mode, cval=3, flip=flip, anchor=anchor, delta=delta, dtype=dtype)
    return image, kernel, options, expected(sums, dtype or {"bool": "float32"}.get(image.dtype.name, image.dtype.name))


@given(depths(), st.booleans())
def test_depth_anchor_and_delta(call: tuple[Any, Any, dict[str, Any], Any], swapped: bool) -> None:
    image, kernel, options, want = call
    image = image.astype(image.dtype.newbyteorder()) if swapped else image
    before = image.copy()
    for method in ("auto", "direct"):
        got = fastconv.filter2d(image, kernel, **options, method=method)  # type: ignore[arg-type]
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    out = np.zeros((*want.shape, 2), want.dtype)[..., 0]
    assert fastconv.filter2d(image, kernel, **options, out=out) is out
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(("image", "result"), [
    ("uint8", "int16"), ("uint8", "float32"), ("uint8", "float64"), ("uint8", "uint8"), ("uint16", "float32"),
    ("int16", "int16"), ("float32", "float32"), ("float64", "float64"),
])  # fmt: skip
@pytest.mark.parametrize("mode", OPENCV)
def test_equal_to_opencv(image: str, result: str, mode: Any) -> None:
    cv2 = pytest.importorskip("cv2")
    depth = {"uint8": 0, "uint16": 2, "int16": 3, "float32": 5, "float64": 6}[result]
    x = np.random.default_rng(0).integers(0, 255, (31, 45, 3)).astype(image)
    for kernel, (row, col) in ((SOBEL, (1, 1)), (np.arange(12).reshape(3, 4) - 5, (2, 0))):
        want = cv2.filter2D(x, depth, kernel.astype(float), anchor=(col, row), delta=2.5, borderType=OPENCV[mode])
        got = fastconv.filter2d(x, kernel, mode=mode, anchor=(row, col), delta=2.5, dtype=result)
        np.testing.assert_array_equal(got, want)


def test_match_template() -> None:
    """The docstring's example, against OpenCV's own function."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    image, pattern = rng.integers(0, 255, (40, 50), np.uint8), rng.integers(0, 255, (7, 9), np.uint8)
    got = fastconv.filter2d(image, pattern, mode="constant", anchor=(0, 0), dtype="float32")[:34, :42]
    np.testing.assert_allclose(got, cv2.matchTemplate(image, pattern, cv2.TM_CCORR), rtol=1e-5)


def test_units_are_not_lost() -> None:
    units = pytest.importorskip("astropy.units")
    with pytest.raises(TypeError, match=r"image has a unit, Jy.*image\.value"):
        fastconv.filter2d(np.ones((4, 4)) * units.Jy, SOBEL)
    with pytest.raises(TypeError, match="x has masked elements"):
        fastconv.max_pool2d(np.ma.masked_equal(np.eye(4)[None], 1), 2)


@pytest.mark.parametrize("name", ["cval", "delta"])
def test_text_is_no_number(name: str) -> None:
    text: Any = {name: "0"}
    with pytest.raises(TypeError, match=f"{name} must be a real number"):
        fastconv.filter2d(np.ones((5, 5)), np.ones((3, 3)), **text)
