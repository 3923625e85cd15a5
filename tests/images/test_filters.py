"""filter2d: against sums over a padded image, on every engine, dtype and border."""

import itertools
import sys
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
from fastconv.core.typing import FilterMethod
from fastconv.engines import loader
from tests import battery, child

PAD: dict[str, Any] = {
    "reflect": "symmetric", "grid-mirror": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap",
    "grid-wrap": "wrap", "constant": "constant", "grid-constant": "constant",
}  # fmt: skip
ENGINES = [e for e in loader.ENGINES if loader.absent(e) is None]
DTYPES = ("uint8", "uint16", "int16", "float16", "float32", "float64")


def by_definition(image: Any, kernel: Any, mode: str = "reflect", cval: float = 0.0, flip: bool = False) -> Any:
    """The sum over shifted views of an image that NumPy has padded, in float64."""
    x, w = np.asarray(image, np.float64), np.asarray(kernel, np.float64)
    before = [(k - 1) // 2 if flip else k // 2 for k in w.shape]
    pads = [(b, k - 1 - b) for b, k in zip(before, w.shape, strict=True)] + [(0, 0)] * (x.ndim - 2)
    more = {"constant_values": cval} if PAD[mode] == "constant" else {}
    padded = np.pad(x, pads, PAD[mode], **more)
    w = w[::-1, ::-1] if flip else w
    (h, width), y = x.shape[:2], np.zeros(x.shape)
    for (a, b), value in np.ndenumerate(w):
        y += value * padded[a : a + h, b : b + width]
    return y


def check(got: Any, image: Any, kernel: Any, **options: Any) -> None:
    """Floats within rounding of the sum of magnitudes; integers the rounded sum, where it is not next to a tie."""
    want = by_definition(image, kernel, **options)
    assert got.dtype == image.dtype
    assert got.shape == image.shape
    assert got.flags.c_contiguous
    largest = max(np.abs(image.astype(np.float64)).max(initial=0), abs(options.get("cval", 0.0)))
    bound = largest * np.abs(kernel).sum()
    if image.dtype.kind == "f":
        epsilon = {"float16": 1e-3, "float32": 3e-6, "float64": 3e-15}[image.dtype.name]
        least = max(1e-30, 0.5 * float(np.finfo(image.dtype).smallest_subnormal))  # what rounding to the dtype costs
        np.testing.assert_allclose(got, want, rtol=0, atol=epsilon * bound + least)
        return
    limits = np.iinfo(image.dtype)
    low, high = (np.rint(want + d).clip(limits.min, limits.max) for d in (-3e-6 * bound, 3e-6 * bound))
    assert ((low <= got) & (got <= high)).all()


@st.composite
def calls(draw: Any) -> tuple[Any, Any, dict[str, Any]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 40)), draw(st.integers(1, 150)), *draw(st.sampled_from([(), (1,), (3,), (4,)])))
    image = (rng.random(shape) * 250).astype(draw(st.sampled_from(DTYPES)))
    kh, kw = draw(st.integers(1, 17)), draw(st.integers(1, 17))
    kernel = rng.standard_normal((kh, kw)) / kh
    kind = draw(st.sampled_from(["any", "separable", "symmetric", "antisymmetric"]))
    if kind == "separable":
        kernel = np.outer(kernel[:, 0], kernel[0])
    elif kind != "any":
        kernel = kernel + kernel[:, ::-1] if kind == "symmetric" else kernel - kernel[:, ::-1]
    mode = draw(st.sampled_from(sorted(m for m in PAD if not (PAD[m] == "reflect" and 1 in shape[:2]))))
    return image, kernel, {"mode": mode, "cval": 7.5, "flip": draw(st.booleans())}


@given(
    calls(),
    st.sampled_from(["auto", "fft", *(f"{a}/{e}" for a in ("direct", "fft") for e in ENGINES)]),
    st.integers(1, 3),
)
def test_random_calls(call: tuple[Any, Any, dict[str, Any]], method: Any, threads: int) -> None:
    image, kernel, options = call
    before = image.copy()
    with fastconv.num_threads(threads):
        got = fastconv.filter2d(image, kernel, **options, method=method)
    check(got, image, kernel, **options)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(1, 9), (9, 1), (3, 3), (4, 5), (21, 33), (70, 3)])
