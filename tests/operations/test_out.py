"""``out=``: written wherever it lies, also over the inputs, and nothing else is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.core.problem import parse
from tests import battery
from tests.operations.test_layouts import channels_last, negative, sliced, swapped, unaligned, window
from tests.problems import integer_data, options

NAMES = ["auto", *battery.backends()]
SAME = parse("n2ci5ih6iw7co5kh3kw3ph1pw1_f32")  # x and y of one shape
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "contiguous": np.copy, "fortran": np.asfortranarray, "sliced": sliced, "window": window, "negative": negative,
    "swapped": swapped, "unaligned": unaligned, "channels_last": channels_last,
}  # fmt: skip


def refused(name: str, p: Any = SAME) -> bool:
    return name != "auto" and fastconv.get_backend(name).refuse(battery.inner(p), "forward") is not None


@pytest.mark.parametrize(
    "text", ["n2ci3ih6iw7co4kh3kw2_f32", "n1ci2ih5iw5co3kh2kw2sh2sw2_f64", "n2ci2ih5iw6co2kh3kw3_f16"]
)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_layouts_of_out(name: str, layout: str, text: str) -> None:
    p = parse(text)
    if refused(name, p):
        return
    d = integer_data(p)
    want = fastconv.conv2d(d.x, d.w, d.b, backend=name, **options(p))
    out = LAYOUTS[layout](np.full(p.y_shape, np.nan, p.dtype))
    around = out.base.copy() if out.base is not None and layout in ("sliced", "window") else None
    assert fastconv.conv2d(d.x, d.w, d.b, backend=name, out=out, **options(p)) is out
    np.testing.assert_array_equal(out, want)
    if around is not None:  # whatever lies between and beside is as it was
        out[...] = np.nan
        np.testing.assert_array_equal(out.base, around)


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("name", NAMES)
def test_out_over_x(name: str, mode: str) -> None:
    if refused(name):
        return
    d, opt = integer_data(SAME), {**options(SAME), "padding_mode": mode, "backend": name}
    want = fastconv.conv2d(d.x, d.w, d.b, **opt)
    x = d.x.copy()
    assert fastconv.conv2d(x, d.w, d.b, out=x, **opt) is x
    np.testing.assert_array_equal(x, want)


@pytest.mark.parametrize("offset", [-70, -1, 1, 13, 210])
@pytest.mark.parametrize("name", NAMES)
def test_out_overlaps_x_in_part(name: str, offset: int) -> None:
    if refused(name):
        return
    d, opt = integer_data(SAME), {**options(SAME), "backend": name}
    want = fastconv.conv2d(d.x, d.w, **opt)
    memory = np.zeros(3 * d.x.size, np.float32)
    x = memory[d.x.size : 2 * d.x.size].reshape(d.x.shape)
    out = memory[d.x.size + offset : 2 * d.x.size + offset].reshape(d.x.shape)
    x[...] = d.x
    fastconv.conv2d(x, d.w, out=out, **opt)
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("name", NAMES)
def test_out_over_weights_and_bias(name: str) -> None:
    p = parse("n1ci3ih3iw3co3kh3kw3ph1pw1_f32")
    if refused(name, p):
        return
    d, opt = integer_data(p), {**options(p), "backend": name}
    want = fastconv.conv2d(d.x, d.w, d.b, **opt)
    w = d.w.copy()
    fastconv.conv2d(d.x, w, d.b, out=w[:1], **opt)
    np.testing.assert_array_equal(w[:1], want)
    np.testing.assert_array_equal(w[1:], d.w[1:])
    memory = np.zeros(27, np.float32)
    memory[4:7] = d.b
    fastconv.conv2d(d.x, d.w, memory[4:7], out=memory.reshape(1, 3, 3, 3), **opt)
    np.testing.assert_array_equal(memory.reshape(1, 3, 3, 3), want)


def test_out_is_a_reversed_view_of_x() -> None:
    d = integer_data(SAME)
    want = fastconv.conv2d(d.x, d.w, padding=1)
    x = d.x.copy()
    fastconv.conv2d(x, d.w, padding=1, out=x[:, :, ::-1, ::-1])
    np.testing.assert_array_equal(x[:, :, ::-1, ::-1], want)


def test_out_and_x_share_nothing_but_a_parent() -> None:
    """Interleaved views of one array: no byte in common, and neither is disturbed."""
    d = integer_data(SAME)
    parent = np.zeros((2, *d.x.shape), np.float32)
    both = np.moveaxis(parent, 0, -1)
    both[..., 0] = d.x
    fastconv.conv2d(both[..., 0], d.w, padding=1, out=both[..., 1])
    np.testing.assert_array_equal(both[..., 0], d.x)
    np.testing.assert_array_equal(both[..., 1], fastconv.conv2d(d.x, d.w, padding=1))


def test_out_of_an_empty_batch() -> None:
    out = np.empty((0, 4, 3, 3), np.float32)
    x, w = np.ones((0, 2, 3, 3), np.float32), np.ones((4, 2, 3, 3), np.float32)
    assert fastconv.conv2d(x, w, padding=1, out=out) is out


def test_memory_map_as_out(tmp_path: object) -> None:
    d = integer_data(SAME)
    out = np.lib.format.open_memmap(f"{tmp_path}/y.npy", "w+", np.float32, SAME.y_shape)
    fastconv.conv2d(d.x, d.w, padding=1, out=out)
    out.flush()
    np.testing.assert_array_equal(np.load(f"{tmp_path}/y.npy"), fastconv.conv2d(d.x, d.w, padding=1))


Call = tuple[Any, tuple[Any, ...], dict[str, Any]]


def calls(dtype: str) -> dict[str, Call]:
    """Every other function that returns one array; the first argument has the shape of the result where it can."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return rng.integers(-3, 4, shape).astype(dtype)

    x, w, b = draw(2, 4, 6, 7), draw(4, 4, 3, 3), draw(4)
    return {
        "grad_input": (fastconv.conv2d_grad_input, (x, w, x.shape), {"padding": 1}),
        "grad_weight": (fastconv.conv2d_grad_weight, (x, x, w.shape), {"padding": 1}),
        "transposed": (fastconv.conv_transpose2d, (x, w, b), {"padding": 1}),
        "separable": (fastconv.separable_conv2d, (x, draw(4, 4, 3), draw(4, 4, 3), b), {"padding": 1}),
        "depthwise": (fastconv.depthwise_separable_conv2d, (x, draw(4, 1, 3, 3), draw(4, 4, 1, 1), b), {"padding": 1}),
        "unfold": (fastconv.unfold, (x, 1), {}),
        "unbatched unfold": (fastconv.unfold, (x[0], 3), {}),
        "fold": (fastconv.fold, (fastconv.unfold(x, 3), (6, 7), 3), {}),
        "plan": (fastconv.plan_conv2d(x.shape, w, b, padding=1), (x,), {}),
        "unbatched plan": (fastconv.plan_conv2d(x.shape[1:], w, b, padding=1), (x[0],), {}),
    }


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", list(calls("float32")))
def test_other_calls(name: str, layout: str, dtype: str) -> None:
    call, args, opt = calls(dtype)[name]
    want = call(*args, **opt)
    if layout == "channels_last" and want.ndim != 4:
        return
    out = LAYOUTS[layout](np.full(want.shape, np.nan, dtype))
    assert call(*args, **opt, out=out) is out
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("name", list(calls("float32")))
def test_other_calls_over_their_inputs(name: str) -> None:
    """The result over the first argument, and over half of it and what lies behind."""
    call, (first, *rest), opt = calls("float32")[name]
    want = call(first, *rest, **opt)
    for offset in (0, 11):
        memory = np.zeros(first.size + want.size + offset, np.float32)
        over = memory[: first.size].reshape(first.shape)
        over[...] = first
        rest_ = [over if a is first else a for a in rest]
        out = memory[offset : offset + want.size].reshape(want.shape)
        call(over, *rest_, **opt, out=out)
        np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("name", list(calls("float32")))
