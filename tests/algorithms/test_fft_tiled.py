"""FFT tiles beyond the battery: hard data against the stated bound, every mode, blocks, phases, threads."""

import math
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.algorithms.base import Epilogue
from fastconv.algorithms.fft_tiled import FftTiled
from fastconv.algorithms.fft_tiled_layout import CHANNELS, IMAGES, LENGTHS, POINTWISE, Tiles, factors, lines, split
from fastconv.core.problem import PASSES, ConvProblem, parse
from fastconv.engines import loader
from fastconv.planning import planner
from tests import battery, child
from tests.problems import Data, integer_data, real_data

NAMES = [name for name in battery.backends() if name.startswith("fft_tiled/")]

pytestmark = pytest.mark.skipif(not NAMES, reason="no engine for it here")

HARD = ("random", "positive", "wide", "spike", "integers", "alternating")
DEEP = (
    "n1ci300ih9iw10co5kh5kw5ph2pw2_f32",
    "n1ci3ih60iw61co17kh15kw13ph7pw6_f32",
    "n1ci1ih130iw140co1kh31kw29ph15pw14_f32",
    "n1ci17ih56iw55co17kh31kw31ph15pw15g17_f32",
    "n3ci20ih40iw41co18kh7kw7sh2sw2ph3pw3_f32",
)


