"""1x1 kernels over very few pixels: a matrix times a vector, weights read once and as they lie."""

from __future__ import annotations

from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import local
from .numbers import ceil, nothing, split
from .view import activate_numbers


def direct_few_pixels(x, w, bias, residual, y, pixels, groups, activation, threads):
    """y OUT (pixels, co) = activation(w x + bias + residual) of x IN (pixels, ci), w IN (co, ci // groups, 1, 1)."""
    one, four = nothing(y.dtype.char, 1), nothing(y.dtype.char, 4)
    _few_pixels(x, w, one if bias is None else bias, four if residual is None else residual, y, pixels, groups,
                activation, threads)  # fmt: skip


@step("y")
def _few_pixels(x, w, bias, residual, y, pixels, groups, activation, share, shares):
    """Outputs four by four: a row of weights each, lanes = channels."""
    L, co, cg = v.lanes(y), w.shape[0], w.shape[1]
    sums = local(y, 4)
    og, whole, zero = co // groups, cg // L * L, v.zero(y)
    fours = ceil(og, 4)
    for k in range(split(groups * fours, shares, share), split(groups * fours, shares, share + 1)):
        g = k // fours
        o = g * og + min(k % fours * 4, max(0, og - 4))  # the last four may be some of those before
        w0, w1, w2, w3 = o * cg, min(o + 1, co - 1) * cg, min(o + 2, co - 1) * cg, min(o + 3, co - 1) * cg
        for p in range(pixels):
            i = (p * groups + g) * cg
            s0, s1, s2, s3 = zero, zero, zero, zero
            for c in range(0, whole, L):
                b = v.load(x, i + c)
                s0 += v.load(w, w0 + c) * b
                s1 += v.load(w, w1 + c) * b
                s2 += v.load(w, w2 + c) * b
                s3 += v.load(w, w3 + c) * b
            if whole < cg:
                b, n = v.load_part(x, i + whole, cg - whole), cg - whole
                s0 += v.load_part(w, w0 + whole, n) * b
                s1 += v.load_part(w, w1 + whole, n) * b
                s2 += v.load_part(w, w2 + whole, n) * b
                s3 += v.load_part(w, w3 + whole, n) * b
            for t, s in enumerate((v.lane_sum(s0), v.lane_sum(s1), v.lane_sum(s2), v.lane_sum(s3))):
                if t < og:
                    if bias.size:
                        s += v.at(bias, o + t)
                    if residual.size:
                        s += v.at(residual, p * co + o + t)
                    v.put(sums, t, s)
            activate_numbers(sums, 0, min(4, og), activation)
            for t in range(min(4, og)):
                v.put(y, p * co + o + t, v.at(sums, t))
