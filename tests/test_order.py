"""The order of the tests: what compiles first, who finds it compiled last."""

from types import SimpleNamespace
from typing import Any

from tests.conftest import pytest_collection_modifyitems

FIRST, BETWEEN, LAST = "algorithms/test_battery.py", "nn/test_losses.py", "algorithms/test_bounds.py"


def test_steps_are_compiled_by_one_process() -> None:
    names = [
        f"{LAST}::test_near[direct/cython]",
        f"{FIRST}::test_edges[direct/cython]",
        f"{FIRST}::test_edges[direct/numba]",
        f"{LAST}::test_near[direct/numba]",
        f"{BETWEEN}::test_value",
        "engines/test_numba_steps.py::test_sums",
        "test_imports.py::test_rules[engines.numba_.direct]",
        "bench/test_bench.py::test_what_surrounds_a_run_is_measured",  # of every backend
    ]
    items: Any = [SimpleNamespace(nodeid=name) for name in names]
    pytest_collection_modifyitems(items)
    assert [item.nodeid for item in items] == [names[k] for k in (1, 2, 4, 6, 0, 3, 5, 7)]
