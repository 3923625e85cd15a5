"""Whatever memory the arrays live in, the result is bit for bit that of contiguous ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.core.problem import PASSES, parse
from tests import battery
from tests.problems import Data, integer_data, options, real_data

NAMES = battery.backends()
TEXT = "n2ci4ih7iw9co6kh3kw3ph1pw1"


def sliced(a: Any) -> Any:
    big = np.full([2 * s + 1 for s in a.shape], np.nan, a.dtype)
    view = big[tuple(slice(1, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def window(a: Any) -> Any:
    big = np.full([s + 3 for s in a.shape], np.nan, a.dtype)
    view = big[tuple(slice(1, 1 + s) for s in a.shape)]
    view[...] = a
    return view


def negative(a: Any) -> Any:
    every = tuple(slice(None, None, -1) for _ in a.shape)
    return a[every].copy()[every]


def swapped(a: Any) -> Any:
    return a.astype(a.dtype.newbyteorder())


def read_only(a: Any) -> Any:
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a: Any) -> Any:
    view = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    assert not view.flags.aligned
    return view


def channels_last(a: Any) -> Any:
    """An NHWC image seen as NCHW."""
    return np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1) if a.ndim == 4 else a


def memory_map(a: Any, tmp_path: Path) -> Any:
    file = tmp_path / f"{a.ctypes.data}.npy"
    np.save(file, a)
    return np.load(file, mmap_mode="r")


class Subclass(np.ndarray):
    """A subclass that must not leak into the result."""


class Holder:
    """Not an array, but has one."""

    def __init__(self, a: Any) -> None:
        self.a = a

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.a if dtype is None else self.a.astype(dtype)


class Exporter:
    """Nothing but DLPack."""

    def __init__(self, a: Any) -> None:
        self.a = a

    def __dlpack__(self, **arguments: Any) -> Any:
        return self.a.__dlpack__(**arguments)

    def __dlpack_device__(self) -> Any:
        return self.a.__dlpack_device__()


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "fortran": np.asfortranarray, "sliced": sliced, "window": window, "negative": negative, "swapped": swapped,
    "read_only": read_only, "unaligned": unaligned, "channels_last": channels_last,
    "subclass": lambda a: a.view(Subclass), "__array__": Holder, "DLPack": Exporter,
    "swapped_and_sliced": lambda a: sliced(swapped(a)), "unaligned_and_swapped": lambda a: unaligned(swapped(a)),
    "__array__ of a sliced": lambda a: Holder(sliced(a)), "DLPack of a window": lambda a: Exporter(window(a)),
}  # fmt: skip


def same_everywhere(name: str, dtype: str, change: Callable[[Any], Any]) -> None:
    p = parse(f"{TEXT}_f32")._replace(dtype=dtype)
    reordered = change is channels_last and name.startswith("im2col/")  # other terms are neighbours in its matrix
    d = integer_data(p) if reordered else real_data(p)
    for pass_ in PASSES:
        if fastconv.get_backend(name).refuse(battery.inner(p), pass_):
            continue
        want = battery.public(name, pass_, p, d)
        for fields in (("x", "dy"), ("w",), ("x", "w", "dy")):
            moved = d._replace(**{f: change(getattr(d, f)) for f in fields})
            got = battery.public(name, pass_, p, moved)
            assert type(got) is np.ndarray
            last = change is channels_last and pass_ != "grad_weight" and fields != ("w",)
            assert (np.moveaxis(got, 1, -1) if last else got).flags.c_contiguous
            assert got.flags.writeable
            np.testing.assert_array_equal(got, want, strict=True)
    with_bias = {"backend": name, **options(p)}
    if not fastconv.get_backend(name).refuse(battery.inner(p), "forward"):
        want = fastconv.conv2d(d.x, d.w, d.b, **with_bias)
        np.testing.assert_array_equal(fastconv.conv2d(d.x, d.w, change(d.b), **with_bias), want, strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_layout(name: str, layout: str, dtype: str) -> None:
    if dtype == "float16" and "DLPack" in layout:
        dtype = "float32"
    same_everywhere(name, dtype, LAYOUTS[layout])


@pytest.mark.parametrize("name", NAMES)
def test_memory_map(name: str, tmp_path: Path) -> None:
    same_everywhere(name, "float32", lambda a: memory_map(a, tmp_path))


@pytest.mark.parametrize("axes", [(0,), (1,), (2, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_zero_strides(name: str, axes: tuple[int, ...]) -> None:
    p = parse(f"{TEXT}_f32")

    def flat(a: Any) -> tuple[Any, Any]:
        one = a[tuple(slice(0, 1) if i in axes else slice(None) for i in range(a.ndim))]
        return np.broadcast_to(one, a.shape), np.broadcast_to(one, a.shape).copy()

    views, copies = zip(*(flat(a) for a in real_data(p) if a.ndim == 4), strict=True)
    x, w, dy = views
    for pass_ in PASSES:
        if fastconv.get_backend(name).refuse(p, pass_):
            continue
        want = battery.public(name, pass_, p, Data(copies[0], copies[1], None, copies[2]))
        np.testing.assert_array_equal(battery.public(name, pass_, p, Data(x, w, None, dy)), want, strict=True)


@pytest.mark.parametrize("framework", ["torch"])
def test_tensors(framework: str) -> None:
    torch = pytest.importorskip(framework, reason="PyTorch is not installed: its tensors are not passed in")
    d = integer_data(parse(f"{TEXT}_f32"))
    want = fastconv.conv2d(d.x, d.w, d.b, padding=1)
    tensors = [torch.from_numpy(a).contiguous() for a in d[:3]]
    got = fastconv.conv2d(tensors[0].to(memory_format=torch.channels_last), *tensors[1:], padding=1)
    np.testing.assert_array_equal(got, want, strict=True)


@pytest.mark.parametrize("name", ["auto", *NAMES])
def test_unbatched(name: str) -> None:
    p = parse("n1ci4ih7iw9co6kh3kw3ph1pw1_f32")
    opt: dict[str, Any] = {"padding": 1, "backend": name}
    d = integer_data(p)
    if name != "auto" and any(fastconv.get_backend(name).refuse(p, pass_) for pass_ in PASSES):
        return
    y = fastconv.conv2d(d.x[0], d.w, d.b, **opt)
    np.testing.assert_array_equal(y, fastconv.conv2d(d.x, d.w, d.b, **opt)[0], strict=True)
    whole = fastconv.conv2d_backward(d.dy, d.x, d.w, **opt)
    part = fastconv.conv2d_backward(d.dy[0], d.x[0], d.w, **opt)
    np.testing.assert_array_equal(part.x, whole.x[0], strict=True)
    np.testing.assert_array_equal(part.w, whole.w, strict=True)
    np.testing.assert_array_equal(part.bias, whole.bias, strict=True)
    dx = fastconv.conv2d_grad_input(d.dy[0], d.w, d.x.shape[1:], **opt)
    np.testing.assert_array_equal(dx, whole.x[0], strict=True)
    out = np.empty(d.dy.shape[1:], np.float32)
    assert fastconv.conv2d(d.x[0], d.w, d.b, out=out, **opt) is out
    np.testing.assert_array_equal(out, y)


@pytest.mark.parametrize("kinds", [(a, b, c) for a in "248" for b in "248" for c in "248"], ids="".join)
def test_mixed_dtypes(kinds: tuple[str, str, str]) -> None:
    """Every mixture gives what the promoted arrays give."""
    d = integer_data(parse("n1ci3ih6iw5co4kh3kw3ph1pw1_f32"))
    x, w, b = (a.astype(f"f{k}") for a, k in zip(d[:3], kinds, strict=True))
    dtype = np.result_type(x, w, b)
    want = fastconv.conv2d(*(a.astype(dtype) for a in (x, w, b)), padding=1)
    np.testing.assert_array_equal(fastconv.conv2d(x, w, b, padding=1), want, strict=True)
    assert want.dtype == dtype
    dy = d.dy.astype(b.dtype)
    wanted = fastconv.conv2d_backward(*(a.astype(dtype) for a in (dy, x, w)), padding=1)
    for got, whole in zip(fastconv.conv2d_backward(dy, x, w, padding=1), wanted, strict=True):
        np.testing.assert_array_equal(got, whole, strict=True)


def test_options_of_every_integer_type() -> None:
    d = integer_data(parse("n1ci4ih6iw6co4kh3kw3_f32"))
    want = fastconv.conv2d(d.x, d.w[:, :2], stride=2, padding=((1, 1), (1, 1)), dilation=1, groups=2)
    kind: Any
    for kind in (int, np.int8, np.uint64, np.intp):
        got = fastconv.conv2d(
            d.x, d.w[:, :2], stride=kind(2), padding=[kind(1), kind(1)], dilation=(kind(1), kind(1)), groups=kind(2)
        )
        np.testing.assert_array_equal(got, want, strict=True)
