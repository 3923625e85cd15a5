"""What the steps of `depthwise` keep in registers: rows of outputs, rows of dy."""

from __future__ import annotations

from contextlib import contextmanager

from numba import extending, types

from ..ground import emit
from ..ground.control import cases, loop, merge
from ..ground.emit import I64, vector_of
from ..ground.target import REGISTERS, VECTOR_BYTES

intrinsic = extending.intrinsic(prefer_literal=True)

TALL = 14 if REGISTERS == 32 else 8  # output rows whose sums stay in registers
HALF, LOW = TALL // 2, TALL // 4
MASKS = VECTOR_BYTES == 64  # parts of vectors are as quick as whole ones
#: (kernel rows, stride) of the blocks that are compiled
_RUNS = [(k, 1) for k in (7, 5, 3, 2, 1)] + [(k, 2) for k in (7, 5, 3)]


def key(k, stride, rows):
    """Which block: kernel rows, their stride and output rows in one number."""
    return (k * 4 + stride) * 16 + rows


@contextmanager
def _sum_over(b, cols, sums):
    """``for j in range(cols)``: yields j and a list of loop-carried values, which ends up in `sums`; cols may be 0."""
    start, before = list(sums), b.block
    with b.if_then(b.icmp_signed("<", I64(0), cols)):
        with loop(b, I64(0), cols, start) as (j, carried):
            yield j, carried
        after = b.block
    sums[:] = merge(b, start, before, carried, after)


