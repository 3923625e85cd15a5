"""fastconv.torch's functions and operators: PyTorch's results, layouts and gradients."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch")
functional = import_module("torch.nn.functional")
ft: Any = import_module("fastconv.torch")
operators: Any = import_module("fastconv.torch.operators")

CASES: list[dict[str, Any]] = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": "same", "dilation": (2, 1)},
    {"padding": "valid"},
    {"stride": (2, 1), "padding": [0, 2], "groups": 2},
]
TRANSPOSED: list[dict[str, Any]] = [
    {},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": (3, 2), "padding": (1, 0), "output_padding": (2, 0), "groups": 2},
    {"stride": (1, 2), "dilation": (3, 3), "output_padding": (2, 2)},
]


def integers(*shape: int, dtype: Any = torch.float64, seed: int = 0) -> Any:
    """Small integers, so that every order of a sum gives the same number."""
    values = np.random.default_rng([seed, *shape]).integers(-4, 5, shape)
    return torch.from_numpy(values).to(dtype)


def operands(o: dict[str, Any], transposed: bool = False, last: bool = False, dtype: Any = torch.float64) -> list[Any]:
    g = o.get("groups", 1)
    x = integers(2, 4, 7, 6, dtype=dtype)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    w = integers(*((4, 6 // g, 3, 2) if transposed else (6, 4 // g, 3, 2)), dtype=dtype)
    return [x, w, integers(6, dtype=dtype)]


def both(o: dict[str, Any], transposed: bool) -> tuple[Any, Any]:
    name = "conv_transpose2d" if transposed else "conv2d"
    return getattr(ft, name), getattr(functional, name)


def all_cases() -> list[tuple[bool, dict[str, Any]]]:
    return [(False, o) for o in CASES] + [(True, o) for o in TRANSPOSED]


@pytest.mark.parametrize("transposed, o", all_cases())
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_numbers(transposed: bool, o: dict[str, Any], last: bool, dtype: Any) -> None:
    """Results and all gradients of integers are PyTorch's to the last bit, and lie as they do."""
    ours, theirs = both(o, transposed)
    given = [t.requires_grad_() for t in operands(o, transposed, last, dtype)]
    y, want = ours(*given, **o), theirs(*given, **o)
    assert torch.equal(y, want)
    if not (transposed and o.get("dilation")):  # PyTorch's own layouts differ by what it is built with
        assert y.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    dy = integers(*want.shape, dtype=dtype)
    if last:
        dy = dy.contiguous(memory_format=torch.channels_last)
    for got, expected in zip(torch.autograd.grad(y, given, dy), torch.autograd.grad(want, given, dy), strict=True):
        assert torch.equal(got, expected)
    with torch.no_grad():
        assert torch.equal(ours(*given, **o), want)
        assert torch.equal(ours(given[0][0], *given[1:], **o), want[0])
        assert torch.equal(ours(*given[:2], **o), theirs(*given[:2], **o))
    with torch.inference_mode():
        assert torch.equal(ours(*given, **o), want)


@pytest.mark.parametrize("transposed, o", [(False, CASES[1]), (False, CASES[4]), (True, TRANSPOSED[1])])
@pytest.mark.parametrize("last", [False, True])
def test_gradients(transposed: bool, o: dict[str, Any], last: bool) -> None:
    ours, _ = both(o, transposed)
    x, w, b = operands(o, transposed, last)
    x, w = x[:1, :, :4, :4].detach(), w[..., :2, :2].detach()
    given = [t.clone().requires_grad_() for t in (x, w, b)]
    assert torch.autograd.gradcheck(lambda *a: ours(*a, **o), given)
    assert torch.autograd.gradgradcheck(lambda *a: ours(*a, **o), given)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", ["conv2d", "conv2d_grad_input", "conv2d_grad_weight", "conv_transpose2d"])
