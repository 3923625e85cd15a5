"""``python -m bench others``: pooling and transposed convolution against PyTorch, in the same rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby, product
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

import fastconv
from bench.fits import geometric_mean
from bench.measure import Cell, interleave
from bench.workloads import channels_last, matches

#: n, ci, size, co, kernel, stride, padding, output_padding
TRANSPOSED = (
    (1, 512, 8, 256, 4, 2, 1, 0),
    (8, 512, 8, 256, 4, 2, 1, 0),
    (8, 256, 16, 128, 4, 2, 1, 0),
    (1, 128, 56, 64, 2, 2, 0, 0),
    (4, 128, 56, 64, 2, 2, 0, 0),
    (1, 64, 56, 64, 3, 2, 1, 1),
    (4, 128, 28, 64, 3, 2, 1, 1),
)
POOLS = tuple(product((1, 8), (64, 256), (112, 28), ((2, 2, 0), (3, 2, 1))))  # n, channels, size, (k, stride, padding)
OPERATIONS = ("transposed", "transposed, channels last", "max", "average", "max, backward", "average, backward")
_TOLERANCE = 1e-5  # of the largest number


class Task(NamedTuple):
    """One thing that both libraries compute."""

    operation: str
    shape: str
    ours: Callable[[], Any]
    theirs: tuple[Callable[[], Any], ...]  # in every layout that the library may like better
    bytes: int  # input and output once


class Row(NamedTuple):
    """One measured task; seconds are medians, theirs of the better layout."""

    operation: str
    shape: str
    ours: float
    theirs: float
    bytes: int
    right: bool


def measure(patterns: Sequence[str], seconds: float, threads: int) -> list[Row]:
    """
    Check and time every task whose operation fits a shell-style pattern.

    Raises
    ------
    RuntimeError
        If PyTorch is not installed.
    ValueError
        If no operation fits.
    """
    if not any(matches(operation, patterns) for operation in OPERATIONS):
        raise ValueError(f"only: {' '.join(patterns)} fits none of {'; '.join(OPERATIONS)}")
    if find_spec("torch") is None:
        raise RuntimeError("PyTorch is not installed")
    torch = import_module("torch")
    torch.set_num_threads(threads)
    found = []
    with torch.no_grad():
        for layout, shape in product(("nchw", "nhwc"), TRANSPOSED):
            task = _transposed(torch, layout, *shape)
            if matches(task.operation, patterns):
                found.append(_measured(task, seconds))
        for n, c, size, window in POOLS:
            for task in _pools(torch, n, c, size, *window):
                if matches(task.operation, patterns):
                    found.append(_measured(task, seconds))
    return found


def _measured(task: Task, seconds: float) -> Row:
    got, want = np.asarray(task.ours()), task.theirs[0]().numpy()
    right = got.shape == want.shape and bool(np.abs(got - want).max() <= _TOLERANCE * np.abs(want).max())
    cells = [Cell("fastconv", task.ours), *(Cell("torch", call) for call in task.theirs)]
    for cell in cells:
        cell.warm_up()
    interleave(cells, seconds, rounds=(5, 60))
    ours, *theirs = (float(np.median(cell.samples)) for cell in cells)
    return Row(task.operation, task.shape, ours, min(theirs), task.bytes, right)


def _transposed(
    torch: Any, layout: str, n: int, ci: int, size: int, co: int, k: int, stride: int, padding: int, extra: int
) -> Task:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, ci, size, size), np.float32)
    w = rng.standard_normal((ci, co, k, k), np.float32)
    o: dict[str, Any] = {"stride": stride, "padding": padding, "output_padding": extra}

    def theirs(memory_format: Any) -> Callable[[], Any]:
        tx, tw = (torch.from_numpy(a).contiguous(memory_format=memory_format) for a in (x, w))
        return lambda: torch.nn.functional.conv_transpose2d(tx, tw, **o)

    lying = x if layout == "nchw" else channels_last(x)
    return Task(
        "transposed" if layout == "nchw" else "transposed, channels last",
        f"{n}x{ci}x{size}x{size} to {co}, {k}x{k} stride {stride}",
        lambda: fastconv.conv_transpose2d(lying, w, **o),
        (theirs(torch.contiguous_format), theirs(torch.channels_last)),
        x.nbytes + w.nbytes + n * co * (stride * size) ** 2 * 4,
    )


def _pools(torch: Any, n: int, c: int, size: int, k: int, s: int, p: int) -> list[Task]:
    rng, aten, functional = np.random.default_rng(0), torch.ops.aten, torch.nn.functional
    x = rng.standard_normal((n, c, size, size), np.float32)
    y, index = fastconv.max_pool2d(x, k, stride=s, padding=p, return_indices=True)
    dy = rng.standard_normal(y.shape, np.float32)
    tx, tdy, at = (torch.from_numpy(a) for a in (x, dy, index))
    o: dict[str, Any] = {"stride": s, "padding": p}
    kk, ss, pp = [k, k], [s, s], [p, p]
    shape, moved = f"{n}x{c}x{size}x{size}, {k}x{k} stride {s}", x.nbytes + y.nbytes
    return [
        Task(
            "max",
            shape,
            lambda: fastconv.max_pool2d(x, k, **o),
            (lambda: functional.max_pool2d(tx, k, **o),),
            moved,
        ),
        Task(
            "average",
            shape,
            lambda: fastconv.avg_pool2d(x, k, **o),
            (lambda: functional.avg_pool2d(tx, k, **o),),
            moved,
        ),
        Task(
            "max, backward",
            shape,
            lambda: fastconv.max_pool2d_backward(dy, x, k, indices=index, **o),
            (lambda: aten.max_pool2d_with_indices_backward(tdy, tx, kk, ss, pp, [1, 1], False, at),),
            moved + index.nbytes,
        ),
        Task(
            "average, backward",
            shape,
            lambda: fastconv.avg_pool2d_backward(dy, x, k, **o),
            (lambda: aten.avg_pool2d_backward(tdy, tx, kk, ss, pp, False, True, None),),
            moved,
        ),
    ]


def tables(rows: Sequence[Row]) -> list[Table]:
    """A table for every operation, with the geometric mean of its ratios."""
    found = []
    for operation, group in groupby(sorted(rows, key=lambda row: row.operation), key=lambda row: row.operation):
        table = Table("shape", "fastconv ms", "torch ms", "times as fast", "GB/s", title=operation)
        ratios = []
        for row in group:
            ratios.append(row.theirs / row.ours)
            wrong = "" if row.right else "WRONG "
            speed = f"{row.bytes / row.ours / 1e9:.0f}"
            table.add_row(
                wrong + row.shape, f"{row.ours * 1e3:.3f}", f"{row.theirs * 1e3:.3f}", f"{ratios[-1]:.2f}", speed
            )
        table.add_section()
        table.add_row("geometric mean", "", "", f"{geometric_mean(ratios):.2f}", "")
        found.append(table)
    return found
