"""The types of public arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias

from numpy.typing import NDArray


class SupportsArray(Protocol):
    """What NumPy reads by ``__array__``: its own arrays, and those of most libraries."""

    def __array__(self) -> NDArray[Any]: ...


class SupportsDLPack(Protocol):
    """What NumPy reads by DLPack."""

    def __dlpack__(self) -> Any: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...


Array: TypeAlias = NDArray[Any]
#: an array of any library; numbers and lists are none
ArrayLike: TypeAlias = SupportsArray | SupportsDLPack
#: (N, C, H, W), (C, H, W) and the like
Shape: TypeAlias = Sequence[int]
#: one number for both axes, or (height, width)
IntPair: TypeAlias = int | Sequence[int]
#: in numbers: one, (height, width) or ((top, bottom), (left, right))
PaddingNumbers: TypeAlias = int | Sequence[int] | Sequence[Sequence[int]]
PaddingName: TypeAlias = Literal["valid", "same", "full"]
Padding: TypeAlias = PaddingName | PaddingNumbers
TransposedPadding: TypeAlias = Literal["valid", "same"] | PaddingNumbers
Layout: TypeAlias = Literal["NCHW", "NHWC"]
Activation: TypeAlias = Literal["relu", "relu6", "leaky_relu", "silu", "hardswish", "gelu", "sigmoid", "tanh"]
PaddingMode: TypeAlias = Literal["zeros", "reflect", "symmetric", "replicate", "circular"]
Pass: TypeAlias = Literal["forward", "grad_input", "grad_weight"]
DType: TypeAlias = Literal["bfloat16", "float16", "float32", "float64"]
#: SciPy's names of borders
ImageMode: TypeAlias = Literal[
    "reflect", "grid-mirror", "mirror", "nearest", "wrap", "grid-wrap", "constant", "grid-constant"
]
FilterMethod: TypeAlias = Literal[
    "auto", "direct", "separable", "fft",
    "direct/cython", "direct/numba", "separable/cython", "separable/numba", "fft/cython", "fft/numba",
]  # fmt: skip
NanTreatment: TypeAlias = Literal["propagate", "ignore"]
