"""Sizes, counts and receptive fields; patches, and convolution as a sparse matrix."""

from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.engines import loader
from fastconv.operations import unfold as patches
from tests import oracle
from tests.golden import GOLDEN
from tests.peers import integers, needs_torch, torch

ENGINES = [e for e in loader.ENGINES if loader.absent(e) is None]
# x, w, options
PROBLEMS: list[tuple[Any, Any, dict[str, Any]]] = [
    ((2, 3, 6, 7), (4, 3, 3, 3), {}),
    ((1, 2, 5, 6), (3, 2, 2, 3), dict(stride=(2, 1), padding=((1, 0), (2, 3)))),
    ((2, 4, 9, 8), (6, 2, 3, 2), dict(stride=2, padding=1, dilation=(2, 3), groups=2)),
    ((1, 3, 4, 4), (3, 1, 4, 4), dict(padding="same", groups=3)),
    ((1, 1, 1, 1), (2, 1, 3, 3), dict(padding="full")),
]


@pytest.fixture(params=ENGINES)
def engine(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(patches, "_steps", lambda dtype: loader.load(request.param, dtype))
    return str(request.param)


@pytest.mark.parametrize(("x_shape", "w_shape", "opt"), PROBLEMS)
def test_unfold_is_half_of_a_convolution(x_shape: Any, w_shape: Any, opt: dict[str, Any], engine: str) -> None:
    """The other half is a matrix product; and fold is its adjoint."""
    rng = np.random.default_rng(0)
    g, rest = opt.get("groups", 1), {k: v for k, v in opt.items() if k != "groups"}
    x, w = integers(rng, x_shape, "float32"), integers(rng, w_shape, "float32")
    y = fastconv.conv2d(x, w, **opt)
    col = fastconv.unfold(x, w_shape[2:], **rest)
    n, co = y.shape[:2]
    taps = col.reshape(n, g, -1, col.shape[-1])
    product = np.einsum("gok,ngkp->ngop", w.reshape(g, co // g, -1), taps).reshape(y.shape)
    np.testing.assert_array_equal(product, y)
    np.testing.assert_array_equal(fastconv.unfold(x[0], w_shape[2:], **rest), col[0])
    other = integers(rng, col.shape, "float32")
    back = fastconv.fold(other, x_shape[2:], w_shape[2:], **rest)
    assert back.shape == x.shape and np.vdot(col, other) == np.vdot(x, back)
    np.testing.assert_array_equal(fastconv.fold(other[0], x_shape[2:], w_shape[2:], **rest), back[0])


@needs_torch
def test_unfold_and_fold_equal_torch() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        k, s, p, d = (tuple(int(v) for v in rng.integers(low, 4, 2)) for low in (1, 1, 0, 1))
        size = tuple(max(1, b * (a - 1) + 1 - 2 * c) + int(rng.integers(0, 6)) for a, b, c in zip(k, d, p, strict=True))
        x = integers(rng, (int(rng.integers(1, 3)), int(rng.integers(1, 4)), *size), "float32")
        opt: Any = dict(stride=s, padding=p, dilation=d)
        col = fastconv.unfold(x, k, **opt)
        np.testing.assert_array_equal(col, torch.nn.functional.unfold(torch.from_numpy(x), k, **opt).numpy(), str(opt))
        back = torch.nn.functional.fold(torch.from_numpy(col), size, k, **opt).numpy()
        np.testing.assert_array_equal(fastconv.fold(col, size, k, **opt), back, str(opt))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "symmetric", "replicate", "circular"])
@pytest.mark.parametrize(("x_shape", "w_shape", "opt"), PROBLEMS[:4])
def test_matrix(x_shape: Any, w_shape: Any, opt: dict[str, Any], mode: str) -> None:
    """The matrix is the convolution, its transpose the gradient, its shape that of the lecture."""
    rng = np.random.default_rng(0)
    x, w = integers(rng, x_shape[1:]), integers(rng, w_shape)
    opt = {**opt, "padding_mode": mode}
    m = fastconv.conv2d_matrix(w, x.shape, **opt)
    y = fastconv.conv2d(x, w, **opt)
    assert m.shape == (y.size, x.size)
    np.testing.assert_array_equal(m @ x.ravel(), y.ravel())
    dy = integers(rng, y.shape)
    np.testing.assert_array_equal(m.T @ dy.ravel(), fastconv.conv2d_grad_input(dy, w, x.shape, **opt).ravel())


def test_lecture_matrix() -> None:
    want = np.array(GOLDEN["toeplitz"]["matrix"])
    m = fastconv.conv2d_matrix(np.arange(1.0, 5.0).reshape(1, 1, 2, 2), (1, 3, 3))
    np.testing.assert_array_equal(m.toarray(), want)
    assert m.dtype == np.float64 and type(m).__module__.startswith("scipy.sparse")


def test_lecture_sizes() -> None:
    """The numbers that the lecture notes print."""
    for example in GOLDEN["conv2d"]:
        x, w, y = (np.shape(example[k]) for k in "xwy")
        opt = dict(stride=example["stride"], padding=example["padding"])
        assert fastconv.conv2d_output_shape((1, *x), (1, 1, *w), **opt) == (1, *y)
        assert fastconv.conv2d_flops((1, *x), (1, 1, *w), **opt) == 2 * y[0] * y[1] * w[0] * w[1]
    assert fastconv.conv2d_output_shape((2, 3, 12, 12), (256, 3, 5, 5)) == (2, 256, 8, 8)
    assert fastconv.conv2d_output_shape((3, 12, 12), (3, 1, 5, 5), groups=3) == (3, 8, 8)
    for k, p, s in ((3, 1, 1), ((3, 5), 3, 2)):  # floor((W + 2P - F) / S) + 1
        kh, kw = k if isinstance(k, tuple) else (k, k)
        want = (20 + 2 * p - kh) // s + 1, (31 + 2 * p - kw) // s + 1
        assert fastconv.conv2d_output_shape((1, 20, 31), (1, 1, kh, kw), stride=s, padding=p) == (1, *want)
    assert fastconv.conv2d_parameters((10, 3, 5, 5)) == ((2 * 2 + 1) ** 2 * 3 + 1) * 10
    assert fastconv.conv2d_parameters((10, 3, 5, 5), bias=False) == 5 * 5 * 3 * 10
    dense, separable = (256, 3, 5, 5), ((3, 1, 5, 5), (256, 3, 1, 1))
    assert fastconv.conv2d_parameters(dense, bias=False) == 19200
    assert sum(fastconv.conv2d_parameters(s, bias=False) for s in separable) == 75 + 768
    assert fastconv.receptive_field([3, 3]).size == GOLDEN["formulas"]["two_3x3_receptive_field"]


def seen(layers: list[dict[str, Any]], size: int) -> list[tuple[int, int]]:
    """First and last pixel, in one dimension and counted from the image's edge, that each output depends on."""
    reach = np.eye(size, dtype=bool)
    offset = 0  # zero padding is made of pixels of its own, so that nothing is lost
    stride = 1
    for layer in layers:
        k, s, p, d = (
            layer.get(name, default)
            for name, default in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1))
        )
        count = (len(reach) - d * (k - 1) - 1) // s + 1
        reach = np.array([np.any([reach[i * s + t * d] for t in range(k)], axis=0) for i in range(count)])
        offset += p * stride
        stride *= s
    return [(int(np.flatnonzero(row)[0]) - offset, int(np.flatnonzero(row)[-1]) - offset) for row in reach]


