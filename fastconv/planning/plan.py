"""A plan: the chosen backend with its configuration, ready to run on arrays any number of times."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..algorithms.base import Backend, Epilogue, terms
from ..core import borders, workspace
from ..core.problem import ConvProblem
from ..engines import loader
from .layouts import inner_problem, moves_x, scratch_bytes, stored
from .rows import Row

HEADROOM = 1e-6  # transforms enlarge numbers by far less than 1 / HEADROOM


class Asked(NamedTuple):
    """What a caller asked a plan for, beside the problem and the backend."""

    rtol: float | None
    threads: int
    limit: int | None  # bytes of scratch memory
    activation: str = ""
    kept: bool = False  # weights are prepared, for several runs


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
    shape, stored_shape : tuple of int
        The result's, (n, c, h, w), and as memory holds it.
    last : bool
        Whether the result's channels lie last.
    row : Row
        The backend's line in `explain`.
    guarded : bool
        Whether operands are looked at, since the backend would spread NaN, Inf or numbers near overflow.
    by_value : tuple of Backend
        To be asked about the weights at hand, see `planner.plan`, or made for them; empty if any weights will do.
    asked : Asked
    """

    def __init__(
        self,
        problem: ConvProblem,
        pass_: str,
        backend: Backend,
        threads: int,
        row: Row,
        config: Any,
        fallback: Callable[[], Plan | None] | None = None,
        by_value: tuple[Backend, ...] = (),
        asked: Asked = _NOTHING,
    ) -> None:
        self.problem, self.pass_, self.backend = problem, pass_, backend
        self.threads, self.row, self.config = threads, row, config
        self.inner = inner_problem(problem, backend, pass_)
        self.compute_dtype = self.inner.dtype
        self.workspace_bytes = row.workspace_bytes
        self._find_fallback, self.guarded, self.by_value, self.asked = fallback, fallback is not None, by_value, asked
        self._after, self._nothing = Epilogue(None, None, asked.activation), np.empty(0, self.compute_dtype)
        self._settle()

    def _settle(self) -> None:
        """What follows from how the problem's arrays lie."""
        p, q, b, pass_ = self.problem, self.inner, self.backend, self.pass_
        self.shape = {"forward": p.y_shape, "grad_input": p.x_shape, "grad_weight": p.w_shape}[pass_]
        self.last = {"forward": p.y_last, "grad_input": p.x_last, "grad_weight": False}[pass_]
        self.stored_shape = stored(self.shape, self.last)
        as_it_lies = p.mode == "zeros" and (p.x_last, p.y_last) == (q.x_last, q.y_last)
        name = "_empty" if p.n == 0 else "_" + pass_ + "_as_it_lies" * as_it_lies
        self._run = getattr(self, name)
        self._bias_alone = b.adds_bias and not b.fuses and not self.asked.activation

    def taking(self, x_last: bool, y_last: bool) -> Plan:
        """The same for arrays that lie otherwise: backend, block sizes and what was prepared stay."""
        if (x_last, y_last) == (self.problem.x_last, self.problem.y_last):
            return self
        other = copy.copy(self)
        other.problem = self.problem._replace(x_last=x_last, y_last=y_last)
        other.workspace_bytes += scratch_bytes(other.problem, self.inner) - scratch_bytes(self.problem, self.inner)
        other.__dict__.pop("fallback", None)
        other._find_fallback = lambda: None if self.fallback is None else self.fallback.taking(x_last, y_last)
        other._settle()
        return other

    @cached_property
    def fallback(self) -> Plan | None:
        """What runs instead if the operands say so: chosen by the same rules, when it is first wanted."""
        return None if self._find_fallback is None else self._find_fallback()

    @property
    def falls_back(self) -> str:
        """When the fallback runs, in words."""
        return f"for NaN, Inf and numbers near overflow, instead of {self.backend.name}"

    def run(
        self,
        first: Any,
        second: Any,
        out: Any,
        bias: Any = None,
        packed: Any = None,
        peak: float | None = None,
        residual: Any = None,
    ) -> None:
        """Fill ``out``; all arrays are C-contiguous, native and of the compute dtype.

        forward takes (x, w), grad_input (dy, w), grad_weight (dy, x); ``peak`` is max|second| if known. Arrays whose
        channels lie last (``problem.x_last``, ``problem.y_last``) have the shape (n, h, w, c).
        """
        if self.guarded and not self._within_range(first, second, peak) and self.fallback is not None:
            self.fallback.run(first, second, out, bias, residual=residual)
            return
        self.run_unguarded(first, second, out, bias, packed, residual)

    def run_unguarded(
        self, first: Any, second: Any, out: Any, bias: Any = None, packed: Any = None, residual: Any = None
    ) -> None:
        """The same without a look at the numbers."""
        after = self._after if bias is None and residual is None else Epilogue(bias, residual, self.asked.activation)
        if not self.workspace_bytes:
            self._run(first, second, out, after, packed, self._nothing)
        else:
            work = workspace.borrow(self.compute_dtype, self.workspace_bytes)
            try:
                self._run(first, second, out, after, packed, work)
            finally:
                workspace.give_back(self.compute_dtype, work)

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

    def _empty(self, first: Any, second: Any, out: Any, after: Epilogue, packed: Any, work: Any) -> None:
        out[...] = 0

    def _forward_as_it_lies(self, x: Any, w: Any, y: Any, after: Epilogue, packed: Any, work: Any) -> None:
        b = self.backend
        if b.fuses:
            b.forward(self.inner, self.config, x, w, after, y, work, self.threads, packed)
        elif b.adds_bias:
            b.forward(self.inner, self.config, x, w, after.bias, y, work, self.threads, packed)
            if not self._bias_alone or after.residual is not None:
                self._finish(y, after._replace(bias=None), self.problem.y_last)
        else:
            b.forward(self.inner, self.config, x, w, None, y, work, self.threads, packed)
            self._finish(y, after, self.problem.y_last)

    def _grad_input_as_it_lies(self, dy: Any, w: Any, dx: Any, after: Epilogue, packed: Any, work: Any) -> None:
        self.backend.grad_input(self.inner, self.config, dy, w, dx, work, self.threads)
        self._finish(dx, after, self.problem.x_last)

    def _grad_weight_as_it_lies(self, dy: Any, x: Any, dw: Any, after: Epilogue, packed: Any, work: Any) -> None:
        self.backend.grad_weight(self.inner, self.config, dy, x, dw, work, self.threads)

    def _forward(self, x: Any, w: Any, y: Any, after: Epilogue, packed: Any, work: Any) -> None:
        p, q, b = self.problem, self.inner, self.backend
        x, work = self._source(x, work)
        target, work = (y, work) if p.y_last == q.y_last else _carve(work, stored(q.y_shape, q.y_last))
        fused: Any = None
        if b.fuses and (target is y or after.residual is None):
            fused, after = after, Epilogue(None, None, "")
        elif b.adds_bias and not b.fuses:
            fused, after = after.bias, after._replace(bias=None)
        elif b.fuses:
            fused = Epilogue(None, None, "")
        b.forward(q, self.config, x, w, fused, target, work, self.threads, packed)
        if target is not y:
            self._transpose(target, y, p.y_last)
        self._finish(y, after, p.y_last)

    def _grad_input(self, dy: Any, w: Any, dx: Any, after: Epilogue, packed: Any, work: Any) -> None:
        p, q = self.problem, self.inner
        dy, work = self._lying(dy, p.y_last, q.y_last, work)
        target, work = (dx, work) if not moves_x(p, q) else _carve(work, stored(q.x_shape, q.x_last))
        self._backward_into(dy, w, target, dx, work)
        self._finish(dx, after, p.x_last)  # the bias of a transposed convolution

    def _backward_into(self, dy: Any, w: Any, target: Any, dx: Any, work: Any) -> None:
        """The backend's gradient, brought to where and how dx lies."""
        p, q = self.problem, self.inner
        room = work
        if p.mode != "zeros":  # booked before the backend's own scratch memory
            if q.x_last:
                plain, room = _carve(room, q.x_shape)
            if p.x_last:
                folded, room = _carve(room, p.x_shape)
        self.backend.grad_input(q, self.config, dy, w, target, room, self.threads)
        if p.mode == "zeros":
            if target is not dx:
                self._transpose(target, dx, p.x_last)
            return
        if q.x_last:
            self._transpose(target, plain, False)
            target = plain
        borders.fold(p, target, folded if p.x_last else dx)
        if p.x_last:
            self._transpose(folded, dx, True)

    def _grad_weight(self, dy: Any, x: Any, dw: Any, after: Epilogue, packed: Any, work: Any) -> None:
        dy, work = self._lying(dy, self.problem.y_last, self.inner.y_last, work)
        x, work = self._source(x, work)
        self.backend.grad_weight(self.inner, self.config, dy, x, dw, work, self.threads)

    def _source(self, x: Any, work: Any) -> tuple[Any, Any]:
        """x as the backend takes it, its border written; and what is left of the scratch memory."""
        p, q = self.problem, self.inner
        if p.mode == "zeros":
            return self._lying(x, p.x_last, q.x_last, work)
        x, work = self._lying(x, p.x_last, False, work)
        padded, work = _carve(work, q.x_shape)
        borders.pad(p, x, padded)
        return self._lying(padded, False, q.x_last, work)

    def _lying(self, a: Any, last: bool, wanted: bool, work: Any) -> tuple[Any, Any]:
        """An array whose channels lie last or not, transposed if that is not wanted."""
        if last == wanted:
            return a, work
        n, c, h, w = (a.shape[0], a.shape[3], a.shape[1], a.shape[2]) if last else a.shape
        moved, work = _carve(work, stored((n, c, h, w), wanted))
        self._transpose(a, moved, wanted)
        return moved, work

    def _transpose(self, a: Any, to: Any, last: bool) -> None:
        steps = loader.first(self.compute_dtype)
        (steps.to_channels_last if last else steps.to_channels_first)(a, to, self.threads)

    def _finish(self, y: Any, after: Epilogue, last: bool) -> None:
        """What the backend did not do of the epilogue."""
        if after.bias is None and after.residual is None and not after.activation:
            return
        none = np.empty(0, y.dtype)
        bias, residual = (none if a is None else a for a in (after.bias, after.residual))
        loader.first(self.compute_dtype).epilogue(y, bias, residual, after.code, last, self.threads)


def _carve(work: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """An array at the start of the scratch memory, and what is left of it."""
    size = math.prod(shape)
    return work[:size].reshape(shape), work[-(-size // 16) * 16 :]
