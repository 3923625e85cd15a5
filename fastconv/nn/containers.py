"""Layers made of layers: one after another, beside a shortcut, beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

import numpy as np

from ..core.typing import Array, ArrayLike, Shape
from .layer import Layer, floats, joined, placed

_Shapes = Iterator[tuple[str, Layer, tuple[int, ...]]]


def _apart(container: Layer) -> None:
    """Refuse a layer that stands at two places: it keeps what the backward of one call needs."""
    seen: dict[int, str] = {}
    for path, layer in container.walk():
        if id(layer) in seen:
            name = type(layer).__name__
            raise ValueError(f"{type(container).__name__}: the same {name} stands at {seen[id(layer)]} and {path}")
        seen[id(layer)] = path


def _layers(container: str, layers: tuple[Layer, ...]) -> None:
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"{container} takes layers, got {type(layer).__name__} at {i}")


class Sequential(Layer):
    """Layers one after another: ``y = f_n(... f_2(f_1(x)))``.

    ``dx = f_1'(... f_{n-1}'(f_n'(dy)))``: the chain rule, from the last layer to the first.

    Parameters
    ----------
    *layers : Layer
        None at all is the identity. ``net[i]``, ``len(net)`` and iteration give them back; their names are "0", "1", ..

    Raises
    ------
    TypeError
        For what is no layer.
    ValueError
        For a layer that stands at two places; in a call for shapes that do not fit, with the layer's index.

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986).
    """

    def __init__(self, *layers: Layer) -> None:
        _layers("Sequential", layers)
        self.layers = layers
        _apart(self)

    def forward(self, x: ArrayLike) -> Array:
        y = floats("x", x)
        for i, layer in enumerate(self.layers):
            with placed(self, f"layer {i}", layer):
                y = layer.forward(y)
        return y

    def backward(self, dy: ArrayLike) -> Array:
        dx = floats("dy", dy)
        for i, layer in reversed(list(enumerate(self.layers))):
            with placed(self, f"layer {i}", layer):
                dx = layer.backward(dx)
        return dx

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        shape = tuple(input_shape)
        for i, layer in enumerate(self.layers):
            with placed(self, f"layer {i}", layer):
                shape = layer.output_shape(shape)
        return shape

    def children(self) -> dict[str, Layer]:
        return {str(i): layer for i, layer in enumerate(self.layers)}

    def shapes(self, input_shape: Shape, path: str = "") -> _Shapes:
        shape = tuple(input_shape)
        for name, layer in self.children().items():
            yield from layer.shapes(shape, joined(path, name))
            shape = layer.output_shape(shape)

    @overload
    def __getitem__(self, i: int) -> Layer: ...
    @overload
    def __getitem__(self, i: slice) -> Sequential: ...
    def __getitem__(self, i: int | slice) -> Layer:
        return Sequential(*self.layers[i]) if isinstance(i, slice) else self.layers[i]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"


class Residual(Layer):
    """A body beside a shortcut: ``y = scale (body(x) + shortcut(x))``.

    ``dx = body'(scale dy) + shortcut'(scale dy)``.

    Parameters
    ----------
    body : Layer
    shortcut : Layer, optional
        The identity unless given; a 1x1 convolution where the body changes the shape.
    scale : float
        ``0.5 ** 0.5`` keeps the variance, which the sum of two doubles.

    Raises
    ------
    TypeError
        For what is no layer.
    ValueError
        If both give different shapes.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep residual learning for image recognition" (2016), equations 1 and 2; the scale as in
    Prince, "Understanding deep learning" (2023), section 11.3.
    """

    settings = ("scale",)

    def __init__(self, body: Layer, shortcut: Layer | None = None, scale: float = 1.0) -> None:
        _layers("Residual", (body,) if shortcut is None else (body, shortcut))
        self.body, self.shortcut, self.scale = body, shortcut, scale
        _apart(self)

    def _forward(self, x: Array) -> Array:
        with placed(self, "body", self.body):
            y = self.body.forward(x)
        if self.shortcut is None:
            y = y + x
        else:
            with placed(self, "shortcut", self.shortcut):
                y = y + self.shortcut.forward(x)
        return y if self.scale == 1 else y * self.scale

    def _backward(self, dy: Array) -> Array:
        dz = dy if self.scale == 1 else dy * self.scale
        return self.body.backward(dz) + (dz if self.shortcut is None else self.shortcut.backward(dz))

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        with placed(self, "body", self.body):
            main = self.body.output_shape(input_shape)
        beside = tuple(input_shape)
        if self.shortcut is not None:
            with placed(self, "shortcut", self.shortcut):
                beside = self.shortcut.output_shape(input_shape)
        if main != beside:
            raise ValueError(f"the body gives {main}, the shortcut {beside}")
        return main

    def shapes(self, input_shape: Shape, path: str = "") -> _Shapes:
        for name, layer in self.children().items():
            yield from layer.shapes(input_shape, joined(path, name))

    def __repr__(self) -> str:
        return f"Residual({self.body!r}, shortcut={self.shortcut!r}, scale={self.scale})"


class Concat(Layer):
    """Branches beside each other: their channels, one branch after another.

    ``y = [f_1(x), .., f_n(x)]`` along axis 1; ``dx = f_1'(dy_1) + .. + f_n'(dy_n)``.

    Parameters
    ----------
    *branches : Layer
        One or more; their names are "0", "1", .. An empty `Sequential` passes ``x`` on.

    Raises
    ------
    TypeError
        For what is no layer.
    ValueError
        Without a branch; in a call if the shapes differ in more than channels.

    References
    ----------
    Szegedy et al., "Going deeper with convolutions" (2015), figure 2.
    """

    def __init__(self, *branches: Layer) -> None:
        _layers("Concat", branches)
        if not branches:
            raise ValueError("Concat wants one branch or more")
        self.branches = branches
        _apart(self)

    def _forward(self, x: Array) -> Array:
        found = []
        for i, branch in enumerate(self.branches):
            with placed(self, f"branch {i}", branch):
                found.append(branch.forward(x))
        self._ends = np.cumsum([y.shape[1] for y in found])[:-1].tolist()
        return np.concatenate(found, axis=1)

    def _backward(self, dy: Array) -> Array:
        parts = np.split(dy, self._ends, axis=1)
        first, *rest = (b.backward(part) for b, part in zip(self.branches, parts, strict=True))
        for dx in rest:
            first = first + dx
        return first

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        found = []
        for i, branch in enumerate(self.branches):
            with placed(self, f"branch {i}", branch):
                found.append(branch.output_shape(input_shape))
        if len({(s[0], s[2:]) for s in found}) > 1:
            raise ValueError(f"the branches give {', '.join(map(str, found))}, which differ in more than channels")
        return (found[0][0], sum(s[1] for s in found), *found[0][2:])

    def children(self) -> dict[str, Layer]:
        return {str(i): branch for i, branch in enumerate(self.branches)}

    def shapes(self, input_shape: Shape, path: str = "") -> _Shapes:
        for name, branch in self.children().items():
            yield from branch.shapes(input_shape, joined(path, name))

    def __repr__(self) -> str:
        return f"Concat({', '.join(map(repr, self.branches))})"
