"""Macros of the C kernels: all of them meet in one unit, so each belongs to one file and has its family's prefix."""

import re
from collections import defaultdict
from pathlib import Path

import fastconv

ROOT = Path(fastconv.__file__).parent / "engines" / "cython_"
SOURCES = [p for p in ROOT.rglob("*") if p.suffix in (".pxi", ".h", ".pyx")]
PREFIXES = {
    "ground": ("FC_", "PEAK_", "VBYTES", "LANES", "CYTHON_INLINE"), "depthwise": ("DW_", "FC_DW_", "dw_"),
    "filters": ("FILTER_",), "fft.pxi": ("FFT_",),
    "fft_tiled": ("FT_",), "pooling": ("POOL_",), "split_bf16": ("SPLIT_",),
    "winograd": ("WINO_",), "direct": ("DIRECT_", "FC_DIRECT_"), "nn": ("NORM_",), "_cpu.pyx": ("FC_", "HAS"),
}  # fmt: skip


def defined() -> dict[str, set[str]]:
    """Where each macro is defined: in several branches of an #if is once."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SOURCES:
        for name in re.findall(r"^\s*#\s*define\s+(\w+)", path.read_text(), re.MULTILINE):
            found[name].add(path.relative_to(ROOT).as_posix())
    return found


def test_no_macro_is_defined_twice() -> None:
    units = {name: files - {"_cpu.pyx"} for name, files in defined().items()}  # a module of its own
    assert len(units) > 40
    assert {name: files for name, files in units.items() if len(files) > 1} == {}


def test_macros_have_the_prefix_of_their_family() -> None:
    wrong = [
        f"{file}: {name}"
        for name, files in defined().items()
        for file in files
        if not name.startswith(PREFIXES.get(file.split("/")[0], ()))
    ]
    assert not wrong, f"PREFIXES says how macros of each folder or file of {ROOT.name} begin: {wrong}"
