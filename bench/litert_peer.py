"""XNNPACK by way of LiteRT (ai-edge-litert): a model of one convolution, written with the library's own schema."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from bench.adapter import Call
from bench.more_peers import Inference
from bench.workloads import Layer, Tensors


class LiteRt(Inference):
    """Channels last; zero padding as XNNPACK knows it: none, or TensorFlow's "same" where that is the layer's."""

    name = "litert xnnpack"
    module = "ai_edge_litert"
    package = "ai-edge-litert"

    def start(self, threads: int) -> None:
        self.interpreter: Any = import_module("ai_edge_litert.interpreter").Interpreter
        self.schema: Any = import_module("ai_edge_litert.schema_py_generated")
        self.threads = threads

    def _loaded(self, layer: Layer, tensors: Tensors, bias: np.ndarray | None) -> Call | None:
        same = layer.stride == 1 and layer.pads == (
            layer.dilation * (layer.kh - 1) / 2, layer.dilation * (layer.kw - 1) / 2,
        )  # fmt: skip
        depthwise = layer.groups == layer.ci == layer.co > 1
        if not (same or layer.pads == (0, 0)) or not (layer.groups == 1 or depthwise):
            return None
        runner = self.interpreter(model_content=self._model(layer, tensors.w, bias, same), num_threads=self.threads)
        runner.allocate_tensors()
        (place,), (result,) = runner.get_input_details(), runner.get_output_details()
        runner.set_tensor(place["index"], np.ascontiguousarray(tensors.x.transpose(0, 2, 3, 1)))
        read = runner.tensor(result["index"])

        def run() -> Any:
            runner.invoke()
            return read

        return run

    def to_numpy(self, result: Any) -> np.ndarray:
        return np.array(result()).transpose(0, 3, 1, 2)

    def _model(self, layer: Layer, w: np.ndarray, bias: np.ndarray | None, same: bool) -> bytes:
        s, flatbuffers = self.schema, import_module("flatbuffers")
        depthwise = layer.groups > 1
        weights = w.transpose(1, 2, 3, 0) if depthwise else w.transpose(0, 2, 3, 1)
        constants = [weights, np.zeros(layer.co, np.float32) if bias is None else bias]
        shapes = [tuple(np.array(layer.x_shape)[[0, 2, 3, 1]]), *(c.shape for c in constants)]
        shapes.append(tuple(np.array(layer.y_shape)[[0, 2, 3, 1]]))
        contents = [b"", *(np.ascontiguousarray(c).tobytes() for c in constants)]
        buffers = [s.BufferT(data=np.frombuffer(content, np.uint8)) for content in contents]
        held = (0, 1, 2, 0)  # the buffer of each tensor; 0 is that of those that are computed
        own = [
            s.TensorT(shape=list(map(int, shape)), buffer=at, name=f"t{i}")
            for i, (shape, at) in enumerate(zip(shapes, held, strict=True))
        ]
        options = (s.DepthwiseConv2DOptionsT if depthwise else s.Conv2DOptionsT)(
            padding=int(not same), strideW=layer.stride, strideH=layer.stride, dilationWFactor=layer.dilation,
            dilationHFactor=layer.dilation, fusedActivationFunction=int(bias is not None),
        )  # fmt: skip
        kind = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        if depthwise:
            options.depthMultiplier = 1
        code = getattr(s.BuiltinOperator, "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D")
        operator = s.OperatorT(
            opcodeIndex=0, inputs=[0, 1, 2], outputs=[3], builtinOptions=options,
            builtinOptionsType=getattr(s.BuiltinOptions, kind),
        )  # fmt: skip
        graph = s.SubGraphT(tensors=own, inputs=[0], outputs=[3], operators=[operator], name="main")
        codes = [s.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code, version=1)]
        model = s.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers, description="conv")
        builder = flatbuffers.Builder(w.nbytes + 4096)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
