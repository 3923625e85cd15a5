"""Complex images: real and imaginary parts, each filtered."""

from typing import Any

import numpy as np
import pytest

import fastconv


@pytest.mark.parametrize("mode", ["reflect", "mirror", "wrap", "constant"])
@pytest.mark.parametrize("dtype", ["complex64", "complex128", ">c8"])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_part_by_part(mode: Any, dtype: str, channels: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((30, 40, *channels)) + 1j * rng.standard_normal((30, 40, *channels))).astype(dtype)
    w = rng.standard_normal((3, 4))
    for image in (x, x[:, ::-2], np.asfortranarray(x)):
        before = image.copy()
        got = fastconv.filter2d(image, w, mode=mode, flip=True, method="direct")
        assert (got.dtype, got.shape) == (np.dtype(dtype).newbyteorder("="), image.shape)
        for part, whole in ((got.real, image.real), (got.imag, image.imag)):
            real = np.ascontiguousarray(whole, whole.dtype.newbyteorder("="))
            np.testing.assert_array_equal(part, fastconv.filter2d(real, w, mode=mode, flip=True, method="direct"))
        out = np.zeros((2 * len(image), *image.shape[1:]), dtype)[::2]
        assert fastconv.filter2d(image, w, mode=mode, flip=True, method="direct", out=out) is out
        np.testing.assert_array_equal(out, got)
        np.testing.assert_array_equal(image, before)
        fastconv.filter2d(before, w, mode=mode, flip=True, method="direct", out=before)
        np.testing.assert_array_equal(before, got)


def test_empty_and_bad_input() -> None:
    x = np.ones((5, 5), complex)
    assert fastconv.filter2d(x[:0], np.ones((3, 3))).shape == (0, 5)
    for error, name, options in (
        (ValueError, "cval must be left out", dict(cval=1.0, mode="constant")),
        (ValueError, "delta must be left out", dict(delta=1.0)),
        (ValueError, "nan must be left out", dict(nan="ignore")),
        (ValueError, "dtype must be that of the image", dict(dtype="float32")),
        (TypeError, "out must have dtype complex128", dict(out=np.zeros((5, 5)))),
        (ValueError, "out must have shape", dict(out=np.zeros((5, 4), complex))),
    ):
        with pytest.raises(error, match=name):
            fastconv.filter2d(x, np.ones((3, 3)), **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="kernel must hold real numbers"):
        fastconv.filter2d(x, np.ones((3, 3), complex))
    with pytest.raises(ValueError, match="image must have shape"):
        fastconv.filter2d(x[0], np.ones((3, 3)))


def test_anchor_and_weights() -> None:
    """Real and imaginary parts are filtered as images of their own."""
    rng = np.random.default_rng(3)
    kernel = rng.random((3, 4))
    for shape in ((7, 9), (7, 9, 3)):
        x = rng.random(shape) + 1j * rng.random(shape)
        for weights in (rng.random(shape[:2]), rng.random(shape)):
            options: dict[str, Any] = dict(anchor=(0, 3), weights=weights, flip=True)
            got = fastconv.filter2d(x, kernel, **options)
            np.testing.assert_allclose(got.real, fastconv.filter2d(x.real, kernel, **options), rtol=1e-12)
            np.testing.assert_allclose(got.imag, fastconv.filter2d(x.imag, kernel, **options), rtol=1e-12)
