"""The checks that every backend has to pass, whatever it computes with.

`check` runs one pass of one problem through a backend in every way that a caller can and compares with the
oracle. A failure names the backend, the pass and the problem; the same is repeated by

    python -m tests.battery BACKEND PASS PROBLEM
"""

import importlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

import fastconv
from fastconv.algorithms.base import Backend, Epilogue
from fastconv.core.problem import PASSES, ConvProblem, parse
from fastconv.engines import loader
from fastconv.planning.layouts import lying, stored
from tests import oracle
from tests.problems import Data, geometry, integer_data, options, real_data

NEVER_REFUSE = ("naive", "im2col", "reference")
ROUNDING = {"float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}
COMPUTED_IN = {"float16": "float32", "float32": "float32", "float64": "float64"}


def backends() -> list[str]:
    """The backends whose engine is present, and the units of the CPU that they need."""
    table = {name: fastconv.get_backend(name) for name in fastconv.list_backends()}
    return [name for name, b in table.items() if not (loader.absent(b.engine) or b.absent())]


def instruction_sets() -> list[str]:
    """Those that the compiled kernels are built for and that this machine has, the one in use first."""
    if loader.absent("cython"):
        return []
    _cpu: Any = importlib.import_module("fastconv.engines.cython_._cpu")
    return sorted(set(_cpu.BUILT) & set(_cpu.able()), key=lambda isa: isa != loader.isa())


def is_exact(backend: Backend) -> bool:
    """Whether sums of small integers must come out exactly: not so where values are transformed."""
    return bool(getattr(backend, "exact", not backend.spreads_nonfinite))


@contextmanager
def registered(backend: Backend) -> Iterator[str]:
    """A backend that is in the table inside the ``with`` block only."""
    fastconv.register_backend(backend)
    try:
        yield backend.name
    finally:
        fastconv.unregister_backend(backend.name)


def inner(p: ConvProblem) -> ConvProblem:
    """What a backend is asked about: float16 is computed in float32, borders are written before it runs."""
    return (p if p.mode == "zeros" else p.padded())._replace(dtype=COMPUTED_IN[p.dtype])


def expected(p: ConvProblem, pass_: str, d: Data, bias: Any = None) -> oracle.Array:
    geo = geometry(p)
    if pass_ == "forward":
        return oracle.forward(d.x, d.w, bias, geo)
    if pass_ == "grad_input":
        return oracle.grad_input(d.dy, d.w, (p.ih, p.iw), geo)
    return oracle.grad_weight(d.dy, d.x, (p.kh, p.kw), geo)


@lru_cache(maxsize=4096)
def kept(p: ConvProblem, pass_: str, kind: str) -> oracle.Array:
    """`expected` for the data that `check` uses: computed once, compared with every backend's result."""
    d = real_data(p) if kind == "normal" else integer_data(p)
    return expected(p, pass_, d, d.b if kind == "bias" else None)


def public(name: str, pass_: str, p: ConvProblem, d: Data, **extra: Any) -> Any:
    """One pass through the public function of that name."""
    extra = {"backend": name, **options(p), **extra}
    if pass_ == "forward":
        return fastconv.conv2d(d.x, d.w, **extra)
    if pass_ == "grad_input":
        return fastconv.conv2d_grad_input(d.dy, d.w, p.x_shape, **extra)
    return fastconv.conv2d_grad_weight(d.dy, d.x, p.w_shape, **extra)


def operands(pass_: str, d: Data) -> tuple[Any, Any]:
    return {"forward": (d.x, d.w), "grad_input": (d.dy, d.w), "grad_weight": (d.dy, d.x)}[pass_]


def result_shape(p: ConvProblem, pass_: str) -> tuple[int, int, int, int]:
    return {"forward": p.y_shape, "grad_input": p.x_shape, "grad_weight": p.w_shape}[pass_]


def aligned(nbytes: int, dtype: str) -> Any:
    """Scratch memory of exactly so many bytes, on a cache line, full of NaN."""
    raw = np.empty(nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    work = raw[start : start + nbytes].view(dtype)
    work[...] = np.nan
    return work


def raw(
    backend: Backend,
    pass_: str,
    p: ConvProblem,
    d: Data,
    threads: int,
    out: Any = None,
    work: Any = None,
    copy: Callable[[Any], Any] = np.asarray,
) -> Any:
    """The backend's own method, as a plan would call it, with output and scratch memory full of NaN.

    Operands are moved to where the backend wants their channels, and handed over as ``copy`` makes them.
    """
    if backend.by_value:
        backend = backend.with_weights(p, pass_, d.w, None) or backend
    p = lying(p, backend, pass_)
    cfg = backend.configure(p, pass_, threads)
    size = -(-backend.workspace(p, pass_, cfg, threads) // 8) * 8
    work = aligned(size, p.dtype) if work is None else work
    shape = result_shape(p, pass_)
    last = {"forward": p.y_last, "grad_input": p.x_last, "grad_weight": False}[pass_]
    out = np.full(shape, np.nan, p.dtype) if out is None else out
    out = out.reshape(stored(shape, last))  # type: ignore[arg-type]
    moved = d._replace(x=turned(d.x, p.x_last), dy=turned(d.dy, p.y_last))
    first, second = (copy(a) for a in operands(pass_, moved))
    if pass_ == "forward":
        none = Epilogue(None, None, "") if backend.fuses else None
        backend.forward(p, cfg, first, second, none, out, work, threads, backend.prepare(p, cfg, second))
    else:
        getattr(backend, pass_)(p, cfg, first, second, out, work, threads)
    return out.transpose(0, 3, 1, 2) if last else out


def turned(a: Any, last: bool) -> Any:
    """An (n, c, h, w) array as it is, or copied with its channels last."""
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1)) if last else a


def scale(p: ConvProblem, pass_: str, d: Data) -> Any:
    """``max|x| * sum|w|`` of the output channel, for the pass's own input, weights and output."""
    x, w, dy = (np.abs(a.astype(np.float64)) for a in (d.x, d.w, d.dy))
    if pass_ == "forward":
        return x.max(initial=0) * w.sum(axis=(1, 2, 3))[:, None, None]
    if pass_ == "grad_weight":
        return x.max(initial=0) * dy.sum(axis=(0, 2, 3))[:, None, None, None]
    shown = [  # a border shows a pixel several times, so its gradient is a sum of several
        np.bincount((i := oracle.border_index(size, pad, p.mode))[i >= 0], minlength=1).max()
        for size, pad in zip((p.ih, p.iw), geometry(p).padding, strict=True)
    ]
    total = w.reshape(p.g, p.co // p.g, *w.shape[1:]).sum(axis=(1, 3, 4)).reshape(-1)
    return dy.max(initial=0) * total[:, None, None] * shown[0] * shown[1]


def compare(
    backend: Backend,
    pass_: str,
    p: ConvProblem,
    d: Data,
    got: Any,
    bias: Any = None,
    exact: bool = True,
    want: Any = None,
) -> None:
    """Shape and values of a result; `exact` says that the data are small integers, `want` is the oracle's answer."""
    want = expected(p, pass_, d, bias) if want is None else want
    assert isinstance(got, np.ndarray), f"result is a {type(got).__name__}"
    assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
    if exact and is_exact(backend):
        wrong = ~(got == want.astype(got.dtype))
        allowed = "exactly"
    else:
        bound = backend.error_bound(inner(p), pass_) * scale(p, pass_, d)
        bound = bound + ROUNDING[p.dtype] * np.abs(want) * (p.dtype == "float16" or bias is not None)
        wrong = ~(np.abs(got.astype(np.float64) - want) <= bound)
        allowed = f"within {np.max(bound, initial=0):.2e}"
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        count = f"{wrong.sum()} of {wrong.size} wrong, first at {at}"
        raise AssertionError(f"{count}: {got[at]}, expected {want[at]} {allowed}")


def check(name: str, pass_: str, p: ConvProblem) -> str | None:
    """Raise AssertionError if the backend errs in any way; return its reason if it refuses the problem."""
    stage = "integers"
    try:
        backend = fastconv.get_backend(name)
        ints, reals = integer_data(p), real_data(p)
        copies = [a.copy() for a in (*ints, *reals)]
        try:
            got = public(name, pass_, p, ints)
        except fastconv.BackendRefused as error:
            return _refusal(backend, pass_, p, error)
        whole = p._replace(dtype="float64")  # integers are the same in every dtype
        want = kept(whole, pass_, "integer")
        assert got.dtype == p.dtype, f"dtype {got.dtype}"
        assert got.flags.c_contiguous, "result is not C-contiguous"
        compare(backend, pass_, p, ints, got, want=want)
        stage = "repeated call"
        assert np.array_equal(got, public(name, pass_, p, ints)), "the same call gave another result"
        if pass_ == "forward":
            stage = "bias and out="
            out = np.full(p.y_shape, np.nan, p.dtype)
            assert public(name, pass_, p, ints, bias=ints.b, out=out) is out, "out was not returned"
            compare(backend, pass_, p, ints, out, bias=ints.b, want=kept(whole, pass_, "bias"))
        stage = "normal numbers"
        got = public(name, pass_, p, reals)
        compare(backend, pass_, p, reals, got, exact=False, want=kept(p, pass_, "normal"))
        if p.n and p.mode == "zeros" and p.dtype != "float16":
            for threads in (1, 2):
                stage = f"{threads} threads, output and workspace full of NaN"
                compare(backend, pass_, p, ints, raw(backend, pass_, p, ints, threads), want=want)
        stage = "inputs"
        changed = [not np.array_equal(a, b) for a, b in zip(copies, (*ints, *reals), strict=True)]
        assert not any(changed), "an input was changed"
    except Exception as error:
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        raise AssertionError(
            f"{name} {pass_} {p} ({stage}): {kind}{error}\n    repeat: python -m tests.battery {name} {pass_} {p}"
        ) from error
    return None


def _refusal(backend: Backend, pass_: str, p: ConvProblem, error: Exception) -> str:
    reason = backend.refuse(inner(p), pass_)
    assert reason, f"refused without a reason: {error}"
    assert reason in str(error), f"reason {reason!r} is missing in {str(error)!r}"
    assert backend.algorithm not in NEVER_REFUSE, f"{backend.algorithm} must refuse nothing: {reason}"
    return reason


def failures(name: str, pass_: str, problems: Iterable[ConvProblem]) -> list[str]:
    """The messages of all problems that fail."""
    found = []
    for p in problems:
        try:
            check(name, pass_, p)
        except AssertionError as error:
            found.append(str(error))
    return found


def main(arguments: list[str]) -> int:
    if len(arguments) != 3 or arguments[1] not in PASSES:
        sys.exit(f"{(__doc__ or '').strip()}\n\nPASS is one of {', '.join(PASSES)}.")
    try:
        fastconv.get_backend(arguments[0])
        p = parse(arguments[2])
    except ValueError as error:
        sys.exit(str(error))
    try:
        refused = check(arguments[0], arguments[1], p)
    except AssertionError as error:
        if not isinstance(error.__cause__, AssertionError):  # not a wrong result, but a crash
            traceback.print_exception(error.__cause__)
        sys.exit(str(error))
    print(f"refused: {refused}" if refused else "passes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
