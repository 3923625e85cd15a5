"""Large images that have to be converted: band by band the same numbers, and no copy of the whole."""

from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.images import bands
from tests import child

MODES = ["reflect", "mirror", "nearest", "wrap", "constant"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float16", ">f4", ">i2", "uint8", "float64"])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_equal(monkeypatch: Any, mode: Any, dtype: str, channels: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    big = (rng.random((40, 46, *channels)) * 200).astype(dtype)
    for kernel in ((5, 4), (30, 3), (1, 1)):
        w = rng.standard_normal(kernel)
        for image in (big, big[:, ::2], big[::-1], np.asfortranarray(big)):
            want = fastconv.filter2d(np.ascontiguousarray(image, big.dtype.newbyteorder("=")), w, mode=mode)
            before = image.copy()
            with monkeypatch.context() as patch:
                patch.setattr(bands, "BAND_BYTES", 1000)
                np.testing.assert_array_equal(fastconv.filter2d(image, w, mode=mode), want)
                for out in (np.zeros(image.shape, dtype), np.zeros((80, *image.shape[1:]), dtype)[::2]):
                    assert fastconv.filter2d(image, w, mode=mode, out=out) is out
                    np.testing.assert_array_equal(out, want)
                np.testing.assert_array_equal(image, before)
                np.testing.assert_array_equal(fastconv.filter2d(before, w, mode=mode, out=before), want)
                with pytest.raises(ValueError, match="out must have shape"):
                    fastconv.filter2d(image, w, out=np.zeros((3, 3), dtype))


WITHOUT_A_COPY = """
import resource, sys
import numpy as np, fastconv
dtype, step, side = sys.argv[2], int(sys.argv[3]), 6000
x = np.memmap(sys.argv[1] + "/x", dtype, "w+", shape=(side, side * step))
y = np.memmap(sys.argv[1] + "/y", dtype, "w+", shape=(side, side))
x[:] = np.arange(side * step) % 199
w = np.random.default_rng(0).random((5, 5)) / 13
part = np.ascontiguousarray(x[2900:3100, ::step], np.dtype(dtype).newbyteorder("="))
want = fastconv.filter2d(part, w)[50:150]  # now all threads and tables are there
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + int(sys.argv[4]), -1))
try:
    np.empty(side * side * np.dtype(dtype).itemsize, np.uint8)
except MemoryError:  # the limit is one
    fastconv.filter2d(x[:, ::step], w, out=y)
    print(np.array_equal(y[2950:3050], want))
"""


@pytest.mark.skipif("not __import__('os').path.exists('/proc/self/status')", reason="needs Linux")
@pytest.mark.parametrize("dtype, step, room", [("uint8", 1, 4 << 20), (">f4", 1, 110 << 20), ("float32", 2, 80 << 20)])
def test_memory_is_bounded(tmp_path: Any, dtype: str, step: int, room: int) -> None:
    """From one memmap into another with less memory to be had than the image takes."""
    assert room < 6000 * 6000 * np.dtype(dtype).itemsize
    assert child.run_code(WITHOUT_A_COPY, str(tmp_path), dtype, str(step), str(room)) == "True\n"
