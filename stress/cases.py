"""Random problems as strings, their arrays in odd dress, the oracle's answer."""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from scipy.special import erf

import fastconv
from fastconv.core.problem import PASSES, ConvProblem, parse
from tests import battery
from tests.problems import MODES, Data, options
from tests.problems import integer_data as integers
from tests.problems import real_data as reals

ACTIVATIONS: dict[str, Any] = {
    "relu": lambda v: np.maximum(v, 0),
    "relu6": lambda v: np.clip(v, 0, 6),
    "leaky_relu": lambda v: np.where(v > 0, v, 0.01 * v),
    "silu": lambda v: v / (1 + np.exp(-v)),
    "hardswish": lambda v: v * np.clip(v + 3, 0, 6) / 6,
    "gelu": lambda v: v * (1 + erf(v / np.sqrt(2))) / 2,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "tanh": np.tanh,
}
STEEPEST = 1.2  #: no activation's slope is above it
DRESSES = ("plain", "last", "nhwc", "strided", "reversed", "swapped", "unaligned", "read-only")


class Case(NamedTuple):
    """One call; written and read as words with blanks between."""

    backend: str
    pass_: str
    problem: ConvProblem
    dress: str
    numbers: str  # "integers" or "reals"
    epilogue: str  # "-", or some of an activation, "bias", "residual", with + between

    def __str__(self) -> str:
        return " ".join(map(str, self))


def read(text: str) -> Case:
    """The case of a string."""
    backend, pass_, problem, *rest = text.split()
    return Case(backend, pass_, parse(problem), *rest)  # type: ignore[arg-type]


