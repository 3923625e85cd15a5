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
from fastconv.images import ndimage_kernels, ndimage_plans
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


#: what comes after the image
REST: dict[str, tuple[Any, ...]] = {
    "convolve": (np.ones((2, 3)),),
    "convolve1d": ([1.0, 2, 3],),
    "correlate": (np.ones((3, 3)),),
    "correlate1d": ([1.0, 2, 3],),
    "gaussian_filter": (1.5,),
    "gaussian_filter1d": (1.5,),
    "gaussian_gradient_magnitude": (1.5,),
    "gaussian_laplace": (1.5,),
    "generic_gradient_magnitude": (scipy.ndimage.sobel,),
    "generic_laplace": (scipy.ndimage.prewitt,),
    "uniform_filter1d": (3,),
}
FILTERS = [name for name in ndimage.__all__ if name != "precision"]


@pytest.mark.parametrize("name", FILTERS)
def test_output_arrays(name: str) -> None:
    """A given array is filled and returned, whatever its strides and dtype, also if it is the input."""
    rng, rest = np.random.default_rng(0), REST.get(name, ())
    image = rng.standard_normal((20, 31)) * 50
    for out in (np.empty((20, 31)), np.empty((31, 20), np.float32).T, np.empty((20, 62), np.int32)[:, ::2]):
        got = getattr(ndimage, name)(image, *rest, output=out)
        assert got is out
        want = getattr(scipy.ndimage, name)(image, *rest, output=out.dtype)
        np.testing.assert_array_equal(out, want)
    ours, theirs = image.copy(), image.copy()
    with np.errstate(invalid="ignore"):
        getattr(ndimage, name)(ours, *rest, output=ours)
        getattr(scipy.ndimage, name)(theirs, *rest, output=theirs)
    np.testing.assert_array_equal(ours, theirs)


ALONG = ("correlate1d", "convolve1d", "gaussian_filter1d", "uniform_filter1d")
SEPARABLE = ("gaussian_filter", "uniform_filter", "laplace", "gaussian_laplace", "gaussian_gradient_magnitude")


@st.composite
def of_any_rank(draw: Any) -> tuple[str, Any, tuple[Any, ...], dict[str, Any]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.lists(st.sampled_from([1, 2, 3, 5, 8, 13, 33]), min_size=1, max_size=4))
    if draw(st.integers(0, 4)) == 0:  # tall or wide
        shape = draw(st.permutations([draw(st.integers(1, 9)), draw(st.integers(500, 3000))]))
    image = (rng.standard_normal(shape) * 40 + 60).astype(draw(st.sampled_from(DTYPES)))
    kind = draw(st.integers(0, 3))
    image = [image, np.asfortranarray(image), image[::-1], image.astype(image.dtype.newbyteorder())][kind]
    name = draw(st.sampled_from([*ALONG, *SEPARABLE, "sobel", "prewitt"]))
    kwargs: dict[str, Any] = {"mode": draw(st.sampled_from(MODES)), "cval": draw(st.sampled_from([0.0, 3.5]))}
    if name in SEPARABLE:
        axes = draw(st.permutations(range(len(shape))))[: draw(st.integers(1, len(shape)))]
        kwargs["axes"] = draw(st.sampled_from([None, tuple(axes)]))
    else:
        kwargs["axis"] = draw(st.integers(-len(shape), len(shape) - 1))
    kwargs["output"] = draw(st.sampled_from([None, "float32", np.uint8, np.int32]))
    if name in ("gaussian_filter", "gaussian_filter1d"):
        kwargs["order"] = draw(st.integers(0, 2))
    rest: tuple[Any, ...] = ()
    if name in ("correlate1d", "convolve1d"):
        rest, kwargs["origin"] = (rng.standard_normal(draw(st.integers(1, 7))),), draw(st.integers(-1, 1))
    elif "gaussian" in name:
        rest = (draw(st.sampled_from([0.5, 1, 2.3])),)
    elif "uniform" in name:
        rest = (draw(st.integers(1, 7)),)
    return name, image, rest, kwargs


