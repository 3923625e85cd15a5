"""Inference engines: they read a model of one convolution, prepare its weights, and know the forward pass only."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from bench.adapter import Call, Peer
from bench.onnx_model import conv_model
from bench.workloads import Layer, Tensors


class OnnxRuntime(Peer):
    """ONNX Runtime's CPU provider; forward only."""

    name = "onnxruntime"
    module = "onnxruntime"
    prepared = True

    def start(self, threads: int) -> None:
        self.ort: Any = import_module("onnxruntime")
        self.options = self.ort.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.log_severity_level = 3

    def call(self, layer: Layer, pass_: str, tensors: Tensors) -> Call | None:
        return self._loaded(layer, tensors) if pass_ == "forward" else None

    def fused_call(self, layer: Layer, tensors: Tensors, bias: np.ndarray) -> Call | None:
        return self._loaded(layer, tensors, bias)

    def _loaded(self, layer: Layer, tensors: Tensors, bias: np.ndarray | None = None) -> Call | None:
        if tensors.x.dtype != np.float32 or layer.padding_mode != "zeros":
            return None
        return self._session(conv_model(layer, tensors.w, bias), tensors.x)

    def _session(self, model: bytes, x: np.ndarray) -> Call:
        session = self.ort.InferenceSession(model, self.options, providers=["CPUExecutionProvider"])
        feed = {"x": self.ort.OrtValue.ortvalue_from_numpy(x)}
        return lambda: session.run_with_ort_values(["y"], feed)[0]

    def to_numpy(self, result: Any) -> np.ndarray:
        return np.asarray(result.numpy())


class OpenVino(OnnxRuntime):
    """OpenVINO's CPU plug-in in float32; forward only."""

    name = "openvino"
    module = "openvino"

    def start(self, threads: int) -> None:
        self.core: Any = import_module("openvino").Core()
        self.config = {
            "INFERENCE_PRECISION_HINT": "f32",  # the default may be bfloat16
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }

    def _session(self, model: bytes, x: np.ndarray) -> Call:
        network = self._laid_out(self.core.read_model(model=model))
        request = self.core.compile_model(network, "CPU", self.config).create_infer_request()
        request.set_input_tensor(import_module("openvino").Tensor(x, shared_memory=True))

        def infer(owner: np.ndarray = x) -> Any:  # the tensor does not keep its memory alive
            request.infer()
            return request

        return infer

    def _laid_out(self, network: Any) -> Any:
        return network

    def to_numpy(self, result: Any) -> np.ndarray:
        return np.array(result.get_output_tensor().data)


class OpenVinoChannelsLast(OpenVino):
    """OpenVINO on (N, H, W, C) arrays; its network begins and ends with a change of layout, which it removes."""

    name = "openvino nhwc"

    def _session(self, model: bytes, x: np.ndarray) -> Call:
        return super()._session(model, np.ascontiguousarray(x.transpose(0, 2, 3, 1)))

    def _laid_out(self, network: Any) -> Any:
        openvino = import_module("openvino")
        process = import_module("openvino.preprocess").PrePostProcessor(network)
        for end in (process.input(), process.output()):
            end.tensor().set_layout(openvino.Layout("NHWC"))
            end.model().set_layout(openvino.Layout("NCHW"))
        return process.build()

    def to_numpy(self, result: Any) -> np.ndarray:
        return super().to_numpy(result).transpose(0, 3, 1, 2)