STACKS: list[list[dict[str, Any]]] = [
    [dict(kernel_size=3)],
    [dict(kernel_size=3), dict(kernel_size=4)],
    [
        dict(kernel_size=7, stride=2, padding=3),
        dict(kernel_size=3, stride=2, padding=1),
        dict(kernel_size=3, padding=1),
    ],
    [dict(kernel_size=3, dilation=1), dict(kernel_size=3, dilation=2), dict(kernel_size=3, dilation=4, padding=4)],
    [dict(kernel_size=2, stride=2), dict(kernel_size=1), dict(kernel_size=5, stride=3, padding=2, dilation=2)],
    [dict(kernel_size=1, stride=3), dict(kernel_size=2, stride=2)],
]


@pytest.mark.parametrize("layers", STACKS)
def test_receptive_field_is_what_is_seen(layers: list[dict[str, Any]]) -> None:
    """Against the pixels that boolean layers let through."""
    got = fastconv.receptive_field(layers)
    for i, (first, last) in enumerate(seen(layers, 80)):
        assert first == got.start + i * got.stride
        assert last == first + got.size - 1
    defaults = (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1))
    assert fastconv.receptive_field([tuple(layer.get(k, v) for k, v in defaults) for layer in layers]) == got


def test_receptive_field_forms() -> None:
    assert fastconv.receptive_field([]) == (1, 1, 0)
    pairs = fastconv.receptive_field([dict(kernel_size=(1, 7), padding=(0, 3)), (3, (2, 1), ((1, 0), (2, 0)))])
    assert pairs == ((3, 9), (2, 1), (-1, -5))


