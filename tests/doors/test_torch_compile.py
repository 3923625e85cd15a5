"""fastconv.torch.compile_backend: what is fused, that results are PyTorch's, and when it keeps its hands off."""

from __future__ import annotations

import copy
import tomllib
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
nn = torch.nn
functional = torch.nn.functional
ft: Any = import_module("fastconv.torch")
dynamo: Any = import_module("fastconv.torch.dynamo")
fusion: Any = import_module("fastconv.torch.fusion")

ACTIVATIONS = {
    "relu": nn.ReLU(inplace=True), "relu6": nn.ReLU6(), "leaky_relu": nn.LeakyReLU(), "silu": nn.SiLU(inplace=True),
    "hardswish": nn.Hardswish(), "gelu": nn.GELU(), "sigmoid": nn.Sigmoid(), "tanh": nn.Tanh(),
}  # fmt: skip


class Block(nn.Module):  # type: ignore[misc,name-defined]
    """A residual block, whose second convolution, batch norm, addition and activation are one call."""

    def __init__(self, ci: int, co: int, stride: int, activation: Any) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(ci, co, 3, stride, 1, bias=False), nn.BatchNorm2d(co), activation)
        self.second = nn.Sequential(nn.Conv2d(co, co, 3, 1, 1), nn.BatchNorm2d(co, affine=False))
        self.shortcut = nn.Sequential(nn.Conv2d(ci, co, 1, stride, bias=False), nn.BatchNorm2d(co))
        self.activation = activation

    def forward(self, x: Any) -> Any:
        y = self.second(self.first(x))
        y += self.shortcut(x)
        return self.activation(y)


def settled(net: Any) -> Any:
    """The network with statistics and weights that are not the first ones."""
    torch.manual_seed(3)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
            if m.affine:
                nn.init.normal_(m.weight)
                nn.init.normal_(m.bias)
    return net.eval()


class Compiled:
    """A network compiled by the backend, and what became of its last graph."""

    def __init__(self, net: Any, **options: Any) -> None:
        torch._dynamo.reset()
        self.graphs: list[Any] = []
        self.call = torch.compile(net, backend=self.backend, **options)

    def backend(self, gm: Any, given: Any) -> Any:
        found = ft.compile_backend(gm, given)
        self.graphs.append(found.__self__)
        return found

    @property
    def fused(self) -> list[Any]:
        return [m for m in self.graphs[-1].modules() if isinstance(m, fusion.Fused)]


def close(a: Any, b: Any) -> bool:
    return bool(torch.allclose(a, b, rtol=1e-4, atol=1e-4)) and a.stride() == b.stride()


def images(*shape: int) -> Any:
    torch.manual_seed(4)
    return torch.randn(*(shape or (2, 3, 12, 10)))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("last", [False, True])
def test_blocks(name: str, last: bool) -> None:
    net = settled(nn.Sequential(Block(3, 8, 2, ACTIVATIONS[name]), Block(8, 8, 1, ACTIVATIONS[name])))
    x = images()
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    compiled = Compiled(net, fullgraph=True)
    with torch.no_grad():
        assert close(compiled.call(x), net(x))
        assert close(compiled.call(x), net(x))
    assert [m.activation for m in compiled.fused] == [name, name, None] * 2
    assert all(len(m.plans) == 1 for m in compiled.fused)
    assert not any(n.target is functional.batch_norm for n in compiled.graphs[-1].graph.nodes)


def test_changes_are_noticed() -> None:
    net, x = settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))), images()
    compiled = Compiled(net)
    for change in (
        lambda: net[0].weight.mul_(2), lambda: net[0].bias.add_(1), lambda: net[1].running_var.add_(1),
        lambda: net[1].weight.mul_(3), lambda: net.load_state_dict({k: v * 2 for k, v in net.state_dict().items()}),
        lambda: setattr(net[0], "weight", nn.Parameter(net[0].weight + 1)),
    ):  # fmt: skip
        with torch.no_grad():
            before = net(x)
            assert close(compiled.call(x), before)
            change()
            assert close(compiled.call(x), net(x)) and not close(net(x), before)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1, fused=True)
    net(x).sum().backward()
    optimizer.step()
    with torch.inference_mode():
        assert close(compiled.call(x), net(x))


