"""The photograph: matplotlib's portrait of Grace Hopper through the kernels of a first lecture on images."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

import fastconv
from bench.workloads import Layer, Tensors


def _gaussian(size: int, sigma: float) -> np.ndarray:
    row = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    kernel: np.ndarray = np.outer(row, row)
    return kernel / float(kernel.sum())


#: Kernel of each picture, by the name that titles it.
KERNELS: dict[str, np.ndarray] = {
    "box blur 3x3": np.full((3, 3), 1 / 9),
    "box blur 9x9": np.full((9, 9), 1 / 81),
    "Gaussian blur 5x5": _gaussian(5, 1.0),
    "Gaussian blur 15x15": _gaussian(15, 2.5),
    "edge 3x3": np.array([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    "sharpen 3x3": np.array([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
}


@cache
def photograph() -> np.ndarray:
    """The picture that matplotlib ships, float32 (H, W, 3), values 0 to 255."""
    import matplotlib
    from PIL import Image

    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return np.asarray(Image.open(path), dtype=np.float32)


def _name_of(title: str) -> str:
    return "photo_" + title.replace(" ", "_")


def photo_layers() -> list[Layer]:
    """The photograph as convolutions: its colours are three images of one channel; borders are reflected."""
    height, width, colours = photograph().shape
    layers = []
    for title, kernel in KERNELS.items():
        k = kernel.shape[0]
        layers.append(
            Layer(_name_of(title), colours, 1, height, width, 1, k, k, padding=k // 2, padding_mode="reflect")
        )
    return layers


def photo_tensors(layer: Layer, dtype: str = "float32") -> Tensors:
    """Arrays of one of `photo_layers`: the colours, the kernel, and zeros for dy, which is not needed."""
    kernel = next(kernel for title, kernel in KERNELS.items() if _name_of(title) == layer.name)
    x = np.ascontiguousarray(photograph().transpose(2, 0, 1)[:, None]).astype(dtype)
    return Tensors(x, kernel[None, None].astype(dtype), np.zeros(layer.y_shape, dtype))


def filtered() -> dict[str, np.ndarray]:
    """The photograph and each picture that `fastconv.conv2d` makes of it by title, uint8 (H, W, 3)."""
    pictures = {"original": photograph().astype(np.uint8)}
    for title, layer in zip(KERNELS, photo_layers(), strict=True):
        x, w, _ = photo_tensors(layer)
        y = fastconv.conv2d(x, w, **layer.options)[:, 0].transpose(1, 2, 0)
        pictures[title] = np.clip(np.rint(y), 0, 255).astype(np.uint8)
    return pictures
