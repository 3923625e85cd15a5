"""fastconv.signal: the results of scipy.signal, its dtypes and its errors."""

import importlib.util
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from fastconv import signal
from fastconv.images import originals
from fastconv.signal import convolutions
from tests import child


@pytest.fixture(autouse=True, scope="module")
def nothing_is_small() -> Iterator[None]:
    """Small arrays are computed here too, where SciPy would be as fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolutions, "_SMALL", 0)
        patch.setattr(convolutions, "_SMALL_WHOLE", 0)
        yield


def both(name: str, *args: Any, **kwargs: Any) -> None:
    """Ours and SciPy's: integers equal, floats within rounding; or the same kind of error. A second call is planned."""
    once(name, *args, **kwargs)
    once(name, *args, **kwargs)


def once(name: str, *args: Any, **kwargs: Any) -> None:
    """The same for one call."""
    try:
        want = getattr(scipy.signal, name)(*args, **kwargs)
    except Exception as error:
        with pytest.raises(type(error), match=re.escape(str(error))):
            getattr(signal, name)(*args, **kwargs)
        return
    got = getattr(signal, name)(*args, **kwargs)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if want.dtype.kind in "iub":
        np.testing.assert_array_equal(got, want)
    else:
        x, w = np.asarray(args[0]), np.asarray(args[1])
        size = (
            np.abs(x * 1.0).max(initial=0) * np.abs(w * 1.0).sum()
        )  # SciPy transforms float32 as such, whatever the other is
        epsilon = max(np.finfo(t if t.kind in "fc" else want.dtype).eps for t in (x.dtype, w.dtype))
        np.testing.assert_allclose(got, want, rtol=0, atol=20 * epsilon * size)


@st.composite
def pairs(draw: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shapes = [(draw(st.integers(1, 24)), draw(st.integers(1, 24))), (draw(st.integers(1, 9)), draw(st.integers(1, 9)))]
    if draw(st.booleans()):
        shapes.reverse()
    names = ["uint8", "int16", "int32", "uint32", "int64", "float32", "float64", "complex64", "complex128"]
    kinds = [draw(st.sampled_from(names)) for _ in shapes]
    parts = [[rng.standard_normal(s) * 30 for s in (s, s)] for s in shapes]
    return tuple(  # type: ignore
        (re + 1j * im if kind.startswith("c") else re).astype(kind) for kind, (re, im) in zip(kinds, parts, strict=True)
    )


@given(
    st.sampled_from(["convolve2d", "correlate2d"]),
    pairs(),
    st.sampled_from(["full", "same", "valid"]),
    st.sampled_from(["fill", "wrap", "symm"]),
    st.sampled_from([0, 2, -1.5]),
)
def test_sliding_windows(name: str, arrays: tuple[Any, Any], mode: str, boundary: str, fillvalue: float) -> None:
    both(name, *arrays, mode, boundary, fillvalue)


@given(st.sampled_from(["fftconvolve", "oaconvolve"]), pairs(), st.sampled_from(["full", "same", "valid"]))
def test_by_transforms(name: str, arrays: tuple[Any, Any], mode: str) -> None:
    both(name, *arrays, mode)


@given(
    st.sampled_from(["convolve", "correlate"]),
    pairs(),
    st.sampled_from(["full", "same", "valid", "fulls"]),
    st.sampled_from(["auto", "direct", "fft", "best"]),
)
def test_by_method(name: str, arrays: tuple[Any, Any], mode: str, method: str) -> None:
    both(name, *arrays, mode, method)


@pytest.mark.parametrize("name", signal.__all__)
def test_complex_numbers_are_computed_here(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but those beside integers, those with borders that are no zeros, and what is not finite."""
    rng = np.random.default_rng(6)
    x, w = (rng.standard_normal((n, n + 1, 2)).view(complex)[..., 0] for n in (40, 9))
    whole = np.arange(81).reshape(9, 9)
    pairs = [(x, w), (x.astype("c8"), w.real.astype("f4")), (x.real, w), (x[::2, ::-1].T, w)]
    wants = [getattr(scipy.signal, name)(*pair, "same") for pair in pairs]
    handed: list[Any] = [(x, whole), (np.where(x.real > 2, np.nan, x), w)]
    others = [getattr(scipy.signal, name)(*pair) for pair in handed]

    def refuse(package: str, name: str) -> Any:
        raise AssertionError(f"{name} was handed to {package}")

    monkeypatch.setattr(originals, "original", refuse)
    for pair, want in zip(pairs, wants, strict=True):
        got = getattr(signal, name)(*pair, "same")
        assert got.dtype == want.dtype and got.shape == want.shape
        atol = 1e-13 if want.dtype.itemsize == 16 else 1e-5
        np.testing.assert_allclose(got, want, rtol=0, atol=atol * np.abs(want).max())
    with pytest.raises(AssertionError, match="handed"):
        getattr(signal, name)(*handed[0])
    monkeypatch.undo()
    for pair, want in zip(handed, others, strict=True):
        np.testing.assert_array_equal(getattr(signal, name)(*pair), want)


def test_what_is_not_finite_by_method() -> None:
    """Sums of the window alone where SciPy is told so; else what SciPy's choice gives."""
    x = np.random.default_rng(4).random((30, 31))
    x[4, 5] = np.nan
    for name in ("convolve", "correlate"):
        for method in ("direct", "fft", "auto"):
            got, want = (
                getattr(package, name)(x, np.ones((3, 3)), method=method) for package in (signal, scipy.signal)
            )
            np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))


