"""``python -m fastconv.engines.stub`` writes ``kernels.pyi``: the steps of an engine as mypy sees them."""

from __future__ import annotations

from pathlib import Path

from .steps import STEPS, Argument

STUB = Path(__file__).with_name("kernels.pyi")
_TYPES = {"int": "int", "float": "float", "flag": "bool"}


def _type(a: Argument) -> str:
    return _TYPES.get(a.role, "Array") + " | None" * a.what.endswith("or none")


def stub() -> str:
    """The text of ``kernels.pyi``: the namespace that `loader.load` returns, as a type."""
    text = (
        "# Written by `python -m fastconv.engines.stub`: the steps of an engine as mypy sees them.\n"
        "from typing import Any, Protocol\n\nimport numpy as np\n\nArray = np.ndarray[Any, Any]\n\n"
        "class Kernels(Protocol):\n    SPLIT_UNITS: dict[str, int]\n\n"
    )
    for s in STEPS:
        lines = "".join(f"        {a.name}: {_type(a)},\n" for a in s.arguments)
        text += f"    def {s.name}(\n        self,\n{lines}        /,\n    ) -> {s.returns}: ...\n"
    return text


if __name__ == "__main__":
    STUB.write_text(stub())
