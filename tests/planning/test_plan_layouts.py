"""Layouts and the epilogue in plans: transposing steps, activations, and what a plan does around a backend."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import erfc, expit

import fastconv
from fastconv.algorithms.base import ACTIVATIONS, Epilogue
from fastconv.core.problem import PASSES, ConvProblem, parse
from fastconv.engines import loader
from fastconv.planning import planner
from fastconv.planning.layouts import stored
from tests import battery
from tests.algorithms.test_broken_backends import Honest
from tests.problems import integer_data

ENGINES = [e for e in loader.ENGINES if not loader.absent(e)]
EXACT: dict[str, Callable[[Any], Any]] = {
    "": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x < 0, 0.01 * x, x),
    "silu": lambda x: x * expit(x),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "gelu": lambda x: x * 0.5 * erfc(-x / math.sqrt(2)),
    "sigmoid": expit,
    "tanh": np.tanh,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("engine", ENGINES)
def test_activations(engine: str, name: str, dtype: str) -> None:
    """Within a few units in the last place of the float64 formula, NaN kept, infinities where their limits are."""
    step, eps = loader.load(engine, dtype).epilogue, np.finfo(dtype).eps
    x = np.concatenate([np.linspace(-30, 30, 4001), np.linspace(-1, 1, 2001), np.geomspace(1e-30, 20, 500)])
    x = np.concatenate([x, -x, [0.0, -0.0, 60.0, -60.0, 500.0, -500.0]]).astype(dtype)
    y = x.reshape(1, 1, 1, -1).copy()
    step(y, y[:0], y[:0], ACTIVATIONS.index(name), False, 1)
    exact = x.astype(np.float64)
    want = EXACT[name](exact)
    own = np.finfo(np.float64).eps * exact**2 if name == "gelu" else 0  # of this formula: the root of 2 is rounded
    error = np.abs(y.ravel() - want) - 100 * np.finfo(dtype).tiny
    worst = np.argmax(error - (8 * eps + own) * np.abs(want))
    assert (error <= (8 * eps + own) * np.abs(want)).all(), (x[worst], y.ravel()[worst], want[worst])
    limits = np.array([np.nan, np.inf, -np.inf] * 7, dtype)
    y = limits.reshape(1, 1, 1, -1).copy()
    step(y, y[:0], y[:0], ACTIVATIONS.index(name), False, 1)
    assert np.isnan(y[..., ::3]).all()
    upper = {"relu6": 6.0, "sigmoid": 1.0, "tanh": 1.0}.get(name, np.inf)
    np.testing.assert_array_equal(y[..., 1::3], upper)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "shape", [(2, 3, 5, 7), (1, 16, 4, 4), (3, 33, 9, 21), (1, 1, 1, 1), (1, 130, 1, 67), (2, 64, 16, 16)]
)
def test_steps(engine: str, shape: tuple[int, ...], dtype: str) -> None:
    """Transposes are exact and stay inside their arrays; the epilogue adds in its order, in either layout."""
    steps, rng = loader.load(engine, dtype), np.random.default_rng(3)
    x, residual = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    bias, none = rng.standard_normal(shape[1]).astype(dtype), np.empty(0, dtype)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    for threads in (1, 2):
        for step, a, want in ((steps.to_channels_last, x, last), (steps.to_channels_first, last, x)):
            room = np.full(want.size + 64, np.nan, dtype)
            step(a, room[32:-32].reshape(want.shape), threads)
            np.testing.assert_array_equal(room[32:-32].reshape(want.shape), want)
            assert np.isnan(room[:32]).all()
            assert np.isnan(room[-32:]).all()
        for b in (bias, none):
            for r in (residual, none):
                want = x + b[:, None, None] if b.size else x
                want = np.maximum(want + r if r.size else want, 0)
                room = np.full(x.size + 64, np.nan, dtype)
                first, y = room[32:-32].reshape(shape), last.copy()
                first[...] = x
                steps.epilogue(first, b, r, 1, False, threads)
                np.testing.assert_array_equal(first, want)
                assert np.isnan(room[:32]).all()
                assert np.isnan(room[-32:]).all()
                r_last = np.ascontiguousarray(r.transpose(0, 2, 3, 1)) if r.size else r
                steps.epilogue(y, b, r_last, 1, True, threads)
                np.testing.assert_array_equal(y.transpose(0, 3, 1, 2), want)
                pixels = shape[2] * shape[3]
                p0, count = pixels // 3, max(1, pixels // 2)
                part = room[32:-32].reshape(*shape[:2], pixels)
                part[...] = x.reshape(part.shape)
                steps.epilogue_pixels(first, b, r, 1, shape[0] - 1, p0, count, threads)
                mixed = x.reshape(part.shape).copy()
                mixed[-1, :, p0 : p0 + count] = want.reshape(part.shape)[-1, :, p0 : p0 + count]
                np.testing.assert_array_equal(part, mixed)


class Lying(Honest):
    """Takes arrays as `wants` says; checks their shapes, and fuses the epilogue if told so."""

    algorithm = "lying"
    wants = (True, True)
    fuses = False

    def layout(self, p: ConvProblem, pass_: str) -> tuple[bool, bool]:
        return self.wants

    def _do(self, pass_: str, p: ConvProblem, a: Any, b: Any, out: Any, work: Any, threads: int) -> None:
        assert (p.x_last, p.y_last) == self.wants
        first = p.x_last if pass_ == "forward" else p.y_last
        one, two = self._plain(a, first), self._plain(b, p.x_last) if pass_ == "grad_weight" else b
        last = {"forward": p.y_last, "grad_input": p.x_last, "grad_weight": False}[pass_]
        result = np.empty(self._plain(out, last).shape, out.dtype)
        super()._do(pass_, p._replace(x_last=False, y_last=False), one, two, result, work, threads)
        out[...] = result.transpose(0, 2, 3, 1) if last else result

    def forward(
        self, p: Any, cfg: Any, x: Any, w: Any, bias: Any, y: Any, work: Any, threads: int, packed: Any = None
    ) -> None:
        self._do("forward", p, x, w, y, work, threads)
        if self.fuses:
            assert isinstance(bias, Epilogue)
            none = np.empty(0, y.dtype)
            b, r = (none if a is None else a for a in (bias.bias, bias.residual))
            loader.first(p.dtype).epilogue(y, b, r, bias.code, p.y_last, 1)

    @staticmethod
    def _plain(a: Any, last: bool) -> Any:
        return np.ascontiguousarray(a.transpose(0, 3, 1, 2)) if last else a


FLAGS = [(False, False), (True, False), (False, True), (True, True)]


@pytest.mark.parametrize("wants", FLAGS)
@pytest.mark.parametrize("given", FLAGS)
@pytest.mark.parametrize("text", ["n2ci3ih6iw7co5kh3kw3ph1pw1_f32", "n1ci4ih6iw5co4kh3kw2sh2ph2pw1_circular_f64"])
def test_plans_transpose(text: str, given: tuple[bool, bool], wants: tuple[bool, bool]) -> None:
    """Whatever the caller has and the backend takes, every pass gives the same numbers, within its booked memory."""
    q = parse(text)
    p, d, backend = q._replace(x_last=given[0], y_last=given[1]), integer_data(q), Lying()
    backend.wants = wants
    rng = np.random.default_rng(0)
    residual = rng.integers(-5, 5, q.y_shape).astype(q.dtype)

    def lie(a: Any, last: bool) -> Any:
        return np.ascontiguousarray(a.transpose(0, 2, 3, 1)) if last else a

    for fuses in (False, True):
        backend.fuses = fuses
        with battery.registered(backend) as name:
            for pass_ in PASSES:
                plan = planner.plan(p, pass_, name, None, 2, activation="relu" if pass_ == "forward" else "")
                first, second = battery.operands(pass_, d)
                first = lie(first, p.x_last if pass_ == "forward" else p.y_last)
                second = lie(second, p.x_last) if pass_ == "grad_weight" else second
                last = {"forward": p.y_last, "grad_input": p.x_last, "grad_weight": False}[pass_]
                out = np.full(stored(plan.shape, last), np.nan, plan.compute_dtype)
                want = battery.expected(q, pass_, d, d.b if pass_ == "forward" else None)
                if pass_ == "forward":
                    plan.run(first, second, out, d.b, residual=lie(residual, p.y_last))
                    want = np.maximum(want + residual, 0)
                else:
                    plan.run(first, second, out)
                np.testing.assert_array_equal(out.transpose(0, 3, 1, 2) if last else out, want)
                own = sum(math.prod(s) for s in ((q.x_shape,) if given[0] != wants[0] and q.mode == "zeros" else ()))
                assert plan.workspace_bytes >= own * q.itemsize


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("name", battery.backends())
def test_every_backend_takes_channels_last(name: str, pass_: str) -> None:
    """Bit by bit what the same backend makes of channels-first arrays; its transposes are in cost and memory."""
    q = parse("n2ci16ih9iw11co16kh3kw3ph1pw1_f32")
    if fastconv.get_backend(name).refuse(q, pass_):
        q = parse("n2ci16ih9iw11co16kh3kw3ph1pw1g16_f32")
        if fastconv.get_backend(name).refuse(q, pass_):
            pytest.skip("refuses both")
    p, d = q._replace(x_last=True, y_last=True), integer_data(q)
    first, second = battery.operands(pass_, d)
    known = d.w if pass_ != "grad_weight" else None
    plain, plan = (planner.plan(a, pass_, name, None, 1, w=known) for a in (q, p))
    want = np.empty(plain.shape, "f4")
    plain.run(first, second, want)
    first = np.ascontiguousarray(first.transpose(0, 2, 3, 1))
    second = np.ascontiguousarray(second.transpose(0, 2, 3, 1)) if pass_ == "grad_weight" else second
    out = np.empty(stored(plan.shape, pass_ != "grad_weight"), "f4")
    plan.run(first, second, out)
    np.testing.assert_array_equal(out.transpose(0, 3, 1, 2) if pass_ != "grad_weight" else out, want)
    if fastconv.get_backend(name).layout(p, pass_) == (False, False):
        assert plan.workspace_bytes >= plain.workspace_bytes + 4 * (math.prod(q.x_shape) + math.prod(q.y_shape))
        assert plan.row.predicted_seconds > plain.row.predicted_seconds


def test_problem_strings() -> None:
    p = parse("n2ci3ih6iw7co5kh3kw3ph1pw1_f32")
    for flags, end in zip(FLAGS, ("", "_xl", "_yl", "_nhwc"), strict=True):
        for mode in ("zeros", "reflect"):
            q = p._replace(x_last=flags[0], y_last=flags[1], mode=mode)
            assert str(q).endswith(f"_f32{end}")
            assert parse(str(q)) == q
    adjoint = p._replace(x_last=True).adjoint()
    assert adjoint is not None
    assert (adjoint.x_last, adjoint.y_last) == (False, True)
    with pytest.raises(ValueError, match="problem string"):
        parse("n2ci3ih6iw7co5kh3kw3_f32_nchw")
