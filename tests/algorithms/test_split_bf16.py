"""Split bfloat16 beyond the battery: units against each other, bounds on hard data, the choice by rtol."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.algorithms.split_bf16 import SplitBf16, SplitBf16x1, agrees
from fastconv.algorithms.split_layout import Blocks
from fastconv.core.problem import ConvProblem, parse
from fastconv.engines import loader
from tests import battery, child, split_units
from tests.algorithms.test_winograd import HARD, hard_data
from tests.problems import EDGE_PROBLEMS, Data, integer_data, options, real_data

PASSES = ("forward", "grad_input", "grad_weight")
UNITS = split_units.units()
HERE = loader.bf16()[0]

pytestmark = pytest.mark.skipif(not UNITS, reason="no compiled kernels here")
needs_unit = pytest.mark.skipif(not HERE, reason="no unit for bfloat16 here")

MORE = (
    "n3ci40ih19iw22co37kh3kw3pt1pb2pl0pr3_f32",
    "n2ci80ih19iw22co96kh3kw3ph2pw2dh2dw2g2_f32",
    "n2ci33ih17iw26co40kh4kw3sh3sw2pt2pb0pl1pr3_f32",
    "n2ci32ih9iw12co48kh5kw2sh2sw3ph3pw4dh2dw3_f32",
    "n1ci64ih7iw7co64kh3kw3ph1pw1_f32",
    "n2ci48ih14iw15co70kh1kw1sh2sw3_f32",
)
DEEP = (  # long sums, and sums of few
    "n1ci512ih8iw9co16kh3kw3ph1pw1_f32",
    "n2ci16ih40iw41co256kh3kw3ph1pw1_f32",
    "n1ci16ih9iw9co16kh1kw1_f32",
)
MANY = [t for t in EDGE_PROBLEMS if max((p := parse(t)).ci, p.co) // p.g >= 32]  # the battery runs all on one unit


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("variant", split_units.VARIANTS)
def test_every_unit(variant: type[SplitBf16], unit: str, pass_: str) -> None:
    """Integers exactly, other numbers within the bound, in every way to call."""
    with battery.registered(split_units.on_unit(variant, unit)) as name:
        failed = battery.failures(name, pass_, [parse(text) for text in (MORE if unit == "plain" else (*MORE, *MANY))])
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("variant", split_units.VARIANTS)
def test_units_differ_in_the_order_of_sums_only(variant: type[SplitBf16], pass_: str) -> None:
    """Products of parts are exact in float32, whatever multiplies."""
    for text in MORE:
        p = parse(text)
        d = real_data(p)
        first, *others = (battery.raw(split_units.on_unit(variant, u), pass_, p, d, 2) for u in UNITS)
        sums = variant().error_bound(p, pass_) if variant.parts == 3 else 2.0**-24 * 2 * 3000**0.5
        for other in others:
            assert (np.abs(other - first) <= 2 * sums * battery.scale(p, pass_, d)).all()


@pytest.mark.parametrize("kind", HARD)
def test_bound_holds_on_hard_data(kind: str) -> None:
    for text in DEEP:
        p = parse(text)
        d = hard_data(kind, p)
        for pass_ in PASSES:
            want = battery.expected(p, pass_, d)
            for variant in split_units.VARIANTS:
                backend = split_units.on_unit(variant, UNITS[-1])
                battery.compare(backend, pass_, p, d, battery.raw(backend, pass_, p, d, 2), exact=False, want=want)


@pytest.mark.parametrize("channels", [16, 64])
@pytest.mark.parametrize("variant", split_units.VARIANTS)
def test_worst_case_bound(variant: type[SplitBf16], channels: int) -> None:
    """Every number has the largest rests that there are, all of one sign: the error is near the worst, not above."""
    backend = split_units.on_unit(variant, UNITS[-1])
    p = ConvProblem.from_shapes((1, channels, 6, 7), (17, channels, 2, 2))
    worst = 1 + (2.0**-8 - 2.0**-16) + (2.0**-17 - 2.0**-23)  # three parts, each as large as it can be
    x, w = (np.full(s, worst, np.float32) for s in (p.x_shape, p.w_shape))
    d = Data(x, w, None, np.zeros(p.y_shape, np.float32))
    error = np.abs(battery.raw(backend, "forward", p, d, 1) - battery.expected(p, "forward", d)).max()
    norm = battery.scale(p, "forward", d).max()
    assert error <= backend.worst_case_bound(p, "forward") * norm
    if variant.parts < 3:
        assert error >= 0.9 * {1: 2.0**-7, 2: 2.0**-15}[variant.parts] * norm


@pytest.mark.parametrize("variant", split_units.VARIANTS)
def test_numbers_of_eight_bits_are_exact(variant: type[SplitBf16]) -> None:
    backend, p = split_units.on_unit(variant, UNITS[-1]), parse("n1ci24ih9iw8co20kh3kw3ph1pw1_f32")
    rng = np.random.default_rng(0)
    d = Data(*(rng.integers(-256, 257, s).astype(p.dtype) for s in (p.x_shape, p.w_shape, (p.co,), p.y_shape)))
    small = d._replace(w=rng.integers(-8, 9, p.w_shape).astype(p.dtype))  # sums of less than 2^24
    battery.compare(backend, "forward", p, small, battery.raw(backend, "forward", p, small, 1))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("unit", UNITS)
def test_every_way_to_split(unit: str, pass_: str, threads: int) -> None:
    """Whatever the blocks: right, and the same twice."""
    dense, grouped = "n3ci40ih11iw14co68kh3kw2sh2sw1pt1pb2pl0pr1_f32", "n2ci64ih9iw11co72kh3kw3ph1pw1g2_f32"
    p = parse(dense if threads < 3 else grouped)
    d = integer_data(p)
    for flat in (0, 1) if unit in ("tiles", "amx") else (0,):
        for rows, jit, images, band, groups, splits in ((1, 0, 1, 2, 1, 1), (2, 1, 2, 5, 1, 3), (9, 0, 2, 99, p.g, 2)):
            cfg = Blocks(flat, rows, jit, images, band, groups, splits)
            fixed = _Fixed(unit, cfg)
            first = battery.raw(fixed, pass_, p, d, threads)
            battery.compare(fixed, pass_, p, d, first)
            assert np.array_equal(first, battery.raw(fixed, pass_, p, d, threads)), cfg


class _Fixed(SplitBf16):
    """A backend with a given configuration."""

    def __init__(self, unit: str, cfg: Blocks) -> None:
        super().__init__("cython", loader.load, loader.vector_bytes(), (unit, ""))
        self._cfg = cfg

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Blocks:
        return self._cfg


@pytest.mark.parametrize("unit", UNITS)
def test_prepared_weights_change_nothing(unit: str) -> None:
    p = parse("n2ci70ih9iw10co75kh3kw3ph1pw1_f32")
    d = real_data(p)
    for jit in (0, 1):
        backend = _Fixed(unit, Blocks(0, 3, jit, 1, 99, 1, 1))
        cfg = backend.configure(p, "forward", 2)
        work = battery.aligned(backend.workspace(p, "forward", cfg, 2), p.dtype)
        outs = []
        for packed in (None, backend.prepare(p, cfg, d.w)):
            outs.append(np.full(p.y_shape, np.nan, p.dtype))
            backend.forward(p, cfg, d.x, d.w, d.b, outs[-1], work, 2, packed)
        assert np.array_equal(outs[0], outs[1])


class _Cheap(SplitBf16):
    """On a unit that is always there, and always the cheapest."""

    algorithm = "cheap"

    def __init__(self) -> None:
        super().__init__("cython", loader.load, loader.vector_bytes(), (UNITS[-1], ""))

    def cost(self, *arguments: Any) -> Any:
        return super().cost(*arguments)._replace(seconds=1e-9)

    def floor(self, *arguments: Any) -> float:
        return 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, np.finfo(np.float32).max, 1e-38, 1e-44])
@pytest.mark.parametrize("pass_", PASSES)
def test_auto_falls_back(pass_: Any, bad: float) -> None:
    """NaN and Inf come out where direct has them; neither overflow nor lost parts where direct has none."""
    p = parse("n1ci32ih9iw10co32kh3kw3ph1pw1_f32")
    d = integer_data(p)
    d = d._replace(w=np.where(d.w == 0, np.float32(1), d.w), dy=np.where(d.dy == 0, np.float32(1), d.dy))
    spoilt = d.dy if pass_ == "grad_input" else d.x
    tiny = 0 < bad < 1e-30
    if tiny:
        spoilt *= np.float32(bad)
    else:
        spoilt[0, 5, 4, 3] = bad
    with battery.registered(_Cheap()) as name:
        e = fastconv.explain(p.x_shape, p.w_shape, **options(p), pass_=pass_)
        assert e.chosen == name
        (fallback,) = (r["backend"] for r in e.rows if r["kind"] == "fallback")
        got = battery.public("auto", pass_, p, d)
    like = fallback if tiny else "direct/cython"  # sums of tiny numbers round, so their order counts
    np.testing.assert_array_equal(got, battery.public(like, pass_, p, d))


def test_nan_is_not_lost() -> None:
    """NaN of every kind, in a backend that is called by name."""
    p = parse("n1ci16ih4iw4co16kh1kw1_f32")
    for bits in (0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF):
        d = integer_data(p)
        d.x[0, 3, 2, 1] = np.array(bits, np.uint32).view(np.float32)
        for unit in UNITS:
            for variant in split_units.VARIANTS:
                got = battery.raw(split_units.on_unit(variant, unit), "forward", p, d, 1)
                reached = np.zeros(got.shape, bool)
                reached[0, :, 2, 1] = True
                np.testing.assert_array_equal(np.isnan(got), reached)


@needs_unit
def test_choice_by_rtol() -> None:
    """Bounds grow as parts become fewer; one product is for callers that allow 1e-2, and faster than three."""
    shapes = {"x_shape": (4, 128, 56, 56), "w_shape": (128, 128, 3, 3), "stride": 2, "padding": 1}
    names = [f"{v.algorithm}/cython" for v in split_units.VARIANTS]

    def able(rtol: float | None) -> list[str]:
        e = fastconv.explain(**shapes, rtol=rtol)  # type: ignore[arg-type]
        rows = {r["backend"]: r for r in e.rows}
        for name in names:
            assert rows[name]["status"] != "refused" or "error bound" in rows[name]["reason"]
        return [name for name in names if rows[name]["status"] != "refused"]

    assert able(1e-2) == names
    assert able(5e-3) == names[1:]
    assert able(None) == names[1:]
    assert able(1e-5) == names[2:]
    assert able(1e-7) == []
    rows = {r["backend"]: r for r in fastconv.explain(**shapes, rtol=1e-2).rows}  # type: ignore[arg-type]
    assert rows[names[0]]["error_bound"] > rows[names[1]]["error_bound"] > rows[names[2]]["error_bound"]
    times = [rows[name]["predicted_seconds"] for name in (*names, "direct/cython")]
    assert times[0] < min(times[1:])
    assert times[1] < times[2]


@needs_unit
def test_instruction_set_switches_it_off() -> None:
    code = """
