"""activation(conv + bias + residual): the vector mathematics, for the last store of any kernel and for the steps.

``activate(x, code)`` and its derivative ``slope(x, code)`` are intrinsics on vectors, their formulas those of
cython_/ground/epilogue.h. A NaN stays one. Errors are a few units in the last place; values below the smallest normal
number become 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import extending, types

from . import emit
from .emit import I64, Vector


class _Numbers(NamedTuple):
    """What differs between the dtypes; polynomials from their constant term on."""

    rounder: float  # what is added to it is rounded to an integer
    ln2: tuple[float, float]  # in two parts; the product of the first and a small integer is exact
    lowest: float  # argument of exp
    mantissa: int
    bias: int
    low_bits: int  # of a mantissa; the square of the rest is exact
    centre: float
    farthest: float  # argument of erfc, times sqrt 2
    exp: tuple[float, ...]  # (exp(r) - 1 - r) / r^2
    erfc: tuple[float, ...]  # erfc(z) exp(z^2) (1 + 2 z) in (z - centre) / (z + centre)


_NUMBERS = {
    types.float32: _Numbers(
        12582912.0, (0.693359375, -2.12194440e-4), -87.0, 23, 127, 12, 2.0, 14.0,
        (5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4),
        (1.27697838, -0.0927639492, -0.16603042, 0.164054921, -0.0542142665, -0.00806082511, 0.00866425515,
         0.00132779028, -0.00126411949, -0.000424122529),
    ),
    types.float64: _Numbers(
        6755399441055744.0, (6.93145751953125e-1, 1.42860682030941723212e-6), -708.0, 52, 1023, 27, 3.75, 38.0,
        tuple(1 / math.factorial(k) for k in range(2, 14)),
        (1.2375126308378275, -0.14024059858554666, 0.0035854154854640255, 0.08227673849011126, -0.10880393014172599,
         0.09230432116155088, -0.0586933985900156, 0.028362277400275623, -0.009746579556660783, 0.00175562601747722,
         0.0002937136866697864, -0.000290154959763873, 5.164883593850731e-05, 2.238721562254353e-05,
         -1.1442811976244923e-05, -9.800172141516269e-07, 1.7478824385269808e-06, -4.842872943552784e-08,
         -2.524700289647785e-07, 1.6250793211083987e-08, 3.2854613978498315e-08, -9.76418557556311e-10,
         -2.4443868097632503e-09),
    ),
}  # fmt: skip


class _Maths:
    """Formulas on vectors of one type, written as IR."""

    def __init__(self, builder: Any, vec: Vector) -> None:
        self.b, self.vec, self.n = builder, vec, _NUMBERS[vec.dtype]
        self.ints = ir.VectorType(ir.IntType(8 * vec.itemsize), vec.lanes)

    def number(self, value: Any) -> Any:
        """A Python number in every lane; a vector as it is."""
        return ir.Constant(self.vec.llvm, [float(value)] * self.vec.lanes) if isinstance(value, (int, float)) else value

    def whole(self, value: int) -> Any:
        return ir.Constant(self.ints, [value] * self.vec.lanes)

    def add(self, x: Any, y: Any) -> Any:
        return self.b.fadd(self.number(x), self.number(y), flags=emit.FLAGS)

    def sub(self, x: Any, y: Any) -> Any:
        return self.b.fsub(self.number(x), self.number(y), flags=emit.FLAGS)

    def mul(self, x: Any, y: Any) -> Any:
        return self.b.fmul(self.number(x), self.number(y), flags=emit.FLAGS)

    def div(self, x: Any, y: Any) -> Any:
        return self.b.fdiv(self.number(x), self.number(y), flags=emit.FLAGS)

    def if_less(self, x: Any, y: Any, p: Any, q: Any) -> Any:
        """p where x < y, else q, also for NaN."""
        return self.b.select(self.b.fcmp_ordered("<", self.number(x), self.number(y)), self.number(p), self.number(q))

    def no_less(self, x: Any, a: float) -> Any:
        return self.if_less(x, a, a, x)

    def no_more(self, x: Any, a: float) -> Any:
        return self.if_less(a, x, a, x)

    def magnitude(self, x: Any) -> Any:
        return emit.call(self.b, f"llvm.fabs.{self.vec.suffix}", self.vec.llvm, [x])

    def polynomial(self, x: Any, terms: tuple[float, ...]) -> Any:
        value = self.number(terms[-1])
        for term in terms[-2::-1]:
            value = self.add(self.mul(value, x), term)
        return value

    def exp_parts(self, x: Any, rest: Any = 0.0) -> tuple[Any, Any]:
        """(s, e) with s + s e = exp(x + rest), x <= 0 and rest tiny; s is a power of 2, or 0."""
        b, n = self.b, self.n
        within = self.no_less(x, n.lowest)
        shifted = self.add(self.mul(within, math.log2(math.e)), n.rounder)
        k = self.sub(shifted, n.rounder)
        r = self.sub(self.sub(within, self.mul(k, n.ln2[0])), self.mul(k, n.ln2[1]))
        r = self.add(r, rest)
        zero = b.bitcast(self.number(n.rounder), self.ints)
        exponent = b.add(b.sub(b.bitcast(shifted, self.ints), zero), self.whole(n.bias))
        scale = b.bitcast(b.shl(exponent, self.whole(n.mantissa)), self.vec.llvm)
        more = self.add(r, self.mul(self.mul(r, r), self.polynomial(r, n.exp)))
        return self.if_less(x, n.lowest, 0.0, scale), more

    def exp(self, x: Any, rest: Any = 0.0) -> Any:
        scale, more = self.exp_parts(x, rest)
        return self.add(scale, self.mul(scale, more))

    def relu(self, x: Any) -> Any:
        return self.no_less(x, 0.0)

    def relu6(self, x: Any) -> Any:
        return self.no_more(self.no_less(x, 0.0), 6.0)

    def leaky_relu(self, x: Any) -> Any:
        return self.if_less(x, 0.0, self.mul(x, 0.01), x)

    def silu(self, x: Any) -> Any:
        return self.mul(x, self.sigmoid(x))

    def hardswish(self, x: Any) -> Any:
        return self.div(self.mul(x, self.relu6(self.add(x, 3.0))), 6.0)

    def gelu(self, x: Any) -> Any:
        return self.mul(x, self.normal(x))

    def normal(self, x: Any) -> Any:
        """Phi(x), with Phi(-z) = erfc(z / sqrt 2) / 2 as Shepherd and Laframboise (Math. Comp. 1981) have it."""
        b, n = self.b, self.n
        a = self.no_more(self.magnitude(x), n.farthest)
        z = self.mul(a, math.sqrt(0.5))
        high = b.bitcast(b.and_(b.bitcast(a, self.ints), self.whole(-(1 << n.low_bits))), self.vec.llvm)
        p = self.polynomial(self.div(self.sub(z, n.centre), self.add(z, n.centre)), n.erfc)
        low = self.mul(self.mul(self.sub(a, high), self.add(a, high)), -0.5)
        e = self.exp(self.mul(self.mul(high, high), -0.5), low)
        tail = self.div(self.mul(e, p), self.add(self.mul(z, 4.0), 2.0))
        return self.if_less(x, 0.0, tail, self.sub(1.0, tail))

    def sigmoid(self, x: Any) -> Any:
        t = self.exp(self.sub(0.0, self.magnitude(x)))
        return self.div(self.if_less(x, 0.0, t, 1.0), self.add(t, 1.0))

    def tanh(self, x: Any) -> Any:
        """(1 - t) / (1 + t) with t = exp(-2 |x|), by way of t - 1."""
        scale, more = self.exp_parts(self.mul(self.magnitude(x), -2.0))
        less = self.add(self.sub(scale, 1.0), self.mul(scale, more))
        y = self.div(less, self.add(less, 2.0))
        return self.if_less(x, 0.0, y, self.sub(0.0, y))

    def relu_slope(self, x: Any) -> Any:
        return self.if_less(0.0, x, 1.0, 0.0)

    def relu6_slope(self, x: Any) -> Any:
        return self.if_less(0.0, x, self.if_less(x, 6.0, 1.0, 0.0), 0.0)

    def leaky_relu_slope(self, x: Any) -> Any:
        return self.if_less(0.0, x, 1.0, 0.01)

    def silu_slope(self, x: Any) -> Any:
        return self.add(self.sigmoid(x), self.mul(x, self.sigmoid_slope(x)))

    def hardswish_slope(self, x: Any) -> Any:
        rising = self.if_less(-3.0, x, self.add(self.div(x, 3.0), 0.5), 0.0)
        return self.if_less(x, 3.0, rising, 1.0)

    def gelu_slope(self, x: Any) -> Any:
        a = self.no_more(self.magnitude(x), self.n.farthest)
        density = self.mul(self.exp(self.mul(self.mul(a, a), -0.5)), 1 / math.sqrt(2 * math.pi))
        return self.add(self.normal(x), self.mul(x, density))

    def sigmoid_slope(self, x: Any) -> Any:
        """t / (1 + t)^2 with t = exp(-|x|), without the cancellation of s (1 - s)."""
        t = self.exp(self.sub(0.0, self.magnitude(x)))
        u = self.add(t, 1.0)
        return self.div(t, self.mul(u, u))

    def tanh_slope(self, x: Any) -> Any:
        return self.mul(self.sigmoid_slope(self.mul(x, 2.0)), 4.0)


#: in the order of ACTIVATIONS in algorithms/base.py, from 1 on
_FORMULAS: tuple[Callable[[_Maths, Any], Any], ...] = (
    _Maths.relu, _Maths.relu6, _Maths.leaky_relu, _Maths.silu, _Maths.hardswish, _Maths.gelu, _Maths.sigmoid,
    _Maths.tanh,
)  # fmt: skip
_SLOPES: tuple[Callable[[_Maths, Any], Any], ...] = (
    _Maths.relu_slope, _Maths.relu6_slope, _Maths.leaky_relu_slope, _Maths.silu_slope, _Maths.hardswish_slope,
    _Maths.gelu_slope, _Maths.sigmoid_slope, _Maths.tanh_slope,
)  # fmt: skip


@extending.intrinsic
def activate(typingctx, x, code):
    """activate(x, code) -> the activation of a vector; code 0 is none, a variable is a well predicted branch."""
    return _choice(x, _FORMULAS, lambda maths, value: value)


@extending.intrinsic
def slope(typingctx, x, code):
    """slope(x, code) -> the derivative of the activation of a vector; of code 0 it is 1."""
    return _choice(x, _SLOPES, lambda maths, value: maths.number(1.0))


def _choice(x, formulas, none):
    """The formula of a code, from 1 on; of code 0 `none`."""
    if not isinstance(x, Vector):
        raise emit.TypingError(f"activations need a vector, not {x}")

    def codegen(context, builder, sig, args):
        value, which = args
        end, before = builder.append_basic_block(), builder.block
        ways = [(none(_Maths(builder, x), value), before)]
        switch = builder.switch(which, end)
        for k, formula in enumerate(formulas, 1):
            block = builder.append_basic_block()
            switch.add_case(I64(k), block)
            builder.position_at_end(block)
            ways.append((formula(_Maths(builder, x), value), builder.block))
            builder.branch(end)
        builder.position_at_end(end)
        found = builder.phi(x.llvm)
        for way in ways:
            found.add_incoming(*way)
        return found

    return x(x, types.intp), codegen
