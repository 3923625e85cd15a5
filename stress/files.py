"""Damaged tuning and calibration files, many writers, no HOME: a warning that names the file, no wrong result."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import fastconv
from fastconv.core.problem import parse
from fastconv.planning import rates, tuning
from stress import Line
from tests import child

P = parse("n1ci3ih8iw9co5kh3kw3ph1pw1_f32")
RATES = {
    "fma_gflops": {"float32": 240.0, "float64": 120.0}, "blas_gflops": {"float32": 100.0, "float64": 50.0},
    "copy_gbs": 20.0, "copy_gbs_all": 30.0, "launch_us": 1.0, "isa": "x86_64_v4",
}  # fmt: skip
ODD: list[Any] = [
    None,
    -1,
    0,
    1e999,
    float("nan"),
    "",
    "x",
    "1",
    [],
    {},
    True,
    10**400,
    [[[]]],
    "naive/cython",
    "\ud800",
]

WRITER = """
import sys
from fastconv.core.problem import parse
from fastconv.planning import tuning
for k in range(8):
    tuning.remember({(parse(f"n{1 + int(sys.argv[1])}ci{1 + k}ih8iw8co1kh3kw3_f32"), "forward"): "naive/cython"}, 2)
"""
PLAIN = """
import numpy as np, fastconv, warnings
warnings.simplefilter("always")
x, w = np.ones((1, 3, 8, 9), "f4"), np.ones((5, 3, 3, 3), "f4")
assert (fastconv.conv2d(x, w) == 27).all()
fastconv.tune(x, w, passes="forward", seconds=0.01)
assert (fastconv.conv2d(x, w) == 27).all()
print("right")
"""


def spoilt(text: str, rng: np.random.Generator) -> bytes:
    """A file of JSON after a few changes to its bytes, or to a value."""
    if rng.random() < 0.5:
        raw = bytearray(text.encode())
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(len(raw) or 1))
            how = rng.integers(4)
            if how == 0:
                raw[at : at + 1] = bytes([int(rng.integers(256))])
            elif how == 1:
                del raw[at : at + int(rng.integers(1, 40))]
            elif how == 2:
                raw[at:at] = raw[: int(rng.integers(1, 40))]
            else:
                del raw[at:]
        return bytes(raw)
    table = json.loads(text)
    here, odd = table, ODD[int(rng.integers(len(ODD)))]
    while isinstance(here, dict) and here:
        key = list(here)[int(rng.integers(len(here)))]
        if not isinstance(here[key], dict) or rng.random() < 0.4:
            here[key] = odd
            break
        here = here[key]
    return json.dumps(table).encode()


def verdict(name: str, content: bytes, folder: Path) -> str:
    """What is wrong with calls beside a file of that content, or nothing."""
    x, w = np.ones(P.x_shape, np.float32), np.ones(P.w_shape, np.float32)
    (folder / name).write_bytes(content)
    tuning.forget()
    rates.rates.cache_clear()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            y = fastconv.conv2d(x, w, padding=1)
            told = "" if (y[:, :, 1:-1, 1:-1] == 27).all() and (y[:, :, 0, 0] == 12).all() else "a wrong result"
            fastconv.explain(P.x_shape, P.w_shape, padding=1 + len(content) % 3)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
    told = told or "".join(f"warned {h.message}" for h in heard if name not in str(h.message))
    return told or ("more than one warning" if len({str(h.message) for h in heard}) > 1 else "")


def good(name: str, folder: Path) -> str:
    """A file as it should be."""
    if name == "rates.json":
        return json.dumps(RATES)
    tuning.remember({(P, q): "naive/cython" for q in ("forward", "grad_input")}, fastconv.get_num_threads())
    return (folder / name).read_text()


def mutations(seed: int, count: int, name: str, folder: Path) -> Line:
    """One file, spoiled anew each time, then a call."""
    rng, failures, text = np.random.default_rng(seed), [], good(name, folder)
    for _ in range(count):
        content = spoilt(text, rng)
        if told := verdict(name, content, folder):
            failures.append(f"{name} = {content[:300]!r}  # {told}")
    (folder / name).unlink()
    return Line(f"mutations of {name}", count, failures)


def writers(count: int, folder: Path) -> Line:
    """Processes that write into one file at a time: it stays whole, and all entries are there."""
    with ThreadPoolExecutor(count) as pool:
        list(
            pool.map(
                lambda k: child.run("-c", WRITER, str(k), timeout=900, FASTCONV_CACHE_DIR=str(folder)), range(count)
            )
        )
    table = json.loads((folder / "tuning.json").read_text())
    kept = sum(len(v) for v in table.values())
    failures = [f"{p.name} was left" for p in folder.iterdir() if p.name != "tuning.json"]
    if kept != 8 * count:
        failures.append(f"{8 * count - kept} entries were lost to others that wrote at the same time")
    return Line(f"{count} writers", 8 * count, failures)


def homes() -> Line:
    """HOME missing, read-only, a file, somebody else's."""
    failures = []
    with tempfile.TemporaryDirectory() as d:
        (Path(d) / "file").write_text("")
        sealed = Path(d) / "sealed"
        sealed.mkdir(0o500)
        for home in (f"{d}/none/at/all", f"{d}/file", "/proc", str(sealed), "", "/dev/null", "/nonexistent\udcff"):
            try:
                got = child.run("-c", PLAIN, timeout=900, FASTCONV_CACHE_DIR="", HOME=home, XDG_CACHE_HOME="")
                told = "" if got.stdout.strip() == "right" else got.stdout
                told += got.stderr if got.stderr.count("Warning") > 1 else ""
            except AssertionError as error:
                told = str(error)
            if told:
                failures.append(f"HOME={home!r}  # {told[-300:]}")
    return Line("HOME", 7, failures)


def run(seed: int, quick: bool) -> Iterator[Line]:
    """1,000 mutations of each file, 16 writers, seven homes."""
    before = os.environ.get("FASTCONV_CACHE_DIR")
    for name in ("tuning.json", "rates.json"):
        with tempfile.TemporaryDirectory() as d:
            os.environ["FASTCONV_CACHE_DIR"] = d
            try:
                yield mutations(seed, 100 if quick else 1000, name, Path(d))
            finally:
                os.environ.pop("FASTCONV_CACHE_DIR")
                os.environ.update({"FASTCONV_CACHE_DIR": before} if before else {})
                tuning.forget()
                rates.rates.cache_clear()
    with tempfile.TemporaryDirectory() as d:
        yield writers(4 if quick else 16, Path(d))
    if not quick:
        yield homes()
