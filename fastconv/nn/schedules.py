"""Learning rates that fall: functions of the epoch, counted from 0, for ``nn.fit(schedule=)``."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi
from typing import TypeAlias

Schedule: TypeAlias = Callable[[int], float]


def step(lr: float, every: int, *, factor: float = 0.1) -> Schedule:
    """``lr factor^floor(epoch / every)``.

    Parameters
    ----------
    lr : float
        In epoch 0.
    every : int
        Epochs from one fall to the next.
    factor : float

    Returns
    -------
    callable
        The learning rate of an epoch.

    Raises
    ------
    ValueError
        For less than one epoch.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep residual learning for image recognition" (2016), section 3.4.
    """
    if every < 1:
        raise ValueError(f"every must be 1 or more, got {every}")
    return lambda epoch: lr * factor ** (epoch // every)


def cosine(lr: float, epochs: int, *, least: float = 0.0) -> Schedule:
    """``least + (lr - least) (1 + cos(pi epoch / epochs)) / 2``, and ``least`` from then on.

    Parameters
    ----------
    lr : float
        In epoch 0.
    epochs : int
        When ``least`` is reached.
    least : float

    Returns
    -------
    callable
        The learning rate of an epoch.

    Raises
    ------
    ValueError
        For less than one epoch.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017), equation 5.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be 1 or more, got {epochs}")
    return lambda epoch: least + (lr - least) * (1 + cos(pi * min(epoch / epochs, 1))) / 2


def exponential(lr: float, factor: float) -> Schedule:
    """``lr factor^epoch``.

    Parameters
    ----------
    lr : float
        In epoch 0.
    factor : float

    Returns
    -------
    callable
        The learning rate of an epoch.

    Raises
    ------
    ValueError
        For a factor that is not above 0.

    References
    ----------
    Szegedy et al., "Going deeper with convolutions" (2015), section 6.
    """
    if factor <= 0:
        raise ValueError(f"factor must be above 0, got {factor}")
    return lambda epoch: float(lr * factor**epoch)
