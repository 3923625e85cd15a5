"""Runs pooling on arrays that lie between forbidden pages, see guard.py; prints how many runs there were."""

import sys
from typing import Any

import numpy as np

from fastconv.engines import loader
from fastconv.operations import pooling
from fastconv.operations.windows import windows_of
from tests.guard import Guarded
from tests.peers import integers


def run(engine: str, problem: tuple[Any, ...], dtype: str, threads: int, at_end: bool) -> None:
    from tests.operations.test_pooling import options

    kernel, opt = options(problem)
    steps, rng, memory = loader.load(engine, dtype), np.random.default_rng(0), Guarded()
    plain = integers(rng, problem[0], dtype)
    geo = windows_of(plain.shape[1:], kernel, *opt.values())
    y_shape = len(plain), *geo.out
    x, dy = memory.copy(plain, at_end), memory.copy(integers(rng, y_shape, dtype), at_end)
    y, dx = memory.empty(y_shape, dtype, at_end), memory.empty(plain.shape, dtype, at_end)
    index = memory.empty(y_shape, np.int64, at_end)
    work = memory.empty((geo.per_thread * threads,), dtype, at_end)
    tables = memory.copy(geo.taps, at_end), memory.copy(geo.offsets, at_end)
    rows, cols = (memory.copy(a, at_end) for a in geo.counts(plain.dtype, True))
    rest = geo.record, threads
    work[...] = np.nan
    steps.max_pool_indices(x, y, index, *tables, work, *rest)
    want, places = pooling.max_pool2d(plain, kernel, return_indices=True, **opt)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(index, places)
    y[...] = work[...] = np.nan
    steps.max_pool(x, y, tables[0], work, *rest)
    np.testing.assert_array_equal(y, want)
    bad = np.zeros(threads, np.intp)
    steps.max_pool_scatter(dy, index, dx, bad, *rest)
    assert not bad.any()
    want = dx.copy()
    dx[...] = work[...] = np.nan
    steps.max_pool_backward(x, dy, dx, *tables, work, *rest)
    np.testing.assert_array_equal(dx, want)
    if problem[4] == 1:
        y[...] = dx[...] = work[...] = np.nan
        steps.avg_pool(x, y, rows, cols, tables[0], work, *rest)
        steps.avg_pool_backward(dy, dx, rows, cols, work, *rest)
        assert np.isfinite(y).all() and np.isfinite(dx).all()
    memory.close()


def main(*engines: str) -> int:
    from tests.operations.test_pooling import PROBLEMS

    runs = 0
    for engine in engines:
        for problem in PROBLEMS:
            for dtype in ("float32", "float64"):
                for threads, at_end in ((1, True), (2, True), (1, False)):
                    print(engine, problem, dtype, threads, at_end, flush=True)
                    run(engine, problem, dtype, threads, at_end)
                    runs += 1
    return runs


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
