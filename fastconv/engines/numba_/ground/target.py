"""The instruction set that the Numba kernels are compiled for, and with it the width of a vector.

Importing this module decides both, so it comes before anything of Numba. ``FASTCONV_ISA`` (``x86-64-v2``,
``x86-64-v3``, ``x86-64-v4``, ``neon``, ``portable``) forces a narrower set than the CPU has. LLVM is then held to it
by ``NUMBA_CPU_NAME``, which Numba reads on its first import: if the program imported Numba before, only the width
of the vectors obeys.
"""

from __future__ import annotations

import os
import platform
import sys

from llvmlite import binding

X86, ARM = (platform.machine().lower() in names for names in (("x86_64", "amd64"), ("aarch64", "arm64")))
#: name: bytes of a vector register, LLVM features that tell the level
LEVELS = {
    "x86-64-v4": (64, ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")),
    "x86-64-v3": (32, ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")),
    "x86-64-v2": (16, ("sse4.2", "ssse3", "popcnt")),
    "neon": (16, ()),
    "portable": (16, ()),
}
#: how LLVM calls those that it does not know by our name
_CPUS = {"neon": "generic", "portable": "x86-64" if X86 else "generic"}


def able() -> list[str]:
    """The levels that this CPU has, widest first."""
    if not X86:
        return ["neon", "portable"] if ARM else ["portable"]
    have, names = binding.get_host_cpu_features(), [name for name in LEVELS if name != "neon"]
    return [name for name in names if all(have.get(feature) for feature in LEVELS[name][1])]


def _choose() -> str:
    """The forced level where it can run (the loader warns where it cannot), else the widest."""
    forced = os.environ.get("FASTCONV_ISA", "").strip().lower().replace("_", "-")
    if forced not in able():
        return able()[0]
    if "numba" not in sys.modules:
        os.environ.setdefault("NUMBA_CPU_NAME", _CPUS.get(forced, forced))
        os.environ.setdefault("NUMBA_CPU_FEATURES", "")
    return forced


LEVEL = _choose()
VECTOR_BYTES = LEVELS[LEVEL][0]
REGISTERS = 32 if ARM or VECTOR_BYTES == 64 else 16  # of vectors
