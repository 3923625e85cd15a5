"""What algorithms do in their last store is the step apart, bit by bit: every activation, layout, and way to split."""

from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.algorithms.base import ACTIVATIONS, Epilogue
from fastconv.algorithms.fft_tiled_layout import CHANNELS, IMAGES, POINTWISE, Tiles
from fastconv.algorithms.im2col import Panels
from fastconv.core.problem import parse
from fastconv.engines import loader
from tests import battery
from tests.guard_layouts import lie, run, taken
from tests.problems import real_data

WINOGRAD = (
    "n2ci24ih13iw11co40kh3kw3ph1pw1_f32",
    "n3ci40ih19iw22co37kh3kw3pt1pb2pl0pr3_f32",
    "n2ci40ih9iw10co37kh5kw5ph2pw2_f64",
    "n1ci130ih4iw3co70kh3kw3ph1pw1_f32",
)
CASES: dict[str, list[tuple[str, Any, int]]] = {  # problem, configuration, layouts that are taken
    "winograd": [(text, None, 4) for text in WINOGRAD],
    "fft_tiled": [
        ("n2ci24ih23iw30co40kh5kw4pt1pb2pl0pr3_f32", Tiles(CHANNELS, 16, 30, 3, 2, 1), 4),
        ("n2ci16ih29iw30co18kh7kw6ph3pw2sh2sw3g2_f64", Tiles(CHANNELS, 20, 24, 3, 2, 1), 4),
        ("n1ci16ih50iw31co33kh5kw5ph6pw4dh3dw2_f32", Tiles(CHANNELS, 20, 24, 2, 2, 2), 4),
        ("n2ci3ih9iw10co5kh5kw5ph2pw2_f32", Tiles(CHANNELS, 25, 20, 2, 1, 1), 1),
        ("n2ci34ih20iw19co34kh9kw9ph4pw4g17_f32", Tiles(POINTWISE, 24, 20, 1, 1, 1), 1),
        ("n1ci3ih60iw70co6kh9kw11sh2sw3ph4pw5dh4dw2g3_f64", Tiles(POINTWISE, 20, 24, 1, 1, 1), 1),
        ("n3ci4ih30iw29co6kh5kw7ph3pw3dw2g2_f32", Tiles(IMAGES, 16, 20, 1, 1, 1), 1),
        ("n2ci2ih41iw30co2kh5kw5sh2sw2g2_f64", Tiles(IMAGES, 16, 16, 1, 1, 1), 1),
    ],
    "im2col": [
        ("n5ci6ih9iw11co8kh3kw2ph2pw1sh2dw2g2_f32", Panels(2, 66), 4),
        ("n2ci20ih13iw17co21kh3kw3ph1pw1_f64", Panels(1, 40), 4),
        ("n3ci33ih5iw7co10kh1kw1_f32", Panels(2, 35), 4),
        ("n3ci33ih5iw7co10kh1kw1_f32", Panels(1, 9), 4),
    ],
}
NAMES = [name for name in battery.backends() if name.split("/")[0] in CASES]


@pytest.mark.parametrize("case", range(8))
@pytest.mark.parametrize("name", NAMES)
def test_fused_is_the_step_apart(name: str, case: int) -> None:
    """Bit by bit, in either layout, with and without bias and residual."""
    cases = CASES[name.split("/")[0]]
    if case >= len(cases):
        pytest.skip("fewer cases")
    text, cfg, layouts = cases[case]
    backend, p = fastconv.get_backend(name), parse(text)
    d, steps = real_data(p), loader.load(backend.engine, p.dtype)
    rng = np.random.default_rng(5)
    residual, none = rng.standard_normal(p.y_shape).astype(p.dtype), np.empty(0, p.dtype)
    bias = rng.standard_normal(p.co).astype(p.dtype)
    ways = [(b, r, "relu") for b in (bias, None) for r in (residual, None)]
    ways += [(bias, residual, activation) for activation in ACTIVATIONS]
    found = list(taken(backend, p, "forward"))
    assert len(found) == layouts
    for q in found:
        plain = lie(run(backend, "forward", q, d, 1, cfg=cfg), q.y_last)
        for b, r, activation in ways:
            after, want = Epilogue(b, r, activation), plain.copy()
            first, second = none if b is None else b, none if r is None else lie(r, q.y_last)
            steps.epilogue(want, first, second, after.code, q.y_last, 1)
            got = lie(run(backend, "forward", q, d, 2, after=after, cfg=cfg), q.y_last)
            bits = f"u{got.itemsize}"
            np.testing.assert_array_equal(got.view(bits), want.view(bits), err_msg=f"{q} {after.activation}")


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("winograd/")])
def test_the_sign_of_zero(name: str) -> None:
    """Without a bias nothing is added, not even 0 to -0."""
    p = parse("n1ci1ih9iw9co1kh3kw3_f32")
    d = real_data(p)
    d = d._replace(x=np.zeros_like(d.x))
    backend, residual = fastconv.get_backend(name), np.full(p.y_shape, -0.0, np.float32)
    plain = run(backend, "forward", p, d, 1)
    got = run(backend, "forward", p, d, 1, after=Epilogue(None, residual, "relu"))
    np.testing.assert_array_equal(np.signbit(got), np.signbit(plain + residual))
