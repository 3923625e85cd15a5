"""Layers, losses and optimisers say in numpydoc what they take, compute and raise, and where it is from."""

import inspect
import re
from typing import Any

import pytest

from fastconv import nn
from tests.test_docstrings import entries, problems, sections

CLASSES = [n for n in nn.__all__ if isinstance(getattr(nn, n), type)]
FUNCTIONS = [nn.fit, nn.predict, nn.accuracy]
FUNCTIONS += [getattr(m, n) for m, names in (
    (nn.init, ("fans", "normal", "he", "xavier")),
    (nn.schedules, ("step", "cosine", "exponential")),
    (nn.augment, ("flip", "shift", "crop", "rotate", "noise")),
) for n in names]  # fmt: skip
#: what the base of all its kind says
BASES = {"Layer", "Loss", "Optimiser", "Parameter", "History", "Compiled"}


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name: str) -> None:
    kind: Any = getattr(nn, name)
    parts = sections(kind.__doc__ or "")
    told, wanted = entries(parts.get("Parameters", [])), list(inspect.signature(kind).parameters)
    if name in ("Layer", "History"):
        wanted = []
    assert set(told) - {"*layers", "*branches"} == set(wanted) - {"layers", "branches"}
    if name not in BASES:
        assert re.search(r"``.*=|``mean", " ".join(parts["Summary"])), "no formula"
        assert re.search(r"\((19|20)\d\d\)", " ".join(parts["References"])), "no source"


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__qualname__)
def test_functions(function: Any) -> None:
    assert not problems(function)


@pytest.mark.parametrize("name", nn.__all__)
def test_public_names(name: str) -> None:
    assert hasattr(nn, name)


def test_all_layers_say_what_they_take() -> None:
    """Of which dtypes, in which shapes, by themselves or by their base."""
    assert "float32 or float64" in (nn.Layer.__doc__ or "")
    for name in CLASSES:
        kind = getattr(nn, name)
        if issubclass(kind, nn.Layer) and name not in BASES and kind.__mro__[1].__name__ != "Activation":
            assert re.search(r"\(N, |any shape|layers|x'|body\(x\)|f_1\(x\)", kind.__doc__ or ""), name
