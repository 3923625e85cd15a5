"""fastconv's calls inside functions that Numba compiles: the ordinary calls' results, layouts and errors."""

import inspect
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.errors import TypingError
from numba.core.runtime.nrt import rtsys

import fastconv
from fastconv.numba_extension import answers, init, overloads
from tests import child

init()
nrt: Any = import_module("numba.core.runtime._nrt_python")


def normal(*shape: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(list(shape)).normal(size=shape).astype(dtype)


def last(a: Any) -> Any:
    """The same numbers with channels last in memory."""
    axes = (0, 2, 3, 1) if a.ndim == 4 else (1, 2, 0)
    return np.ascontiguousarray(a.transpose(axes)).transpose(np.argsort(axes))


def compiled(call: str, **options: Any) -> Any:
    """A function of a, b and c that Numba compiles; what it is made of is `py_func`."""
    return numba.njit(**options)(eval(f"lambda a, b=None, c=None: {call}", {"fastconv": fastconv, "np": np}))


def same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, tuple):
        for one, other in zip(found, wanted, strict=True):
            same(one, other)
        return
    np.testing.assert_array_equal(found, wanted)
    assert (found.dtype, found.strides) == (wanted.dtype, wanted.strides)


X, W, B = normal(2, 4, 9, 8), normal(6, 4, 3, 3), normal(6)
DY = normal(2, 6, 9, 8)
CONVOLUTIONS = [
    "fastconv.conv2d(a, b)",
    "fastconv.conv2d(a, b, c, padding=1, stride=2)",
    "fastconv.conv2d(a, b, bias=c, padding=(2, 1), dilation=(1, 2), activation='relu')",
    "fastconv.conv2d(a, b, None, padding=((0, 1), (2, 0)), padding_mode='circular', residual=None)",
    "fastconv.conv2d(a, b, padding='same', rtol=1e-3, backend='im2col')",
    "fastconv.conv2d(a[:, :2].copy(), b[:, :1].copy(), groups=2)",
    "fastconv.conv2d(a[0], b, padding=1)",
    "fastconv.conv2d(a, b, padding=b.shape[2] // 2, residual=np.ones((2, 6, 9, 8), np.float32))",
    "fastconv.conv2d(a.transpose(0, 2, 3, 1), b, padding=1, layout='NHWC')",
]


@pytest.mark.parametrize("call", CONVOLUTIONS)
@pytest.mark.parametrize("lie", [np.ascontiguousarray, last], ids=["first", "last"])
def test_conv2d(call: str, lie: Any) -> None:
    f = compiled(call)
    same(f(lie(X), W, B), f.py_func(lie(X), W, B))


@pytest.mark.parametrize("lie", [np.ascontiguousarray, last], ids=["first", "last"])
@pytest.mark.parametrize("call", [
    "fastconv.conv2d_grad_input(a, b, c.shape, padding=1)",
    "fastconv.conv2d_grad_input(a[0], b, (4, 9, 8), padding=1, backend='naive')",
    "fastconv.conv2d_grad_weight(a, c, b.shape, padding=1)",
    "fastconv.conv2d_grad_weight(a[:, :, ::2, ::2], c, (6, 4, 3, 3), stride=2, padding=(1, 1))",
])  # fmt: skip
def test_gradients(call: str, lie: Any) -> None:
    f = compiled(call)
    same(f(lie(DY), W, lie(X)), f.py_func(lie(DY), W, lie(X)))


