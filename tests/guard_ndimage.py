"""Filters of arrays between forbidden pages, scratch memory too: one byte too far ends this process.

python -m tests.guard_ndimage
"""

from typing import Any

import numpy as np

from fastconv import ndimage
from fastconv.core import workspace
from tests.guard import Guarded

#: stacks of rows, of planes, channels; narrow ones, turned ones, slabs with a rest
SHAPES: list[tuple[int, ...]] = [
    (37,), (3, 5), (600, 7), (7, 600), (4, 9, 11), (9, 11, 4), (5, 70, 90), (41, 80, 90), (2, 3, 4, 5), (700, 3, 2),
]  # fmt: skip


def calls(ndim: int) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    found: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("gaussian_filter", (1.5,), {}),
        ("uniform_filter", (4,), {}),
        ("laplace", (), {}),
        ("gaussian_gradient_magnitude", (0.7,), {}),
    ]
    for axis in range(ndim):
        found += [("correlate1d", (np.arange(1.0, 6.0),), {"axis": axis}), ("uniform_filter1d", (5, axis), {})]
        if axis:
            found += [("correlate", (np.ones((3, 4)),), {"axes": (axis - 1, axis)})]
    return found


def main() -> None:
    """Every filter on every shape; the call at work is printed before it."""
    guarded = Guarded()
    workspace.SMALL = 0  # all scratch memory is borrowed
    for at_end in (True, False):
        workspace.borrow = lambda dtype, nbytes: guarded.empty((-(-nbytes // 64) * 64,), "u1", at_end).view(dtype)  # noqa: B023
        workspace.give_back = lambda dtype, array: None
        for dtype in ("uint8", "float32", "float64"):
            for shape in SHAPES:
                image = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
                for name, rest, kwargs in calls(len(shape)):
                    print(at_end, dtype, shape, name, rest, kwargs, flush=True)
                    want = getattr(ndimage, name)(image, *rest, **kwargs)
                    x, y = guarded.copy(image, at_end), guarded.empty(shape, dtype, at_end)
                    getattr(ndimage, name)(x, *rest, output=y, **kwargs)
                    np.testing.assert_array_equal(y, want)
                    guarded.close()


if __name__ == "__main__":
    main()
