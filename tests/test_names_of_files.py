"""A file that a comment, a docstring or a guide names is there."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("fastconv", "bench", "stress", "tests", "examples", "docs")
GUIDES = ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml")
KINDS = {".py", ".pyx", ".pxi", ".h"}
THERE = [p.relative_to(ROOT).as_posix() for folder in FOLDERS for p in (ROOT / folder).rglob("*") if p.suffix in KINDS]
THERE += [p.name for p in ROOT.iterdir() if p.is_file()]
THERE += ["fastconv/engines/cython_/ground/records.pxi"]  # written when the kernels are built
NAME = re.compile(r"(?<![\w/*.{-])\w[\w/]*\.(?:py|pyx|pxi|h)\b(?!\w)")
PROSE = {".pyx": r"#(.*)", ".pxi": r"#(.*)", ".h": r"/\*(.*?)\*/|//(.*)"}
EXAMPLES = {"copied.py", "SCRIPT.py"} | {
    f"{folder}/NAME{kind}" for kind in (".py", ".pxi") for folder in ("algorithms", "engines/cython_", "engines/numba_")
}


def prose(file: Path) -> str:
    """The comments and docstrings of a source; the whole of anything else."""
    text = file.read_text()
    if file.suffix == ".py":
        found = [t.string for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT]
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        found += [ast.get_docstring(n) or "" for n in ast.walk(ast.parse(text)) if isinstance(n, documented)]
        return "\n".join(found)
    if file.suffix in PROSE:
        return "\n".join("".join(m) for m in re.findall(f"(?:{PROSE[file.suffix]})", text) if m and "include" not in m)
    return text


def missing(text: str) -> set[str]:
    named = set(NAME.findall(text)) - EXAMPLES
    return {name for name in named if not any(f"/{there}".endswith(f"/{name}") for there in THERE)}


def test_missing() -> None:
    text = "see core/threads.py, blas.py, `core/thread.py`, NAMES.py and fastconv/engines/loader.py (setup.py)."
    assert missing(text) == {"core/thread.py", "NAMES.py"}


@pytest.mark.parametrize("folder", [*FOLDERS, "."])
def test_files_named_are_there(folder: str) -> None:
    files = (
        [ROOT / name for name in GUIDES] + sorted((ROOT / "docs").rglob("*.md"))
        if folder == "."
        else sorted((ROOT / folder).rglob("*"))
    )
    found = {str(f.relative_to(ROOT)): missing(prose(f)) for f in files if f.suffix in KINDS or folder == "."}
    assert not {f: names for f, names in found.items() if names}
