"""Kernels of low rank: what is found in their values, what is computed from it, and when the planner looks."""

from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.algorithms.low_rank import by_pivot, by_values
from fastconv.algorithms.separable import Bands, Separable
from fastconv.core.problem import ConvProblem, parse
from fastconv.planning import planner
from tests import battery, oracle
from tests.problems import BORDER_PROBLEMS, EDGE_PROBLEMS, MODES, Data, geometry, integer_data, options, with_mode

NAMES = [name for name in battery.backends() if name.startswith("separable/")]
PASSES = ("forward", "grad_input")
RANDOM = np.random.default_rng(0)

pytestmark = pytest.mark.skipif(not NAMES, reason="no engine for it here")

LINE = np.arange(-7, 8.0)
SQUARES = LINE[:, None] ** 2 + LINE**2
SOBEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1.0]])
KERNELS: dict[str, tuple[Any, int]] = {  # kernel and its rank
    "gaussian": (np.exp(-SQUARES / 18) / np.exp(-SQUARES / 18).sum(), 1),
    "product of gaussians": (np.outer(np.exp(-(LINE**2) / 8), np.exp(-(LINE**2) / 18)), 1),
    "box": (np.full((5, 9), 1 / 45), 1),
    "sobel": (SOBEL, 1),
    "laplace": (np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0.0]]), 2),
    "laplacian of gaussian": ((SQUARES / 9 - 2) * np.exp(-SQUARES / 18), 2),
    "two": (RANDOM.standard_normal((9, 2)) @ RANDOM.standard_normal((2, 7)), 2),
    "zero": (np.zeros((3, 5)), 1),
    "full": (RANDOM.standard_normal((5, 5)), 5),
}