def problem(rng: np.random.Generator) -> ConvProblem:
    """One that the slowest backend does in milliseconds; every kernel size, stride and dilation has its turn."""

    def one(*of: int) -> int:
        return int(rng.choice(of))

    dense = one(0, 0, 1)  # stride, dilation and groups of 1, without which some backends refuse
    g = 1 if dense else one(1, 1, 1, 1, 2, 3, 8, 17)
    if g == 17:
        ci, co = g, g * one(1, 1, 2)
    else:
        few = (1, 2, 3, 5, 8, 13, 16, 17, 24, 33, 40) if g == 1 else (1, 2, 4, 9)
        ci, co = g * one(*few), g * one(*few)
    shape = one(0, 0, 0, 1, 2, 3)
    kh, kw = ((3, 3), (1, 1), (5, 5), (one(1, 2, 3, 4, 5, 7, 9), one(1, 2, 3, 4, 5, 7, 9)))[shape]
    sh, sw = (one(1, 1, 2), 0) if one(0, 0, 1) else (one(1, 2, 3, 5), one(1, 2, 3, 5))
    sh, sw = (1, 1) if dense else (sh, sw or sh)
    dh, dw = (1, 1) if dense or one(0, 0, 1) == 0 else (one(1, 2, 3), one(1, 2, 4))
    pt, pb, pl, pr = (kh // 2, kh // 2, kw // 2, kw // 2) if one(0, 1) else rng.integers(0, 7, 4).tolist()
    ih = max(1, dh * (kh - 1) + 1 - pt - pb) + one(0, 1, 2, 3, 5, 8, 13, 21)
    iw = max(1, dw * (kw - 1) + 1 - pl - pr) + one(0, 1, 2, 3, 5, 8, 13, 16, 30)
    mode = str(rng.choice(MODES)) if one(0, 0, 0, 1) else "zeros"
    if mode in ("reflect", "circular", "symmetric"):  # a border shows each pixel once at most
        ih, iw = max(ih, pt + 1, pb + 1), max(iw, pl + 1, pr + 1)
    dtype = str(rng.choice(("float32", "float32", "float64", "float16")))
    return ConvProblem(one(1, 1, 2, 3), ci, ih, iw, co, kh, kw, sh, sw, pt, pb, pl, pr, dh, dw, g, mode, dtype)


def cases(seed: int, count: int, backends: list[str]) -> list[Case]:
    """So many that no backend refuses; those that refuse most problems have the others as often as they can."""
    rng = np.random.default_rng(seed)
    found: list[Case] = []
    turns: Counter[tuple[str, str]] = Counter()
    while len(found) < count:
        p = problem(rng)
        for pass_ in PASSES:
            able = [b for b in backends if not fastconv.get_backend(b).refuse(battery.inner(p), pass_)]
            for name in sorted(rng.permutation(able).tolist(), key=lambda name: turns[name, pass_])[:3]:
                turns[name, pass_] += 1
                epilogue = "-"
                if pass_ == "forward":
                    parts = [
                        str(rng.choice(["", *ACTIVATIONS])),
                        *rng.choice(["", "bias", "residual"], 2, replace=False),
                    ]
                    epilogue = "+".join(filter(None, parts)) or "-"
                dress, numbers = str(rng.choice(DRESSES)), str(rng.choice(("integers", "reals")))
                found.append(Case(name, pass_, p, dress, numbers, epilogue))
    return found[:count]


def dressed(a: Any, how: str) -> Any:
    """An array of the same numbers that lies otherwise; for ``nhwc`` its axes are moved too."""
    if how == "last" and a.ndim == 4:
        return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if how == "nhwc" and a.ndim == 4:
        return np.ascontiguousarray(a.transpose(0, 2, 3, 1))
    if how == "strided":
        wide = np.full([2 * n for n in a.shape], np.nan, a.dtype)
        wide[tuple(slice(None, None, 2) for _ in a.shape)] = a
        return wide[tuple(slice(None, None, 2) for _ in a.shape)]
    if how == "reversed":
        back = tuple(slice(None, None, -1) for _ in a.shape)
        return np.ascontiguousarray(a[back])[back]
    if how == "swapped":
        return a.astype(a.dtype.newbyteorder())
    if how == "unaligned":
        raw = np.empty(a.nbytes + 1, np.uint8)
        moved = raw[1:].view(a.dtype).reshape(a.shape)
        moved[...] = a
        return moved
    a = a.copy()
    a.flags.writeable = how != "read-only"
    return a


def data(case: Case) -> tuple[Data, Any]:
    """Arrays of a case, and a residual; the same for the same string."""
    p = case.problem
    d = integers(p) if case.numbers == "integers" else reals(p)
    rng = np.random.default_rng(zlib.crc32(str(p).encode()))
    return d, rng.integers(-9, 10, p.y_shape).astype(p.dtype)


def compute(case: Case, d: Data, residual: Any) -> Any:
    """The public call, its result with channels second."""
    p, parts = case.problem, case.epilogue.split("+")
    layout = "NHWC" if case.dress == "nhwc" else "NCHW"
    x, dy, extra = dressed(d.x, case.dress), dressed(d.dy, case.dress), options(p)
    w = dressed(d.w, "plain" if case.dress in ("last", "nhwc") else case.dress)
    extra |= {"backend": case.backend, "layout": layout}
    if case.pass_ == "forward":
        extra["activation"] = next((k for k in parts if k in ACTIVATIONS), None)
        extra["residual"] = dressed(residual, case.dress) if "residual" in parts else None
        got = fastconv.conv2d(x, w, dressed(d.b, case.dress) if "bias" in parts else None, **extra)
    elif case.pass_ == "grad_input":
        n, c, h, wd = p.x_shape
        shape = (n, h, wd, c) if layout == "NHWC" else p.x_shape
        got = fastconv.conv2d_grad_input(dy, w, shape, **extra)
    else:
        return fastconv.conv2d_grad_weight(dy, x, p.w_shape, **extra)
    return got.transpose(0, 3, 1, 2) if layout == "NHWC" else got


def wrong(case: Case) -> str:
    """What is wrong with the result of a case, or nothing: shape, dtype, values within the stated bound."""
    p, backend = case.problem, fastconv.get_backend(case.backend)
    d, residual = data(case)
    before = [a.copy() for a in (*d, residual)]
    got, parts = compute(case, d, residual), case.epilogue.split("+")
    want = battery.expected(p, case.pass_, d, d.b if "bias" in parts else None)
    want = want + residual if "residual" in parts else want
    bound = np.broadcast_to(battery.scale(p, case.pass_, d), want.shape).copy()
    exact = case.numbers == "integers" and battery.is_exact(backend)
    bound *= 0 if exact else backend.error_bound(battery.inner(p), case.pass_)
    after = next((k for k in parts if k in ACTIVATIONS), None)
    if after:
        want, bound = ACTIVATIONS[after](want), bound * STEEPEST
    if after or "bias" in parts or "residual" in parts or not exact or p.dtype == "float16":
        computed = battery.ROUNDING[battery.COMPUTED_IN[p.dtype]]
        bound += 4 * computed * (np.abs(want) + np.abs(residual).max() + np.abs(d.b).max()) * (not exact or bool(after))
        bound += battery.ROUNDING[p.dtype] * np.abs(want) + 1e-7 * (p.dtype == "float16")
    if got.shape != want.shape or got.dtype != p.dtype:
        return f"{got.dtype} {got.shape}, expected {p.dtype} {want.shape}"
    off = np.abs(got.astype(np.float64) - want)
    if not (off <= bound).all():
        at = tuple(int(i) for i in np.argwhere(~(off <= bound))[0])
        count = f"{(~(off <= bound)).sum()} of {off.size} wrong, first at {at}"
        return f"{count}: {got[at]}, expected {want[at]} +- {bound[at]:.1e}"
    same = all(np.array_equal(a, b) for a, b in zip(before, (*d, residual), strict=True))
    return "" if same else "an input was changed"
