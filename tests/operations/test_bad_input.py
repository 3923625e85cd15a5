"""Everything that cannot be computed is refused with the right error, which names the argument."""

import importlib
import importlib.util
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv
from tests.peers import needs_torch, torch

ml_dtypes: Any = importlib.import_module("ml_dtypes") if importlib.util.find_spec("ml_dtypes") else None

X, W, B = np.ones((2, 4, 7, 8), np.float32), np.ones((6, 4, 3, 3), np.float32), np.ones(6, np.float32)
DY = np.ones((2, 6, 5, 6), np.float32)
XS, WS = X.shape, W.shape
NAN = float("nan")
Case = tuple[str, type[Exception], str, Callable[[], Any]]


class NoArray:
    pass


def conv(x: Any = X, w: Any = W, b: Any = None, **options: Any) -> Callable[[], Any]:
    return lambda: fastconv.conv2d(x, w, b, **options)


def dx(dy: Any = DY, w: Any = W, shape: Any = XS, **options: Any) -> Callable[[], Any]:
    return lambda: fastconv.conv2d_grad_input(dy, w, shape, **options)


def dw(dy: Any = DY, x: Any = X, shape: Any = WS, **options: Any) -> Callable[[], Any]:
    return lambda: fastconv.conv2d_grad_weight(dy, x, shape, **options)


def back(dy: Any = DY, x: Any = X, w: Any = W, **options: Any) -> Callable[[], Any]:
    return lambda: fastconv.conv2d_backward(dy, x, w, **options)


def read_only(shape: tuple[int, ...]) -> Any:
    out = np.empty(shape, np.float32)
    out.flags.writeable = False
    return out


# Written as tables: what is wrong, the error, the argument that the message must name, the call.
ARRAYS: list[Case] = [
    *((f"x of {k}", TypeError, "x", conv(X.astype(k))) for k in ("int8", "int64", "uint8", "bool", "complex64", "O")),
    *((f"w of {k}", TypeError, "w", conv(w=W.astype(k))) for k in ("int32", "bool", "complex128", "longdouble")),
    *((f"bias of {k}", TypeError, "bias", conv(b=B.astype(k))) for k in ("int32", "complex64", "S3")),
    ("x of dates", TypeError, "x", conv(np.zeros(XS, "M8[s]"))),
    ("x of records", TypeError, "x", conv(np.zeros(XS, [("a", "f4")]))),
    *((f"x is {v!r}", TypeError, "x", conv(v)) for v in (None, 3, "image", X.tolist()[0][0][0], (1.0, 2.0), {1: 2})),
    ("x has no array", TypeError, "x", conv(NoArray())),
    ("w is a list", TypeError, "w", conv(w=W.tolist())),
    ("w is None", TypeError, "w", conv(w=None)),
    ("bias is a number", TypeError, "bias", conv(b=1.0)),
    ("bias is a list", TypeError, "bias", conv(b=[1.0] * 6)),
    ("dy of ints", TypeError, "dy", back(DY.astype(int))),
    ("dy is None", TypeError, "dy", dx(None)),
    ("dy is None, grad_weight", TypeError, "dy", dw(None)),
    ("x of ints, backward", TypeError, "x", back(x=X.astype(int))),
    ("w of ints, grad_input", TypeError, "w", dx(w=W.astype(int))),
    ("x of ints, grad_weight", TypeError, "x", dw(x=X.astype(int))),
    *((f"x with {n} axes", ValueError, "x", conv(np.ones((4,) * n, np.float32))) for n in (0, 1, 2, 5)),
    *((f"w with {n} axes", ValueError, "w", conv(w=np.ones((4,) * n, np.float32))) for n in (0, 3, 5)),
    *((f"bias of shape {s}", ValueError, "bias", conv(b=np.ones(s, np.float32))) for s in ((5,), (7,), (6, 1), ())),
    ("bias of one", ValueError, "bias", conv(b=np.ones(1, np.float32))),
    *(
        (f"x of shape {s}", ValueError, "x", conv(np.ones(s, np.float32)))
        for s in ((2, 0, 7, 8), (2, 4, 0, 8), (2, 4, 7, 0), (2, 3, 7, 8), (2, 5, 7, 8), (4, 4, 2, 8))
    ),
    *(
        (f"w of shape {s}", ValueError, "w", conv(w=np.ones(s, np.float32)))
        for s in ((0, 4, 3, 3), (6, 0, 3, 3), (6, 4, 0, 3), (6, 4, 3, 0), (6, 8, 3, 3), (6, 4, 8, 3), (6, 4, 3, 9))
    ),
    ("unbatched x with too few channels", ValueError, "x", conv(X[0, :3])),
    ("kernel larger than the unbatched image", ValueError, "w", conv(X[0, :, :2])),
]


