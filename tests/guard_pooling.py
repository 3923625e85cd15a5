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


def run_last(engine: str, problem: tuple[Any, ...], dtype: str, threads: int, at_end: bool, c: int) -> None:
    """Channels last: c of them, two images."""
    from tests.operations.test_pooling import options

    (_, h, w), (kernel, opt) = problem[0], options(problem)
    steps, rng, memory = loader.load(engine, dtype), np.random.default_rng(0), Guarded()
    plain = integers(rng, (2, c, h, w), dtype)
    geo = windows_of((h, w), kernel, *opt.values())
    assert geo.by_channels
    gradient = integers(rng, (2, c, *geo.out), dtype)
    x, dy = (memory.copy(np.ascontiguousarray(a.transpose(0, 2, 3, 1)), at_end) for a in (plain, gradient))
    y, index = (memory.empty(dy.shape, kind, at_end) for kind in (dtype, np.int64))
    dx, offsets = memory.empty(x.shape, dtype, at_end), memory.copy(geo.offsets, at_end)
    rows, cols = (memory.copy(a[:n], at_end) for a, n in zip(geo.counts(plain.dtype, True), geo.out, strict=True))
    rest = geo.record, threads
    want, places = pooling.max_pool2d(plain, kernel, return_indices=True, **opt)
    for step in (
        lambda: steps.max_pool_last_indices(x, y, index, offsets, *rest),
        lambda: steps.max_pool_last(x, y, *rest),
    ):
        y[...] = np.nan
        step()
        np.testing.assert_array_equal(y.transpose(0, 3, 1, 2), want)
    np.testing.assert_array_equal(index.transpose(0, 3, 1, 2), places)
    want, bad = pooling.max_pool2d_backward(gradient, plain, kernel, **opt), np.zeros(threads, np.intp)
    for step in (
        lambda: steps.max_pool_last_scatter(dy, index, dx, bad, *rest),
        lambda: steps.max_pool_last_backward(x, dy, dx, offsets, *rest),
    ):
        dx[...] = np.nan
        step()
        np.testing.assert_array_equal(dx.transpose(0, 3, 1, 2), want)
    assert not bad.any()
    if problem[4] == 1:
        y[...] = dx[...] = np.nan
        steps.avg_pool_last(x, y, rows, cols, *rest)
        steps.avg_pool_last_backward(dy, dx, rows, cols, *rest)
        assert np.isfinite(y).all() and np.isfinite(dx).all()
    memory.close()


def main(*engines: str) -> int:
    from tests.operations.test_pooling import PROBLEMS
    from tests.operations.test_pooling_last import MORE

    runs = 0
    for engine in engines:
        for problem in PROBLEMS:
            for dtype in ("float32", "float64"):
                for threads, at_end in ((1, True), (2, True), (1, False)):
                    print(engine, problem, dtype, threads, at_end, flush=True)
                    run(engine, problem, dtype, threads, at_end)
                    runs += 1
        for problem in PROBLEMS + MORE:
            for dtype in ("float32", "float64"):
                for c, threads, at_end in ((3, 1, True), (21, 2, True), (75, 3, True), (21, 1, False)):
                    print(engine, problem, dtype, c, "channels last", threads, at_end, flush=True)
                    run_last(engine, problem, dtype, threads, at_end, c)
                    runs += 1
    return runs


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
