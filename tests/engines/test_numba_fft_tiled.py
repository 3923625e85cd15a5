"""Routines that steps call by their address, and the transforms of the FFT tiles, against NumPy's."""

import numpy as np
import pytest

pytest.importorskip("numba")
from fastconv.algorithms.fft_tiled_layout import RADICES
from fastconv.engines.numba_.fft_tiled.blocks import first_pass, last_pass
from fastconv.engines.numba_.fft_tiled.tables import table
from fastconv.engines.numba_.ground import vector as v
from fastconv.engines.numba_.ground.launch import step
from fastconv.engines.numba_.ground.memory import address
from fastconv.engines.numba_.ground.routines import Routines
from fastconv.engines.numba_.ground.target import VECTOR_BYTES

some = Routines(3)  # their addresses are in a table from its fourth number on


@some.routine("an")
def add_number(s, a, n):
    for i in range(n):
        v.put(a, i, v.at(a, i) + v.at(s, 0))


@some.routine("ann")
def add_twice(s, a, start, n):
    for _ in range(2):
        add_number(s, address(a, start), n - start)


@step("a")
def add_to_shares(a, code, number, share, shares):
    s = table()
    v.put(s, 0, number)
    for i in range(code.size):
        v.put(s, 3 + i, v.at(code, i))
    add_twice(s, address(a, a.size * share // shares), 1, a.size * (share + 1) // shares - a.size * share // shares)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_routines_call_each_other(dtype, threads):
    a = np.arange(12, dtype=dtype)
    add_to_shares(a, some.addresses(a.dtype), 5, threads)
    first = [12 * share // threads for share in range(threads)]
    assert np.array_equal(a, np.arange(12) + np.where(np.isin(np.arange(12), first), 0, 10))


@step("y", "out")
def both_passes(x, y, out, twiddles, n1, n2, count, kept, share, shares):
    lanes = v.lanes(x)
    first_pass(n1, n2, address(x, 0), address(x, lanes), 2, count, address(y, 0), 2 * n2)
    last_pass(n2, n1, address(y, 0), address(y, lanes), 2, 2 * n2, n2, address(twiddles, 0), address(out, 0),
              address(out, lanes), 2, kept)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n2", RADICES)
@pytest.mark.parametrize("n1", RADICES)
def test_transforms(n1, n2, dtype):
    """Of every length; of the first numbers only, whose others are not read; and to the first frequencies only."""
    t, rng = n1 * n2, np.random.default_rng(n1 * 16 + n2)
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    signals = rng.standard_normal((t, 2, lanes)).astype(dtype)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(n1), np.arange(n2)) / t)
    twiddles = np.stack([turns.real, turns.imag], -1).astype(dtype).ravel()
    for count, kept in ((t, t), (n2 + 1, t - 1), (t - 1, 1), (t // 2, t // 2 + 1)):
        x, out = signals.copy(), np.full((t, 2, lanes), 7, dtype)
        x[count:] = np.nan
        both_passes(x.ravel(), np.empty(2 * t * lanes, dtype), out.ravel(), twiddles, n1, n2, count, kept, 1)
        known = np.where(np.arange(t)[:, None] < count, signals[:, 0] + 1j * signals[:, 1], 0)
        want = np.fft.fft(known, axis=0)[:kept]
        size = np.sqrt(t * np.log2(t)) * np.finfo(dtype).eps
        assert np.abs(out[:kept, 0] + 1j * out[:kept, 1] - want).max() < 8 * size
        assert (out[kept:] == 7).all()
