"""conv1d: sums written out, PyTorch's gradients, errors that name the argument."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv


def integers(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).integers(-4, 5, shape).astype(np.float64)


@settings(max_examples=50)
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.tuples(st.integers(0, 4), st.integers(0, 4)),
    st.sampled_from([1, 2]), st.sampled_from(["zeros", "wrap"]),
)  # fmt: skip
def test_against_the_sum(k: int, stride: int, dilation: int, pads: tuple[int, int], groups: int, mode: str) -> None:
    x, w, bias = integers(2, 4, 13), integers(6, 4 // groups, k), integers(6)
    wide = np.pad(x, ((0, 0), (0, 0), pads), "constant" if mode == "zeros" else mode)  # type: ignore[call-overload]
    n = (wide.shape[2] - dilation * (k - 1) - 1) // stride + 1
    want = np.zeros((2, 6, n))
    for b, o, i in np.ndindex(want.shape):
        first = o // (6 // groups) * (4 // groups)
        seen = wide[b, first : first + 4 // groups, i * stride :][:, : dilation * (k - 1) + 1 : dilation]
        want[b, o, i] = (seen * w[o]).sum() + bias[o]
    options: Any = dict(stride=stride, padding=pads, dilation=(dilation,), groups=groups)
    options["padding_mode"] = "zeros" if mode == "zeros" else "circular"
    got = fastconv.conv1d(x, w, bias, **options)
    np.testing.assert_array_equal(got, want)
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(fastconv.conv1d(x[0], w, bias, **options), want[0])
    out = np.zeros((2, 6, 2 * n))[..., ::2]
    assert fastconv.conv1d(x, w, bias, out=out, **options) is out
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("padding", [0, (2,), "same"])
def test_equal_to_torch(padding: Any) -> None:
    torch = pytest.importorskip("torch")
    x, w, bias = integers(3, 4, 20), integers(6, 2, 5), integers(6)
    leaves = [torch.from_numpy(a).requires_grad_() for a in (x, w, bias)]
    want = torch.nn.functional.conv1d(*leaves, padding=padding, groups=2)
    np.testing.assert_array_equal(fastconv.conv1d(x, w, bias, padding=padding, groups=2), want.detach().numpy())
    dy = integers(*want.shape)
    want.backward(torch.from_numpy(dy))
    found = fastconv.conv1d_backward(dy, x, w, padding=padding, groups=2)
    for got, leaf in zip(found, leaves, strict=True):
        np.testing.assert_array_equal(got, leaf.grad.numpy())
    assert fastconv.conv1d_backward(dy, x, w, padding=padding, groups=2, wrt="w").x is None


@pytest.mark.parametrize(
    "error, name, change",
    [
        (ValueError, "x must have 2 or 3 axes", dict(x=integers(4))),
        (ValueError, "w must have 3 axes", dict(w=integers(6, 4))),
        (ValueError, "w has 3 channels", dict(w=integers(6, 3, 5))),
        (TypeError, "x must be", dict(x=np.ones((4, 9), int))),
        (TypeError, "stride", dict(stride=(1, 2))),
        (ValueError, "dilation", dict(dilation=0)),
        (ValueError, "padding", dict(padding=(1, 2, 3))),
        (ValueError, "out must have", dict(out=np.zeros((6, 3)))),
    ],
)
def test_bad_input(error: type[Exception], name: str, change: dict[str, Any]) -> None:
    with pytest.raises(error, match=name):
        fastconv.conv1d(**{"x": integers(4, 9), "w": integers(6, 4, 5), **change})
