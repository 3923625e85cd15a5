"""What is kept for kernels: found again by their numbers, the last ones of each call."""

import pytest

from fastconv.images.recent import _KERNELS, ByKernel


def test_kernels_are_compared_and_the_last_ones_kept() -> None:
    made: list[tuple[bytes, object]] = []

    @ByKernel
    def make(kernel: bytes, n: object) -> int:
        made.append((kernel, n))
        return len(made)

    names = [bytes([i]) for i in range(_KERNELS)]
    assert [make(name, 3) for name in names] == [1, 2, 3, 4] == [make(bytes(bytearray(name)), 3) for name in names]
    assert make(names[0], 3.0) == 5 and make(names[0], True) == 6  # by type, too
    assert make(b"one more", 3) == 7 and make(names[-1], 3) == 4
    assert make(names[0], 3) == 8  # the oldest was forgotten
    with pytest.raises(TypeError):
        make(names[0], [])
    make.cache_clear()
    assert make(names[0], 3) == 9
