"""Scratch memory that is booked by name."""

import numpy as np
import pytest

from fastconv.core.workspace import Scratch, aligned


def test_parts_are_apart_and_aligned() -> None:
    room = Scratch("float32")
    starts = [room.book("a", 3), room.book("b", 2, 17), room.book("none", 0), room.book("c", 16)]
    assert starts == [0, 16, 64, 64] and room.numbers == 80 and room.nbytes == 320
    work = aligned("float32", room.nbytes + 64)
    parts = room.take(work)
    assert parts["b"].shape == (2, 17) and parts["rest"].size == work.size - 80
    for k, name in enumerate("abc"):
        assert parts[name].ctypes.data % 64 == 0
        parts[name][...] = k
    assert [parts[name].min() == parts[name].max() == k for k, name in enumerate("abc")] == [True] * 3


def test_a_name_is_booked_once_and_memory_must_suffice() -> None:
    room = Scratch("float64")
    room.book("a", 9)
    with pytest.raises(ValueError, match="a is booked already"):
        room.book("a", 1)
    with pytest.raises(ValueError, match="at least 16 numbers, got 15"):
        room.take(np.empty(15))
