"""A network as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.typing import Shape

if TYPE_CHECKING:
    from .layer import Layer

_HEAD = ("name", "layer", "output", "parameters")


def summary(net: Layer, input_shape: Shape) -> str:
    """Every layer in the order of the calls, with its output's shape and its parameters; nothing is computed."""
    whole = net.output_shape(input_shape)
    rows = [(path, repr(layer), str(shape), f"{_size(layer):,}") for path, layer, shape in net.shapes(input_shape)]
    rows = [_HEAD, *rows, ("", "total", str(whole), f"{_size(net):,}")]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    rule = "  ".join("-" * w for w in widths)
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _size(layer: Layer) -> int:
    return sum(p.value.size for p in layer.parameters())
