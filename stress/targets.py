"""What fuzz.py calls with bytes; `python -m stress.targets TARGET HEX` repeats one call."""

from __future__ import annotations

import os
import sys
import tempfile
import tokenize
import zipfile
import zlib
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

import fastconv
from fastconv import nn
from fastconv.core.problem import parse
from stress import files
from tests import battery
from tests.problems import EDGE_PROBLEMS, integer_data, options

#: what NumPy and zipfile say of a file that they cannot read
UNREADABLE = (ValueError, TypeError, KeyError, OSError, EOFError, MemoryError, NotImplementedError, RuntimeError,
              zipfile.BadZipFile, zlib.error, tokenize.TokenError, SyntaxError)  # fmt: skip
FEW = 30_000  #: numbers and products of a problem that is computed


def problems(data: bytes) -> None:
    """A string is a problem that prints itself, is planned and computed rightly, or a ValueError."""
    try:
        p = parse(data.decode(errors="replace"))
    except ValueError:
        return
    assert parse(str(p)) == p, f"{p} is read as {parse(str(p))}"
    try:
        fastconv.explain(p.x_shape, p.w_shape, dtype=p.dtype, **options(p))
    except (ValueError, MemoryError):
        return
    sizes = [np.prod(shape, dtype=float) for shape in (p.x_shape, p.w_shape, p.y_shape, p.padded().x_shape)]
    if p.dtype in ("float32", "float64") and max(*sizes, sizes[2] * sizes[1] / p.co) < FEW:
        d = integer_data(p)
        off = np.abs(battery.public("auto", "forward", p, d) - battery.expected(p, "forward", d))
        assert (off <= 2e-5 * battery.scale(p, "forward", d)).all(), f"{p}: off by {off.max()}"


@cache
def _folder() -> Path:
    os.environ["FASTCONV_CACHE_DIR"] = tempfile.mkdtemp()
    return Path(os.environ["FASTCONV_CACHE_DIR"])


def tuning(data: bytes) -> None:
    """A tuning file of any content: at most one warning, no wrong result."""
    told = files.verdict("tuning.json", data, _folder())
    assert not told, told


def rates(data: bytes) -> None:
    """A calibration file of any content."""
    told = files.verdict("rates.json", data, _folder())
    assert not told, told


@cache
def _net() -> tuple[nn.Sequential, dict[str, np.ndarray]]:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3, 2))
    return net.eval(), net.state()


def _npy(a: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, a)
    return file.getvalue()


def _file(data: bytes) -> bytes:
    """A saved network: the bytes themselves, or one whose array number data[0] they are, behind a right checksum."""
    if data[:2] == b"PK" or not data:
        return data
    file, arrays = BytesIO(), _net()[1]
    with zipfile.ZipFile(file, "w") as archive:
        for k, (name, a) in enumerate(arrays.items()):
            archive.writestr(f"{name}.npy", data[1:] if k == data[0] % len(arrays) else _npy(a))
    return file.getvalue()


def states(data: bytes) -> None:
    """A saved network is taken as it is, or an error, and then nothing is changed."""
    net, before = _net()
    net.load(before)
    try:
        found = np.load(BytesIO(_file(data)))
        net.load(found)
    except UNREADABLE:
        assert all(np.array_equal(a, before[name]) for name, a in net.state().items()), "an error half way"
        return
    for name, a in net.state().items():
        np.testing.assert_array_equal(a, found[name].astype(a.dtype))
    with np.errstate(all="ignore"):
        assert net(np.ones((1, 2, 3, 3), np.float32)).shape == (1, 2)


TARGETS = {"problems": problems, "tuning": tuning, "rates": rates, "states": states}


def seeds(target: str) -> list[bytes]:
    """What to begin with."""
    if target == "problems":
        return [text.encode() for text in (*EDGE_PROBLEMS[::5], "n1ci2ih6iw7co3kh3kw3ph1pw1_reflect_f64_nhwc")]
    if target == "states":
        file = BytesIO()
        arrays: dict[str, Any] = _net()[1]
        np.savez(file, **arrays)
        return [file.getvalue(), *(bytes([k]) + _npy(a) for k, a in enumerate(_net()[1].values()))]
    return [files.good(f"{target}.json", _folder()).encode(), b"{}"]


if __name__ == "__main__":
    TARGETS[sys.argv[1]](bytes.fromhex(sys.argv[2]))
    print("right")
