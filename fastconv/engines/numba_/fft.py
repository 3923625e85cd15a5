"""Products of spectra, summed over channels. Lanes are neighbouring frequencies; real and imaginary parts alternate.

Sums of x * re(w) and of x * im(w) are kept apart: that is two FMAs a vector, and the parts of w alone are shuffled.
"""

from __future__ import annotations

from numba import extending, types

from ..records import FftProducts, places
from .ground import emit
from .ground import vector as v
from .ground.control import cases, loop, merge
from .ground.emit import I64, vector_of
from .ground.launch import step
from .ground.target import REGISTERS

intrinsic = extending.intrinsic(prefer_literal=True)

at = places(FftProducts)
_X, _W = (4, 2) if REGISTERS == 32 else (2, 2)  # spectra of x, and of w, in registers


@intrinsic
def _products(typingctx, ni, nj, x, ix, xi, xk, w, iw, wj, wk, y, iy, yi, yj, K, conjugate, add, n):
    """y[iy + i*yi + j*yj :+ n] (+)= sum over k < K of x[ix + i*xi + k*xk :+ n] * w[iw + j*wj + k*wk :+ n], complex,
    for i < ni <= 4, j < nj <= 2 and one vector; or times the conjugate of w. x, w IN, y OUT."""
    vec = vector_of(x)
    L = vec.lanes

    def codegen(context, b, sig, args):
        ni, nj, x_, ix, xi, xk, w_, iw, wj, wk, y_, iy, yi, yj, K, conjugate, add, n = args
        first = [emit.pointer(context, b, *pair) for pair in ((x, x_, ix), (w, w_, iw))]
        out = emit.pointer(context, b, y, y_, iy)
        signs = vec.llvm([1.0, -1.0] * (L // 2)), vec.llvm([-1.0, 1.0] * (L // 2))
        sign = b.select(conjugate, *signs)

        def read(address, step, count):
            places = [b.gep(address, [b.mul(step, I64(i))]) for i in range(count)]
            for place in places:
                emit.prefetch(b, b.gep(place, [I64(L)]))
            return [emit.load_part(b, vec, place, n) for place in places]

        def tile(NI, NJ):
            sums = [emit.zero(vec)] * (2 * NI * NJ)
            before = b.block
            with b.if_then(b.icmp_signed("<", I64(0), K)):
                with loop(b, I64(0), K, [*first, *sums]) as (_, values):
                    at_x, at_w, *inner = values
                    xs, ws = read(at_x, xi, NI), read(at_w, wj, NJ)
                    for j, f in enumerate(ws):
                        parts = [emit.shuffle(b, f, f, [k & ~1 | part for k in range(L)]) for part in (0, 1)]
                        for at in range(2 * NI):
                            i, part = at // 2, at % 2
                            k = (i * NJ + j) * 2 + part
                            inner[k] = emit.fma(b, vec, xs[i], parts[part], inner[k])
                    values[:] = [b.gep(at_x, [xk]), b.gep(at_w, [wk]), *inner]
                after = b.block
            sums = merge(b, sums, before, values[2:], after)
            for i in range(NI):
                for j in range(NJ):
                    re, im = sums[(i * NJ + j) * 2 : (i * NJ + j) * 2 + 2]
                    value = emit.fma(b, vec, emit.shuffle(b, im, im, [k ^ 1 for k in range(L)]), sign, re)
                    place = b.gep(out, [b.add(b.mul(yi, I64(i)), b.mul(yj, I64(j)))])
                    old = emit.load_part(b, vec, place, b.select(add, n, I64(0)))
                    emit.store_part(b, vec, b.fadd(old, value), place, n)

        with cases(b, b.add(b.mul(ni, I64(8)), nj)) as case:
            for NI in range(1, _X + 1):
                for NJ in range(1, _W + 1):
                    with case(NI * 8 + NJ):
                        tile(NI, NJ)
        return context.get_dummy_value()

    i, flag = types.intp, types.boolean
    return types.void(i, i, x, i, i, i, w, i, i, i, y, i, i, i, i, flag, flag, i), codegen


@step("y")
def spectral_multiply(x, w, y, q, conjugate, add, ithr, nthr):
    """y[g, i, j] INOUT (+)= sum over k of x[g, i, k] * w[g, j, k], or times its conjugate; added only if `add`.

    Arrays hold spectra, real and imaginary parts in turn. Parallel over groups and frequencies.
    """
    L, size, groups = v.lanes(y), q[at.size], q[at.groups]
    xi, xg, wj, wg, yi, yj, yg = q[at.xi], q[at.xg], q[at.wj], q[at.wg], q[at.yi], q[at.yj], q[at.yg]
    vectors = (size + L - 1) // L
    chunks = 1 if nthr == 1 else min(vectors, (4 * nthr + groups - 1) // groups)
    for task in range(groups * chunks * ithr // nthr, groups * chunks * (ithr + 1) // nthr):
        g, k = task // chunks, task % chunks
        for f in range(vectors * k // chunks * L, min(size, vectors * (k + 1) // chunks * L), L):
            for i in range(0, q[at.i], _X):
                for j in range(0, q[at.j], _W):
                    at_x, at_w, at_y = g * xg + i * xi + f, g * wg + j * wj + f, g * yg + i * yi + j * yj + f
                    _products(
                        min(_X, q[at.i] - i), min(_W, q[at.j] - j), x, at_x, xi, q[at.xk], w, at_w, wj, q[at.wk],
                        y, at_y, yi, yj, q[at.k], conjugate, add, min(L, size - f),
                    )  # fmt: skip