import fastconv, json
e = fastconv.explain((1, 32, 9, 9), (32, 32, 3, 3), rtol=1e-2)
fastconv.show_config()
print(json.dumps([(r["status"], r["reason"]) for r in e.rows if r["backend"].startswith("split_bf16")]))
"""
    isa = (loader.isa() or "").replace("_", "-")
    *config, rows = child.run_code(code, FASTCONV_ISA=isa).strip().splitlines()
    assert all(status == "refused" and "FASTCONV_ISA" in reason for status, reason in json.loads(rows))
    assert any("bfloat16: FASTCONV_ISA" in line for line in config)
    assert f"bfloat16: {HERE}" in child.run_code("import fastconv; fastconv.show_config()")


@needs_unit
def test_ladder(tmp_path: Path) -> None:
    """The chart's rungs: the more products, the smaller the error."""
    from bench import ladder

    rungs = {r.name: r for r in ladder.measure(["sweep_k1"], 0.05, 1)}
    errors = [rungs[f"{v.algorithm}/cython"].error for v in split_units.VARIANTS]
    assert 1e-2 > errors[0] > 1e-4 > 1e-5 > errors[1] > 1e-6 > errors[2]
    assert ladder.table(list(rungs.values())).row_count == len(rungs)
    assert (tmp_path / f"{ladder.draw(list(rungs.values()), tmp_path)}.svg").stat().st_size > 0


