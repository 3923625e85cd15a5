"""Which backend is chosen and why: explain, the table, plug-ins, tolerances."""

import math
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.core.problem import PASSES, parse
from tests import battery, child
from tests.algorithms.test_broken_backends import Honest
from tests.problems import DTYPES, integer_data, options, with_dtype

KEYS = {
    "backend", "status", "reason", "flops", "bytes", "workspace_bytes", "predicted_seconds", "error_bound",
    "worst_case_bound",
}  # fmt: skip
LAYER = ((2, 8, 14, 15), (16, 8, 3, 3))
TEXTS = (
    "n1ci64ih56iw56co64kh3kw3ph1pw1_f32",
    "n1ci1ih1iw1co1kh1kw1_f32",
    "n4ci144ih56iw56co144kh3kw3ph1pw1g144_f32",
    "n1ci3ih224iw224co64kh7kw7sh2sw2ph3pw3_f32",
    "n2ci32ih64iw64co32kh31kw31ph15pw15_f32",
    "n0ci3ih5iw6co4kh3kw3ph1pw1_f32",
    "n1ci6ih12iw13co8kh3kw2dh3dw4g2_reflect_f32",
)


def explain(text: str, pass_: str = "forward", dtype: str = "float32", **extra: object) -> fastconv.Explanation:
    p = parse(text)
    return fastconv.explain(p.x_shape, p.w_shape, **options(p), pass_=pass_, dtype=dtype, **extra)  # type: ignore[arg-type]


class Fastest(Honest):
    """Promises to be cheaper than everything else."""

    algorithm = "fastest"
    promised = 0.0
    bound = 1e-9

    def cost(self, p, pass_, cfg, threads, rates):  # type: ignore[no-untyped-def]
        return super().cost(p, pass_, cfg, threads, rates)._replace(seconds=self.promised)

    def error_bound(self, p: fastconv.ConvProblem, pass_: str) -> float:
        return self.bound

    def refuse(self, p: fastconv.ConvProblem, pass_: str) -> str | None:
        return "kernels must be square" if p.kh != p.kw else None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("text", TEXTS)
def test_explain(text: str, pass_: str, dtype: str) -> None:
    """One row a backend, one of them chosen, every refusal with its reason, every candidate with its figures."""
    e = explain(text, pass_, dtype)
    assert [row["backend"] for row in e.rows] == fastconv.list_backends()
    assert [row["status"] for row in e.rows].count("chosen") == 1
    for row in e.rows:
        assert set(row) >= KEYS
        assert row["status"] in ("chosen", "candidate", "refused")
        if row["status"] == "refused":
            assert row["reason"]
            continue
        for key in ("flops", "bytes", "workspace_bytes", "predicted_seconds", "error_bound", "worst_case_bound"):
            assert 0 <= row[key] < math.inf, f"{key} of {row['backend']}: {row[key]}"
        if parse(text).n:
            assert row["flops"] > 0
            assert row["bytes"] > 0
            assert row["predicted_seconds"] > 0
        assert row["error_bound"] <= row["worst_case_bound"], row["backend"]
    assert all(name in str(e) for name in fastconv.list_backends())
    assert pass_ in str(e)


def chosen(e: fastconv.Explanation) -> str:
    return str(next(row["backend"] for row in e.rows if row["status"] == "chosen"))


def test_the_bounds_are_honoured() -> None:
    """auto takes the cheapest whose bound is below rtol, and what explain says is what runs."""
    fast = Fastest()
    x, w = (np.ones(s, np.float32) for s in LAYER)
    with battery.registered(fast) as name:
        assert chosen(fastconv.explain(*LAYER)) == name
        for bound, rtol, taken in ((1e-4, None, False), (1e-4, 1e-3, True), (1e-6, 1e-7, False), (1e-6, 2e-6, True)):
            fast.bound = bound
            fastconv.register_backend(fast)  # plans made before are forgotten
            e = fastconv.explain(*LAYER, rtol=rtol)
            assert (chosen(e) == name) == taken
            row = next(row for row in e.rows if row["backend"] == name)
            assert (row["status"] == "refused") != taken
            assert taken or "rtol" in row["reason"]
            fastconv.conv2d(x, w, rtol=rtol)
        fast.bound = 1.0
        fastconv.register_backend(fast)
        fastconv.conv2d(x, w, backend=name)  # named: no default tolerance
        with pytest.raises(fastconv.BackendRefused, match="rtol"):
            fastconv.conv2d(x, w, backend=name, rtol=1e-3)


