"""Direct convolution as contiguous runs, channels last or planes: exact on integers, in every block and share."""

from typing import Any

import numpy as np
import pytest

from fastconv.algorithms.axes import adjoint_axes
from fastconv.algorithms.base import ACTIVATIONS
from fastconv.core.problem import PASSES
from fastconv.engines import loader
from tests import battery, child, guard_direct, oracle
from tests.guard_direct import backend, configs, expected, layouts
from tests.problems import EDGE_PROBLEMS, geometry, integer_data, with_dtype

pytestmark = pytest.mark.skipif(bool(loader.absent("cython")), reason="kernels are not compiled")
BLOCKS = (  # rows of several register blocks, panels of one to four vectors, tails
    "n2ci11ih9iw31co70kh3kw3ph1pw1_f32",
    "n1ci6ih10iw12co74kh3kw2sh2sw2ph1pw1dh2g2_f32",
    "n3ci20ih5iw7co150kh1kw1_f32",
    "n1ci70ih1iw3co9kh1kw1_f32",
    "n1ci4ih19iw29co20kh3kw3ph1pw2dw2_f32",
)
FEW = (  # few channels, then few outputs
    "n2ci3ih21iw112co32kh3kw3sh2sw2ph1pw1_f32",
    "n1ci3ih30iw55co20kh5kw5ph2pw2_f32",
    "n2ci1ih19iw33co11kh7kw3sh2ph3pw1_f32",
    "n1ci4ih17iw100co64kh3kw3ph1pw1dh2dw2_f32",
    "n1ci2ih40iw149co27kh3kw5sh3sw4_f32",
    "n1ci3ih9iw14co40kh4kw4sh4sw4_f32",
    *(f"n1ci24ih9iw{w}co{c}kh3kw3ph1pw1_f32" for w, c in ((14, 1), (40, 3), (49, 5), (96, 8))),
    "n1ci24ih17iw90co3kh3kw3sh2sw2ph1pw1_f32",
    "n2ci9ih12iw47co7kh3kw3sh3sw3_f32",
)


def filled(dtype: str) -> Any:
    def make(shape: tuple[int, ...]) -> Any:
        raw = np.full(int(np.prod(shape)) + 16, np.nan, dtype)
        start = -raw.ctypes.data % 64 // raw.itemsize
        return raw[start : start + raw.size - 16].reshape(shape)

    return make


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_problems(pass_: str, dtype: str, threads: int) -> None:
    direct = backend()
    for text in EDGE_PROBLEMS:
        p = with_dtype(text, dtype)
        if p.n == 0:
            continue
        d = integer_data(p)
        want = expected(p, pass_, d)
        for q in layouts(direct, p, pass_):
            for packed in (False, True) if pass_ == "forward" else (False,):
                cfg = direct.configure(q, pass_, threads)
                got = guard_direct.run(direct, pass_, q, d, cfg, threads, filled(dtype), packed)
                np.testing.assert_array_equal(got, want, f"{q}, prepared: {packed}")


@pytest.mark.parametrize("text", BLOCKS)
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("engine", loader.ENGINES)
def test_blocks_chunks_and_shares(engine: str, pass_: str, text: str, threads: int) -> None:
    direct, p = backend(engine), with_dtype(text, "float32")
    d = integer_data(p)
    want = expected(p, pass_, d)
    for q in layouts(direct, p, pass_):
        for cfg in configs(direct, q, pass_, threads):
            got = guard_direct.run(direct, pass_, q, d, cfg, threads, filled("float32"))
            np.testing.assert_array_equal(got, want, f"{q} {cfg}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("name", [n for n in battery.backends() if n.startswith("direct/")])
def test_few_channels_and_few_outputs(name: str, pass_: str, dtype: str) -> None:
    failed = battery.failures(name, pass_, [with_dtype(text, dtype) for text in FEW])
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("text", BLOCKS)
@pytest.mark.parametrize("engine", loader.ENGINES)
def test_epilogue(engine: str, text: str, dtype: str) -> None:
    """In the last store as in three steps, bit by bit, in every block."""
    direct, p = backend(engine), with_dtype(text, dtype)
    d, more, step = integer_data(p), integer_data(p, salt=3).dy, loader.load(engine, dtype).epilogue
    more, bias = more / 7, d.b / 3
    for q in layouts(direct, p, "forward"):
        for cfg in configs(direct, q, "forward", 2):
            plain = np.ascontiguousarray(guard_direct.run(direct, "forward", q, d, cfg, 2, filled(dtype)))
            for code, name in enumerate(ACTIVATIONS):
                for b, r in ((bias, more), (None, more), (bias, None), (None, None)):
                    want = plain.copy()
                    given = [np.empty(0, dtype) if a is None else a for a in (b, r)]
                    step(want, given[0], given[1], code, False, 1)
                    got = guard_direct.run(direct, "forward", q, d, cfg, 2, filled(dtype), False, b, r, name)
                    np.testing.assert_array_equal(got, want, f"{q} {cfg} {name}")


def test_relu_keeps_nan() -> None:
    direct, p = backend(), with_dtype("n1ci3ih5iw6co4kh3kw3ph1pw1_f32", "float32")
    d = integer_data(p)
    d.x[0, 1, 2, 3] = np.nan
    cfg = direct.configure(p, "forward", 1)
    got = guard_direct.run(direct, "forward", p, d, cfg, 1, filled("float32"), activation="relu")
    np.testing.assert_array_equal(got, np.maximum(oracle.forward(d.x, d.w, None, geometry(p)), 0))


@pytest.mark.parametrize(
    ("size", "k", "stride", "pad", "dilation"), [(9, 3, 2, 1, 1), (7, 3, 3, 0, 2), (5, 2, 4, 3, 1)]
)
def test_phases_meet_every_tap_once(size: int, k: int, stride: int, pad: int, dilation: int) -> None:
    met = set()
    for a in adjoint_axes(size, k, stride, pad, dilation):
        for i in range(a.outs):
            for t in range(a.taps):
                row, tap = a.first + i * a.every, a.tap + t * a.skip
                source = a.source + i * a.step + t * a.dilation
                assert source * stride == row + pad - tap * dilation
                met.add((row, tap))
    assert met == {(r, u) for r in range(size) for u in range(k) if (r + pad - u * dilation) % stride == 0}


def test_stays_in_bounds() -> None:
    done = child.run("-m", "tests.guard_direct")
    assert int(done.stdout.split()[-2]) > 0


@pytest.mark.parametrize("isa", battery.instruction_sets()[1:])
def test_other_instruction_sets_stay_in_bounds(isa: str) -> None:
    done = child.run("-m", "tests.guard_direct", FASTCONV_ISA=isa.replace("_", "-"))
    assert int(done.stdout.split()[-2]) > 0
