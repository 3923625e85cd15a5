"""Runs backends on arrays in every layout that they take, between forbidden pages, and compares with the oracle.

python -m tests.guard_layouts BACKEND ...
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastconv
from fastconv.algorithms.base import Backend, Epilogue
from fastconv.core.problem import PASSES, ConvProblem
from tests import battery
from tests.guard import RUNS, Guarded
from tests.problems import EDGE_PROBLEMS, Data, integer_data, with_dtype

FLAGS = (False, False), (True, False), (False, True), (True, True)


def lie(a: Any, last: bool) -> Any:
    """(n, c, h, w), as it is or with the channels last."""
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1)) if last else a


def run(
    backend: Backend,
    pass_: str,
    p: ConvProblem,
    d: Data,
    threads: int,
    make: Callable[[Any], Any] = np.copy,
    after: Epilogue | None = None,
    cfg: Any = None,
) -> Any:
    """One pass of a problem with any x_last and y_last on (n, c, h, w) data; the result is (n, c, h, w) again.

    Every array is a copy by `make`; those that are written hold NaN.
    """
    cfg = backend.configure(p, pass_, threads) if cfg is None else cfg
    size = -(-max(1, backend.workspace(p, pass_, cfg, threads)) // 64) * 64 // p.itemsize
    x, dy, w = make(lie(d.x, p.x_last)), make(lie(d.dy, p.y_last)), make(d.w)
    last = {"forward": p.y_last, "grad_input": p.x_last, "grad_weight": False}[pass_]
    out, work = (make(np.full(shape, np.nan, p.dtype)) for shape in (battery.result_shape(p, pass_), size))
    out = out.reshape(lie(np.empty(out.shape), last).shape)
    if pass_ == "forward":
        if after and after.residual is not None:
            after = after._replace(residual=make(lie(after.residual, p.y_last)))
        backend.forward(p, cfg, x, w, after, out, work, threads)
    elif pass_ == "grad_input":
        backend.grad_input(p, cfg, dy, w, out, work, threads)
    else:
        backend.grad_weight(p, cfg, dy, x, out, work, threads)
    return out.transpose(0, 3, 1, 2) if last else out


def taken(backend: Backend, p: ConvProblem, pass_: str) -> Iterator[ConvProblem]:
    """The problem in the layouts that the backend takes as they lie."""
    for x_last, y_last in FLAGS:
        q = p._replace(x_last=x_last, y_last=y_last)
        if backend.layout(q, pass_) == (x_last, y_last):
            yield q


def main(name: str) -> int:
    """Number of runs."""
    backend, runs = fastconv.get_backend(name), 0
    for text in EDGE_PROBLEMS:
        for dtype, ways in RUNS.items():
            p = with_dtype(text, dtype)
            for pass_ in PASSES:
                if p.n == 0 or p.mode != "zeros" or backend.refuse(p, pass_):
                    continue
                d = integer_data(p)
                want = battery.kept(p._replace(dtype="float64"), pass_, "integer")
                for q in taken(backend, p, pass_):
                    for threads, at_end in ways:
                        print(f"{name} {pass_} {q}, {threads} threads, at_end={at_end}", flush=True)
                        memory = Guarded()

                        def make(a: Any, memory: Guarded = memory, at_end: bool = at_end) -> Any:
                            new = memory.empty(a.shape, a.dtype, at_end)
                            new[...] = a
                            return new

                        after = Epilogue(None, np.ones(p.y_shape, p.dtype), "relu6") if backend.fuses else None
                        battery.compare(backend, pass_, p, d, run(backend, pass_, q, d, threads, make), want=want)
                        if after and pass_ == "forward":
                            run(backend, pass_, q, d, threads, make, after)
                        memory.close()
                        runs += 1
    return runs


if __name__ == "__main__":
    print(sum(main(name) for name in sys.argv[1:]), "runs")
