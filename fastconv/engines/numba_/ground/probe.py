"""A probe of the fused multiply-add peak, which kernels are measured against."""

from __future__ import annotations

from numba import extending, types

from . import emit
from .control import loop
from .emit import I64, vector_of
from .launch import step
from .target import VECTOR_BYTES

intrinsic = extending.intrinsic(prefer_literal=True)

CHAINS = 12  # independent sums of the probe: enough to hide the latency of two FMA units, few enough for 16 registers


@intrinsic
def _fma_chains(typingctx, a, i, n):
    """n rounds of CHAINS independent vector FMAs on the values from a[i] on, which multiply by and add a[i]."""
    vec = vector_of(a)

    def codegen(context, b, sig, args):
        places = [emit.pointer(context, b, a, args[0], b.add(args[1], I64(k * vec.lanes))) for k in range(CHAINS)]
        factor = emit.splat(b, vec.llvm, b.load(places[0]))
        with loop(b, I64(0), args[2], [emit.load(b, vec, place) for place in places]) as (_, sums):
            sums[:] = [emit.fma(b, vec, value, factor, factor) for value in sums]
        for value, place in zip(sums, places, strict=True):
            emit.store(b, vec, value, place)
        return context.get_dummy_value()

    return types.void(a, types.intp, types.intp), codegen


def fma_probe(scratch, n, threads):
    """Floating-point operations done: the multiply-add peak, for the caller to time.

    Parameters
    ----------
    scratch : INOUT (k, m >= 192) float32 or float64
        Filled with ones. The rows are k independent probes, done in parallel.
    n : int
        Rounds of 12 vector FMAs for each row (1.6 ns a round on a fast core).
    """
    _probe(scratch, n, threads)
    return 2 * CHAINS * (VECTOR_BYTES // scratch.itemsize) * n * len(scratch)


@step("scratch")
def _probe(scratch, n, ithr, nthr):
    rows, size = scratch.shape
    for row in range(rows * ithr // nthr, rows * (ithr + 1) // nthr):
        _fma_chains(scratch, row * size, n)
