"""Plans: weights given once, called often; what `plan_conv2d` promises about workspace and updates."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.core import workspace
from fastconv.core.problem import parse
from tests import battery
from tests.algorithms.test_broken_backends import Honest
from tests.problems import BORDER_PROBLEMS, MODES, integer_data, options, real_data, with_mode

NAMES = ["auto", *battery.backends()]
P = parse("n2ci4ih9iw10co6kh3kw3ph1pw1_f32")


def plan_for(p: fastconv.ConvProblem, d: Any, **extra: Any) -> fastconv.Conv2dPlan:
    return fastconv.plan_conv2d(p.x_shape, d.w, d.b, **options(p), **extra)


@pytest.mark.parametrize("name", NAMES)
def test_same_as_conv2d(name: str) -> None:
    """Bit by bit, on fresh images, for every border and dtype."""
    for text in (str(P), *BORDER_PROBLEMS):
        for mode, dtype in zip(MODES, ("float32", "float64", "float16", "float32", "float64"), strict=True):
            p = with_mode(text, mode, dtype)
            if name != "auto" and fastconv.get_backend(name).refuse(battery.inner(p), "forward"):
                continue
            d = real_data(p)
            plan = plan_for(p, d, backend=name)
            assert plan.problem == p
            assert name in ("auto", plan.backend)
            for salt in range(2):
                x = real_data(p, salt).x
                want = fastconv.conv2d(x, d.w, d.b, **options(p), backend=plan.backend)
                np.testing.assert_array_equal(plan(x), want, strict=True)
                out = np.full(p.y_shape, np.nan, dtype)
                assert plan(x, out=out) is out
                np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_kept(name: str) -> None:
    """A plan has its own weights: later changes to the caller's arrays do nothing, `update` does."""
    d, other = integer_data(P), integer_data(P, salt=1)
    if name != "auto" and fastconv.get_backend(name).refuse(P, "forward"):
        return
    w, b = d.w.copy(), d.b.copy()
    plan = fastconv.plan_conv2d(P.x_shape, w, b, padding=1, backend=name)
    first = plan(d.x)
    w[...], b[...] = np.nan, np.nan
    np.testing.assert_array_equal(plan(d.x), first)
    plan.update(other.w, other.b)
    np.testing.assert_array_equal(plan(d.x), fastconv.conv2d(d.x, other.w, other.b, padding=1, backend=plan.backend))
    plan.update(d.w)
    np.testing.assert_array_equal(plan(d.x), fastconv.conv2d(d.x, d.w, padding=1, backend=plan.backend))


def test_unbatched() -> None:
    d = integer_data(P)
    plan = fastconv.plan_conv2d(P.x_shape[1:], d.w, d.b, padding=1)
    np.testing.assert_array_equal(plan(d.x[0]), fastconv.conv2d(d.x[0], d.w, d.b, padding=1), strict=True)
    with pytest.raises(ValueError, match="x"):
        plan(d.x)


def test_threads_are_those_of_the_call() -> None:
    """A backend is never given more threads than the caller allows now, whatever was allowed when the plan was made."""
    seen = []

    class Spy(Honest):
        algorithm = "spy"

        def cost(self, p, pass_, cfg, threads, rates):  # type: ignore[no-untyped-def]
            return super().cost(p, pass_, cfg, threads, rates)._replace(seconds=1.0)  # worth many threads

        def finish(self, p: Any, out: Any, result: Any, a: Any, work: Any, threads: int) -> None:
            seen.append(threads)
            super().finish(p, out, result, a, work, threads)

    d = integer_data(P)
    with battery.registered(Spy()) as name:
        with fastconv.num_threads(3):
            plan = plan_for(P, d, backend=name)
            fastconv.conv2d(d.x, d.w, padding=1, backend=name)
            plan(d.x)
        with fastconv.num_threads(1):
            fastconv.conv2d(d.x, d.w, padding=1, backend=name)
            plan(d.x)
    assert seen == [3, 3, 1, 1]


@pytest.mark.parametrize("limit", [0, 1000, 30_000, 200_000, 10**7])
@pytest.mark.parametrize(
    "text",
    [
        "n2ci16ih30iw31co16kh3kw3ph1pw1_f32",
        "n1ci4ih30iw31co4kh5kw5ph2pw2_reflect_f64",
        "n4ci8ih9iw9co8kh1kw1_f32",
    ],
)
def test_max_workspace(text: str, limit: int) -> None:
    """Never exceeded: a plan within the limit, or an error that says so."""
    p = parse(text)
    d = integer_data(p)
    try:
        plan = plan_for(p, d, max_workspace=limit)
    except fastconv.WorkspaceError as error:
        assert isinstance(error, MemoryError)
        assert "max_workspace" in str(error)
        e = fastconv.explain(p.x_shape, p.w_shape, **options(p), dtype=p.dtype)
        assert min(row["workspace_bytes"] for row in e.rows if row["status"] != "refused") > limit
        return
    assert plan.workspace_bytes <= limit
    battery.compare(fastconv.get_backend(plan.backend), "forward", p, d, plan(d.x), bias=d.b)


