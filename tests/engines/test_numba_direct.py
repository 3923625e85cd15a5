"""The steps of `direct`, on Numba above all, where register blocks end; and the largest magnitude."""

import numpy as np
import pytest

import fastconv
from fastconv.engines import loader
from fastconv.engines import numba_ as engine
from tests import oracle

THREADS = pytest.mark.parametrize("threads", [1, 2])
RANDOM = np.random.default_rng(0)


def integers(shape, dtype):
    """Small enough that every sum is exact in float32."""
    return RANDOM.integers(-4, 5, shape).astype(dtype)


def check(backend, threads, n, ci, size, co, kernel, stride=(1, 1), padding=0, dilation=(1, 1), groups=1, dtype="f4"):
    """All passes against the oracle, exactly."""
    geo = oracle.Geometry(stride, ((padding, padding),) * 2, dilation, groups)
    oh, ow = oracle.out_size(size, kernel, geo)
    x, w, bias, dy = (
        integers(shape, dtype) for shape in ((n, ci, *size), (co, ci // groups, *kernel), co, (n, co, oh, ow))
    )
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "backend": backend}
    passes = {
        "forward": (lambda: fastconv.conv2d(x, w, bias, **options), oracle.forward(x, w, bias, geo)),
        "grad_input": (
            lambda: fastconv.conv2d_grad_input(dy, w, x.shape, **options),
            oracle.grad_input(dy, w, size, geo),
        ),
        "grad_weight": (
            lambda: fastconv.conv2d_grad_weight(dy, x, w.shape, **options),
            oracle.grad_weight(dy, x, kernel, geo),
        ),
    }
    before = fastconv.get_num_threads()
    fastconv.set_num_threads(threads)
    try:
        for name, (run, want) in passes.items():
            np.testing.assert_array_equal(run(), want, err_msg=f"{backend} {name}")
    finally:
        fastconv.set_num_threads(before)


@pytest.mark.parametrize("name", [e for e in loader.ENGINES if loader.absent(e) is None])
@pytest.mark.parametrize("outputs", [13, 17, 70])
@pytest.mark.parametrize("width", [*range(1, 18), 27, 29])
def test_direct_rows_of_every_width(width, outputs, name):
    """Blocks of 1, 2 and more vectors end within and at the end of a row."""
    for channels in (5, 19):
        check(f"direct/{name}", 1, 1, channels, (5, width), outputs, (3, 3), padding=1)


@THREADS
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("channels", [3, 40])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [
    ((1, 1), (1, 1), (1, 1)), ((1, 1), (2, 2), (1, 1)), ((3, 5), (1, 1), (2, 3)), ((7, 7), (2, 2), (1, 1)),
    ((2, 3), (3, 4), (1, 1)), ((2, 17), (1, 1), (1, 1)), ((3, 3), (2, 3), (2, 2)),
])  # fmt: skip
def test_direct(kernel, stride, dilation, channels, dtype, threads):
    check("direct/numba", threads, 2, channels, (13, 38), 21, kernel, stride, 2, dilation, dtype=dtype)


@THREADS
def test_direct_packs_large_weights_panel_by_panel(threads):
    """Panels that do not fit a core's cache together; one panel for two threads."""
    check("direct/numba", threads, 1, 200, (7, 7), 210, (3, 3), padding=1)
    check("direct/numba", threads, 1, 200, (9, 7), 16, (3, 3), padding=1)


def test_direct_groups():
    check("direct/numba", 2, 2, 32, (9, 11), 48, (3, 3), padding=1, groups=2)


@pytest.mark.parametrize("outputs", [*range(1, 16), 27])
def test_pointwise_outputs(outputs):
    """Outputs end within a vector, pixels within a block."""
    check("direct/numba", 1, 2, 5, (7, 11), outputs, (1, 1))
    check("direct/numba", 2, 1, outputs, (8, 16), 3, (1, 1))


@THREADS
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("outputs", [1, 3, 8])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [
    ((3, 3), (1, 1), (1, 1)), ((7, 7), (2, 2), (1, 1)), ((3, 4), (3, 3), (2, 1)), ((1, 1), (2, 2), (1, 1)),
])  # fmt: skip
def test_direct_few_outputs(kernel, stride, dilation, outputs, dtype, threads):
    """Few outputs, of either direction, or few channels; phases of the columns, some without any tap."""
    check("direct/numba", threads, 2, 9, (11, 75), outputs, kernel, stride, 1, dilation, dtype=dtype)
    check("direct/numba", threads, 1, outputs, (11, 75), 9, kernel, stride, 1, dilation, dtype=dtype)


@THREADS
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("size", [1, 37, 1 << 16])
def test_abs_peak(size, dtype, threads):
    x = RANDOM.standard_normal((1, size)).astype(dtype)
    assert engine.abs_peak(x, threads) == abs(x).max()
    x[0, size // 3] = -1e30
    assert engine.abs_peak(x, threads) == abs(x[0, size // 3])
    x[0, size // 2] = -np.inf
    assert engine.abs_peak(x, threads) == np.inf
    x[0, -1] = np.nan
    assert np.isnan(engine.abs_peak(x, threads))
    assert engine.abs_peak(np.zeros_like(x), threads) == 0
