"""fastconv.astropy: astropy's results, warnings and errors, for every argument."""

import importlib.util
import re
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import child

convolution = pytest.importorskip("astropy.convolution")

from astropy import units  # noqa: E402
from astropy.convolution import Gaussian2DKernel, Tophat2DKernel  # noqa: E402
from astropy.nddata import NDData  # noqa: E402
from astropy.utils.exceptions import AstropyUserWarning  # noqa: E402

import fastconv.astropy  # noqa: E402
from fastconv.astropy import by_size, sliding  # noqa: E402

QUICK = "uninterpolated or 2D or nddata or regression"


def recorded(call: Any) -> tuple[Any, list[str]]:
    """Result or error, and warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            found = call()
        except Exception as error:
            found = error
    return found, sorted(str(w.message).replace("  ", " ") for w in seen)


def both(name: str, *args: Any, atol: float = 1e-12, **kwargs: Any) -> Any:
    got, said = recorded(lambda: getattr(fastconv.astropy, name)(*args, **kwargs))
    want, says = recorded(lambda: getattr(convolution, name)(*args, **kwargs))
    if isinstance(want, Exception):
        assert type(got) is type(want) and str(got) == str(want)
        return got
    assert not isinstance(got, Exception), got
    assert type(got) is type(want) and said == says
    assert getattr(got, "unit", None) == getattr(want, "unit", None)
    got, want = (np.asarray(a.value if hasattr(a, "unit") else getattr(a, "array", a)) for a in (got, want))
    assert got.dtype == want.dtype
    tolerance = 1e-5 if got.dtype == np.float32 else 1e-11
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=atol)
    return got


def draw_call(draw: Any) -> tuple[Any, Any, dict[str, Any]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 25)), draw(st.integers(1, 25))
    image = (rng.random(shape) * 90 + 1).astype(draw(st.sampled_from(["float32", ">f8", "float64", "int32", "bool"])))
    if image.dtype.kind == "f":
        image[rng.random(shape) < draw(st.sampled_from([0, 0.1, 0.8]))] = np.nan
    size = draw(st.integers(0, 4)) * 2 + 1, draw(st.integers(0, 4)) * 2 + 1
    kernel = rng.random(size) + 0.1
    if draw(st.booleans()):
        kernel = np.outer(kernel[:, 0], kernel[0])
    mask = draw(st.sampled_from([None, None, rng.random(shape) < 0.3, (rng.random(shape) < 0.3).astype(int)]))
    options = dict(
        boundary=draw(st.sampled_from([None, "fill", "wrap", "extend"])),
        fill_value=draw(st.sampled_from([0.0, 5.0, np.nan])),
        nan_treatment=draw(st.sampled_from(["interpolate", "fill"])),
        normalize_kernel=draw(st.booleans()),
        preserve_nan=draw(st.booleans()),
        mask=mask,
    )
    return image, kernel, options


@st.composite
def calls(draw: Any) -> tuple[Any, Any, dict[str, Any]]:
    return draw_call(draw)


@st.composite
def calls_by_size(draw: Any) -> tuple[Any, Any, dict[str, Any]]:
    image, kernel, options = draw_call(draw)
    if draw(st.booleans()):
        kernel = kernel[1:, 1:] if min(kernel.shape) > 1 else kernel
    if image.dtype.kind == "f" and draw(st.booleans()):
        image[0, 0] = np.inf
    options |= draw(st.sampled_from([{}, {"min_wt": 0.4}, {"fft_pad": False}, {"dealias": True}, {"psf_pad": False}]))
    if options["normalize_kernel"]:
        options["normalize_kernel"] = draw(st.sampled_from([True, np.max, np.sum]))
    return image, kernel, options


@given(calls())
def test_convolve(call: tuple[Any, Any, dict[str, Any]]) -> None:
    image, kernel, options = call
    before = image.copy()
    both("convolve", image, kernel, **options)
    np.testing.assert_array_equal(image, before)


@given(calls_by_size())
def test_convolve_fft(call: tuple[Any, Any, dict[str, Any]]) -> None:
    image, kernel, options = call
    both("convolve_fft", image, kernel, **options, atol=1e-9)


@pytest.mark.parametrize("name", ["convolve", "convolve_fft"])
def test_what_comes_in(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels, units, masked arrays, NDData, lists: computed here, and as astropy does it."""
    for module in (sliding, by_size):
        monkeypatch.setattr(module, "_astropy", None)
    rng = np.random.default_rng(0)
    x = rng.random((30, 31))
    x[4:6, 7] = np.nan
    mask = rng.random(x.shape) < 0.1
    for kernel in (Gaussian2DKernel(1.5), Tophat2DKernel(2), rng.random((5, 3)).tolist()):
        both(name, x, kernel)
        both(name, x.tolist(), kernel)
        both(name, x[::2, ::-1].astype("f4") * units.Jy, kernel)
        both(name, np.ma.array(x, mask=mask), kernel, mask=mask[::-1])
        both(name, np.ma.array(np.arange(930).reshape(x.shape), mask=mask), kernel)
        both(name, NDData(x, mask=mask, unit="m"), kernel)
    x.flags.writeable = False
    both(name, x, Gaussian2DKernel(1))


