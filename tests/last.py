"""Runs the channels-last depthwise kernels on NCHW data, and on arrays that lie between forbidden pages.

python -m tests.last ENGINE
"""

import sys
from typing import Any

import numpy as np

from fastconv.algorithms import depthwise_last as last
from fastconv.algorithms.base import ACTIVATIONS
from fastconv.core.problem import PASSES, ConvProblem, parse
from fastconv.engines import loader
from fastconv.planning.layouts import stored
from tests import battery
from tests.guard import RUNS, Guarded
from tests.problems import EDGE_PROBLEMS, Data, integer_data, with_dtype

MORE = """
n1ci40ih7iw7co40kh3kw3ph1pw1g40_f32                 a small map, two vectors and a half
n2ci24ih14iw14co24kh5kw5ph2pw2g24_f32               5x5, a vector and a half
n1ci32ih29iw31co32kh3kw3sh2sw2g32_f32               stride 2, odd sides
n2ci18ih15iw16co18kh5kw5sh2sw2ph2pw2g18_f32         5x5, stride 2
n1ci17ih20iw22co17kh7kw7sh2sw2ph3pw3g17_f32         7x7, stride 2
n1ci16ih23iw8co16kh2kw4pt1pb0pl1pr2g16_f32          even kernel
n1ci20ih17iw19co20kh3kw3ph2pw2dh2dw2g20_f32         dilation
n1ci9ih16iw21co9kh3kw3sh2sw3ph3pw2dh3dw2g9_f32      stride and dilation
n1ci8ih11iw12co8kh3kw3sh4sw2ph2pw2dh2dw4g8_f32      stride and dilation with a common factor
n2ci11ih13iw12co33kh3kw3sh2sw2ph1pw1g11_f32         multiplier 3, stride 2
n1ci1ih14iw17co40kh5kw5ph2pw2_f32                   one channel, many outputs
n1ci64ih5iw3co64kh1kw1g64_f32                       a factor a channel
n1ci16ih5iw6co16kh2kw2sh3sw3g16_f32                 stride above kernel
n1ci16ih4iw5co16kh3kw3sh7sw9ph1pw1g16_f32           stride above image
n3ci35ih50iw51co35kh3kw3ph1pw1g35_f32               several bands
n1ci3ih26iw60co6kh13kw9ph6pw4g3_f32                 big kernel, multiplier 2
n1ci150ih9iw9co150kh3kw3ph1pw1g150_f32              many channels, few pixels
"""


def problems() -> list[str]:
    """The depthwise ones of the battery's problems, and more."""
    edges = [t for t in EDGE_PROBLEMS if parse(t).n and last.serves(parse(t))]
    return edges + [line.split()[0] for line in MORE.strip().splitlines()]


def turned(a: Any) -> Any:
    """NCHW to NHWC."""
    return battery.turned(a, True)


def takes_planes(p: ConvProblem, pass_: str, threads: int, steps: Any) -> bool:
    return last.configure_planes(p, pass_, threads, steps.vector_bytes) is not None


def run(
    steps: Any, p: ConvProblem, pass_: str, d: Data, threads: int, memory: Any = None, at_end: bool = True, **extra: Any
) -> Any:
    """The result in NCHW; every array between forbidden pages if `memory` is a `Guarded`.

    planes: arrays lie as (n, c, h, w).
    """
    planes = extra.pop("planes", False)

    def turned(a: Any) -> Any:
        return np.ascontiguousarray(a) if planes else battery.turned(a, True)

    def back(a: Any) -> Any:
        return a if planes else a.transpose(0, 3, 1, 2)

    def lie(a: Any) -> Any:
        return memory.copy(a, at_end) if memory and a is not None else a

    def room(shape: tuple[int, ...]) -> Any:
        a = memory.empty(shape, p.dtype, at_end) if memory else np.empty(shape, p.dtype)
        a[...] = np.nan
        return a

    choose: Any = last.configure_planes if planes else last.configure
    cfg = choose(p, pass_, threads, steps.vector_bytes)
    size = -(-max(1, last.workspace(p, pass_, cfg, threads)) // 64) * 64
    work, w = room((size // p.itemsize,)), lie(d.w)
    x, dy = lie(turned(d.x)), lie(turned(d.dy))
    if pass_ == "forward":
        y = room(stored(p.y_shape, not planes))
        packed = lie(last.prepare(p, cfg, steps, w)) if extra.pop("prepared", False) else None
        bias, residual = lie(extra.get("bias")), extra.get("residual")
        residual = None if residual is None else lie(turned(residual))
        last.forward(p, cfg, steps, x, w, bias, y, work, threads, packed, residual, extra.get("code", 0))
        return back(y)
    if pass_ == "grad_input":
        dx = room(stored(p.x_shape, not planes))
        last.grad_input(p, cfg, steps, dy, w, dx, work, threads)
        return back(dx)
    dw = room(p.w_shape)
    last.grad_weight(p, cfg, steps, dy, x, dw, work, threads)
    return dw


class Steps:
    """The steps of a module, and the width of its vectors."""

    def __init__(self, module: Any, vector_bytes: int) -> None:
        self.module, self.vector_bytes = module, vector_bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)


def steps_of(dtype: str, engine: str) -> Steps:
    return Steps(loader.load(engine, dtype), loader.vector_bytes(engine))


def main() -> None:
    memory, engine = Guarded(), sys.argv[1]
    for text in problems():
        for dtype, ways in RUNS.items():
            p, steps = with_dtype(text, dtype), steps_of(dtype, engine)
            d = integer_data(p)
            residual = np.ones(p.y_shape, p.dtype)
            for pass_ in PASSES:
                fused: Any = {}
                if pass_ == "forward":
                    fused = {"bias": d.b, "residual": residual, "code": ACTIVATIONS.index("relu")}
                want = battery.expected(p, pass_, d, d.b if fused else None)
                for threads, at_end in ways:
                    print(p, pass_, threads, at_end, flush=True)
                    got = run(steps, p, pass_, d, threads, memory, at_end, **fused)
                    np.testing.assert_array_equal(got, np.maximum(want + residual, 0) if fused else want)
                    memory.close()
                    if takes_planes(p, pass_, threads, steps):
                        own: Any = {"bias": d.b} if pass_ == "forward" else {}
                        got = run(steps, p, pass_, d, threads, memory, at_end, planes=True, **own)
                        np.testing.assert_array_equal(got, want)
                        memory.close()


if __name__ == "__main__":
    main()
