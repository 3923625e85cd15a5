"""The README's examples run, and print what it says."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import child

TEXT = (Path(__file__).parent.parent / "README.md").read_text()
EXAMPLES = re.findall(r"<!-- run -->\n```python\n(.*?)```\n(?:\n```\n(.*?)```)?", TEXT, re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("code, output", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example(code: str, output: str, tmp_path: Path) -> None:
    for name in ("dask", "torch"):
        if name in code and find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    environment = os.environ | {"PYTHONPATH": child.with_entry_points(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout == output
