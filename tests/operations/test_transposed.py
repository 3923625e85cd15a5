"""Transposed convolution: the adjoint of `conv2d`, checked against the oracle, the definition and PyTorch."""

from typing import Any

import numpy as np
import pytest

import fastconv
from tests import battery, oracle
from tests.peers import integers, needs_torch, torch

# (n, ci, h, w), (co, kh, kw), stride, padding, output_padding, dilation, groups
PROBLEMS = [
    ((2, 3, 5, 6), (4, 3, 3), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((1, 5, 4, 4), (6, 4, 4), (2, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 4, 3, 5), (6, 2, 2), (2, 2), (0, 0), (1, 0), (1, 1), 2),
    ((1, 2, 4, 3), (3, 3, 2), (3, 2), (1, 2), (2, 1), (1, 2), 1),
    ((1, 4, 3, 4), (4, 3, 3), (2, 1), (0, 1), (1, 2), (2, 3), 4),
    ((1, 3, 2, 2), (2, 2, 3), (1, 2), (1, 0), (3, 4), (4, 5), 1),
    ((1, 2, 1, 1), (2, 1, 1), (4, 3), (0, 0), (3, 2), (1, 1), 1),
]


def arrays(problem: Any, dtype: str = "float64") -> tuple[Any, Any, Any, dict[str, Any]]:
    """x, w, bias and options of a problem."""
    x, (co, kh, kw), stride, padding, output_padding, dilation, g = problem
    rng = np.random.default_rng(0)
    data = integers(rng, x, dtype), integers(rng, (x[1], co // g, kh, kw), dtype), integers(rng, (co,), dtype)
    options = dict(stride=stride, padding=padding, output_padding=output_padding, dilation=dilation, groups=g)
    return *data, options


def by_scattering(x: Any, w: Any, bias: Any, o: dict[str, Any]) -> Any:
    """Every pixel adds its kernel to the uncropped output, one Python loop an index."""
    (n, ci, h, wd), (_, cog, kh, kw), g = x.shape, w.shape, o["groups"]
    (sh, sw), (dh, dw) = o["stride"], o["dilation"]
    axes = zip((h, wd), (sh, sw), (dh, dw), (kh, kw), o["output_padding"], strict=True)
    size = [(i - 1) * s + d * (k - 1) + 1 + e for i, s, d, k, e in axes]
    whole = np.zeros((n, cog * g, *size))
    for b, c, i, j in np.ndindex(x.shape):
        first = c // (ci // g) * cog
        for q, u, v in np.ndindex(cog, kh, kw):
            whole[b, first + q, i * sh + u * dh, j * sw + v * dw] += x[b, c, i, j] * w[c, q, u, v]
    (ph, pw), (height, width) = o["padding"], size
    return whole[:, :, ph : height - ph, pw : width - pw] + bias[:, None, None]


@pytest.mark.parametrize("name", ["auto", *battery.backends()])
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_definition_and_gradients(problem: Any, name: str) -> None:
    """Against the loops; and both gradients by the adjoint identities, exact on integers."""
    x, w, bias, options = arrays(problem)
    try:
        y = fastconv.conv_transpose2d(x, w, bias, backend=name, **options)
        dy = integers(np.random.default_rng(1), y.shape)
        grads = fastconv.conv_transpose2d_backward(dy, x, w, backend=name, **options)
    except fastconv.BackendRefused:
        assert name != "auto"
        return
    exact = name == "auto" or battery.is_exact(fastconv.get_backend(name))
    tolerance = 0.0 if exact else 1e-10
    np.testing.assert_allclose(y, by_scattering(x, w, bias, options), rtol=0, atol=tolerance)
    ph, pw = options["padding"]
    geo = oracle.Geometry(options["stride"], ((ph, ph), (pw, pw)), options["dilation"], options["groups"])
    dx = oracle.forward(dy, w, geo=geo)[:, :, : x.shape[2], : x.shape[3]]
    np.testing.assert_allclose(grads.x, dx, rtol=0, atol=tolerance)
    for i in np.ndindex(w.shape):  # linear: the derivative is the value at a unit vector
        unit = np.zeros_like(w)
        unit[i] = 1
        want = np.vdot(dy, by_scattering(x, unit, 0 * bias, options))
        assert abs(grads.w[i] - want) <= tolerance * max(1.0, abs(want))
    np.testing.assert_array_equal(grads.bias, dy.sum(axis=(0, 2, 3)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes_and_layouts(dtype: str) -> None:
    x, w, bias, options = arrays(PROBLEMS[1], dtype)
    want = by_scattering(x.astype(float), w.astype(float), bias.astype(float), options)
    y = fastconv.conv_transpose2d(x, w, bias, **options)
    assert y.dtype == dtype and y.flags.c_contiguous
    np.testing.assert_array_equal(y, want.astype(dtype))
    nhwc = np.asfortranarray(x), w[:, ::-1][:, ::-1], bias.astype(bias.dtype.newbyteorder())
    np.testing.assert_array_equal(fastconv.conv_transpose2d(*nhwc, **options), y)
    np.testing.assert_array_equal(fastconv.conv_transpose2d(x[0], w, bias, **options), y[0])
    one = fastconv.conv_transpose2d_backward(y[0], x[0], w, **options)
    many = fastconv.conv_transpose2d_backward(y, x, w, **options)
    np.testing.assert_array_equal(one.x, many.x[0])
    np.testing.assert_array_equal(one.w, many.w)
    assert {a.dtype.name for a in (*one, *many)} == {dtype}
    empty = fastconv.conv_transpose2d(x[:0], w, bias, **options)
    assert empty.shape == (0, *y.shape[1:])
    assert not fastconv.conv_transpose2d_backward(empty, x[:0], w, **options).w.any()


def test_padding_at_each_end() -> None:
    """((top, bottom), (left, right)) cuts the full output accordingly."""
    x, w, bias, options = arrays(PROBLEMS[3])
    full = fastconv.conv_transpose2d(x, w, bias, **{**options, "padding": 0})
    cut = fastconv.conv_transpose2d(x, w, bias, **{**options, "padding": ((1, 0), (2, 3))})
    np.testing.assert_array_equal(cut, full[:, :, 1:, 2:-3])


def test_is_the_adjoint_of_conv2d() -> None:
    """<conv2d(a), b> = <a, conv_transpose2d(b)> with the same weights and options."""
    rng = np.random.default_rng(2)
    a, w = integers(rng, (2, 3, 9, 10)), integers(rng, (4, 3, 3, 4))
    options: dict[str, Any] = dict(stride=(2, 3), padding=(1, 2))
    b = integers(rng, fastconv.conv2d(a, w, **options).shape)
    back = fastconv.conv_transpose2d(b, w, output_padding=(0, 1), **options)
    assert back.shape == a.shape
    assert np.vdot(fastconv.conv2d(a, w, **options), b) == np.vdot(a, back)


@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(3, 4), (5, 1), (2, 2)])
def test_same_and_modes(kernel: tuple[int, int], stride: int, mode: Any) -> None:
    """The adjoint of `conv2d` with padding="same", for every size that it maps to x; and its gradients."""
    rng = np.random.default_rng(4)
    w = integers(rng, (4, 3, *kernel))
    for size in range(5 * stride - stride + 1, 5 * stride + 1):
        a = integers(rng, (2, 3, size, size))
        b, options = integers(rng, (2, 4, 5, 5)), dict(stride=stride, padding="same", padding_mode=mode)
        back = fastconv.conv_transpose2d(b, w, output_size=size, **options)  # type: ignore[arg-type]
        assert back.shape == a.shape
        assert np.vdot(fastconv.conv2d(a, w, **options), b) == np.vdot(a, back)  # type: ignore[arg-type]
        db, dw = fastconv.conv_transpose2d_backward(a, b, w, output_size=size, **options)[:2]  # type: ignore[arg-type]
        np.testing.assert_array_equal(db, fastconv.conv2d(a, w, **options))  # type: ignore[arg-type]
        assert np.vdot(dw, w) == np.vdot(a, back)
    assert fastconv.conv_transpose2d(b, w, stride=stride, padding="same").shape == (2, 3, 5 * stride, 5 * stride)


def test_circular_goes_on_at_the_other_side() -> None:
    """By rolls: every tap is a shifted copy of the image, whose pixels stand ``stride`` apart."""
    rng = np.random.default_rng(5)
    x, w = integers(rng, (1, 2, 4, 6)), integers(rng, (2, 3, 3, 5))
    wide = np.zeros((1, 2, 8, 12))
    wide[:, :, ::2, ::2] = x
    want = sum(
        np.einsum("nchw,cd->ndhw", np.roll(wide, (i, j), axis=(2, 3)), w[:, :, i, j]) for i, j in np.ndindex(3, 5)
    )
    got = fastconv.conv_transpose2d(x, w, stride=2, padding="same", padding_mode="circular")
    np.testing.assert_array_equal(got, np.roll(want, (0, -1), axis=(2, 3)))


@needs_torch
def test_output_size_is_that_of_torch() -> None:
    x, w = np.ones((1, 2, 5, 6), np.float32), np.ones((2, 3, 4, 3), np.float32)
    layer = torch.nn.ConvTranspose2d(2, 3, (4, 3), stride=(3, 2), padding=1, bias=False)
    with torch.no_grad():
        layer.weight[:] = 1
        for size in ((14, 11), (16, 12)):
            want = layer(torch.ones(1, 2, 5, 6), output_size=size).numpy()
            np.testing.assert_array_equal(
                fastconv.conv_transpose2d(x, w, stride=(3, 2), padding=(1,), output_size=size), want
            )


@needs_torch
def test_equal_to_torch() -> None:
    """Output and gradients of 500 random problems with integers, every option that both have."""
    rng = np.random.default_rng(3)

    def two(low: int, high: int) -> tuple[int, int]:
        return int(rng.integers(low, high)), int(rng.integers(low, high))

    for _ in range(500):
        g, s, d, k, size = int(rng.integers(1, 4)), two(1, 4), two(1, 4), two(1, 5), two(1, 8)
        ci, co = (g * v for v in two(1, 4))
        more = tuple(int(rng.integers(0, max(pair))) for pair in zip(s, d, strict=True))
        room = [(i - 1) * a + b * (c - 1) + e for i, a, b, c, e in zip(size, s, d, k, more, strict=True)]
        padding = tuple(int(rng.integers(0, 1 + min(3, r // 2))) for r in room)
        options: Any = dict(stride=s, padding=padding, output_padding=more, dilation=d, groups=g)
        shapes = (int(rng.integers(1, 3)), ci, *size), (ci, co // g, *k), (co,)
        x, w, bias = (integers(rng, shape, "float32") for shape in shapes)
        leaves = [torch.from_numpy(a).requires_grad_() for a in (x, w, bias)]
        want = torch.nn.functional.conv_transpose2d(*leaves, **options)
        y = fastconv.conv_transpose2d(x, w, bias, **options)
        np.testing.assert_array_equal(y, want.detach().numpy(), str(options))
        dy = integers(rng, y.shape, "float32")
        want.backward(torch.from_numpy(dy))
        for got, leaf in zip(fastconv.conv_transpose2d_backward(dy, x, w, **options), leaves, strict=True):
            np.testing.assert_array_equal(got, leaf.grad.numpy(), str(options))


X, W = np.ones((2, 4, 5, 6), np.float32), np.ones((4, 3, 3, 3), np.float32)
BAD: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
    (ValueError, "output_padding", (X, W), dict(output_padding=1)),
    (ValueError, "output_padding", (X, W), dict(output_padding=(1, 2), stride=2)),
    (ValueError, "output_padding", (X, W), dict(output_padding=3, stride=2, dilation=3)),
    (ValueError, "output_padding", (X, W), dict(output_padding=-1)),
    (TypeError, "output_padding", (X, W), dict(output_padding=0.0)),
    (ValueError, "padding", (X, W), dict(padding=4)),
    (ValueError, "padding", (X, W), dict(padding=-1)),
    (ValueError, "padding", (X, W), dict(padding="full")),
    (ValueError, "output_padding", (X, W), dict(padding="same", output_padding=1, stride=2)),
    (ValueError, "output_padding", (X, W), dict(output_size=11, output_padding=1, stride=2)),
    (ValueError, "output_size must be from 11 to 12 for height", (X, W), dict(output_size=13, stride=2)),
    (ValueError, "output_size must be from 9 to 10 for height", (X, W), dict(output_size=8, stride=2, padding="same")),
    (TypeError, "output_size", (X, W), dict(output_size=1.5)),
    (ValueError, "padding_mode", (X, W), dict(padding_mode="periodic")),
    (ValueError, "stride", (X, W), dict(stride=0)),
    (ValueError, "dilation", (X, W), dict(dilation=(1, 0))),
    (ValueError, "groups", (X, W), dict(groups=3)),
    (ValueError, "groups", (X, W), dict(groups=0)),
    (TypeError, "backend", (X, W), dict(backend=None)),
    (ValueError, "backend", (X, W), dict(backend="fast")),
    (ValueError, "rtol", (X, W), dict(rtol=0)),
    (ValueError, "w ", (X, W[:3]), {}),
    (ValueError, "w ", (X, W[0]), {}),
    (ValueError, "w ", (X, W[:, :0]), {}),
    (ValueError, "x ", (X[0, 0], W), {}),
    (ValueError, "x ", (X[:, :, :0], W), {}),
    (TypeError, "x ", (X.astype(int), W), {}),
    (TypeError, "w ", (X, W.tolist()), {}),
    (ValueError, "bias", (X, W, np.ones(4, np.float32)), {}),
    (TypeError, "bias", (X, W, 1.0), {}),
]


@pytest.mark.parametrize(("error", "name", "arguments", "options"), BAD)
def test_bad_input(error: type[Exception], name: str, arguments: Any, options: dict[str, Any]) -> None:
    with pytest.raises(error, match=name):
        fastconv.conv_transpose2d(*arguments, **options)
    if len(arguments) == 2:
        dy = np.ones((2, 3, 7, 8), np.float32)
        with pytest.raises(error, match=name):
            fastconv.conv_transpose2d_backward(dy, *arguments, **options)


def test_bad_gradient() -> None:
    dy = np.ones((2, 3, 7, 8), np.float32)
    for bad in (dy[:, :, :6], dy[0], dy[:, :2]):
        with pytest.raises(ValueError, match="dy"):
            fastconv.conv_transpose2d_backward(bad, X, W)
    with pytest.raises(ValueError, match="wrt"):
        fastconv.conv_transpose2d_backward(dy, X, W, wrt="y")
    assert fastconv.conv_transpose2d_backward(dy, X, W, wrt="w")[::2] == (None, None)
