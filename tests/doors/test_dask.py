"""fastconv.dask: whatever the chunks, the numbers of the array in memory."""

import re
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv
from fastconv import ndimage
from tests import child

da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")
fd = pytest.importorskip("fastconv.dask")
blocks = pytest.importorskip("fastconv.dask.blocks")

MODES: Any = ["reflect", "mirror", "nearest", "wrap", "constant", "grid-wrap"]


def image(shape: tuple[int, ...], dtype: str = "float32") -> Any:
    return (np.random.default_rng(0).standard_normal(shape) * 60 + 90).astype(dtype)


def equal(name: str, x: Any, chunks: Any, *args: Any, exact: bool = True, **kwargs: Any) -> None:
    """Of the same dtype, shape and chunks as told, and number by number the result in memory."""
    module = fastconv if hasattr(fastconv, name) else ndimage
    want = getattr(module, name)(x, *args, **kwargs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "chunks smaller than their halo")
        lazy = getattr(fd, name)(da.from_array(x, chunks=chunks), *args, **kwargs)
    got = lazy.compute(scheduler="synchronous")
    assert (lazy.dtype, lazy.shape) == (want.dtype, want.shape) == (got.dtype, got.shape)
    tiles = [lazy.blocks[i].compute(scheduler="synchronous").shape for i in [(0,) * x.ndim, (-1,) * x.ndim]]
    assert tiles == [tuple(c[i] for c in lazy.chunks) for i in (0, -1)]
    if exact:
        np.testing.assert_array_equal(got, want)
    else:
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())


def cuts(size: int) -> Any:
    """Chunks of an axis: any, of at least one pixel."""
    inner = st.lists(st.integers(1, size - 1), unique=True, max_size=4) if size > 1 else st.just([])
    return inner.map(lambda at: tuple(np.diff([0, *sorted(at), size]).tolist()))


@settings(max_examples=60)
@given(
    cuts(41),
    cuts(37),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from(MODES),
    st.booleans(),
    st.sampled_from(["float32", "float64", "uint8", ">i2", "complex64"]),
    st.sampled_from([(), (3,)]),
)
def test_filter2d(
    rows: Any, cols: Any, kernel: Any, mode: str, flip: bool, dtype: str, channels: tuple[int, ...]
) -> None:
    w, cval = np.random.default_rng(1).standard_normal(kernel), 0.0 if dtype == "complex64" else 3.0
    chunks = rows, cols, *((1, 2) for _ in channels)
    equal("filter2d", image((41, 37, *channels), dtype), chunks, w, mode=mode, cval=cval, flip=flip, method="direct")


@pytest.mark.parametrize("shape", [(31, 31), (24, 17)])
def test_large_kernels(shape: tuple[int, int]) -> None:
    """By transforms within rounding, separable ones to the last bit."""
    x, column = image((130, 110)), np.hanning(shape[0] + 2)[1:-1]
    equal("filter2d", x, (50, 40), np.outer(column, np.arange(shape[1]) + 1.0))
    equal("filter2d", x, (50, 40), np.random.default_rng(2).random(shape), exact=False)


CALLS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "correlate1d": [(([1, 2, 3, 4],), {"axis": 0, "origin": -1}), (([1, 2, 5],), {"output": "float64"})],
    "convolve1d": [(([1, 2, 3, 4],), {"axis": 0, "origin": 1}), (([1, 2, 5],), {})],
    "correlate": [((np.arange(12.0).reshape(3, 4),), {"origin": (1, -2)}), ((np.arange(1.0, 11).reshape(2, 5),), {})],
    "convolve": [((np.arange(12.0).reshape(3, 4),), {"origin": (1, -2)}), ((np.arange(1.0, 11).reshape(2, 5),), {})],
    "gaussian_filter": [((1.5,), {}), (((2, 0.7), (1, 2)), {"truncate": 3.0}), ((1,), {"radius": 5, "axes": (1,)})],
    "sobel": [((), {}), ((0,), {})],
    "prewitt": [((), {}), ((0,), {})],
    "laplace": [((), {}), ((), {"axes": (0,)})],
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int32"])
@pytest.mark.parametrize("name", CALLS)
def test_ndimage(name: str, dtype: str) -> None:
    x = image((60, 47), dtype)
    for args, kwargs in CALLS[name]:
        for mode in MODES:
            equal(name, x, (22, (15, 15, 17)), *args, mode=mode, cval=2.0, **kwargs)


