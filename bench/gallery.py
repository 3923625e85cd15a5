"""``python -m bench gallery``: the lectures told in pictures, each drawn from what the library computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import fastconv
from bench.measure import Cell, interleave
from bench.photo import KERNELS, photograph
from bench.style import save
from fastconv.core.typing import PaddingMode

_MODES: tuple[PaddingMode, ...] = ("zeros", "reflect", "symmetric", "replicate", "circular")
_FACE = (slice(120, 300), slice(150, 340))  # rows and columns
_BLUE, _ORANGE, _GREY = "#0072B2", "#E69F00", "#8A8A8A"
#: Kernels that the lectures show on images, smallest effect first.
LECTURE_KERNELS: dict[str, np.ndarray] = {
    "identity": np.array([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    "box blur": np.full((3, 3), 1 / 9),
    "Gaussian blur": KERNELS["Gaussian blur 5x5"],
    "sharpen": KERNELS["sharpen 3x3"],
    "edges": KERNELS["edge 3x3"],
    "Sobel, vertical edges": np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
}


def draw(folder: Path, seconds: float = 4.0) -> list[str]:
    """Draw every picture as SVG and PNG into `folder`; returns their names. One of them measures for `seconds`."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures: Sequence[Callable[[Path], str]] = (
        receptive_fields,
        padding_modes,
        kernels,
        separable_blur,
        spectra,
        toeplitz,
    )
    return [*(picture(folder) for picture in pictures), factorised(folder, seconds)]


def receptive_fields(folder: Path) -> str:
    """By how many paths one output pixel sees each input pixel: the gradient through kernels of ones."""
    stacks: dict[str, list[dict[str, int]]] = {
        "3x3": [{"kernel_size": 3}],
        "two 3x3": [{"kernel_size": 3}] * 2,
        "three 3x3": [{"kernel_size": 3}] * 3,
        "3x3, dilation 1, 2, 4": [{"kernel_size": 3, "dilation": d} for d in (1, 2, 4)],
        "3x3 stride 2, then two 3x3": [{"kernel_size": 3, "stride": 2}, {"kernel_size": 3}, {"kernel_size": 3}],
    }
    figure, axes = plt.subplots(1, len(stacks), figsize=(13, 3.3), layout="constrained")
    for axis, (title, layers) in zip(axes, stacks.items(), strict=True):
        paths = _paths(layers, 19)
        size = fastconv.receptive_field(layers).size
        axis.imshow(np.log1p(paths), cmap="Blues")
        first = (19 - size) // 2
        axis.add_patch(Rectangle((first - 0.5, first - 0.5), size, size, fill=False, color=_ORANGE, linewidth=2))
        axis.set_title(title)
        axis.set_xlabel(f"sees {size} x {size} pixels")
        _bare(axis)
    figure.suptitle("Receptive fields: the darker, the more paths lead from the pixel to one output")
    return save(figure, folder, "receptive_fields")


def _paths(layers: list[dict[str, int]], size: int) -> np.ndarray:
    """Paths from each of size x size input pixels, centred, to one output pixel."""
    grad = np.ones((1, 1, 1))
    for layer in reversed(layers):
        k, stride, dilation = layer["kernel_size"], layer.get("stride", 1), layer.get("dilation", 1)
        grad = fastconv.conv_transpose2d(grad, np.ones((1, 1, k, k)), stride=stride, dilation=dilation)
    before = (size - grad.shape[1]) // 2
    return np.pad(grad[0], (before, size - grad.shape[1] - before))


def padding_modes(folder: Path) -> str:
    """A small photograph with a wide border in each of the five modes: a 1x1 kernel of one shows it."""
    image = np.ascontiguousarray(photograph()[_FACE][::2, ::2].transpose(2, 0, 1)[:, None])
    pad = 40
    figure, axes = plt.subplots(1, len(_MODES), figsize=(13, 3.1), layout="constrained")
    for axis, mode in zip(axes, _MODES, strict=True):
        wide = fastconv.conv2d(image, np.ones((1, 1, 1, 1), np.float32), padding=pad, padding_mode=mode)
        axis.imshow(_picture(wide))
        height, width = image.shape[2:]
        axis.add_patch(Rectangle((pad, pad), width, height, fill=False, color=_ORANGE, linewidth=1.5))
        axis.set_title(mode)
        axis.set_axis_off()
    figure.suptitle("What stands beyond the border: the five padding modes")
    return save(figure, folder, "padding_modes")