def _meetings(k, stride, rows):
    """Source row by source row, the pairs (output row, kernel row) that meet there."""
    for r in range((rows - 1) * stride + k):
        steps = ((r - i, i) for i in range(k) if r >= i and (r - i) % stride == 0)
        yield [(step // stride, i) for step, i in steps if step < rows * stride]


@intrinsic
def filter_block(typingctx, which, x, ix, pitch, taps, it, cols, w, iw, down, out, ys, n, first, start):
    """R output rows of one vector of columns, K kernel rows; ``which = key(K, S, R)``::

        out[r*ys :+ n] = (start if first else out[r*ys :+ n])
            + sum over j < cols, i < K of w[iw + taps[it + cols + j] + i*down]
                                          * x[ix + taps[it + j] + (r*S + i)*pitch :+ lanes]

    x, taps (int64), w IN, out INOUT (`address`). All lanes are read from x; n lanes of out are touched if `MASKS`,
    else all.
    """
    vec = vector_of(x)

    def codegen(context, b, sig, args):
        which, x_, ix, pitch, taps_, it, cols, w_, iw, down, out, ys, n, first, start = args
        source, weights = emit.pointer(context, b, x, x_, ix), emit.pointer(context, b, w, w_, iw)
        at = emit.pointer(context, b, taps, taps_, it)
        weight = b.gep(at, [cols])
        whole, fresh = b.icmp_signed(">=", n, I64(vec.lanes)), emit.splat(b, vec.llvm, start)

        def rows_of(R):
            """Addresses of output rows, made where they are needed: they would not stay in registers."""
            place = out
            for _ in range(R):
                yield place
                place = b.gep(place, [ys])

        def block(K, S, R):
            entry = b.block
            with b.if_then(b.not_(first)):
                old = [emit.load_part(b, vec, p, n) if MASKS else emit.load(b, vec, p) for p in rows_of(R)]
                loaded = b.block
            sums = merge(b, [fresh] * R, entry, old, loaded)
            with _sum_over(b, cols, sums) as (j, acc):
                p = b.gep(source, [b.load(b.gep(at, [j]))])
                f = b.gep(weights, [b.load(b.gep(weight, [j]))])
                ks = [emit.splat(b, vec.llvm, b.load(b.gep(f, [b.mul(down, I64(i))]))) for i in range(K)]
                for pairs in _meetings(K, S, R):
                    row, p = emit.load(b, vec, p), b.gep(p, [pitch])
                    for r, i in pairs:
                        acc[r] = emit.fma(b, vec, row, ks[i], acc[r])
            if not MASKS:
                for value, place in zip(sums, rows_of(R), strict=True):
                    emit.store(b, vec, value, place)
                return
            with b.if_else(whole) as (then, otherwise):
                with then:
                    for value, place in zip(sums, rows_of(R), strict=True):
                        emit.store(b, vec, value, place)
                with otherwise:
                    for value, place in zip(sums, rows_of(R), strict=True):
                        emit.store_part(b, vec, value, place, n)

        with cases(b, which) as case:
            for K, S in _RUNS:
                for R in (TALL, HALF, LOW) if S == 1 else (HALF, LOW):
                    with case(key(K, S, R)):
                        block(K, S, R)
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, x, i, i, taps, i, i, w, i, i, out, i, i, types.boolean, x.dtype), codegen


@intrinsic
def gather_block(typingctx, which, x, ix, pitch, taps, it, cols, dy, ys, n, sums, at_sums):
    """Products of R rows of dy and all taps, n lanes of one vector of columns; ``which = key(K, S, R)``::

        sums[at_sums + (j*K + i)*lanes :+ n] += sum over r < R of
            dy[r*ys :+ n] * x[ix + taps[it + j] + (r*S + i)*pitch :+ n]          for j < cols, i < K

    x, taps (int64), dy (`address`) IN, sums INOUT. All lanes are read from x; n lanes of dy if `MASKS`, else all.
    """
    vec = vector_of(x)

    def codegen(context, b, sig, args):
        which, x_, ix, pitch, taps_, it, cols, dy, ys, n, sums_, at_sums = args
        source, out = emit.pointer(context, b, x, x_, ix), emit.pointer(context, b, sums, sums_, at_sums)
        at = emit.pointer(context, b, taps, taps_, it)
        mask, zero = emit.mask(b, vec, n), emit.zero(vec)

        def block(K, S, R):
            rows = [b.gep(dy, [b.mul(ys, I64(r))]) for r in range(R)]
            if MASKS:
                rows = [emit.load_part(b, vec, p, n) for p in rows]
            else:  # what lies behind n lanes may be NaN
                rows = [b.select(mask, emit.load(b, vec, p), zero) for p in rows]
            sets = 2 if R + 2 * K < REGISTERS else 1  # sums of even and of odd source rows do not wait for each other
            with loop(b, I64(0), cols, [out]) as (j, carried):
                p = b.gep(source, [b.load(b.gep(at, [j]))])
                places = [b.gep(carried[0], [I64(i * vec.lanes)]) for i in range(K)]
                a = [emit.load(b, vec, place) for place in places] + [zero] * (K * (sets - 1))
                for r, pairs in enumerate(_meetings(K, S, R)):
                    row, p = b.select(mask, emit.load(b, vec, p), zero), b.gep(p, [pitch])
                    for k, i in pairs:
                        s = i + r % sets * K
                        a[s] = emit.fma(b, vec, row, rows[k], a[s])
                for i, place in enumerate(places):
                    emit.store(b, vec, a[i] if sets == 1 else b.fadd(a[i], a[K + i]), place)
                carried[0] = b.gep(carried[0], [I64(K * vec.lanes)])

        with cases(b, which) as case:
            for K, S in _RUNS:
                for R in (TALL, HALF, LOW, 1) if S == 1 else (HALF, LOW, 1):
                    with case(key(K, S, R)):
                        block(K, S, R)
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, x, i, i, taps, i, i, dy, i, i, sums, i), codegen


@intrinsic
def copy_block(typingctx, source, ss, out, ys, rows, a, n):
    """out[r*ys :+ n] = source[r*ss :+ n] for r < rows (> 0): `address`es in arrays like a, n lanes."""
    vec = vector_of(a)

    def codegen(context, b, sig, args):
        source, ss, out, ys, rows, _, n = args
        with loop(b, I64(0), rows, [source, out]) as (_, places):
            emit.store_part(b, vec, emit.load_part(b, vec, places[0], n), places[1], n)
            places[:] = [b.gep(places[0], [ss]), b.gep(places[1], [ys])]
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, out, i, i, a, i), codegen


@intrinsic
def advance(typingctx, place, n):
    """advance(place, n) -> the `address` n numbers further."""
    return place(place, types.intp), lambda context, builder, sig, args: builder.gep(args[0], [args[1]])