def test_training() -> None:
    """With gradients convolutions are calls with gradients; batch norm keeps its statistics."""
    want = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2, 2))
    got, x = copy.deepcopy(want), images()
    compiled = Compiled(got, fullgraph=True)
    for _ in range(2):
        a, b = compiled.call(x), want(x)
        assert close(a, b)
        a.square().sum().backward()
        b.square().sum().backward()
    targets = [n.target for n in compiled.graphs[-1].graph.nodes]
    assert ft.conv2d in targets and ft.conv_transpose2d in targets
    for p, q in zip(got.parameters(), want.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad, rtol=1e-3, atol=1e-3)
    assert torch.allclose(got[1].running_mean, want[1].running_mean, atol=1e-6)


def test_other_readers() -> None:
    """What others read is not fused away, nor is what changes in place taken for what it was."""

    class Net(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))

        def forward(self, x: Any) -> Any:
            a = self.a(x)
            y = functional.relu(a) + a
            b = self.b(y)
            y.mul_(2)  # between a convolution and its activation, which reads y
            c = self.c(y)
            c = torch.add(c, functional.relu(b))
            z = self.a(c)
            y += z  # y is changed: not an addition to a convolution
            x = x + 1
            x[:, 0].add_(1)
            return y + self.b(x), z, functional.relu(self.c(x)).view(x.shape[0], -1), self.a(x) + torch.ones(4, 1, 1)

    net, x = Net().eval(), images(2, 4, 6, 5)
    compiled = Compiled(net)
    with torch.no_grad():
        for got, want in zip(compiled.call(x), net(x), strict=True):
            assert close(got, want)


def test_dynamic_shapes_and_single_images() -> None:
    net = settled(nn.Sequential(Block(3, 4, 1, nn.ReLU()), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
    compiled = Compiled(net, dynamic=True)
    with torch.no_grad():
        for shape in ((2, 3, 8, 8), (3, 3, 9, 7), (1, 3, 5, 5)):
            assert close(compiled.call(images(*shape)), net(images(*shape)))
        alone = nn.Conv2d(3, 4, 3).eval()
        assert close(torch.compile(alone, backend=ft.compile_backend)(images(3, 6, 6)), alone(images(3, 6, 6)))


def test_replaced_modules() -> None:
    """Both ways together: operators become fused calls too."""
    net = settled(nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU()))
    want, compiled = net(images()), Compiled(ft.replace_convolutions(net))
    with torch.no_grad():
        assert close(compiled.call(images()), want)
    assert [m.activation for m in compiled.fused] == ["relu"]


def test_handed_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half with one warning, autocast by PyTorch's functions, a pass that fails with one warning."""
    monkeypatch.setattr(dynamo, "_told", set())
    x, net = images(), settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    half = copy.deepcopy(net).bfloat16()
    with torch.no_grad(), pytest.warns(UserWarning, match="bfloat16") as found:
        compiled = Compiled(nn.Sequential(half, half[0].__class__(4, 2, 1).bfloat16()))
        assert compiled.call(x.bfloat16()).dtype == torch.bfloat16
    assert sum("fastconv" in str(w.message) for w in found) == 1
    compiled = Compiled(net)
    with torch.no_grad(), torch.autocast("cpu"):
        assert torch.equal(compiled.call(x), net(x)) and net(x).dtype == torch.bfloat16
    monkeypatch.setattr(dynamo, "_fuse", lambda *_: 1 / 0)
    with torch.no_grad(), pytest.warns(UserWarning, match="ZeroDivisionError"):
        assert torch.equal(Compiled(net).call(x), net(x))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert torch.equal(Compiled(net).call(x), net(x))


def test_entry_point() -> None:
    """What pyproject announces is there."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    point = tomllib.loads(text)["project"]["entry-points"]["torch_dynamo_backends"]["fastconv"]
    module, name = point.split(":")
    assert getattr(import_module(module), name) is ft.compile_backend
