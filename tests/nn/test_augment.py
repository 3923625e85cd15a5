"""Augmentation: what it may do, exactly; both memory layouts; no image is changed in place."""

from typing import Any

import numpy as np
import pytest

from fastconv.core.layouts import lies_last
from fastconv.nn import augment

X = np.random.default_rng(0).normal(size=(40, 3, 6, 7)).astype(np.float32)
CHANGES = {
    "flip": augment.flip(),
    "shift": augment.shift((1, 2)),
    "crop": augment.crop((4, 5), padding=1),
    "rotate": augment.rotate(30),
    "noise": augment.noise(0.1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_layouts(name: str) -> None:
    before, change = X.copy(), CHANGES[name]
    last = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    y, z = (change(a, np.random.default_rng(1)) for a in (X, last))
    np.testing.assert_array_equal(y, z)
    assert y.dtype == z.dtype == np.float32 and not lies_last(y) and lies_last(z)
    assert (y[:, :, :4, :5] != X[:, :, :4, :5]).any()
    np.testing.assert_array_equal(X, before)
    assert change(X.astype(np.float64), np.random.default_rng(1)).dtype == np.float64


def each(change: Any, x: Any = X) -> Any:
    return change(x, np.random.default_rng(2))


def test_flip() -> None:
    y = each(augment.flip())
    turned = np.array([(a == b[:, :, ::-1]).all() for a, b in zip(y, X, strict=True)])
    kept = np.array([(a == b).all() for a, b in zip(y, X, strict=True)])
    assert (turned ^ kept).all() and turned.any() and kept.any()
    np.testing.assert_array_equal(each(augment.flip(1.0)), X[:, :, :, ::-1])


def test_shift_and_crop() -> None:
    """Every image is one of the parts of the padded one, and all parts come up."""
    padded = np.pad(X, ((0, 0), (0, 0), (1, 1), (2, 2)))
    for change, h, w in ((augment.shift((1, 2)), 6, 7), (augment.crop((4, 3), padding=(1, 2)), 4, 3)):
        y, seen = each(change), set()
        assert y.shape == (40, 3, h, w)
        for k in range(40):
            parts = [
                (i, j)
                for i in range(9 - h)
                for j in range(12 - w)
                if (padded[k, :, i : i + h, j : j + w] == y[k]).all()
            ]
            assert parts
            seen |= set(parts)
        assert len({i for i, _ in seen}) == 9 - h and len({j for _, j in seen}) == 12 - w
    np.testing.assert_array_equal(each(augment.crop((6, 7))), X)


def test_rotate() -> None:
    """Nothing by no degrees; a quarter turn exchanges rows and columns; what is the same everywhere stays so inside."""
    np.testing.assert_allclose(each(augment.rotate(0)), X, atol=1e-6)

    class Quarter(np.random.Generator):
        def uniform(self, low: Any = 0, high: Any = 1, size: Any = None) -> Any:
            return np.full(size, 90.0)

    square = X[:, :, :, :6].astype(np.float64)
    got = augment.rotate(90)(square, Quarter(np.random.PCG64()))
    np.testing.assert_allclose(got, np.rot90(square, 1, (2, 3)), atol=1e-12)
    flat = each(augment.rotate(45), np.ones((5, 1, 9, 9)))
    np.testing.assert_allclose(flat[:, :, 3:6, 3:6], 1, atol=1e-12)


def test_noise() -> None:
    y = each(augment.noise(0.5), np.zeros((50, 3, 8, 8)))
    assert y.std() == pytest.approx(0.5, rel=0.05) and abs(y.mean()) < 0.02


def test_what_is_refused() -> None:
    for bad, message in (
        (lambda: augment.flip(2), "p must be from 0 to 1, got 2"),
        (lambda: augment.shift(-1), "most must be at least 0"),
        (lambda: augment.crop(0), "size must be at least 1"),
        (lambda: augment.rotate(-1), "degrees must be 0 or more"),
        (lambda: augment.noise(-1), "std must be 0 or more"),
        (lambda: each(augment.crop(9)), "crop: the part is 9 x 9, the image 6 x 7"),
        (lambda: each(augment.flip(), X[0]), r"x must have shape \(N, C, H, W\)"),
    ):
        with pytest.raises(ValueError, match=message):
            bad()
