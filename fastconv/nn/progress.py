"""Progress of a long run: a bar by rich where it is installed, else a line an epoch, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(total: int, show: bool) -> Iterator[Callable[[int, str], None]]:
    """A function to call with how much is done, of total, and what there is to say; all goes to stderr."""
    if not show:
        yield lambda done, text: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        yield _plain(total)
        return
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, text: bar.update(task, completed=done, description=text)


def _plain(total: int) -> Callable[[int, str], None]:
    last = ""

    def say(done: int, text: str) -> None:
        nonlocal last
        if text != last:
            print(f"{100 * done // max(1, total):3} % {text}", file=sys.stderr)
        last = text

    return say
