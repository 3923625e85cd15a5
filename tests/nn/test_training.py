"""`fit`: it learns, the same for the same seed, and keeps the network from numbers that are not finite."""

from typing import Any

import numpy as np
import pytest

from fastconv import nn
from fastconv.core.layouts import lies_last
from fastconv.nn import progress
from fastconv.nn.layer import Layer


def data(n: int = 60) -> tuple[Any, Any]:
    """Images of which one half is brighter: 0 if it is the upper."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(0, 0.5, (n, 2, 6, 6)).astype(np.float32), rng.integers(0, 2, n)
    x[labels == 0, :, :3] += 1
    x[labels == 1, :, 3:] += 1
    return x, labels


def network() -> nn.Sequential:
    rng = np.random.default_rng(1)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False, rng=rng),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.1, rng=rng),
        nn.Flatten(),
        nn.Linear(64, 2, rng=rng),
    )


def run(net: Layer, x: Any, target: Any, **options: Any) -> nn.History:
    optimiser = options.pop("optimiser", None) or nn.SGD(net.parameters(), lr=options.pop("lr", 0.1), momentum=0.9)
    settings = dict(loss=nn.SoftmaxCrossEntropy(), epochs=4, batch_size=16, seed=0, progress_bar=False) | options
    return nn.fit(net, x, target, optimiser=optimiser, **settings)  # type: ignore[arg-type]


def test_it_learns() -> None:
    (x, labels), net = data(), network()
    schedule, validation = nn.schedules.step(0.1, 2), (x[40:], labels[40:])
    history = run(net, x[:40], labels[:40], schedule=schedule, validation=validation, metric=nn.accuracy)
    assert history.lr == [schedule(e) for e in range(4)]
    assert history.loss[-1] < history.loss[0]
    assert history.validation_metric[-1] == nn.accuracy(nn.predict(net, x[40:]), labels[40:]) == 1
    assert history.validation_loss[-1] == pytest.approx(nn.SoftmaxCrossEntropy()(net(x[40:]), labels[40:]))
    assert len(history.loss) == len(history.validation_loss) == len(history.validation_metric) == 4
    assert not any(layer.training for _, layer in net.walk())


def test_the_same_seed_gives_the_same_network() -> None:
    (x, labels), states = data(), []
    changes = nn.augment.flip(), nn.augment.shift(1), nn.augment.rotate(10), nn.augment.noise(0.1)
    for seed in (0, 0, 1):
        net = network()
        run(net, x, labels, seed=seed, augment=changes)
        states.append(net.state())
    assert all((states[0][n] == states[1][n]).all() for n in states[0])
    assert any((states[0][n] != states[2][n]).any() for n in states[0])


def test_a_step_is_a_step() -> None:
    """One epoch of one batch is forward, backward, step."""
    x, labels = data(8)
    net, other, loss = network()[4:], network()[4:], nn.SoftmaxCrossEntropy()
    x = np.ascontiguousarray(x[:, :, :4, :8].repeat(2, axis=1)[:, :4, :, :4])
    assert isinstance(net, nn.Sequential) and isinstance(other, nn.Sequential)
    history = run(net, x, labels, lr=0.5, epochs=1, batch_size=8)
    order = np.random.default_rng(0).permutation(8)
    assert loss(other(x[order]), labels[order]) == history.loss[0]
    other.backward(loss.backward())
    nn.SGD(other.parameters(), lr=0.5, momentum=0.9).step()
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.value, q.value)


def test_channels_last() -> None:
    """Batches lie as all images do."""

    class Seen(Layer):
        def _forward(self, x: Any) -> Any:
            assert lies_last(x) and x.dtype == np.float32
            return x

        def _backward(self, dy: Any) -> Any:
            assert lies_last(dy)
            return dy

    x, labels = data()
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    changes = nn.augment.flip(), nn.augment.crop(6, padding=1), nn.augment.rotate(5), nn.augment.noise(0.1)
    run(nn.Sequential(Seen(), *network()), last, labels, epochs=1, augment=changes)


@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_numbers_that_are_not_finite(bad: str) -> None:
    """An error, and the network as it was before the batch, running statistics too."""
    (x, labels), net = data(), network()
    run(net, x, labels, epochs=1)
    before = net.state()
    if bad == "loss":
        x[:] = np.nan
        message = r"fit: the loss is nan in epoch 0, batch 0; the network is as before it"
    else:
        net = nn.Sequential(*net, Exploding())
        before = net.state()
        message = r"fit: the gradient of 0.weight, 1.weight, 1.bias, 5.weight, 5.bias is not finite in epoch 0, batch 0"
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=message):
        run(net, x, labels)
    for name, a in net.state().items():
        np.testing.assert_array_equal(a, before[name])
    assert not net.training


class Exploding(Layer):
    """Gradients of infinity."""

    def _forward(self, x: Any) -> Any:
        return x

    def _backward(self, dy: Any) -> Any:
        return dy * np.inf


def test_what_fit_refuses() -> None:
    (x, labels), net = data(), network()
    for options, message in (
        (dict(x=x[:0], target=labels[:0]), "fit: the batch is empty"),
        (dict(target=labels[:5]), "fit: x holds 60 examples, target 5"),
        (dict(epochs=0), "fit: epochs and batch_size must be 1 or more, got 0 and 16"),
        (dict(batch_size=0), "fit: epochs and batch_size must be 1 or more, got 4 and 0"),
        (dict(target=labels + 1), "SoftmaxCrossEntropy: labels must be 0 to 1, got 2"),
        (dict(x=x[:, :1]), r"Sequential layer 0 \(Conv2d\): x has 1 channels, weight wants 2"),
    ):
        with pytest.raises(ValueError, match=message):
            run(net, **(dict(x=x, target=labels) | options))  # type: ignore[arg-type]
    unused = network().state()
    for name, a in net.state().items():
        np.testing.assert_array_equal(a, unused[name])
    with pytest.raises(ValueError, match="predict: the batch is empty"):
        nn.predict(net, x[:0])
    with pytest.raises(ValueError, match="accuracy: y must have shape"):
        nn.accuracy(x, labels)


def test_predict_leaves_the_mode() -> None:
    (x, _), net = data(), network()
    net[1].eval()
    y = nn.predict(net, x, batch_size=7)
    assert net.training and not net[1].training
    np.testing.assert_allclose(y, net.eval()(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("rich", [True, False])
def test_progress(rich: bool, capsys: Any, monkeypatch: Any) -> None:
    """A bar or a line an epoch, on stderr; nothing if it is not wanted."""
    if rich:
        pytest.importorskip("rich")
    else:
        monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    (x, labels), net = data(16), network()
    run(net, x, labels, epochs=2, progress_bar=True)
    shown = capsys.readouterr()
    assert not shown.out and "epoch 2 loss" in shown.err
    run(net, x, labels, epochs=2)
    shown = capsys.readouterr()
    assert not shown.out and not shown.err
    with progress.progress(0, True) as done:
        done(0, "nothing to do")
