"""What is SciPy's: functions that a door hands calls on to, and names that it passes through.

A program may put a door's functions in SciPy's place (`fastconv.patch_scipy`, or by hand). What is handed on goes to
the functions as SciPy defines them, whatever stands under their names by then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from types import ModuleType
from typing import Any, ParamSpec

from ..core.typing import Array

P = ParamSpec("P")


@cache
def original(package: str, name: str) -> Any:
    """The function that SciPy itself gives a name to; ``package`` is imported on first use."""
    module = import_module(package)
    below = [m for key, m in sorted(sys.modules.items()) if key.startswith(f"{package}.")]
    places = [vars(m).get(name) for m in (module, *below) if isinstance(m, ModuleType)]
    owned = [f for f in places if callable(f) and str(getattr(f, "__module__", "")).startswith(f"{package}.")]
    if not owned:
        raise AttributeError(f"module {package!r} has no function {name!r}")
    return owned[0]


def or_scipys(package: str) -> Callable[[Callable[P, Array | None]], Callable[P, Array]]:
    """A function that answers None where SciPy must do it becomes one that asks SciPy then, with the same arguments."""

    def door(function: Callable[P, Array | None]) -> Callable[P, Array]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Array:
            found = function(*args, **kwargs)
            if found is None:
                found = original(package, function.__name__)(*args, **kwargs)
            return found  # type: ignore[no-any-return]

        return call

    return door


def passed_through(package: str, door: str, name: str) -> Any:
    """A public name of SciPy's module, for the ``__getattr__`` of a door."""
    if not name.startswith("_") and hasattr(module := import_module(package), name):
        return getattr(module, name)
    raise AttributeError(f"module {door!r} has no attribute {name!r}")


def names(package: str, own: list[str]) -> list[str]:
    """The public names of SciPy's module and those of a door, for its ``__dir__``."""
    return sorted({*own, *(name for name in dir(import_module(package)) if not name.startswith("_"))})
