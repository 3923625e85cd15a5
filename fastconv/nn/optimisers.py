"""From gradients to better parameters. Arguments are those of PyTorch, and so are the steps."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..core.typing import Array
from .layer import Parameter


class Optimiser:
    """Base of the optimisers: `step` changes every value by its gradient g.

    Parameters
    ----------
    parameters : sequence of Parameter
        As `Layer.parameters` gives them.
    lr : float
        Learning rate; may be set between steps, as schedules do.
    weight_decay : float
        ``g`` becomes ``g + weight_decay value``: the gradient of half the squared length.

    Raises
    ------
    ValueError
        Without a parameter, or for a negative number.
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float, weight_decay: float = 0.0) -> None:
        self.parameters, self.lr, self.weight_decay = list(parameters), lr, weight_decay
        if not self.parameters:
            raise ValueError(f"{type(self).__name__}: there is nothing to learn, parameters is empty")
        for name in ("lr", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{type(self).__name__}: {name} must be 0 or more, got {getattr(self, name)}")
        self.steps = 0
        self._memory: dict[str, list[Array]] = {}

    def step(self) -> None:
        """Change all values, in place."""
        self.steps += 1
        for i, p in enumerate(self.parameters):
            g = p.grad + self.weight_decay * p.value if self.weight_decay else p.grad
            p.value -= self._change(i, g)

    def _change(self, i: int, g: Array) -> Array:
        raise NotImplementedError

    def _remembered(self, name: str, i: int) -> Array:
        """What is kept of parameter i between steps, at first zeros."""
        if name not in self._memory:
            self._memory[name] = [np.zeros_like(p.value) for p in self.parameters]
        return self._memory[name][i]


class SGD(Optimiser):
    """Stochastic gradient descent: ``z = momentum z + g``, ``value -= lr z``.

    Nesterov's: ``value -= lr (g + momentum z)``, the gradient as if the step were half done.

    Parameters
    ----------
    parameters, lr, weight_decay
        As in `Optimiser`.
    momentum : float
    nesterov : bool

    Raises
    ------
    ValueError
        For a negative number, or ``nesterov`` without momentum.

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods" (1964). Sutskever, Martens, Dahl and
    Hinton, "On the importance of initialization and momentum in deep learning" (2013), equations 1 to 4.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        if not momentum >= 0 or (nesterov and momentum == 0):
            raise ValueError(f"SGD: momentum must be {'above 0' if nesterov else '0 or more'}, got {momentum}")
        self.momentum, self.nesterov = momentum, nesterov

    def _change(self, i: int, g: Array) -> Array:
        if not self.momentum:
            return self.lr * g
        z = self._remembered("z", i)
        z *= self.momentum
        z += g
        return self.lr * (g + self.momentum * z if self.nesterov else z)


class Adagrad(Optimiser):
    """``G += g^2``, ``value -= lr g / (sqrt(G) + eps)``.

    Parameters
    ----------
    parameters, lr, weight_decay
        As in `Optimiser`.
    eps : float

    Raises
    ------
    ValueError
        As `Optimiser`.

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization" (2011).
    """

    def __init__(
        self, parameters: Iterable[Parameter], lr: float = 0.01, *, eps: float = 1e-10, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.eps = eps

    def _change(self, i: int, g: Array) -> Array:
        total = self._remembered("G", i)
        total += g * g
        return self.lr * g / (np.sqrt(total) + self.eps)


class RMSprop(Optimiser):
    """``E = alpha E + (1 - alpha) g^2``, ``value -= lr g / (sqrt(E) + eps)``.

    Parameters
    ----------
    parameters, lr, weight_decay
        As in `Optimiser`.
    alpha : float
        How much of the squares is kept.
    eps : float

    Raises
    ------
    ValueError
        As `Optimiser`.

    References
    ----------
    Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5 (2012).
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 0.01,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.alpha, self.eps = alpha, eps

    def _change(self, i: int, g: Array) -> Array:
        squares = self._remembered("E", i)
        squares *= self.alpha
        squares += (1 - self.alpha) * g * g
        return self.lr * g / (np.sqrt(squares) + self.eps)


class Adam(Optimiser):
    """``m = b1 m + (1 - b1) g``, ``v = b2 v + (1 - b2) g^2``, ``value -= lr m' / (sqrt(v') + eps)``.

    ``m' = m / (1 - b1^t)`` and ``v' = v / (1 - b2^t)`` in step t, since both begin at zero.

    Parameters
    ----------
    parameters, lr, weight_decay
        As in `Optimiser`.
    betas : (float, float)
        b1 and b2.
    eps : float

    Raises
    ------
    ValueError
        As `Optimiser`; for betas that are not from 0 to below 1.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        if not all(0 <= b < 1 for b in betas):
            raise ValueError(f"Adam: betas must be from 0 to below 1, got {betas}")
        self.betas, self.eps = betas, eps

    def _change(self, i: int, g: Array) -> Array:
        m, v, (b1, b2) = self._remembered("m", i), self._remembered("v", i), self.betas
        m += (1 - b1) * (g - m)
        v *= b2
        v += (1 - b2) * g * g
        root = np.sqrt(v / (1 - b2**self.steps)) + self.eps
        return self.lr / (1 - b1**self.steps) * m / root
