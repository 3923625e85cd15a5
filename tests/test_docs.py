"""The snippets of the guides in docs/ run: what they claim, they assert."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import child

GUIDES = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))
SNIPPETS = [
    (g.stem, code)
    for g in GUIDES
    for code in re.findall(r"<!-- run -->\n```python\n(.*?)```", g.read_text(), re.DOTALL)
]


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 7
    assert all("assert " in code for _, code in SNIPPETS)


@pytest.mark.parametrize("guide, code", SNIPPETS, ids=[f"{g}-{i}" for i, (g, _) in enumerate(SNIPPETS)])
def test_snippet(guide: str, code: str) -> None:
    for line in re.findall(r"^(?:import|from) (.*)", code, re.MULTILINE):
        for name in ("cv2", "dask", "dask_image", "pandas", "skimage", "xarray"):
            if re.search(rf"\b(?<!\.){name}\b", line) and find_spec(name) is None:
                pytest.skip(f"{name} is not installed")
    assert child.run_code(code) == ""


def test_assertions_are_on() -> None:
    assert sys.flags.optimize == 0
