"""Runs `runs` on channels-last arrays that lie between forbidden pages, and compares with the oracle.

python -m tests.guard_runs
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastconv.algorithms.base import Epilogue
from fastconv.algorithms.runs import BLOCKS, Runs, RunsConfig
from fastconv.core.problem import PASSES, ConvProblem
from fastconv.engines import loader
from tests import oracle
from tests.guard import Guarded
from tests.problems import EDGE_PROBLEMS, Data, geometry, integer_data, with_dtype


def backend(engine: str = "cython") -> Runs:
    return Runs(engine, loader.load, loader.vector_bytes(engine))


def last(a: Any) -> Any:
    """(n, c, h, w) -> (n, h, w, c)."""
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1))


def first(a: Any) -> Any:
    return a.transpose(0, 3, 1, 2)


def expected(p: ConvProblem, pass_: str, d: Data) -> Any:
    geo = geometry(p)
    if pass_ == "forward":
        return oracle.forward(d.x, d.w, None, geo)
    if pass_ == "grad_input":
        return oracle.grad_input(d.dy, d.w, (p.ih, p.iw), geo)
    return oracle.grad_weight(d.dy, d.x, (p.kh, p.kw), geo)


def configs(runs: Runs, p: ConvProblem, pass_: str, threads: int) -> Iterator[RunsConfig]:
    """The one chosen, then every register block, with channels in chunks and outputs in shares."""
    chosen = runs.configure(p, pass_, threads)
    yield chosen
    for nv, nr in BLOCKS[32 if runs.vector_bytes < 32 else runs.vector_bytes].items():
        yield RunsConfig(nv, nr, 1, 5, 0)
        yield RunsConfig(nv, max(1, nr - 1), threads, max(1, chosen.chunk), int(threads > 1))


def run(
    runs: Runs,
    pass_: str,
    p: ConvProblem,
    d: Data,
    cfg: RunsConfig,
    threads: int,
    make: Any,
    packed: bool = False,
    bias: Any = None,
    residual: Any = None,
    activation: str = "",
) -> Any:
    """One pass; arrays are those of `make(shape)`, filled with NaN. The result has channels first."""
    work = make((-(-max(1, runs.workspace(p, pass_, cfg, threads)) // 64) * 64 // p.itemsize,))
    if pass_ == "forward":
        y = make((p.n, p.oh, p.ow, p.co))
        weights = runs.prepare(p, cfg, d.w) if packed else None
        runs.forward(p, cfg, d.x, d.w, Epilogue(bias, residual, activation), y, work, threads, weights)
        return first(y)
    if pass_ == "grad_input":
        dx = make((p.n, p.ih, p.iw, p.ci))
        runs.grad_input(p, cfg, d.dy, d.w, dx, work, threads)
        return first(dx)
    dw = make(p.w_shape)
    runs.grad_weight(p, cfg, d.dy, d.x, dw, work, threads)
    return dw


def main() -> int:
    """Number of runs."""
    runs, count, memory = backend(), 0, Guarded()
    for text in EDGE_PROBLEMS:
        for dtype in ("float32", "float64"):
            p = with_dtype(text, dtype)
            for pass_ in PASSES if p.n else ():
                plain = integer_data(p)
                want = expected(p, pass_, plain)
                for threads, at_end in ((1, True), (2, True), (1, False)):
                    print(f"runs {pass_} {p}, {threads} threads, at_end={at_end}", flush=True)

                    def make(shape: tuple[int, ...], at_end: bool = at_end, dtype: str = dtype) -> Any:
                        a = memory.empty(shape, dtype, at_end)
                        a[...] = np.nan
                        return a

                    d = Data(*(memory.copy(a, at_end) for a in (last(plain.x), plain.w, plain.b, last(plain.dy))))
                    got = run(runs, pass_, p, d, runs.configure(p, pass_, threads), threads, make)
                    np.testing.assert_array_equal(got, want)
                    memory.close()
                    count += 1
    return count


if __name__ == "__main__":
    print(main(), "runs")
