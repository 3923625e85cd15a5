"""Who may import whom, and what a bare ``import fastconv`` may load."""

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastconv
from fastconv.engines import loader
from tests.child import run_code

ROOT = Path(fastconv.__file__).parent
FILES = sorted(p for p in ROOT.rglob("*.py"))
SLOW = {
    "numba", "llvmlite", "scipy.linalg", "scipy.signal", "scipy.ndimage", "scipy.fft", "matplotlib", "torch",
    "astropy", "pytest",
}  # fmt: skip

# Longest matching name decides; a module may import its own kind besides. Nothing calls upward.
RULES: dict[str, set[str]] = {
    "astropy": {"core.typing", "images"},
    "core": set(),
    "engines": set(),
    "algorithms": {"core", "engines.records"},
    "planning": {"core", "algorithms", "engines.loader"},
    "planning.rates": {"core", "algorithms.base", "engines.loader"},
    "planning.layouts": {"core", "algorithms.base"},
    "planning.plan": {"core", "algorithms.base", "engines.loader", "planning.layouts", "planning.rows"},
    "operations": {"core", "planning", "algorithms.base", "engines.loader", "engines.records", "engines.tape"},
    "images.window": {"core"},
    "images.filtering": {"core", "engines.loader", "engines.records", "images.window"},
    "images.transform": {"core", "engines.loader", "engines.records"},
    "images.spectral": {"core", "planning", "images.filtering", "images.transform"},
    "images.correlation": {
        "core",
        "engines.loader",
        "planning.rates",
        "images.filtering",
        "images.spectral",
        "images.recent",
    },
    "images.normalized": {"core", "images.filtering", "images.correlation"},
    "images.bands": {"core", "images.filtering", "images.correlation", "images.normalized"},
    "images.arguments": {"core", "planning.registry", "engines.loader", "images.filtering"},
    "images.filter2d": {
        "core",
        "images.recent",
        "images.filtering",
        "images.correlation",
        "images.bands",
        "images.normalized",
        "images.arguments",
    },
    "images.ndimage_calls": {"core", "images.filtering"},
    "images.ndimage_filters": {"images.ndimage_calls"},
    "images.ndimage_passes": {"core", "engines.loader", "images.filtering", "images.ndimage_calls"},
    "images.ndimage_plans": {
        "core",
        "engines.loader",
        "images.filtering",
        "images.ndimage_calls",
        "images.ndimage_passes",
    },
    "images.ndimage_kernels": {
        "core",
        "images.filtering",
        "images.ndimage_calls",
        "images.ndimage_passes",
        "images.ndimage_plans",
    },
    "images.originals": {"core.typing"},
    "images": set(),
    "ndimage": {"core.arrays", "core.typing", "images"},
    "patching": {"images.originals"},
    "__main__": {"patching", "selftest"},
    "selftest": {"core", "planning", "operations", "images.filter2d", "engines.loader"},
    "nn": {"core", "operations"},
    "numba_extension": set(),
    "numba_extension.answers": {"core.errors", "images.filter2d", "operations"},
    "numba_extension.overloads": {"core.errors", "numba_extension"},
    "dask": {"core", "operations", "images.filter2d", "ndimage"},
    "signal": {"core.arrays", "core.threads", "core.typing", "images"},
    "torch": {"core", "operations", "planning"},
}


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only a type checker sees."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not is_type_checking(child):
            yield from walk(child)


def imported(file: Path) -> set[str]:
    """Modules of fastconv (without the leading name) that a file imports, anywhere in it."""
    package = ["fastconv", *file.relative_to(ROOT).parts[:-1]]
    found = set()
    for node in walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for a in node.names:
                name = f"{base}.{a.name}"
                found.add(name if is_module(name) else base)
    return {name.removeprefix("fastconv").lstrip(".") for name in found if name.split(".")[0] == "fastconv"}


def is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir() or any(path.parent.glob(f"{path.name}.*"))


def rule_for(module: str) -> str | None:
    matches = [key for key in RULES if module == key or module.startswith(key + ".")]
    return max(matches, key=len, default=None)


def allowed(name: str, targets: set[str]) -> bool:
    return any(name == t or name.startswith(t + ".") for t in targets)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_import_rules(file: Path) -> None:
    module, names = module_of(file), imported(file)
    key = rule_for(module)
    wrong = {n for n in names if not allowed(n, RULES[key] | {key})} if key is not None else set()
    assert key is not None or module == "", f"no rule says what fastconv.{module} may import"
    assert not wrong, f"fastconv.{module} must not import {', '.join('fastconv.' + n for n in sorted(wrong))}"


@pytest.mark.parametrize("engine", ["numba_", "cython_"])
def test_engines_do_not_know_each_other(engine: str) -> None:
    other = {"numba_": "cython_", "cython_": "numba_"}[engine]
    for file in (ROOT / "engines" / engine).glob("*.py"):
        assert not any(other in name for name in imported(file)), file


