"""NaN and infinities stay where the definition puts them; denormals have right values."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import fastconv
from fastconv.core.problem import PASSES
from stress import Line
from stress.cases import problem
from tests import battery
from tests.problems import integer_data


def mask(rng: np.random.Generator, name: str, pass_: str, p: Any) -> str:
    """A result's finite numbers are where the definition's are, through the public call.

    A backend that was named and transforms its input spreads them, and says so; `auto` then takes another.
    """
    name = "auto" if fastconv.get_backend(name).spreads_nonfinite else name
    d = integer_data(p)
    a = {"forward": d.x, "grad_input": d.dy, "grad_weight": d.x}[pass_]
    a[tuple(int(rng.integers(n)) for n in a.shape)] = rng.choice([np.nan, np.inf, -np.inf])
    with np.errstate(invalid="ignore"):
        want, got = battery.expected(p, pass_, d), battery.public(name, pass_, p, d)
    same = np.array_equal(np.isfinite(want), np.isfinite(got))
    return "" if same else f"{name} {pass_} {p}  # {np.isfinite(got).sum()} finite, expected {np.isfinite(want).sum()}"


def denormal(name: str, pass_: str, p: Any) -> str:
    """Powers of two below the normal range times small integers: exact, where nothing flushes them to zero."""
    d = integer_data(p)
    tiny = np.finfo(p.dtype).tiny / 16
    want = battery.expected(p, pass_, d) * float(tiny)
    scaled = d._replace(**{"forward": {"x": d.x * tiny}}.get(pass_, {"dy": d.dy * tiny}))
    got = battery.public(name, pass_, p, scaled)
    # units for bfloat16 take denormal numbers for zero: off by no more than what the products come to
    allowed = battery.scale(p, pass_, scaled) if name.startswith("split_bf16") else 0.0
    wrong = ~(np.abs(got.astype(np.float64) - want) <= allowed)
    return f"{name} {pass_} {p}  # {wrong.sum()} of {got.size} wrong" if wrong.any() else ""


def slowdown() -> str:
    """Time of denormal numbers beside normal ones, of one layer."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 64, 56, 56)).astype("f4"), rng.standard_normal((64, 64, 3, 3)).astype("f4")
    times: dict[float, list[float]] = {1.0: [], 1e-40: []}
    for _ in range(9):
        for scale, taken in times.items():
            scaled = x * np.float32(scale)
            start = time.perf_counter()
            fastconv.conv2d(scaled, w, padding=1, backend="direct/cython")
            taken.append(time.perf_counter() - start)
    return f"denormal numbers take {min(times[1e-40]) / min(times[1.0]):.1f} times as long"


def run(seed: int, quick: bool) -> Iterator[Line]:
    """Every backend's mask or that of `auto`; denormal numbers where sums are exact."""
    rng, count = np.random.default_rng(seed), 100 if quick else 3000
    names = [n for n in battery.backends() if not n.endswith("/numba")]
    found: dict[str, list[str]] = {"non-finite": [], "denormal": []}
    done = dict.fromkeys(found, 0)
    while done["non-finite"] < count:
        p = problem(rng)
        p = p._replace(dtype="float32" if p.dtype == "float16" else p.dtype)
        pass_, name = str(rng.choice(PASSES)), str(rng.choice(names))
        backend = fastconv.get_backend(name)
        if backend.refuse(battery.inner(p), pass_):
            continue
        done["non-finite"] += 1
        found["non-finite"].append(mask(rng, name, pass_, p))
        if battery.is_exact(backend):
            done["denormal"] += 1
            found["denormal"].append(denormal(name, pass_, p))
    for subject, told in found.items():
        yield Line(subject, done[subject], [t for t in told if t], slowdown() if subject == "denormal" else "")
