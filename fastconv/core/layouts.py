"""Where channels lie: images of either layout seen as (N, C, H, W), and as memory holds them.

``layout`` says how a caller counts axes, ``last`` how memory holds them: the two are independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .typing import Array

LAYOUTS = ("NCHW", "NHWC")
_FORMS = {False: ("(N, C, H, W)", "(C, H, W)"), True: ("(N, H, W, C)", "(H, W, C)")}


def is_nhwc(layout: Any) -> bool:
    """The argument, checked.

    Raises
    ------
    ValueError
        If it is none of `LAYOUTS`.
    """
    if layout == "NCHW":
        return False
    if layout == "NHWC":
        return True
    raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")


def seen(name: str, a: Array, nhwc: bool) -> Array:
    """A view of an image argument as (N, C, H, W) or (C, H, W)."""
    if not nhwc:
        return a
    return a.transpose(channels_first(name, range(a.ndim), nhwc))


def channels_first(name: str, axes: Any, nhwc: bool) -> Any:
    """A shape, or axes, of an image argument in the order (N, C, H, W) or (C, H, W).

    Raises
    ------
    ValueError
        If there are neither three nor four, of NHWC.
    """
    if not nhwc:
        return axes
    if len(axes) not in (3, 4):
        raise ValueError(f"{name} must have shape {' or '.join(_FORMS[nhwc])}, got {len(axes)} axes")
    return (*axes[:-3], axes[-1], axes[-3], axes[-2])


def shape_forms(nhwc: bool) -> tuple[str, str]:
    """The shapes that an image may have, in words."""
    return _FORMS[nhwc]


def shown(shape: tuple[int, ...], nhwc: bool) -> tuple[int, ...]:
    """A shape (.., C, H, W) as the caller counts."""
    return (*shape[:-3], *shape[-2:], shape[-3]) if nhwc else shape


def lies_last(a: Array) -> bool:
    """Whether the channels of ``a`` (.., C, H, W) lie last in memory.

    Contiguous arrays say it themselves. Else PyTorch's rule (``is_channels_last_strides_2d``): strides grow from C over
    W and H to N; where one channel or one pixel leaves both possible, strides of axes of length one decide.
    """
    if a.ndim not in (3, 4):
        return False
    first, last = a.flags.c_contiguous, _moved(a).flags.c_contiguous
    if first != last:
        return last
    return grow_from_channels(a.shape, a.strides)


def lies_either_way(a: Array) -> bool:
    """Whether ``a`` (.., C, H, W) is contiguous both ways: one channel or one pixel."""
    return bool(a.flags.c_contiguous and _moved(a).flags.c_contiguous)


def _moved(a: Array) -> Array:
    """The channels of ``a`` (.., C, H, W) as its last axis."""
    return a.transpose(0, 2, 3, 1) if a.ndim == 4 else a.transpose(1, 2, 0)


def grow_from_channels(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """PyTorch's rule for an image (.., C, H, W) by its strides, of bytes or elements."""
    c = abs(strides[-3])
    if not c:
        return False
    least = 0
    for axis in (-3, -1, -2, -4)[: len(shape)]:
        size, step = shape[axis], abs(strides[axis])
        if not size or step < least or (axis == -4 and least == c):
            return False
        least = step * size
    return len(shape) == 4 or least != c


def lying(a: Array, nhwc: bool) -> bool:
    """Whether an operand (.., C, H, W) is taken with channels last: as it lies, else as its caller counts."""
    return lies_last(a) or (nhwc and not a.flags.c_contiguous)


def stored(a: Array, last: bool, nhwc: bool = False) -> Array:
    """What a caller counts by a layout as a view of memory: (N, C, H, W), or (N, H, W, C) if channels lie last."""
    if a.ndim == 3:
        a = a[None]
    if last == nhwc:
        return a
    return a.transpose(0, 2, 3, 1) if last else a.transpose(0, 3, 1, 2)


def returned(a: Array, last: bool, nhwc: bool, unbatched: bool) -> Array:
    """What memory holds, `stored`, as the caller counts."""
    if last != nhwc:
        a = a.transpose(0, 3, 1, 2) if last else a.transpose(0, 2, 3, 1)
    return a[0] if unbatched else a
