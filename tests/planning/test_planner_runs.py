"""What `explain` says is what runs: the backend, its fallback, and what weights and limits change."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.algorithms.base import Backend
from fastconv.core.problem import PASSES, parse
from fastconv.planning import planner, registry, tuning
from fastconv.planning.search import Search
from tests import battery
from tests.problems import options, real_data


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the backends whose passes are called by a plan, in order."""
    ran: list[str] = []
    depth = 0

    def spy(cls: type[Backend], pass_: str) -> None:
        original = getattr(cls, pass_)

        def call(self: Backend, *arguments: Any, **named: Any) -> None:
            nonlocal depth
            if depth == 0:
                ran.append(self.name)
            depth += 1
            try:
                original(self, *arguments, **named)
            finally:
                depth -= 1

        monkeypatch.setattr(cls, pass_, call)

    for cls in {type(b) for b in registry.all_backends()}:
        for pass_ in PASSES:
            if pass_ in vars(cls):
                spy(cls, pass_)
    yield ran


def drawn(seed: int) -> fastconv.ConvProblem:
    """A layer of up to 48 channels and 40 pixels a side."""
    r = random.Random(seed)
    g = r.choice([1, 1, 1, 2])
    ci, co = g * r.choice([1, 3, 8, 16, 24]), g * r.choice([1, 2, 8, 16, 24])
    kh, kw = r.choice([(1, 1), (3, 3), (3, 3), (5, 5), (1, 7), (3, 2), (11, 11)])
    size = r.randint(kh, 40), r.randint(kw, 40)
    p = fastconv.ConvProblem.from_shapes(
        (r.choice([0, 1, 2]), ci, *size),
        (co, ci // g, kh, kw),
        r.choice([1, 1, 2, 3]),
        r.choice([0, "same"]),
        1,
        g,
        r.choice(["zeros", "zeros", "circular"]),
        r.choice(["float32", "float32", "float64", "float16"]),
    )
    return p


PROBLEMS = [drawn(seed) for seed in range(40)]


def rows_of(e: fastconv.Explanation, kind: str) -> list[str]:
    return [r["backend"] for r in e.rows if r["kind"] == kind]


def ask(p: fastconv.ConvProblem, pass_: Any, **extra: Any) -> fastconv.Explanation:
    return fastconv.explain(p.x_shape, p.w_shape, **options(p), dtype=p.dtype, pass_=pass_, **extra)


@pytest.mark.parametrize("p", PROBLEMS, ids=str)
def test_random_problems(p: fastconv.ConvProblem, monkeypatch: pytest.MonkeyPatch) -> None:
    d = real_data(p)
    with watched(monkeypatch) as ran:
        for pass_ in PASSES:
            e = ask(p, pass_)
            battery.public("auto", pass_, p, d)
            assert ran == ([e.chosen] if p.n else []), pass_
            ran.clear()
            able = [r["backend"] for r in e.rows if r["status"] != "refused" and "/numba" not in r["backend"]]
            for name in able:
                named = ask(p, pass_, backend=name)
                assert rows_of(named, "named") == [name] == [named.chosen]


@pytest.mark.parametrize("limit", [0, 10_000, 300_000])
@pytest.mark.parametrize("p", PROBLEMS[:20], ids=str)
def test_max_workspace(p: fastconv.ConvProblem, limit: int) -> None:
    """Also for named backends: what the plan says, `explain` says."""
    d = real_data(p)
    for backend in ("auto", "direct", "winograd", "fft_tiled", "im2col", "naive", "separable"):
        e = ask(p, "forward", backend=backend, max_workspace=limit, weights=d.w)
        try:
            plan = fastconv.plan_conv2d(p.x_shape, d.w, **options(p), backend=backend, max_workspace=limit)
        except (fastconv.WorkspaceError, fastconv.BackendRefused) as error:
            assert e.chosen == ""
            rows = [r for r in e.rows if backend in ("auto", r["backend"].split("/")[0])]
            assert all(r["status"] == "refused" for r in rows), backend
            if isinstance(error, fastconv.WorkspaceError):
                assert any(r["kind"] == "workspace" for r in rows)
            continue
        assert plan.backend == e.chosen
        chosen = next(r for r in e.rows if r["status"] == "chosen")
        assert plan.workspace_bytes == chosen["workspace_bytes"] <= limit
        assert str(plan.explain()) == str(e)


WIDE = parse("n1ci64ih40iw40co64kh3kw3ph1pw1_f32")
FEW = parse("n2ci3ih20iw21co8kh3kw5ph1pw2_f32")


@pytest.mark.skipif("winograd/cython" not in battery.backends(), reason="auto does not wait for a compiler")
@pytest.mark.parametrize("pass_", PASSES)
def test_fallback(pass_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of kind "fallback" is what runs for NaN, and its reason names what it stands in for."""
    e, d = ask(WIDE, pass_), real_data(WIDE)
    (name,) = rows_of(e, "fallback")
    row = next(r for r in e.rows if r["backend"] == name)
    assert row["status"] == "candidate"
    assert e.chosen in row["reason"]
    assert "NaN" in row["reason"]
    with watched(monkeypatch) as ran:
        battery.public("auto", pass_, WIDE, d)
        side = "x" if pass_ == "forward" else "dy"
        bad = getattr(d, side).copy()
        bad[0, 1, 3, 4] = np.nan
        battery.public("auto", pass_, WIDE, d._replace(**{side: bad}))
        assert ran == [e.chosen, name]
    plan = fastconv.plan_conv2d(WIDE.x_shape, d.w, padding=1)
    assert rows_of(plan.explain(), "fallback") == rows_of(ask(WIDE, "forward"), "fallback")
    assert not rows_of(ask(WIDE, pass_, backend=e.chosen), "fallback"), "a named backend is taken at its word"


@pytest.mark.skipif("separable/cython" not in battery.backends(), reason="auto does not wait for a compiler")
def test_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan's explanation is made with its weights, and a named `separable` runs only what knows its factors."""
    x = np.random.default_rng(5).standard_normal((1, 1, 400, 300)).astype("f4")
    row = np.hanning(13).astype("f4")[1:-1]
    with watched(monkeypatch) as ran:
        for w in (np.outer(row, row)[None, None], real_data(parse("n1ci1ih20iw20co1kh11kw11_f32")).w):
            plan = fastconv.plan_conv2d(x.shape, w, padding=5)
            plan(x)
            assert ran.pop() == plan.backend == plan.explain().chosen
            for call in (fastconv.conv2d, fastconv.conv_transpose2d):
                got = call(x, w, padding=5, backend="separable/cython")
                assert ran.pop() == "separable/cython"
                np.testing.assert_allclose(got, call(x, w, padding=5, backend="naive"), atol=2e-5 * np.abs(w).sum())


def test_kinds() -> None:
    """Every row says by its kind what became of it."""
    want = {
        "chosen": {"named", "environment", "tuned", "cheapest"},
        "candidate": {"candidate", "fallback", "compiles", "by_value"},
        "refused": {"refused", "tolerance", "workspace"},
    }
    for p in (*PROBLEMS, WIDE, FEW):
        for r in ask(p, "forward", max_workspace=100_000).rows:
            assert r["kind"] in want[r["status"]]
    rows = {r["backend"]: r["kind"] for r in ask(WIDE, "grad_weight", rtol=1e-6).rows}
    assert rows["separable/cython"] == rows["depthwise/cython"] == "refused"
    assert rows["split_bf16x1/cython"] in ("tolerance", "refused")
    assert ask(WIDE, "forward").rows[0]["kind"] == "refused"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("p", [*PROBLEMS, WIDE, FEW], ids=str)
def test_floors(p: fastconv.ConvProblem, threads: int) -> None:
    """No backend expects less than its floor, so the search finds what comparing all costs finds."""
    tuning.forget()
    for pass_ in PASSES:
        search = Search(p, pass_, None, threads, None)
        rows = []
        for b in registry.all_backends():
            if search.refusal(b) is None:
                assert search.floor(b) <= search.setup(b).cost.seconds * (1 + 1e-9), b.name
                one, all_ = (b.floor(search.inner(b), pass_, n, search.rates) for n in (1, threads))
                assert one >= all_ * (1 - 1e-9), b.name
            rows.append(search.row(b))
        able = [r for r in rows if r.kind == "candidate"] or [r for r in rows if r.kind == "compiles"]
        best = min(able, key=lambda r: r.predicted_seconds)
        assert planner.plan(p, pass_, "auto", None, threads).row.predicted_seconds == best.predicted_seconds


@pytest.mark.parametrize("shape", [(1, 3, 10**6, 10**6), (1, 3, 10**12, 1), (1, 3, 1, 10**12), (10**10, 3, 9, 9)])
def test_nothing_grows_with_the_image(shape: tuple[int, ...]) -> None:
    """Planning counts no rows: as many steps as for a small image, within a factor."""
    kernel = (4, 3, min(3, shape[2]), min(3, shape[3]))

    def calls(of: tuple[int, ...]) -> int:
        count = 0

        def tick(*_: Any) -> None:
            nonlocal count
            count += 1

        pass_: Any
        for pass_ in PASSES:
            for stride in (1, 3):
                sys.setprofile(tick)
                try:
                    fastconv.explain(of, kernel, pass_=pass_, stride=stride)
                finally:
                    sys.setprofile(None)
        return count

    small = tuple(min(v, 64) for v in shape)
    calls(small)
    calls(tuple(v - 1 if v > 10**5 else v for v in shape))  # what is kept of kernels, and imports
    assert calls(shape) < 10 * max(calls(small), 20_000)


def test_old_names_of_shapes() -> None:
    new = fastconv.explain(input_shape=(1, 3, 8, 8), weight_shape=(4, 3, 3, 3))
    with pytest.warns(DeprecationWarning, match="input_shape"):
        old = fastconv.explain(x_shape=(1, 3, 8, 8), weight_shape=(4, 3, 3, 3))  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="weight_shape"):
        fastconv.explain((1, 3, 8, 8), w_shape=(4, 3, 3, 3))  # type: ignore[call-arg]
    assert str(old) == str(new)
    with pytest.raises(TypeError, match="input_shape twice"):
        fastconv.explain(input_shape=(1, 3, 8, 8), x_shape=(1, 3, 8, 8), weight_shape=(4, 3, 3, 3))  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="nonsense"):
        fastconv.explain((1, 3, 8, 8), (4, 3, 3, 3), nonsense=1)  # type: ignore[call-arg]