@given(of_any_rank(), st.integers(1, 3))
def test_any_rank(call: tuple[str, Any, tuple[Any, ...], dict[str, Any]], threads: int) -> None:
    name, image, rest, kwargs = call
    with fastconv.num_threads(threads), np.errstate(invalid="ignore"):
        both(name, image, *rest, **kwargs)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64"])
@pytest.mark.parametrize("name", ["correlate", "convolve", *SEPARABLE])
def test_stacks(name: str, dtype: str) -> None:
    """Whatever two axes: as many calls with an image each; with planes of which many, few or one fit the cache."""
    rng = np.random.default_rng(3)
    rest = (rng.standard_normal((3, 4)),) if name in ("correlate", "convolve") else REST.get(name, ())
    for shape in ((70, 9, 11), (75, 60, 70), (2, 300, 900)):
        stack = (rng.standard_normal(shape) * 50).astype(dtype)
        if name == "gaussian_gradient_magnitude":  # SciPy takes the sigma of all axes
            want = np.stack([getattr(scipy.ndimage, name)(image, 1.5) for image in stack])
            np.testing.assert_array_equal(getattr(ndimage, name)(stack, (0, 1.5, 1.5), axes=(1, 2)), want)
            continue
        want = np.stack([getattr(scipy.ndimage, name)(image, *rest) for image in stack])
        np.testing.assert_array_equal(getattr(ndimage, name)(stack, *rest, axes=(1, 2)), want)
        last = np.moveaxis(stack, 0, -1)
        np.testing.assert_array_equal(getattr(ndimage, name)(last, *rest, axes=(0, 1)), np.moveaxis(want, 0, -1))


def test_a_sigma_of_nought_and_a_size_of_one_leave_an_axis_alone() -> None:
    stack = np.random.default_rng(4).random((5, 12, 13))
    both("gaussian_filter", stack, (0, 1.0, 2.0))
    both("uniform_filter", stack, (1, 3, 4))
    both("gaussian_filter", stack, 0)
    both("uniform_filter", stack, 1, output=np.uint8)
    both("gaussian_laplace", stack, (1.0, 0, 0))
    both("uniform_filter", stack, 2.9)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble, np.int8, np.array, float, int])
def test_numbers_of_any_type(kind: Any) -> None:
    """SciPy computes a Gaussian in the precision of sigma; equal numbers of other types are told apart."""
    image = np.random.default_rng(5).random((20, 21)) * 100
    for value in (1.7, 2):
        sigmas: list[Any] = [value, kind(value), [kind(value), value], (value, kind(value))]
        for sigma in sigmas:
            both("gaussian_filter", image, sigma)
            both("gaussian_filter1d", image, sigma)
            both("gaussian_laplace", image, sigma)
    both("uniform_filter", image, kind(3))
    both("correlate", image, np.ones((2, 3)), cval=kind(1), mode="constant")
    both("gaussian_filter", image, 1.0, truncate=kind(3))


def test_whole_numbers_without_dimensions() -> None:
    image, zero, one, three = np.random.default_rng(6).random((20, 21)), *map(np.array, (0, 1, 3))
    both("gaussian_filter", image, 1.0, order=one)
    both("gaussian_filter1d", image, 1.0, zero, order=one)
    both("uniform_filter", image, three, origin=one)
    both("uniform_filter1d", image, three, zero, origin=one)
    both("correlate1d", image, [1, 2, 3], zero, origin=one)
    both("correlate", image, np.ones((3, 3)), origin=one)


