"""The worked example of CONTRIBUTING.md is the code as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
PARTS = re.findall(r"^# (fastconv/\S+?),?(?: .*)?\n((?:(?!# fastconv/).*\n)+)", "".join(BLOCK), re.MULTILINE)


def absent(lines: str, text: str) -> list[str]:
    """Lines that a text does not have, in this order, as its own: but for a comment that ends them there."""
    there = [re.sub(r"  # .*", "", line) for line in text.splitlines()]
    found, start = [], 0
    for line in lines.splitlines():
        if line in there[start:]:
            start += there[start:].index(line) + 1
        elif line.strip() != "# ...":
            found.append(line)
    return found


def test_there_is_an_example() -> None:
    assert len(BLOCK) == 1
    assert len(PARTS) == BLOCK[0].count("# fastconv/") == 7


@pytest.mark.parametrize(("file", "lines"), PARTS, ids=[file for file, _ in PARTS])
def test_example_is_the_code(file: str, lines: str) -> None:
    lacking = absent(lines, (ROOT / file).read_text())
    assert not lacking, f"CONTRIBUTING.md shows what {file} does not have: {lacking}"


def test_absent() -> None:
    text = "a = 1\n    b = 2  # two\nc = 3\n"
    assert absent("a = 1\n    b = 2\n    # ...\nc = 3\n", text) == []
    assert absent("a = 1\nb = 2\n", text) == ["b = 2"]
    assert absent("c = 3\na = 1\n", text) == ["a = 1"]
