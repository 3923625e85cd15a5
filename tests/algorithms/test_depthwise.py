"""Depthwise and few-channel kernels: every size, stride and map shape that takes a path of its own."""

import numpy as np
import pytest

import fastconv
from fastconv.core.problem import PASSES, parse
from fastconv.engines import loader
from tests import battery
from tests.problems import with_dtype

NAMES = [n for n in battery.backends() if n.startswith("depthwise/")]

# rows of one vector and of several, heights that end in every block size, kernels of every run length
ROWS = [
    f"n1ci3ih{h}iw{w}co3kh{k}kw{k}ph{k // 2}pw{k // 2}g3_f32"
    for h, w, k in (
        (14, 20, 3),
        (15, 33, 3),
        (22, 17, 5),
        (31, 40, 7),
        (23, 19, 2),
        (19, 18, 4),
        (20, 34, 6),
        (27, 25, 9),
        (18, 21, 11),
        (33, 35, 13),
        (40, 41, 31),
    )
]
STRIDES = [
    f"n2ci2ih{h}iw{w}co2kh{k}kw{k}sh{s}sw{t}ph{k // 2}pw{k // 2}g2_f32"
    for h, w, k, s, t in (
        (30, 66, 3, 2, 2),
        (31, 67, 5, 2, 2),
        (45, 35, 7, 2, 2),
        (29, 70, 4, 2, 2),
        (28, 34, 3, 1, 2),
        (28, 34, 3, 2, 1),
        (50, 52, 3, 3, 3),
        (37, 41, 9, 2, 4),
    )
]
# 3x3, one column of padding on the left: rows stream by; one, two and more vectors, bands of rows, odd paddings
STREAMS = [
    f"n{n}ci{c}ih{h}iw{w}co{c}kh3kw3sh{s}sw{s}pt{pt}pb{pb}pl1pr{pr}g{c}_f32"
    for n, c, h, w, s, pt, pb, pr in (
        (2, 3, 9, 16, 1, 1, 1, 1),
        (1, 3, 1, 31, 1, 1, 1, 1),
        (1, 3, 2, 32, 1, 1, 1, 1),
        (2, 2, 56, 56, 1, 1, 1, 1),
        (1, 3, 11, 65, 1, 0, 2, 1),
        (1, 2, 12, 80, 1, 5, 0, 1),
        (1, 1, 150, 49, 1, 1, 1, 1),
        (2, 3, 17, 63, 2, 1, 1, 1),
        (1, 3, 16, 64, 2, 1, 0, 0),
        (1, 3, 3, 66, 2, 0, 0, 0),
        (1, 2, 13, 97, 2, 2, 1, 2),
        (1, 3, 1, 40, 2, 1, 1, 4),
        (1, 3, 5, 63, 2, 1, 1, 3),
        (1, 1, 160, 113, 2, 1, 1, 0),
    )
]
MAPS = [
    "n2ci33ih7iw7co33kh3kw3ph1pw1g33_f32",
    "n1ci40ih14iw14co40kh5kw5ph2pw2g40_f32",
    "n2ci35ih14iw13co35kh3kw3sh2sw2ph1pw1g35_f32",
    "n3ci16ih3iw3co16kh3kw3ph1pw1g16_f32",
    "n1ci50ih9iw12co50kh3kw5pt0pb2pl1pr3dh2g50_f32",
    "n2ci32ih15iw15co32kh7kw7sh2sw3ph3pw3g32_f32",
    "n2ci20ih12iw11co20kh2kw2sh2sw2g20_f32",
    "n2ci17ih8iw9co17kh4kw4sh3sw2ph1pw1g17_f32",
    "n1ci32ih5iw6co32kh3kw3ph4pw4g32_f32",
]
FEW = [
    "n2ci16ih29iw40co16kh3kw3ph1pw1g4_f32",
    "n2ci8ih29iw40co8kh3kw3sh2sw2ph1pw1g2_f32",
    "n1ci3ih40iw61co6kh5kw5sh2sw2ph2pw2g3_f32",
    "n1ci9ih17iw30co6kh3kw3ph2pw2dh2dw2g3_f32",
    "n1ci1ih200iw210co2kh7kw7ph3pw3_f32",
    "n3ci3ih21iw22co8kh3kw3sh2sw2pt0pb1pl0pr1_f32",
    "n1ci2ih40iw37co2kh3kw3pt5pb0pl7pr1g2_f32",
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("name", NAMES)
def test_paths(name: str, pass_: str, dtype: str) -> None:
    problems = [with_dtype(text, dtype) for text in (*ROWS, *STRIDES, *STREAMS, *MAPS, *FEW)]
    backend = fastconv.get_backend(name)
    assert not [str(p) for p in problems if backend.refuse(p, pass_)]
    failed = battery.failures(name, pass_, problems)
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("name", NAMES)
def test_dense_layers_are_refused(name: str, pass_: str) -> None:
    p = parse("n1ci64ih8iw8co64kh3kw3ph1pw1_f32")
    assert "channels" in (fastconv.get_backend(name).refuse(p, pass_) or "")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", ["n1ci2ih30iw37co2kh3kw3ph1pw1g2_f32", "n1ci16ih7iw7co16kh3kw3ph1pw1g16_f32"])
def test_nonfinite_stays_in_its_window(name: str, shape: str) -> None:
    """One NaN reaches the nine outputs around it, and only its own channel's weights."""
    p, rng = parse(shape), np.random.default_rng(1)
    x, dy = (rng.standard_normal(s).astype("f") for s in (p.x_shape, p.y_shape))
    w = rng.standard_normal(p.w_shape).astype("f")
    x[0, 1, 4, 5] = np.nan
    y = fastconv.conv2d(x, w, padding=1, groups=p.g, backend=name)
    want = np.zeros(p.y_shape, bool)
    want[0, 1, 3:6, 4:7] = True
    assert np.array_equal(np.isnan(y), want)
    dw = fastconv.conv2d_grad_weight(dy, x, p.w_shape, padding=1, groups=p.g, backend=name)
    assert np.isnan(dw[1]).all() and np.isfinite(np.delete(dw, 1, 0)).all()


@pytest.mark.parametrize("name", NAMES)
def test_unread_pixels_do_not_reach_the_weights(name: str) -> None:
    """A row and a column that no window meets may hold anything."""
    p = parse("n1ci2ih18iw36co2kh3kw3sh4sw4g2_f32")
    x, dy = np.ones(p.x_shape, "f"), np.ones(p.y_shape, "f")
    x[:, :, 3::4], x[:, :, :, 3::4] = np.nan, np.inf
    dw = fastconv.conv2d_grad_weight(dy, x, p.w_shape, stride=4, groups=2, backend=name)
    assert (dw == p.oh * p.ow).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_corners_meet_their_own_taps_only(name: str, stride: int, corner: tuple[int, int]) -> None:
    """An infinite pixel in a corner reaches the weights that it meets, and no others."""
    p = parse(f"n1ci2ih35iw37co2kh3kw3sh{stride}sw{stride}ph1pw1g2_f32")
    dy, x = np.ones(p.y_shape, "f"), np.ones(p.x_shape, "f")
    x[0, 1, corner[0], corner[1]] = np.inf
    dw = fastconv.conv2d_grad_weight(dy, x, p.w_shape, stride=stride, padding=1, groups=2, backend=name)
    patches = np.lib.stride_tricks.sliding_window_view(np.pad(x[0, 1], 1), (3, 3))[::stride, ::stride]
    assert np.array_equal(np.isfinite(dw[1, 0]), np.isfinite(patches.sum((0, 1))))
    assert np.isfinite(dw[0]).all() and not np.isnan(dw).any()


@pytest.mark.parametrize("engine", loader.ENGINES)
def test_backend_is_there(engine: str) -> None:
    assert loader.absent(engine) or f"depthwise/{engine}" in NAMES