def test_arguments_as_scipy_takes_them() -> None:
    x, w = np.random.default_rng(5).random((9, 8)), np.ones((3, 2))
    odd: list[Any] = [np.array(2.0), np.array([2.0]), [2.0], np.float32(2), [1, 2], "a", None, np.array([]), 2j]
    for fillvalue in odd:
        both("convolve2d", x, w, "same", "fill", fillvalue)
        both("correlate2d", x.astype(np.float32), w, fillvalue=fillvalue)
    for fillvalue in (np.nan, np.inf):
        both("convolve2d", x, w, fillvalue=fillvalue)
    axes: list[Any] = [(0, 1), [1, 0], (0.0, 1.0), (0, 0), (0, 2), 0, np.array([0, 1]), "ab", (), (-2, -1)]
    for which in axes:
        both("fftconvolve", x, w, axes=which)
        both("oaconvolve", x, w, axes=which)
    both("convolve", x, w[0])
    both("correlate", x + 1j, w)


def test_every_other_name_is_scipys() -> None:
    public = {name for name in dir(scipy.signal) if not name.startswith("_")}
    assert public == set(dir(signal)) and "choose_conv_method" in public
    for name in public - set(signal.__all__):
        assert getattr(signal, name) is getattr(scipy.signal, name)
    assert not hasattr(signal, "_signaltools") and not hasattr(signal, "convolve3d")


@pytest.mark.parametrize("shape", [(40, 40), (70, 31), (90, 80), (130, 120)])
def test_large_kernels(shape: tuple[int, int]) -> None:
    """Where transforms of tiles take over, and kernels larger than the image."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((120, 110), dtype=np.float32), rng.standard_normal(shape, dtype=np.float32)
    for mode in ("full", "same"):
        both("convolve2d", x, w, mode, "symm")
        both("fftconvolve", x, w, mode)
        both("oaconvolve", x, w, mode)
        both("fftconvolve", x.astype(float), w.astype(float), mode)


def test_against_the_definition() -> None:
    """Not by SciPy: sums written out."""
    rng = np.random.default_rng(1)
    x, w = rng.integers(-9, 9, (7, 6)), rng.integers(-9, 9, (3, 4))
    want = np.zeros((9, 9), int)
    for (i, j), value in np.ndenumerate(w):
        want[i : i + 7, j : j + 6] += value * x
    np.testing.assert_array_equal(signal.convolve2d(x, w), want)
    np.testing.assert_array_equal(signal.correlate2d(x, w[::-1, ::-1]), want)
    np.testing.assert_allclose(signal.fftconvolve(x, w), want, atol=1e-10)


def test_integers_are_exact_or_scipys() -> None:
    """Sums that wrap around, or that float64 cannot hold."""
    both("convolve2d", np.full((5, 5), 200, np.uint8), np.full((3, 3), 3, np.uint8))
    both("convolve2d", np.full((5, 5), 2**53 + 1), np.ones((2, 2), np.int64))
    both("convolve2d", np.arange(25, dtype=np.uint8).reshape(5, 5), np.eye(3, dtype=np.uint8))


@pytest.mark.parametrize("boundary", ["symm", "wrap"])
def test_integers_that_borders_repeat(boundary: str) -> None:
    """A sum may see a pixel many times, so that it overflows, as SciPy's does."""
    x, w = np.full((2, 2), 8_000_000, np.int32), np.ones((60, 60), np.int32)
    both("convolve2d", x, w, mode="same", boundary=boundary)


