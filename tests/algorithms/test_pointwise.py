"""1x1 kernels on planes: every block size, tails of pixels and channels, groups, ways; against the oracle."""

import numpy as np
import pytest

from fastconv.algorithms.base import ACTIVATIONS, Epilogue
from fastconv.algorithms.direct import blocks
from fastconv.algorithms.pointwise import Pointwise
from fastconv.core.problem import PASSES, ConvProblem
from fastconv.engines import loader
from tests import battery
from tests.problems import integer_data

ENGINES = [engine for engine in loader.ENGINES if not loader.absent(engine)]
pytestmark = pytest.mark.parametrize("engine", ENGINES)

SHAPES = [  # n, ci, h, w, co, groups, strides
    (1, 2, 4, 4, 2, 1, 1),
    (2, 32, 16, 16, 24, 1, 1),
    (1, 20, 30, 31, 9, 1, 1),
    (2, 24, 14, 14, 48, 2, 1),
    (1, 70, 9, 9, 33, 1, 1),
    (3, 4, 40, 40, 6, 2, 1),
    (1, 130, 7, 7, 64, 1, 1),
    (1, 8, 3, 500, 100, 1, 1),
    (2, 20, 28, 28, 24, 1, 2),
    (1, 6, 41, 29, 10, 2, (2, 3)),
    (1, 33, 9, 60, 5, 1, (1, 2)),
    (2, 8, 40, 7, 17, 1, (3, 1)),
    (1, 9, 31, 3, 8, 1, (2, 5)),
]


def backend(engine: str) -> Pointwise:
    return Pointwise(engine, loader.load, loader.vector_bytes(engine), loader.bf16(engine))


def problem(shape: tuple[int, ...], dtype: str) -> ConvProblem:
    n, ci, h, w, co, g, strides = shape
    return ConvProblem.from_shapes((n, ci, h, w), (co, ci // g, 1, 1), stride=strides, groups=g, dtype=dtype)


def run(b, p, pass_, cfg, d, threads, after=None):
    """The pass with a block size; scratch memory full of NaN, results in between numbers that must stay."""
    work = np.full(max(1, b.workspace(p, pass_, cfg, threads) // p.itemsize), np.nan, p.dtype)
    shape = {"forward": p.y_shape, "grad_input": p.x_shape, "grad_weight": p.w_shape}[pass_]
    room = np.full(int(np.prod(shape)) + 128, 77, p.dtype)
    out = room[64:-64].reshape(shape)
    if pass_ == "forward":
        b.forward(p, cfg, d.x, d.w, after, out, work, threads)
    elif pass_ == "grad_input":
        b.grad_input(p, cfg, d.dy, d.w, out, work, threads)
    else:
        b.grad_weight(p, cfg, d.dy, d.x, out, work, threads)
    assert (room[:64] == 77).all() and (room[-64:] == 77).all()
    return out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_integers_are_exact_at_every_block_size(shape, dtype, engine):
    b, p = backend(engine), problem(shape, dtype)
    d = integer_data(p)
    for pass_ in PASSES:
        want = battery.expected(p, pass_, d)
        for threads in (1, 2, 3):
            chosen = b.configure(p, pass_, threads)
            for nv, most in blocks(b.vector_bytes).items():
                for nr, keep, ways in ((most, 1, 1), (max(1, most // 2), 3, threads)):
                    panel = nv * b.vector_bytes // p.itemsize * (64 if pass_ == "grad_weight" else chosen.channels)
                    ways = 1 if pass_ == "grad_weight" else ways
                    cfg = chosen._replace(nv=nv, nr=nr, keep=keep, ways=ways, strip=64, room=keep * panel)
                    got = run(b, p, pass_, cfg, d, threads)
                    np.testing.assert_array_equal(got, want, err_msg=f"{pass_} {cfg} {threads}")


@pytest.mark.parametrize("shape", SHAPES[1::2])
def test_epilogue(shape, engine):
    b, p = backend(engine), problem(shape, "float32")
    d = integer_data(p)
    residual = integer_data(p, 5).dy
    want = battery.expected(p, "forward", d)
    for bias in (None, d.b):
        for more in (None, residual):
            for name in ("", "relu", "relu6", "leaky_relu"):
                total = want + (0 if bias is None else bias[:, None, None]) + (0 if more is None else more)
                total = {
                    "": total,
                    "relu": np.maximum(total, 0),
                    "relu6": np.clip(total, 0, 6),
                    "leaky_relu": np.where(total < 0, total * np.float32(0.01), total),
                }[name]
                got = run(b, p, "forward", b.configure(p, "forward", 2), d, 2, Epilogue(bias, more, name))
                np.testing.assert_allclose(got, total, rtol=1e-6, err_msg=name)
    assert "relu6" in ACTIVATIONS


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (dict(kernel=(3, 3)), "1x1"),
        (dict(padding=1), "padding"),
        (dict(groups=4), "several channels"),
        (dict(size=1), "one vector"),
    ],
)
def test_refusals(text, why, engine):
    options = dict(text)
    kernel, size, g = options.pop("kernel", (1, 1)), options.pop("size", 8), text.get("groups", 1)
    p = ConvProblem.from_shapes((1, 4, size, size), (4, 4 // g, *kernel), dtype="float32", **options)
    assert why in (backend(engine).refuse(p, "forward") or "")