@pytest.mark.parametrize(("name", "options"), [("convolve", {}), ("convolve_fft", {"boundary": None})])
def test_warnings_point_to_the_caller(name: str, options: dict[str, Any]) -> None:
    with pytest.warns(AstropyUserWarning) as seen:
        getattr(fastconv.astropy, name)(np.full((5, 5), np.nan), np.ones((3, 3)), **options)
    assert [w.filename for w in seen] == [__file__]


def test_large_kernels() -> None:
    """Of the image's size, by transforms here too."""
    rng = np.random.default_rng(1)
    x = rng.random((90, 80))
    x[5, 5], x[40:42, 30:50] = np.inf, np.nan
    both("convolve_fft", x, rng.random((90, 79)), atol=1e-9)
    both("convolve", x, rng.random((41, 37)))


@pytest.mark.parametrize("name", ["convolve", "convolve_fft"])
def test_what_goes_to_astropy(name: str) -> None:
    """Other ranks, complex numbers, kernels as images, and errors."""
    rng = np.random.default_rng(2)
    cube, x, k = rng.random((4, 5, 6)), rng.random((9, 8)), rng.random((3, 3))
    both(name, cube, np.ones((3, 3, 3)))
    both(name, cube[0, 0], np.ones(3))
    both(name, Gaussian2DKernel(1), Gaussian2DKernel(2))
    holes = np.where(x > 0.5, np.nan, x)
    cases: list[tuple[Any, Any, dict[str, Any]]] = [
        (x, np.ones(3), {}), (x, np.ones((2, 2)), {}), (x[:0], k, {}), ("glork", k, {}), (x, k - k.mean(), {}),
        (holes, k - k.mean(), {"normalize_kernel": False}), (x, k, {"boundary": "nothing"}),
        (x, k, {"nan_treatment": "nothing"}), (x, np.ma.masked_less(k, 0.5), {}),
        (x, np.ones((11, 11)), {"boundary": None}), (x, k, {"mask": x[:3] > 0.5}),
        (x, k, {"normalize_kernel": False}), (x * 1e200 * np.inf, k, {}),
    ]  # fmt: skip
    for image, kernel, options in cases:
        both(name, image, kernel, **options)
    if name == "convolve_fft":
        for more in (dict(crop=False), dict(return_fft=True), dict(complex_dtype="complex64"), dict(boundary="extend")):
            both(name, x, k, **more, atol=1e-6)  # type: ignore[arg-type]


def test_too_large_for_astropy(monkeypatch: pytest.MonkeyPatch) -> None:
    """It judges what is large itself, unless it is told not to."""
    monkeypatch.setattr(by_size, "_HUGE", 1000)
    monkeypatch.setattr(by_size, "_astropy", lambda *_: "judged")
    x, k = np.ones((9, 9)), np.ones((3, 3))
    assert fastconv.astropy.convolve_fft(x, k) == "judged"
    np.testing.assert_allclose(fastconv.astropy.convolve_fft(x, k, allow_huge=True), convolution.convolve_fft(x, k))


@pytest.mark.skipif(
    importlib.util.find_spec("astropy.convolution.tests") is None, reason="astropy is installed without its tests"
)
def test_astropys_own_tests_pass() -> None:
    """A quick part of them; all, with the plug-in's summary: see tests/astropy_swap.py."""
    files = [f"astropy.convolution.tests.test_convolve{name}" for name in ("", "_fft", "_nddata")]
    plugins = ("-p", "tests.astropy_swap", "-p", "no:cacheprovider")
    done = child.run("-m", "pytest", *plugins, "--pyargs", *files, "-k", QUICK)
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 100
    ours = dict(re.findall(r"'(\w+)': (\d+)", done.stdout))
    assert int(ours["convolve"]) > 50 and int(ours["convolve_fft"]) > 50
