"""
ONNX models as bytes, written without the onnx package: nodes, constants, and the model of one convolution.

The messages are those of ``onnx.proto`` (ONNX 1.x, IR version 9); only the fields that float32 networks need are
written; zoo_onnx.py has those of whole networks. Protocol buffers: a field is a key ``number << 3 | wire type``
followed by a varint (type 0), four bytes (type 5), or by a length and bytes (type 2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bench.workloads import Layer

_FLOAT = 1  # TensorProto.DataType
_KINDS = {"float": 1, "int": 2, "str": 3, "ints": 7}  # AttributeProto.AttributeType
_OPSET = 20  # the first with Gelu

Attribute = int | float | str | Sequence[int]


def _varint(value: int) -> bytes:
    out, value = bytearray(), value & (1 << 64) - 1  # negative numbers in two's complement
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _repeated(number: int, values: Iterable[int | str | bytes]) -> bytes:
    return b"".join(_field(number, value) for value in values)


def _attribute(name: str, value: Attribute) -> bytes:
    """An AttributeProto: a number, a text, or a list of integers."""
    kind = type(value).__name__ if isinstance(value, int | float | str) else "ints"
    if isinstance(value, float):
        held = _varint(2 << 3 | 5) + struct.pack("<f", value)
    elif isinstance(value, int):
        held = _field(3, value)
    elif isinstance(value, str):
        held = _field(4, value)
    else:
        held = _repeated(8, value)
    return _field(1, name) + held + _field(20, _KINDS[kind])


def _tensor_info(name: str, shape: Iterable[int]) -> bytes:
    """A ValueInfoProto: a float32 tensor of known shape."""
    dimensions = _repeated(1, (_field(1, size) for size in shape))
    tensor_type = _field(1, _FLOAT) + _field(2, dimensions)
    return _field(1, name) + _field(2, _field(1, tensor_type))


def _constant(name: str, a: np.ndarray) -> bytes:
    """A TensorProto: the initializer `name`, float32."""
    data = np.ascontiguousarray(a, dtype="<f4").tobytes()
    return _repeated(1, a.shape) + _field(2, _FLOAT) + _field(8, name) + _field(9, data)


def node(kind: str, inputs: Iterable[str], output: str, **attributes: Attribute) -> bytes:
    """A NodeProto with one output."""
    written = (_attribute(name, value) for name, value in attributes.items())
    return _repeated(1, inputs) + _field(2, output) + _field(4, kind) + _repeated(5, written)


def model(
    nodes: Iterable[bytes], constants: Mapping[str, np.ndarray], x_shape: Iterable[int], y_shape: Iterable[int]
) -> bytes:
    """A ModelProto from ``x`` to ``y``, float32; its constants may be prepared when it is loaded."""
    graph = (
        _repeated(1, nodes)
        + _field(2, "network")
        + _repeated(5, (_constant(name, a) for name, a in constants.items()))
        + _field(11, _tensor_info("x", x_shape))
        + _field(12, _tensor_info("y", y_shape))
    )
    return _field(1, 9) + _field(7, graph) + _field(8, _field(2, _OPSET))


def conv_model(layer: Layer, w: np.ndarray, bias: np.ndarray | None = None) -> bytes:
    """
    A ModelProto: input ``x`` (N, Ci, H, W), constant weights, output ``y``; float32.

    With a bias, ``y = relu(conv + bias)``: two nodes, which every runtime fuses.

    Parameters
    ----------
    layer : Layer
        The convolution; zero padding only.
    w : ndarray (Co, Ci / groups, KH, KW), float32
        The weights, an initializer: the runtime may prepare them when it loads the model.
    bias : ndarray (Co,), float32, optional
    """
    ph, pw = layer.pads
    given = {"w": w} if bias is None else {"w": w, "b": bias}
    conv = node(
        "Conv",
        ("x", *given),
        "y" if bias is None else "z",
        kernel_shape=(layer.kh, layer.kw),
        strides=(layer.stride, layer.stride),
        dilations=(layer.dilation, layer.dilation),
        pads=(ph, pw, ph, pw),
        group=layer.groups,
    )
    nodes = [conv] if bias is None else [conv, node("Relu", ("z",), "y")]
    return model(nodes, given, layer.x_shape, layer.y_shape)
