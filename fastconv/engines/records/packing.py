"""How records become arrays, places in them, and C structs."""

from __future__ import annotations

from typing import Any, TypeVar, get_type_hints

import numpy as np

Record = TypeVar("Record", bound=tuple)  # type: ignore[type-arg]


def pack(record: tuple[Any, ...]) -> np.ndarray[Any, Any]:
    """A record as an array of intp, as steps take it."""
    packed = np.array(_numbers(record), np.intp)
    packed.setflags(write=False)  # it is kept and shared
    return packed


def _numbers(record: tuple[Any, ...]) -> list[int]:
    return [n for field in record for n in (_numbers(field) if isinstance(field, tuple) else (field,))]


def places(kind: type[Record], start: int = 0) -> Record:
    """A record whose fields are their own places: ``array[places(Kind).field]``."""
    found: list[Any] = []
    for inner in _kinds_of_fields(kind):
        found.append(places(inner, start) if inner else start)
        start += length(inner) if inner else 1
    return kind(*found)


def length(kind: type[Any]) -> int:
    """Numbers of a packed record."""
    return sum(length(inner) if inner else 1 for inner in _kinds_of_fields(kind))


def _kinds_of_fields(kind: type[Any]) -> list[type[Any] | None]:
    """Which record each field is; None: a number."""
    return [None if found is int else found for found in get_type_hints(kind).values()]


def cython_source(kinds: dict[str, type[Any]]) -> str:
    """The C structs of records, and for each a function that reads one from an array."""
    text = "# Written by setup.py from engines/records: a struct a record, and how a step reads it.\n"
    for name, kind in kinds.items():
        inner = [found.__name__ if found else "" for found in _kinds_of_fields(kind)]
        named = list(zip(inner, kind._fields, strict=True))
        fields = "".join(f"        {record or 'intp'} {field}\n" for record, field in named)
        members = "".join(f"        {record or 'ptrdiff_t'} {field};\n" for record, field in named)
        text += f"""

cdef extern from *:
    \"\"\"
    typedef struct {{
{members}    }} {name};
    \"\"\"
    ctypedef struct {name}:
{fields}

cdef inline const {name}* read_{name}(cnp.ndarray a) except NULL:
    if cnp.PyArray_SIZE(a) != {length(kind)}:
        raise ValueError("a record of {name} has {length(kind)} numbers")
    return <const {name}*> cnp.PyArray_DATA(a)
"""
    return text