@pytest.mark.parametrize("lie", [np.ascontiguousarray, last], ids=["first", "last"])
@pytest.mark.parametrize("call", [
    "fastconv.max_pool2d(a, 2)",
    "fastconv.max_pool2d(a, (3, 2), stride=None, padding=1, dilation=(1, 2), ceil_mode=True)",
    "fastconv.max_pool2d(a, 2, return_indices=True)",
    "fastconv.max_pool2d(a[1], 2, return_indices=False)",
    "fastconv.avg_pool2d(a, 3, stride=2, padding=1, count_include_pad=False)",
    "fastconv.avg_pool2d(a, 3, divisor_override=2)",
])  # fmt: skip
def test_pooling(call: str, lie: Any) -> None:
    f = compiled(call)
    same(f(lie(X)), f.py_func(lie(X)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_filter2d(dtype: str) -> None:
    image = (normal(12, 10, 3) * 50 + 100).astype(dtype)
    f = compiled("fastconv.filter2d(a, b, mode='constant', cval=3, flip=True)")
    same(f(image, np.arange(6).reshape(2, 3)), f.py_func(image, np.arange(6).reshape(2, 3)))
    same(f(image[:, ::2, 0], normal(3, 3)), f.py_func(image[:, ::2, 0], normal(3, 3)))
    f = compiled("fastconv.filter2d(a, b, nan='ignore', weights=c, anchor=(0, 2), delta=1.5)")
    w = normal(12, 10) > 0
    same(f(image, np.ones((2, 3)), w), f.py_func(image, np.ones((2, 3)), w))


@pytest.mark.parametrize("depth", ["np.float64", "'int16'", "np.dtype(np.uint16)", "a.dtype", "None"])
def test_depth_of_filter2d(depth: str) -> None:
    """The dtype of the result, a constant of the call; into an array of it, too."""
    image = (normal(12, 10) * 50 + 100).astype(np.uint8)
    f = compiled(f"fastconv.filter2d(a, b, dtype={depth}, delta=0.25)")
    for _ in range(2):
        same(f(image, np.ones((3, 3))), f.py_func(image, np.ones((3, 3))))
    into = compiled(f"fastconv.filter2d(a, b, dtype={depth}, delta=0.25, out=c)")
    out = np.empty_like(f.py_func(image, np.ones((3, 3))))
    same(into(image, np.ones((3, 3)), out), f.py_func(image, np.ones((3, 3))))


def test_dtypes() -> None:
    """Results are promoted, operand by operand."""
    f = compiled("fastconv.conv2d(a, b, c)")
    for dtypes in ("ddd", "fdf", "ffd"):
        arrays = [a.astype(d) for a, d in zip((X, W, B), dtypes, strict=True)]
        same(f(*arrays), f.py_func(*arrays))
        assert f(*arrays).dtype == np.float64


def test_one_channel() -> None:
    """Memory that lies either way: what Numba takes for C-contiguous is so."""
    x = normal(2, 9, 8, 1).transpose(0, 3, 1, 2)
    f = compiled("fastconv.conv2d(a, b) + np.float32(0)")
    np.testing.assert_array_equal(f(x, W[:, :1].copy()), f.py_func(x, W[:, :1].copy()))


def test_frozen_and_strided() -> None:
    x = X.copy()
    x.flags.writeable = False
    f = compiled("fastconv.conv2d(a, b)")
    same(f(x, W), fastconv.conv2d(X, W))
    same(f(X[:, :, ::-1, ::2], W), f.py_func(X[:, :, ::-1, ::2], W))
    same(f(np.asfortranarray(X), W), f.py_func(np.asfortranarray(X), W))


@numba.njit
def optional(x: Any, w: Any, b: Any, biased: bool, pad: Any = None, mode: Any = "zeros") -> Any:
    bias = b if biased else None
    return fastconv.conv2d(x, w, bias, padding=1 if pad is None else 2, padding_mode=mode)


def test_optional_values() -> None:
    """What is known only when it runs, and arguments that the caller omits."""
    for arguments in ((True,), (False,), (True, 1), (False, None, "reflect")):
        same(optional(X, W, B, *arguments), optional.py_func(X, W, B, *arguments))
    with pytest.raises(TypingError, match="bias must be float32 where it may be None"):
        optional(X, W, B.astype(float), True)


def test_out() -> None:
    f = compiled("fastconv.conv2d(a, b, out=c)")
    rows, pixels = np.zeros((2, 6, 7, 6), np.float32), np.zeros((2, 7, 6, 12), np.float32)
    for out in (rows, pixels[..., ::2].transpose(0, 3, 1, 2)):
        wanted = f.py_func(X, W, out).copy()
        out[...] = 0
        found = f(X, W, out)
        assert np.shares_memory(found, out)
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(out, wanted)
    with pytest.raises(ValueError, match="out must have shape"):
        f(X, W, np.zeros((2, 6, 7, 7), np.float32))
    with pytest.raises(TypingError, match="out must be an array of float32 with 4 axes"):
        f(X, W, np.zeros((2, 6, 7, 6)))


@pytest.mark.parametrize("call, words", [
    ("fastconv.conv2d(a, b.astype(np.int64))", "w must be an array of float32 or float64 with 4 axes, got array.int64"),
    ("fastconv.conv2d(a[0, 0], b)", "x must be an array of float32 or float64 with 3 or 4 axes"),
    ("fastconv.conv2d(3, b)", "x must be an array"),
    ("fastconv.conv2d(a, b, stride=1.0)", "stride must be an integer or .height, width., got float64"),
    ("fastconv.conv2d(a, b, stride=(1, 1, 1))", "stride must be"),
    ("fastconv.conv2d(a, b, padding=(1, (2, 2)))", "padding must be an integer"),
    ("fastconv.conv2d(a, b, groups=True)", "groups must be an integer, got bool"),
    ("fastconv.conv2d(a, b, activation=1)", "activation must be a string or None"),
    ("fastconv.conv2d(a, b, strides=1)", "unexpected keyword argument 'strides'"),
    ("fastconv.conv2d_grad_input(a, b, (1, 2))", "input_shape must be a tuple of 3 or 4 integers"),
    ("fastconv.max_pool2d(a, 2, return_indices=a[0, 0, 0, 0] > 0)", "return_indices must be True or False, written"),
    ("fastconv.avg_pool2d(a, '2')", "kernel_size must be"),
    ("fastconv.filter2d(a[0, 0], b[0, 0], dtype='int64')", "dtype must be np.uint8, np.uint16, .* or such a name"),
    ("fastconv.filter2d(a[0, 0], b[0, 0], dtype=np.complex64)", "dtype must be np.uint8"),
    ("fastconv.filter2d(a[0, 0], b[0, 0], dtype='gray')", "dtype must be np.uint8"),
    ("fastconv.filter2d(a[0, 0], b)", "kernel must be an array of real numbers with 2 axes"),
])  # fmt: skip
def test_refused_when_compiled(call: str, words: str) -> None:
    with pytest.raises(TypingError, match=words):
        compiled(call)(X, W)


@pytest.mark.parametrize("call", [
    "fastconv.conv2d(a, b[:, :3].copy())",
    "fastconv.conv2d(a, b, stride=0)",
    "fastconv.conv2d(a, b, dilation=9)",
    "fastconv.conv2d(a, b, groups=3)",
    "fastconv.conv2d(a, b, activation='ReLU')",
    "fastconv.conv2d(a, b, padding='all')",
    "fastconv.conv2d(a, b, stride=2, backend='winograd')",
    "fastconv.conv2d_grad_input(a, b, a.shape)",
    "fastconv.max_pool2d(a, 2, padding=2)",
    "fastconv.filter2d(a[0, 0], b[0, 0], mode='none')",
])  # fmt: skip
def test_refused_when_run(call: str) -> None:
    """The same exception with the same words."""
    f = compiled(call)
    with pytest.raises(ValueError) as wanted:
        f.py_func(X, W)
    with pytest.raises(ValueError) as found:
        f(X, W)
    assert (type(found.value), str(found.value)) == (type(wanted.value), str(wanted.value))


def test_errors_are_caught() -> None:
    """Also in compiled code, which goes on."""

    @numba.njit
    def f(x, w):
        try:
            fastconv.conv2d(x, w[:, :3].copy())  # Numba 0.68 forgets in a try block what keywords are for
        except Exception:
            return fastconv.conv2d(x, w)
        return x

    same(f(X, W), fastconv.conv2d(X, W))


def test_every_error_has_its_code() -> None:
    kinds = [*answers.ERRORS, ZeroDivisionError]

    @numba.njit
    def fail(code):
        overloads._fail(code, "words")

    for kind in kinds:
        code, text, result = answers._failure(kind("words"))
        wanted: Any = RuntimeError if kind is ZeroDivisionError else kind
        assert text.endswith("words") and result is None
        with pytest.raises(wanted, match="words"):
            fail(code)


@numba.njit(parallel=True)
def image_by_image(x: Any, w: Any, b: Any) -> Any:
    y = np.empty((len(x), len(w), x.shape[2] // 2, x.shape[3] // 2), x.dtype)
    for i in numba.prange(len(x)):
        y[i] = fastconv.max_pool2d(fastconv.conv2d(x[i], w, b, padding=1, activation="relu"), 2)
    return y


def test_prange() -> None:
    x = normal(40, 4, 12, 10)
    wanted = fastconv.max_pool2d(fastconv.conv2d(x, W, B, padding=1, activation="relu", backend="direct"), 2)
    for _ in range(3):
        np.testing.assert_allclose(image_by_image(x, W, B), wanted, atol=1e-4)
    one = [fastconv.max_pool2d(fastconv.conv2d(i, W, B, padding=1, activation="relu"), 2) for i in x]
    np.testing.assert_array_equal(image_by_image(x, W, B), one)


def test_threads_without_the_gil() -> None:
    f = compiled("fastconv.conv2d(a, b, padding=1)", nogil=True)
    images = [normal(1, 4, 10 + i % 7, 9) for i in range(60)]
    with ThreadPoolExecutor(4) as threads:
        for found, image in zip(threads.map(lambda x: f(x, W), images), images, strict=True):
            same(found, fastconv.conv2d(image, W, padding=1))
        wrong = [threads.submit(f, image, W[:, :3].copy()) for image in images]
        assert all("w has 3 channels" in str(one.exception()) for one in wrong)


def test_numba_steps() -> None:
    """Steps that are compiled by Numba too."""
    f = compiled("fastconv.conv2d(a, b, backend='naive/numba')")
    same(f(X, W), f.py_func(X, W))


def test_nothing_is_kept() -> None:
    """Neither results nor arguments outlive a call; but one that fails, after which Numba leaves all as it is."""
    indices = "fastconv.max_pool2d(a, 2, return_indices=True)[1]"
    f = compiled(f"fastconv.conv2d(a, b, c, activation='relu').sum() + {indices}.sum()")
    arrays = X.copy(), W.copy(), B.copy()

    def kept() -> tuple[Any, ...]:
        stats = rtsys.get_allocation_stats()
        return stats.alloc - stats.free, stats.mi_alloc - stats.mi_free

    def count(times: int) -> Any:
        for _ in range(times):
            f(*arrays)
        return kept(), [sys.getrefcount(a) for a in arrays]

    nrt.memsys_enable_stats()
    try:
        assert count(2) == count(50)
    finally:
        nrt.memsys_disable_stats()


CACHED = """
import sys
import fastconv, numba, numpy as np

@numba.njit(cache=True)
def one(x, w):
    return fastconv.conv2d(x, w, padding=1)

@numba.njit(cache=True, parallel=True)
def many(x, w):
    y = np.empty_like(x)
    for i in numba.prange(len(x)):
        y[i] = fastconv.conv2d(x[i], w, padding=1)
    return y

x, w = np.ones((8, 2, 5, 5), np.float32), np.ones((2, 2, 3, 3), np.float32)
wanted = fastconv.conv2d(x, w, padding=1)
assert (one(x, w) == wanted).all() and (many(x, w) == wanted).all()
try:
    one(x, w[:, :1].copy())
except ValueError as error:
    assert "w has 1 channels" in str(error), error
print(*(sum(f.stats.cache_hits.values()) for f in (one, many)))
"""


def test_entry_point_and_cache(tmp_path: Path) -> None:
    """Numba finds the calls by itself, and those of another process on disk."""
    file, path = tmp_path / "cached.py", child.with_entry_points(tmp_path)
    file.write_text(CACHED)
    settings = {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    found = [child.run(str(file), **settings).stdout.strip() for _ in range(2)]  # type: ignore[arg-type]
    assert found == ["0 0", "1 1"]


def test_entry_point_is_told() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    points = tomllib.loads(text)["project"]["entry-points"]["numba_extensions"]
    assert points == {"init": "fastconv.numba_extension:init"}


def test_what_is_on_disk_still_asks() -> None:
    """Texts as every version has written them into functions that are kept."""
    call, *dtypes = answers.caller("conv2d C x:float32 w:float32 padding:")
    code, text, result = call(X, W, 1)
    assert (code, text, dtypes) == (0, "", [np.dtype("f"), np.dtype("f"), None])
    same(result, fastconv.conv2d(X, W, padding=1))
    code, text, result = call(X, W, -1)
    assert code == 2 and "padding" in text and result is None


def test_every_argument_is_checked() -> None:
    for function in answers.FUNCTIONS.values():
        assert set(inspect.signature(function).parameters) <= set(overloads._WANTED)
