"""The register block of direct convolution on channels-last arrays, for all three passes::

    a[r][j] += x[r] * w[j]        nr broadcast numbers x nv vectors

while runs of the source stream by. In the products (forward, grad_input) r is a pixel and a step goes on to the next
number of a kernel row; in the sums (grad_weight) r is a number of a kernel row and a step goes on to the next pixel.
A block of every size is a function of its own, called by its place in a table.
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

#: vectors of outputs: pixels at most beside them; all sums stay in registers
BLOCKS = {1: 14, 2: 14, 3: 9, 4: 7} if REGISTERS == 32 else {1: 12, 2: 6, 3: 4}
ONTO, BIAS, RESIDUAL, WIDE = 1, 2, 4, 8  # what is added to the products; whole vectors are stored
RELU, RELU6 = 1, 2
_NEAR = 3  # pixels that are reached from one address


def _held(b, address):
    """The address, in a register of its own: LLVM would count every sum of it and an offset by itself."""
    return b.asm(ir.FunctionType(address.type, [address.type]), "", "=r,0", [address], False)


def _step(b, vec, nv, nr, far, places, w, sums):
    """One step of a run: sums in place; the numbers are at `places` of the addresses `far`."""
    held = 2 if nv == 4 else nv  # with four and 28 sums there is no register for what is broadcast
    for j in range(0, nv, held):
        far = [_held(b, address) for address in far]  # broadcast anew
        vectors = [emit.load(b, vec, b.gep(w, [I64((j + k) * vec.lanes)])) for k in range(held)]
        for r in range(nr):
            k = r * nv + j
            address = b.gep(far[r // len(places)], [places[r % len(places)]])
            scalar = emit.splat(b, vec.llvm, b.load(address))
            sums[k : k + held] = [emit.fma(b, vec, v, scalar, a) for v, a in zip(vectors, sums[k:], strict=False)]
    return far


def _multiply(b, vec, nv, nr, pixel, step, x, w, job):
    """All runs: emits the loops over rows, taps and numbers; returns the sums. pixel: numbers to the next place."""
    rows, taps, n, row, tap = job
    near = nr if isinstance(pixel, ir.Constant) else _NEAR
    places = [b.mul(pixel, I64(k)) for k in range(near)]
    zeros, before = [emit.zero(vec)] * (nr * nv), b.block
    with b.if_then(b.and_(b.icmp_signed("<", I64(0), rows), b.icmp_signed("<", I64(0), b.mul(taps, n)))):
        with loop(b, I64(0), rows, [w, *zeros]) as (i, outer):
            with loop(b, I64(0), taps, outer) as (t, middle):
                start = b.gep(x, [b.add(b.mul(i, row), b.mul(t, tap))])
                far = [b.gep(start, [b.mul(pixel, I64(k))]) for k in range(0, nr, near)]
                with loop(b, I64(0), n, [*far, *middle]) as (_, inner):
                    far, w, sums = inner[: len(far)], inner[len(far)], inner[len(far) + 1 :]
                    far = _step(b, vec, nv, nr, far, places, w, sums)
                    inner[:] = [*(b.gep(p, [step]) for p in far), b.gep(w, [I64(nv * vec.lanes)]), *sums]
                middle[:] = inner[len(far) :]
            outer[:] = middle
        after = b.block
    return merge(b, zeros, before, outer[1:], after)


def _products(b, vec, nv, nr, args):
    x, w, y, bias, residual, rows, taps, n, row, tap, pixel, out, lanes, adds, activation = args
    sums = _multiply(b, vec, nv, nr, pixel, I64(1), x, w, (rows, taps, n, row, tap))
    wide = b.icmp_signed("!=", b.and_(adds, I64(WIDE)), I64(0))
    whole = b.or_(wide, b.icmp_signed("==", lanes, I64(vec.lanes)))
    last = emit.mask(b, vec, lanes)

    def each(start, step):
        """Address of every vector, and whether it is one of the last, of which only some lanes are outputs."""
        for r in range(nr):
            for j in range(nv):
                yield b.gep(start, [b.add(b.mul(step, I64(r)), I64(j * vec.lanes))]), j == nv - 1

    def fetched(address, part):
        return emit.load_masked(b, vec, address, last) if part else emit.load(b, vec, address)

    with loop(b, I64(0), I64(3), sums) as (k, sums):  # what was summed before, bias and residual
        before = b.block
        with b.if_then(b.trunc(b.lshr(adds, k), ir.IntType(1))):
            first, second = b.icmp_signed("==", k, I64(0)), b.icmp_signed("==", k, I64(1))
            start = b.select(first, y, b.select(second, bias, residual))
            more = [fetched(*place) for place in each(start, b.select(second, I64(0), out))]
            total = [b.fadd(a, m, flags=emit.FLAGS) for a, m in zip(sums, more, strict=True)]
            after = b.block
        sums[:] = merge(b, sums, before, total, after)
    before = b.block
    with b.if_then(b.icmp_unsigned("<=", b.sub(activation, I64(RELU)), I64(RELU6 - RELU))):
        zero = emit.zero(vec)
        positive = [b.select(b.fcmp_ordered("<", a, zero), zero, a) for a in sums]  # NaN stays
        after = b.block
    sums = merge(b, sums, before, positive, after)
    before = b.block
    with b.if_then(b.icmp_signed("==", activation, I64(RELU6))):
        six = ir.Constant(vec.llvm, [6.0] * vec.lanes)
        limited = [b.select(b.fcmp_ordered(">", a, six), six, a) for a in sums]
        after = b.block
    sums = merge(b, sums, before, limited, after)
    places = list(each(y, out))
    for a, (address, part) in zip(sums, places, strict=True):
        if not part:
            emit.store(b, vec, a, address)
    ends = [(a, address) for a, (address, part) in zip(sums, places, strict=True) if part]
    with b.if_else(whole) as (then, otherwise):
        with then:
            for a, address in ends:
                emit.store(b, vec, a, address)
        with otherwise:
            for a, address in ends:
                emit.store_masked(b, vec, a, address, last)


def _sums(b, vec, nv, nr, args):
    x, w, y, rows, taps, n, row, tap, pixel, out, onto = args
    sums = _multiply(b, vec, nv, nr, I64(1), pixel, x, w, (rows, taps, n, row, tap))
    places = [b.gep(y, [b.add(b.mul(out, I64(r)), I64(j * vec.lanes))]) for r in range(nr) for j in range(nv)]
    before = b.block
    with b.if_then(b.icmp_signed("!=", onto, I64(0))):  # a strip's sum is its own: errors grow with its length only
        total = [b.fadd(emit.load(b, vec, p), a, flags=emit.FLAGS) for p, a in zip(places, sums, strict=True)]
        after = b.block
    for a, place in zip(merge(b, sums, before, total, after), places, strict=True):
        emit.store(b, vec, a, place)


def _table(module, vec, body, kind):
    """Functions of all blocks, at [nv * _ROW + nr] of a constant table."""
    row = 1 + max(BLOCKS.values())
    entries = [ir.Constant(kind.as_pointer(), None)] * (row * (1 + max(BLOCKS)))
    for nv, most in BLOCKS.items():
        for nr in range(1, most + 1):
            f = ir.Function(module, kind, module.get_unique_name(f"direct{body.__name__}_{nv}_{nr}"))
            f.linkage = "internal"
            f.attributes.add("noinline")
            b = ir.IRBuilder(f.append_basic_block())
            body(b, vec, nv, nr, f.args)
            b.ret_void()
            entries[nv * row + nr] = f
    kind = ir.ArrayType(kind.as_pointer(), len(entries))
    return cgutils.global_constant(module, f"direct{body.__name__}", ir.Constant(kind, entries)), row


def _call(body, nv, nr, x, args):
    """The intrinsic's signature and code: call the block of nv x nr with these arguments."""
    vec = vector_of(x)

    def codegen(context, b, sig, values):
        nv, nr, *values = values
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        table, row = _table(b.module, vec, body, kind)
        place = b.add(b.mul(nv, I64(row)), nr)
        b.call(b.load(b.gep(table, [I64(0), place])), values)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, *args), codegen