@pytest.mark.parametrize("name", battery.backends())
def test_max_workspace_of_a_named_backend(name: str) -> None:
    """The limit that a backend says it needs is enough; one byte less is refused or tiled away."""
    p = parse("n2ci16ih30iw31co16kh3kw3ph1pw1_reflect_f32")
    d = integer_data(p)
    if fastconv.get_backend(name).refuse(battery.inner(p), "forward"):
        return
    needed = plan_for(p, d, backend=name).workspace_bytes
    assert needed > 0, "the border is written somewhere"
    assert plan_for(p, d, backend=name, max_workspace=needed).workspace_bytes <= needed
    try:
        assert plan_for(p, d, backend=name, max_workspace=needed - 1).workspace_bytes < needed
    except fastconv.WorkspaceError as error:
        assert name in str(error)
        assert str(needed - 1) in str(error)


def test_explain_and_repr() -> None:
    plan = plan_for(P, integer_data(P))
    assert plan.explain().chosen == plan.backend
    assert plan.explain().problem == P
    assert str(P) in repr(plan)
    assert plan.backend in repr(plan)


def test_release_workspace() -> None:
    """Scratch memory is kept between calls, and given back when asked."""
    p = parse("n2ci16ih60iw61co16kh3kw3ph1pw1_reflect_f32")
    d = integer_data(p)
    fastconv.release_workspace()
    tracemalloc.start()
    try:
        plan = plan_for(p, d)
        first = plan(d.x)
        kept, _ = tracemalloc.get_traced_memory()
        fastconv.release_workspace()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept - left >= plan.workspace_bytes > 0
    np.testing.assert_array_equal(plan(d.x), first)


@pytest.mark.parametrize(
    ("error", "word", "change"),
    [
        (ValueError, "x", {"x": np.ones((2, 4, 9, 9), np.float32)}),
        (ValueError, "x", {"x": np.ones((4, 9, 10), np.float32)}),
        (TypeError, "x", {"x": np.ones(P.x_shape)}),
        (TypeError, "x", {"x": np.ones(P.x_shape, int)}),
        (TypeError, "x", {"x": None}),
        (ValueError, "out", {"out": np.ones((1, 6, 9, 10), np.float32)}),
        (TypeError, "out", {"out": np.ones(P.y_shape)}),
        (ValueError, "w", {"w": np.ones((6, 4, 3, 2), np.float32)}),
        (TypeError, "w", {"w": np.ones(P.w_shape)}),
        (ValueError, "bias", {"w": np.ones(P.w_shape, np.float32), "bias": np.ones(5, np.float32)}),
        (TypeError, "bias", {"w": np.ones(P.w_shape, np.float32), "bias": np.ones(6)}),
    ],
)
def test_bad_calls(error: type[Exception], word: str, change: dict[str, Any]) -> None:
    d = integer_data(P)
    plan = plan_for(P, d)
    with pytest.raises(error, match=word):
        if "w" in change:
            plan.update(**change)
        else:
            plan(**{"x": d.x, **change})
    np.testing.assert_array_equal(plan(d.x), fastconv.conv2d(d.x, d.w, d.b, padding=1, backend=plan.backend))


@pytest.mark.parametrize(("error", "word", "change"), [
    *((ValueError, "max_workspace", {"max_workspace": v}) for v in (-1,)),
    *((TypeError, "max_workspace", {"max_workspace": v}) for v in (1.5, "1", True, (1,))),
    *((TypeError, "input_shape", {"input_shape": v}) for v in (None, 3, "nchw", (2, 4, 9.0, 10))),
    *((ValueError, "input_shape|x", {"input_shape": v}) for v in
      ((9, 10), (2, 4, -9, 10), (2, 3, 9, 10), (2, 4, 0, 10))),
    (ValueError, "stride", {"stride": 0}), (TypeError, "backend", {"backend": None}), (ValueError, "rtol", {"rtol": 0}),
    (ValueError, "backend", {"backend": "fast"}), (ValueError, "bias", {"bias": np.ones(7, np.float32)}),
    (TypeError, "w", {"w": None}), (ValueError, "w", {"w": np.ones((4, 3, 3), np.float32)}),
])  # fmt: skip
def test_bad_plans(error: type[Exception], word: str, change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"input_shape": P.x_shape, "w": np.ones(P.w_shape, np.float32), **change}
    with pytest.raises(error, match=rf"\b({word})\b"):
        fastconv.plan_conv2d(**arguments)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("algorithm", ["direct", "winograd", "im2col", "fft", "fft_tiled"])
def test_prepared_plans_stay_within_their_scratch_memory(
    algorithm: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a small problem runs on fewer threads than there are: packed weights need no room, all else does."""
    lent: list[Any] = []

    def borrow(dtype: str, nbytes: int) -> Any:
        lent.append((workspace.aligned(dtype, nbytes + 65536), nbytes))
        lent[-1][0][...] = -7.25
        return lent[-1][0][: -(-nbytes // np.dtype(dtype).itemsize)]

    monkeypatch.setattr(workspace, "borrow", borrow)
    for text in ("n1ci3ih9iw10co5kh3kw3ph1pw1_f32", "n2ci20ih61iw63co24kh3kw3ph1pw1_f32", "n1ci9ih20iw20co8kh5kw5_f64"):
        p = parse(text)
        d = integer_data(p)
        for lies in (False, True):
            with fastconv.num_threads(threads):
                plan = fastconv.plan_conv2d(p.x_shape, d.w, padding=(p.pt, p.pl), channels_last=lies, backend=algorithm)
                x = d.x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2) if lies else d.x
                battery.compare(fastconv.get_backend(plan.backend), "forward", p, d, plan(x), exact=False)
            for work, nbytes in lent:
                assert (work[-(-nbytes // work.itemsize) :] == -7.25).all(), plan
