"""What a tape hears: the steps of its own thread, with their arrays, and nothing when it is off."""

import threading

import numpy as np

from fastconv.engines import loader
from fastconv.engines.tape import recording


def test_steps_are_written_down_and_made() -> None:
    x, y = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2), np.empty((1, 2, 2, 2), np.float32)
    with recording() as calls:
        loader.first("float32").to_channels_last(x, y, 1)
        other = threading.Thread(target=lambda: loader.first("float32").to_channels_last(x, y.copy(), 1))
        other.start()
        other.join()
    assert [args[1] is y for _, args in calls] == [True]
    assert np.array_equal(y, x.transpose(0, 2, 3, 1))
    x[...] = 3
    for step, args in calls:
        step(*args)
    assert (y == 3).all()
    loader.first("float32").to_channels_last(x, y, 1)
    assert len(calls) == 1