@intrinsic
def products_block(typingctx, nv, nr, x, w, y, bias, residual, rows, taps, n, row, tap, pixel, out, lanes, adds,
                   activation):  # fmt: skip
    """y[r*out + j*L :+ L] = activation(sum + ...) for nr pixels r and nv vectors j; all arrays are addresses::

        sum over i < rows, t < taps, k < n of x[i*row + t*tap + r*pixel + k] * w[((i*taps + t)*n + k)*nv*L + j*L :+ L]

    adds: ONTO, the result holds sums to go on from; BIAS, RESIDUAL (lies as y) are added; WIDE, the last vector
    is stored whole.
    lanes: of the last vector, that are outputs; no others are touched.
    """
    i = types.intp
    return _call(_products, nv, nr, x, (x, x, x, x, x, *[i] * 10))


@intrinsic
def sums_block(typingctx, nv, nr, x, w, y, rows, taps, n, row, tap, pixel, out, onto):
    """y[r*out + j*L :+ L] (+)= sum for nr numbers r and nv vectors j; all arrays are addresses::

    sum over i < rows, t < taps, k < n of x[i*row + t*tap + k*pixel + r] * w[((i*taps + t)*n + k)*nv*L + j*L :+ L]
    """
    i = types.intp
    return _call(_sums, nv, nr, x, (x, x, x, *[i] * 8))
