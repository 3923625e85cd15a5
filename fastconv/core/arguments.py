"""Checks of numbers that a caller gives: integers, pairs, paddings, shapes. Every message names the argument."""

from __future__ import annotations

import operator
from functools import cache
from typing import Any

Pads = tuple[tuple[int, int], tuple[int, int]]

PADDING_NAMES = ("valid", "same", "full")
_MOST = 2**62
_MOST_STEP = 2**31 - 1  # times a row of pixels it is still an address
_EITHER = "or a (height, width) pair"


def integer(name: str, value: Any, minimum: int, maximum: int = _MOST, more: str = "") -> int:
    """A checked int: NumPy integers pass, booleans and floats do not; ``more`` says what else is taken.

    Raises
    ------
    TypeError
        If ``value`` is no integer.
    ValueError
        If it is out of range.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        i = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be an integer of at least {minimum}{more and f' {more}'}, got {value!r}"
        ) from None
    if not minimum <= i <= maximum:
        limit = f"at least {minimum}" if i < minimum else f"at most {maximum}"
        raise ValueError(f"{name} must be {limit}, got {value!r}")
    return i


def pair(name: str, value: Any, minimum: int, maximum: int = _MOST) -> tuple[int, int]:
    """An int for both axes, or a (height, width) pair, a tuple or a list; one of one number is that for both.

    Raises
    ------
    TypeError, ValueError
        As `integer`; ValueError also for more than two numbers.
    """
    if isinstance(value, (tuple, list)):
        if len(value) not in (1, 2):
            raise ValueError(f"{name} must be an integer {_EITHER}, got {value!r}")
        return integer(name, value[0], minimum, maximum), integer(name, value[-1], minimum, maximum)
    i = integer(name, value, minimum, maximum, f"{_EITHER}, a tuple or a list")
    return i, i


def step_pair(name: str, value: Any) -> tuple[int, int]:
    """A stride or a dilation."""
    return pair(name, value, 1, _MOST_STEP)


def paddings(padding: Any, axes: tuple[tuple[int, int, int, int], ...]) -> Pads:
    """((top, bottom), (left, right)) from any accepted form; ``axes`` holds (size, k, stride, dilation).

    Raises
    ------
    TypeError, ValueError
        As `pair`; ValueError also for an unknown name.
    """
    if isinstance(padding, str):
        if padding not in PADDING_NAMES:
            raise ValueError(f"padding must be integers or one of {', '.join(PADDING_NAMES)}, got {padding!r}")
        rows, cols = (_named_padding(padding, *axis) for axis in axes)
        return rows, cols
    return padding_pairs(padding)


def padding_pairs(padding: Any) -> Pads:
    """((top, bottom), (left, right)) from padding in numbers.

    Raises
    ------
    TypeError, ValueError
        As `pair`.
    """
    forms = "a (height, width) pair or ((top, bottom), (left, right))"
    if isinstance(padding, (tuple, list)) and len(padding) == 1 and not isinstance(padding[0], (tuple, list)):
        padding = padding[0]
    if not isinstance(padding, (tuple, list)):
        i = integer("padding", padding, 0, more=f"or {forms}")
        return (i, i), (i, i)
    if len(padding) != 2 or any(isinstance(ends, (tuple, list)) and len(ends) != 2 for ends in padding):
        raise ValueError(f"padding must be an integer, {forms}, got {padding!r}")
    return pair("padding", padding[0], 0), pair("padding", padding[1], 0)


def _named_padding(name: str, size: int, k: int, stride: int, dilation: int) -> tuple[int, int]:
    reach = dilation * (k - 1)
    if name == "valid":
        return 0, 0
    if name == "full":
        return reach, reach
    total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)  # the odd pixel goes to the end
    return total // 2, total - total // 2


def shape_of(name: str, shape: Any, form: str, *more: str) -> tuple[int, ...]:
    """A tuple of integers of one of the forms, "(Ci, H, W)" say, whose commas tell the number of axes.

    Raises
    ------
    TypeError
        If ``shape`` is no sequence of integers.
    ValueError
        For a negative number, or a number of axes that no form has.
    """
    try:
        s = tuple([v if type(v) is int and v >= 0 else integer(name, v, 0) for v in shape])
    except TypeError:
        raise TypeError(f"{name} must be a tuple of integers {' or '.join((form, *more))}, got {shape!r}") from None
    if len(s) not in _axes(form, *more):
        raise ValueError(f"{name} must have shape {' or '.join((form, *more))}, got {s}")
    return s


@cache
def _axes(*forms: str) -> set[int]:
    return {f.count(",") + 1 for f in forms}
