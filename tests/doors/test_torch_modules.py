"""fastconv.torch.replace_convolutions: the same modules to everybody else, and never a stale weight."""

from __future__ import annotations

import copy
import io
import pickle
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from tests.child import run_code

torch: Any = pytest.importorskip("torch")
nn = torch.nn
ft: Any = import_module("fastconv.torch")


def model() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, (3, 2), padding="same", groups=2),
        nn.Conv2d(8, 4, 3, padding=(1, 2), padding_mode="circular", bias=False, stride=2),
        nn.ConvTranspose2d(4, 2, 3, stride=2, output_padding=1),
    )


def plain(changed: Any) -> Any:
    """A copy that PyTorch computes."""
    copied = copy.deepcopy(changed)
    for m in copied.modules():
        if isinstance(m, (ft.Conv2d, ft.ConvTranspose2d)):
            m.__class__ = type(m).__mro__[1]
    return copied


def images(dtype: Any = None) -> Any:
    torch.manual_seed(1)
    return torch.randn(2, 3, 10, 9, dtype=dtype)


def close(a: Any, b: Any) -> bool:
    return bool(torch.allclose(a, b, rtol=1e-4, atol=1e-5))


@pytest.mark.parametrize("freeze", [False, True])
def test_training(freeze: bool) -> None:
    """Losses of some steps are PyTorch's, in float64; names of parameters are the same."""
    want = model().double()
    got = ft.replace_convolutions(copy.deepcopy(want), freeze=freeze)
    assert type(got[0]) is ft.Conv2d and type(got[-1]) is ft.ConvTranspose2d
    assert list(got.state_dict()) == list(want.state_dict())
    x = images(torch.float64)
    losses: list[list[float]] = []
    for net in (got, want):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        losses.append([])
        for _ in range(4):
            loss = net(x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    with torch.no_grad():
        assert torch.allclose(got.eval()(x), want.eval()(x), rtol=1e-9)


def test_output_size() -> None:
    want = nn.ConvTranspose2d(3, 2, 3, stride=2)
    got = ft.replace_convolutions(copy.deepcopy(want))
    assert close(got(images(), output_size=[22, 20]), want(images(), output_size=[22, 20]))


def test_copies_and_pickles() -> None:
    net, x = ft.replace_convolutions(model(), freeze=True).eval(), images()
    file = io.BytesIO()
    with torch.no_grad():
        want = net(x)
        assert len(net[0].plans) == 1
        torch.save(net, file)
        file.seek(0)
        for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), torch.load(file, weights_only=False)):
            assert type(copied[0]) is ft.Conv2d and len(copied[0].plans) == 0
            assert torch.equal(copied(x), want)
            copied[0].weight.zero_()
            assert not torch.equal(copied(x), want)
        assert torch.equal(net(x), want)


def test_left_alone() -> None:
    """Subclasses and lazy modules; a lazy one can be replaced when it knows its shape."""

    class Own(nn.Conv2d):  # type: ignore[misc,name-defined]
        pass

    net = nn.Sequential(Own(3, 3, 1), nn.LazyConv2d(2, 1), nn.Conv1d(3, 3, 1))
    before = [type(m) for m in net]
    assert [type(m) for m in ft.replace_convolutions(net)] == before
    net[:2](images())
    assert type(ft.replace_convolutions(net)[1]) is ft.Conv2d
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        ft.replace_convolutions(images())


@pytest.mark.parametrize("freeze", [False, True])
def test_parametrisations(freeze: bool) -> None:
    want = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    got = ft.replace_convolutions(copy.deepcopy(want), freeze=freeze)
    assert isinstance(got, ft.Conv2d) and isinstance(got, nn.Conv2d)
    assert list(got.state_dict()) == list(want.state_dict())
    assert close(got(images()), want(images()))
    with torch.no_grad():
        got.eval().parametrizations.weight.original0.mul_(2)
        assert not close(got(images()), want(images()))
        assert close(got(images()), plain_forward(got, images()))
    nn.utils.parametrize.remove_parametrizations(got, "weight")
    assert type(got) is ft.Conv2d


def plain_forward(m: Any, x: Any) -> Any:
    return nn.functional.conv2d(x, m.weight, m.bias)


def step(make: Callable[..., Any]) -> Callable[[Any], None]:
    def change(net: Any) -> None:
        optimizer = make(net.parameters())
        loss = net(images()).sum()
        with torch.no_grad():
            net(images())  # plans between the forward pass and the step
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return change


def replaced(net: Any) -> None:
    for m in net:
        if isinstance(m, nn.Conv2d):
            m.weight = nn.Parameter(m.weight.detach() + 1)


def other_memory(net: Any) -> None:
    for _ in range(2):
        for m in net:
            if isinstance(m, nn.Conv2d):
                m.weight.data = m.weight.data + 1


def in_place(net: Any) -> None:
    with torch.no_grad():
        net[0].weight += 1
        net[0].bias -= 1


def behind(net: Any) -> None:
    net[0].weight.data.add_(1)
    net.train()
    net.eval()


