"""The vector type of the Numba engine, operation by operation, against NumPy."""

import re

import numpy as np
import pytest
from numba import njit, prange
from numba.core.errors import TypingError

from fastconv.engines.numba_.ground import target
from fastconv.engines.numba_.ground import vector as v
from fastconv.engines.numba_.ground.probe import fma_probe
from tests import child

WIDTHS = [("float32", None), ("float64", None), ("float32", 4), ("float64", 2)]
CASES = pytest.mark.parametrize(("dtype", "lanes"), WIDTHS)
OTHER = 37  # an offset that is no multiple of any width
INPUTS = np.random.default_rng(0)


def width(dtype, lanes):
    return lanes or target.VECTOR_BYTES // np.dtype(dtype).itemsize


def numbers(dtype, n=2000):
    return INPUTS.integers(-50, 50, n).astype(dtype)


def arithmetic(lanes):
    @njit(fastmath={"contract"})
    def kernel(x, y, out, n):
        a, b, c = v.load(x, 0, lanes), v.load(y, 0, lanes), v.load(x, OTHER, lanes)
        v.store(out, 0, a + b)
        v.store(out, n, a - b)
        v.store(out, 2 * n, a * b)
        v.store(out, 3 * n, -a)
        v.store(out, 4 * n, v.fma(a, b, c))
        v.store(out, 5 * n, v.even(a, b))
        v.store(out, 6 * n, v.odd(a, b))
        v.store(out, 7 * n, v.zip_low(a, b))
        v.store(out, 8 * n, v.zip_high(a, b))
        v.store(out, 9 * n, v.splat(v.lane_sum(a), lanes))
        v.store(out, 10 * n, v.splat_at(x, OTHER, lanes))
        v.store(out, 11 * n, v.zero(x, lanes))
        a += b
        a -= c
        a *= b
        v.store(out, 12 * n, a + v.load(x, 0, lanes))
        for k in range(n):
            v.put(out, 13 * n + k, v.at(y, OTHER + k))

    return kernel


def expected(x, y, n):
    a, b, c = x[:n], y[:n], x[OTHER : OTHER + n]
    zipped = np.stack([a, b], 1).ravel()
    both = np.concatenate([a, b])
    return np.concatenate([
        a + b, a - b, a * b, -a, a * b + c, both[::2], both[1::2],
        zipped[:n], zipped[n:], np.full(n, a.sum()), np.full(n, x[OTHER]), np.zeros(n), (a + b - c) * b + a,
        y[OTHER : OTHER + n],
    ])  # fmt: skip


@CASES
def test_arithmetic(dtype, lanes):
    """Small integers, so that every result is exact."""
    n, kernel = width(dtype, lanes), arithmetic(lanes)
    x, y = numbers(dtype), numbers(dtype)
    out = np.full(14 * n + 1, np.nan, dtype)
    kernel(x, y, out, n)
    np.testing.assert_array_equal(out[:-1].reshape(14, n), expected(x, y, n).reshape(14, n))
    assert np.isnan(out[-1]), "wrote behind the last vector"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_not_finite_values_propagate(dtype):
    """No licence to assume that there is no NaN or Inf: x - x, 0 * x and -0 stay what IEEE 754 says."""

    @njit(fastmath={"contract"})
    def kernel(x, y, out, n):
        a, b = v.load(x, 0), v.load(y, 0)
        v.store(out, 0, a - a)
        v.store(out, n, v.zero(x) * a)
        v.store(out, 2 * n, v.fma(a, b, a))
        v.store(out, 3 * n, v.splat(v.lane_sum(a)))

    n = width(dtype, None)
    x, y = np.resize([np.nan, np.inf, -np.inf, 1], n).astype(dtype), np.resize([1, 2, 0, np.nan, -1], n).astype(dtype)
    out = np.empty(4 * n, dtype)
    kernel(x, y, out, n)
    with np.errstate(invalid="ignore"):
        want = [x - x, 0 * x, x * y + x, np.full(n, x.sum())]
    np.testing.assert_array_equal(out.reshape(4, n), want)


@CASES
def test_partial_access(dtype, lanes):
    """Exactly n lanes are read and written, for n from below zero to beyond the width."""

    @njit
    def kernel(x, out, i, n):
        v.store_part(out, i, v.load_part(x, i, n, lanes), n)

    @njit
    def load(x, out, i, n):
        v.store(out, i, v.load_part(x, i, n, lanes))

    w, x = width(dtype, lanes), numbers(dtype) + 100  # nothing is zero
    for n in [-(2**40), -1, *range(w + 1), w + 1, 2**40 + 3]:
        kept = min(max(n, 0), w)
        out, want = np.full(100, np.nan, dtype), np.full(100, np.nan, dtype)
        kernel(x, out, OTHER, n)
        want[OTHER : OTHER + kept] = x[OTHER : OTHER + kept]
        np.testing.assert_array_equal(out, want, err_msg=f"n = {n}")
        load(x, out, OTHER, n)
        want[OTHER : OTHER + w] = np.where(np.arange(w) < kept, x[OTHER : OTHER + w], 0)
        np.testing.assert_array_equal(out, want, err_msg=f"n = {n}")


