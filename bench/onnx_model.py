"""
An ONNX model of one convolution as bytes, written without the onnx package.

The messages are those of ``onnx.proto`` (ONNX 1.x, IR version 8); only the fields that Conv and Relu nodes need
are written. Protocol buffers: a field is a key ``number << 3 | wire type`` followed by a varint (type 0) or by a
length and bytes (type 2).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bench.workloads import Layer

_FLOAT = 1  # TensorProto.DataType
_INTS = 7  # AttributeProto.AttributeType
_INT = 2


def _varint(value: int) -> bytes:
    out = bytearray()
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


def _ints(name: str, values: Iterable[int]) -> bytes:
    """An AttributeProto that holds a list of integers."""
    return _field(1, name) + _repeated(8, values) + _field(20, _INTS)


def _tensor_info(name: str, shape: Iterable[int]) -> bytes:
    """A ValueInfoProto: a float32 tensor of known shape."""
    dimensions = _repeated(1, (_field(1, size) for size in shape))
    tensor_type = _field(1, _FLOAT) + _field(2, dimensions)
    return _field(1, name) + _field(2, _field(1, tensor_type))


def _constant(name: str, a: np.ndarray) -> bytes:
    """A TensorProto: the initializer `name`, float32."""
    data = np.ascontiguousarray(a, dtype="<f4").tobytes()
    return _repeated(1, a.shape) + _field(2, _FLOAT) + _field(8, name) + _field(9, data)


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
    group = _field(1, "group") + _field(3, layer.groups) + _field(20, _INT)
    attributes = [
        _ints("kernel_shape", (layer.kh, layer.kw)),
        _ints("strides", (layer.stride, layer.stride)),
        _ints("dilations", (layer.dilation, layer.dilation)),
        _ints("pads", (ph, pw, ph, pw)),
        group,
    ]
    given = {"w": w} if bias is None else {"w": w, "b": bias}
    result = "y" if bias is None else "z"
    nodes = [_repeated(1, ("x", *given)) + _field(2, result) + _field(4, "Conv") + _repeated(5, attributes)]
    if bias is not None:
        nodes.append(_field(1, "z") + _field(2, "y") + _field(4, "Relu"))
    graph = (
        _repeated(1, nodes)
        + _field(2, "conv")
        + _repeated(5, (_constant(name, a) for name, a in given.items()))
        + _field(11, _tensor_info("x", layer.x_shape))
        + _field(12, _tensor_info("y", layer.y_shape))
    )
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 17))
