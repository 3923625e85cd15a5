"""Runs a backend on arrays that lie between forbidden pages: one byte too far ends this process.

    python -m tests.guard BACKEND ...

Every array (inputs, output, scratch memory) is put at the very end of its pages, or at the very start. The
problem at work is printed before each run, so that the last line of a crash names it. Of one thread and two, end and
start, a problem meets all four, two in float32 and two in float64, whose kernels are of one source.
"""

import ctypes
import mmap
import sys
from functools import lru_cache
from typing import Any

import numpy as np

import fastconv
from fastconv.core.problem import PASSES, ConvProblem
from tests import battery
from tests.problems import EDGE_PROBLEMS, Data, integer_data, options, with_dtype

PAGE = mmap.PAGESIZE
#: dtype: (threads, whether arrays are at the end of their pages)
RUNS = {"float32": ((1, True), (2, False)), "float64": ((2, True), (1, False))}
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_PROT_NONE, _PROT_READ, _PROT_READ_WRITE = 0, 1, 3


class Guarded:
    """Memory between two forbidden pages, given back by `close`."""

    def __init__(self) -> None:
        self.regions: list[tuple[int, int]] = []

    def empty(self, shape: tuple[int, ...], dtype: Any, at_end: bool) -> Any:
        """An array whose last (or first) byte is the last (first) one that may be touched."""
        nbytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        usable = -(-max(nbytes, 1) // PAGE) * PAGE
        base = _libc.mmap(None, usable + 2 * PAGE, _PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        if base in (None, ctypes.c_void_p(-1).value) or _libc.mprotect(base + PAGE, usable, _PROT_READ_WRITE):
            raise OSError(ctypes.get_errno(), "mmap")
        self.regions.append((base, usable + 2 * PAGE))
        start = base + PAGE + (usable - nbytes if at_end else 0)
        return np.frombuffer((ctypes.c_char * nbytes).from_address(start), dtype).reshape(shape)

    def copy(self, a: Any, at_end: bool) -> Any:
        """A copy that may be read but not written."""
        new = self.empty(a.shape, a.dtype, at_end)
        new[...] = a
        base, size = self.regions[-1]
        _libc.mprotect(base + PAGE, size - 2 * PAGE, _PROT_READ)
        return new

    def close(self) -> None:
        for base, size in self.regions:
            _libc.munmap(base, size)
        self.regions.clear()


@lru_cache(maxsize=1)
def integers(p: ConvProblem) -> Data:
    return integer_data(p)


def run(name: str, pass_: str, p: ConvProblem, threads: int, at_end: bool) -> None:
    backend, plain, memory = fastconv.get_backend(name), integers(p), Guarded()
    d = Data(*(memory.copy(a, at_end) for a in plain))
    out = memory.empty(battery.result_shape(p, pass_), p.dtype, at_end)
    cfg = backend.configure(p, pass_, threads)
    size = -(-max(1, backend.workspace(p, pass_, cfg, threads)) // 64) * 64  # starts on a cache line, ends on the page
    work = memory.empty((size // p.itemsize,), p.dtype, at_end)
    work[...] = np.nan
    whole = p._replace(dtype="float64")
    got = battery.raw(backend, pass_, p, plain, threads, out, work, lambda a: memory.copy(a, at_end))
    battery.compare(backend, pass_, p, plain, got, want=battery.kept(whole, pass_, "integer"))
    if pass_ == "forward":
        out[...] = np.nan
        fastconv.conv2d(d.x, d.w, d.b, out=out, backend=name, **options(p))
        battery.compare(backend, pass_, p, plain, out, bias=plain.b, want=battery.kept(whole, pass_, "bias"))
    memory.close()


def main(name: str) -> int:
    """Number of runs."""
    runs = 0
    for text in EDGE_PROBLEMS:
        for dtype, ways in RUNS.items():
            p = with_dtype(text, dtype)
            for pass_ in PASSES:
                if p.n == 0 or fastconv.get_backend(name).refuse(p, pass_):
                    continue
                for threads, at_end in ways:
                    where = "at the end" if at_end else "at the start"
                    print(f"{name} {pass_} {p}, {threads} threads, arrays {where} of their pages", flush=True)
                    run(name, pass_, p, threads, at_end)
                    runs += 1
    return runs


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {main(name)} runs")
