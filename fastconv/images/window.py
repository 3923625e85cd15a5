"""What the windows of an image filter see, borders and all.

A border is two tables: the image row (column) of every row (column) that some output needs, -1 for ``cval``. A table
may begin and end anywhere, so that every size of output and any kernel larger than the image are the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from ..core.borders import sources
from ..core.typing import Array

#: positions of a window whose tables are kept
_KEPT = 1 << 14


@dataclass(frozen=True, eq=False)
class Window:
    """Which image row and column is seen where; output (i, j) sees rows[i : i + kh] and cols[j : j + kw]."""

    image: tuple[int, int]  # its rows and columns
    rows: Array
    cols: Array
    inside_rows: tuple[int, int]  # these rows of the table are neighbours in the image
    inside: tuple[int, int]  # these columns
    cval: float
    zeros: tuple[int, int] | None  # rows and columns before the image, where zeros lie around all of it
    kept: bool  # whether an equal call gets this very window again

    @cached_property
    def inner(self) -> Window:
        """The image without borders."""
        return window(self.image, (0, 0), self.image, ("zeros", "zeros"), 0.0)

    @cached_property
    def turned(self) -> Window:
        """The same of the image lying on its side."""
        zeros = self.zeros and (self.zeros[1], self.zeros[0])
        image = self.image[1], self.image[0]
        return Window(image, self.cols, self.rows, self.inside, self.inside_rows, self.cval, zeros, self.kept)


def window(
    shape: tuple[int, ...], first: tuple[int, int], count: tuple[int, int], mode: tuple[str, str], cval: float
) -> Window:
    """The window of an image of ``shape`` whose tables begin at ``first`` and hold ``count`` positions.

    ``mode`` holds names of `core.borders`; "zeros" stands for ``cval``.
    """
    kept = count[0] + count[1] <= _KEPT
    return (_kept_window if kept else _window)((shape[0], shape[1]), first, count, mode, float(cval), kept)


def _window(
    shape: tuple[int, int],
    first: tuple[int, int],
    count: tuple[int, int],
    mode: tuple[str, str],
    cval: float,
    kept: bool,
) -> Window:
    rows, cols = (sources(shape[k], first[k], count[k], mode[k]) for k in (0, 1))
    starts = [min(max(-a, 0), n) for a, n in zip(first, count, strict=True)]
    inside_rows, inside = ((s, max(s, min(shape[k] - first[k], count[k]))) for k, s in enumerate(starts))
    all_seen = all(a <= 0 and a + n >= size for a, n, size in zip(first, count, shape, strict=True))
    zeros = (-first[0], -first[1]) if all_seen and mode == ("zeros", "zeros") and cval == 0 else None
    return Window(shape, rows, cols, inside_rows, inside, cval, zeros, kept)


_kept_window = lru_cache(1024)(_window)