class Tracked:
    """An array that its library does not hand out, as PyTorch's that require gradients."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


class Abroad:
    """An array of a dtype or device that DLPack does not hand to NumPy."""

    def __dlpack__(self, *_: Any, **__: Any) -> Any:
        raise BufferError("Unsupported dtype in DLTensor.")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


FOREIGN: list[Case] = [
    *((f"{name} cannot be read, {kind.__name__}", TypeError, name, call(**{name: kind()}))
      for kind in (Tracked, Abroad) for call, name in ((conv, "x"), (conv, "w"), (back, "dy"), (back, "x"), (dw, "x"))),
    *((f"image cannot be read, {kind.__name__}", TypeError, "image",
       lambda kind=kind: fastconv.filter2d(kind(), W[0, 0])) for kind in (Tracked, Abroad)),
    ("x of float8", TypeError, "x", conv(X.astype(ml_dtypes.float8_e4m3 if ml_dtypes else "i2"))),
]  # fmt: skip

ODD_PAIRS = ((2**64, ValueError), (2**31, ValueError), ((1, 2**63), ValueError), (np.array([1, 2]), TypeError))
ODD = (ODD_PAIRS[0], ODD_PAIRS[-1])
#: a stride or a dilation beyond any image, and what is no pair
STEPS: list[Case] = [
    *((f"{what}: {name}={v!r}", error, name, call(**{name: v}))
      for what, call in (("conv2d", conv), ("dx", dx), ("dw", dw), ("backward", back))
      for name in ("stride", "dilation")
      for v, error in ODD_PAIRS),
    *((f"{name}={v!r}", error, name, conv(**{name: v})) for name in ("padding", "groups") for v, error in ODD),
    *((f"pooling: {name}={v!r}", error, name,
       lambda name=name, v=v: fastconv.avg_pool2d(X, **{"kernel_size": 2, name: v}))
      for name in ("kernel_size", "stride") for v, error in ODD),
]  # fmt: skip

#: the argument is named as it is called, not as what it becomes
NAMES: list[Case] = [
    ("unfold: kernel", ValueError, "kernel_size", lambda: fastconv.unfold(X, (8, 3))),
    ("fold: kernel", ValueError, "kernel_size", lambda: fastconv.fold(np.ones((1, 4, 1)), 1, 2)),
    ("depthwise: kernel", ValueError, "w_depthwise",
     lambda: fastconv.depthwise_separable_conv2d(X, np.ones((4, 1, 8, 1)), np.ones((2, 4, 1, 1)))),
    ("separable: column", ValueError, "w_col",
     lambda: fastconv.separable_conv2d(X, np.ones((2, 4, 8)), np.ones((2, 2, 3)))),
    ("separable: row", ValueError, "w_row",
     lambda: fastconv.separable_conv2d(X, np.ones((2, 4, 7)), np.ones((2, 2, 9)))),
    ("plan: image", ValueError, "input_shape", lambda: fastconv.plan_conv2d((4, 7), W)),
    ("plan: no shape", TypeError, "input_shape", lambda: fastconv.plan_conv2d(7, W)),  # type: ignore[arg-type]
    ("output shape: kernel", ValueError, "weight_shape", lambda: fastconv.conv2d_output_shape(XS, (6, 4, 9, 3))),
    ("output shape: image", ValueError, "input_shape", lambda: fastconv.conv2d_output_shape((2, 0, 7, 8), WS)),
    ("matrix: image", ValueError, "input_shape", lambda: fastconv.conv2d_matrix(W, (3, 7, 8))),
    ("dx: image", ValueError, "input_shape", dx(shape=(2, 4, 2, 8))),
    ("dw: kernel", ValueError, "weight_shape", dw(shape=(6, 4, 9, 3))),
]  # fmt: skip

NUMBERS: list[Case] = [
    *((f"{name}={v!r}", ValueError, name, conv(**{name: v})) for name in ("stride", "dilation") for v in
      (0, -1, (0, 1), (1, 0), (1, -2), (1, 1, 1), (-1,), (), [2, 2, 2])),
    *((f"{name}={v!r}", TypeError, name, conv(**{name: v})) for name in ("stride", "dilation") for v in
      (1.0, 1.5, True, False, None, NAN, (1, 2.0), (True, 1), {1, 2}, np.float32(1), 1j, "1", ("1", "1"))),
    *((f"padding={v!r}", ValueError, "padding", conv(padding=v)) for v in
      (-1, (-1, 0), (0, -1), (1, 1, 1), (-1,), (), (1, 1, 1, 1), ((1, 1),), ((1, 1), (1, -1)), ((1, 1, 1), (1, 1)),
       ((1,), (1,)), "SAME", "Same", "reflect", "", "same ")),
    *((f"padding={v!r}", TypeError, "padding", conv(padding=v)) for v in
      (1.0, True, None, NAN, (1.0, 1), (None, 1), ((1, 1.5), (1, 1)), ((True, 1), (1, 1)), {1: 2}, ("same", "same"))),
    *((f"groups={v!r}", ValueError, "groups", conv(groups=v)) for v in (0, -1, 3, 4, 5, 2**40)),
    *((f"groups={v!r}", TypeError, "groups", conv(groups=v)) for v in (1.0, True, None, "1", (1, 1), 2.5)),
    ("groups that the weights do not have", ValueError, "x", conv(groups=2)),
    ("groups that divide no outputs", ValueError, "groups", conv(w=np.ones((5, 2, 3, 3), np.float32), groups=2)),
    ("a fourth positional argument", TypeError, "positional", lambda: fastconv.conv2d(X, W, None, 2)),  # type: ignore[misc]
    ("dilation too large", ValueError, "w", conv(dilation=5)),
    ("padding beyond memory", ValueError, "padding", conv(padding=2**61)),
]  # fmt: skip

WORDS: list[Case] = [
    *((f"padding_mode={v!r}", ValueError, "padding_mode", conv(padding_mode=v)) for v in
      ("zero", "constant", "edge", "wrap", "Reflect", "", None, 0, ("reflect", "zeros"), ["zeros"])),
    *((f"backend={v!r}", ValueError, "backend", conv(backend=v)) for v in
      ("fast", "", "naive/", "/cython", "naive/fortran", "Auto", "auto/cython", "naive/cython/x", "cython")),
    *((f"backend={v!r}", TypeError, "backend", conv(backend=v)) for v in (None, 0, ("naive",), b"naive")),
    *((f"rtol={v!r}", ValueError, "rtol", conv(rtol=v)) for v in (0, 0.0, -1e-3, NAN, float("inf"), -float("inf"))),
    *((f"rtol={v!r}", TypeError, "rtol", conv(rtol=v)) for v in ("1e-3", True, 1j, [1e-3], {1: 2})),
    ("rtol below every bound", ValueError, "rtol", conv(rtol=1e-30)),
    *((f"wrt={v!r}", ValueError, "wrt", back(wrt=v)) for v in
      ("y", ("x", "y"), ("dw",), "xw", ("X",), ("x", 1), ("bias", None))),
    *((f"wrt={v!r}", TypeError, "wrt", back(wrt=v)) for v in (None, 1, True)),
    ("unknown option", TypeError, "pad", conv(pad=1)),
    ("bad backend in backward", ValueError, "backend", back(backend="fast")),
    ("bad rtol in grad_input", ValueError, "rtol", dx(rtol=-1)),
    ("bad mode in grad_weight", ValueError, "padding_mode", dw(padding_mode="edge")),
    ("bad stride in backward", ValueError, "stride", back(stride=0)),
    ("bad padding in grad_input", TypeError, "padding", dx(padding=None)),
    ("bad groups in grad_weight", ValueError, "groups", dw(groups=0)),
]  # fmt: skip

SHAPES: list[Case] = [
    *((f"dy of shape {s}", ValueError, "dy", call(np.ones(s, np.float32))) for call in (back, dx, dw) for s in
      ((2, 6, 5, 5), (2, 6, 7, 8), (1, 6, 5, 6), (3, 6, 5, 6), (2, 5, 5, 6), (2, 4, 5, 6))),
    *(("dy without a batch", ValueError, "dy|x|input_shape", call(DY[0])) for call in (back, dw, dx)),
    ("x without a batch", ValueError, "dy|x", back(x=X[0])),
    ("dy of one axis", ValueError, "dy|input_shape", dx(DY[0, 0, 0])),
    *((f"input_shape={s}", ValueError, "dy|input_shape|x|w", dx(shape=s)) for s in
      ((2, 4, 7), (2, 4, 7, 9), (2, 3, 7, 8), (1, 4, 7, 8), (2, 4, -7, 8), (2, 4, 0, 8), (2, 4, 2, 8), ())),
    *((f"input_shape={s}", TypeError, "input_shape", dx(shape=s)) for s in
      (None, 7, (2, 4, 7.0, 8), (2, 4, None, 8), "2478", (2, 4, True, 8))),
    *((f"weight_shape={s}", ValueError, "weight_shape|w|dy|groups|x", dw(shape=s)) for s in
      ((6, 4, 3), (6, 4, 3, 4), (5, 4, 3, 3), (6, 3, 3, 3), (6, 4, 0, 3), (6, 4, 9, 3), (-6, 4, 3, 3),
       (6, 4, 3, 3, 1))),
    *((f"weight_shape={s}", TypeError, "weight_shape", dw(shape=s)) for s in (None, 3, (6, 4, 3, 3.0), (6, 4, "3", 3))),
]  # fmt: skip

OUTPUTS: list[Case] = [
    *(
        (f"out of shape {s}", ValueError, "out", conv(out=np.empty(s, np.float32)))
        for s in ((2, 6, 5, 5), (6, 5, 6), (2, 6, 5, 6, 1), (2, 6, 30), (360,), (1, 6, 5, 6), XS)
    ),
    *((f"out of {k}", TypeError, "out", conv(out=np.empty(DY.shape, k))) for k in ("f8", "f2", "i4", "?", "c8")),
    ("out for an unbatched x", ValueError, "out", conv(X[0], out=np.empty((1, 6, 5, 6), np.float32))),
    ("out is a list", TypeError, "out", conv(out=DY.tolist())),
    ("out is True", TypeError, "out", conv(out=True)),
    ("out is read-only", ValueError, "out", conv(out=read_only(DY.shape))),
]

SETTINGS: list[Case] = [
    *((f"set_num_threads({v!r})", ValueError, "n", lambda v=v: fastconv.set_num_threads(v)) for v in (0, -1)),
    *((f"set_num_threads({v!r})", TypeError, "n", lambda v=v: fastconv.set_num_threads(v)) for v in
      (1.0, None, "2", True, (1,))),
    *((f"num_threads({v!r})", error, "n", lambda v=v: fastconv.num_threads(v).__enter__()) for v, error in
      ((0, ValueError), (-3, ValueError), (1.5, TypeError), (None, TypeError), (False, TypeError))),
    *((f"get_backend({v!r})", ValueError, "backend", lambda v=v: fastconv.get_backend(v)) for v in
      ("", "naive", "auto", "naive/fortran")),
    *((f"register_backend({v!r})", TypeError, "backend", lambda v=v: fastconv.register_backend(v)) for v in
      (None, "naive", fastconv.Backend)),
    ("register a nameless backend", ValueError, "backend", lambda: fastconv.register_backend(fastconv.Backend())),
]  # fmt: skip

CASES = [*ARRAYS, *FOREIGN, *STEPS, *NAMES, *NUMBERS, *WORDS, *SHAPES, *OUTPUTS, *SETTINGS]


@pytest.mark.parametrize(("error", "argument", "call"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_refused(error: type[Exception], argument: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error) as caught:
        call()
    assert re.search(rf"\b({argument})\b", str(caught.value)), f"{argument} is not named in: {caught.value}"
    if error is ValueError:
        assert isinstance(caught.value, ValueError)
        assert not isinstance(caught.value, fastconv.BackendRefused)


def test_pairs_are_asked_for() -> None:
    """Whoever gives neither an integer nor a pair is told that both are taken."""
    wrong: Any
    for wrong in (np.array([1, 2]), None, 1.5, {1, 2}):
        for name in ("stride", "dilation", "padding"):
            with pytest.raises(TypeError, match=r"pair"):
                fastconv.conv2d(X, W, **{name: wrong})


@needs_torch
def test_arrays_of_torch_name_the_argument() -> None:
    x, w = torch.ones(2, 4, 7, 8), torch.ones(6, 4, 3, 3)
    for bad in (x.clone().requires_grad_(), x.bfloat16(), x.to("meta"), x.to_sparse()):
        with pytest.raises(TypeError, match=r"^x must be"):
            fastconv.conv2d(bad, w)
        with pytest.raises(TypeError, match=r"^w must be"):
            fastconv.conv2d(x, bad)
        with pytest.raises(TypeError, match=r"^x must be"):
            fastconv.max_pool2d(bad, 2)


def test_enough_of_them() -> None:
    assert len(CASES) >= 200
    assert len({case[0] for case in CASES}) >= 150


@pytest.mark.parametrize("name", fastconv.list_backends())
def test_bad_input_comes_before_the_backend(name: str) -> None:
    """The message is about the argument also where a backend is named."""
    with pytest.raises(ValueError, match="stride"):
        fastconv.conv2d(X, W, stride=0, backend=name)
    with pytest.raises(TypeError, match="x must"):
        fastconv.conv2d(X.astype(int), W, backend=name)


def test_nothing_is_left_behind() -> None:
    """After any number of errors a good call still gives the right numbers."""
    for _, error, _, call in CASES:
        with pytest.raises(error):
            call()
    np.testing.assert_array_equal(fastconv.conv2d(X, W, B), np.full(DY.shape, 37, np.float32))
    assert fastconv.get_num_threads() >= 1
