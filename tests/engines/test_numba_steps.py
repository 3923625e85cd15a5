"""The steps of the Numba engine against NumPy, and what launches them: cache on disk, threads, forks."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import get_num_threads, set_num_threads
from numba.core.errors import TypingError
from numba.np.ufunc.parallel import get_thread_count

from fastconv.engines import loader, records
from fastconv.engines import numba_ as engine
from fastconv.engines.numba_.ground import launch
from fastconv.engines.numba_.ground.launch import step
from fastconv.engines.records import ConvGeometry, pack
from tests import child, oracle

THREADS = pytest.mark.parametrize("threads", [1, 2])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
RANDOM = np.random.default_rng(0)

# (n, ci, h, w), (co, kh, kw), stride, padding ((top, bottom), (left, right)), dilation, groups
PROBLEMS = [
    ((2, 4, 9, 37), (6, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((1, 3, 12, 70), (2, 2, 5), (2, 2), ((0, 3), (2, 1)), (1, 1), 1),
    ((2, 4, 11, 13), (6, 3, 2), (3, 1), ((2, 0), (0, 4)), (2, 3), 2),
    ((1, 2, 5, 66), (2, 1, 3), (1, 2), ((0, 0), (2, 2)), (1, 2), 2),
    ((3, 1, 1, 1), (1, 3, 3), (2, 3), ((5, 4), (4, 6)), (1, 1), 1),
    ((1, 2, 4, 4), (3, 4, 4), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
]


def integers(shape, dtype):
    """Small enough that every sum is exact in float32."""
    return RANDOM.integers(-8, 9, shape).astype(dtype)


def setting(problem, dtype):
    """x, w, dy of a problem, its geometry for the oracle, and the record that a step takes."""
    (n, ci, h, wd), (co, kh, kw), stride, padding, dilation, g = problem
    geo = oracle.Geometry(stride, padding, dilation, g)
    oh, ow = oracle.out_size((h, wd), (kh, kw), geo)
    x, w, dy = (integers(shape, dtype) for shape in ((n, ci, h, wd), (co, ci // g, kh, kw), (n, co, oh, ow)))
    return x, w, dy, geo, pack(ConvGeometry(kh, kw, ow, *stride, padding[0][0], padding[1][0], *dilation, g))


def blank(shape, dtype):
    return np.full(shape, np.nan, dtype)


@THREADS
@DTYPES
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_naive(problem, dtype, threads):
    x, w, dy, geo, numbers = setting(problem, dtype)
    y, dx, dw = blank(dy.shape, dtype), blank(x.shape, dtype), blank(w.shape, dtype)
    engine.naive_forward(x, w, y, numbers, threads)
    engine.naive_grad_input(dy, w, dx, numbers, threads)
    engine.naive_grad_weight(dy, x, dw, numbers, threads)
    np.testing.assert_array_equal(y, oracle.forward(x, w, geo=geo))
    np.testing.assert_array_equal(dx, oracle.grad_input(dy, w, x.shape[2:], geo))
    np.testing.assert_array_equal(dw, oracle.grad_weight(dy, x, w.shape[2:], geo))


def test_naive_sums_are_float64():
    """1e8 + 1 - 1e8 is 1, and a product is not rounded before it is added; in float32 neither is so."""
    big = np.float32(1e8)
    x, ones = np.array([big, 1, -big], np.float32).reshape(1, 1, 1, 3), np.ones((1, 1, 1, 3), np.float32)
    out = blank((1, 1, 1, 1), np.float32)
    numbers = pack(ConvGeometry(1, 3, 1, 1, 1, 0, 0, 1, 1, 1))
    engine.naive_forward(x, ones, out, numbers, 1)
    assert out.item() == 1
    engine.naive_grad_weight(ones, x, out, numbers, 1)
    assert out.item() == 1
    channels = x.reshape(1, 3, 1, 1)
    engine.naive_grad_input(channels, ones.reshape(3, 1, 1, 1), out, numbers, 1)
    assert out.item() == 1
    near = np.float32(1 + 2**-12)  # its square needs 25 bits
    x = np.array([near, -1, -(2.0**-11)], np.float32).reshape(1, 1, 1, 3)
    engine.naive_forward(x, np.array([near, 1, 1], np.float32).reshape(1, 1, 1, 3), out, numbers, 1)
    assert out.item() == 2.0**-24


def im2col(x, kernel, geo):
    """The whole matrix of every image, (N, Ci*KH*KW, OH*OW)."""
    xp = oracle.pad(x, geo.padding, "zeros")
    oh, ow = oracle.out_size(x.shape[2:], kernel, geo)
    (sh, sw), (dh, dw) = geo.stride, geo.dilation
    rows = [
        xp[:, c, a * dh :: sh, b * dw :: sw][:, :oh, :ow].reshape(len(x), -1)
        for c in range(x.shape[1])
        for a in range(kernel[0])
        for b in range(kernel[1])
    ]
    return np.stack(rows, 1)


def panels(n, pixels):
    """(first image, images, first pixel, pixels): all at once, and ranges that begin and end inside rows."""
    yield 0, n, 0, pixels
    yield n - 1, 1, pixels // 3, pixels - pixels // 3
    yield 0, 1, pixels // 2, 1
    yield 0, n, 1 % pixels, max(1, pixels * 2 // 3 - 1)


@THREADS
@DTYPES
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_im2col_and_its_adjoint(problem, dtype, threads):
    x, w, _, geo, numbers = setting(problem, dtype)
    kernel = w.shape[2:]
    whole = im2col(x, kernel, geo)
    for n0, nb, p0, size in panels(len(x), whole.shape[2]):
        col = blank((nb, whole.shape[1], size), dtype)
        engine.im2col_pack(x, col, numbers, n0, p0, threads)
        np.testing.assert_array_equal(col, whole[n0 : n0 + nb, :, p0 : p0 + size], err_msg=f"panel {n0, nb, p0, size}")

        col, dx = integers(col.shape, dtype), integers(x.shape, dtype)
        part = np.zeros(whole.shape)
        part[n0 : n0 + nb, :, p0 : p0 + size] = col
        want = dx + adjoint(part, x.shape, kernel, geo)
        engine.col2im_add(col, dx, numbers, n0, p0, threads)
        np.testing.assert_array_equal(dx, want, err_msg=f"panel {n0, nb, p0, size}")


def adjoint(matrix, shape, kernel, geo):
    """The transpose of `im2col`: where a numbered image shows up in its matrix, that much comes back."""
    source = im2col(np.arange(1, np.prod(shape) + 1).reshape(shape), kernel, geo).astype(int)
    return np.bincount(source.ravel(), matrix.ravel(), np.prod(shape) + 1)[1:].reshape(shape)


def test_offsets_beyond_32_bits():
    """A panel far down a tall image: nothing about it fits in 32 bits. Untouched memory costs nothing."""
    height = 2**31 // 1024 + 8
    x = np.zeros((1, 1, height, 1024), np.float32)
    x[0, 0, -1] = np.arange(1024)
    col = blank((1, 1, 1024), np.float32)
    engine.im2col_pack(x, col, pack(ConvGeometry(1, 1, 1024, 1, 1, 0, 0, 1, 1, 1)), 0, (height - 1) * 1024, 1)
    np.testing.assert_array_equal(col[0, 0], x[0, 0, -1])


# ---- launch ----


@step("y")
def number_shares(x, y, share, shares):
    for i in range(y.size * share // shares, y.size * (share + 1) // shares):
        y[i] += x[0] * (shares * 100 + share)


@step("y")
def writes_to_an_input(x, y, share, shares):
    x[0] = 1


def count_threads(x, y, share, shares):
    y[share] = x[0] * get_num_threads()


@pytest.mark.filterwarnings("ignore:Cannot cache")  # a step that asks for the number of threads, which none does
def test_threads_are_used_and_put_back(monkeypatch):
    """On Numba's own, where nothing is compiled."""
    monkeypatch.setattr(launch, "_POOL", 0)
    x, before = np.ones(1), get_num_threads()
    count = step("y")(count_threads)
    try:
        for mine in {1, before}:
            set_num_threads(mine)
            for threads in (2, 1, 40):
                y = np.zeros(threads)
                count(x, y, threads)
                assert (y == (mine if threads == 1 else min(threads, get_thread_count()))).all()
                assert get_num_threads() == mine
    finally:
        set_num_threads(before)


