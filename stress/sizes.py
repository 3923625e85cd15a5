"""Shapes up to 2^62, and strides beyond 2^31 bytes: no overflow, no nonsense, an error where memory cannot suffice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import fastconv
from fastconv.core.problem import PASSES
from stress import Line


def planned(rng: np.random.Generator) -> str:
    """A random huge shape through `explain`: a plan whose figures are positive, or an error that is documented."""
    sizes = [int(2 ** rng.uniform(0, 62)) if rng.random() < 0.4 else int(rng.integers(1, 64)) for _ in range(4)]
    kernel = [min(s, int(2 ** rng.uniform(0, 6))) for s in sizes[2:]]
    x, w = tuple(sizes), (int(2 ** rng.uniform(0, 20)), sizes[1], *kernel)
    pass_, dtype = str(rng.choice(PASSES)), str(rng.choice(("float32", "float64")))
    told = f"explain({x}, {w}, pass_={pass_!r}, dtype={dtype!r})"
    try:
        found = fastconv.explain(x, w, pass_=pass_, dtype=dtype)  # type: ignore[arg-type]
    except (ValueError, MemoryError) as error:
        return "" if any(f"{name}" in str(error) for name in ("x", "w", "_shape", "memory")) else f"{told}  # {error}"
    except Exception as error:
        return f"{told}  # {type(error).__name__}: {error}"
    rows = [r for r in found.rows if r["status"] != "refused"]
    positive = all(r["flops"] > 0 and r["workspace_bytes"] >= 0 and 0 < r["predicted_seconds"] < np.inf for r in rows)
    # a sum of 1e12 numbers may be too rough for every backend: each then says so
    reasoned = all(r["reason"] for r in found.rows if r["status"] == "refused")
    return "" if positive and reasoned and bool(rows) == bool(found.chosen) else f"{told}  # figures that cannot be"


def far(backend: str, axis: int) -> str:
    """An image whose rows, channels or pictures lie 2^32 bytes apart (memory that is never touched costs nothing)."""
    rng, step = np.random.default_rng(axis), 2**32
    shape = [1, 1, 6, 7]
    shape[axis] = 3
    strides = [4 * 42, 4 * 42, 4 * 7, 4]
    strides[axis] = step
    raw = np.empty(3 * step + 4096, np.uint8)
    x = np.ndarray(tuple(shape), np.float32, raw, 0, tuple(strides))
    x[...] = rng.integers(-3, 4, shape)
    w = rng.integers(-3, 4, (2, shape[1], 3, 3)).astype(np.float32)
    got, want = (fastconv.conv2d(a, w, padding=1, backend=backend) for a in (x, x.copy()))
    return "" if np.array_equal(got, want) else f"{backend}: axis {axis} at {step} bytes differs from its copy"


def large() -> str:
    """More than 2^31 numbers through strided max pooling and convolution; only where there is room."""
    side = 46342  # its square is 2^31 + 4,316
    x = np.zeros((1, 1, side, side), np.float32)
    x[0, 0, -1, -1], x[0, 0, 0, 0] = 3, 5
    w = np.ones((1, 1, 2, 2), np.float32)
    y, m = fastconv.conv2d(x, w, stride=side - 2), fastconv.max_pool2d(x, 2, stride=side - 2)
    right = np.array_equal(y[0, 0], [[5, 0], [0, 3]]) and np.array_equal(m[0, 0], [[5, 0], [0, 3]])
    if not right:
        return f"image of {side} x {side}: {y.ravel()}, {m.ravel()}"
    x[...], x[0, 0, -2, -2] = 1, 4  # and every pixel, 9.6 GB with the result
    y = fastconv.conv2d(x, np.ones((1, 1, 3, 3), np.float32), stride=3)
    right, y[0, 0, -1, -1] = y[0, 0, -1, -1] == 12, 9
    return "" if right and y.min() == y.max() == 9 else f"image of {side} x {side} at stride 3 is wrong"


def available() -> int:
    """Bytes that the system can give."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))


def run(seed: int, quick: bool) -> Iterator[Line]:
    """500 huge shapes, far strides on every axis, one image beyond 2^31 numbers."""
    rng, count = np.random.default_rng(seed), 60 if quick else 500
    yield Line("huge shapes", count, [told for _ in range(count) if (told := planned(rng))])
    ways = [(b, axis) for b in ("auto", "direct", "naive") for axis in range(3)]
    yield Line("far strides", len(ways), [told for b, axis in ways if (told := far(b, axis))])
    if quick:
        return
    room = available() > 12 << 30
    yield Line(
        "2^31 numbers", int(room), [told for told in [large() if room else ""] if told], "" if room else "no room"
    )