def test_modes_of_their_own() -> None:
    x = image((40, 44))
    equal("gaussian_filter", x, (14, 15), 1.0, mode=("wrap", "constant"))
    equal("sobel", x, (14, 15), 0, mode=("reflect", "wrap"))


@pytest.mark.parametrize("mode", MODES)
def test_running_means(mode: str) -> None:
    """Sums of integers are exact; those of floats go on from the start of a block, not of the image."""
    equal("uniform_filter", image((60, 47), "int16"), (22, 24), (5, 4), mode=mode, origin=(1, -1))
    equal("uniform_filter", image((60, 47)), (22, 24), 5, mode=mode, exact=False)


numbers = st.tuples(st.integers(1, 4), st.integers(1, 4))


@settings(max_examples=80)
@given(
    cuts(33),
    cuts(29),
    numbers,
    numbers,
    numbers,
    st.sampled_from([0, 2, (1, 3), ((2, 0), (0, 3)), "same", "full"]),
    st.sampled_from(["zeros", "reflect", "symmetric", "replicate", "circular"]),
    st.sampled_from(["NCHW", "NHWC"]),
)
def test_conv2d(
    rows: Any, cols: Any, k: Any, stride: Any, dilation: Any, padding: Any, padding_mode: Any, layout: Any
) -> None:
    x, w = image((2, 4, 33, 29)), np.random.default_rng(3).standard_normal((6, 2, *k), dtype=np.float32)
    if k == (1, 1):  # blocks of four pixels and fewer are summed in another order: whole numbers, whose sums are exact
        x, w = np.rint(4 * x), np.rint(4 * w)
    chunks: Any = (1, (3, 1), rows, cols)
    if layout == "NHWC":
        x, chunks = x.transpose(0, 2, 3, 1), (1, rows, cols, (3, 1))
    equal(
        "conv2d", x, chunks, w, np.ones(6, np.float32), stride=stride, padding=padding, dilation=dilation, groups=2,
        padding_mode=padding_mode, layout=layout, activation="tanh", backend="direct",
    )  # fmt: skip


def test_conv2d_of_one_image_and_chosen_backend() -> None:
    w = np.random.default_rng(3).standard_normal((8, 4, 3, 3), dtype=np.float32)
    equal("conv2d", image((4, 64, 60)), (2, 20, 31), w, padding=1, exact=False)