def test_no_cycles() -> None:
    """Within fastconv no module needs itself, by whatever detour."""
    graph = {module_of(file): {n for n in imported(file) if n} for file in FILES if module_of(file)}

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += graph.get(name, ())
        return seen

    assert not [name for name in graph if name in reach(name)]


def test_the_rules_would_notice(tmp_path: Path) -> None:
    """Relative, absolute and hidden imports are all seen; what only a type checker reads is not."""
    file = ROOT / "algorithms" / "imagined.py"
    source = "from ..engines import loader\nimport fastconv.planning.planner\ndef f():\n    from .. import operations\n"
    source += "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .. import tuning\n"

    class Imagined(type(file)):  # type: ignore[misc]
        def read_text(self, *_: object, **__: object) -> str:
            return source

    assert imported(Imagined(file)) == {"engines.loader", "planning.planner", "operations"}


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_nothing_slow_at_the_top(file: Path) -> None:
    """Nothing slow is imported where a module is loaded, but by the Numba engine, and doors to other libraries."""
    if {"numba_", "torch", "astropy", "overloads.py", "lowering.py"} & set(file.relative_to(ROOT).parts):
        return
    tops = {a.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.Import) for a in node.names}
    tops |= {str(n.module) for n in ast.parse(file.read_text()).body if isinstance(n, ast.ImportFrom) and not n.level}
    assert not [name for name in tops if any(name == s or name.startswith(s + ".") for s in SLOW)]


def loaded(code: str) -> set[str]:
    """Names in sys.modules after running some code in a fresh process."""
    code += "\nimport sys; print('\\n'.join(sys.modules))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FASTCONV_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return set(done.stdout.split())


def test_import_loads_nothing_slow() -> None:
    assert not loaded("import fastconv").intersection(SLOW)
    assert not loaded("import fastconv.numba_extension.answers").intersection(SLOW)


@pytest.mark.skipif(loader.absent("cython") is not None, reason="the compiled engine is absent: Numba must answer")
def test_first_calls_do_not_load_numba() -> None:
    code = """
import numpy as np, fastconv
for dtype in ("f4", "f8", "f2"):
    x, w = np.ones((1, 3, 9, 9), dtype), np.ones((4, 3, 3, 3), dtype)
    for mode in ("zeros", "reflect"):
        y = fastconv.conv2d(x, w, np.ones(4, dtype), padding=1, padding_mode=mode)
        fastconv.conv2d_backward(y, x, w, padding=1, padding_mode=mode)
fastconv.explain(x.shape, w.shape)
fastconv.list_backends(), fastconv.get_num_threads()
"""
    assert not loaded(code).intersection({"numba", "llvmlite", "matplotlib", "scipy.signal", "scipy.linalg", "torch"})


def test_public_names_exist() -> None:
    """``__all__`` holds what users are promised; what it says is checked by test_docstrings.py."""
    for name in fastconv.__all__:
        assert hasattr(fastconv, name)
    assert fastconv.__all__ == sorted(fastconv.__all__)
    wanted = {
        "conv2d", "conv2d_backward", "conv2d_grad_input", "conv2d_grad_weight", "Conv2dGradients", "list_backends",
        "get_backend", "register_backend", "explain", "set_num_threads", "get_num_threads", "num_threads",
        "show_config", "BackendRefused", "WorkspaceError", "ConvProblem", "Backend",
    }  # fmt: skip
    assert wanted <= set(fastconv.__all__)
    assert importlib.util.find_spec("fastconv") is not None
    assert (ROOT / "py.typed").exists()


DOORS = ("astropy", "dask", "ndimage", "nn", "signal", "torch")

OPENED = """
import importlib, os, sys, warnings
for name in ("astropy.convolution", "dask.array", "scipy.ndimage", "scipy.signal", "torch"):  # once for all
    try:
        importlib.import_module(name)
    except ImportError:
        pass
import fastconv
dir(fastconv)
print("open before:", [door for door in sys.argv[1:] if f"fastconv.{door}" in sys.modules])
warnings.simplefilter("ignore")  # of forks; the children only import
for door in sys.argv[1:]:
    for code in (f"import fastconv.{door}", "", f"from fastconv import {door}"):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            exec(code)
            found = locals()[door] if code.startswith("from") else getattr(fastconv, door)
            print(door, found.__name__ == f"fastconv.{door}", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_doors_open() -> None:
    """As a statement, as an attribute, by name, each in a child that has opened none; and none is open before."""
    doors = [door for door in DOORS if door not in ("astropy", "torch") or importlib.util.find_spec(door)]
    said = run_code(OPENED, *doors).splitlines()
    assert said == ["open before: []", *(f"{door} True" for door in doors for _ in range(3))]


def test_dir_shows_what_is_public() -> None:
    assert dir(fastconv) == sorted([*fastconv.__all__, "__version__", *DOORS])
    with pytest.raises(AttributeError, match="has no attribute 'doors'"):
        fastconv.doors  # noqa: B018
