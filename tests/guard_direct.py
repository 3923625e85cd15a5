"""Runs `direct` on arrays, channels last or planes, that lie between forbidden pages, and compares with the oracle.

python -m tests.guard_direct
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastconv.algorithms.base import Epilogue
from fastconv.algorithms.direct import Direct, blocks
from fastconv.algorithms.direct_layout import DirectConfig
from fastconv.core.problem import PASSES, ConvProblem
from fastconv.engines import loader
from tests import oracle
from tests.guard import RUNS, Guarded
from tests.problems import EDGE_PROBLEMS, Data, geometry, integer_data, with_dtype


def backend(engine: str = "cython") -> Direct:
    return Direct(engine, loader.load, loader.vector_bytes(engine))


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


def configs(direct: Direct, p: ConvProblem, pass_: str, threads: int) -> Iterator[DirectConfig]:
    """The one chosen, then every register block, with channels in chunks and outputs in shares."""
    chosen = direct.configure(p, pass_, threads)
    yield chosen
    for nv, nr in blocks(direct.vector_bytes).items():
        yield DirectConfig(nv, nr, 1, 5, 0)
        yield DirectConfig(nv, max(1, nr - 1), threads, max(1, chosen.chunk), int(threads > 1))


def layouts(direct: Direct, p: ConvProblem, pass_: str) -> Iterator[ConvProblem]:
    """The problem with channels last, and with those arrays as planes that the pass takes so."""
    for x_last, y_last in ((True, True), (False, False), (True, False), (False, True)):
        q = p._replace(x_last=x_last, y_last=y_last)
        if direct.layout(q, pass_) == (x_last, y_last):
            yield q


def laid(a: Any, channels_last: bool) -> Any:
    return last(a) if channels_last else a


def run(
    direct: Direct,
    pass_: str,
    p: ConvProblem,
    d: Data,
    cfg: DirectConfig,
    threads: int,
    make: Any,
    packed: bool = False,
    bias: Any = None,
    residual: Any = None,
    activation: str = "",
) -> Any:
    """One pass; arrays are those of `make(shape)`, filled with NaN. Given and returned with channels first."""

    def result(shape: tuple[int, ...], channels_last: bool) -> Any:
        n, c, h, w = shape
        return make((n, h, w, c) if channels_last else shape)

    def own(a: Any, channels_last: bool) -> Any:
        a = laid(a, channels_last)
        copy = make(a.shape)
        copy[...] = a
        return copy

    work = make((-(-max(1, direct.workspace(p, pass_, cfg, threads)) // 64) * 64 // p.itemsize,))
    if pass_ == "forward":
        y, x, w = result(p.y_shape, p.y_last), own(d.x, p.x_last), own(d.w, False)
        weights = direct.prepare(p, cfg, d.w) if packed else None
        more = None if residual is None else own(residual, p.y_last)
        direct.forward(p, cfg, x, w, Epilogue(bias, more, activation), y, work, threads, weights)
        return first(y) if p.y_last else y
    dy = own(d.dy, p.y_last)
    if pass_ == "grad_input":
        dx = result(p.x_shape, p.x_last)
        direct.grad_input(p, cfg, dy, own(d.w, False), dx, work, threads)
        return first(dx) if p.x_last else dx
    dw = make(p.w_shape)
    direct.grad_weight(p, cfg, dy, own(d.x, p.x_last), dw, work, threads)
    return dw


def main() -> int:
    """Number of runs."""
    direct, count, memory = backend(), 0, Guarded()
    for text in EDGE_PROBLEMS:
        for dtype, ways in RUNS.items():
            plain = with_dtype(text, dtype)
            for pass_ in PASSES if plain.n else ():
                d = integer_data(plain)
                want = expected(plain, pass_, d)
                for p in layouts(direct, plain, pass_):
                    for threads, at_end in ways:
                        print(f"direct {pass_} {p}, {threads} threads, at_end={at_end}", flush=True)

                        def make(shape: tuple[int, ...], at_end: bool = at_end, dtype: str = dtype) -> Any:
                            a = memory.empty(shape, dtype, at_end)
                            a[...] = np.nan
                            return a

                        got = run(direct, pass_, p, d, direct.configure(p, pass_, threads), threads, make)
                        np.testing.assert_array_equal(got, want)
                        memory.close()
                        count += 1
    return count


if __name__ == "__main__":
    print(main(), "runs")