@CASES
def test_transpose_of_blocks(dtype, lanes):
    """A block changes its layout, whole or in part; what lies beside the block keeps its values."""

    @njit
    def kernel(x, i, ldx, out, o, ldo, rows, n):
        v.store_rows(out, o, ldo, v.transpose(v.load_rows(x, i, ldx, rows, n, lanes)), n, rows)

    w, x = width(dtype, lanes), numbers(dtype)
    for rows, n in [(w, w), (1, w), (w, 1), (w - 1, w // 2), (0, w), (w, 0), (w + 5, w + 5)]:
        out, want = np.full(2000, np.nan, dtype), np.full(2000, np.nan, dtype)
        kernel(x, 5, 41, out, 3, 43, rows, n)
        for r in range(min(rows, w)):
            for c in range(min(n, w)):
                want[3 + 43 * c + r] = x[5 + 41 * r + c]
        np.testing.assert_array_equal(out, want, err_msg=f"{rows} rows of {n}")


def test_loop_in_parallel():
    """Vectors are accumulators of a loop, stores are not dead code, and a prefetch of any address is harmless."""

    @njit(parallel=True, fastmath={"contract"})
    def sums(x, out):
        for row in prange(x.shape[0]):
            total = v.zero(x)
            for j in range(0, x.shape[1], v.lanes(x)):
                i = row * x.shape[1] + j
                v.prefetch(x, i + 10**12)
                v.prefetch_write(x, -(10**12))
                total += v.load_part(x, i, x.shape[1] - j)
            out[row] = v.lane_sum(total)

    x = numbers("float32", 700).reshape(7, 100)
    out = np.empty(7, np.float32)
    sums(x, out)
    np.testing.assert_array_equal(out, x.sum(1))


@njit
def bad_dtype(x):
    v.load(x, 0)


@njit
def bad_lanes(x):
    v.load(x, 0, x.size)


@njit
def bad_store(x):
    v.store(x, 0, v.load(x, 0))


@njit
def bad_mix(x):
    v.load(x, 0, 4) + v.load(x, 0, 8)


@njit
def bad_fma(x):
    v.fma(v.load(x, 0, 4), v.load(x, 0, 8), v.load(x, 0, 4))


def read_only(a):
    a.flags.writeable = False
    return a


@pytest.mark.parametrize(
    ("kernel", "array", "message"),
    [
        (bad_dtype, np.zeros(99, np.int32), "vectors hold float32 or float64"),
        (bad_dtype, np.zeros(99, np.float32)[::2], "vectors hold float32 or float64"),
        (bad_lanes, np.zeros(99, np.float32), "lanes must be an integer literal"),
        (bad_store, read_only(np.zeros(99, np.float32)), "cannot store"),
        (bad_mix, np.zeros(99, np.float32), "No implementation of function Function"),
        (bad_fma, np.zeros(99, np.float32), "fma needs vectors of one type"),
    ],
)
def test_refused_types(kernel, array, message):
    with pytest.raises(TypingError, match=re.escape(message)):
        kernel(array)


@pytest.mark.parametrize("threads", [1, 2])
def test_fma_probe_counts_what_it_does(threads):
    """Rounds of 1 * 1 + 1 count up, so the values themselves tell the number of operations."""
    scratch = np.ones((3, 400), np.float64)
    flops = fma_probe(scratch, 1000, threads)
    assert flops == 2 * (scratch == 1001).sum() * 1000 > 0


# ---- instruction sets, and memory that must not be touched: each in a process of its own ----

ISA = """
import re
import fastconv.engines.numba_
from numba.core import registry
from tests.engines import test_numba_vector as t
t.test_arithmetic("float32", None), t.test_arithmetic("float64", 2)
t.test_partial_access("float32", None), t.test_transpose_of_blocks("float32", None)
kernel = t.arithmetic(None)
import numpy as np
x = np.zeros(2000, np.float32)
kernel(x, x, x.copy(), 4)
code = "".join(kernel.inspect_asm().values())
print(t.target.LEVEL, t.target.VECTOR_BYTES, *sorted(set(re.findall(r"%([xyz])mm", code))), "fmadd" in code)
"""


@pytest.mark.parametrize(
    ("isa", "want"),
    [
        ("x86-64-v3", "x86-64-v3 32 x y True"),
        ("x86-64-v2", "x86-64-v2 16 x False"),
    ],
)
def test_forced_instruction_set(isa, want):
    """FASTCONV_ISA decides the width of vectors and what LLVM may emit."""
    if isa not in target.able():
        pytest.skip(f"this CPU has no {isa}")
    assert child.run_code(ISA, FASTCONV_ISA=isa).strip() == want


GUARD = """
import numpy as np
from numba import njit
from fastconv.engines.numba_.ground import target
from fastconv.engines.numba_.ground import vector as v
from tests.guard import Guarded

@njit
def copy(x, i, out, o, n):
    v.store_part(out, o, v.load_part(x, i, n), n)

@njit
def block(x, out, rows, n):
    v.store_rows(out, 0, rows, v.transpose(v.load_rows(x, 0, n, rows, n)), n, rows)

memory = Guarded()
for dtype in (np.float32, np.float64):
    for n in range(target.VECTOR_BYTES // np.dtype(dtype).itemsize + 1):
        for at_end in (True, False):
            x, out = memory.empty((n,), dtype, at_end), memory.empty((n,), dtype, at_end)
            x[:] = np.arange(n)
            copy(x, 0, out, 0, n)
            assert (out == x).all()
            for rows in range(1, n + 1):
                a, b = memory.empty((rows, n), dtype, at_end), memory.empty((n, rows), dtype, at_end)
                a[:] = np.arange(rows * n).reshape(rows, n)
                block(a, b, rows, n)
                assert (b == a.T).all()
    memory.close()
print("good")
"""


def test_partial_access_next_to_forbidden_pages():
    assert child.run_code(GUARD).strip() == "good"