@DTYPES
@pytest.mark.parametrize("threads", [1, 2, 3, 40])
def test_every_share_runs_once(dtype, threads):
    """Whatever the number of threads that there are, the work is split into as many shares as were asked for."""
    x, y = np.ones(1, dtype), np.zeros(40, dtype)
    number_shares(x, y, threads)
    ends = 40 * np.arange(threads + 1) // threads
    np.testing.assert_array_equal(y, threads * 100 + np.arange(threads).repeat(np.diff(ends)))


@THREADS
def test_inputs_are_read_only(threads):
    """A step takes read-only inputs, without compiling again, and cannot be written that changes one."""
    x, y = np.ones(1), np.zeros(4)
    number_shares(x, y, threads)
    compiled = len(number_shares._compiled)
    x.flags.writeable = False
    number_shares(x, y, threads)
    assert len(number_shares._compiled) == compiled
    with pytest.raises(TypingError, match="readonly"):
        writes_to_an_input(x, y, threads)
    with pytest.raises(TypeError, match="No matching definition"):
        number_shares(x, np.zeros(8)[::2], threads)


SAFETY = """
import os, sys, threading
import numba, numpy as np
from fastconv.engines import numba_ as engine
from fastconv.engines import loader
from fastconv.engines.numba_.ground import launch
from fastconv.engines.records import ConvGeometry, pack

layer = sys.argv[2]
if layer == "pool":
    assert launch._POOL
launch._POOL = launch._POOL if layer == "pool" else 0
rng = np.random.default_rng(0)
x, w = rng.integers(-9, 9, (2, 3, 40, 40)).astype(np.float64), rng.integers(-9, 9, (4, 3, 3, 3)).astype(np.float64)
def once(threads):
    y = np.full((2, 4, 38, 38), np.nan)
    engine.naive_forward(x, w, y, pack(ConvGeometry(1, 1, 1, 1, 1, 0, 0, 1, 1, 1)), threads)
    return y
want = once(1)

def check(rounds=1):
    for _ in range(rounds):
        assert (once(2) == want).all()
check()
print(layer if layer == 'pool' else numba.threading_layer())

def many(rounds):
    failed = []
    def run():
        try:
            check(rounds)
        except BaseException as error:
            failed.append(error)
    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads: t.start()
    return threads, failed

if sys.argv[1] == "fork":
    for _ in range(5):
        threads, failed = many(40)
        pid = os.fork()
        if pid == 0:
            check(2)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        for t in threads: t.join()
        assert not failed
elif sys.argv[1] == "threads":
    threads, failed = many(100)
    for t in threads: t.join()
    assert not failed, failed
else:
    @numba.njit(parallel=True)
    def outer(n):
        for i in numba.prange(n):
            with numba.objmode():
                check()
    outer(8)
check()
print("good")
"""


