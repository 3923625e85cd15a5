"""``python -m bench images``: image filters against OpenCV and SciPy over kernel sizes, checked, timed, drawn."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

import fastconv
from bench import image_peers
from bench.fits import geometric_mean, si
from bench.image_peers import ImageLibrary
from bench.measure import Cell, interleave
from bench.style import save

SIZES = (3, 5, 7, 9, 11, 15, 21, 31, 45, 63)
SIDE = 1024
_SLOWEST = 0.4  # seconds; a slower call is left out of larger sizes

#: how a contestant is drawn; dashed lines are the general filters where the kernel is separable
_LOOKS = {
    "fastconv": ("#0072B2", "o"),
    "OpenCV": ("#D55E00", "s"),
    "OpenCV without IPP": ("#E69F00", "v"),
    "DIPlib": ("#56B4E9", "P"),
    "libvips": ("#666666", "X"),
    "scipy.ndimage": ("#009E73", "^"),
    "scipy.signal": ("#CC79A7", "D"),
}


class Panel(NamedTuple):
    """One chart: an image and a kind of kernel."""

    name: str
    title: str
    colour: bool
    separable: bool


PANELS = (
    Panel("gray", "float32, any kernel", False, False),
    Panel("gray_separable", "float32, Gaussian", False, True),
    Panel("colour", "uint8 colour, any kernel", True, False),
    Panel("colour_separable", "uint8 colour, Gaussian", True, True),
)


def image_of(panel: Panel, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    if panel.colour:
        return rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return rng.random((SIDE, SIDE), dtype=np.float32)


def kernel_of(panel: Panel, size: int, seed: int = 0) -> tuple[Any, Any]:
    """A float32 kernel whose elements sum to one, and its factor if it is the outer product of one."""
    if panel.separable:
        line = np.exp(-0.5 * (np.linspace(-2.5, 2.5, size)) ** 2)
        line = (line / line.sum()).astype(np.float32)
        return np.outer(line, line), line
    w = np.random.default_rng(seed + size).random((size, size), dtype=np.float32)
    return w / w.sum(), None


class Contestant(NamedTuple):
    """A call that filters the image, and what it takes to lie beyond the edge, as `numpy.pad` calls it."""

    call: Callable[[], Any]
    border: str = "symmetric"


def contestants(
    panel: Panel, image: Any, kernel: Any, line: Any, libraries: Sequence[ImageLibrary]
) -> dict[str, Contestant]:
    """By name; a library that has no such filter is left out."""
    from scipy import ndimage, signal

    calls: dict[str, Callable[[], Any]] = {"fastconv": lambda: fastconv.filter2d(image, kernel)}
    if not panel.colour and line is None:
        calls["scipy.ndimage"] = lambda: ndimage.correlate(image, kernel)
        calls["scipy.signal"] = lambda: signal.correlate2d(image, kernel, "same", "symm")
    elif not panel.colour:
        calls["scipy.ndimage"] = lambda: ndimage.correlate1d(ndimage.correlate1d(image, line, 0), line, 1)
    found = {name: Contestant(call) for name, call in calls.items()}
    for library in libraries:
        if (theirs := library.filtering(image, kernel, line)) is not None:
            found[library.title] = Contestant(theirs, library.border)
    return found


def error_of(result: Any, image: Any, kernel: Any, rng: np.random.Generator, border: Any = "symmetric") -> float:
    """Largest error at 200 random pixels and the corners, relative to the largest value of the image."""
    k = kernel.shape[0]
    planes, result = image.reshape(SIDE, SIDE, -1), np.asarray(result)
    padded = np.pad(planes, ((k // 2,) * 2, (k // 2,) * 2, (0, 0)), border).astype(np.float64)
    worst, w = 0.0, kernel.astype(np.float64)
    corners = np.array([[0, 0], [0, SIDE - 1], [SIDE - 1, 0], [SIDE - 1, SIDE - 1]])
    for i, j in np.concatenate([corners, rng.integers(0, SIDE, (200, 2))]):
        want = np.einsum("ijc,ij->c", padded[i : i + k, j : j + k], w)
        worst = max(worst, float(np.abs(result.reshape(planes.shape)[i, j] - want).max()))
    return worst / float(planes.max())


def measure(panel: Panel, sizes: tuple[int, ...], seconds: float, threads: int, seed: int = 0) -> list[dict[str, Any]]:
    """Median seconds of every contestant at every size; a wrong answer has an error and no time."""
    rng, order = np.random.default_rng(seed), random.Random(seed)
    image, rows, slow, libraries = image_of(panel, seed), [], set(), image_peers.started(threads)
    for size in sizes:
        kernel, line = kernel_of(panel, size, seed)
        cells, errors = [], {}
        for name, (call, border) in contestants(panel, image, kernel, line, libraries).items():
            if name in slow:
                continue
            cell = Cell(name, call)
            errors[name] = error_of(call(), image, kernel, rng, border)
            if errors[name] <= (1.01 / 255 if panel.colour else 1e-5):  # OpenCV's fixed point may be one off
                cell.warm_up()
                cells.append(cell)
            else:
                rows.append({"panel": panel.name, "size": size, "name": name, "error": errors[name], "seconds": None})
        interleave(cells, seconds / len(sizes), rounds=(3, 15), rng=order)
        for cell in cells:
            median = float(np.median(cell.samples))
            rows.append(
                {"panel": panel.name, "size": size, "name": cell.name, "error": errors[cell.name], "seconds": median}
            )
            if median > _SLOWEST:
                slow.add(cell.name)
    return rows


def ratios(rows: list[dict[str, Any]], panel: str, peer: str) -> dict[int, float]:
    """How many times as fast as a peer, for each size where both were measured."""
    times = {(r["name"], r["size"]): r["seconds"] for r in rows if r["panel"] == panel and r["seconds"]}
    sizes = sorted({size for name, size in times if name == peer and ("fastconv", size) in times})
    return {size: times[peer, size] / times["fastconv", size] for size in sizes}


def drawable(rows: list[dict[str, Any]]) -> bool:
    """Whether these are rows of `measure`."""
    return bool(rows) and all({"panel", "size", "name", "seconds"} <= row.keys() for row in rows)


def draw(rows: list[dict[str, Any]], folder: Path, threads: int) -> str:
    """Kernel size against time, a panel for each kind of image and kernel."""
    panels = [p for p in PANELS if any(r["panel"] == p.name and r["seconds"] for r in rows)]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.1 * len(panels) + 0.6, 5), squeeze=False, layout="constrained"
    )
    figure.suptitle(f"Filtering a {SIDE} x {SIDE} image, {threads} threads", fontsize=13)
    for axis, panel in zip(axes[0], panels, strict=True):
        axis.set(title=panel.title, xscale="log", yscale="log", xlabel="kernel height and width")
        for name, (colour, marker) in _LOOKS.items():
            points = sorted(
                (r["size"], r["seconds"])
                for r in rows
                if r["panel"] == panel.name and r["name"] == name and r["seconds"]
            )
            if points:
                axis.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=5, label=name)
        won = ratios(rows, panel.name, "OpenCV")
        if won:
            axis.text(
                0.03,
                0.97,
                f"{geometric_mean(list(won.values())):.1f} times OpenCV's speed\n(geometric mean)",
                transform=axis.transAxes,
                va="top",
                fontsize=9,
            )
        sizes = sorted({r["size"] for r in rows if r["panel"] == panel.name})
        axis.xaxis.set_major_locator(FixedLocator(sizes))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: si(v, "s")))
        low, high = axis.get_ylim()
        axis.set_ylim(low, high * 2.5)
    axes[0][0].set_ylabel("time")
    handles = {h.get_label(): h for axis in axes[0] for h in axis.get_legend_handles_labels()[0]}
    figure.legend(
        handles=list(handles.values()), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(handles), frameon=False
    )
    return save(figure, folder, "images")
