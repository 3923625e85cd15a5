"""The examples run, in their short form, and stay short."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f.stem)
def test_example(file: Path) -> None:
    if "torch" in file.stem and find_spec("torch") is None:
        pytest.skip("torch is not installed")
    assert len(file.read_text().splitlines()) <= 120
    run = subprocess.run([sys.executable, str(file), "--quick"], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert "ms a step" in run.stdout
