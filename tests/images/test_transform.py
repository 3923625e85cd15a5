"""One transform of the whole image: against windows summed as they are defined, and where it is chosen."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

import fastconv
from fastconv.engines import loader
from fastconv.images import correlation, filtering, spectral, transform
from tests import battery, child


def windows(x: Any, kernel: Any, lead: tuple[int, ...], output: tuple[int, ...]) -> Any:
    """Every window of the padded planes times the kernel, in float64."""
    after = [max(0, m + k - 1 - a - n) for m, k, a, n in zip(output, kernel.shape, lead, x.shape[-2:], strict=True)]
    padded = np.pad(x.astype(np.float64), ((0, 0), *zip(lead, after, strict=True)))
    seen = sliding_window_view(padded, kernel.shape, axis=(1, 2))[:, : output[0], : output[1]]
    return np.einsum("cijab,ab->cij", seen, kernel.astype(np.float64))


sides = st.tuples(st.integers(1, 20), st.integers(1, 20))


@settings(max_examples=60)
@given(sides, sides, st.sampled_from(["full", "same", "valid"]), st.sampled_from([1, 3]), st.booleans())
def test_any_sizes(size: tuple[int, int], taps: tuple[int, int], mode: str, channels: int, single: bool) -> None:
    """Kernels larger than the image too; nothing comes round the circle."""
    rng = np.random.default_rng(sum(size) * 100 + sum(taps))
    if mode == "valid":
        taps = min(size[0], taps[0]), min(size[1], taps[1])
    lead = {"full": (taps[0] - 1, taps[1] - 1), "same": (taps[0] // 2, taps[1] // 2), "valid": (0, 0)}[mode]
    more = {"full": 1, "same": 0, "valid": -1}[mode]
    output = tuple(n + more * (k - 1) for n, k in zip(size, taps, strict=True))
    x = rng.standard_normal((channels, *size)).astype("f4" if single else "f8")
    kernel = rng.standard_normal(taps)
    got = np.empty((*output, channels), x.dtype).transpose(2, 0, 1)
    transform.correlate(x, kernel, lead, got)
    bound = np.abs(x).max() * np.abs(kernel).sum()
    np.testing.assert_allclose(got, windows(x, kernel, lead, output), rtol=0, atol=(1e-6 if single else 1e-14) * bound)


@pytest.mark.parametrize("engine", [e for e in loader.ENGINES if not loader.absent(e)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_engines_and_every_radix(engine: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transforms of one, two and more passes, of signals that are mostly zeros, on several threads."""
    rng = np.random.default_rng(3)
    monkeypatch.setattr(transform, "_steps", lambda dtype: (engine, loader.unrecorded(engine, dtype)))
    monkeypatch.setattr(transform, "_SHORT", dict.fromkeys(transform._SHORT, 0))
    for kept in (transform._kept, transform._sizes):
        kept.cache_clear()
    passes = set()
    for sides in ((4, 5), (6, 8), (9, 10), (12, 12), (45, 54), (100, 60), (216, 250), (128, 4), (9, 1500)):
        monkeypatch.setattr(transform, "_circle", lambda *_, sides=sides: sides)
        passes |= {*transform._factors(sides[0]), *transform._factors(sides[1])}
        for part in (3, 1):  # of the circle, what the plane fills
            size = sides[0] // part, sides[1] // part
            lead = (sides[0] - size[0]) // 2, (sides[1] - size[1]) // 3
            taps = min(size[0], 5), min(size[1], 4)
            output = tuple(min(t, n + a) - k + 1 for t, n, a, k in zip(sides, size, lead, taps, strict=True))
            x, kernel = rng.standard_normal((2, *size)).astype(dtype), rng.standard_normal(taps)
            for threads in (1, 3):
                got = np.full((2, *output), np.nan, dtype)
                with fastconv.num_threads(threads):
                    transform.correlate(x, kernel, lead, got)
                bound = np.abs(x).max() * np.abs(kernel).sum()
                tolerance = (1e-6 if dtype == "float32" else 1e-14) * bound
                np.testing.assert_allclose(got, windows(x, kernel, lead, output), rtol=0, atol=tolerance)
    assert passes == {*transform._RADICES}
    for kept in (transform._kept, transform._sizes):
        kept.cache_clear()


def test_lengths_are_products_of_radices_and_little_longer_than_they_must_be() -> None:
    for least in (1, 2, 7, 11, 13, 97, 191, 8191):
        t = transform._length(least)
        assert least <= t <= max(1.25 * least, 8) and math.prod(transform._factors(t)) == t
    assert transform._factors(7) == () == transform._factors(22)


GUARDED = """
import numpy as np
import fastconv
from fastconv.images import transform
from tests.guard import Guarded
borrow = lambda dtype, n: memory.empty((-(-n // 64) * 8,), "f8", True).view(dtype)
rng, runs = np.random.default_rng(0), 0
transform.borrow, transform.aligned, transform.give_back = borrow, borrow, lambda dtype, array: None
transform._SHORT = dict.fromkeys(transform._SHORT, 0)
for size, taps in (((1, 1), (1, 1)), ((3, 17), (9, 2)), ((33, 8), (16, 41)), ((70, 95), (90, 71))):
    for dtype in ("float32", "float64"):
        for lead, more in (((0, 0), 0), ((taps[0] - 1, taps[1] - 1), 1)):
            output = [max(1, n + (k - 1 if more else 1 - k)) for n, k in zip(size, taps)]
            for at_end, threads in ((True, 1), (False, 2)):
                memory = Guarded()
                x = memory.copy(rng.random((1, *size)).astype(dtype), at_end)
                y = memory.empty((1, *output), dtype, at_end)
                with fastconv.num_threads(threads):
                    transform.correlate(x, memory.copy(rng.random(taps), at_end), lead, y)
                transform._kept.cache_clear()
                memory.close()
                runs += 1
print(runs)
"""