def hard_data(kind: str, p: ConvProblem) -> Data:
    """Data that is hard on transforms: one sign, sizes over many orders, one pixel far above the others."""
    rng = np.random.default_rng(len(kind))

    def draw(*shape: int) -> Any:
        if kind == "random":
            v = rng.standard_normal(shape)
        elif kind == "positive":
            v = rng.random(shape)
        elif kind == "wide":
            v = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 7, shape)
        elif kind == "spike":
            v = rng.standard_normal(shape)
            v[tuple(s // 2 for s in shape)] = 1e12
        elif kind == "integers":
            v = rng.integers(-9, 10, shape).astype(float)
        else:
            v = (-1.0) ** np.indices(shape).sum(0) * (1 + 0.1 * rng.random(shape))
        mantissa, exponent = np.frexp(v)
        return np.ldexp(np.round(mantissa * 2048) / 2048, exponent).astype(p.dtype)  # so that the oracle errs less

    return Data(draw(*p.x_shape), draw(*p.w_shape), None, draw(*p.y_shape))


def guarded(a: Any, dtype: str) -> Any:
    """A contiguous copy between numbers that are NaN."""
    room = np.full(a.size + 16, np.nan, dtype)
    room[8:-8] = a.ravel()
    return room[8:-8].reshape(a.shape)


class _Fixed(FftTiled):
    """A backend with a given configuration."""

    def __init__(self, name: str, cfg: Tiles) -> None:
        backend = fastconv.get_backend(name)
        super().__init__(backend.engine, loader.load, backend.vector_bytes)
        self._cfg = cfg

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Tiles:
        return self._cfg


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("text", DEEP)
@pytest.mark.parametrize("name", NAMES)
def test_bound_holds_on_hard_data(name: str, text: str, dtype: str, kind: str) -> None:
    p = parse(text)._replace(dtype=dtype)
    d = hard_data(kind, p)
    for pass_ in PASSES:
        battery.compare(fastconv.get_backend(name), pass_, p, d, battery.public(name, pass_, p, d), exact=False)


@pytest.mark.parametrize("name", NAMES)
def test_bounds(name: str) -> None:
    """Within the default tolerance at all usual numbers of channels; the worst case lies above."""
    backend = fastconv.get_backend(name)
    for channels in (1, 64, 512):
        for dtype, tolerance in (("float32", 2e-5), ("float64", 1e-12)):
            p = ConvProblem.from_shapes((1, channels, 56, 56), (channels, channels, 7, 7), 1, "same", dtype=dtype)
            for pass_ in PASSES:
                assert 0 < backend.error_bound(p, pass_) < backend.worst_case_bound(p, pass_)
                assert backend.error_bound(p, pass_) <= tolerance


@pytest.mark.parametrize("mode", [CHANNELS, POINTWISE, IMAGES])
@pytest.mark.parametrize(
    "text",
    [
        "n2ci20ih23iw40co18kh5kw4pt1pb2pl0pr3_f32",
        "n2ci9ih29iw30co6kh7kw6ph3pw2sh2sw3g3_f32",
        "n1ci8ih50iw31co16kh5kw5ph6pw4dh3dw2g8_f64",
        "n1ci3ih60iw70co4kh9kw11sh2sw3ph4pw5dh4dw2_f32",
        "n3ci17ih20iw19co17kh9kw9ph4pw4g17_f32",
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_every_way_to_split(name: str, text: str, mode: int) -> None:
    """Whatever the lanes, the transforms and the blocks: right, and the same twice."""
    p = parse(text)
    data = real_data(p)
    for pass_ in PASSES:
        for threads in (1, 2, 3):
            for cfg in (Tiles(mode, 16, 30, 3, 2, 1), Tiles(mode, 54, 20, 1, 1, 2), Tiles(mode, 81, 96, 99, 99, 9)):
                backend = _Fixed(name, cfg)
                first = battery.raw(backend, pass_, p, data, threads)
                battery.compare(backend, pass_, p, data, first, exact=False)
                assert np.array_equal(first, battery.raw(backend, pass_, p, data, threads)), (pass_, threads, cfg)


@pytest.mark.parametrize("flags", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize(
    "text",
    [
        "n2ci20ih23iw40co18kh5kw4pt1pb2pl0pr3_f32",
        "n2ci36ih29iw30co40kh7kw6ph3pw2sh2sw3g2_f32",
        "n1ci16ih50iw31co33kh5kw5ph6pw4dh3dw2_f64",
        "n1ci9ih20iw21co16kh3kw5sh2sw3ph2pw5dh4dw2_f64",
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_channels_last_as_they_lie(name: str, text: str, flags: tuple[bool, bool]) -> None:
    """Bit by bit what is made of channels-first arrays; nothing beside the arrays is read or written."""
    p = parse(text)
    q, d, cfg = p._replace(x_last=flags[0], y_last=flags[1]), real_data(p), Tiles(CHANNELS, 20, 24, 3, 2, 1)
    backend = _Fixed(name, cfg)
    for pass_ in PASSES:
        first, second = (guarded(a, p.dtype) for a in battery.operands(pass_, d))
        first_last, last = (flags[0], flags[1]) if pass_ == "forward" else (flags[1], flags[0])
        if first_last:
            first = guarded(first.transpose(0, 2, 3, 1), p.dtype)
        if pass_ == "grad_weight" and flags[0]:
            second = guarded(second.transpose(0, 2, 3, 1), p.dtype)
        shape = battery.result_shape(p, pass_)
        last = last and pass_ != "grad_weight"
        for threads in (1, 3):
            out = guarded(np.full((shape[0], *shape[2:], shape[1]) if last else shape, np.nan), p.dtype)
            work = battery.aligned(backend.workspace(q, pass_, cfg, threads), p.dtype)
            bias = [Epilogue(d.b, None, "")] if pass_ == "forward" else []
            getattr(backend, pass_)(q, cfg, first, second, *bias, out, work, threads)
            assert np.isnan(out.base[:8]).all() and np.isnan(out.base[-8:]).all()
            plain = out.transpose(0, 3, 1, 2) if last else out
            want = np.full(shape, np.nan, p.dtype)
            operands = battery.operands(pass_, d)
            getattr(backend, pass_)(p, cfg, *operands, *bias, want, work, threads)
            np.testing.assert_array_equal(plain, want)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", NAMES)
def test_every_length(name: str, length: int) -> None:
    """A transform of each length and each pair of factors, one tile or many."""
    assert all(math.prod(factors(length, taps)) == length for taps in range(1, length + 1))
    for taps in (1, 5, 8, 11):
        p = ConvProblem.from_shapes((1, 2, length + 3, 21), (3, 2, taps, 3), 1, "same")
        backend, d = _Fixed(name, Tiles(CHANNELS, length, 24, 2, 2, 1)), integer_data(p)
        battery.compare(backend, "forward", p, d, battery.raw(backend, "forward", p, d, 1), exact=False)


@pytest.mark.parametrize("mode", [CHANNELS, POINTWISE, IMAGES])
@pytest.mark.parametrize("length", [20, 25, 45, 54, 72])
@pytest.mark.parametrize("name", NAMES)
def test_kernels_that_fill_their_transform(name: str, length: int, mode: int) -> None:
    """Few taps, half a transform, one more, and all of it: what lies behind the taps counts as zero."""
    for taps in (length // 4, length // 2, length // 2 + 1, length):
        p = ConvProblem.from_shapes((2, 3, length, length), (3, 1, taps, taps), groups=3)
        backend, d = _Fixed(name, Tiles(mode, length, length, 2, 2, 1)), real_data(p)
        for pass_ in PASSES:
            if all(length >= line.taps + line.outputs - 1 for line in lines(p, pass_)):  # else too many tiles
                battery.compare(backend, pass_, p, d, battery.raw(backend, pass_, p, d, 1), exact=False)


def test_one_tile_lets_zeros_wrap() -> None:
    """A small map needs a transform of its height and one padding, not both."""
    p = parse("n1ci1ih56iw56co1kh31kw31ph15pw15_f32")
    for pass_ in PASSES:
        h, w = lines(p, pass_)
        assert split(h, 72) == (56 if pass_ != "grad_input" else h.outputs, 1)
        assert split(w, 64)[1] > 1


@pytest.mark.parametrize("mode", [CHANNELS, IMAGES])
@pytest.mark.parametrize("name", NAMES)
def test_prepared_weights_change_nothing(name: str, mode: int) -> None:
    p = parse("n1ci20ih30iw33co35kh7kw7sh2ph3pw3g5_f32")
    backend, d = _Fixed(name, Tiles(mode, 20, 24, 4, 2, 1)), real_data(p)
    work = battery.aligned(-(-backend.workspace(p, "forward", backend.configure(p, "forward", 2), 2) // 8) * 8, p.dtype)
    outs = []
    packed = backend.prepare(p, backend.configure(p, "forward", 2), d.w)
    assert (packed is None) == (mode == IMAGES)
    for rows in (None, packed):
        outs.append(np.full(p.y_shape, np.nan, p.dtype))
        backend.forward(
            p, backend.configure(p, "forward", 2), d.x, d.w, Epilogue(d.b, None, ""), outs[-1], work, 2, rows
        )
    assert np.array_equal(outs[0], outs[1])
    battery.compare(backend, "forward", p, d, outs[0], bias=d.b, exact=False)


@pytest.mark.parametrize("name", NAMES)
def test_workspace_is_bounded(name: str) -> None:
    """An image of any size is taken in blocks of tiles."""
    backend = fastconv.get_backend(name)
    for pass_ in PASSES:
        sizes = []
        for side in (2000, 40000):
            for channels in (1, 16):
                p = ConvProblem.from_shapes((1, channels, side, side), (channels, channels, 9, 9), 1, "same")
                sizes.append(backend.workspace(p, pass_, backend.configure(p, pass_, 2), 2))
        assert max(sizes) < 100e6


@pytest.mark.parametrize("name", NAMES)
def test_refuses_what_does_not_fit_in_cache(name: str) -> None:
    p = ConvProblem.from_shapes((1, 1, 200, 200), (1, 1, 5, 101))
    for pass_ in PASSES:
        assert "taps" in (fastconv.get_backend(name).refuse(p, pass_) or "")


@pytest.mark.parametrize("name", NAMES)
def test_costs_are_plausible(name: str) -> None:
    """More work costs more, a second thread helps, and large kernels go here."""
    from fastconv.planning.rates import rates

    backend = fastconv.get_backend(name)

    def seconds(text: str, pass_: str, threads: int) -> float:
        p = parse(text)
        return float(backend.cost(p, pass_, backend.configure(p, pass_, threads), threads, rates(p.dtype)).seconds)

    for pass_ in PASSES:
        large, small = "n2ci32ih64iw64co32kh15kw15ph7pw7_f32", "n1ci16ih64iw64co16kh15kw15ph7pw7_f32"
        assert seconds(small, pass_, 1) < seconds(large, pass_, 1) < 0.1
        assert seconds(large, pass_, 2) < 0.7 * seconds(large, pass_, 1)
        for text in (large, "n1ci64ih56iw56co64kh31kw31ph15pw15g64_f32", "n1ci1ih512iw512co1kh31kw31ph15pw15_f32"):
            rows = planner.candidates(parse(text), pass_, None, 2)
            assert next(row.backend for row in rows if row.status == "chosen").startswith("fft_tiled/")


@pytest.mark.parametrize("name", NAMES)
def test_layouts_stay_in_bounds(name: str) -> None:
    done = child.run("-m", "tests.guard_layouts", name)
    assert int(done.stdout.split()[-2]) > 0
