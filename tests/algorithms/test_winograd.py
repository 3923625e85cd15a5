"""Winograd beyond the battery: hard data against the stated bound, blocks, threads, prepared weights."""

import itertools
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.algorithms import winograd
from fastconv.algorithms import winograd_matrices as transforms
from fastconv.algorithms.base import Epilogue
from fastconv.algorithms.winograd import Winograd
from fastconv.algorithms.winograd_layout import Blocks
from fastconv.core.problem import ConvProblem, parse
from fastconv.engines import loader
from tests import battery, oracle
from tests.problems import Data, geometry, integer_data, real_data

NAMES = [name for name in battery.backends() if name.startswith("winograd/")]
PASSES = ("forward", "grad_input", "grad_weight")

pytestmark = pytest.mark.skipif(not NAMES, reason="no engine for it here")

HARD = ("random", "positive", "wide", "integers", "alternating", "points")
DEEP = (  # long sums of each form
    "n1ci512ih8iw9co16kh3kw3ph1pw1_f32",
    "n1ci512ih20iw24co16kh3kw3ph1pw1_f32",
    "n1ci512ih4iw4co16kh3kw3ph1pw1_f32",
    "n1ci512ih6iw6co16kh5kw5ph2pw2_f32",
    "n1ci512ih3iw24co16kh1kw7pw3_f32",
    "n1ci190ih20iw3co16kh7kw1ph3_f32",
    "n1ci512ih20iw3co16kh3kw1ph1_f32",
    "n2ci16ih40iw41co512kh3kw3ph1pw1_f32",
    "n2ci16ih39iw42co300kh3kw3ph13pw14dh13dw14_f32",
)


def hard_data(kind: str, p: ConvProblem) -> Data:
    """Data that is hard on transforms: one sign, sizes over many orders, signs as in the transforms' rows."""
    rng = np.random.default_rng(len(kind))

    def draw(*shape: int) -> Any:
        if kind == "random":
            v = rng.standard_normal(shape)
        elif kind == "positive":
            v = rng.random(shape)
        elif kind == "wide":
            v = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 7, shape)
        elif kind == "integers":
            v = rng.integers(-9, 10, shape).astype(float)
        elif kind == "alternating":
            v = (-1.0) ** np.indices(shape).sum(0) * (1 + 0.1 * rng.random(shape))
        else:  # rows and columns grow like the powers of a point
            i = np.indices(shape)
            v = (-1.5) ** -((i[-1] % 6) + (i[-2] % 6)).astype(float) * (1 + 0.1 * rng.random(shape))
        return v.astype(p.dtype)

    return Data(draw(*p.x_shape), draw(*p.w_shape), None, draw(*p.y_shape))


@lru_cache(maxsize=len(PASSES))
def wanted(kind: str, p: ConvProblem, pass_: str) -> Any:
    return battery.expected(p, pass_, hard_data(kind, p))


@pytest.mark.parametrize("name", NAMES)  # one after the other: their oracle is computed once
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("text", DEEP)
def test_bound_holds_on_hard_data(name: str, text: str, dtype: str, kind: str) -> None:
    p = parse(text)._replace(dtype=dtype)
    d, backend = hard_data(kind, p), fastconv.get_backend(name)
    for pass_ in PASSES:
        got = battery.public(name, pass_, p, d)
        battery.compare(backend, pass_, p, d, got, exact=False, want=wanted(kind, p, pass_))


def worst_signs(m: int, k: int) -> tuple[Any, int]:
    """The signs of a tile's pixels, and the tap, that F(m, k) magnifies most."""
    a, b, g = (np.array(matrix, float) for matrix in transforms.matrices(m, k))
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=m + k - 1)))
    v = signs @ b.T
    sizes = {(o, j): (v * a[o] * g[:, j]) ** 2 @ np.ones(m + k - 1) for o in range(m) for j in range(k)}
    _, j = max(sizes, key=lambda key: sizes[key].max())
    return signs[np.argmax(sizes[max(sizes, key=lambda key: sizes[key].max())])], j