def test_what_explain_says_is_what_runs() -> None:
    called = []

    class Spy(Fastest):
        algorithm = "spy"

        def _do(self, pass_, *arguments):  # type: ignore[no-untyped-def]
            called.append(pass_)
            super()._do(pass_, *arguments)

    p = parse("n1ci3ih8iw8co4kh3kw3ph1pw1_f32")
    d = integer_data(p)
    with battery.registered(Spy()) as name:
        for pass_ in PASSES:
            assert chosen(explain(str(p), pass_)) == name
            battery.compare(fastconv.get_backend(name), pass_, p, d, battery.public("auto", pass_, p, d))
        assert called == list(PASSES)
        battery.public("auto", "forward", parse("n1ci3ih8iw8co4kh3kw2_f32"), integer_data(p)._replace(w=d.w[..., :2]))
        assert called == list(PASSES), "a problem that it refuses"


def test_a_cheaper_backend_is_preferred() -> None:
    slow, fast = Fastest(), Fastest()
    slow.algorithm, fast.algorithm, slow.promised = "slow", "quick", 1e9
    with battery.registered(slow) as slow_name, battery.registered(fast) as fast_name:
        assert chosen(fastconv.explain(*LAYER)) == fast_name
        assert slow_name in fastconv.list_backends()


def test_channels_last_stay_so_without_avx512() -> None:
    """Between transposes of 5 MB `pointwise` takes 1.5 times as long as `direct` on the arrays as they lie (AVX2)."""
    if "x86_64_v3" not in battery.instruction_sets():
        pytest.skip("no kernels for AVX2")
    code = """if 1:
        import fastconv
        fastconv.set_num_threads(2)
        print(fastconv.explain((1, 28, 28, 512), (256, 512, 1, 1), layout="NHWC"))
    """
    table = child.run("-c", code, FASTCONV_ISA="x86-64-v3").stdout
    assert [row.split()[0] for row in table.splitlines() if " chosen " in row] == ["direct/cython"]


def test_refusal_of_a_named_backend() -> None:
    x, w = np.ones((1, 3, 8, 8), np.float32), np.ones((4, 3, 3, 2), np.float32)
    with battery.registered(Fastest()) as name:
        for call in (name, "fastest"):
            with pytest.raises(fastconv.BackendRefused, match="kernels must be square") as caught:
                fastconv.conv2d(x, w, backend=call)
            assert isinstance(caught.value, ValueError)
            assert name in str(caught.value)
        e = fastconv.explain(x.shape, w.shape)
        assert next(r["reason"] for r in e.rows if r["backend"] == name) == "kernels must be square"


@pytest.mark.parametrize("algorithm", sorted({name.split("/")[0] for name in battery.backends()}))
def test_algorithm_alone(algorithm: str) -> None:
    """An algorithm's name picks one of its engines."""
    engines = [name for name in battery.backends() if name.split("/")[0] == algorithm]
    texts = "n1ci1ih12iw12co1kh3kw3ph1pw1_f64", "n1ci16ih12iw12co1kh3kw3ph1pw1_f32", "n1ci16ih12iw12co8kh1kw1_f32"
    p = next(p for p in map(parse, texts) if not fastconv.get_backend(engines[0]).refuse(p, "forward"))
    d = integer_data(p)
    results = [fastconv.conv2d(d.x, d.w, padding=p.pt, backend=name) for name in (algorithm, *engines)]
    assert any(np.array_equal(results[0], other) for other in results[1:])


def test_registry() -> None:
    names = fastconv.list_backends()
    assert names[-1] == "reference"
    assert len(set(names)) == len(names)
    assert {"naive/cython", "naive/numba", "im2col/cython", "im2col/numba"} <= set(names)
    for name in names:
        b = fastconv.get_backend(name)
        assert b.name == name
        assert name == (f"{b.algorithm}/{b.engine}" if b.engine else b.algorithm)
    names.clear()
    assert fastconv.list_backends(), "the table itself was handed out"


