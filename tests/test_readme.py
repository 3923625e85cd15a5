"""The README's examples run, and print what it says."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import child

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"<!-- run -->\n```python\n(.*?)```\n(?:\n```\n(.*?)```)?", TEXT, re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


def test_it_is_short_and_what_it_links_is_there() -> None:
    assert len(TEXT.splitlines()) <= 150
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert sum(link.endswith(".png") for link in links) == 3
    assert all((ROOT / link).is_file() for link in links)


@pytest.mark.parametrize("page", ["README.md", "docs/benchmarks.md"])
def test_commands_it_names_are_there(page: str) -> None:
    if find_spec("rich") is None:
        pytest.skip("rich is not installed")
    from bench.__main__ import _parser

    text = (ROOT / page).read_text()
    known = _parser("bench").format_help()
    named = set(re.findall(r"python -m bench ([a-z]+)", text)) | set(re.findall(r"^\| `([a-z]+)", text, re.MULTILINE))
    assert {"publish", "images"} <= named
    assert not {name for name in named if not re.search(rf"^    {name}\b", known, re.MULTILINE)}


@pytest.mark.parametrize("code, output", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example(code: str, output: str, tmp_path: Path) -> None:
    for name in ("dask", "torch"):
        if name in code and find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    environment = os.environ | {"PYTHONPATH": child.with_entry_points(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout == output
