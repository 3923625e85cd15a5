"""What the steps of `fft_tiled` keep in registers: short Fourier transforms, complex products, pixels of planes.

A complex number is a pair of vectors: real and imaginary parts of as many signals. `place` and `a` are addresses.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from ..ground import emit
from ..ground.control import cases, loop, merge
from ..ground.emit import FLAGS, I64, vector_of
from ..ground.target import REGISTERS

intrinsic = extending.intrinsic(prefer_literal=True)

ROWS = 6 if REGISTERS == 32 else 2  # of a block of products: two complex vectors each


class _Complex:
    """A pair of vectors whose operators write LLVM IR."""

    def __init__(self, b, vec, r, i):
        self.b, self.vec, self.r, self.i = b, vec, r, i

    def _pair(self, r, i):
        return _Complex(self.b, self.vec, r, i)

    def __add__(self, o):
        return self._pair(self.b.fadd(self.r, o.r, flags=FLAGS), self.b.fadd(self.i, o.i, flags=FLAGS))

    def __sub__(self, o):
        return self._pair(self.b.fsub(self.r, o.r, flags=FLAGS), self.b.fsub(self.i, o.i, flags=FLAGS))

    def real(self, c):
        return ir.Constant(self.vec.llvm, [c] * self.vec.lanes)

    def times(self, c):
        """By a real number."""
        return self._pair(*(self.b.fmul(part, self.real(c), flags=FLAGS) for part in (self.r, self.i)))

    def plus(self, o, c):
        """self + c o, of a real number c."""
        c = self.real(c)
        return self._pair(emit.fma(self.b, self.vec, o.r, c, self.r), emit.fma(self.b, self.vec, o.i, c, self.i))

    def turned(self, o, c):
        """self - i c o, of a real number c."""
        r, i = (emit.fma(self.b, self.vec, x, self.real(f), y) for x, f, y in ((o.i, c, self.r), (o.r, -c, self.i)))
        return self._pair(r, i)

    def rotated(self, c, s):
        """Times c + i s, vectors."""
        b = self.b
        r = emit.fma(b, self.vec, self.r, c, b.fneg(b.fmul(self.i, s)))
        return self._pair(r, emit.fma(b, self.vec, self.i, c, b.fmul(self.r, s)))


def _dft2(a, b):
    return [a + b, a - b]


def _dft3(a, b, c):
    t, d, h = b + c, b - c, math.sqrt(0.75)
    m = a.plus(t, -0.5)
    return [a + t, m.turned(d, h), m.turned(d, -h)]


def _dft4(a, b, c, d):
    s, t, u, v = a + c, a - c, b + d, b - d
    return [s + u, t.turned(v, 1), s - u, t.turned(v, -1)]


def _dft5(a, b, c, d, e):
    c1, c2, s1, s2 = (f(2 * math.pi * k / 5) for f in (math.cos, math.sin) for k in (1, 2))
    p, q, r, s = b + e, b - e, c + d, c - d
    m, n = a.plus(p, c1).plus(r, c2), a.plus(p, c2).plus(r, c1)
    g, h = q.times(s1).plus(s, s2), q.times(s2).plus(s, -s1)
    return [a + p + r, m.turned(g, 1), n.turned(h, 1), n.turned(h, -1), m.turned(g, -1)]


def _dft8(*x):
    e, o, h = _dft4(*x[::2]), _dft4(*x[1::2]), math.sqrt(0.5)
    t, u = o[1].turned(o[1], 1), o[3].turned(o[3], -1)
    return [e[0] + o[0], e[1].plus(t, h), e[2].turned(o[2], 1), e[3].plus(u, -h),
            e[0] - o[0], e[1].plus(t, -h), e[2].turned(o[2], -1), e[3].plus(u, h)]  # fmt: skip


def _dft9(*x):
    columns = [_dft3(*x[k::3]) for k in range(3)]
    for i, j in ((1, 1), (1, 2), (2, 1), (2, 2)):
        value, angle = columns[i][j], -2 * math.pi * i * j / 9
        columns[i][j] = value.rotated(value.real(math.cos(angle)), value.real(math.sin(angle)))
    rows = [_dft3(*(column[j] for column in columns)) for j in range(3)]
    return [rows[k % 3][k // 3] for k in range(9)]


def _prime_factors(a, b, outer, inner):
    """Length a * b without twiddles (Good 1958): index b * i + a * j, frequency by remainders."""

    def dft(*x):
        rows = [inner(*(x[(b * i + a * j) % (a * b)] for j in range(b))) for i in range(a)]
        columns = [outer(*(row[j] for row in rows)) for j in range(b)]
        return [columns[k % b][k % a] for k in range(a * b)]

    return dft


_DFT = {4: _dft4, 5: _dft5, 6: _prime_factors(2, 3, _dft2, _dft3), 8: _dft8, 9: _dft9,
        10: _prime_factors(2, 5, _dft2, _dft5), 12: _prime_factors(4, 3, _dft4, _dft3)}  # fmt: skip


def _numbers(b, vec, n, place, apart, gap, have):
    """n complex numbers, `gap` from one to the next, imaginary parts `apart`; the k-th is zero unless have(k)."""
    places = [place]
    for _ in range(1, n):
        places.append(b.gep(places[-1], [gap]))
    with b.if_else(have(n - 1)) as (whole, part):
        with whole:
            full = [emit.load(b, vec, q) for p in places for q in (p, b.gep(p, [apart]))]
            after = b.block
        with part:
            nothing = b.bitcast(cgutils.alloca_once_value(b, emit.zero(vec)), place.type)
            there = [(have(k), p) for k, p in enumerate(places)]
            some = [emit.load(b, vec, b.select(k, q, nothing)) for k, p in there for q in (p, b.gep(p, [apart]))]
            other = b.block
    values = merge(b, full, after, some, other)
    return [_Complex(b, vec, *values[2 * k : 2 * k + 2]) for k in range(n)]


def _store_numbers(b, vec, values, place, apart, gap, have):
    """The reverse; nothing is written for the k-th unless have(k)."""

    def put(value, place):
        emit.store(b, vec, value.r, place)
        emit.store(b, vec, value.i, b.gep(place, [apart]))
        return b.gep(place, [gap])

    with b.if_else(have(len(values) - 1)) as (whole, part):
        with whole:
            p = place
            for value in values:
                p = put(value, p)
        with part:
            p = place
            for k, value in enumerate(values[:-1]):
                with b.if_then(have(k)):
                    put(value, p)
                p = b.gep(p, [gap])


def _apart(b, vec, re, im):
    """Numbers from the real to the imaginary part."""
    return b.sdiv(b.sub(b.ptrtoint(im, I64), b.ptrtoint(re, I64)), I64(vec.itemsize))


@intrinsic
def first_pass(typingctx, n, n2, re, im, step, count, y, row):
    """Transforms of length n of the n2 interleaved signals, `count` numbers in all: y[k * row + 2 * i].

    Steps count vectors, here and below.
    """
    vec = vector_of(re)

    def codegen(context, b, sig, args):
        n, n2, re, im, step, count, y, row = args
        step, row, apart = b.mul(step, I64(vec.lanes)), b.mul(row, I64(vec.lanes)), _apart(b, vec, re, im)
        gap = b.mul(n2, step)
        with cases(b, n) as case:
            for size, dft in _DFT.items():
                with case(size), loop(b, I64(0), n2, [re, y]) as (i, places):
                    left = b.sub(count, i)
                    x = _numbers(b, vec, size, places[0], apart, gap,
                                 lambda k, left=left: b.icmp_signed("<", b.mul(n2, I64(k)), left))  # fmt: skip
                    place = places[1]
                    for value in dft(*x):
                        emit.store(b, vec, value.r, place)
                        emit.store(b, vec, value.i, b.gep(place, [I64(vec.lanes)]))
                        place = b.gep(place, [row])
                    places[:] = [b.gep(places[0], [step]), b.gep(places[1], [I64(2 * vec.lanes)])]
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, re, im, i, i, y, i), codegen


@intrinsic
def last_pass(typingctx, n, n1, re, im, step, row, count, w, outr, outi, out, kept):
    """Twiddles w and transforms of length n of the n1 rows, `count` numbers each; frequency k + n1 * l to out."""
    vec = vector_of(re)

    def codegen(context, b, sig, args):
        n, n1, re, im, step, row, count, w, outr, outi, out, kept = args
        step, row, out = (b.mul(size, I64(vec.lanes)) for size in (step, row, out))
        apart, out_apart, gap = _apart(b, vec, re, im), _apart(b, vec, outr, outi), b.mul(n1, out)
        rows = emit.call(b, "llvm.smin.i64", I64, [n1, kept])
        with cases(b, n) as case:
            for size, dft in _DFT.items():
                with case(size), loop(b, I64(0), rows, [re, w, outr]) as (k, places):
                    x = _numbers(b, vec, size, places[0], apart, step, lambda k: b.icmp_signed("<", I64(k), count))
                    for j in range(1, size):
                        x[j] = x[j].rotated(
                            *(emit.splat(b, vec.llvm, b.load(b.gep(places[1], [I64(2 * j + e)]))) for e in range(2))
                        )
                    left = b.sub(kept, k)
                    _store_numbers(b, vec, dft(*x), places[2], out_apart, gap,
                                   lambda j, left=left: b.icmp_signed("<", b.mul(n1, I64(j)), left))  # fmt: skip
                    places[:] = [b.gep(places[0], [row]), b.gep(places[1], [I64(2 * size)]), b.gep(places[2], [out])]
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, re, im, i, i, i, w, outr, outi, i, i), codegen


@intrinsic
def complex_products(typingctx, nv, nm, a, am, al, ak, blocks, inner, start, around, most, f, fk, fv, c, cm, cv, first):
    """c[m][v] (+)= sum over k of a[m][k] * conj(f[k][v]), for nm <= ROWS scalars and nv (1 or 2) vectors::

        for i in range(blocks):
            for l in range(min(inner, most - (start + i) % around * inner)):
                sum[m][v] += a[m*am + i*ak + l*al] * conj(f[v*fv]);  f += fk
        c[m*cm + v*cv] = sum[m][v]          (added to, unless `first`)

    am, al and ak count numbers; imaginary parts lie a vector behind the real ones.
    """
    vec = vector_of(a)
    L = vec.lanes

    def codegen(context, b, sig, args):
        nv, nm, a, am, al, ak, blocks, inner, start, around, most, f, fk, fv, c, cm, cv, first = args
        fk, fv, cm, cv = (b.mul(n, I64(L)) for n in (fk, fv, cm, cv))

        def parts(place):
            return place, b.gep(place, [I64(L)])

        def step(place, factors, sums, NV, NM):
            pairs = [factors, b.gep(factors, [fv])][:NV]
            pairs = [[emit.load(b, vec, p) for p in parts(pair)] for pair in pairs]
            for m in range(NM):
                r, i = (emit.splat(b, vec.llvm, b.load(p)) for p in parts(place))
                for k, (fr, fi) in enumerate(pairs, m * NV):
                    sums[2 * k] = emit.fma(b, vec, i, fi, emit.fma(b, vec, r, fr, sums[2 * k]))
                    sums[2 * k + 1] = emit.fma(b, vec, b.fneg(r), fi, emit.fma(b, vec, i, fr, sums[2 * k + 1]))
                place = b.gep(place, [am])
            return sums

        def block(NV, NM):
            with loop(b, I64(0), blocks, [a, f, *[emit.zero(vec)] * (2 * NM * NV)]) as (i, outer):
                left = b.sub(most, b.mul(b.srem(b.add(start, i), around), inner))
                left = emit.call(b, "llvm.smin.i64", I64, [left, inner])
                with loop(b, I64(0), left, list(outer)) as (_, values):
                    sums = step(values[0], values[1], values[2:], NV, NM)
                    values[:] = [b.gep(values[0], [al]), b.gep(values[1], [fk]), *sums]
                outer[:] = [b.gep(outer[0], [ak]), *values[1:]]
            places, row = [], c
            for _ in range(NM):
                places += [p for place in [row, b.gep(row, [cv])][:NV] for p in parts(place)]
                row = b.gep(row, [cm])
            entry = b.block
            with b.if_then(b.not_(first)):
                more = [b.fadd(emit.load(b, vec, p), value) for p, value in zip(places, outer[2:], strict=True)]
                added = b.block
            for value, place in zip(merge(b, outer[2:], entry, more, added), places, strict=True):
                emit.store(b, vec, value, place)

        with cases(b, b.add(b.mul(nv, I64(8)), nm)) as case:
            for NV in (1, 2):
                for NM in range(1, ROWS + 1):
                    with case(8 * NV + NM):
                        block(NV, NM)
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, a, *[i] * 8, f, i, i, c, i, i, types.boolean), codegen
