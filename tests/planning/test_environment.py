"""What the environment variables do, each in a process of its own."""

import json
import sys

import pytest

import fastconv
from fastconv.core.problem import ConvProblem
from fastconv.engines import loader
from tests import battery, child

CHOICE = """
import fastconv, json
e = fastconv.explain((2, 8, 14, 15), (16, 8, 3, 3))
row = next(r for r in e.rows if r["status"] == "chosen")
print(json.dumps([row["backend"], row["reason"]]))
"""

TABLE = """
import sys
from fastconv.engines import loader
from fastconv.core.problem import PASSES
from tests import battery
from tests.problems import EDGE_PROBLEMS, with_dtype
assert loader.isa() == sys.argv[1], loader.isa()
problems = [with_dtype(t, dtype) for t in EDGE_PROBLEMS[::5] for dtype in ("float32", "float64")]
names = [name for name in battery.backends() if name.endswith("/cython")]
assert names
failed = [m for name in names for pass_ in PASSES for m in battery.failures(name, pass_, problems)]
print(f"{len(failed)} failures", *failed, sep="\\n")
"""


def choice(**environment: str) -> tuple[str, str]:
    name, why = json.loads(child.run_code(CHOICE, **environment))
    return name, why


@pytest.fixture(scope="module")
def free() -> tuple[str, str]:
    """What is chosen where nothing is set."""
    return choice()


@pytest.mark.parametrize("name", battery.backends())
def test_backend(name: str, free: tuple[str, str]) -> None:
    """FASTCONV_BACKEND decides for `auto` wherever that backend can do the call."""
    p = ConvProblem.from_shapes((2, 8, 14, 15), (16, 8, 3, 3))
    refused = fastconv.get_backend(name).refuse(p, "forward")
    assert choice(FASTCONV_BACKEND=name) == (free if refused else (name, "FASTCONV_BACKEND"))


def test_backend_by_algorithm(free: tuple[str, str]) -> None:
    assert choice(FASTCONV_BACKEND="naive")[0].startswith("naive/")
    assert choice(FASTCONV_BACKEND="auto") == free
    assert choice(FASTCONV_BACKEND="") == free


def test_named_backend_wins() -> None:
    code = "import fastconv; print(fastconv.explain((1, 1, 5, 5), (1, 1, 3, 3), backend='naive/cython').chosen)"
    if loader.absent("cython"):
        code = code.replace("cython", "numba")
    assert child.run_code(code, FASTCONV_BACKEND="reference").strip().startswith("naive/")


def test_unknown_backend() -> None:
    done = child.run(
        "-c",
        "import fastconv, numpy as np; a = np.ones((1, 1, 3, 3)); fastconv.conv2d(a, a)",
        check=False,
        FASTCONV_BACKEND="nonsense",
    )
    assert done.returncode == 1
    assert "ValueError" in done.stderr
    assert "FASTCONV_BACKEND" in done.stderr
    assert "nonsense" in done.stderr


@pytest.mark.parametrize(("value", "threads"), [("1", 1), ("3", 3), ("7", 7)])
def test_threads(value: str, threads: int) -> None:
    code = "import fastconv; print(fastconv.get_num_threads())"
    assert int(child.run_code(code, FASTCONV_NUM_THREADS=value)) == threads


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", "2 3"])
def test_bad_threads(value: str) -> None:
    """A nonsense number warns by name and is not used."""
    done = child.run("-c", "import fastconv; print(fastconv.get_num_threads())", FASTCONV_NUM_THREADS=value)
    assert int(done.stdout) >= 1
    assert "FASTCONV_NUM_THREADS" in done.stderr
    assert value in done.stderr


def test_threads_follow_the_cores_allowed() -> None:
    if not hasattr(__import__("os"), "sched_setaffinity"):
        pytest.skip("this system cannot pin a process to a core")
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import fastconv; print(fastconv.get_num_threads())
"""
    assert int(child.run_code(code)) == 1


@pytest.mark.parametrize("isa", battery.instruction_sets()[1:])
def test_other_instruction_sets(isa: str) -> None:
    """The compiled kernels of each instruction set pass every fifth problem; `make test-isa` has the whole battery."""
    output = child.run("-c", TABLE, isa, FASTCONV_ISA=isa.replace("_", "-")).stdout
    assert output.startswith("0 failures"), output


@pytest.mark.skipif(loader.absent("cython") is not None, reason="the compiled engine is absent")
def test_unknown_instruction_set() -> None:
    done = child.run("-c", "from fastconv.engines import loader; print(loader.isa())", FASTCONV_ISA="x86-64-v9")
    assert done.stdout.strip() == loader.isa()
    assert "FASTCONV_ISA" in done.stderr


def test_without_compiled_kernels() -> None:
    """Where no C compiler was at hand the Numba engine answers, and explain says why the other does not."""
    code = """
import sys
sys.modules["fastconv.engines.cython_._cpu"] = None  # an import of it fails
import numpy as np, fastconv
x, w = np.ones((1, 2, 6, 6), np.float32), np.ones((3, 2, 3, 3), np.float32)
assert (fastconv.conv2d(x, w) == 18).all()
e = fastconv.explain(x.shape, w.shape)
assert e.chosen.endswith("/numba"), e.chosen
for row in e.rows:
    if row["backend"].endswith("/cython"):
        assert row["status"] == "refused" and "not built" in row["reason"], row
try:
    fastconv.conv2d(x, w, backend="naive/cython")
except fastconv.BackendRefused as error:
    print("refused:", error)
"""
    assert child.run_code(code).startswith("refused: naive/cython")


def test_python_is_this_one() -> None:
    assert child.run_code("import sys; print(sys.version)").strip() == sys.version.strip()
