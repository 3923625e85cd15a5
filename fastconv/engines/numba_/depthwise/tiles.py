"""Tiles of channel-wise convolution of channels-last arrays: lanes are channels, a block of outputs or of taps stays
in registers. See cython_/depthwise/last.h and last_weight.h, whose loops these are.

A tile of every kernel and kind is a function of its own, called by its place in a table.
"""

from __future__ import annotations

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from ..ground import emit
from ..ground.control import loop, merge
from ..ground.emit import I64, vector_of
from ..ground.target import REGISTERS

intrinsic = extending.intrinsic(prefer_literal=True)

#: neighbouring taps, and the step between pixels, that are unrolled; the last, one tap a group, takes any step
KERNELS = ((7, 1), (5, 1), (3, 1), (2, 1), (5, 2), (3, 2), (1, 0))
ANY = len(KERNELS) - 1
WIDE, NARROW = 7, 4  # columns of a tile
WIDE_ROWS, NARROW_ROWS, BLOCK = (3, 3, 3) if REGISTERS == 32 else (1, 2, 2)  # BLOCK: rows that tiles share out
INSIDE, EDGE, PART = range(3)  # kinds: the last is narrow, may lie at an edge and may have fewer channels than lanes
SUM_WIDE, SUM_BLOCK = (7, 4) if REGISTERS == 32 else (4, 4)  # columns of a tile, rows of a block
SUMS_INSIDE, SUMS_EDGE, SUMS_ROW, SUMS_ONE = range(4)  # the last two: one kernel row, and one column
BIAS, RESIDUAL = 1, 2  # what is added


def sum_rows(taps):
    """Kernel rows whose sums are in registers beside each other."""
    return 3 if REGISTERS == 32 or taps < 5 else 2 if taps < 7 else 1


class _Body:
    """One function: a builder, its vectors, and how it reads a pixel."""

    def __init__(self, b, vec, kernel, columns, edge, part, lanes, width):
        self.b, self.vec, self.columns, self.edge, self.width = b, vec, columns, edge, width
        self.taps, self.step = kernel
        self.mask = emit.mask(b, vec, lanes) if part else None
        #: columns of the source that a row of the tile meets
        self.window = self.step * (columns - 1) + self.taps if self.step else columns

    def load(self, address):
        if self.mask is None:
            return emit.load(self.b, self.vec, address)
        return emit.load_masked(self.b, self.vec, address, self.mask)

    def store(self, value, address):
        if self.mask is None:
            emit.store(self.b, self.vec, value, address)
        else:
            emit.store_masked(self.b, self.vec, value, address, self.mask)

    def fma(self, x, y, a):
        return emit.fma(self.b, self.vec, x, y, a)

    def within(self, i, size):
        return self.b.icmp_unsigned("<", i, size)

    def place(self, start, *offsets):
        """start[a*b + c*d + ...] of pairs."""
        total = I64(0)
        for x, y in offsets:
            total = self.b.add(total, self.b.mul(x, y))
        return self.b.gep(start, [total])

    def next(self, address, step):
        """The next of some neighbours: one addition each, where LLVM would keep all their distances in registers."""
        address = self.b.gep(address, [step])
        return self.b.asm(ir.FunctionType(address.type, [address.type]), "", "=r,0", [address], False)

    def when(self, condition, values, more):
        """The values, or if the condition holds what `more` makes of them."""
        before = self.b.block
        with self.b.if_then(condition):
            changed = more(list(values))
            after = self.b.block
        return merge(self.b, values, before, changed, after)

    def meet(self, start, pixel, first, column, sums, place, factor):
        """Every pixel of a row's window, loaded once: sums[place(t, tap)] += pixel * factor(t, tap).

        first: its column in the source; a pixel beside the source adds nothing.
        """
        b, step = self.b, self.b.mul(column, pixel)
        for c in range(self.window):
            pairs = [(t, c - self.step * t) for t in range(self.columns)] if self.step else [(c, 0)]
            pairs = [(t, n) for t, n in pairs if 0 <= n < self.taps]
            held = [place(t, n) for t, n in pairs]

            def add(old, pairs=pairs, address=start):
                q = self.load(address)
                return [self.fma(q, factor(t, n), a) for (t, n), a in zip(pairs, old, strict=True)]

            old = [sums[k] for k in held]
            if self.edge:
                inside = self.within(b.add(first, b.mul(column, I64(c))), self.width)
                found = self.when(inside, old, add)
            else:
                found = add(old)
            for k, value in zip(held, found, strict=True):
                sums[k] = value
            start = self.next(start, step)


