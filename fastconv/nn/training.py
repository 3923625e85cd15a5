"""A network meets its data: batches, epochs, a history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.layouts import lies_last, returned, stored
from ..core.typing import Array, ArrayLike
from .augment import Change
from .layer import Layer, floats
from .losses import Loss
from .optimisers import Optimiser
from .progress import progress
from .schedules import Schedule

Metric = Callable[[Array, Array], float]


@dataclass
class History:
    """What `fit` saw, a number an epoch; lists stay empty where nothing was asked for.

    Attributes
    ----------
    loss : list of float
        Mean over the epoch's batches, while the network learned.
    validation_loss, validation_metric : list of float
        After the epoch, of the data that were held out.
    lr : list of float
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)


def fit(
    net: Layer,
    x: ArrayLike,
    target: ArrayLike,
    *,
    loss: Loss,
    optimiser: Optimiser,
    epochs: int = 10,
    batch_size: int = 32,
    schedule: Schedule | None = None,
    augment: Sequence[Change] = (),
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    metric: Metric | None = None,
    seed: int | None = None,
    progress_bar: bool = True,
) -> History:
    """Learn: in every epoch all examples once, in random order, a step a batch.

    Parameters
    ----------
    net : Layer
        Afterwards it infers (`Layer.eval`).
    x : array (N, ..), float32 or float64
    target : array (N, ..)
        As ``loss`` takes it.
    loss : Loss
    optimiser : Optimiser
        Of the network's parameters.
    epochs, batch_size : int
        The last batch of an epoch may be smaller.
    schedule : callable, optional
        Learning rate of an epoch, see `nn.schedules`; that of the optimiser unless given.
    augment : sequence of callables
        Changes of a batch, see `nn.augment`.
    validation : (x, target), optional
        Examples held out, weighed after every epoch.
    metric : callable, optional
        Of output and target, for ``validation``: `nn.accuracy`.
    seed : int, optional
        Of order and augmentation: the same seed gives the same network, bit for bit, on the same machine.
    progress_bar : bool
        Show one: by rich, if it is installed, else a line an epoch.

    Returns
    -------
    History

    Raises
    ------
    TypeError
        As layers and losses.
    ValueError
        Without an example, for different numbers of them, an epoch or batch of less than one, and as layers and losses.
    FloatingPointError
        If the loss or a gradient is not finite; the network is as it was before that batch.
    """
    xs, ts, rng = floats("x", x), np.asarray(target), np.random.default_rng(seed)
    if not len(xs):
        raise ValueError("fit: the batch is empty, x holds no example")
    if ts.shape[:1] != xs.shape[:1]:
        raise ValueError(f"fit: x holds {len(xs)} examples, target {len(ts) if ts.ndim else 'a number'}")
    if epochs < 1 or batch_size < 1:
        raise ValueError(f"fit: epochs and batch_size must be 1 or more, got {epochs} and {batch_size}")
    history, starts, text = History(), range(0, len(xs), batch_size), ""
    try:
        with progress(epochs * len(starts), progress_bar) as done:
            for epoch in range(epochs):
                net.train()
                optimiser.lr = optimiser.lr if schedule is None else schedule(epoch)
                order, total = rng.permutation(len(xs)), 0.0
                for b, start in enumerate(starts):
                    chosen = order[start : start + batch_size]
                    batch = _examples(xs, chosen)
                    for change in augment:
                        batch = change(batch, rng)
                    total += len(chosen) * _step(net, loss, optimiser, batch, ts[chosen], f"epoch {epoch}, batch {b}")
                    done(epoch * len(starts) + b + 1, text)
                history.loss.append(total / len(xs))
                history.lr.append(optimiser.lr)
                text = f"epoch {epoch + 1} loss {history.loss[-1]:.4f}"
                if validation is not None:
                    _weigh(net, loss, validation, metric, batch_size, history)
                    text += f" validation {(history.validation_metric or history.validation_loss)[-1]:.4f}"
                done((epoch + 1) * len(starts), text)
    finally:
        net.eval()
    return history


def predict(net: Layer, x: ArrayLike, *, batch_size: int = 256) -> Array:
    """Outputs of a network that infers, batch by batch.

    Parameters
    ----------
    net : Layer
        Afterwards it learns or infers as before.
    x : array (N, ..), float32 or float64
    batch_size : int

    Returns
    -------
    ndarray (N, ..)

    Raises
    ------
    TypeError, ValueError
        As layers; ValueError also without an example.
    """
    a = floats("x", x)
    if not len(a):
        raise ValueError("predict: the batch is empty, x holds no example")
    before = [(layer, layer.training) for _, layer in net.walk()]
    net.eval()
    try:
        return np.concatenate([net.forward(a[i : i + batch_size]) for i in range(0, len(a), batch_size)])
    finally:
        for layer, training in before:
            layer.training = training


def accuracy(y: ArrayLike, target: ArrayLike) -> float:
    """How many labels are the largest of their row.

    Parameters
    ----------
    y : array (N, C), real
    target : integer array (N,)

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        If the shapes do not fit, or there is no example.
    """
    a, t = np.asarray(y), np.asarray(target)
    if a.ndim != 2 or t.shape != a.shape[:1] or not a.size:
        raise ValueError(f"accuracy: y must have shape (N, C) and target (N,), got {a.shape} and {t.shape}")
    return float(np.mean(a.argmax(axis=1) == t))


def _examples(x: Array, chosen: Array) -> Array:
    """Some of the examples; images lie in memory as all do."""
    if x.ndim == 4 and lies_last(x):
        return returned(stored(x, True)[chosen], True, False, False)
    return x[chosen]


def _step(net: Layer, loss: Loss, optimiser: Optimiser, x: Array, target: Array, when: str) -> float:
    """One step of the optimiser; if there is an error, what forward has changed is put back."""
    buffers = [(getattr(layer, n), getattr(layer, n).copy()) for _, layer in net.walk() for n in layer.buffers]
    hint = f"in {when}; the network is as before it. A smaller learning rate?"
    try:
        value = loss(net.forward(x), target)
        if not np.isfinite(value):
            raise FloatingPointError(f"fit: the loss is {value} {hint}")
        net.backward(loss.backward())
        wrong = [p.name for p in net.parameters() if not np.isfinite(p.grad).all()]
        if wrong:
            raise FloatingPointError(f"fit: the gradient of {', '.join(wrong)} is not finite {hint}")
    except BaseException:
        for array, before in buffers:
            array[...] = before
        raise
    optimiser.step()
    return value


def _weigh(
    net: Layer,
    loss: Loss,
    validation: tuple[ArrayLike, ArrayLike],
    metric: Metric | None,
    batch_size: int,
    history: History,
) -> None:
    y, target = predict(net, validation[0], batch_size=batch_size), np.asarray(validation[1])
    history.validation_loss.append(loss(y, target))
    if metric is not None:
        history.validation_metric.append(metric(y, target))
