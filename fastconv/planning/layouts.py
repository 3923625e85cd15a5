"""The problem as a backend sees it, and what stands between that and the caller's arrays."""

from __future__ import annotations

import math

from ..algorithms.base import Backend
from ..core.problem import HALVES, ConvProblem


def inner_problem(p: ConvProblem, b: Backend, pass_: str) -> ConvProblem:
    """The problem as a backend sees it: zero padding only, no float16, at least one image, channels where it wants."""
    return lying(plain_problem(p), b, pass_)


def plain_problem(p: ConvProblem) -> ConvProblem:
    """What is the same for all backends."""
    if p.mode != "zeros":
        p = p.padded()
    if p.dtype in HALVES:
        p = p._replace(dtype="float32")
    return p if p.n else p._replace(n=1)


def lying(p: ConvProblem, b: Backend, pass_: str) -> ConvProblem:
    """The problem with the channels where the backend takes them."""
    x_last, y_last = b.layout(p, pass_)
    return p if (x_last, y_last) == (p.x_last, p.y_last) else p._replace(x_last=x_last, y_last=y_last)


def moves_x(p: ConvProblem, q: ConvProblem) -> bool:
    """Whether x or dx passes through scratch memory between the caller's problem p and the backend's q."""
    return p.mode != "zeros" or p.x_last != q.x_last


def transposed(p: ConvProblem, q: ConvProblem) -> list[int]:
    """Numbers of the arrays that are transposed between the caller's problem p and the backend's q."""
    x, padded = (math.prod(a.x_shape) for a in (p, q))
    found = [math.prod(q.y_shape)] if p.y_last != q.y_last else []
    if p.mode == "zeros":
        return [*found, x] if p.x_last != q.x_last else found
    return found + [x] * p.x_last + [padded] * q.x_last


def scratch_bytes(p: ConvProblem, q: ConvProblem) -> int:
    """Scratch bytes of transposed arrays and of a border other than zeros."""
    if p is q:
        return 0
    arrays = transposed(p, q) + [math.prod(q.x_shape)] * (p.mode != "zeros")
    return sum(-(-size // 16) * 16 for size in arrays) * p.itemsize


def stored(shape: tuple[int, int, int, int], last: bool) -> tuple[int, ...]:
    """The shape of an array whose channels lie last, or not."""
    n, c, h, w = shape
    return (n, h, w, c) if last else shape
