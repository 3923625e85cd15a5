"""The site: every snippet runs and prints what it says, every public name and every algorithm has its place."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import fastconv

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
#: pages whose snippets run here; a page that marks the ones that run is a guide with a test of its own
TEXTS = {page.relative_to(DOCS).as_posix(): page.read_text() for page in sorted(DOCS.rglob("*.md"))}
PAGES = [page for page, text in TEXTS.items() if "```python" in text and "<!-- run -->" not in text]
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_snippets(page: str) -> None:
    """From top to bottom, in one namespace, as a reader would type them."""
    text = (DOCS / page).read_text()
    if "bench import" in text and find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not installed")
    for module in ("dask", "torch", "numba"):
        if (f"import {module}" in text or f"{module}.array" in text) and find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    names: dict[str, object] = {"__name__": "__main__"}
    for code, output in BLOCK.findall(text):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(code, page, "exec"), names)
        assert said.getvalue() == output, code


@pytest.mark.parametrize(
    "module",
    [
        "fastconv",
        "fastconv.ndimage",
        "fastconv.signal",
        "fastconv.astropy",
        "fastconv.dask",
        "fastconv.nn",
        "fastconv.torch",
    ],
)
def test_every_public_name_is_in_the_api(module: str) -> None:
    if module == "fastconv.torch" and find_spec("torch") is None:
        pytest.skip("torch is not installed")
    listed = set(re.findall(r"\.\. auto\w+:: (\S+)", (DOCS / "api.md").read_text()))
    assert {f"{module}.{name}" for name in import_module(module).__all__} <= listed


def test_every_algorithm_has_a_page_that_names_its_file() -> None:
    for name in {backend.split("/")[0] for backend in fastconv.list_backends()}:
        page = DOCS / "algorithms" / f"{name.removesuffix('x1').removesuffix('x6')}.md"
        (path,) = re.findall(r"## Read\n\n`(\S+)`", page.read_text())
        assert (ROOT / path).is_file()


def test_pictures_and_pages_that_are_linked_are_there() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links {target}"


def test_anchors_that_are_linked_are_there() -> None:
    """A link to a heading names one that its page has, spelt as the site spells it."""
    for page in DOCS.rglob("*.md"):
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
            there = page if not target else page.parent / target
            headings = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.name} links {target}#{anchor}"


@pytest.mark.parametrize("script", sorted(DOCS.glob("gallery/*/plot_*.py")), ids=lambda path: path.stem)
def test_gallery(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example runs by itself, where the site's builder runs it, and draws something."""
    for module in ("sklearn", "rich", "PIL"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    monkeypatch.chdir(script.parent)
    with contextlib.redirect_stdout(io.StringIO()):
        runpy.run_path(str(script))
    figures = [plt.figure(number) for number in plt.get_fignums()]
    plt.close("all")
    assert figures and all(axis.has_data() for figure in figures for axis in figure.axes)


def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    needed = ("sphinx", "myst_parser", "numpydoc", "sphinx_gallery", "furo", "sklearn", "torch")
    if any(find_spec(name) is None for name in needed):
        pytest.skip("what builds the site is not installed: pip install '.[docs,torch]'")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    for name in ("lectures.html", "lectures/training.html", "auto_gallery/index.html", "reliability.html"):
        page = (tmp_path / name).read_text()
        assert not re.search(r"<(script|link|img)[^>]*(src|href)=.https?:", page), name
        assert ("<math" in page) == name.startswith("lectures")