@pytest.mark.parametrize("channels", [1, 16, 64, 300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("m", "kernel"),
    [(2, (3, 3)), (3, (3, 3)), (4, (3, 3)), (2, (5, 5)), (4, (5, 5)), (4, (1, 7)), (2, (7, 1)), (4, (3, 1))],
)
@pytest.mark.parametrize("name", NAMES)
def test_bound_holds_for_the_worst_signs(
    name: str, m: int, kernel: tuple[int, int], dtype: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tile, one tap, the same signs in all channels: nothing cancels but what the transform makes cancel."""
    backend, rng = fastconv.get_backend(name), np.random.default_rng(channels)
    monkeypatch.setattr(winograd, "_tile", lambda p, pass_: m)
    signs, tap = worst_signs(m, max(kernel))
    h, w = (signs if k > 1 else np.ones(1) for k in kernel)
    p = ConvProblem.from_shapes((1, channels, h.size, w.size), (16, channels, *kernel), dtype=dtype)
    assert backend.configure(p, "forward", 1).m == m
    x = h[:, None] * w * rng.uniform(0.9, 1, (1, channels, 1, 1))
    weights = np.zeros(p.w_shape)
    weights[:, :, tap if kernel[0] > 1 else 0, tap if kernel[1] > 1 else 0] = rng.uniform(0.5, 1, p.w_shape[:2])
    d = Data(x.astype(dtype), weights.astype(dtype), None, None)
    got, want = battery.public(name, "forward", p, d), oracle.forward(d.x, d.w, None, geometry(p))
    norm = np.abs(d.x).max() * np.abs(d.w.astype(np.float64)).sum(axis=(1, 2, 3))[:, None, None]
    assert (np.abs(got - want) <= backend.error_bound(p, "forward") * norm).all()


@pytest.mark.parametrize("name", NAMES)
def test_bounds(name: str) -> None:
    """3x3 is within the default tolerance at all usual numbers of channels; the worst case lies above."""
    backend = fastconv.get_backend(name)
    for channels in (1, 64, 512, 1024):
        for dtype, tolerance in (("float32", 2e-5), ("float64", 1e-12)):
            for k in ((3, 3), (1, 7), (7, 1), (5, 5)):
                p = ConvProblem.from_shapes((1, channels, 56, 56), (channels, channels, *k), 1, "same", dtype=dtype)
                for pass_ in PASSES:
                    bound = backend.error_bound(p, pass_)
                    assert 0 < bound < backend.worst_case_bound(p, pass_)
                    assert bound <= tolerance


@pytest.mark.parametrize(
    ("size", "dilation", "outputs"), [(2, 1, 2), (4, 1, 2), (9, 1, 3), (18, 1, 3), (28, 1, 4), (33, 12, 3), (33, 8, 4)]
)
@pytest.mark.parametrize("name", NAMES)
def test_tiles_fit_the_image(name: str, size: int, dilation: int, outputs: int) -> None:
    """The fewest products; where tiles are few, the transforms of weights count more."""
    p = parse(f"n1ci64ih{size}iw{size}co64kh3kw3ph{dilation}pw{dilation}dh{dilation}dw{dilation}_f32")
    for pass_ in PASSES:
        assert fastconv.get_backend(name).configure(p, pass_, 2).m == outputs


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize(
    "text",
    [
        "n3ci40ih19iw22co37kh3kw3pt1pb2pl0pr3_f32",
        "n2ci24ih19iw22co48kh3kw3ph2pw2dh2dw2g2_f32",
        "n2ci40ih19iw22co37kh5kw5ph2pw2_f64",
        "n2ci40ih21iw20co37kh3kw3ph7pw4dh7dw4_f32",  # tiles of 3 outputs
        "n2ci140ih5iw30co70kh1kw7pw3_f32",
        "n3ci8ih10iw17co17kh1kw7ph3dh2_f32",  # blocks that lie in the padding
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_every_way_to_split(name: str, text: str, pass_: str, threads: int) -> None:
    """Whatever the tile, the blocks and what the threads share: right, and the same twice."""
    backend, p = fastconv.get_backend(name), parse(text)
    data = real_data(p)
    base = backend.configure(p, pass_, threads)
    rows = p.n * -(-(p.oh if pass_ != "grad_input" else p.ih) // (base.m * p.dh if p.kh > 1 else p.dh))
    for by_panels in (0, 1):
        for row_blocks, col_blocks in ((1, 1), (2, 1), (rows, 1), (rows, 2)):
            for chunk in (16, 64):
                cfg = Blocks(base.m, by_panels, row_blocks, col_blocks, chunk, base.sum)
                fixed = _Fixed(backend, cfg)
                first = battery.raw(fixed, pass_, p, data, threads)
                battery.compare(backend, pass_, p, data, first, exact=False)
                assert np.array_equal(first, battery.raw(fixed, pass_, p, data, threads)), cfg


class _Fixed(Winograd):
    """A backend with a given configuration."""

    def __init__(self, backend: Any, cfg: Blocks) -> None:
        super().__init__(backend.engine, loader.load, backend.vector_bytes)
        self._cfg = cfg

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Blocks:
        return self._cfg


@pytest.mark.parametrize("name", NAMES)
def test_prepared_weights_change_nothing(name: str) -> None:
    backend, p = fastconv.get_backend(name), parse("n1ci70ih17iw18co45kh3kw3ph1pw1_f32")
    d = integer_data(p)
    for by_panels in (0, 1):
        cfg = Blocks(4, by_panels, 2, 1, 64, 64)
        work = battery.aligned(-(-backend.workspace(p, "forward", cfg, 2) // 8) * 8, p.dtype)
        outs = []
        for packed in (None, backend.prepare(p, cfg, d.w)):
            outs.append(np.full(p.y_shape, np.nan, p.dtype))
            backend.forward(p, cfg, d.x, d.w, Epilogue(d.b, None, ""), outs[-1], work, 2, packed)
        assert np.array_equal(outs[0], outs[1])
        battery.compare(backend, "forward", p, d, outs[0], bias=d.b, exact=False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("n1ci8ih9iw9co8kh3kw3sh2sw2_f32", "stride"),
        ("n1ci8ih9iw9co8kh3kw3sw2_f32", "stride"),
        ("n1ci8ih9iw9co8kh4kw4_f32", "no transform"),
        ("n1ci8ih9iw9co8kh3kw5_f32", "no transform"),
        ("n1ci8ih9iw9co8kh7kw7_f32", "no transform"),
        ("n1ci8ih9iw9co8kh1kw1_f32", "no transform"),
        ("n1ci16ih9iw9co16kh3kw3g4_f32", "a group"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_refusals_have_reasons(name: str, text: str, reason: str) -> None:
    p = parse(text)
    for pass_ in PASSES:
        assert reason in (fastconv.get_backend(name).refuse(p, pass_) or "")
    d = integer_data(p)
    with pytest.raises(fastconv.BackendRefused, match=reason):
        battery.public(name, "forward", p, d)


@pytest.mark.parametrize("name", NAMES)
def test_costs_are_plausible(name: str) -> None:
    """More work costs more, and a second thread helps with large layers."""
    from fastconv.planning.rates import rates

    backend = fastconv.get_backend(name)

    def seconds(text: str, pass_: str, threads: int) -> float:
        p = parse(text)
        return float(backend.cost(p, pass_, backend.configure(p, pass_, threads), threads, rates(p.dtype)).seconds)

    for pass_ in PASSES:
        large, small = "n4ci64ih56iw56co64kh3kw3ph1pw1_f32", "n1ci64ih28iw28co64kh3kw3ph1pw1_f32"
        assert seconds(small, pass_, 1) < seconds(large, pass_, 1) < 0.1
        assert seconds(large, pass_, 2) < 0.7 * seconds(large, pass_, 1)