@settings(max_examples=80)
@given(
    cuts(33), cuts(29), numbers, st.none() | numbers, st.tuples(st.integers(0, 3), st.integers(0, 3)), numbers,
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_pooling(rows: Any, cols: Any, k: Any, stride: Any, pad: Any, dilation: Any, ceil: bool, count: bool) -> None:
    x = image((1, 3, 33, 29))
    spans = tuple(d * (n - 1) for n, d in zip(k, dilation, strict=True))
    chunks = (1, 2, rows, cols)
    padding = tuple(min(p, s) for p, s in zip(pad, spans, strict=True))
    equal("max_pool2d", x, chunks, k, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil)
    padding = tuple(min(p, n - 1) for p, n in zip(pad, k, strict=True))
    equal("avg_pool2d", x, chunks, k, stride=stride, padding=padding, ceil_mode=ceil, count_include_pad=count)


def test_small_chunks_are_merged_with_one_warning() -> None:
    x = da.from_array(image((64, 64)), chunks=(4, 3))
    with pytest.warns(UserWarning, match=r"1 pixels along axis 1 \(at least 5") as caught:
        y = fd.filter2d(x, np.ones((9, 9)))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert min(min(c) for c in y.chunks) >= 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fd.filter2d(x.rechunk((16, 16)), np.ones((9, 9)))
        fd.filter2d(x, np.ones((1, 1)))


@pytest.mark.parametrize(
    "error, message, call",
    [
        (TypeError, "image must be a dask array, got ndarray", lambda x: fd.filter2d(np.ones((3, 3)), np.ones((3, 3)))),
        (TypeError, "image must hold numbers", lambda x: fd.filter2d(x.astype(object), np.ones((3, 3)))),
        (TypeError, "input must hold numbers", lambda x: fd.sobel(da.ma.masked_greater(x, 1))),
        (TypeError, "image must be bool", lambda x: fd.filter2d(x.astype(int), np.ones((3, 3)))),
        (ValueError, "image must have known chunk sizes", lambda x: fd.filter2d(x[x[:, 0] > 0], np.ones((3, 3)))),
        (ValueError, "image must have shape", lambda x: fd.filter2d(x[0], np.ones((3, 3)))),
        (ValueError, "kernel must have shape", lambda x: fd.filter2d(x, np.ones(3))),
        (ValueError, "mode must be one of", lambda x: fd.filter2d(x, np.ones((3, 3)), mode="odd")),
        (TypeError, "out", lambda x: fd.filter2d(x, np.ones((3, 3)), out=np.ones((9, 9)))),
        (TypeError, "output must be a dtype", lambda x: fd.laplace(x, np.ones((9, 9)))),
        (ValueError, "input must have 2 axes", lambda x: fd.gaussian_filter(x[None], 1.0)),
        (ValueError, "channels, got 9", lambda x: fd.conv2d(x[:, None, None], np.ones((1, 2, 3, 3)), layout="NHWC")),
        (ValueError, "stride", lambda x: fd.conv2d(x[None], np.ones((1, 1, 3, 3)), stride=0)),
        (ValueError, "x must have shape", lambda x: fd.max_pool2d(x, 2)),
        (ValueError, "padding must be below", lambda x: fd.avg_pool2d(x[None], 2, padding=2)),
    ],
)  # fmt: skip
def test_bad_input(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call(da.from_array(np.ones((9, 9), np.float32), chunks=5))


def test_read_only_blocks_and_inputs() -> None:
    x = image((40, 40))
    x.flags.writeable = False
    before, w = x.copy(), np.random.default_rng(1).standard_normal((5, 5))
    lazy = da.from_array(x, chunks=15, asarray=False)
    np.testing.assert_array_equal(fd.filter2d(lazy, w), fastconv.filter2d(x, w))
    np.testing.assert_array_equal(x, before)


def test_large_weights_are_an_argument_of_their_own() -> None:
    x, w = image((2, 24, 24)), np.random.default_rng(1).standard_normal((16, 2, 96, 96)).astype(np.float32)
    assert w.nbytes > blocks._LARGE
    lazy = fd.conv2d(da.from_array(x, chunks=(1, 24, 24)), w, padding=50, backend="im2col")
    assert sum(k.startswith("ndarray") for k in map(str, lazy.__dask_graph__())) == 1
    np.testing.assert_allclose(lazy.compute(), fastconv.conv2d(x, w, padding=50), rtol=0, atol=0.2)


@pytest.mark.parametrize("lock", [False, True])
def test_stored_arrays_are_read_with_their_halos(tmp_path: Any, lock: bool) -> None:
    """A block at a time, each by one read; with a lock, which is Dask's to take, and across a wrap by its exchange."""
    x = np.memmap(tmp_path / "x", "float32", "w+", shape=(60, 50))
    x[:] = image((60, 50))
    lazy, w = da.from_array(x, chunks=(16, 20), lock=lock), np.random.default_rng(1).standard_normal((4, 5))
    for mode in MODES:
        y = fd.filter2d(lazy, w, mode=mode)
        assert (lazy.name in y.dask.layers) == (lock or "wrap" in mode)
        np.testing.assert_array_equal(y, fastconv.filter2d(x, w, mode=mode))
    kernel, planes = np.ones((2, 1, 3, 4), np.float32), lazy[None]
    y = fd.conv2d(planes, kernel, stride=2, padding=1, backend="direct")
    np.testing.assert_array_equal(y, fastconv.conv2d(x[None], kernel, stride=2, padding=1, backend="direct"))


def threads_of(block: Any, places: Any, axes: Any) -> Any:
    return np.full(block.shape, fastconv.get_num_threads())


@pytest.mark.parametrize("scheduler, want", [("threads", 1), ("synchronous", 3)])
def test_threads(scheduler: str, want: int) -> None:
    fastconv.set_num_threads(3)
    for n, expected in ((None, want), (2, 2)):
        with dask.config.set({"fastconv.num-threads": n}):
            lazy = blocks._overlapping(threads_of, da.ones((8, 8), chunks=4), {}, None, np.ones((1, 1), int))
        assert np.unique(lazy.compute(scheduler=scheduler)).tolist() == [expected]
    with dask.config.set({"fastconv.num-threads": 0}), pytest.raises(ValueError, match="num-threads"):
        fd.sobel(da.ones((8, 8), chunks=4))


KILLED = """
import os, signal, sys
import dask.array as da, numpy as np
import fastconv, fastconv.dask
from distributed import Client, LocalCluster

def shot(block, mark):  # the first task to come here takes its worker along
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return block
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    x, w = np.random.default_rng(0).standard_normal((96, 96)), np.arange(12.0).reshape(3, 4)
    with LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        lazy = da.from_array(x, chunks=32).map_blocks(shot, mark=sys.argv[1], meta=x[:0])
        y = fastconv.dask.filter2d(lazy, w).compute()
    assert os.path.exists(sys.argv[1])
    print(np.array_equal(y, fastconv.filter2d(x, w)))
"""


def test_a_worker_dies(tmp_path: Any) -> None:
    pytest.importorskip("distributed")
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    root = str(child.ROOT)
    assert re.search("^True$", child.run(str(script), str(tmp_path / "mark"), PYTHONPATH=root).stdout, re.MULTILINE)


def test_depth_anchor_delta_and_holes() -> None:
    """The options of `filter2d` that need nothing of the image's shape."""
    x = np.random.default_rng(4).random((31, 40)).astype(np.float32)
    x[5:7, 9:12] = np.nan
    kernel = np.random.default_rng(5).random((4, 3))
    lazy = da.from_array(x, chunks=(11, 14))
    for flip in (False, True):
        options: dict[str, Any] = dict(
            anchor=(0, 2), dtype="float64", delta=0.5, nan="ignore", flip=flip, method="direct"
        )
        got = fd.filter2d(lazy, kernel, **options)
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got.compute(), fastconv.filter2d(x, kernel, **options))


@pytest.mark.parametrize("mode", ["reflect", "wrap", "constant"])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_weights_of_pixels(mode: Any, channels: tuple[int, ...]) -> None:
    """Dask or NumPy, of every channel or of all, cut otherwise than the image; with holes besides."""
    rng = np.random.default_rng(6)
    x, kernel = rng.random((31, 40, *channels)), rng.random((4, 3))
    x[5:7, 9:12] = np.nan
    lazy = da.from_array(x, chunks=(11, 14, 2)[: x.ndim])
    for shape in {x.shape, x.shape[:2]}:
        w = rng.random(shape) * (rng.random(shape) > 0.4)
        options: dict[str, Any] = dict(mode=mode, cval=2.0, nan="ignore", method="direct")
        want = fastconv.filter2d(x, kernel, weights=w, **options)
        for weights in (w, da.from_array(w, chunks=(9, 40, 1)[: w.ndim])):
            got = fd.filter2d(lazy, kernel, weights=weights, **options)
            assert got.dtype == want.dtype and got.shape == want.shape
            np.testing.assert_array_equal(got.compute(), want)


def test_wrong_weights() -> None:
    x, w = da.ones((12, 12), chunks=5), np.ones((12, 12))
    with pytest.raises(ValueError, match="weights must have shape"):
        fd.filter2d(x, np.ones((3, 3)), weights=w[1:])
    with pytest.raises(TypeError, match="weights must hold real numbers"):
        fd.filter2d(x, np.ones((3, 3)), weights=w + 1j)
    with pytest.raises(ValueError, match="kernel must not sum to zero"):
        fd.filter2d(x, np.array([[1.0, -1.0]]), weights=w)
    with pytest.raises(ValueError, match="weights must be finite and at least 0"):  # once they are known
        fd.filter2d(x, np.ones((3, 3)), weights=da.from_array(-w)).compute()