def test_whole_numbers_by_transforms() -> None:
    """Large kernels: rounded sums of transforms are the exact ones, and sums too large for that are not rounded."""
    rng = np.random.default_rng(5)
    for most in (9, 2**20):
        x, w = rng.integers(0, 256, (120, 110)), rng.integers(-most, most, (70, 75))
        for boundary in ("fill", "symm"):
            both("convolve2d", x, w, "same", boundary)


def test_small_arrays_are_handed_to_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first time: what comes again is computed here."""
    x, w = np.arange(12.0).reshape(3, 4), np.ones((2, 2))
    with monkeypatch.context() as patch:
        patch.setattr(convolutions, "_SMALL", x.size * w.size + 1)
        patch.setattr(convolutions, "correlate", None)  # what would compute it here
        both("convolve2d", x, w)
        both("correlate2d", x, w, "same", "symm")


def test_what_is_handed_to_scipy() -> None:
    """Complex numbers beside integers or with borders, booleans, other ranks, axes, empty arrays, and errors."""
    x = np.random.default_rng(2).random((6, 7))
    both("convolve2d", x + 1j, np.ones((2, 2)), fillvalue=2)
    both("fftconvolve", x + 1j, np.ones((2, 2), int))
    both("convolve2d", x, np.ones((2, 2)), fillvalue=1j)
    both("convolve2d", x > 0.5, np.ones((2, 2), bool))
    both("fftconvolve", x[0], np.ones(3))
    both("fftconvolve", x, np.ones((6, 3)), axes=1)
    both("oaconvolve", x, np.ones((2, 3)), axes=[1, 0])
    both("convolve2d", x, np.ones(3))
    both("convolve2d", x, np.ones((3, 3)), "fulls")
    both("convolve2d", x, np.ones((3, 3)), boundary="mirror")
    both("convolve2d", x, np.ones((7, 2)), "valid")
    both("correlate2d", x, np.ones((8, 9)), "valid")
    both("fftconvolve", np.ones((0, 3)), np.ones((2, 2)))


def test_what_is_not_finite_spreads_as_in_scipy() -> None:
    x = np.random.default_rng(3).random((30, 31))
    x[4, 5] = np.nan
    for name in ("fftconvolve", "oaconvolve", "convolve2d"):
        got, want = (getattr(package, name)(x, np.ones((3, 3))) for package in (signal, scipy.signal))
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))


@pytest.mark.skipif(
    importlib.util.find_spec("scipy.signal.tests") is None, reason="SciPy is installed without its tests"
)
def test_scipys_own_tests_pass() -> None:
    """A quick part of them; all, with the plug-in's summary: see tests/scipy_swap.py."""
    plugins = ("-p", "tests.scipy_swap", "-p", "no:cacheprovider")
    classes = [f"scipy.signal.tests.test_signaltools::Test{name}" for name in ("Convolve2d", "Correlate2d")]
    done = child.run("-m", "pytest", *plugins, "--pyargs", *classes, "-k", "not large_array")
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 20
    assert "'convolve2d': " in done.stdout
