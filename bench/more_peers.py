"""More libraries, each where it can win: mobile inference engines, PyTorch's own compiler."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bench.adapter import Call, Peer
from bench.workloads import Layer, Tensors


class Inference(Peer):
    """Float32, forward only, weights prepared; a subclass makes a call of a layer and its bias."""

    prepared = True

    def call(self, layer: Layer, pass_: str, tensors: Tensors) -> Call | None:
        return self._able(layer, tensors, None) if pass_ == "forward" else None

    def fused_call(self, layer: Layer, tensors: Tensors, bias: np.ndarray) -> Call | None:
        return self._able(layer, tensors, bias)

    def _able(self, layer: Layer, tensors: Tensors, bias: np.ndarray | None) -> Call | None:
        plain = tensors.x.dtype == np.float32 and layer.padding_mode == "zeros"
        return self._loaded(layer, tensors, bias) if plain else None

    def _loaded(self, layer: Layer, tensors: Tensors, bias: np.ndarray | None) -> Call | None:
        raise NotImplementedError


class TorchCompiled(Inference):
    """``torch.compile`` with its default backend, inductor, weights frozen; it needs a C++ compiler."""

    name = "torch compiled"
    module = "torch"
    on_request = True

    def start(self, threads: int) -> None:
        self.torch: Any = import_module("torch")
        self.torch.set_num_threads(threads)
        config: Any = import_module("torch._inductor.config")
        config.freezing = True

    def _loaded(self, layer: Layer, tensors: Tensors, bias: np.ndarray | None) -> Call | None:
        torch = self.torch
        conv = torch.nn.Conv2d(
            layer.ci, layer.co, (layer.kh, layer.kw), layer.stride, layer.pads, layer.dilation, layer.groups,
            bias=bias is not None,
        )  # fmt: skip
        conv.weight.data = torch.from_numpy(tensors.w)
        if bias is not None:
            conv.bias.data = torch.from_numpy(bias)
        torch._dynamo.reset()  # every layer is compiled for itself
        compiled = torch.compile((conv if bias is None else torch.nn.Sequential(conv, torch.nn.ReLU())).eval())
        x = torch.from_numpy(tensors.x)

        def run() -> Any:
            with torch.no_grad():
                return compiled(x)

        return run


class Ncnn(Inference):
    """ncnn: one image at a time."""

    name = "ncnn"
    module = "ncnn"

    def start(self, threads: int) -> None:
        self.ncnn: Any = import_module("ncnn")
        self.threads = threads

    def _loaded(self, layer: Layer, tensors: Tensors, bias: np.ndarray | None) -> Call | None:
        if layer.n > 1:
            return None
        ph, pw = layer.pads
        sizes = {
            0: layer.co, 1: layer.kw, 11: layer.kh, 2: layer.dilation, 3: layer.stride, 4: pw, 14: ph,
            5: int(bias is not None), 6: tensors.w.size, 7: layer.groups, 9: int(bias is not None),
        }  # fmt: skip
        kind = "Convolution" if layer.groups == 1 else "ConvolutionDepthWise"
        numbers = " ".join(f"{key}={value}" for key, value in sizes.items() if key != 7 or layer.groups > 1)
        net = self.ncnn.Net()
        net.opt.num_threads = self.threads
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_storage = False
        with tempfile.TemporaryDirectory() as folder:
            param, weights = Path(folder, "net.param"), Path(folder, "net.bin")
            param.write_text(f"7767517\n2 2\nInput x 0 1 x\n{kind} conv 1 1 x y {numbers}\n")
            weights.write_bytes(b"\0\0\0\0" + tensors.w.tobytes() + (b"" if bias is None else bias.tobytes()))
            if net.load_param(str(param)) or net.load_model(str(weights)):
                raise RuntimeError("ncnn does not read the layer")
        x = self.ncnn.Mat(tensors.x[0])

        def run() -> Any:
            extractor = net.create_extractor()
            extractor.input("x", x)
            return extractor.extract("y")[1]

        return run

    def to_numpy(self, result: Any) -> np.ndarray:
        return np.array(result)[None]


class Mnn(Inference):
    """MNN: an expression saved and loaded as a module, whose weights are prepared; the call ends with its result."""

    name = "mnn"
    module = "MNN"

    def start(self, threads: int) -> None:
        self.mnn: Any = import_module("MNN")
        self.runtime = self.mnn.nn.create_runtime_manager(({"backend": 0, "numThread": threads, "precision": "high"},))

    def _loaded(self, layer: Layer, tensors: Tensors, bias: np.ndarray | None) -> Call | None:
        if bias is not None or layer.groups not in (1, layer.ci):  # groups of several channels it computes wrongly
            return None
        F = self.mnn.expr
        x, given = (F.placeholder(layer.x_shape, F.NCHW) for _ in range(2))
        w = F.const(tensors.w, list(tensors.w.shape), F.NCHW)
        b = F.const(np.zeros(layer.co, np.float32), [layer.co], F.NCHW)
        ph, pw = layer.pads
        y = F.conv2d(
            F.convert(x, F.NC4HW4), w, b, [layer.stride] * 2, [pw, ph], [layer.dilation] * 2, layer.groups,
            F.Padding_Mode.CAFFE,
        )  # fmt: skip
        y = F.convert(y, F.NCHW)
        x.name, y.name = "x", "y"
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder, "conv.mnn"))
            F.save([y], file)
            module = self.mnn.nn.load_module_from_file(file, ["x"], ["y"], runtime_manager=self.runtime)

        def run() -> Any:
            given.write(tensors.x)  # an expression that was read keeps its result, a module computes anew
            return module.forward([given])[0].read()

        return run


MORE: tuple[type[Peer], ...] = (TorchCompiled, Ncnn, Mnn)
