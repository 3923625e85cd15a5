"""A run that was interrupted goes on where it was: what is done is kept in a file beside the results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastconv

if TYPE_CHECKING:
    from bench.run import Outcome


class Store:
    """
    The outcome so far, written after each group; it fits a run of the same settings, threads and version only.

    Parameters
    ----------
    path : Path
        The file; it is removed by `done`.
    settings : dict
        Plain JSON; whatever decides what is measured.
    """

    def __init__(self, path: Path, settings: dict[str, Any]):
        self.path = path
        self.settings = json.loads(json.dumps({**settings, "version": fastconv.__version__}))
        self.groups: list[str] = []

    def load(self, outcome: Outcome) -> int:
        """Put what an interrupted run of these settings left into `outcome`; how many groups that are."""
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0
        if not isinstance(kept, dict) or kept.get("settings") != self.settings:
            return 0
        for name, entries in kept["outcome"].items():
            getattr(outcome, name).extend(entries)
        self.groups = kept["groups"]
        return len(self.groups)

    def add(self, group: str, outcome: Outcome) -> None:
        """Note that a group is done; a write that is cut short leaves the file as it was."""
        self.groups.append(group)
        text = json.dumps({"settings": self.settings, "groups": self.groups, "outcome": vars(outcome)})
        part = self.path.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.replace(self.path)

    def done(self) -> None:
        """The results are written: nothing is left to resume."""
        self.path.unlink(missing_ok=True)