def test_what_is_no_argument() -> None:
    """SciPy's errors, also after a legal call that looks the same."""
    image = np.random.default_rng(7).random((9, 10))
    for radius in ((2, 3), (2.0, 3), 2, 2.0):
        both("gaussian_filter", image, 1.0, radius=radius)
    for axes in ((0, 0), (0, 2), 5, (0.0, 1), "ab", (), (-1, 0)):
        both("gaussian_filter", image, 1.0, axes=axes)
        both("uniform_filter", image, 3, axes=axes)
    odd: list[Any] = ["a", None, (1, 2, 3), [[1, 2]], {}, -1.0]
    for sigma in odd:
        both("gaussian_filter", image, sigma)
    both("gaussian_filter", image, 1.0, order=(0, -1))
    both("gaussian_filter", image, 1.0, output=np.empty((3, 3)))
    both("correlate", image, np.ones((3, 3)), axes=(0,))
    both("uniform_filter1d", image, 0)
    both("uniform_filter1d", image, 3, 2)


def test_a_border_longer_than_the_image() -> None:
    """SciPy 1.17.1 reads beside an axis of 2 with 21 taps; here it is as `numpy.pad` says."""
    image, weights = np.random.default_rng(8).random((2, 30)), np.random.default_rng(9).random(21)
    for mode, name in (("reflect", "symmetric"), ("mirror", "reflect"), ("nearest", "edge"), ("wrap", "wrap")):
        padded = np.pad(image, ((10, 10), (0, 0)), name)  # type: ignore[call-overload]
        want = np.stack([weights @ padded[i : i + 21] for i in range(2)])
        np.testing.assert_allclose(ndimage.correlate1d(image, weights, 0, mode=mode), want, rtol=1e-13)
        np.testing.assert_allclose(ndimage.correlate(image, weights[:, None], mode=mode), want, rtol=1e-13)


@pytest.mark.parametrize("name", ["generic_laplace", "generic_gradient_magnitude"])
def test_derivatives_of_the_caller(name: str) -> None:
    image = np.random.default_rng(10).random((12, 13))

    def derivative(x: Any, axis: int, output: Any, mode: str, cval: float, scale: float) -> Any:
        return scipy.ndimage.correlate1d(x, [-scale, 0, scale], axis, output, mode, cval)

    both(name, image, derivative, extra_arguments=(2.0,))
    both(name, image, scipy.ndimage.sobel, mode=["wrap", "nearest"])
    np.testing.assert_array_equal(
        getattr(ndimage, name)(image, ndimage.sobel), getattr(scipy.ndimage, name)(image, scipy.ndimage.sobel)
    )


def test_nothing_beside_arrays() -> None:
    """Image, result and scratch memory between forbidden pages."""
    child.run("-m", "tests.guard_ndimage")


def test_many_weights_are_not_kept() -> None:
    image, rng = np.random.default_rng(11).random((9, 30)), np.random.default_rng(12)
    kept = ndimage_plans._plan.cache_info().currsize
    both("correlate1d", image, rng.random(6000), mode="nearest")
    assert ndimage_plans._plan.cache_info().currsize == kept
    before = ndimage_kernels._plan.cache_info().currsize
    both("correlate", np.tile(image, (8, 3)), rng.random((71, 65)), mode="nearest")
    assert ndimage_kernels._plan.cache_info().currsize == before


def test_every_other_name_is_scipys() -> None:
    assert ndimage.median_filter is scipy.ndimage.median_filter
    public = {name for name in dir(scipy.ndimage) if not name.startswith("_")}
    assert public | {"precision"} == set(dir(ndimage))
    for name in public - set(ndimage.__all__):
        assert getattr(ndimage, name) is getattr(scipy.ndimage, name)
    for name in ("_filters", "__path_of_scipy__", "gaussian"):
        assert not hasattr(ndimage, name)


