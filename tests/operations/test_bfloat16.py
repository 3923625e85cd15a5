"""bfloat16 arrays of ml_dtypes: computed in float32, rounded once."""

from typing import Any

import numpy as np
import pytest

import fastconv
from tests import child

ml_dtypes = pytest.importorskip("ml_dtypes")
bfloat16 = ml_dtypes.bfloat16


def arrays(*shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s).astype(bfloat16) for s in shapes]


def singles(*given: Any) -> list[Any]:
    return [a.astype(np.float32) for a in given]


def same(got: Any, want: Any) -> None:
    assert (got.dtype, want.dtype) == (bfloat16, np.float32)
    np.testing.assert_array_equal(got, want.astype(bfloat16))


def test_forward_and_gradients() -> None:
    x, w, b = arrays((2, 4, 9, 8), (6, 4, 3, 3), (6,))
    y = fastconv.conv2d(x, w, b, padding=1, activation="relu", backend="direct")
    same(y, fastconv.conv2d(*singles(x, w, b), padding=1, activation="relu", backend="direct"))
    found = fastconv.conv2d_backward(y, x, w, padding=1, backend="im2col")
    for got, want in zip(found, fastconv.conv2d_backward(*singles(y, x, w), padding=1, backend="im2col"), strict=True):
        same(got, want)
    plan = fastconv.plan_conv2d(x.shape, w, b, backend="direct")
    same(plan(x), fastconv.conv2d(*singles(x, w, b), backend="direct"))
    last = fastconv.conv2d(x.transpose(0, 2, 3, 1), w, layout="NHWC", backend="direct")
    same(last.transpose(0, 3, 1, 2), fastconv.conv2d(*singles(x, w), backend="direct"))


def test_friends() -> None:
    x, v = arrays((2, 4, 9, 8), (4, 3, 3, 2))
    same(fastconv.conv_transpose2d(x, v, stride=2, backend="direct"),
         fastconv.conv_transpose2d(*singles(x, v), stride=2, backend="direct"))  # fmt: skip
    same(fastconv.max_pool2d(x, 2), fastconv.max_pool2d(singles(x)[0], 2))
    same(fastconv.avg_pool2d(x, 3, padding=1), fastconv.avg_pool2d(singles(x)[0], 3, padding=1))
    same(fastconv.unfold(x, 3), fastconv.unfold(singles(x)[0], 3))
    same(fastconv.adaptive_avg_pool2d(x, (3, 5)), fastconv.adaptive_avg_pool2d(singles(x)[0], (3, 5)))
    same(fastconv.adaptive_max_pool2d(x, (3, 5)), fastconv.adaptive_max_pool2d(singles(x)[0], (3, 5)))
    same(fastconv.global_max_pool2d(x), fastconv.global_max_pool2d(singles(x)[0]))


def test_out_and_mixtures() -> None:
    x, w = arrays((1, 2, 7, 7), (3, 2, 3, 3))
    want, out = fastconv.conv2d(x, w), np.zeros((1, 3, 5, 5), bfloat16)
    assert fastconv.conv2d(x, w, out=out) is out
    np.testing.assert_array_equal(out, want)
    assert fastconv.conv2d(x, w.astype(np.float32)).dtype == np.float32
    assert fastconv.conv2d(x, w.astype(np.float64)).dtype == np.float64
    with pytest.raises(TypeError, match="out must have dtype bfloat16"):
        fastconv.conv2d(x, w, out=np.zeros((1, 3, 5, 5), np.float32))


def test_within_the_default_tolerance() -> None:
    x, w = arrays((1, 32, 20, 20), (32, 32, 3, 3))
    y = fastconv.conv2d(x, w, padding=1).astype(np.float64)
    exact = fastconv.conv2d(x.astype(np.float64), w.astype(np.float64), padding=1, backend="reference")
    scale = np.abs(x.astype(float)).max() * np.abs(w.astype(float)).sum(axis=(1, 2, 3))[:, None, None]
    assert (np.abs(y - exact) / scale).max() < 8e-3
    assert "bf16 forward" in str(fastconv.explain(x.shape, w.shape, padding=1, dtype="bfloat16"))


def test_not_needed() -> None:
    assert child.run_code("import sys, fastconv, numpy; print('ml_dtypes' in sys.modules)") == "False\n"
