"""A line of `explain`: a backend, what became of it and why, and its figures."""

from __future__ import annotations

from typing import Literal, NamedTuple

#: chosen: as "named" by the caller or the "environment", "tuned" or "cheapest"; candidates: plain, the "fallback" of
#: the chosen one, what "compiles" first or depends on the weights ("by_value"); "refused" by the backend itself, for
#: its error ("tolerance") or for its scratch memory ("workspace")
Kind = Literal[
    "named", "environment", "tuned", "cheapest", "candidate", "fallback", "compiles", "by_value", "refused",
    "tolerance", "workspace",
]  # fmt: skip


class Row(NamedTuple):
    """What `explain` says of one backend: see `Explanation`."""

    backend: str
    status: Literal["chosen", "candidate", "refused"]
    kind: Kind
    reason: str
    flops: float
    bytes: float
    workspace_bytes: int
    predicted_seconds: float
    error_bound: float
    worst_case_bound: float
