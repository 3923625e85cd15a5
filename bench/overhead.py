"""
``python -m bench overhead``: what a call costs on an image so small that the convolution costs nothing.

Times are those of whole calls, as a user types them, on one image of one channel, 16x16, with a 3x3 kernel:
the kernel's own part of them is below a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from rich.table import Table

import fastconv
from bench.measure import Cell, interleave


def measure(seconds: float, threads: int) -> dict[str, float]:
    """Median seconds by call; PyTorch's `conv2d` and gradients stand beside ours where it is installed."""
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((1, 1, 16, 16), np.float32) for _ in range(2))
    w = rng.standard_normal((1, 1, 3, 3), np.float32)
    plan = fastconv.plan_conv2d(x.shape, w, padding=1)
    out = np.empty_like(dy)
    calls: dict[str, Callable[[], Any]] = {
        "conv2d(x, w, padding=1)": lambda: fastconv.conv2d(x, w, padding=1),
        "plan(x)": lambda: plan(x),
        "plan(x, out=out)": lambda: plan(x, out=out),
        "conv2d_backward(dy, x, w, padding=1)": lambda: fastconv.conv2d_backward(dy, x, w, padding=1),
    }
    if find_spec("torch") is not None:
        torch = import_module("torch")
        torch.set_num_threads(threads)
        tx, tw, tdy = (torch.from_numpy(a) for a in (x, w, dy))
        conv2d, backward = torch.nn.functional.conv2d, torch.ops.aten.convolution_backward
        rest = [1], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, True]
        calls["torch conv2d"] = lambda: conv2d(tx, tw, padding=1)
        calls["torch convolution_backward"] = lambda: backward(tdy, tx, tw, *rest)
    cells = [Cell(name, call) for name, call in calls.items()]
    for cell in cells:
        cell.warm_up()
    interleave(cells, seconds, rounds=(5, 100))
    return {cell.name: float(np.median(cell.samples)) for cell in cells}


def table(times: dict[str, float]) -> Table:
    """Microseconds of every call."""
    made = Table("call", "us", title="a call on a 1x1x16x16 image, 3x3 kernel: time of the whole call")
    for name, seconds in times.items():
        made.add_row(name, f"{seconds * 1e6:.2f}")
    return made
