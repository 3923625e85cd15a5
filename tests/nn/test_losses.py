"""Losses against PyTorch, finite differences and their definitions; what they refuse."""

from typing import Any

import numpy as np
import pytest

from fastconv import nn
from tests.nn.test_gradients import slopes
from tests.peers import needs_torch, torch

RNG = np.random.default_rng(1)
LOGITS, PROBABILITIES = RNG.normal(0, 3, (6, 4)), RNG.uniform(0.05, 0.95, (6, 4))
LABELS = np.array([0, 3, 1, 1, 2, 0])
SHARES = RNG.dirichlet(np.ones(4), 6)
PIXELS, PIXEL_LABELS = RNG.normal(0, 3, (2, 4, 3, 5)), RNG.integers(0, 4, (2, 3, 5))

CASES: dict[str, tuple[Any, Any, Any, str]] = {
    "labels": (nn.SoftmaxCrossEntropy(), LOGITS, LABELS, "cross_entropy"),
    "shares": (nn.SoftmaxCrossEntropy(), LOGITS, SHARES, "cross_entropy"),
    "pixels": (nn.SoftmaxCrossEntropy(), PIXELS, PIXEL_LABELS, "cross_entropy"),
    "binary": (nn.BinaryCrossEntropy(), PROBABILITIES, SHARES, "binary_cross_entropy"),
    "binary logits": (
        nn.BinaryCrossEntropy(logits=True),
        LOGITS,
        PROBABILITIES,
        "binary_cross_entropy_with_logits",
    ),
    "squares": (nn.MeanSquaredError(), LOGITS, SHARES, "mse_loss"),
    "differences": (nn.MeanAbsoluteError(), LOGITS, SHARES, "l1_loss"),
}


@needs_torch
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("name", CASES)
def test_torch(name: str, dtype: str, tolerance: float) -> None:
    loss, y, target, peer = CASES[name]
    y = y.astype(dtype)
    t = target if target.dtype.kind == "i" else target.astype(dtype)
    yt = torch.from_numpy(y.copy()).requires_grad_()
    want = getattr(torch.nn.functional, peer)(yt, torch.from_numpy(t))
    want.backward()
    assert loss(y, t) == pytest.approx(want.item(), rel=10 * tolerance)
    dy = loss.backward()
    assert dy.dtype == dtype
    np.testing.assert_allclose(dy, yt.grad.numpy(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_finite_differences(name: str) -> None:
    loss, y, target, _ = CASES[name]
    y = y.copy()
    loss(y, target)
    dy = loss.backward()
    np.testing.assert_allclose(dy, slopes(lambda: loss(y, target), y), rtol=1e-6, atol=1e-8)


def test_saturated_numbers() -> None:
    """Logits of any size, probabilities of 0 and 1: finite, as PyTorch has them."""
    big = np.array([[1e4, -1e4], [-1e4, 1e4]])
    assert nn.SoftmaxCrossEntropy()(big, np.array([0, 1])) == 0
    assert nn.SoftmaxCrossEntropy()(big, np.array([1, 1])) == 1e4
    assert nn.BinaryCrossEntropy(logits=True)(big, np.array([[1.0, 0], [0, 1]])) == 0
    binary = nn.BinaryCrossEntropy()
    assert binary(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]])) == 50
    np.testing.assert_array_equal(binary.backward(), [[-0.5e12, 0]])


def test_what_losses_refuse() -> None:
    cross, y = nn.SoftmaxCrossEntropy(), LOGITS
    with pytest.raises(RuntimeError, match="SoftmaxCrossEntropy: backward needs a call before it"):
        cross.backward()
    with pytest.raises(ValueError, match="labels must be 0 to 3, got 4"):
        cross(y, LABELS + 1)
    with pytest.raises(ValueError, match="labels must be 0 to 3, got -1"):
        cross(y, LABELS - 1)
    with pytest.raises(TypeError, match="labels must be integers, got float64"):
        cross(y, LABELS.astype(float))
    with pytest.raises(ValueError, match=r"target has shape \(5,\), y \(6, 4\)"):
        cross(y, LABELS[:5])
    with pytest.raises(ValueError, match=r"y must have shape \(N, C\)"):
        cross(y[0], LABELS[:1])
    with pytest.raises(TypeError, match="y must be float32 or float64, got int64"):
        cross(LABELS, LABELS)
    for loss in (cross, nn.MeanSquaredError(), nn.MeanAbsoluteError(), nn.BinaryCrossEntropy()):
        with pytest.raises(ValueError, match=f"{type(loss).__name__}: the batch is empty"):
            loss(y[:0], SHARES[:0])
    with pytest.raises(ValueError, match=r"target must be from 0 to 1, got -1.0 to 1.0"):
        nn.BinaryCrossEntropy()(np.full(2, 0.5), np.array([-1.0, 1.0]))
    with pytest.raises(ValueError, match=r"y must be from 0 to 1, got 0.5 to 1.5"):
        nn.BinaryCrossEntropy()(np.array([0.5, 1.5]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"MeanSquaredError: target has shape \(6,\), y \(6, 4\)"):
        nn.MeanSquaredError()(y, LABELS)