def test_register_backend() -> None:
    before = fastconv.list_backends()
    plug = Honest()
    with battery.registered(plug) as name:
        assert fastconv.list_backends() == [*before[:-1], name, "reference"]
        assert fastconv.get_backend(name) is plug
        assert name in str(fastconv.explain(*LAYER))
        twin = Honest()
        fastconv.register_backend(twin)
        assert fastconv.get_backend(name) is twin
        assert fastconv.list_backends().count(name) == 1
    assert fastconv.list_backends() == before
    with pytest.raises(ValueError, match="backend"):
        fastconv.get_backend(name)
    with pytest.raises(ValueError, match="backend"):
        fastconv.conv2d(*(np.ones(s, np.float32) for s in LAYER), backend=name)


def test_plans_of_a_removed_backend_are_forgotten() -> None:
    x, w = (np.ones(s, np.float32) for s in LAYER)
    with battery.registered(Fastest()) as name:
        assert chosen(fastconv.explain(*LAYER)) == name
        fastconv.conv2d(x, w)
    assert chosen(fastconv.explain(*LAYER)) != name
    fastconv.conv2d(x, w)


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("text", TEXTS[:2])
def test_explain_respects_the_named_backend(text: str, pass_: str) -> None:
    for name in battery.backends():
        if not fastconv.get_backend(name).refuse(parse(text), pass_):
            assert chosen(explain(text, pass_, backend=name)) == name


def test_explain_refuses_nonsense() -> None:
    for options_, word in (({"pass_": "backward"}, "pass_"), ({"stride": 0}, "stride"), ({"padding": -1}, "padding")):
        with pytest.raises(ValueError, match=word):
            fastconv.explain(*LAYER, **options_)  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError), match="dtype"):
        fastconv.explain(*LAYER, dtype="int8")
    with pytest.raises(ValueError, match="input_shape"):
        fastconv.explain((1, 2), (1, 1, 3, 3))


@pytest.mark.parametrize("name", battery.backends())
def test_bounds_grow_with_precision_lost(name: str) -> None:
    """Bounds are positive, far smaller in float64, and no larger than the worst case by more than rounding."""
    b = fastconv.get_backend(name)
    for pass_ in PASSES:
        single, double = (with_dtype("n1ci16ih16iw16co16kh3kw3ph1pw1_f32", dtype) for dtype in DTYPES[:2])
        if b.refuse(single, pass_) or b.refuse(double, pass_):
            continue
        assert 0 < b.error_bound(double, pass_) < b.error_bound(single, pass_) < 1e-3
        assert 0 < b.worst_case_bound(double, pass_) < b.worst_case_bound(single, pass_)


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    fastconv.show_config()
    text = capsys.readouterr().out
    for word in ("fastconv", "numpy", "threads", "cython", "numba"):
        assert word in text.lower(), f"{word} is missing in {text!r}"


@pytest.mark.parametrize("pass_", PASSES)
def test_im2col_is_never_whole(pass_: Any) -> None:
    """The patches of a large image with a large kernel would be 24 GB."""
    for row in fastconv.explain((1, 3, 2048, 2048), (2, 3, 31, 31), padding=15, pass_=pass_).rows:
        if row["backend"].startswith("im2col/"):
            assert 0 < row["workspace_bytes"] < 64e6


@pytest.mark.parametrize("channels", [240, 960])
def test_weights_that_are_kept_save_less_than_the_call_takes(channels: int) -> None:
    """Packed weights spare `direct` a part of its time, and never make it the choice for a depthwise layer."""
    shapes = (1, 9, 9, channels), (channels, 1, 3, 3)
    w = np.ones(shapes[1], np.float32)
    more: dict[str, Any] = {"groups": channels, "layout": "NHWC"}
    called, kept = fastconv.explain(*shapes, **more), fastconv.explain(*shapes, **more, weights=w)
    for before, after in zip(called.rows, kept.rows, strict=True):
        if before["backend"].startswith("direct/"):
            assert 0.5 * before["predicted_seconds"] < after["predicted_seconds"] <= before["predicted_seconds"]
    assert kept.chosen.startswith("depthwise/")
