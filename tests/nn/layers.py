"""One of every layer, with an input's shape and what is its like in PyTorch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastconv import nn
from tests.peers import torch


class Case(NamedTuple):
    """A layer, an input's shape, its peer; the peer's names of parameters where they differ."""

    make: Callable[[], Any]
    shape: tuple[int, ...]
    peer: Callable[[], Any] | None = None
    names: dict[str, str] = {}  # noqa: RUF012


def _separable() -> Any:
    deep = torch.nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3, bias=False)
    return torch.nn.Sequential(deep, torch.nn.Conv2d(6, 5, 1))


class _LayerNorm:
    """torchvision's LayerNorm2d, which needs torchvision."""

    def __new__(cls) -> Any:
        class Layer(torch.nn.LayerNorm):  # type: ignore[misc]
            def forward(self, x: Any) -> Any:
                return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

        return Layer(5, eps=1e-6)


class _Excitation:
    """torchvision's SqueezeExcitation."""

    def __new__(cls) -> Any:
        class Layer(torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                t = torch.nn
                self.gate = t.Sequential(
                    t.AdaptiveAvgPool2d(1), t.Conv2d(8, 2, 1), t.ReLU(), t.Conv2d(2, 8, 1), t.Sigmoid()
                )

            def forward(self, x: Any) -> Any:
                return x * self.gate(x)

        return Layer()


IMAGES = (2, 5, 6, 7)
CASES = {
    "conv": Case(
        lambda: nn.Conv2d(4, 6, 3, stride=(1, 2), padding=1, groups=2, rng=0),
        (2, 4, 7, 8),
        lambda: torch.nn.Conv2d(4, 6, 3, stride=(1, 2), padding=1, groups=2),
    ),
    "conv dilated": Case(
        lambda: nn.Conv2d(3, 5, (3, 2), dilation=(1, 2), bias=False, rng=0),
        (2, 3, 7, 8),
        lambda: torch.nn.Conv2d(3, 5, (3, 2), dilation=(1, 2), bias=False),
    ),
    "conv circular": Case(
        lambda: nn.Conv2d(3, 2, 3, padding=1, padding_mode="circular", rng=0),
        (2, 3, 5, 6),
        lambda: torch.nn.Conv2d(3, 2, 3, padding=1, padding_mode="circular"),
    ),
    "conv same": Case(lambda: nn.Conv2d(3, 2, 4, padding="same", rng=0), (2, 3, 6, 6)),
    "conv transpose": Case(
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=(1, 0), groups=2, rng=0),
        (2, 4, 4, 5),
        lambda: torch.nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=(1, 0), groups=2),
    ),
    "depthwise separable": Case(
        lambda: nn.DepthwiseSeparableConv2d(3, 5, 3, stride=2, padding=1, multiplier=2, rng=0),
        (2, 3, 7, 6),
        _separable,
        {"depthwise": "0.weight", "pointwise": "1.weight", "bias": "1.bias"},
    ),
    "linear": Case(lambda: nn.Linear(5, 3, rng=0), (4, 5), lambda: torch.nn.Linear(5, 3)),
    "linear without bias": Case(
        lambda: nn.Linear(5, 3, bias=False, rng=0), (4, 5), lambda: torch.nn.Linear(5, 3, bias=False)
    ),
    "flatten": Case(lambda: nn.Flatten(), IMAGES, lambda: torch.nn.Flatten()),
    "batch norm": Case(lambda: nn.BatchNorm2d(5), IMAGES, lambda: torch.nn.BatchNorm2d(5)),
    "batch norm eval": Case(lambda: nn.BatchNorm2d(5).eval(), IMAGES, lambda: torch.nn.BatchNorm2d(5).eval()),
    "layer norm": Case(lambda: nn.LayerNorm2d(5), IMAGES, lambda: _LayerNorm()),
    "squeeze excitation": Case(lambda: nn.SqueezeExcitation(8, rng=0), (2, 8, 4, 5), lambda: _Excitation()),
    "scale": Case(lambda: nn.Scale(5, 0.5), IMAGES),
    "dropout eval": Case(lambda: nn.Dropout(0.5).eval(), IMAGES, lambda: torch.nn.Dropout(0.5).eval()),
    "max pool": Case(
        lambda: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        (2, 3, 6, 8),
        lambda: torch.nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
    ),
    "avg pool": Case(
        lambda: nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
        (2, 3, 7, 8),
        lambda: torch.nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
    ),
    "global avg pool": Case(lambda: nn.GlobalAvgPool2d(), IMAGES, lambda: torch.nn.AdaptiveAvgPool2d(1)),
    "relu": Case(lambda: nn.ReLU(), IMAGES, lambda: torch.nn.ReLU()),
    "relu6": Case(lambda: nn.ReLU6(), IMAGES, lambda: torch.nn.ReLU6()),
    "leaky relu": Case(lambda: nn.LeakyReLU(0.2), IMAGES, lambda: torch.nn.LeakyReLU(0.2)),
    "sigmoid": Case(lambda: nn.Sigmoid(), IMAGES, lambda: torch.nn.Sigmoid()),
    "tanh": Case(lambda: nn.Tanh(), IMAGES, lambda: torch.nn.Tanh()),
    "softsign": Case(lambda: nn.Softsign(), IMAGES, lambda: torch.nn.Softsign()),
    "arctan": Case(lambda: nn.ArcTan(), IMAGES),
    "silu": Case(lambda: nn.SiLU(), IMAGES, lambda: torch.nn.SiLU()),
    "gelu": Case(lambda: nn.GELU(), IMAGES, lambda: torch.nn.GELU()),
    "hardswish": Case(lambda: nn.Hardswish(), IMAGES, lambda: torch.nn.Hardswish()),
    "residual": Case(
        lambda: nn.Residual(nn.Conv2d(3, 4, 3, padding=1, rng=0), nn.Conv2d(3, 4, 1, rng=1), scale=0.5**0.5),
        (2, 3, 5, 6),
    ),
    "residual identity": Case(lambda: nn.Residual(nn.Sequential(nn.Tanh(), nn.Scale(5, 0.3))), IMAGES),
    "concat": Case(lambda: nn.Concat(nn.Sequential(), nn.Conv2d(5, 3, 1, rng=0), nn.Tanh()), IMAGES),
    "sequential": Case(
        lambda: nn.Sequential(nn.Conv2d(5, 4, 3, rng=0), nn.BatchNorm2d(4), nn.SiLU(), nn.Flatten(), nn.Linear(80, 2)),
        IMAGES,
    ),
}


def made(case: Case, dtype: str = "float64") -> Any:
    """The layer, with parameters and buffers that are nothing special."""
    layer, rng = case.make().astype(dtype), np.random.default_rng(3)
    state = {name: rng.uniform(0.5, 1.5, a.shape) * (-1) ** ("bias" in name) for name, a in layer.state().items()}
    return layer.load(state)


def numbers(shape: tuple[int, ...], last: bool = False, dtype: str = "float64", seed: int = 5) -> Any:
    """Random numbers; channels last in memory on demand. None within 0.01 of a whole number, where slopes jump."""
    rng = np.random.default_rng(seed)
    a = (rng.integers(-5, 5, shape) + rng.uniform(0.01, 0.99, shape)).astype(dtype)
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if last and len(shape) == 4 else a