def test_separable(engine: str, dtype: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = (rng.random((37, 50, 3)) * 200).astype(dtype)
    kernel = np.outer(rng.standard_normal(size[0]), rng.standard_normal(size[1]))
    for mode in ("mirror", "constant"):
        got = fastconv.filter2d(image, kernel, mode=mode, cval=3.0, method=cast("FilterMethod", f"separable/{engine}"))
        check(got, image, kernel, mode=mode, cval=3.0)


@pytest.mark.parametrize("kernel", [(63, 63), (50, 71)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_large_kernels(dtype: str, kernel: tuple[int, int]) -> None:
    """By FFTs, also where the kernel is larger than the image."""
    rng = np.random.default_rng(2)
    w = rng.standard_normal(kernel)
    for shape in ((150, 90), (40, 30, 3)):
        image = (rng.random(shape) * 250).astype(dtype)
        for mode in ("reflect", "wrap", "constant"):
            check(fastconv.filter2d(image, w, mode=mode, cval=9.0), image, w, mode=mode, cval=9.0)


def test_bands_of_a_wide_image() -> None:
    """Several strips of columns and bands of rows, all threads: the same numbers as in one piece."""
    rng = np.random.default_rng(3)
    image = rng.random((130, 9000), dtype=np.float32)
    for kernel in (rng.standard_normal((7, 5)), np.outer(np.arange(1, 20), np.arange(3, 34))):
        results = []
        for threads in (1, 2, 5):
            with fastconv.num_threads(threads):
                results += [fastconv.filter2d(image, kernel) for _ in range(2)]
        check(results[0], image, kernel)
        assert all(np.array_equal(results[0], r) for r in results[1:])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_inner_columns_and_borders(dtype: str, channels: int) -> None:
    """Rows long enough that most of each is read in the image itself, and kernels of every kind of block."""
    rng = np.random.default_rng(7)
    image = (rng.random((31, 400, channels)) * 255).astype(dtype)
    for kh, kw in ((2, 3), (3, 3), (4, 6), (5, 5), (7, 4), (23, 23), (3, 30)):
        column, row = rng.random(kh) / kh, rng.random(kw) / kw
        for mode in ("mirror", "wrap", "constant"):
            for kernel in (np.outer(column, row), rng.random((kh, kw)) / kh / kw):
                got = fastconv.filter2d(image, kernel, mode=mode, cval=9.5)
                check(got, image, kernel, mode=mode, cval=9.5)


def test_layouts() -> None:
    """Any strides, byte orders and read-only arrays, and what has __array__."""
    rng = np.random.default_rng(4)
    image, kernel = rng.random((20, 30, 3)), rng.random((3, 5))
    want = fastconv.filter2d(image, kernel)
    planar = np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    swapped, frozen = image.astype(image.dtype.newbyteorder()), image.copy()
    frozen.flags.writeable = False
    backwards = image[::-1, ::-1].copy()[::-1, ::-1]
    for same in (planar, swapped, frozen, backwards):
        np.testing.assert_array_equal(fastconv.filter2d(same, kernel), want)

    class Holder:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return image

    np.testing.assert_array_equal(fastconv.filter2d(Holder(), kernel), want)


def test_rounds_to_even_and_saturates() -> None:
    image = np.array([[1, 3, 5, 255]], np.uint8)
    assert fastconv.filter2d(image, [[0.5]]).tolist() == [[0, 2, 2, 128]]
    assert fastconv.filter2d(image, [[3.0]]).tolist() == [[3, 9, 15, 255]]
    assert fastconv.filter2d(image, [[-1]]).tolist() == [[0, 0, 0, 0]]
    assert fastconv.filter2d(image.astype(np.int16), [[-1000]]).tolist() == [[-1000, -3000, -5000, -32768]]


@pytest.mark.parametrize("size", [3, 7, 25, 63])
def test_non_finite_pixels_stay_in_their_windows(size: int) -> None:
    """As directly computed, whichever algorithm "auto" takes."""
    rng = np.random.default_rng(5)
    image = rng.random((120, 140), dtype=np.float32)
    image[60, 70], image[10, 10] = np.nan, np.inf
    for kernel in (rng.random((size, size)), np.outer(rng.random(size), rng.random(size))):
        got = fastconv.filter2d(image, kernel)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(by_definition(image, kernel)))


def test_the_zero_kernel_and_empty_images() -> None:
    image = np.ones((9, 8), np.float32)
    assert not fastconv.filter2d(image, np.zeros((5, 5))).any()
    for shape in ((0, 5), (5, 0, 3), (4, 5, 0)):
        assert fastconv.filter2d(np.ones(shape, np.uint8), np.ones((3, 3))).shape == shape


def test_float64_is_a_plain_sum() -> None:
    """Nothing is fused or reordered: the number that a loop in raster order gives."""
    rng = np.random.default_rng(6)
    image, kernel = rng.random((30, 40)), rng.standard_normal((8, 7))
    for engine in ENGINES:
        got = fastconv.filter2d(image, kernel, mode="wrap", method=cast("FilterMethod", f"direct/{engine}"))
        np.testing.assert_array_equal(got, by_definition(image, kernel, "wrap"))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"mode": "reflects"}, ValueError, "mode must be one of"),
        ({"mode": None}, ValueError, "mode must be one of"),
        ({"kernel": np.ones((0, 3))}, ValueError, "kernel must not be empty"),
        ({"kernel": np.ones(3)}, ValueError, "kernel must have shape"),
        ({"kernel": np.ma.masked_equal(np.eye(3), 1)}, TypeError, "kernel has masked elements"),
        ({"kernel": np.ones((3, 3), complex)}, TypeError, "kernel must hold real numbers"),
        ({"kernel": np.ones((3, 3), object)}, TypeError, "kernel must hold real numbers"),
        ({"image": np.ones(5, np.float32)}, ValueError, "image must have shape"),
        ({"image": np.ones((2, 2, 2, 2), np.float32)}, ValueError, "image must have shape"),
        ({"image": np.ones((5, 5), np.int64)}, TypeError, "image must be"),
        ({"image": np.ones((5, 5), object)}, TypeError, "image must be"),
        ({"image": np.ma.masked_equal(np.eye(5), 1)}, TypeError, "image has masked pixels: .*weights"),
        ({"image": np.ones((5, 5), np.int64)}, TypeError, "image must be"),
        ({"image": [[1.0]]}, TypeError, "image must be an array"),
        ({"cval": "a"}, TypeError, "cval must be a real number"),
        ({"delta": None}, TypeError, "delta must be a real number"),
        ({"dtype": "int32"}, TypeError, "dtype must be"),
        ({"dtype": "nonsense"}, TypeError, "dtype must be"),
        ({"dtype": bool}, TypeError, "dtype must be"),
        ({"anchor": 1}, ValueError, "anchor must be"),
        ({"anchor": (1, 3)}, ValueError, "anchor must be at most 2"),
        ({"anchor": (-1, 0)}, ValueError, "anchor must be at least 0"),
        ({"anchor": (0.5, 0)}, TypeError, "anchor must be"),
        ({"nan": "omit"}, ValueError, "nan must be"),
        ({"dtype": "uint8", "out": np.empty((5, 5), np.float32)}, TypeError, "out must have dtype uint8"),
        ({"method": "nonsense"}, ValueError, "method must be"),
        ({"method": "im2col"}, ValueError, "method must be"),
        ({"method": "direct/"}, ValueError, "method must be"),
        ({"method": "auto/numba"}, ValueError, "method must be"),
        ({"method": 3}, TypeError, "method must be a string"),
        ({"out": np.empty((3, 3), np.float32)}, ValueError, "out must have shape"),
        ({"out": [1.0]}, TypeError, "out must be"),
        ({"method": "separable"}, fastconv.BackendRefused, "not a column times a row"),
    ],
)
def test_bad_input(change: dict[str, Any], error: type[Exception], words: str) -> None:
    given_ = {"image": np.ones((5, 5), np.float32), "kernel": np.eye(3), **change}
    with pytest.raises(error, match=words):
        fastconv.filter2d(given_.pop("image"), given_.pop("kernel"), **given_)


