"""Calls of steps, kept with their arrays, so that they can be made again without the Python around them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Calls = list[tuple[Callable[..., Any], tuple[Any, ...]]]


class _Local(threading.local):
    calls: Calls | None = None


_local = _Local()


class Recorder:
    """An engine's steps, each of which is written down and made."""

    def __init__(self, steps: Any, calls: Calls) -> None:
        self._steps, self._calls = steps, calls

    def __getattr__(self, name: str) -> Any:
        step = getattr(self._steps, name)
        if not callable(step):
            return step

        def call(*args: Any) -> Any:
            self._calls.append((step, args))
            return step(*args)

        return call


def heard(steps: Any) -> Any:
    """The steps, or their recorder while this thread records."""
    return steps if _local.calls is None else Recorder(steps, _local.calls)


@contextmanager
def recording() -> Iterator[Calls]:
    """Every step that this thread calls meanwhile."""
    before, _local.calls = _local.calls, []
    try:
        yield _local.calls
    finally:
        _local.calls = before
