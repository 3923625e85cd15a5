"""FFT convolution beyond the battery: hard data against the stated bound, tiles and blocks, phases, memory."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.fft

import fastconv
from fastconv.algorithms import overlap_save as fft_tiles
from fastconv.algorithms.overlap_save import Tiles
from fastconv.core.problem import PASSES, ConvProblem, parse
from tests import battery, child, oracle
from tests.problems import Data, geometry, integer_data, real_data

NAMES = [name for name in battery.backends() if name.startswith("fft/")]

pytestmark = pytest.mark.skipif(not NAMES, reason="no engine for it here")

HARD = ("random", "positive", "wide", "integers", "alternating", "spike")
DEEP = (
    "n1ci1ih120iw130co1kh31kw31ph15pw15_f32",
    "n2ci96ih20iw21co3kh7kw7ph3pw3_f32",
    "n1ci5ih70iw61co4kh9kw5sh2sw3ph4pw2_f32",
    "n3ci16ih40iw40co16kh15kw15ph7pw7g16_f32",
)


def hard_data(kind: str, p: ConvProblem) -> Data:
    """One sign, sizes over many orders, the sharpest signs; "spike" has one pixel of 1e12."""
    rng = np.random.default_rng(len(kind))

    def draw(*shape: int) -> Any:
        if kind == "positive":
            a = rng.random(shape)
        elif kind == "wide":
            a = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 7, shape)
        elif kind == "integers":
            a = rng.integers(-9, 10, shape).astype(float)
        elif kind == "alternating":
            a = (-1.0) ** np.indices(shape).sum(0) * (1 + 0.1 * rng.random(shape))
        else:
            a = rng.standard_normal(shape)
        return a.astype(p.dtype)

    d = Data(draw(*p.x_shape), draw(*p.w_shape), None, draw(*p.y_shape))
    if kind == "spike":
        d.x[0, 0, 3, 4] = d.dy[0, 0, 3, 4] = 1e12
    return d


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("text", DEEP)
@pytest.mark.parametrize("name", NAMES)
def test_bound_holds_on_hard_data(name: str, text: str, dtype: str, kind: str) -> None:
    p = parse(text)._replace(dtype=dtype)
    d = hard_data(kind, p)
    for pass_ in PASSES:
        battery.compare(fastconv.get_backend(name), pass_, p, d, battery.public(name, pass_, p, d), exact=False)


def test_bounds_allow_the_default_tolerance() -> None:
    """The backend is of use to `auto` at all usual sizes; the worst case lies above."""
    backend = fastconv.get_backend(NAMES[0])
    for channels, k in ((1, 63), (64, 7), (512, 15), (2048, 3)):
        for dtype, tolerance in (("float32", 2e-5), ("float64", 1e-12)):
            p = ConvProblem.from_shapes((1, channels, 64, 64), (channels, channels, k, k), 1, "same", dtype=dtype)
            for pass_ in PASSES:
                bound = backend.error_bound(p, pass_)
                assert 0 < bound <= tolerance
                assert bound < backend.worst_case_bound(p, pass_)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize(
    "text",
    [
        "n2ci6ih19iw22co4kh3kw5pt1pb2pl0pr3_f32",
        "n1ci6ih25iw30co8kh5kw4sh2sw3ph2pw1g2_f32",
        "n2ci4ih30iw27co4kh3kw3ph2pw3dh2dw3g4_f64",
        "n1ci3ih33iw41co5kh4kw3sh4sw2ph3pw4dh6dw3_f64",
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_any_tiles(name: str, text: str, pass_: str, threads: int) -> None:
    """Whatever the size of tiles, chunks and blocks of weights, results are right; prepared weights are too."""
    p, backend = parse(text), fastconv.get_backend(name)
    d = real_data(p)
    want = battery.expected(p, pass_, d)
    h, w = fft_tiles.axes(p, pass_)
    lengths = (h.taps + 1, w.taps + 2), (8, 9), (16, 10), (25, 40)
    for (th, tw), (tiles, groups, outputs) in zip(
        lengths, ((7, p.g, 100), (3, 1, 2), (100, 1, 3), (1, 1, 1)), strict=True
    ):
        top = (p.ci if pass_ == "grad_input" else p.co) // p.g
        cfg = Tiles(max(th, h.taps), max(tw, w.taps), tiles, groups, min(outputs, top))
        got = battery.raw(_Fixed(backend, cfg), pass_, p, d, threads)  # type: ignore[arg-type]
        battery.compare(backend, pass_, p, d, got, exact=False, want=want)


class _Fixed:
    """A backend whose configuration is given."""

    def __init__(self, backend: Any, cfg: Tiles) -> None:
        self._backend, self._cfg = backend, cfg

    def configure(self, *_: Any) -> Tiles:
        return self._cfg

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def test_lengths_are_those_of_scipy() -> None:
    for n in (*range(1, 700), 1021, 4099, 65537, 10**6 + 1):
        assert fft_tiles.fast_length(n) == scipy.fft.next_fast_len(n, real=True)


@pytest.mark.parametrize("pass_", PASSES)
def test_stride_and_dilation_are_not_transformed(pass_: str) -> None:
    """Holes of the kernel and pixels that no output reads cost nothing: tiles are those of the plain problem."""
    backend = fastconv.get_backend(NAMES[0])
    plain = parse("n4ci8ih32iw32co8kh5kw5_f32")
    holes = parse("n1ci8ih64iw64co8kh5kw5dh2dw2_f32")
    even = parse("n4ci8ih64iw64co8kh5kw5sh2sw2dh2dw2_f32")  # reads every second pixel only
    size = [backend.configure(p, pass_, 1)[:2] for p in (plain, holes, even)]
    assert size[0] == size[1] == size[2]


@pytest.mark.parametrize("name", NAMES)
def test_memory_is_bounded(name: str) -> None:
    """NumPy and SciPy together allocate no more than `workspace` says, a small part of a large image."""
    for text in ("n1ci1ih3000iw2500co1kh31kw31ph15pw15_f32", "n2ci8ih300iw301co16kh9kw9ph4pw4_f32"):
        p, backend = parse(text), fastconv.get_backend(name)
        d = integer_data(p)
        for pass_ in PASSES:
            cfg = backend.configure(p, pass_, 1)
            limit = backend.workspace(p, pass_, cfg, 1)
            work, out = np.zeros(limit // 4, "f4"), np.zeros(battery.result_shape(p, pass_), "f4")
            first, second = battery.operands(pass_, d)
            extra = (None,) if pass_ == "forward" else ()
            tracemalloc.start()
            getattr(backend, pass_)(p, cfg, first, second, *extra, out, work, 1)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak <= limit + (1 << 16)
            assert limit < 8 * (d.x.nbytes + d.dy.nbytes)


@pytest.mark.parametrize("name", NAMES)
def test_plan_keeps_spectra(name: str) -> None:
    p = parse("n2ci6ih25iw30co8kh5kw7ph2pw3g2_f32")
    d = real_data(p)
    plan = fastconv.plan_conv2d(p.x_shape, d.w, d.b, padding=(2, 3), groups=2, backend=name)
    want = oracle.forward(d.x, d.w, d.b, geometry(p))
    for _ in range(2):
        battery.compare(fastconv.get_backend(name), "forward", p, d, plan(d.x), bias=d.b, exact=False, want=want)


@pytest.mark.parametrize("engine", [name.split("/")[1] for name in NAMES])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_spectral_multiply(engine: str, dtype: str) -> None:
    """Every number of spectra and of frequencies that fill registers and vectors in another way."""
    from fastconv.engines import loader
    from fastconv.engines.records import FftProducts, pack

    step, rng = loader.load(engine, dtype).spectral_multiply, np.random.default_rng(0)

    def spectra(*shape: int) -> Any:
        return rng.integers(-4, 5, (*shape, 2)).astype(dtype)

    for n in (1, 2, 3, 8, 13, 40):
        for i, j, k, g in ((5, 3, 4, 1), (1, 1, 1, 3), (4, 2, 7, 2), (2, 5, 0, 1)):
            x, w = spectra(i, g, k, n), spectra(g, j, k, n)
            a, b = (v[..., 0] + 1j * v[..., 1].astype(np.float64) for v in (x, w))
            for conjugate in (False, True):
                want = np.einsum("igkf,gjkf->igjf", a, b.conj() if conjugate else b)
                y = np.full((i, g, j, n, 2), np.nan, dtype)
                for times, threads in ((1, 2), (2, 1)):
                    s = 2 * n
                    steps = g * k * s, s, k * s, k * s, s, j * k * s, g * j * s, s, j * s
                    q = pack(FftProducts(s, g, i, j, k, *steps))
                    step(x.reshape(-1), w.reshape(-1), y.reshape(-1), q, conjugate, times == 2, threads)
                    np.testing.assert_array_equal(y[..., 0] + 1j * y[..., 1], times * want)


def test_scipy_fft_is_imported_by_the_first_transform() -> None:
    code = """
