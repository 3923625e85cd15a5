"""Optimisers against torch.optim, step by step; schedules against its schedulers; first values by their variance."""

from typing import Any

import numpy as np
import pytest

from fastconv import nn
from tests.peers import needs_torch, torch

OPTIMISERS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "sgd": (nn.SGD, "SGD", dict(lr=0.1)),
    "weight decay": (nn.SGD, "SGD", dict(lr=0.1, weight_decay=0.3)),
    "momentum": (nn.SGD, "SGD", dict(lr=0.1, momentum=0.9, weight_decay=0.1)),
    "nesterov": (nn.SGD, "SGD", dict(lr=0.1, momentum=0.9, nesterov=True)),
    "adagrad": (nn.Adagrad, "Adagrad", dict(lr=0.1, weight_decay=0.1)),
    "rmsprop": (nn.RMSprop, "RMSprop", dict(lr=0.1, alpha=0.9, weight_decay=0.1)),
    "adam": (nn.Adam, "Adam", dict(lr=0.1, betas=(0.8, 0.99), weight_decay=0.1)),
}


@needs_torch
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_torch(name: str, dtype: str, tolerance: float) -> None:
    make, peer, options = OPTIMISERS[name]
    rng = np.random.default_rng(2)
    own = [nn.Parameter(rng.normal(size=shape).astype(dtype)) for shape in ((3, 4), (5,))]
    theirs = [torch.from_numpy(p.value.copy()).requires_grad_() for p in own]
    optimiser, other = make(own, **options), getattr(torch.optim, peer)(theirs, **options)
    arrays = [p.value for p in own]
    for step in range(20):
        for p, q in zip(own, theirs, strict=True):
            p.grad = rng.normal(size=p.value.shape).astype(dtype)
            q.grad = torch.from_numpy(p.grad.copy())
        optimiser.step()
        other.step()
        for p, q in zip(own, theirs, strict=True):
            np.testing.assert_allclose(p.value, q.detach().numpy(), rtol=0, atol=tolerance * 10, err_msg=f"step {step}")
    assert all(p.value is a and a.dtype == dtype for p, a in zip(own, arrays, strict=True))


def test_defaults_are_torchs() -> None:
    p = [nn.Parameter(np.ones(1))]
    assert (nn.Adam(p).lr, nn.Adam(p).betas, nn.Adam(p).eps) == (0.001, (0.9, 0.999), 1e-8)
    assert (nn.RMSprop(p).lr, nn.RMSprop(p).alpha, nn.RMSprop(p).eps) == (0.01, 0.99, 1e-8)
    assert (nn.Adagrad(p).lr, nn.Adagrad(p).eps) == (0.01, 1e-10)


@needs_torch
def test_schedules() -> None:
    t = torch.optim.lr_scheduler
    for schedule, make in (
        (nn.schedules.step(0.5, 3, factor=0.2), lambda o: t.StepLR(o, 3, gamma=0.2)),
        (nn.schedules.cosine(0.5, 10, least=0.1), lambda o: t.CosineAnnealingLR(o, 10, eta_min=0.1)),
        (nn.schedules.exponential(0.5, 0.9), lambda o: t.ExponentialLR(o, 0.9)),
    ):
        optimiser = torch.optim.SGD([torch.ones(1)], lr=0.5)
        other = make(optimiser)
        for epoch in range(10):
            assert schedule(epoch) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-12)
            optimiser.step()
            other.step()
    assert nn.schedules.cosine(0.5, 10, least=0.1)(25) == 0.1


def test_what_is_refused() -> None:
    p = [nn.Parameter(np.ones(1))]
    for make, message in (
        (lambda: nn.SGD([], lr=0.1), "SGD: there is nothing to learn"),
        (lambda: nn.SGD(p, lr=-0.1), "SGD: lr must be 0 or more, got -0.1"),
        (lambda: nn.SGD(p, lr=float("nan")), "SGD: lr must be 0 or more, got nan"),
        (lambda: nn.SGD(p, lr=0.1, nesterov=True), "SGD: momentum must be above 0, got 0.0"),
        (lambda: nn.Adam(p, weight_decay=-1), "Adam: weight_decay must be 0 or more, got -1"),
        (lambda: nn.Adam(p, betas=(0.9, 1.0)), "Adam: betas must be from 0 to below 1"),
        (lambda: nn.schedules.step(0.1, 0), "every must be 1 or more, got 0"),
        (lambda: nn.schedules.cosine(0.1, 0), "epochs must be 1 or more, got 0"),
        (lambda: nn.schedules.exponential(0.1, 0), "factor must be above 0, got 0"),
        (lambda: nn.init.he((3,)), r"shape must have two axes or more, got \(3,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_first_values() -> None:
    """The variance that each rule promises, and the same numbers from the same seed."""
    shape = 64, 32, 3, 3
    ins, outs = nn.init.fans(shape)
    assert (ins, outs) == (32 * 9, 64 * 9)
    for rule, variance in (
        (nn.init.normal, 1 / ins),
        (nn.init.he, 2 / ins),
        (nn.init.xavier, 2 / (ins + outs)),
    ):
        w = rule(shape, rng=0)
        assert w.dtype == np.float32 and w.shape == shape
        assert w.var() == pytest.approx(variance, rel=0.05)
        assert abs(w.mean()) < 0.02 * w.std()
        np.testing.assert_array_equal(w, rule(shape, np.random.default_rng(0)))
    assert nn.init.normal((4, 5), 0, std=0.0).tolist() == np.zeros((4, 5)).tolist()
    assert np.abs(nn.init.xavier((10, 20), 0)).max() <= (6 / 30) ** 0.5
    layer = nn.Conv2d(3, 4, 3, init=nn.init.xavier, rng=5)
    np.testing.assert_array_equal(layer.weight.value, nn.init.xavier((4, 3, 3, 3), 5))