@pytest.mark.parametrize(
    ("text", "pass_", "reason"),
    [
        ("n1ci32ih9iw9co32kh3kw3_f64", "forward", "float64"),
        ("n1ci8ih9iw9co32kh3kw3_f32", "forward", "8 channels"),
        ("n1ci32ih9iw9co8kh3kw3_f32", "grad_input", "8 channels"),
        ("n1ci32ih9iw9co32kh3kw3g4_f32", "grad_weight", "8 channels"),
    ],
)
def test_refusals_have_reasons(text: str, pass_: str, reason: str) -> None:
    backend = split_units.on_unit(SplitBf16x1, UNITS[0])
    assert reason in (backend.refuse(parse(text), pass_) or "")
    backend.bf16 = ("", "no such unit")
    assert backend.refuse(parse(text), pass_) == "no such unit"


@pytest.mark.parametrize("unit", [u for u in UNITS if u != "plain"])
def test_units_are_looked_at_before_they_are_trusted(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert agrees(unit, loader.load)
    forward = SplitBf16.forward

    def slips(self: SplitBf16, *args: Any, **rest: Any) -> None:
        forward(self, *args, **rest)
        if self.unit == unit:
            args[5][0, 0, 0, 0] += 1

    monkeypatch.setattr(SplitBf16, "forward", slips)
    agrees.cache_clear()
    assert not agrees(unit, loader.load)
    agrees.cache_clear()


def test_every_unit_stays_in_bounds() -> None:
    done = child.run("-m", "tests.split_units")
    assert int(done.stdout.split()[-2]) > 0
