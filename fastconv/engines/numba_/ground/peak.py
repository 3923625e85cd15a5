"""The largest magnitude of an array."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import extending, types

from . import emit
from .control import loop, merge
from .emit import I64, vector_of
from .launch import step

_PIECES = 64


def abs_peak(x, threads):
    """max|x| as a float; NaN or Inf if x holds one: magnitudes are compared as integers, NaN above Inf."""
    pieces = min(_PIECES, threads) if x.size >= 1 << 15 else 1
    peaks = np.zeros((pieces, 64 // x.itemsize), x.dtype)
    _peaks(x.reshape(-1), peaks, pieces)
    return float(peaks.view(f"i{x.itemsize}").max().view(x.dtype))


@extending.intrinsic
def _peak(typingctx, x, i, n, peaks, k):
    """peaks[k :+ lanes] OUT: magnitudes of which one is the largest of x[i :+ n]."""
    vec = vector_of(x)

    def codegen(context, b, sig, args):
        x_, i, n, peaks_, k = args
        start = emit.pointer(context, b, x, x_, i)
        ints = ir.VectorType(ir.IntType(8 * vec.itemsize), vec.lanes)
        magnitude = ints([2 ** (8 * vec.itemsize - 1) - 1] * vec.lanes)

        def larger(top, value):
            value = b.and_(b.bitcast(value, ints), magnitude)
            return b.select(b.icmp_signed(">", value, top), value, top)

        zero = ints([0] * vec.lanes)
        whole = b.mul(b.sdiv(n, I64(4 * vec.lanes)), I64(4 * vec.lanes))
        before = b.block
        with b.if_then(b.icmp_signed("<", I64(0), whole)):
            with loop(b, I64(0), b.sdiv(whole, I64(4 * vec.lanes)), [start, *[zero] * 4]) as (_, values):
                at = values[0]
                read = [emit.load(b, vec, b.gep(at, [I64(s * vec.lanes)])) for s in range(4)]
                values[1:] = [larger(*pair) for pair in zip(values[1:], read, strict=True)]
                values[0] = b.gep(at, [I64(4 * vec.lanes)])
            after = b.block
        tops = merge(b, [zero] * 4, before, values[1:], after)
        for s in range(4):
            at = b.add(whole, I64(s * vec.lanes))
            tops[s] = larger(tops[s], emit.load_part(b, vec, b.gep(start, [at]), b.sub(n, at)))
        top = tops[0]
        for value in tops[1:]:
            top = larger(top, value)
        emit.store(b, vec, b.bitcast(top, vec.llvm), emit.pointer(context, b, peaks, peaks_, k))
        return context.get_dummy_value()

    n = types.intp
    return types.void(x, n, n, peaks, n), codegen


@step("peaks")
def _peaks(x, peaks, ithr, nthr):
    """Row ithr of peaks OUT: for the share of x; only as many numbers as a vector has are written."""
    n, width = x.size, peaks.shape[1]
    first = n * ithr // nthr
    _peak(x, first, n * (ithr + 1) // nthr - first, peaks, ithr * width)