def _tile(b, vec, kernel, kind, args):
    (x, w, y, bias, residual, vectors, panel, line, pixel, out_line, out_pixel, height, width, i0, j0, step, dilation,
     taps, column, group, groups, rows, cols, lanes, adds, low) = args  # fmt: skip
    R, T = (NARROW_ROWS, NARROW) if kind == PART else (WIDE_ROWS, WIDE)
    f, L = _Body(b, vec, kernel, T, kind != INSIDE, kind == PART, lanes, width), I64(vec.lanes)
    low = emit.splat(b, vec.llvm, low)
    adds_bias, adds_residual = (b.icmp_unsigned("!=", b.and_(adds, I64(k)), I64(0)) for k in (BIAS, RESIDUAL))
    some = b.icmp_signed("<", I64(0), b.mul(taps, groups))
    zeros = [emit.zero(vec)] * (R * T)

    def kernel_rows(_):
        with loop(b, I64(0), taps, [w_, *zeros]) as (u, outer):
            row = b.add(i0, b.mul(u, dilation))
            with loop(b, I64(0), groups, outer) as (g, inner):
                first = b.add(j0, b.mul(g, group))
                k = [emit.load(b, vec, b.gep(inner[0], [I64(n * vec.lanes)])) for n in range(f.taps)]
                for r in range(R):
                    i = b.add(row, b.mul(step, I64(r)))

                    def products(sums, i=i):
                        start = f.place(x_, (i, line), (first, pixel))
                        f.meet(start, pixel, first, column, sums, lambda t, n: t, lambda t, n: k[n])
                        return sums

                    own = slice(1 + r * T, 1 + r * T + T)
                    there = b.and_(b.icmp_signed("<", I64(r), rows), f.within(i, height))
                    inner[own] = f.when(there, inner[own], products)
                inner[0] = b.gep(inner[0], [I64(f.taps * vec.lanes)])
            outer[:] = inner
        return outer[1:]

    def finish(a, offset):
        if_residual = f.when(adds_residual, [a], lambda s: [b.fadd(s[0], f.load(b.gep(residual_, [offset])))])[0]
        value = b.select(b.fcmp_ordered("<", if_residual, low), low, if_residual)  # NaN stays
        f.store(value, b.gep(y_, [offset]))

    with loop(b, I64(0), vectors, [x, w, y, bias, residual]) as (_, places):
        x_, w_, y_, bias_, residual_ = places
        sums = f.when(some, zeros, kernel_rows)
        sums = f.when(adds_bias, sums, lambda old: [b.fadd(a, q) for q in [f.load(bias_)] for a in old])
        for r in range(R):
            with b.if_then(b.icmp_signed("<", I64(r), rows)):
                for t in range(T):
                    offset = b.add(b.mul(out_line, I64(r)), b.mul(out_pixel, I64(t)))
                    if not f.edge:
                        finish(sums[r * T + t], offset)
                        continue
                    with b.if_then(b.icmp_signed("<", I64(t), cols)):
                        finish(sums[r * T + t], offset)
        steps = (L, panel, L, L, L)
        places[:] = [b.gep(p, [s]) for p, s in zip((x_, w_, y_, bias_, residual_), steps, strict=True)]


