"""The examples run, do what they promise, and are short."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tests import child

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda f: f.stem)
def test_length(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 120
    assert f'"{file.stem}"' in Path(__file__).read_text(), "every example is run here"


def test_lenet_digits(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    with threadpool_limits(1, user_api="blas"):  # see nn/conftest.py
        assert example("lenet_digits").main(str(tmp_path / "curve.png")) >= 0.98
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert "of 597 images are read correctly" in capsys.readouterr().out


def test_resnet_cifar_like(capsys: Any) -> None:
    pytest.importorskip("sklearn")
    with threadpool_limits(1, user_api="blas"):
        assert example("resnet_cifar_like").main() >= 0.9
    assert "of 397 images are read correctly" in capsys.readouterr().out


def test_cs231n_layers() -> None:
    assert example("cs231n_layers").main() < 1e-13


def test_dask_large_image() -> None:
    """In a process of its own, whose workers import the script."""
    for name in ("distributed", "zarr"):
        pytest.importorskip(name)
    file = (EXAMPLES / "dask_large_image").with_suffix(".py")
    printed = child.run(str(file), PYTHONPATH=str(child.ROOT)).stdout
    assert printed.count("workers") == 2
    assert float(printed.split()[-1]) < 1e-5


def test_inside_numba(tmp_path: Path) -> None:
    file = (EXAMPLES / "inside_numba").with_suffix(".py")
    printed = child.run(str(file), PYTHONPATH=child.with_entry_points(tmp_path)).stdout
    before, after = (float(line.split()[-1]) for line in printed.splitlines())
    assert after < before / 3


@pytest.mark.parametrize("name", ["convnext_torch", "replk_torch"])
def test_with_torch(name: str) -> None:
    pytest.importorskip("torch")
    file = EXAMPLES / f"{name}.py"
    run = subprocess.run([sys.executable, str(file), "--quick"], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert "ms a step" in run.stdout


def test_match_template(capsys: Any) -> None:
    found = example("match_template")
    assert found.main() == (123, 456)
    assert "coefficient of 1.000" in capsys.readouterr().out
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    image, pattern = rng.random((60, 70), np.float32), rng.random((9, 8), np.float32)
    want = cv2.matchTemplate(image, pattern, cv2.TM_CCOEFF_NORMED)
    np.testing.assert_allclose(found.match(image, pattern), want, atol=1e-4)
