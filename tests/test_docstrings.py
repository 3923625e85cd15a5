"""Every public function says in numpydoc what it takes, returns and raises."""

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

import fastconv
from fastconv import ndimage, signal

#: functions that check nothing, since they take nothing
WITHOUT_ERRORS = {"get_num_threads", "list_backends", "release_workspace", "show_config"}
#: public classes whose calls are documented like functions
METHODS = (fastconv.Conv2dPlan.__call__, fastconv.Conv2dPlan.update)
ARRAYS = ("Array", "ArrayLike", "Numbers")


def functions() -> Iterator[Callable[..., Any]]:
    doors = [ndimage, signal]
    doors += [import_module(f"fastconv.{name}") for name in ("astropy", "dask", "torch") if find_spec(name) is not None]
    for module in (fastconv, *doors):
        for name in module.__all__:
            found = getattr(module, name)
            if not isinstance(found, type):
                yield found
    yield from METHODS


def sections(text: str) -> dict[str, list[str]]:
    """The lines below every underlined head; those before the first are called ``Summary``."""
    found: dict[str, list[str]] = {"Summary": []}
    current, lines = found["Summary"], inspect.cleandoc(text).splitlines()
    for k, line in enumerate(lines):
        if k + 1 < len(lines) and line and re.fullmatch("-{3,}", lines[k + 1]):
            assert len(lines[k + 1]) == len(line), f"the line below {line!r} is not as long"
            current = found[line] = []
        elif not (line and set(line) == {"-"}):
            current.append(line)
    return found


def entries(lines: list[str]) -> dict[str, str]:
    """What every name of a section is, with the text below it; names that share an entry share the text."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        if line and not line.startswith(" "):
            head, _, kind = line.partition(" : ")
            names = [n.strip() for n in head.split(",")]
            found.update(dict.fromkeys(names, kind))
        else:
            found.update({n: f"{found[n]} {line.strip()}".strip() for n in names})
    return found


def parameters(function: Callable[..., Any]) -> list[str]:
    return [n for n in inspect.signature(function).parameters if n != "self"]


def problems(function: Callable[..., Any]) -> list[str]:
    """What the docstring of a function lacks."""
    text = inspect.getdoc(function)
    if not text:
        return ["no docstring"]
    parts, found = sections(text), []
    if not parts["Summary"][0].endswith("."):
        found.append("the summary is no sentence on one line")
    told, wanted = entries(parts.get("Parameters", [])), parameters(function)
    lacking, odd = [n for n in wanted if n not in told], [n for n in told if n not in wanted]
    if lacking or odd:
        found.append(f"Parameters: lacks {lacking}, has {odd}")
    annotations = {k: str(v) for k, v in function.__annotations__.items()}
    for name in wanted:
        words = annotations.get(name, "")
        array = name != "out" and any(re.search(rf"\b{a}\b", words) for a in ARRAYS)
        if name in told and array and not re.search(r"\(|[Aa]s |like|shape|sequence", told[name]):
            found.append(f"Parameters: {name} has no shape")
    returned = annotations.get("return", "missing")
    if (returned == "None") == ("Returns" in parts or "Yields" in parts):
        found.append(f"Returns: the annotation is {returned}")
    if returned == "Array" and not re.search(r"\(|like|shape", " ".join(parts.get("Returns", []))):
        found.append("Returns: no shape")
    if "Raises" not in parts and function.__name__ not in WITHOUT_ERRORS:
        found.append("Raises: missing")
    for name in entries(parts.get("Raises", [])):
        known = getattr(fastconv, name, None) or getattr(__import__("builtins"), name, None)
        if not (isinstance(known, type) and issubclass(known, Exception)):
            found.append(f"Raises: {name} is no exception")
    return found


@pytest.mark.parametrize("function", list(functions()), ids=lambda f: f"{f.__module__}.{f.__qualname__}")
def test_docstring(function: Callable[..., Any]) -> None:
    assert not problems(function)


@pytest.mark.parametrize("name", [n for n in fastconv.__all__ if isinstance(getattr(fastconv, n), type)])
def test_classes(name: str) -> None:
    """A docstring of its own, which names every field of a record."""
    found = getattr(fastconv, name)
    assert found.__doc__ and found.__doc__ != getattr(found.__base__, "__doc__", None)
    assert not found.__doc__.startswith(f"{name}("), "the docstring is NamedTuple's"


def test_dtypes_are_told() -> None:
    """Whoever is called with images says, itself or by reference, of which dtypes."""
    for function in functions():
        wanted = [n for n in parameters(function) if str(function.__annotations__.get(n)) == "ArrayLike"]
        if wanted:
            text = inspect.getdoc(function) or ""
            assert re.search(r"float\d\d|dtype|As in|As `|forward call|real", text), function.__name__


def test_no_public_signature_says_any() -> None:
    """`Any` tells a caller nothing; what a few calls return depends on an argument."""
    allowed = {("max_pool2d", "return")}
    vague = {
        (f.__name__, name)
        for f in functions()
        for name, kind in f.__annotations__.items()
        if re.search(r"\bAny\b", str(kind))
    }
    assert vague <= allowed


def complete(x: Any, n: int) -> Any:
    """Do it.

    Parameters
    ----------
    x : array (H, W)
    n : int

    Returns
    -------
    ndarray (H, W)

    Raises
    ------
    ValueError
        For other arrays.
    """
    return x * n


def test_the_parser_would_notice() -> None:
    """Each part that is taken out of a docstring is missed."""
    complete.__annotations__.update(x="Array")
    complete.__annotations__["return"] = "Array"
    whole = complete.__doc__ or ""
    assert not problems(complete)
    cuts = {
        "    n : int\n": "",
        "x : array (H, W)": "x : array",
        "    ndarray (H, W)\n": "    ndarray\n",
        "Do it.": "Do it",
        "    Raises\n    ------\n    ValueError\n        For other arrays.\n": "",
        "    Returns\n    -------\n": "",
        "    Parameters\n    ----------\n": "",
    }
    for cut, put in cuts.items():
        assert cut in whole
        complete.__doc__ = whole.replace(cut, put, 1)
        assert problems(complete), cut
    complete.__doc__ = whole.replace("ValueError", "ValuError")
    assert problems(complete) == ["Raises: ValuError is no exception"]
    complete.__doc__ = whole