def kernels(folder: Path) -> str:
    """What each kernel does to the photograph."""
    figure, axes = plt.subplots(
        2, len(LECTURE_KERNELS), figsize=(13, 4.3), height_ratios=(1, 1.9), layout="constrained"
    )
    image = np.ascontiguousarray(photograph()[_FACE].transpose(2, 0, 1)[:, None])
    for (above, below), (title, kernel) in zip(axes.T, LECTURE_KERNELS.items(), strict=True):
        _numbers(above, kernel)
        above.set_title(title)
        pads = kernel.shape[0] // 2
        w = kernel[None, None].astype(np.float32)
        below.imshow(_picture(fastconv.conv2d(image, w, padding=pads, padding_mode="reflect")))
        below.set_axis_off()
    figure.suptitle("What a kernel does to a photograph")
    return save(figure, folder, "kernels")


def separable_blur(folder: Path) -> str:
    """A Gaussian blur in two steps: along the rows, then along the columns."""
    kernel = KERNELS["Gaussian blur 15x15"].astype(np.float32)
    row = np.sqrt(np.diag(kernel)).reshape(1, 1, 1, -1)
    image = np.ascontiguousarray(photograph()[_FACE].transpose(2, 0, 1)[:, None])
    options: dict[str, Any] = {"padding_mode": "reflect"}
    once = fastconv.conv2d(image, row, padding=(0, 7), **options)
    twice = fastconv.conv2d(once, row.reshape(1, 1, -1, 1), padding=(7, 0), **options)
    whole = fastconv.conv2d(image, kernel[None, None], padding=7, **options)
    error = float(np.abs(twice - whole).max())
    titles = ("original", "1x15 along the rows", "then 15x1 along the columns", "15x15 at once")
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.7), layout="constrained")
    for axis, title, picture in zip(axes, titles, (image, once, twice, whole), strict=True):
        axis.imshow(_picture(picture))
        axis.set_title(title)
        axis.set_axis_off()
    figure.suptitle(
        f"A Gaussian blur is separable: 15 + 15 products a pixel do the work of 225 (grey values differ by {error:.0e})"
    )
    return save(figure, folder, "separable_blur")