class TestPrecision:
    """Sums in float32 are within the bound that `precision` states, of float32 images only."""

    @staticmethod
    def bound(x: Any, w: Any, n: int, **kwargs: Any) -> Any:
        return (n + 4) * 2.0**-24 * scipy.ndimage.correlate(np.abs(x).astype(float), np.abs(w), **kwargs)

    @given(st.integers(0, 2**32), st.sampled_from(MODES), st.sampled_from([0.6, 1, 2.5, (1, 3)]), st.integers(0, 2))
    def test_gaussians(self, seed: int, mode: str, sigma: Any, order: int) -> None:
        x = (np.random.default_rng(seed).standard_normal((130, 153)) * 10.0 ** (seed % 9)).astype(np.float32)
        want = scipy.ndimage.gaussian_filter(x.astype(float), sigma, order, mode=mode)
        with ndimage.precision("single"):
            got = ndimage.gaussian_filter(x, sigma, order, mode=mode)
        impulse = np.zeros((41, 41))
        impulse[20, 20] = 1
        w = scipy.ndimage.gaussian_filter(impulse, sigma, order, mode="constant")[::-1, ::-1]
        taps = [2 * int(4 * s + 0.5) + 1 for s in np.broadcast_to(sigma, 2)]
        assert got.dtype == np.float32
        assert (np.abs(got - want) <= self.bound(x, w, sum(taps), mode=mode) + 1e-30).all()

    @given(st.integers(0, 2**32), st.sampled_from(MODES), st.integers(1, 9), st.integers(1, 9))
    def test_kernels(self, seed: int, mode: str, kh: int, kw: int) -> None:
        rng = np.random.default_rng(seed)
        x, w = rng.standard_normal((21, 40), dtype=np.float32), rng.standard_normal((kh, kw))
        with ndimage.precision("single"):
            got = ndimage.correlate(x, w, mode=mode)
        error = np.abs(got - scipy.ndimage.correlate(x.astype(float), w, mode=mode))
        assert (error <= self.bound(x, w, kh * kw, mode=mode)).all()

    def test_a_constant_outside(self) -> None:
        """A derivative of the constant is not the constant."""
        x = np.random.default_rng(0).random((200, 131), dtype=np.float32)
        with ndimage.precision("single"):
            got = ndimage.gaussian_filter(x, 1.5, 1, mode="constant", cval=7.0)
        want = scipy.ndimage.gaussian_filter(x, 1.5, 1, mode="constant", cval=7.0)
        np.testing.assert_allclose(got, want, atol=1e-5)

    def test_other_images_and_what_comes_after(self) -> None:
        rng = np.random.default_rng(1)
        x = rng.random((150, 131), dtype=np.float32)
        want = scipy.ndimage.gaussian_filter(x, 2.0)
        with ndimage.precision("single"):
            assert (ndimage.gaussian_filter(x, 2.0) != want).any()
            with ndimage.precision("double"):
                np.testing.assert_array_equal(ndimage.gaussian_filter(x, 2.0), want)
            both("gaussian_filter", x.astype(float), 2.0)
            both("gaussian_filter", x, 2.0, output=np.float64)
            both("sobel", (x * 99).astype(np.uint8))
            both("gaussian_filter", x[:20], 2.0)
            stack = rng.random((4, 150, 121), dtype=np.float32)
            planes = np.stack([ndimage.gaussian_filter(image, 1.0) for image in stack])
            np.testing.assert_array_equal(ndimage.gaussian_filter(stack, 1.0, axes=(1, 2)), planes)
        np.testing.assert_array_equal(ndimage.gaussian_filter(x, 2.0), want)
        with pytest.raises(ValueError, match="kind must be"), ndimage.precision("half"):  # type: ignore[arg-type]
            pass


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


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_large_stacks_in_slabs(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads take slabs of a stack, the last of them shorter; channels by vectors that overlap."""
    monkeypatch.setattr(ndimage_plans, "LARGE", 1)
    monkeypatch.setattr(ndimage_plans, "TOGETHER", 3 * 2 * 9 * 13)
    x = (np.random.default_rng(5).random((17, 9, 13)) * 200).astype(dtype)
    with fastconv.num_threads(2):
        for name, args in (("uniform_filter", [3]), ("laplace", []), ("gaussian_filter", [1.1])):
            want = np.stack([getattr(scipy.ndimage, name)(image, *args) for image in x])
            np.testing.assert_array_equal(getattr(ndimage, name)(x, *args, axes=(1, 2)), want)
