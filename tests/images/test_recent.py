"""What is kept for kernels: found again by their numbers, the last ones of each call."""

import pytest

from fastconv.images.recent import _BYTES, _KERNELS, ByKernel


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


def test_large_kernels_do_not_pile_up() -> None:
    made: list[bytes] = []

    @ByKernel
    def make(kernel: bytes) -> int:
        made.append(kernel[:1])
        return len(made)

    halves = [bytes([i]) * (_BYTES // 2) for i in range(3)]
    assert [make(k) for k in halves] == [1, 2, 3] and make(halves[1]) == 2 and make(halves[0]) == 4
    large = [bytes([i]) * (2 * _BYTES) for i in range(2)]
    assert make(large[0]) == 5 == make(large[0]) and make(large[1]) == 6 and make(large[0]) == 7
