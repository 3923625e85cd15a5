"""First values of weights: ``rule(shape, rng)``, what every layer with weights takes as ``init``."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TypeAlias

import numpy as np

from ..core.typing import Array, Shape

#: whatever `numpy.random.default_rng` takes: a generator goes on, a number begins anew
Random: TypeAlias = np.random.Generator | int | None
Rule: TypeAlias = Callable[[tuple[int, ...], np.random.Generator], Array]


def fans(shape: Shape) -> tuple[int, int]:
    """Numbers that one output is made of, and numbers that one input goes to.

    Parameters
    ----------
    shape : (Co, Ci // groups, KH, KW) or (out, in)

    Returns
    -------
    tuple of int
        ``Ci // groups * KH * KW`` and ``Co * KH * KW``.

    Raises
    ------
    ValueError
        For fewer than two axes.

    References
    ----------
    He, Zhang, Ren and Sun (2015), section 2.2: n and n hat.
    """
    if len(shape) < 2:
        raise ValueError(f"shape must have two axes or more, got {tuple(shape)}")
    window = prod(shape[2:])
    return shape[1] * window, shape[0] * window


def normal(shape: Shape, rng: Random = None, *, std: float | None = None) -> Array:
    """Normal numbers with mean zero.

    Parameters
    ----------
    shape : (Co, Ci // groups, KH, KW) or (out, in)
    rng : numpy.random.Generator or seed, optional
    std : float, optional
        ``1 / sqrt(fan_in)`` unless given: sums of as many unit numbers keep the variance 1.

    Returns
    -------
    ndarray of shape, float32

    Raises
    ------
    ValueError
        For fewer than two axes.

    References
    ----------
    LeCun, Bottou, Orr and Müller, "Efficient backprop" (1998), equation 16.
    """
    scale = fans(shape)[0] ** -0.5 if std is None else std
    return (np.random.default_rng(rng).standard_normal(tuple(shape)) * scale).astype(np.float32)


def he(shape: Shape, rng: Random = None) -> Array:
    """Normal numbers with ``std = sqrt(2 / fan_in)``: a ReLU halves the variance.

    Parameters
    ----------
    shape : (Co, Ci // groups, KH, KW) or (out, in)
    rng : numpy.random.Generator or seed, optional

    Returns
    -------
    ndarray of shape, float32

    Raises
    ------
    ValueError
        For fewer than two axes.

    References
    ----------
    He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015), equation 10.
    """
    return normal(shape, rng, std=(2 / fans(shape)[0]) ** 0.5)


def xavier(shape: Shape, rng: Random = None) -> Array:
    """Uniform numbers below ``sqrt(6 / (fan_in + fan_out))``, a compromise of both passes.

    Parameters
    ----------
    shape : (Co, Ci // groups, KH, KW) or (out, in)
    rng : numpy.random.Generator or seed, optional

    Returns
    -------
    ndarray of shape, float32

    Raises
    ------
    ValueError
        For fewer than two axes.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010), equation 16.
    """
    most = (6 / sum(fans(shape))) ** 0.5
    return np.random.default_rng(rng).uniform(-most, most, tuple(shape)).astype(np.float32)
