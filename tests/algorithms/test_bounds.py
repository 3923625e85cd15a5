"""Stated error bounds are not only kept, which the battery sees to, but near: a bound far too loose misleads `auto`."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.core.problem import PASSES, ConvProblem, parse
from tests import battery
from tests.problems import Data

PROBLEMS = (
    "n1ci3ih12iw13co32kh3kw3ph1pw1_f32",
    "n1ci64ih12iw13co32kh3kw3ph1pw1_f32",
    "n2ci24ih24iw25co16kh7kw7ph3pw3_f32",
    "n2ci16ih40iw30co16kh3kw3ph1pw1g16_f32",
    "n1ci300ih7iw7co32kh1kw1_f32",
)
#: the largest error over all of these problems and data, as a part of the stated bound, is at least so much
FLOOR = 0.08
#: bounds of transforms are for data worse than these
FLOORS = {"winograd": 0.015}
KINDS = ("normal", "positive", "alternating", "low rank", "lost digits")


@lru_cache(maxsize=64)
def data(p: ConvProblem, kind: str) -> Data:
    """Numbers of one sign make the sums largest, alternating ones make transforms cancel; "lost digits" lie almost
    half between two bfloat16 numbers, all on one side."""
    rng = np.random.default_rng(KINDS.index(kind))

    def draw(*shape: int) -> Any:
        if kind == "normal":
            v = rng.standard_normal(shape)
        elif kind == "alternating":
            v = (-1.0) ** np.indices(shape).sum(0) * (1 + rng.random(shape))
        elif kind == "lost digits":
            v = 1 + 2.0**-8 * (0.9 + 0.09 * rng.random(shape))
        else:
            v = rng.random(shape)
        return v.astype(p.dtype)

    w = draw(*p.w_shape)
    if kind == "low rank":
        w = (draw(*p.w_shape[:3], 1).astype(float) * draw(*p.w_shape[:2], 1, p.kw)).astype(p.dtype)
    return Data(draw(*p.x_shape), w, None, draw(*p.y_shape))


@lru_cache(maxsize=256)
def wanted(p: ConvProblem, pass_: str, kind: str) -> Any:
    return battery.expected(p, pass_, data(p, kind))


def tightness(name: str, pass_: str, dtype: str) -> float:
    """Largest measured error over stated bound; -1 if every problem is refused."""
    found = -1.0
    for text in PROBLEMS:
        p = parse(text)._replace(dtype=dtype)
        backend = fastconv.get_backend(name)
        if backend.refuse(p, pass_):
            continue
        for kind in KINDS if name.startswith("split_bf16") else KINDS[:-1]:
            d = data(p, kind)
            try:
                error = np.abs(battery.public(name, pass_, p, d) - wanted(p, pass_, kind))
            except fastconv.BackendRefused:  # by the values of the weights
                continue
            chosen = backend.with_weights(p, pass_, d.w, None) if backend.by_value else backend
            bound = (chosen or backend).error_bound(p, pass_)
            found = max(found, float((error / (bound * battery.scale(p, pass_, d))).max()))
    return found


def floor(name: str) -> float:
    return FLOORS.get(name.partition("/")[0], FLOOR)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", battery.backends())
def test_bounds_are_near(name: str, dtype: str) -> None:
    if (name, dtype) == ("reference", "float64"):
        return  # it sums as the oracle does
    for pass_ in PASSES:
        found = tightness(name, pass_, dtype)
        assert found == -1 or floor(name) <= found <= 1, f"{pass_}: {found:.3f} of the stated bound"


@pytest.mark.parametrize("name", [n for n in battery.backends() if not n.endswith("/numba")])
def test_the_floor_would_notice(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that is a hundred times too loose is below the floor, for every algorithm."""
    kind = type(fastconv.get_backend(name))
    stated = kind.error_bound
    monkeypatch.setattr(kind, "error_bound", lambda self, p, pass_: 100 * stated(self, p, pass_))
    assert tightness(name, "forward", "float32") < floor(name)