def rank_one(p: ConvProblem, d: Data) -> Data:
    """The same data with a kernel of rank 1 in every group, of integer factors, for both passes."""
    rng = np.random.default_rng(7)
    shape = p.g, p.co // p.g, p.ci // p.g, p.kh, p.kw
    factors = [
        rng.integers(-2, 3, (p.g, *(n if k == axis else 1 for k, n in enumerate(shape[1:])))) for axis in range(4)
    ]
    return d._replace(w=np.prod(np.broadcast_arrays(*factors), axis=0).reshape(p.w_shape).astype(p.dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("name", NAMES)
def test_integer_factors_are_exact(name: str, pass_: str, dtype: str) -> None:
    """On every problem of the table, through the public call and the backend's own method, bit by bit."""
    backend, done = fastconv.get_backend(name), 0
    for text in EDGE_PROBLEMS:
        p = parse(text)._replace(dtype=dtype)
        if backend.refuse(p, pass_):
            continue
        d = rank_one(p, integer_data(p))
        want = battery.expected(p, pass_, d)
        np.testing.assert_array_equal(battery.public(name, pass_, p, d), want, err_msg=text)
        if pass_ == "forward":
            y = battery.public(name, pass_, p, d, bias=d.b)
            np.testing.assert_array_equal(y, battery.expected(p, pass_, d, d.b), err_msg=text)
        if p.n:
            for threads in (1, 2, 3):
                got = battery.raw(backend, pass_, p, d, threads)
                np.testing.assert_array_equal(got, want, err_msg=f"{threads} threads, {text}")
        done += 1
    assert done > 30


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_borders(name: str, mode: str) -> None:
    for text in BORDER_PROBLEMS:
        p = with_mode(text, mode, "float64")
        d = rank_one(p, integer_data(p))
        for pass_ in PASSES:
            np.testing.assert_array_equal(battery.public(name, pass_, p, d), battery.expected(p, pass_, d))


@pytest.mark.parametrize(
    ("text", "pass_"),
    [
        ("n2ci3ih23iw37co3kh5kw4pt1pb2pl0pr3dh2g3_f64", "forward"),
        ("n2ci3ih23iw37co3kh5kw4pt1pb2pl0pr3dh2g3_f64", "grad_input"),
        ("n1ci2ih31iw70co4kh4kw3sh4sw3ph2pw1dh6dw2g2_f64", "forward"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_any_bands(name: str, text: str, pass_: str) -> None:
    """However many rows are filtered at a time."""
    p = parse(text)
    d = rank_one(p, integer_data(p))
    backend = fastconv.get_backend(name).with_weights(p, pass_, d.w, None)
    assert isinstance(backend, Separable)
    cfg, want = backend.configure(p, pass_, 2), battery.expected(p, pass_, d)
    assert isinstance(cfg, Bands)
    rows = want.shape[2]
    for bands in range(1, rows + 1):
        most = -(-rows // bands)
        room = cfg.per_thread // cfg.rows * max(most, cfg.rows) + cfg.per_thread
        work, out = np.full(2 * room, np.nan), np.full(want.shape, np.nan)
        mine = cfg._replace(rows=most, bands=bands, per_thread=room)
        first = d.x if pass_ == "forward" else d.dy
        getattr(backend, pass_)(p, mine, first, d.w, *((None,) if pass_ == "forward" else ()), out, work, 2)
        np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", NAMES)
def test_ranks(name: str, kernel: str, dtype: str) -> None:
    """The rank of known kernels, and results within the bound that the factors' own backend states."""
    values, rank = KERNELS[kernel]
    w = values.astype(dtype)[None, None]
    p = ConvProblem.from_shapes((2, 1, 40, 50), w.shape, 1, "same", dtype=dtype)
    rng = np.random.default_rng(1)
    d = Data(rng.standard_normal(p.x_shape).astype(dtype), w, None, rng.standard_normal(p.y_shape).astype(dtype))
    for pass_ in PASSES:
        backend = fastconv.get_backend(name).with_weights(p, pass_, w, None)
        assert isinstance(backend, Separable)
        assert backend.factors is not None
        assert backend.factors.rank == rank
        quick = fastconv.get_backend(name).with_weights(p, pass_, w, None, quick=True)
        assert (quick is None) == (rank > 1)
        for b in (backend, fastconv.get_backend(name)):
            battery.compare(b, pass_, p, d, battery.public(name, pass_, p, d), exact=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_dense_layers(name: str, groups: int, dtype: str) -> None:
    """Many channels: the factors of all of them together, as two convolutions; integers stay exact at rank 1."""
    for rank in (1, 3):
        col = RANDOM.integers(-2, 3, (groups, rank, 20, 3))
        row = RANDOM.integers(-2, 3, (groups, 24, rank, 5))
        w = np.einsum("grcu,gorv->gocuv", col, row).reshape(groups * 24, 20, 3, 5).astype(dtype)
        p = ConvProblem.from_shapes((2, 20 * groups, 14, 15), w.shape, (2, 1), 2, (1, 2), groups, dtype=dtype)
        d = integer_data(p)._replace(w=w)
        for pass_ in PASSES:
            backend = fastconv.get_backend(name).with_weights(p, pass_, w, None)
            assert isinstance(backend, Separable)
            assert backend.factors is not None
            assert backend.factors.rank == rank
            got, want = battery.public(name, pass_, p, d), battery.expected(p, pass_, d)
            battery.compare(backend, pass_, p, d, got, exact=False, want=want)
            if rank == 1:
                np.testing.assert_array_equal(got, want)
        assert backend is not None
        plan = fastconv.plan_conv2d(p.x_shape, w, d.b, backend=name, **options(p))
        want = oracle.forward(d.x, w, d.b, geometry(p))
        battery.compare(backend, "forward", p, d, plan(d.x), bias=d.b, exact=False, want=want)


def test_factors_make_the_kernel() -> None:
    for g, o, c, kh, kw in ((1, 1, 1, 3, 4), (3, 2, 1, 5, 3), (2, 3, 4, 3, 3)):
        for w in (RANDOM.standard_normal((g, o, c, kh, kw)), RANDOM.integers(-3, 4, (g, o, c, kh, kw)).astype("f4")):
            for allowed in (0.0, 1e-12, 0.2, 1.0):
                f = by_values(w, allowed)
                made = np.einsum("grcu,gorv->gocuv", f.col.astype(float), f.row.astype(float))
                left = (np.abs(w - made).sum(axis=(2, 3, 4)) / np.abs(w).sum(axis=(2, 3, 4))).max()
                assert f.left_out == pytest.approx(left, abs=1e-15)
                assert f.left_out <= max(allowed, 16 * 2.0**-24)
            assert by_pivot(w) is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_awkward_values(dtype: str) -> None:
    """NaN, Inf, numbers near overflow and underflow: some factors, no warning, results as finite as the plain ones."""
    big = float(np.finfo(dtype).max) / 4
    for value in (np.nan, np.inf, big, float(np.finfo(dtype).tiny)):
        w = np.ones((1, 1, 3, 3), dtype)
        w[0, 0, 1, 2] = value
        x = RANDOM.random((1, 1, 6, 7)).astype(dtype)
        with np.errstate(all="raise"):
            for name in NAMES:
                y = fastconv.conv2d(x, w, backend=name)
                with np.errstate(all="ignore"):
                    want = fastconv.conv2d(x, w, backend="naive")
                np.testing.assert_array_equal(np.isfinite(y), np.isfinite(want))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kernel", ["gaussian", "laplace", "zero", "full"])
@pytest.mark.parametrize("name", NAMES)
def test_nonfinite_pixels_stay_in_their_windows(name: str, kernel: str, value: float) -> None:
    w = KERNELS[kernel][0].astype("f4")[None, None]
    x = RANDOM.random((1, 1, 40, 41), dtype="f4")
    x[0, 0, 20, 17] = x[0, 0, 33, 5] = value
    with np.errstate(invalid="ignore"):
        y, want = (fastconv.conv2d(x, w, backend=b, padding=2) for b in (name, "naive"))
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(want))


def test_approximation_is_asked_for_and_certified() -> None:
    """Without rtol the rank is exact; with it the lowest rank within, and what is left out is in the bound."""
    disk = (SQUARES < 40).astype("f4")[None, None]
    p = ConvProblem.from_shapes((1, 1, 200, 210), disk.shape, 1, 7)
    x = np.sign(RANDOM.standard_normal(p.x_shape)).astype("f4")
    want = oracle.forward(x, disk, None, geometry(p))
    ranks = []
    for rtol in (None, 1e-3, 0.1, 0.2, 0.4):
        plan = fastconv.plan_conv2d(p.x_shape, disk, padding=7, rtol=rtol, backend="separable")
        row = next(r for r in plan.explain().rows if r["status"] == "chosen")
        assert row["backend"] == plan.backend
        ranks.append(int(row["reason"].split("rank ")[1].split(",")[0]))
        assert row["error_bound"] <= (rtol or 2e-5)
        assert np.abs(plan(x) - want).max() <= row["error_bound"] * disk.sum()
        np.testing.assert_array_equal(plan(x), fastconv.conv2d(x, disk, padding=7, rtol=rtol, backend=plan.backend))
    assert ranks == sorted(ranks, reverse=True)
    assert ranks[0] == np.linalg.matrix_rank(disk[0, 0]) > ranks[-1]


X = RANDOM.random((1, 1, 600, 500), dtype="f4")
GAUSS = KERNELS["gaussian"][0].astype("f4")[None, None, 2:-2, 2:-2]
RANK2 = KERNELS["laplacian of gaussian"][0].astype("f4")[None, None, 2:-2, 2:-2]
FULL = RANDOM.standard_normal(RANK2.shape).astype("f4")


def chosen(w: Any, pass_: str = "forward", **extra: Any) -> str:
    """The backend that a plain call takes."""
    p = ConvProblem.from_shapes(X.shape, w.shape, 1, 5)
    return planner.plan(p, pass_, extra.pop("backend", "auto"), None, 1, w=w, **extra).backend.name


@pytest.mark.skipif("separable/cython" not in NAMES, reason="auto does not wait for a compiler")
def test_who_looks_at_the_values() -> None:
    """A plain call looks for rank 1, a prepared plan for any rank that pays; everything else never looks."""
    for pass_ in PASSES:
        assert chosen(GAUSS, pass_) == "separable/cython"
        assert not chosen(FULL, pass_).startswith("separable")
        assert not chosen(RANK2, pass_).startswith("separable")
        assert chosen(RANK2, pass_, kept=True) == "separable/cython"
        assert not chosen(FULL, pass_, kept=True).startswith("separable")
    small = planner.plan(parse("n1ci1ih8iw8co1kh3kw3_f32"), "forward", "auto", None, 1)
    assert not small.by_value, "a small convolution is over before the kernel is looked at"
    assert not fastconv.explain(X.shape, GAUSS.shape, padding=5).chosen.startswith("separable")
    assert fastconv.explain(X.shape, GAUSS.shape, padding=5, weights=RANK2).chosen == "separable/cython"
    assert not fastconv.explain(X.shape, GAUSS.shape, padding=5, weights=FULL).chosen.startswith("separable")


@pytest.mark.skipif("separable/cython" not in NAMES, reason="auto does not wait for a compiler")
def test_plans_follow_their_weights() -> None:
    plan = fastconv.plan_conv2d(X.shape, GAUSS, padding=5)
    assert plan.backend == "separable/cython"
    for w in (FULL, RANK2, GAUSS):
        plan.update(w)
        assert plan.backend.startswith("separable") == (w is not FULL)
        want = fastconv.conv2d(X, w, padding=5, backend="naive")
        np.testing.assert_allclose(plan(X), want, atol=2e-5 * np.abs(w).sum())
        np.testing.assert_allclose(fastconv.conv2d(X, w, padding=5), want, atol=2e-5 * np.abs(w).sum())


def test_named_but_beyond_the_limits() -> None:
    with pytest.raises(fastconv.BackendRefused, match="rtol"):
        fastconv.conv2d(X, GAUSS, backend="separable", rtol=1e-9)
    with pytest.raises(fastconv.WorkspaceError):
        fastconv.plan_conv2d(X.shape, GAUSS, backend="separable", max_workspace=1000)
    with pytest.raises(fastconv.BackendRefused, match="separated already"):
        fastconv.conv2d(X, GAUSS[:, :, :1], backend="separable")
    with pytest.raises(fastconv.BackendRefused, match="separable_conv2d_backward"):
        fastconv.conv2d_grad_weight(X[..., :586, :486], X, GAUSS.shape, backend="separable")
    with pytest.raises(ValueError, match="weights must have shape"):
        fastconv.explain(X.shape, GAUSS.shape, weights=GAUSS[0])


def test_tuning_does_not_remember_what_depends_on_values() -> None:
    found = fastconv.tune(X[..., :20, :20], GAUSS, passes="forward", seconds=0.01)
    row = next(r for r in found.rows if r["backend"] == NAMES[0])
    assert row["measured_seconds"] is None
    assert not found.chosen.startswith("separable")


def composed(w_col: Any, w_row: Any, g: int) -> Any:
    """The kernel that two factors stand for."""
    col, row = w_col.reshape(g, -1, *w_col.shape[1:3]), w_row.reshape(g, -1, w_row.shape[1], w_row.shape[-1])
    return np.einsum("gmcu,gomv->gocuv", col, row).reshape(w_row.shape[0], *w_col.shape[1:3], w_row.shape[-1])


# x, middle channels, outputs, KH, KW, and the options
LEARNED: list[tuple[Any, ...]] = [
    ((2, 3, 9, 11), 4, 5, 3, 5, {"padding": 1}),
    ((1, 4, 12, 13), 4, 4, 5, 3, {"groups": 4, "stride": (2, 1), "padding": "same"}),
    ((2, 6, 10, 9), 4, 6, 2, 3, {"groups": 2, "dilation": (2, 3), "padding": ((1, 2), (3, 0)), "stride": 2}),
    ((1, 2, 6, 7), 3, 2, 3, 3, {"padding": 2, "padding_mode": "reflect"}),
    ((0, 2, 6, 7), 3, 2, 3, 3, {}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", LEARNED, ids=str)
def test_separable_conv2d(case: Any, dtype: str) -> None:
    """Against the oracle with the full kernel; gradients of the factors by the chain rule from that of the kernel."""
    shape, cm, co, kh, kw, opt = case
    g = opt.get("groups", 1)
    rng = np.random.default_rng(3)

    def draw(*s: int) -> Any:
        return rng.integers(-2, 3, s).astype(dtype)

    x, col, row, bias = draw(*shape), draw(cm, shape[1] // g, kh, 1), draw(co, cm // g, 1, kw), draw(co)
    p = ConvProblem.from_shapes(
        shape,
        (co, shape[1] // g, kh, kw),
        opt.get("stride", 1),
        opt.get("padding", 0),
        opt.get("dilation", 1),
        g,
        opt.get("padding_mode", "zeros"),
        dtype,
    )
    geo, w, dy = geometry(p), composed(col, row, g), draw(*p.y_shape)
    y = fastconv.separable_conv2d(x, col, row, bias, backend="direct" if g == 1 else "naive", **opt)
    np.testing.assert_array_equal(y, oracle.forward(x, w, bias, geo))
    assert y.dtype == dtype
    got = fastconv.separable_conv2d_backward(dy, x, col, row, backend="im2col", **opt)
    np.testing.assert_array_equal(got.x, oracle.grad_input(dy, w, (p.ih, p.iw), geo))
    np.testing.assert_array_equal(got.bias, oracle.grad_bias(dy))
    dw = oracle.grad_weight(dy, x, (kh, kw), geo).reshape(g, co // g, -1, kh, kw)
    d_col = np.einsum("gocuv,gomv->gmcu", dw, row.reshape(g, -1, cm // g, kw)).reshape(col.shape)
    d_row = np.einsum("gocuv,gmcu->gomv", dw, col.reshape(g, cm // g, -1, kh)).reshape(row.shape)
    np.testing.assert_array_equal(got.w_col, d_col)
    np.testing.assert_array_equal(got.w_row, d_row)
    short = fastconv.separable_conv2d(x, col[..., 0], row[:, :, 0], bias, **opt)
    np.testing.assert_allclose(short, y, atol=1e-3)
    some = fastconv.separable_conv2d_backward(dy, x, col[..., 0], row[:, :, 0], wrt=("w_col", "bias"), **opt)
    assert some.x is None
    assert some.w_row is None
    assert some.w_col.shape == col.shape[:3]


def test_separable_conv2d_by_finite_differences() -> None:
    """<dy, y> is linear in each argument, so a step of one is the derivative."""
    rng = np.random.default_rng(5)
    x, col, row = (rng.integers(-2, 3, s).astype(float) for s in ((1, 2, 5, 6), (4, 1, 3), (2, 2, 2)))
    b = np.array([1.0, -2])
    opt: dict[str, Any] = {"groups": 2, "padding": (1, 2), "stride": (1, 2), "padding_mode": "replicate"}
    dy = rng.integers(-2, 3, fastconv.separable_conv2d(x, col, row, b, **opt).shape).astype(float)
    grads = fastconv.separable_conv2d_backward(dy, x, col, row, **opt)
    arguments: list[Any] = [x, col, row, b]
    base = np.vdot(dy, fastconv.separable_conv2d(*arguments, **opt))
    for k, gradient in enumerate(grads):
        for i in range(gradient.size):
            moved = [a.copy() for a in arguments]
            moved[k].ravel()[i] += 1
            step = np.vdot(dy, fastconv.separable_conv2d(*moved, **opt)) - base
            assert step == pytest.approx(gradient.ravel()[i], abs=1e-9)


def test_separable_conv2d_dtypes_and_layouts() -> None:
    x = RANDOM.standard_normal((3, 8, 9)).astype("f2")  # unbatched
    col, row = RANDOM.standard_normal((4, 3, 3)).astype("f2"), RANDOM.standard_normal((5, 4, 3)).astype("f2")
    y = fastconv.separable_conv2d(x, col, row, padding=1)
    assert y.dtype == "f2"
    assert y.shape == (5, 8, 9)
    want = oracle.forward(x[None], composed(col, row, 1), None, oracle.Geometry(padding=((1, 1), (1, 1))))[0]
    np.testing.assert_allclose(y, want, rtol=2e-3, atol=0.05)
    grads = fastconv.separable_conv2d_backward(y, x, col, row, padding=1)
    assert [a.shape for a in grads] == [x.shape, col.shape, row.shape, (5,)]
    assert all(a.dtype == "f2" for a in grads)
    mixed = fastconv.separable_conv2d(x.astype("f4")[:, ::2], col, row.astype("f8"))
    assert mixed.dtype == "f8"


@pytest.mark.parametrize(
    ("col", "row", "extra", "message"),
    [
        ((4, 3, 3, 2), (5, 4, 3), {}, "w_col must have shape"),
        ((4, 3, 3), (5, 4, 2, 3), {}, "w_row must have shape"),
        ((4, 3), (5, 4, 3), {}, "w_col must have shape"),
        ((4, 3, 3), (5, 3, 3), {}, "w_row must have 4 // 1"),
        ((4, 2, 3), (5, 4, 3), {}, "channels"),
        ((4, 3, 3), (5, 4, 3), {"stride": 0}, "stride"),
        ((4, 3, 30), (5, 4, 3), {}, "w_col is larger"),
    ],
)
def test_separable_conv2d_refuses(col: Any, row: Any, extra: Any, message: str) -> None:
    x = np.ones((1, 3, 8, 9))
    with pytest.raises(ValueError, match=message):
        fastconv.separable_conv2d(x, np.ones(col), np.ones(row), **extra)


def test_separable_conv2d_backward_refuses() -> None:
    x, col, row = np.ones((1, 3, 8, 9)), np.ones((4, 3, 3)), np.ones((5, 4, 3))
    with pytest.raises(ValueError, match="dy must have the output's shape"):
        fastconv.separable_conv2d_backward(np.ones((1, 5, 8, 9)), x, col, row)
    with pytest.raises(ValueError, match="wrt"):
        fastconv.separable_conv2d_backward(np.ones((1, 5, 6, 7)), x, col, row, wrt="w")
    with pytest.raises(TypeError, match="wrt"):
        fastconv.separable_conv2d_backward(np.ones((1, 5, 6, 7)), x, col, row, wrt=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="w_row must be an array"):
        fastconv.separable_conv2d(x, col, [1.0])  # type: ignore[arg-type]