@pytest.mark.parametrize("what", ["fork", "threads", "nested"])
@pytest.mark.parametrize("layer", ["pool", "omp", "workqueue"])
def test_parallel_hazards(layer, what):
    """A fork while threads compute, many threads that launch at once, a launch inside a parallel region."""
    code = SAFETY
    if layer == "omp" and child.run("-c", "import numba.np.ufunc.omppool", check=False).returncode:
        pytest.skip("Numba has no OpenMP layer here")
    if layer == "pool" and loader.absent("cython"):
        pytest.skip("the pool is not compiled")
    environment = {"NUMBA_NUM_THREADS": "3"} | ({} if layer == "pool" else {"NUMBA_THREADING_LAYER": layer})
    assert child.run_code(code, what, layer, **environment).split() == [layer, "good"]


# ---- the cache on disk, on a copy of the engine ----

STEPS = """
from copied.ground.launch import step
from copied.ground import vector as v

def make(k):
    @step("y")
    def scale(x, y, share, shares):
        L = v.lanes(y)
        n = y.size // L
        for i in range(n * share // shares, n * (share + 1) // shares):
            v.store(y, i * L, v.load(x, i * L) * v.splat(y.dtype.type(k)))
    return scale
"""
USE = """
import numpy as np
from steps import make
hits, x = [], np.arange(64.0)
for k in (2, 3):
    for dtype in (np.float32, np.float64):
        for threads in (1, 2):
            scale, y = make(k), np.zeros(64, dtype)
            scale(x.astype(dtype), y, threads)
            assert (y == k * x).all(), (k, dtype, threads)
            found = [run[0] if threaded else run for (_, threaded), run in scale._compiled.items()]
            hits += [sum(run.stats.cache_hits.values()) for run in found]
print(sum(hits), len(hits))
"""


@pytest.fixture
def copy(tmp_path):
    """A folder with the engine and some steps in it; a call is a fresh process that answers how many were cached."""
    shutil.copytree(Path(engine.__file__).parent, tmp_path / "copied", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(Path(records.__file__).parent, tmp_path / "records")
    (tmp_path / "copied/__init__.py").write_text("from .ground import target")
    (tmp_path / "steps.py").write_text(STEPS)

    def use(**environment: Any) -> Any:
        out = child.run_code(USE, PYTHONPATH=str(tmp_path), NUMBA_CACHE_DIR="", **environment)
        return tuple(map(int, out.split()))

    vars(use)["folder"] = tmp_path
    return use


def test_cache_across_processes(copy):
    """Numbers in a closure and dtypes are told apart, the same code is found again; any source of the engine counts."""
    assert copy() == (6, 12)
    assert copy() == (12, 12)
    with (copy.folder / "copied/ground/emit.py").open("a") as source:
        source.write("# changed\n")
    assert copy() == (6, 12)
    assert copy() == (12, 12)


def test_cache_is_never_trusted(copy):
    """Damaged files, and files under each other's names as two processes may leave them: compiled anew."""
    assert copy() == (6, 12)
    files = sorted((copy.folder / "__pycache__").glob("*.nbc"))
    contents = [f.read_bytes() for f in files]
    assert len(files) == 4  # what starts them lies elsewhere and is intact
    for file, text in zip(files, contents[1:] + contents[:1], strict=True):
        file.write_bytes(text)
    assert copy() == (8, 12)
    for file in copy.folder.glob("__pycache__/*.nb*"):
        file.write_bytes(file.read_bytes()[:100])
    assert copy() == (8, 12)
    assert copy() == (12, 12)


def test_nowhere_to_cache(copy):
    """No folder can be written: everything still works."""
    for name in ("__pycache__", "copied/ground/__pycache__", "home"):
        shutil.rmtree(copy.folder / name, ignore_errors=True)
        (copy.folder / name).write_text("a file, where a folder would have to be")
    home = str(copy.folder / "home")
    assert copy(HOME=home, XDG_CACHE_HOME=home) == (0, 12)
