"""fastconv.ndimage: the same numbers as scipy.ndimage, to the last bit, and the same errors."""

import importlib.util
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

import fastconv
from fastconv import ndimage, signal
from tests import child

MODES = ["reflect", "mirror", "nearest", "wrap", "constant", "grid-mirror", "grid-wrap", "grid-constant"]
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"]
WORDS = "correlate or convolve or gauss or uniform or sobel or prewitt or laplace"
QUICK = "gauss or sobel or laplace or test_uniform or correlate1 or convolve0"


def both(name: str, *args: Any, **kwargs: Any) -> None:
    """Ours and SciPy's: equal numbers, dtypes and shapes, or the same kind of error."""
    try:
        want = getattr(scipy.ndimage, name)(*args, **kwargs)
    except Exception as error:
        with pytest.raises(type(error), match=re.escape(str(error))):
            getattr(ndimage, name)(*args, **kwargs)
        return
    got = getattr(ndimage, name)(*args, **kwargs)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


def draw_image(draw: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    image = (rng.standard_normal((draw(st.integers(1, 30)), draw(st.integers(1, 40)))) * 40 + 60).astype(
        draw(st.sampled_from(DTYPES))
    )
    return rng, image


@st.composite
def along(draw: Any) -> tuple[Any, ...]:
    rng, image = draw_image(draw)
    weights = rng.standard_normal(draw(st.integers(1, 12)))
    kind = draw(st.sampled_from([0, 1, -1]))
    weights = weights + kind * weights[::-1] if kind else weights
    origin = draw(st.integers(-len(weights) // 2 - 1, len(weights) // 2 + 1))  # also illegal ones
    return image, weights, draw(st.integers(-2, 2)), None, draw(st.sampled_from(MODES)), 1.5, origin


@given(along(), st.sampled_from(["correlate1d", "convolve1d"]), st.integers(1, 3))
def test_along_an_axis(args: tuple[Any, ...], name: str, threads: int) -> None:
    with fastconv.num_threads(threads):
        both(name, *args)


@st.composite
def with_kernel(draw: Any) -> tuple[Any, ...]:
    rng, image = draw_image(draw)
    weights = rng.standard_normal((draw(st.integers(1, 7)), draw(st.integers(1, 7))))
    weights[rng.random(weights.shape) < draw(st.sampled_from([0.0, 0.5]))] = 0
    if min(image.shape) < 8:  # SciPy's correlate reads beside an image that "reflect" repeats more than once
        image = np.tile(image, (8, 8))
    origin = draw(st.sampled_from([0, 1, -1, (0, 1), (-1, 0), (5, 5), (0, 0, 0)]))
    output = draw(st.sampled_from([None, "float32", np.float64, np.uint8]))
    return image, weights, output, draw(st.sampled_from(MODES)), -2.0, origin


@given(with_kernel(), st.sampled_from(["correlate", "convolve"]))
def test_with_a_kernel(args: tuple[Any, ...], name: str) -> None:
    both(name, *args)


@st.composite
def made_of_these(draw: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    _, image = draw_image(draw)
    name = draw(st.sampled_from(["gaussian_filter", "uniform_filter", "sobel", "prewitt", "laplace"]))
    mode = draw(st.sampled_from([*MODES, ["wrap", "mirror"], ["nearest", "constant"]]))
    kwargs: dict[str, Any] = {"mode": mode, "cval": 3.5}
    if name == "gaussian_filter":
        kwargs |= {"sigma": draw(st.sampled_from([0.6, 2, (1, 0), [0.5, 3.1]])), "order": draw(st.integers(0, 3))}
        kwargs |= draw(st.sampled_from([{}, {"truncate": 2.5}, {"radius": 3}, {"radius": (2, 1)}, {"radius": -1}]))
    if name == "uniform_filter":
        kwargs |= {"size": draw(st.sampled_from([1, 2, 5, (3, 4), (0, 6)]))}
        kwargs |= draw(st.sampled_from([{}, {"origin": 1}, {"origin": (-1, 0)}, {"origin": 9}]))
    if name in ("sobel", "prewitt"):
        kwargs |= {"axis": draw(st.integers(-3, 2))}
    elif isinstance(mode, str):
        kwargs |= draw(st.sampled_from([{}, {"axes": None}, {"axes": (0,)}, {"axes": 1}, {"axes": (1, 0)}]))
    return name, (image,), kwargs


@given(made_of_these())
def test_filters_made_of_these(call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
    both(call[0], *call[1], **call[2])


@pytest.mark.parametrize("name", ndimage.__all__)
def test_output_arrays(name: str) -> None:
    """A given array is filled and returned, whatever its strides and dtype, also if it is the input."""
    rng = np.random.default_rng(0)
    second: dict[str, Any] = {"correlate": [np.ones((3, 3))], "convolve": [np.ones((2, 3))], "gaussian_filter": [1.5]}
    rest: Any = second.get(name, [[1.0, 2, 3]] if name.endswith("1d") else [])
    image = rng.standard_normal((20, 31)) * 50
    for out in (np.empty((20, 31)), np.empty((31, 20), np.float32).T, np.empty((20, 62), np.int32)[:, ::2]):
        got = getattr(ndimage, name)(image, *rest, output=out)
        assert got is out
        want = getattr(scipy.ndimage, name)(image, *rest, output=out.dtype)
        np.testing.assert_array_equal(out, want)
    ours, theirs = image.copy(), image.copy()
    getattr(ndimage, name)(ours, *rest, output=ours)
    getattr(scipy.ndimage, name)(theirs, *rest, output=theirs)
    np.testing.assert_array_equal(ours, theirs)


def test_what_is_handed_to_scipy() -> None:
    """Other ranks, complex and boolean images, lists, and errors."""
    rng = np.random.default_rng(1)
    for image in (rng.random(9), rng.random((3, 4, 5)), rng.random((4, 5)) + 1j, rng.random((4, 5)) > 0.5, [[1, 2]]):
        both("gaussian_filter", image, 1.0)
        both("uniform_filter", image)
    both("correlate", np.ones((4, 5), object), np.ones((3, 3)))
    both("correlate", np.ones((4, 5)), np.ones((3, 3)) * 1j)
    both("correlate", np.ones((4, 5)), np.ones(3))
    both("sobel", np.ones((4, 5)), mode="reflects")
    both("correlate1d", np.ones((4, 5)), [])
    both("correlate", np.ones((0, 5)), np.ones((3, 3)))
    both("convolve1d", np.ones((4, 5), ">i4"), [1, 2])


def test_masks_are_not_passed_over_in_silence() -> None:
    """SciPy's numbers, with a warning in the caller's file; without masked pixels there is nothing to say."""
    x = np.random.default_rng(1).random((9, 8))
    masked = np.ma.masked_less(x, 0.5)
    for name, args in (("gaussian_filter", [1.0]), ("correlate", [np.ones((3, 3))]), ("sobel", [])):
        with pytest.warns(UserWarning, match="the mask of input is passed over") as seen:
            got = getattr(ndimage, name)(masked, *args)
        assert seen[0].filename == __file__
        np.testing.assert_array_equal(got, getattr(scipy.ndimage, name)(x, *args))
        np.testing.assert_array_equal(getattr(ndimage, name)(np.ma.array(x), *args), got)
    with pytest.warns(UserWarning, match="the mask of in1 is passed over"):
        signal.convolve2d(masked, np.ones((3, 3)))
    with pytest.warns(UserWarning, match="the mask of in2 is passed over"):
        signal.fftconvolve(x, masked[:3, :3])


@pytest.mark.parametrize("weights", [[[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.ones((3, 3))])
def test_non_finite_pixels(weights: Any) -> None:
    """SciPy leaves out weights of zero: no NaN comes from them."""
    image = np.random.default_rng(2).random((12, 13))
    image[3, 4], image[8, 8] = np.nan, np.inf
    both("correlate", image, weights)
    both("gaussian_filter", image, 0.7)
    both("uniform_filter", image, 3)


@pytest.mark.skipif(
    importlib.util.find_spec("scipy.ndimage.tests") is None, reason="SciPy is installed without its tests"
)
def test_scipys_own_tests_pass() -> None:
    """A quick part of them; all, with the plug-in's summary: see tests/scipy_swap.py."""
    plugins = ("-p", "tests.scipy_swap", "-p", "no:cacheprovider")
    done = child.run("-m", "pytest", *plugins, "--pyargs", "scipy.ndimage.tests.test_filters", "-k", QUICK)
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 100
    assert "'gaussian_filter': 0" not in done.stdout and "gaussian_filter" in done.stdout


@pytest.mark.parametrize("shape", [(1, 400_000), (400_000, 1), (3, 150_000)])
@pytest.mark.parametrize("size", [3, 100_000])
def test_long_signals_take_little_memory(shape: tuple[int, int], size: int) -> None:
    """Running sums buffer rows: not those that are longer than an image."""
    image = np.random.default_rng(0).random(shape)
    fastconv.release_workspace()
    tracemalloc.start()
    try:
        got = ndimage.uniform_filter(image, (1, size) if shape[0] < shape[1] else (size, 1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * image.nbytes
    want = scipy.ndimage.uniform_filter(image, (1, size) if shape[0] < shape[1] else (size, 1))
    np.testing.assert_array_equal(got, want)