@pytest.mark.parametrize("isa", battery.instruction_sets())
def test_stays_in_bounds(isa: str) -> None:
    """Planes, results, spectra and scratch memory between forbidden pages."""
    done = child.run("-c", GUARDED, FASTCONV_ISA=isa.replace("_", "-"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["32"]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("mode", ["reflect", "wrap", "constant"])
def test_filter2d_beyond_tiles(dtype: str, mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of more than 80 taps, in one piece and in bands, with and without a bordered copy."""
    rng = np.random.default_rng(0)
    image, kernel = (rng.random((130, 141, 3)) * 99).astype(dtype), rng.random((85, 90)) / 3000
    name = {"reflect": "symmetric", "wrap": "wrap", "constant": "constant"}[mode]
    padded = np.pad(image.astype(float), ((42, 42), (45, 44), (0, 0)), name)  # type: ignore[call-overload]
    want = windows(padded.transpose(2, 0, 1), kernel, (0, 0), (130, 141)).transpose(1, 2, 0)
    for band in (spectral.BAND_BYTES, 300_000):
        monkeypatch.setattr(spectral, "BAND_BYTES", band)
        spectral.cheaper.cache_clear()
        got = fastconv.filter2d(image, kernel, mode=mode, method="fft")
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=0, atol={"uint8": 0.51, "float32": 2e-4, "float64": 1e-11}[dtype])
    spectral.cheaper.cache_clear()


def test_the_choice_is_that_of_the_least_time() -> None:
    """Small kernels directly, tiles while they fit, then one transform; separable kernels until that is slower."""
    zeros = (0, 0)

    def chosen(k: int, separable: bool = False, n: int = 512) -> str:
        return correlation.estimate((n, n, 1), (k, k), (n, n, 1), zeros, "float64", 1, separable)[0]

    assert [chosen(k) for k in (3, 7, 31, 255)] == ["direct", "direct", "fft", "fft"]
    assert [chosen(k, True, 2048) for k in (3, 31, 2047)] == ["separable", "separable", "fft"]
    shape = (512, 512, 1)
    assert spectral.cheaper(shape, (31, 31), shape, zeros, "float64", 1)[0]
    assert not spectral.cheaper(shape, (81, 81), shape, zeros, "float64", 1)[0]
    assert correlation.estimate((8, 8, 1), (8, 8), (8, 8, 1), zeros, "float32", 1, False)[0] == "direct"


def test_the_numba_engines_transform_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = (1, 96, 96), (31, 31), (0, 0), (96, 96), "float32"
    compiled = transform.seconds(*sizes)
    monkeypatch.setattr(transform, "_steps", lambda dtype: ("numba", None))
    assert transform.seconds(*sizes) >= compiled * (1 if loader.absent("cython") else 2)


def test_windows_know_zeros_around_the_image() -> None:
    whole = filtering.window((9, 8), (-2, -3), (13, 12), ("zeros", "zeros"), 0.0)
    assert whole.zeros == (2, 3)
    assert whole.turned.zeros == (3, 2) and whole.turned.inside == (2, 11) and whole.inside == (3, 11)
    assert filtering.window((9, 8), (-2, -3), (13, 12), ("zeros", "zeros"), 1.0).zeros is None
    assert filtering.window((9, 8), (-2, -3), (10, 12), ("zeros", "zeros"), 0.0).zeros is None  # not all of it
    assert filtering.window((9, 8), (-2, -3), (13, 12), ("symmetric", "zeros"), 0.0).zeros is None


def test_tall_images_lie_down() -> None:
    """Few columns: the same numbers as of the image in a wide one."""
    rng = np.random.default_rng(1)
    for dtype, columns in (("uint8", 1), ("float32", 4), ("float64", 8)):
        image, kernel = (rng.random((300, columns, 2)) * 99).astype(dtype), rng.random((5, 3)) / 15
        for mode in ("reflect", "constant"):
            got = fastconv.filter2d(image, kernel, mode=mode, cval=3.0)  # type: ignore[arg-type]
            want = fastconv.filter2d(image, kernel, mode=mode, cval=3.0, method="direct")  # type: ignore[arg-type]
            np.testing.assert_allclose(got, want, rtol=1e-6)


def test_what_is_not_finite_stays_in_its_windows_and_kernels_may_change() -> None:
    rng = np.random.default_rng(2)
    image, kernel = rng.random((100, 90)), rng.random((80, 75))
    image[50, 50] = np.nan
    got = fastconv.filter2d(image, kernel, mode="constant")
    want = fastconv.filter2d(image, kernel, mode="constant", method="direct")
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    wholes = np.ones((80, 75), bool), np.ones((80, 75), np.uint8)  # kernels of any dtype
    for whole in wholes:
        got = fastconv.filter2d(image, whole, mode="constant")
        np.testing.assert_allclose(got, fastconv.filter2d(image, whole.astype(float), mode="constant"))
    narrow = np.array([[1, 0, 255]] * 7, np.uint8)  # the negative of its mirror image, modulo 256
    want = fastconv.filter2d(image.astype("f4"), narrow.astype(float), method="direct")
    np.testing.assert_array_equal(fastconv.filter2d(image.astype("f4"), narrow, method="direct"), want)
    small = np.ones((3, 3))
    before = fastconv.filter2d(image[:9, :9], small)
    small *= 2  # what was prepared is that of the old numbers
    np.testing.assert_allclose(fastconv.filter2d(image[:9, :9], small), 2 * before)