CHANGES: dict[str, Callable[[Any], Any]] = {
    "sgd": step(lambda p: torch.optim.SGD(p, lr=0.5)),
    "adam foreach": step(lambda p: torch.optim.Adam(p, lr=0.5, foreach=True)),
    "adam fused": step(lambda p: torch.optim.Adam(p, lr=0.5, fused=True)),
    "load_state_dict": lambda net: net.load_state_dict(
        {k: v + 1 if v.is_floating_point() else v for k, v in net.state_dict().items()}
    ),
    "assigned": lambda net: net.load_state_dict(
        {k: v + 1 if v.is_floating_point() else v for k, v in net.state_dict().items()}, assign=True
    ),
    "another parameter": replaced,
    "other memory": other_memory,
    "in place": in_place,
    "data, then eval": behind,
}


@pytest.mark.parametrize("name", CHANGES)
def test_never_stale(name: str) -> None:
    net, x = ft.replace_convolutions(model(), freeze=True).eval(), images()
    with torch.no_grad():
        before = net(x)
        assert close(before, plain(net)(x)) and len(net[0].plans) == 1
    CHANGES[name](net)
    with torch.no_grad():
        assert close(net(x), plain(net)(x)) and not close(net(x), before)


def test_without_freeze_data_is_seen() -> None:
    net, x = ft.replace_convolutions(model()).eval(), images()
    with torch.no_grad():
        net(x)
        net[0].weight.data.add_(1)
        assert close(net(x), plain(net)(x))


def test_plans_are_bounded() -> None:
    net = ft.replace_convolutions(nn.Conv2d(3, 4, 3), freeze=True).eval()
    with torch.inference_mode():
        for size in range(3, 30):
            x = torch.randn(1, 3, size, 5)
            assert close(net(x), plain(net)(x))
            x = x.contiguous(memory_format=torch.channels_last)
            assert net(x).is_contiguous(memory_format=torch.channels_last)
        assert len(net.plans) <= net.plans.most
        assert net(torch.randn(3, 5, 5)).shape == (4, 3, 3)
    assert net(torch.randn(3, 5, 5)).requires_grad


def test_weights_made_in_inference_mode() -> None:
    """They count no changes: nothing is kept of them."""
    with torch.inference_mode():
        net = ft.replace_convolutions(nn.Conv2d(3, 4, 3), freeze=True).eval()
        x = torch.randn(1, 3, 5, 5)
        net(x)
        net.weight.mul_(2)
        assert close(net(x), plain(net)(x))


def test_compiled() -> None:
    torch._dynamo.reset()
    for freeze in (False, True):
        net, x = ft.replace_convolutions(model(), freeze=freeze), images()
        assert close(torch.compile(copy.deepcopy(net), fullgraph=True, backend="aot_eager")(x), net(x))
        compiled = torch.compile(net.eval(), fullgraph=True, backend="aot_eager")
        with torch.no_grad():
            assert close(compiled(x), plain(net)(x))


def test_weights_of_channels_last_models_are_laid_out_once() -> None:
    """They keep their values, their identity and their place in the optimizer; gradients lie as they do."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 2, 3)).to(
        memory_format=torch.channels_last
    )
    ours = ft.replace_convolutions(copy.deepcopy(plain))
    x = torch.randn(2, 4, 9, 9).contiguous(memory_format=torch.channels_last)
    optimizers = [torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9) for net in (plain, ours)]
    kept = list(ours.parameters())
    for _ in range(3):
        for net, optimizer in zip((plain, ours), optimizers, strict=True):
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()
    assert all(a is b for a, b in zip(kept, ours.parameters(), strict=True))
    assert all(p.is_contiguous() and p.grad.is_contiguous() for p in ours.parameters())
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(plain.parameters(), kept, strict=True))


def test_laid_out_in_inference_mode() -> None:
    """Plans are kept all the same."""
    net = ft.replace_convolutions(nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last), freeze=True).eval()
    x = torch.randn(1, 4, 9, 9).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.equal(net(x), net(x))
    assert not net.weight.is_inference() and net.weight.is_contiguous()
    net.weight.data.add_(1)
    net.train().eval()
    with torch.no_grad():
        assert close(net(x), plain(net)(x))


GUESTS = """
import os
import torch
import fastconv.torch
from fastconv.torch import threads

x, w = torch.randn(2, 16, 40, 40), torch.randn(24, 16, 3, 3)
want = torch.nn.functional.conv2d(x, w, padding=1).numpy()

def right():  # by NumPy: PyTorch's own operators hang in a forked child
    return abs(fastconv.torch.conv2d(x, w, padding=1).numpy() - want).max() < 1e-3

tasks = lambda: len(os.listdir("/proc/self/task"))
before = tasks()
good = all(right() for _ in range(5))
print(good, not threads._found or tasks() == before, flush=True)
child = os.fork()
if not child:
    os._exit(not right())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_calls_run_on_pytorchs_threads_and_in_a_fork_on_ours() -> None:
    said, forked = run_code(GUESTS).split("\n")[:2]
    assert said == "True True"
    assert forked == "0"
