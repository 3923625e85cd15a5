"""The instruction set that the Numba kernels are compiled for, and with it the width of a vector.

Importing this module decides both, so it comes before anything of Numba. ``FASTCONV_ISA`` (``x86-64-v2``,
``x86-64-v3``, ``x86-64-v4``, ``portable``) forces a narrower set than the CPU has. LLVM is then held to it by
``NUMBA_CPU_NAME``, which Numba reads on its first import: if the program imported Numba before, only the width
of the vectors obeys.
"""

from __future__ import annotations

import os
import platform
import sys

from llvmlite import binding

#: name: bytes of a vector register, LLVM features that tell the level
LEVELS = {
    "x86-64-v4": (64, ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")),
    "x86-64-v3": (32, ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")),
    "x86-64-v2": (16, ("sse4.2", "ssse3", "popcnt")),
    "portable": (16, ()),
}


def able() -> list[str]:
    """The levels that this CPU has, widest first."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ["portable"]
    have = binding.get_host_cpu_features()
    return [name for name, (_, needs) in LEVELS.items() if all(have.get(feature) for feature in needs)]


def _choose() -> str:
    """The forced level where it can run (the loader warns where it cannot), else the widest."""
    forced = os.environ.get("FASTCONV_ISA", "").strip().lower().replace("_", "-")
    if forced not in able():
        return able()[0]
    if "numba" not in sys.modules:
        os.environ.setdefault("NUMBA_CPU_NAME", forced.replace("portable", "x86-64"))
        os.environ.setdefault("NUMBA_CPU_FEATURES", "")
    return forced


LEVEL = _choose()
VECTOR_BYTES = LEVELS[LEVEL][0]
