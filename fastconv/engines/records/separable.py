"""Columns, then rows."""

from __future__ import annotations

from typing import NamedTuple


class SeparableBands(NamedTuple):
    """Columns, then rows: an image and group is cut into bands of output rows."""

    sh: int
    sw: int
    pt: int  # padding; below zero rows or columns of x are left out
    pl: int
    dh: int
    dw: int
    bands: int
    rows: int  # of a band, at most
    wph: int  # numbers of a column phase of a buffered row
    per_thread: int  # numbers of scratch memory