def test_other_calls_refuse(name: str) -> None:
    call, args, opt = calls("float32")[name]
    want = call(*args, **opt)
    for wrong, error in (
        (np.empty((1, *want.shape), np.float32), ValueError),
        (np.empty(want.shape, np.float64), TypeError),
        (want.tolist(), TypeError),
        (np.broadcast_to(np.float32(0), want.shape), ValueError),
    ):
        with pytest.raises(error, match=r"^out must"):
            call(*args, **opt, out=wrong)


@pytest.mark.parametrize("overlap", ["w", "bias", "x", ""])
def test_known_calls_with_out(overlap: str) -> None:
    """A call that was made before, now into memory of its operands, or beside them."""
    rng = np.random.default_rng(0)
    room = rng.integers(-3, 4, 400).astype(np.float32)
    x, w, b = room[:64].reshape(1, 4, 4, 4), room[64:128].reshape(4, 4, 2, 2), room[128:132]
    want = fastconv.conv2d(x.copy(), w.copy(), b.copy())
    np.testing.assert_array_equal(fastconv.conv2d(x, w, b), want)
    start = {"x": 30, "w": 70, "bias": 120, "": 200}[overlap]
    out = room[start : start + want.size].reshape(want.shape)
    for _ in range(2):
        given = room.copy()
        assert fastconv.conv2d(x, w, b, out=out) is out
        np.testing.assert_array_equal(out, want)
        room[:] = given
