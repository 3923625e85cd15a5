"""A plan: the chosen backend with its configuration, ready to run on arrays any number of times."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..algorithms.base import Backend, terms
from ..core import borders, workspace
from ..core.problem import ConvProblem
from .rows import Row

HEADROOM = 1e-6  # transforms enlarge numbers by far less than 1 / HEADROOM


class Asked(NamedTuple):
    """What a caller asked a plan for, beside the problem and the backend."""

    rtol: float | None
    threads: int
    limit: int | None  # bytes of scratch memory


_NOTHING = Asked(None, 1, None)


class Plan:
    """One pass of one problem on one backend.

    Attributes
    ----------
    problem : ConvProblem
    pass_ : str
    backend : Backend
    config : the backend's block sizes
    threads : int
    workspace_bytes : int
        Scratch memory that a run borrows.
    row : Row
        The backend's line in `explain`.
    fallback : Plan or None
        Runs instead where the chosen backend would spread NaN, Inf or numbers near overflow.
    doubtful : bool
        Whether that is seen from the result, see `Backend.doubtful`; otherwise the operands tell.
    by_value : tuple of Backend
        To be asked about the weights at hand, see `planner.plan`.
    asked : Asked
    """

    def __init__(
        self, problem: ConvProblem, pass_: str, backend: Backend, threads: int, row: Row, config: Any,
        fallback: Plan | None = None, doubtful: bool = False, by_value: tuple[Backend, ...] = (),
        asked: Asked = _NOTHING,
    ) -> None:  # fmt: skip
        self.problem, self.pass_, self.backend = problem, pass_, backend
        self.threads, self.row, self.config = threads, row, config
        self.inner = inner_problem(problem)
        self.compute_dtype = self.inner.dtype
        self.workspace_bytes = row.workspace_bytes
        self.fallback, self.doubtful, self.by_value, self.asked = fallback, doubtful, by_value, asked
        self._looks = fallback is not None and not doubtful
        self._padded = problem.mode != "zeros"
        self._run = getattr(self, "_" + pass_)
        self.shape = {"forward": problem.y_shape, "grad_input": problem.x_shape, "grad_weight": problem.w_shape}[pass_]

    @property
    def falls_back(self) -> str:
        """When the fallback runs, in words."""
        when = "a result that is not finite" if self.doubtful else "NaN, Inf and numbers near overflow"
        return f"for {when}, instead of {self.backend.name}"

    def run(
        self, first: Any, second: Any, out: Any, bias: Any = None, packed: Any = None, peak: float | None = None
    ) -> None:
        """Fill ``out``; all arrays are C-contiguous, native and of the compute dtype.

        forward takes (x, w), grad_input (dy, w), grad_weight (dy, x); ``peak`` is max|second| if known.
        """
        if self.problem.n == 0:
            out[...] = 0
            return
        if self._looks and not self._within_range(first, second, peak):
            self.fallback.run(first, second, out, bias)  # type: ignore[union-attr]
            return
        work = workspace.borrow(self.compute_dtype, self.workspace_bytes)
        try:
            self._run(first, second, out, bias, packed, work)
        finally:
            workspace.give_back(self.compute_dtype, work)
        if self.doubtful and self.fallback is not None and not np.isfinite(out).all():
            self.fallback.run(first, second, out, bias)

    def peak(self, a: Any) -> float:
        """max|a|, NaN or Inf if it holds one."""
        return float(self.backend.steps(self.compute_dtype).abs_peak(a, self.threads))

    def _within_range(self, first: Any, second: Any, peak: float | None) -> bool:
        """Whether no sum, transformed or not, can leave the range of the dtype (False for NaN)."""
        a, b = self.peak(first), self.peak(second) if peak is None else peak
        if 0 < min(a, b, a * b) < self.backend.least:
            return False
        largest = a + b + a * b * terms(self.problem, self.pass_)
        return largest < HEADROOM * float(np.finfo(self.compute_dtype).max)

    def _forward(self, x: Any, w: Any, y: Any, bias: Any, packed: Any, work: Any) -> None:
        x, work = self._pad(x, work)
        own = bias if self.backend.adds_bias else None
        self.backend.forward(self.inner, self.config, x, w, own, y, work, self.threads, packed)
        if bias is not None and own is None:
            y += bias[:, None, None]

    def _grad_input(self, dy: Any, w: Any, dx: Any, bias: Any, packed: Any, work: Any) -> None:
        target, work = self._border(work) if self._padded else (dx, work)
        self.backend.grad_input(self.inner, self.config, dy, w, target, work, self.threads)
        if self._padded:
            borders.fold(self.problem, target, dx)
        if bias is not None:  # of a transposed convolution
            dx += bias[:, None, None]

    def _grad_weight(self, dy: Any, x: Any, dw: Any, bias: Any, packed: Any, work: Any) -> None:
        x, work = self._pad(x, work)
        self.backend.grad_weight(self.inner, self.config, dy, x, dw, work, self.threads)

    def _pad(self, x: Any, work: Any) -> tuple[Any, Any]:
        if not self._padded:
            return x, work
        padded, work = self._border(work)
        borders.pad(self.problem, x, padded)
        return padded, work

    def _border(self, work: Any) -> tuple[Any, Any]:
        """The padded image at the start of the scratch memory, and what is left of it."""
        shape = self.inner.x_shape
        size = shape[0] * shape[1] * shape[2] * shape[3]
        return work[:size].reshape(shape), work[-(-size // 16) * 16 :]


def inner_problem(p: ConvProblem) -> ConvProblem:
    """The problem as a backend sees it: zero padding only, no float16, at least one image."""
    if p.mode != "zeros":
        p = p.padded()
    if p.dtype == "float16":
        p = p._replace(dtype="float32")
    return p if p.n else p._replace(n=1)


def border_bytes(p: ConvProblem) -> int:
    """Scratch bytes that a border other than zeros takes."""
    if p.mode == "zeros":
        return 0
    q = p.padded()
    return (q.n * q.ci * q.ih * q.iw + 16) * p.itemsize