import sys, numpy as np, fastconv
x, w = np.ones((1, 1, 8, 8), np.float32), np.ones((1, 1, 3, 3), np.float32)
fastconv.conv2d(x, w); fastconv.explain(x.shape, w.shape)
print("scipy.fft" in sys.modules)
fastconv.conv2d(x, w, backend="fft")
print("scipy.fft" in sys.modules)
"""
    assert child.run("-c", code).stdout.split() == ["False", "True"]


def test_large_inputs_meet_small_weights() -> None:
    """What a transform would push over the largest number is left to a plain backend, though the products are small."""
    rng = np.random.default_rng(0)
    for k in (3, 31):
        p = ConvProblem.from_shapes((1, 16, 40, 40), (16, 16, k, k), 1, "same")
        x = (np.sign(rng.standard_normal(p.x_shape)) * 3e38).astype("f4")
        w = (rng.random(p.w_shape) * 1e-33).astype("f4")
        want = oracle.forward(x, w, None, geometry(p))
        norm = 3e38 * w.astype(float).sum(axis=(1, 2, 3))[:, None, None]
        assert (np.abs(fastconv.conv2d(x, w, padding="same") - want) <= 2e-5 * norm).all()


def test_workspace_does_not_grow_with_the_image() -> None:
    backend = fastconv.get_backend(NAMES[0])
    sizes = set()
    for n in (2048, 30000):
        p = ConvProblem.from_shapes((1, 1, n, n), (1, 1, 21, 21), 1, "same")
        sizes |= {backend.workspace(p, pass_, backend.configure(p, pass_, 2), 2) for pass_ in PASSES}
    assert max(sizes) < 64 << 20
