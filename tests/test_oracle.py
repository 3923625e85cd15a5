"""The oracle against the lectures' printed examples, the bare definition, SciPy and PyTorch."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import signal

from fastconv.core.problem import parse
from tests import oracle
from tests.golden import GOLDEN
from tests.problems import BORDER_PROBLEMS, EDGE_PROBLEMS, MODES, geometry, integer_data, with_mode

SMALL = [t for t in EDGE_PROBLEMS if 0 < np.prod(parse(t).y_shape) * np.prod(parse(t).w_shape[1:]) < 2e4]


def test_imports_nothing_of_fastconv() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text())
    names = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    names += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    assert {str(name).split(".")[0] for name in names} == {"itertools", "typing", "numpy"}


@pytest.mark.parametrize("case", GOLDEN["conv2d"], ids=lambda c: c["source"])
def test_golden(case: dict[str, Any]) -> None:
    p = case["padding"]
    geo = oracle.Geometry((case["stride"],) * 2, ((p, p), (p, p)))
    y = oracle.forward(np.array(case["x"])[None, None], np.array(case["w"])[None, None], None, geo)
    np.testing.assert_array_equal(y[0, 0], case["y"])


@pytest.mark.parametrize("text", SMALL)
def test_definition(text: str) -> None:
    p = parse(text)
    data = integer_data(p)
    np.testing.assert_array_equal(
        oracle.forward(data.x, data.w, None, geometry(p)), oracle.by_definition(data.x, data.w, geometry(p))
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", BORDER_PROBLEMS)
def test_definition_at_borders(text: str, mode: str) -> None:
    p = with_mode(text, mode)
    data = integer_data(p)
    np.testing.assert_array_equal(
        oracle.forward(data.x, data.w, None, geometry(p)), oracle.by_definition(data.x, data.w, geometry(p))
    )


@pytest.mark.parametrize("mode", ["valid", "full"])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5), (7, 4)])
def test_scipy(kernel: tuple[int, int], mode: str) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.integers(-3, 4, (9, 8)), rng.integers(-3, 4, kernel)
    reach = ((kernel[0] - 1,) * 2, (kernel[1] - 1,) * 2) if mode == "full" else ((0, 0), (0, 0))
    y = oracle.forward(x[None, None], w[None, None], None, oracle.Geometry(padding=reach))
    np.testing.assert_array_equal(y[0, 0], signal.correlate2d(x, w, mode=mode))


@pytest.mark.parametrize(
    ("mode", "index"),
    [
        ("reflect", [3, 2, 1, 0, 1, 2, 3, 2, 1]),
        ("symmetric", [2, 1, 0, 0, 1, 2, 3, 3, 2]),
        ("replicate", [0, 0, 0, 0, 1, 2, 3, 3, 3]),
        ("circular", [1, 2, 3, 0, 1, 2, 3, 0, 1]),
        ("zeros", [-1, -1, -1, 0, 1, 2, 3, -1, -1]),
    ],
)
def test_border_index(mode: str, index: list[int]) -> None:
    np.testing.assert_array_equal(oracle.border_index(4, (3, 2), mode), index)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", BORDER_PROBLEMS)
def test_gradients_are_adjoints(text: str, mode: str) -> None:
    """<dy, conv(x, w)> = <grad_input, x> = <grad_weight, w>, exactly, for several dy."""
    p = with_mode(text, mode)
    geo = geometry(p)
    for salt in range(5):
        x, w, _, dy = integer_data(p, salt)
        product = np.vdot(dy, oracle.forward(x, w, None, geo))
        assert product == np.vdot(oracle.grad_input(dy, w, (p.ih, p.iw), geo), x)
        assert product == np.vdot(oracle.grad_weight(dy, x, (p.kh, p.kw), geo), w)


@pytest.mark.parametrize("text", EDGE_PROBLEMS)
def test_torch(text: str) -> None:
    """Forward and all three gradients of every zero-padded problem, exactly."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the oracle is not compared with it")
    p = parse(text)
    if p.n == 0:
        assert oracle.forward(*integer_data(p)[:3], geometry(p)).shape == p.y_shape
        return
    x, w, b, dy = (torch.from_numpy(a.astype(np.float64)).requires_grad_() for a in integer_data(p))
    padded = torch.nn.functional.pad(x, (p.pl, p.pr, p.pt, p.pb))
    y = torch.nn.functional.conv2d(padded, w, b, (p.sh, p.sw), 0, (p.dh, p.dw), p.g)
    y.backward(dy)
    d, geo = integer_data(p), geometry(p)
    np.testing.assert_array_equal(oracle.forward(d.x, d.w, d.b, geo), y.detach().numpy())
    np.testing.assert_array_equal(oracle.grad_input(d.dy, d.w, (p.ih, p.iw), geo), x.grad.numpy())
    np.testing.assert_array_equal(oracle.grad_weight(d.dy, d.x, (p.kh, p.kw), geo), w.grad.numpy())
    np.testing.assert_array_equal(oracle.grad_bias(d.dy), b.grad.numpy())


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_torch_at_borders(mode: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the oracle is not compared with it")
    p = with_mode("n2ci3ih7iw8co4kh3kw4ph2pw3_f32", mode)
    d, geo = integer_data(p), geometry(p)
    x, w = (torch.from_numpy(a.astype(np.float64)).requires_grad_() for a in d[:2])
    y = torch.nn.functional.conv2d(torch.nn.functional.pad(x, (p.pl, p.pr, p.pt, p.pb), mode=mode), w)
    y.backward(torch.from_numpy(d.dy.astype(np.float64)))
    np.testing.assert_array_equal(oracle.forward(d.x, d.w, None, geo), y.detach().numpy())
    np.testing.assert_array_equal(oracle.grad_input(d.dy, d.w, (p.ih, p.iw), geo), x.grad.numpy())
    np.testing.assert_array_equal(oracle.grad_weight(d.dy, d.x, (p.kh, p.kw), geo), w.grad.numpy())