GUARDED = """
import numpy as np, sys
import fastconv
from fastconv.images import filtering
from tests.guard import Guarded
rng, runs = np.random.default_rng(0), 0
filtering.workspace.SMALL = 0  # all scratch memory is borrowed
for engine in sys.argv[1:]:
    for h, w, c in ((1, 1, 1), (5, 7, 3), (40, 67, 1), (17, 130, 4)):
        for kh, kw in ((1, 1), (3, 3), (5, 2), (4, 9), (9, 7), (1, 8), (11, 1)):
            count = (h + kh - 1, w + kw - 1)
            see = filtering.window((h, w), (-(kh // 2), -(kw // 2)), count, ("reflect", "reflect"), 0.0)
            for dtype, computed in (("uint8", "float32"), ("int16", "float64"), ("float32",) * 2, ("float64",) * 2):
                for at_end in (True, False):
                    memory = Guarded()
                    x = memory.copy((rng.random((h, w, c)) * 99).astype(dtype), at_end)
                    y = memory.empty(x.shape, dtype, at_end)
                    scratch = lambda dtype, n: memory.empty((-(-n // 64) * 8,), "f8", True).view(dtype)
                    filtering.workspace.borrow = scratch
                    filtering.workspace.give_back = lambda dtype, array: None
                    kernel = rng.random((kh, kw))
                    filtering.direct(x, kernel, y, see, computed, engine)
                    filtering.direct(x, kernel + kernel[:, ::-1], y, see, computed, engine)
                    filtering.separable(x, kernel[:, 0], kernel[0], y, see, computed, engine)
                    planes = memory.empty((c, *count), computed, at_end)
                    filtering.split(x, planes, see, engine)
                    results = memory.copy(np.ones((c, h, w), computed), at_end)
                    assert filtering.join(results, y, engine) and (y == 1).all()
                    if 1 in (kh, kw):
                        filtering.line(x, kernel.ravel(), 0, y, see, engine)
                    if (kh == 1) != (kw == 1):
                        filtering.running(x, y, see, engine)
                    memory.close()
                    runs += 1
print(runs)
"""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(8, 8), (9, 7, 3), (70, 5)])
def test_a_call_that_is_known(dtype: str, shape: tuple[int, ...]) -> None:
    """The same call again, with other pixels, another kernel of the same shape, another argument."""
    rng = np.random.default_rng(0)
    kernels = rng.random((2, 3, 5)), np.ones((2, 3, 5)) * [[[1.0]], [[2.0]]]
    said: list[dict[str, Any]] = [
        {}, {"flip": True}, {"mode": "constant", "cval": 3}, {"mode": "constant"}, {"dtype": "int16"},
        {"dtype": np.float32}, {"method": "direct"},
    ]  # fmt: skip
    for options, pair, _ in itertools.product(said, kernels, range(2)):
        for kernel in pair:
            image = (rng.random(shape) * 200).astype(dtype)
            got = fastconv.filter2d(image, kernel, **options)
            want = np.empty(shape, options.get("dtype", dtype))
            assert fastconv.filter2d(image, kernel, out=want, **options) is want
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
    with pytest.raises(ValueError, match="mode must be one of"):
        fastconv.filter2d(image, kernel, mode=cast(Any, ["reflect"]))
    with pytest.raises(TypeError, match="cval must be a real number"):
        fastconv.filter2d(image, kernel, cval=cast(Any, "0"))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("rows", [1, 2, 4, 5, 8])