def spectra(folder: Path) -> str:
    """Which spatial frequencies a kernel lets through: the magnitude of its Fourier transform."""
    chosen = {k: v for k, v in LECTURE_KERNELS.items() if k != "identity"}
    figure, axes = plt.subplots(1, len(chosen), figsize=(14, 3), layout="constrained")
    for axis, (title, kernel) in zip(axes, chosen.items(), strict=True):
        size = np.abs(np.fft.fftshift(np.fft.fft2(kernel, (128, 128))))
        shown = axis.imshow(size, cmap="magma", extent=(-0.5, 0.5, -0.5, 0.5), vmin=0)
        axis.set_title(title)
        axis.set_xticks((-0.5, 0, 0.5))
        axis.set_yticks((-0.5, 0, 0.5))
        axis.grid(False)
        figure.colorbar(shown, ax=axis, fraction=0.045, pad=0.04)
    axes[0].set_ylabel("cycles a pixel, vertical")
    axes[len(chosen) // 2].set_xlabel("cycles a pixel, horizontal")
    figure.suptitle("Gain of each kernel by spatial frequency: blurs pass the middle, edge detectors the rim")
    return save(figure, folder, "spectra")


def toeplitz(folder: Path) -> str:
    """Convolution as a matrix: the lecture's example, and larger ones where the blocks show."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), width_ratios=(1.7, 1, 1), layout="constrained")
    small = fastconv.conv2d_matrix(np.arange(1.0, 5.0).reshape(1, 1, 2, 2), (1, 3, 3)).toarray()
    axes[0].imshow(small, cmap="Blues", vmin=0, vmax=7)
    for (i, j), value in np.ndenumerate(small):
        axes[0].text(
            j, i, f"$k_{value:.0f}$" if value else "0", ha="center", va="center", color="black" if value else _GREY
        )
    axes[0].set_title("2x2 kernel on 3x3 pixels")
    axes[0].set_xticks(range(9), [f"$x_{i + 1}$" for i in range(9)])
    axes[0].set_yticks(range(4), [f"$y_{i + 1}$" for i in range(4)])
    axes[0].grid(False)
    kernel = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    for axis, stride in zip(axes[1:], (1, 2), strict=True):
        matrix = fastconv.conv2d_matrix(kernel, (1, 9, 9), padding=1, stride=stride)
        shown = matrix.toarray()
        axis.imshow(np.where(shown == 0, np.nan, shown), cmap="viridis", interpolation="nearest")
        axis.set_title(f"3x3 on 9x9, padding 1, stride {stride}")
        axis.set_xlabel(f"{matrix.shape[0]} x {matrix.shape[1]}, {matrix.nnz} numbers")
        _bare(axis)
    figure.suptitle("Convolution is a product with a sparse matrix; its transpose is the gradient of the input")
    return save(figure, folder, "toeplitz")


def factorised(folder: Path, seconds: float = 4.0) -> str:
    """Operations of 5x5 against two 3x3 against 1x5 + 5x1, and the time they take, as parts of 5x5."""
    channels, size = 64, 56
    ways = {"5x5": [(5, 5)], "two 3x3": [(3, 3)] * 2, "1x5 + 5x1": [(1, 5), (5, 1)]}
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, channels, size, size)).astype(np.float32)
    cells, flops, predicted = [], [], []
    for title, shapes in ways.items():
        weights = [rng.standard_normal((channels, channels, *k)).astype(np.float32) for k in shapes]

        def call(weights: list[np.ndarray] = weights) -> Any:
            y = x
            for w in weights:
                y = fastconv.conv2d(y, w, padding=(w.shape[2] // 2, w.shape[3] // 2), backend="direct")
            return y

        cells.append(Cell(title, call))
        flops.append(sum(fastconv.conv2d_flops(x.shape, w.shape, padding="same") for w in weights))
        rows = [fastconv.explain(x.shape, w.shape, padding="same", backend="direct").rows for w in weights]
        predicted.append(sum(row["predicted_seconds"] for r in rows for row in r if row["status"] == "chosen"))
        cells[-1].warm_up()
    interleave(cells, seconds)
    times = [float(np.quantile(cell.samples, 0.25)) for cell in cells]  # whoever shares the machine only adds
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    places = np.arange(len(ways))
    for shift, values, colour, label in (
        (-0.27, np.divide(flops, flops[0]), _GREY, "operations"),
        (0.0, np.divide(predicted, predicted[0]), _ORANGE, "predicted time"),
        (0.27, np.divide(times, times[0]), _BLUE, "measured time"),
    ):
        bars = axis.bar(places + shift, values, 0.25, color=colour, label=label)
        axis.bar_label(bars, [f"{v:.2f}" for v in values], padding=2)
    labels = [f"{t}\n{f / 1e9:.2f} GFLOP, {s * 1e3:.2f} ms" for t, f, s in zip(ways, flops, times, strict=True)]
    axis.set_xticks(places, labels)
    axis.set_ylabel("part of 5x5")
    axis.margins(y=0.12)
    axis.grid(axis="x", visible=False)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    axis.set_title(
        f"A receptive field of 5x5 in three ways\n{channels} channels, {size}x{size} pixels, direct convolution"
    )
    return save(figure, folder, "factorised")


def _picture(y: np.ndarray) -> np.ndarray:
    """Three one-channel images as an RGB picture."""
    clipped: np.ndarray = np.clip(np.rint(y[:, 0].transpose(1, 2, 0)), 0, 255).astype(np.uint8)
    return clipped


def _numbers(axis: Axes, kernel: np.ndarray) -> None:
    """A kernel as a coloured table."""
    axis.imshow(kernel, cmap="RdBu", vmin=-np.abs(kernel).max() * 1.6, vmax=np.abs(kernel).max() * 1.6)
    ninths = np.allclose(kernel, 1 / 9)
    for (i, j), value in np.ndenumerate(kernel):
        text = "1/9" if ninths else f"{value:.0f}" if kernel.shape[0] == 3 else f"{value:.2f}".lstrip("0")
        axis.text(j, i, text, ha="center", va="center", fontsize=9 if kernel.shape[0] == 3 else 6.5)
    _bare(axis)


def _bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    axis.spines[:].set_visible(False)
