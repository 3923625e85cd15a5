"""Types of arguments, and what a function of this door does that SciPy must answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

from numpy.typing import DTypeLike

from ..core.typing import Array
from ..images.originals import or_scipys, original

PACKAGE = "scipy.ndimage"

#: an array that is filled, or a dtype
Output: TypeAlias = Array | DTypeLike | None
#: one for all axes, or one each
Modes: TypeAlias = str | Sequence[str]
Ints: TypeAlias = int | Sequence[int]
Floats: TypeAlias = float | Sequence[float]

door = or_scipys(PACKAGE)
scipys = partial(original, PACKAGE)