def test_separable_on_few_rows(rows: int, dtype: str) -> None:
    """Rows that fill the lanes of a vector, and those that do not."""
    rng = np.random.default_rng(7)
    image = (rng.random((rows, 300)) * 99).astype(dtype)
    for taps in (3, 7, 25):
        kernel = np.outer(*rng.integers(1, 4, (2, taps)) / 4 ** taps.bit_length())
        for mode in ("reflect", "constant"):
            got = fastconv.filter2d(image, kernel, mode=mode, method="separable")  # type: ignore[arg-type]
            want = fastconv.filter2d(image, kernel, mode=mode, method="direct")  # type: ignore[arg-type]
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=dtype == "uint8")


@pytest.mark.parametrize("isa", battery.instruction_sets())
def test_stays_in_bounds(isa: str) -> None:
    """Image, result and scratch memory between forbidden pages."""
    engines = ENGINES if isa == battery.instruction_sets()[0] else ["cython"]
    out = child.run("-c", GUARDED, *engines, FASTCONV_ISA=isa.replace("_", "-")).stdout
    assert int(out.split()[-1]) > 0


@pytest.mark.parametrize("isa", battery.instruction_sets()[1:])
def test_other_instruction_sets(isa: str) -> None:
    """Narrower vectors: the same float64 sums to the last bit, float32 within rounding."""
    code = """
import numpy as np, fastconv
from tests.images.test_filters import by_definition, check
rng = np.random.default_rng(0)
for dtype in ("uint8", "float32", "float64"):
    for kernel in ((3, 3), (5, 8), (9, 9), (1, 7)):
        image, w = (rng.random((33, 71, 3)) * 99).astype(dtype), rng.standard_normal(kernel)
        for k in (w, w + w[:, ::-1], np.outer(w[:, 0], w[0])):
            check(fastconv.filter2d(image, k, mode="wrap"), image, k, mode="wrap")
    if dtype == "float64":
        got = fastconv.filter2d(image, w, mode="wrap", method="direct")
        assert np.array_equal(got, by_definition(image, w, "wrap"))
print("same")
"""
    assert child.run("-c", code, FASTCONV_ISA=isa.replace("_", "-")).stdout.split() == ["same"]


def test_submodules_are_lazy() -> None:
    code = "import sys, fastconv; assert 'scipy.signal' not in sys.modules; fastconv.ndimage.sobel; fastconv.signal"
    child.run("-c", code + "; assert 'scipy.ndimage' not in sys.modules and 'scipy.signal' not in sys.modules")
    assert "fastconv" in sys.modules
