"""One valid call of every public function that takes arguments, and values that each argument must not have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

F = np.float32
X, W, B, DY = np.ones((2, 4, 7, 8), F), np.ones((6, 4, 3, 3), F), np.ones(6, F), np.ones((2, 6, 5, 6), F)
TRANSPOSED, POOLED, ONE = np.ones((4, 6, 3, 3), F), np.ones((2, 4, 3, 4), F), np.ones((2, 4, 1, 1), F)
COLUMN, ROW = np.ones((3, 4, 3), F), np.ones((6, 3, 3), F)
DEEP, POINT = np.ones((4, 1, 3, 3), F), np.ones((6, 4, 1, 1), F)
XS, WS = X.shape, W.shape
CONV: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
BORDER: dict[str, Any] = {**CONV, "padding_mode": "zeros"}
NAMED: dict[str, Any] = {**BORDER, "layout": "NCHW", "backend": "auto", "rtol": None}
POOL: dict[str, Any] = {"kernel_size": 2, "stride": 2, "padding": 0, "layout": "NCHW"}

CALLS: dict[str, dict[str, Any]] = {
    "conv2d": {"x": X, "w": W, "bias": B, **NAMED, "activation": None, "residual": None, "out": None},
    "conv2d_backward": {"dy": DY, "x": X, "w": W, **NAMED, "wrt": ("x", "w", "bias")},
    "conv2d_grad_input": {"dy": DY, "w": W, "input_shape": XS, **NAMED, "out": None},
    "conv2d_grad_weight": {"dy": DY, "x": X, "weight_shape": WS, **NAMED, "out": None},
    "conv_transpose2d": {"x": X, "w": TRANSPOSED, "bias": B, **CONV, "layout": "NCHW", "backend": "auto"},
    "conv_transpose2d_backward": {"dy": np.ones((2, 6, 9, 10), F), "x": X, "w": TRANSPOSED, **CONV},
    "separable_conv2d": {"x": X, "w_col": COLUMN, "w_row": ROW, "bias": B, **BORDER},
    "depthwise_separable_conv2d": {"x": X, "w_depthwise": DEEP, "w_pointwise": POINT, "bias": B, "stride": 1},
    "plan_conv2d": {"input_shape": XS, "w": W, "bias": B, **NAMED, "activation": None, "max_workspace": None},
    "explain": {"input_shape": XS, "weight_shape": WS, **NAMED, "pass_": "forward", "dtype": "float32"},
    "tune": {"x": X, "w": W, **BORDER, "passes": "forward", "seconds": 0.001},
    "verify": {"x": X, "w": W, **BORDER, "passes": "forward"},
    "max_pool2d": {"x": X, **POOL, "dilation": 1},
    "max_pool2d_backward": {"dy": POOLED, "x": X, **POOL},
    "avg_pool2d": {"x": X, **POOL},
    "avg_pool2d_backward": {"dy": POOLED, "x": X, **POOL},
    "global_avg_pool2d": {"x": X, "layout": "NCHW", "out": None},
    "global_avg_pool2d_backward": {"dy": ONE, "x": X},
    "global_max_pool2d": {"x": X, "layout": "NCHW", "out": None},
    "global_max_pool2d_backward": {"dy": ONE, "x": X},
    "unfold": {"x": X, "kernel_size": 3, "stride": 1, "padding": 0, "dilation": 1, "out": None},
    "fold": {"columns": np.ones((2, 36, 30), F), "output_size": (7, 8), "kernel_size": 3, "stride": 1, "padding": 0},
    "conv2d_matrix": {"w": W, "input_shape": XS[1:], **BORDER},
    "conv2d_output_shape": {"input_shape": XS, "weight_shape": WS, **CONV},
    "conv2d_flops": {"input_shape": XS, "weight_shape": WS, **CONV},
    "conv2d_parameters": {"weight_shape": WS},
    "receptive_field": {"layers": [(3, 1)]},
    "filter2d": {"image": X[0, 0], "kernel": W[0, 0], "mode": "reflect", "cval": 0.0, "method": "auto", "out": None},
    "get_backend": {"name": "naive/cython"},
    "register_backend": {"backend": None},
    "unregister_backend": {"name": None},
    "set_num_threads": {"n": 2},
}

ARRAY: list[Any] = [None, 3, "image", [1.0], X.astype("c16"), np.array(["a"]), np.array([None]), np.ones((2,) * 6, F),
                    np.ones((), F), np.ones((2, 0, 4, 5), F)]  # fmt: skip
STEP: list[Any] = [0, -1, 1.5, "1", (1, 1, 1), float("nan"), 2**70, np.array([1, 2]), {1: 2}]
SHAPE: list[Any] = [None, 3, "2478", (2, 4, -7, 8), (2, 4, 7.0, 8), (2, 4, 0, 8), (1,) * 7, (2**62,) * 4]
WORD: list[Any] = ["", "nonsense", 3, ("a", "b"), b"zeros"]
BAD: dict[str, list[Any]] = {
    **dict.fromkeys(("x", "w", "dy", "w_col", "w_row", "w_depthwise", "w_pointwise", "columns", "image"), ARRAY),
    **dict.fromkeys(("stride", "dilation", "kernel_size"), STEP),
    **dict.fromkeys(("input_shape", "weight_shape"), SHAPE),
    **dict.fromkeys(("padding_mode", "layout", "mode", "method", "pass_"), WORD),
    "bias": [3, "b", np.ones(5, F), np.ones((6, 1), F), B.astype(int), B.astype("c8")],
    "kernel": [None, "k", np.ones(3, F), np.ones((0, 3), F), np.ones((3, 3), "c16"), np.array([[None]])],
    "residual": [3, "r", X, DY.astype(int)],
    "out": [3, "out", DY.tolist(), np.empty((1, 2), F), np.empty(DY.shape, int)],
    "padding": [-1, (1, 1, 1), 1.5, None, "reflect", ((1, 1), (1, -1)), 2**70],
    "groups": [0, -1, 3, 1.0, None, "1", 2**70],
    "activation": ["", "sine", 3],
    "backend": ["", "fast", "naive/fortran", 3, None],
    "rtol": [0.0, -1.0, float("nan"), "1e-3", [1e-3]],
    "wrt": ["y", ("dw",), 3, None],
    "passes": ["fwd", (), 3, None],
    "seconds": ["1", None, float("nan"), -1.0],
    "dtype": ["int8", "nonsense", 3.5],
    "max_workspace": [-1, 1.5, "1"],
    "output_size": [0, -1, 1.5, None, (1, 1, 1)],
    "layers": [None, 3, [()], [("a", 1)], [(0, 1)], [(3, 0)]],
    "name": ["", "nonsense", None, 3],
    "cval": ["zero", None, 1j],
    "n": [0, -1, 1.5, None, "2"],
}  # fmt: skip
OWN = {
    "register_backend": {"backend": [None, 3, "naive/cython"]},
    "conv2d_parameters": {"weight_shape": SHAPE[:-1]},  # arithmetic has no largest shape
}
#: an argument of another name may be at odds with it, or be what the message calls it by
ALSO = {"groups": "w|x|w_row|w_col", "dy": "input_shape|x|w", "name": "backend", "input_shape": "dy|x|w",
        "weight_shape": "dy|x|w", "w": "x|dy|bias", "x": "w|dy", "columns": "output_size", "output_size": "columns",
        "kernel_size": "columns", "padding": "x|memory", "stride": "dy", "w_pointwise": "w_depthwise"}  # fmt: skip


class Spoilt(NamedTuple):
    """A call with one argument spoiled, by the place of its value in the table."""

    function: str
    argument: str
    place: int

    def value(self) -> Any:
        return OWN.get(self.function, BAD)[self.argument][self.place]

    def call(self) -> Any:
        function: Callable[..., Any] = getattr(import_module("fastconv"), self.function)
        return function(**{**CALLS[self.function], self.argument: self.value()})

    def __str__(self) -> str:
        value = self.value()
        told = f"array {value.dtype} {value.shape}" if isinstance(value, np.ndarray) else repr(value)
        return f"{self.function} {self.argument} {self.place}  # {told[:80]}"


def spoilt() -> Iterator[Spoilt]:
    """Every call of the table."""
    for function, arguments in CALLS.items():
        for argument in arguments:
            table = OWN.get(function, BAD)
            yield from (Spoilt(function, argument, place) for place in range(len(table.get(argument, ()))))
