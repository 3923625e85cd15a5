"""What `bench calibrate` measures is measured: its steps are called as the contract says."""

import pytest

pytest.importorskip("rich")
from bench import calibrate


@pytest.mark.parametrize("threads", [1, 2])
def test_a_launch_takes_time(threads: int) -> None:
    assert 0 < calibrate.launch_us(threads) < 1e6