@pytest.mark.parametrize("layers", [
    None, 3, "33", {"kernel_size": 3}, [0], [-1], [2.5], ["3"], [None], [()], [(1, 1, 1, 1, 1)], [3, {}],
    [{"stride": 1}], [{"kernel_size": 3, "strides": 2}], [(3, 0)], [(3, 1, -1)], [(3, 1, "same")], [(3, 1, 0, 0)],
    [{"kernel_size": 3, "dilation": 0}], [{"kernel_size": (3, 3, 3)}], [True],
])  # fmt: skip
def test_bad_layers(layers: Any) -> None:
    with pytest.raises(ValueError, match="layers"):
        fastconv.receptive_field(layers)


X, W = np.ones((2, 3, 6, 7)), np.ones((4, 3, 3, 3))


@pytest.mark.parametrize(
    ("error", "name", "call"),
    [
        (TypeError, "input_shape", lambda: fastconv.conv2d_output_shape(5, W.shape)),  # type: ignore[arg-type]
        (TypeError, "input_shape", lambda: fastconv.conv2d_output_shape((3, 6.0, 7), W.shape)),  # type: ignore[arg-type]
        (ValueError, "input_shape ", lambda: fastconv.conv2d_output_shape((6, 7), W.shape)),
        (ValueError, "weight_shape", lambda: fastconv.conv2d_output_shape(X.shape, (4, 3, 3))),
        (ValueError, "weight_shape", lambda: fastconv.conv2d_parameters((4, 3, 0, 3))),
        (TypeError, "weight_shape", lambda: fastconv.conv2d_parameters(None)),  # type: ignore[arg-type]
        (ValueError, "stride", lambda: fastconv.conv2d_output_shape(X.shape, W.shape, stride=0)),
        (ValueError, "weight_shape ", lambda: fastconv.conv2d_flops(X.shape, (4, 3, 9, 3))),
        (ValueError, "groups", lambda: fastconv.conv2d_flops(X.shape, W.shape, groups=2)),
        (TypeError, "x ", lambda: fastconv.unfold(X.astype(complex), 3)),
        (ValueError, "x ", lambda: fastconv.unfold(X[0, 0], 3)),
        (ValueError, "kernel_size", lambda: fastconv.unfold(X, 8)),
        (ValueError, "kernel_size", lambda: fastconv.unfold(X, 0)),
        (ValueError, "stride", lambda: fastconv.unfold(X, 2, stride=0)),
        (ValueError, "columns", lambda: fastconv.fold(np.ones((2, 7, 30)), (6, 7), 2)),
        (ValueError, "columns", lambda: fastconv.fold(np.ones((2, 8, 31)), (6, 7), 2)),
        (ValueError, "columns", lambda: fastconv.fold(np.ones(8), (6, 7), 2)),
        (ValueError, "output_size", lambda: fastconv.fold(np.ones((2, 8, 30)), 0, 2)),
        (ValueError, "kernel_size", lambda: fastconv.fold(np.ones((2, 8, 30)), 1, 2)),
        (ValueError, "input_shape", lambda: fastconv.conv2d_matrix(W, X.shape)),
        (TypeError, "input_shape", lambda: fastconv.conv2d_matrix(W, 3)),  # type: ignore[arg-type]
        (ValueError, "padding_mode", lambda: fastconv.conv2d_matrix(W, X.shape[1:], padding_mode="edge")),  # type: ignore[arg-type]
        (TypeError, "w ", lambda: fastconv.conv2d_matrix(W.tolist(), X.shape[1:])),
    ],
)
def test_bad_input(error: type[Exception], name: str, call: Any) -> None:
    with pytest.raises(error, match=name):
        call()


def test_dtypes() -> None:
    for dtype in ("float16", "float32", "float64"):
        col = fastconv.unfold(X.astype(dtype), 2)
        assert col.dtype == dtype and fastconv.fold(col, (6, 7), 2).dtype == dtype
    assert fastconv.unfold(X[:0], 2).shape == (0, 12, 30)
    assert fastconv.fold(np.ones((0, 12, 30)), (6, 7), 2).shape == (0, 3, 6, 7)


def test_oracle_agrees_on_sizes() -> None:
    """The output formula, against a second writing of it, over a grid."""
    for size, k, s, p, d in np.ndindex(12, 4, 4, 4, 3):
        if size + 1 + 2 * p >= (d + 1) * k + 1:
            want = oracle.output_size(size + 1, k + 1, s + 1, p, p, d + 1)
            opt: Any = dict(stride=s + 1, padding=p, dilation=d + 1)
            assert fastconv.conv2d_output_shape((1, size + 1, 99), (1, 1, k + 1, 1), **opt)[1] == want