def _sums(b, vec, kernel, kind, args):
    (x, dy, sums, vectors, panel, line, pixel, dy_line, dy_pixel, height, width, i0, j0, step, dilation, column, group,
     groups, rows, lanes) = args  # fmt: skip
    U, T = 1 if kind in (SUMS_ROW, SUMS_ONE) else sum_rows(kernel[0]), 1 if kind == SUMS_ONE else SUM_WIDE
    f, L = _Body(b, vec, kernel, T, kind != SUMS_INSIDE, kind == SUMS_ONE, lanes, width), I64(vec.lanes)
    N = f.taps if f.step else T  # one tap has a sum a column, so that they do not wait for each other
    with loop(b, I64(0), vectors, [x, dy, sums]) as (_, places):
        x_, dy_, sums_ = places
        with loop(b, I64(0), groups, [sums_]) as (g, of):
            first = b.add(j0, b.mul(g, group))
            with loop(b, I64(0), rows, [emit.zero(vec)] * (U * N)) as (r, total):
                d, q = [], f.place(dy_, (r, dy_line))
                for _t in range(T):
                    d.append(f.load(q))
                    q = f.next(q, dy_pixel)
                for u in range(U):
                    i = b.add(i0, b.add(b.mul(r, step), b.mul(dilation, I64(u))))

                    def products(own, i=i, d=d):
                        start = f.place(x_, (i, line), (first, pixel))
                        f.meet(start, pixel, first, column, own, lambda t, n: n if f.step else t, lambda t, n: d[t])
                        return own

                    own = slice(u * N, u * N + N)
                    total[own] = f.when(f.within(i, height), total[own], products)
            for u in range(U):
                found = total[u * N : u * N + N]
                if not f.step:
                    while len(found) > 1:
                        found = [b.fadd(found[0], found[1]), *found[2:]]
                for n, value in enumerate(found):
                    at = b.gep(of[0], [b.mul(b.add(b.mul(I64(u * f.taps), groups), I64(n)), L)])
                    emit.store(b, vec, b.fadd(emit.load(b, vec, at), value), at)
            of[0] = b.gep(of[0], [I64(f.taps * vec.lanes)])
        places[:] = [b.gep(p, [s]) for p, s in zip((x_, dy_, sums_), (L, L, panel), strict=True)]


def _call(body, kinds, which, x, args):
    """The intrinsic's signature and code: call function `which` of the table of all kernels and kinds."""
    vec = vector_of(x)

    def table(module, kind):
        """Made once in a module, however many calls there are."""
        name = f"depthwise{body.__name__}_{vec.suffix}"
        if name in module.globals:
            return module.globals[name]
        entries = []
        for kernel in KERNELS:
            for k in range(kinds):
                f = ir.Function(module, kind, module.get_unique_name(f"{name}_function"))
                f.linkage = "internal"
                f.attributes.add("noinline")
                b = ir.IRBuilder(f.append_basic_block())
                body(b, vec, kernel, k, f.args)
                b.ret_void()
                entries.append(f)
        return cgutils.global_constant(
            module, name, ir.Constant(ir.ArrayType(kind.as_pointer(), len(entries)), entries)
        )

    def codegen(context, b, sig, values):
        which, *values = values
        functions = table(b.module, ir.FunctionType(ir.VoidType(), [value.type for value in values]))
        b.call(b.load(b.gep(functions, [I64(0), which])), values)
        return context.get_dummy_value()

    return types.void(types.intp, *args), codegen


@intrinsic
def last_tile(typingctx, which, x, w, y, bias, residual, vectors, panel, line, pixel, out_line, out_pixel, height,
              width, i0, j0, step, dilation, taps, column, group, groups, rows, cols, lanes, adds, low):  # fmt: skip
    """A tile of outputs, for so many vectors of channels; ``which = kernel * 3 + kind``, arrays are addresses.

    The first output's window begins at row i0 and column j0 of the source x, whose pixel (0, 0) is x[0]. taps kernel
    rows are `dilation` apart, groups of taps of a row `group`, pixels that neighbouring outputs meet `column`. y,
    residual: the first output. rows, cols: outputs that there are. adds: BIAS, RESIDUAL; results are `low` at least.
    """
    i = types.intp
    return _call(_tile, 3, which, x, (x, x, x, x, x, *[i] * 20, x.dtype))


@intrinsic
def last_sums(typingctx, which, x, dy, sums, vectors, panel, line, pixel, dy_line, dy_pixel, height, width, i0, j0,
              step, dilation, column, group, groups, rows, lanes):  # fmt: skip
    """Sums of some kernel rows over a tile of dy, added; ``which = kernel * 4 + kind``, as `last_tile`."""
    i = types.intp
    return _call(_sums, 4, which, x, (x, x, x, *[i] * 17))
