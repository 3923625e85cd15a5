"""What every layer is: a forward, a backward, parameters, children, a state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import Signature, signature
from typing import Any, Self

import numpy as np

from ..core.arrays import foreign
from ..core.typing import Array, ArrayLike, Shape
from .summary import summary

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Parameter:
    """An array that is learned.

    Parameters
    ----------
    value : ndarray, float32 or float64
        Optimisers change it in place.

    Attributes
    ----------
    value, grad : ndarray
        Of one shape and dtype. Every `Layer.backward` writes ``grad`` anew: there is nothing to set to zero.
    name : str
        The way to it, "0.body.2.weight", from the network whose `Layer.parameters` was asked last.
    """

    def __init__(self, value: Array) -> None:
        self.value, self.grad, self.name = value, np.zeros_like(value), ""

    def put(self, grad: Array) -> None:
        """Keep a gradient, in the dtype of the value."""
        self.grad = grad.reshape(self.value.shape).astype(self.value.dtype, copy=False)

    def __repr__(self) -> str:
        return f"Parameter({self.name or 'unnamed'}, {self.value.dtype}{list(self.value.shape)})"


class Layer:
    """Base of all layers and containers.

    A layer writes `_forward`, `_backward` and, where shapes change or are limited, `output_shape`; what is checked
    and what is common stands here. Arrays are float32 or float64 and batched, images (N, C, H, W). Memory follows the
    input: an array whose channels lie last is taken as it lies and gives one whose channels lie last.

    Attributes
    ----------
    training : bool
        Set by `train` and `eval`; what batch normalisation and dropout ask.
    settings : tuple of str
        Names of the attributes that describe the layer, in the order of its arguments.
    buffers : tuple of str
        Names of the arrays that belong to the state and are not learned.

    Raises
    ------
    TypeError
        If ``x`` or ``dy`` is no array of float32 or float64.
    ValueError
        If a shape does not fit. Containers put the layer's place before the message.
    RuntimeError
        If `backward` is called without a forward call before it.
    """

    settings: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()
    training = True
    _shapes: tuple[Shape, Shape] | None = None

    def __call__(self, x: ArrayLike) -> Array:
        """Same as `forward`."""
        return self.forward(x)

    def forward(self, x: ArrayLike) -> Array:
        """``y``, and keep what `backward` needs."""
        a = floats("x", x)
        if self._shapes is None or self._shapes[0] != a.shape:
            self._shapes = a.shape, self.output_shape(a.shape)
        return self._forward(a)

    def backward(self, dy: ArrayLike) -> Array:
        """``dx``, the gradient with respect to the last ``x``; writes the ``grad`` of every parameter."""
        if self._shapes is None:
            raise RuntimeError(f"{type(self).__name__}: backward needs a forward call before it")
        a = floats("dy", dy)
        if a.shape != self._shapes[1]:
            raise ValueError(f"dy must have the output's shape {self._shapes[1]}, got {a.shape}")
        return self._backward(a)

    def _forward(self, x: Array) -> Array:
        raise NotImplementedError

    def _backward(self, dy: Array) -> Array:
        raise NotImplementedError

    def output_shape(self, input_shape: Shape) -> tuple[int, ...]:
        """Shape of ``y`` for an ``x`` of this shape; ValueError if there is none."""
        return tuple(input_shape)

    def children(self) -> dict[str, Layer]:
        """The layers within, by name, in the order in which they are called."""
        return {name: v for name, v in vars(self).items() if isinstance(v, Layer)}

    def shapes(self, input_shape: Shape, path: str = "") -> Iterator[tuple[str, Layer, tuple[int, ...]]]:
        """Every layer that computes, in the order of the calls: the way to it, itself, its output's shape."""
        yield path, self, self.output_shape(input_shape)

    def walk(self, path: str = "") -> Iterator[tuple[str, Layer]]:
        """This layer and all within, each with the way to it: "", "0", "0.body", ..."""
        yield path, self
        for name, child in self.children().items():
            yield from child.walk(joined(path, name))

    def train(self) -> Self:
        """Learn: statistics of the batch, neurons dropped. Returns the network."""
        return self._set_training(True)

    def eval(self) -> Self:
        """Infer: statistics that were learned, nothing dropped. Returns the network."""
        return self._set_training(False)

    def _set_training(self, training: bool) -> Self:
        for _, layer in self.walk():
            layer.training = training
        return self

    def parameters(self) -> list[Parameter]:
        """All that is learned, named by the way from here."""
        found = []
        for path, layer in self.walk():
            for name, p in vars(layer).items():
                if isinstance(p, Parameter):
                    p.name = joined(path, name)
                    found.append(p)
        return found

    def _arrays(self) -> dict[str, Array]:
        """Values of parameters and buffers, the arrays themselves."""
        found = {p.name: p.value for p in self.parameters()}
        for path, layer in self.walk():
            found |= {joined(path, name): getattr(layer, name) for name in layer.buffers}
        return found

    def state(self) -> dict[str, Array]:
        """Copies of all parameters and buffers by name; `numpy.savez` takes them."""
        return {name: a.copy() for name, a in self._arrays().items()}

    def load(self, state: Mapping[str, Array]) -> Self:
        """Take over a state; on an error nothing is changed.

        Raises
        ------
        ValueError
            If names are missing or unknown, which are then listed, or a shape differs.
        TypeError
            If an array does not hold real numbers.
        """
        own = self._arrays()
        missing, unknown = [n for n in own if n not in state], [n for n in state if n not in own]
        wrong = (("lacks", missing), ("has unknown", unknown))
        if missing or unknown:
            raise ValueError("state " + " and ".join(f"{what} {', '.join(names)}" for what, names in wrong if names))
        found = {name: np.asarray(state[name]) for name in own}  # a file that is damaged may say so only now
        for name, a in found.items():
            if a.shape != own[name].shape:
                raise ValueError(f"state has {name} of shape {a.shape}, the network of {own[name].shape}")
            if a.dtype.kind not in "biuf":
                raise TypeError(f"state must have real numbers, got {name} of dtype {a.dtype}")
        for name, a in found.items():
            own[name][...] = a
        return self

    def astype(self, dtype: Any) -> Self:
        """Turn all parameters and buffers into float32 or float64. Returns the network."""
        if np.dtype(dtype) not in _FLOATS:
            raise TypeError(f"dtype must be float32 or float64, got {dtype}")
        for p in self.parameters():
            p.value, p.grad = p.value.astype(dtype), p.grad.astype(dtype)
        for _, layer in self.walk():
            for name in layer.buffers:
                setattr(layer, name, getattr(layer, name).astype(dtype))
        return self

    def summary(self, input_shape: Shape) -> str:
        """A table: every layer with its output's shape and its number of parameters."""
        return summary(self, input_shape)

    def __repr__(self) -> str:
        """As it is written: arguments without a default, then those that differ from theirs."""
        arguments, parts = signature(type(self)).parameters, []
        for name in self.settings:
            value, default = getattr(self, name), arguments[name].default
            if default is Signature.empty or value != default:
                parts.append(repr(value) if default is Signature.empty else f"{name}={value!r}")
        if "bias" in arguments and getattr(self, "bias", None) is None:
            parts.append("bias=False")
        return f"{type(self).__name__}({', '.join(parts)})"


def joined(path: str, name: str) -> str:
    """The name of what is within: "0.body" and "weight" give "0.body.weight"."""
    return f"{path}.{name}" if path else name


def floats(name: str, value: ArrayLike) -> Array:
    """An argument as an ndarray of float32 or float64.

    Raises
    ------
    TypeError
        For anything else.
    """
    a = value if type(value) is np.ndarray else foreign(name, value)
    if a.dtype.newbyteorder("=") not in _FLOATS:
        raise TypeError(f"{name} must be float32 or float64, got {a.dtype}")
    return a


def images(shape: Shape, channels: int | None = None, wants: str = "weight wants") -> tuple[int, ...]:
    """The shape of a batch of images, checked; of so many channels if given."""
    if len(shape) != 4:
        raise ValueError(f"x must have shape (N, C, H, W), got {tuple(shape)}")
    if channels is not None and shape[1] != channels:
        raise ValueError(f"x has {shape[1]} channels, {wants} {channels}")
    return tuple(shape)


@contextmanager
def placed(container: Layer, place: str, layer: Layer) -> Iterator[None]:
    """Put where a layer stands before the message of its error."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{type(container).__name__} {place} ({type(layer).__name__}): {error}") from error