def test_operators(name: str, last: bool) -> None:
    """Schemas, gradients and fake kernels are what PyTorch's own checks want."""
    x, w, b = operands({}, last=last)
    options: tuple[Any, ...] = (2, 1), (1, 0, 1, 1), (1, 2), 1
    y = operators.conv2d(x, w, b, *options)
    given: dict[str, tuple[Any, ...]] = {
        "conv2d": (x, w, b, *options),
        "conv2d_grad_input": (y, w, x.shape, *options),
        "conv2d_grad_weight": (y, x, w.shape, *options),
        "conv_transpose2d": (y, w, integers(4), *options[:2], (1, 0), *options[2:]),
    }
    arguments = [t.requires_grad_() if isinstance(t, torch.Tensor) and t.is_leaf else t for t in given[name]]
    torch.library.opcheck(getattr(operators, name), tuple(arguments))


def test_only_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[str] = []
    tensors = import_module("fastconv.torch.tensors")

    def watch(name: str) -> None:
        own = getattr(tensors, name)

        def watched(*given: Any) -> Any:
            passes.append(name)
            return own(*given)

        monkeypatch.setattr(tensors, name, watched)

    watch("grad_input")
    watch("grad_weight")
    x, w, b = operands({})
    ft.conv2d(x.requires_grad_(), w, b).sum().backward()
    assert passes == ["grad_input"] and w.grad is None
    passes.clear()
    y = ft.conv2d(x.detach(), w.requires_grad_(), b)
    assert [t is None for t in y.grad_fn.saved_tensors] == [False, True]
    y.sum().backward()
    assert passes == ["grad_weight"]
    passes.clear()
    ft.conv2d(x.detach(), w.detach(), b.requires_grad_()).sum().backward()
    assert passes == [] and torch.equal(b.grad, torch.full((6,), 2.0 * 5 * 5, dtype=b.dtype))


def test_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """What plans are handed is the memory of the tensors."""
    seen: list[int] = []
    plans = import_module("fastconv.planning.plan").Plan
    own = plans.run

    def watched(plan: Any, a: Any, b: Any, *rest: Any, **options: Any) -> None:
        seen.extend((a.ctypes.data, b.ctypes.data))
        own(plan, a, b, *rest, **options)

    monkeypatch.setattr(plans, "run", watched)
    for last in (False, True):
        x, w, _ = operands({}, last=last, dtype=torch.float32)
        x = torch.cat([x, x], 1).contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        w = torch.cat([w, w], 1)
        ft.conv2d(x, w, padding=(1, 1))
        assert seen[-2:] == [x.data_ptr(), w.data_ptr()]


def test_any_strides() -> None:
    x, w, b = (
        integers(3, 8, 9, 5).permute(0, 1, 3, 2)[:2, ::2, :, 1:],
        integers(3, 2, 4, 6).permute(3, 2, 1, 0),
        integers(12)[::2],
    )
    assert torch.equal(ft.conv2d(x, w, b), functional.conv2d(x, w, b))
    expanded = integers(1, 4, 1, 6).expand(2, 4, 7, 6)
    assert torch.equal(ft.conv2d(expanded, w), functional.conv2d(expanded, w))
    negative = torch._neg_view(expanded)
    assert torch.equal(ft.conv2d(negative, w), functional.conv2d(negative, w))
    assert ft.conv2d(x[:0], w).shape == functional.conv2d(x[:0], w).shape


def test_handed_to_torch() -> None:
    """Half, bfloat16, autocast, subclasses, meta tensors and integers are PyTorch's."""
    x, w, b = operands({}, dtype=torch.float32)
    for dtype in (torch.float16, torch.bfloat16):
        given = [t.to(dtype) for t in (x, w, b)]
        assert torch.equal(ft.conv2d(*given), functional.conv2d(*given))
    with torch.autocast("cpu"):
        assert ft.conv2d(x, w, b).dtype == torch.bfloat16

    class Own(torch.Tensor):  # type: ignore[misc]
        pass

    assert type(ft.conv2d(x.as_subclass(Own), w, b)) is Own
    assert ft.conv2d(x.to("meta"), w.to("meta")).device.type == "meta"
    with pytest.raises(RuntimeError):
        ft.conv2d(x.int(), w)
    with pytest.raises(RuntimeError):
        ft.conv2d(x, w.double())


def test_transforms_of_functions() -> None:
    x, w, _ = operands({})
    want = functional.conv2d(x, w)
    assert torch.equal(torch.vmap(lambda a: ft.conv2d(a, w))(x), want)
    assert torch.equal(torch.vmap(lambda a: ft.conv2d(a[None], w)[0])(x), want)
    got = torch.func.grad(lambda a: ft.conv2d(a, w).pow(2).sum())(x)
    assert torch.equal(got, torch.func.grad(lambda a: functional.conv2d(a, w).pow(2).sum())(x))
    _, tangent = torch.func.jvp(lambda a: ft.conv2d(a, w), (x,), (x,))
    assert torch.equal(tangent, want)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, x)
        assert torch.equal(torch.autograd.forward_ad.unpack_dual(ft.conv2d(dual, w)).tangent, want)
    y = ft.conv2d(x.requires_grad_(), w)
    (rows,) = torch.autograd.grad(y, x, torch.stack([torch.ones_like(y)] * 2), is_grads_batched=True)
    assert torch.equal(rows[1], torch.autograd.grad(functional.conv2d(x, w), x, torch.ones_like(y))[0])


def test_modes() -> None:
    x, w, _ = operands({})
    with torch.device("cpu"):  # a mode that looks at functions
        assert torch.equal(ft.conv2d(x, w), functional.conv2d(x, w))
    with import_module("torch.utils.flop_counter").FlopCounterMode(display=False) as counter:
        ft.conv2d(x, w)
    assert counter.get_total_flops() == 2 * 2 * 6 * 5 * 5 * 4 * 6


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled(dynamic: bool) -> None:
    """One graph, with gradients; the fake kernels' strides are the real ones."""
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda x, w, v: ft.conv_transpose2d(ft.conv2d(x, w, padding="same").relu(), v, stride=2),
        fullgraph=True, backend="aot_eager", dynamic=dynamic,
    )  # fmt: skip
    for last in (False, True):
        x, w, _ = operands({}, last=last)
        given = [x.requires_grad_(), w.requires_grad_(), integers(6, 3, 2, 2).requires_grad_()]
        want = functional.conv_transpose2d(functional.conv2d(*given[:2], padding="same").relu(), given[2], stride=2)
        y = compiled(*given)
        assert torch.equal(y, want)
        for got, expected in zip(
            torch.autograd.grad(y.sum(), given), torch.autograd.grad(want.sum(), given), strict=True
        ):
            assert torch.equal(got, expected)


def test_errors() -> None:
    x, w, b = operands({})
    with pytest.raises(ValueError, match="bias must have shape"):
        ft.conv2d(x, w, b[:3])
    with pytest.raises(ValueError, match="groups"):
        ft.conv2d(x, w, groups=3)
    with pytest.raises(ValueError, match="same"):
        ft.conv2d(x, w, stride=2, padding="same")
    with pytest.raises(ValueError, match="output_padding"):
        ft.conv_transpose2d(x, w[:4], output_padding=1)
    with pytest.raises(TypeError, match="float32 or float64"):
        operators.conv2d(x.half(), w.half(), None, (1, 1), (0, 0, 0, 0), (1, 1), 1)


WORKERS = """
import fastconv, torch, fastconv.torch as ft

x, w = torch.arange(168.0).reshape(4, 7, 6) % 7, torch.arange(144.0).reshape(6, 4, 3, 2) % 5

class Images(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return ft.conv2d(x, w)

fastconv.set_num_threads(2)
want = Images()[0]
for batch in torch.utils.data.DataLoader(Images(), batch_size=2, num_workers=1, multiprocessing_context="fork"):
    assert torch.equal(batch[0], want)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_workers() -> None:
    """A worker of a DataLoader computes, although its parent has; in a process where nobody else's threads are."""
    run = subprocess.run([sys.executable, "-c", WORKERS], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("first, spins", [("fastconv.torch", "1000"), ("torch", None)])
def test_waiting_threads(first: str, spins: str | None) -> None:
    """PyTorch's threads spin for a moment only, where fastconv loads them; the environment stays."""
    code = f"import os; before = dict(os.environ); import {first}, fastconv.torch; assert before == dict(os.environ)"
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    environment["OMP_DISPLAY_ENV"] = "verbose"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    if "GOMP_SPINCOUNT" in run.stderr:  # libgomp, not another OpenMP
        assert (f"GOMP_SPINCOUNT = '{spins}'" in run.stderr) == (spins is not None)
