"""Finds an engine's loops on first use, and says why an engine is absent."""

from __future__ import annotations

import importlib
import os
import platform
import warnings
from functools import cache
from typing import TYPE_CHECKING, cast

from .tape import heard

if TYPE_CHECKING:
    from .kernels import Kernels

ENGINES = ("cython", "numba")
_SHORT = {"float32": "f32", "float64": "f64", "float16": "f32", "bfloat16": "f32"}


def load(engine: str, dtype: str) -> Kernels:
    """A namespace with the steps of an engine for one dtype.

    Raises
    ------
    ImportError
        With the reason, if the engine is absent.
    """
    return cast("Kernels", heard(unrecorded(engine, dtype)))


@cache
def unrecorded(engine: str, dtype: str) -> Kernels:
    """The same for callers that keep steps, whoever records meanwhile."""
    if engine == "cython":
        if isa() is None:
            raise ImportError(absent("cython"))
        return cast("Kernels", importlib.import_module(f".cython_._{isa()}_{_SHORT[dtype]}", __package__))
    if engine == "numba":
        if reason := absent("numba"):
            raise ImportError(reason)
        return cast("Kernels", importlib.import_module(".numba_", __package__))
    raise ImportError(f"there is no engine {engine!r}")


def first(dtype: str) -> Kernels:
    """The steps of the first engine that is there, for what only one way of doing exists."""
    return load("numba" if absent("cython") else "cython", dtype)


@cache
def absent(engine: str) -> str | None:
    """Why an engine cannot be used here, or None. Does not import it."""
    if engine == "cython":
        return None if isa() else "the compiled kernels were not built (no C compiler at installation)"
    if engine == "numba":
        from importlib.util import find_spec

        return None if find_spec("numba") else "numba is not installed (pip install fastconv[numba])"
    return None


@cache
def isa() -> str | None:
    """The instruction set of the compiled kernels in use: the widest that is built and that the CPU has.

    ``FASTCONV_ISA`` (``x86-64-v2``, ``x86-64-v3``, ``x86-64-v4``, ``neon``, ``portable``) forces one; it is
    ignored with a warning if it cannot run here.
    """
    try:
        from .cython_ import _cpu  # type: ignore[attr-defined]
    except ImportError:
        return None
    able = [i for i in _cpu.able() if i in _cpu.BUILT]
    forced = os.environ.get("FASTCONV_ISA", "").strip().lower().replace("-", "_")
    if forced in able:
        return forced
    if forced:
        names = ", ".join(i.replace("_", "-") for i in able)
        warnings.warn(f"FASTCONV_ISA must be one of {names} here, got {forced!r}; ignored", stacklevel=2)
    return able[0] if able else None


def vector_bytes(engine: str = "cython") -> int:
    """Width of the vectors that an engine uses."""
    level: str | None = isa()
    if engine == "numba" and absent("numba") is None:
        if level is None:
            from .numba_.ground import target

            return target.VECTOR_BYTES
        from .cython_ import _cpu  # type: ignore[attr-defined]  # as target.py does, without the import of Numba

        forced = os.environ.get("FASTCONV_ISA", "").strip().lower().replace("-", "_")
        level = forced if forced in _cpu.able() else _cpu.able()[0]
    return {"x86_64_v4": 64, "x86_64_v3": 32}.get(level or "", 16)


@cache
def bf16(engine: str = "cython") -> tuple[str, str]:
    """The unit that multiplies bfloat16 numbers, ``amx`` or ``avx512_bf16``; or an empty string and why there is none.

    An instruction set that is forced by ``FASTCONV_ISA`` is meant without them.
    """
    if engine != "cython" or isa() is None:
        return "", "only the compiled kernels use units for bfloat16"
    from .cython_ import _cpu  # type: ignore[attr-defined]

    if os.environ.get("FASTCONV_ISA", "").strip():
        return "", "FASTCONV_ISA switches units for bfloat16 off"
    if isa() != "x86_64_v4" or not _cpu.BF16_UNITS:
        return "", "the compiled kernels were built without units for bfloat16"
    unit = _cpu.bf16_unit()
    return unit, "" if unit else "this CPU has neither AMX nor AVX512_BF16"


def waiting() -> str:
    """For how long a thread of the kernels that has nothing to do looks for work; empty if nothing is compiled."""
    try:
        from .cython_ import _pool  # type: ignore[attr-defined]
    except ImportError:
        return ""
    return f"for {_pool.SPIN / 1000:g} ms, giving way" if _pool.SPIN else "not at all, as OMP_WAIT_POLICY=passive says"


def describe() -> dict[str, str]:
    """Engine by engine, what is in use or why it is absent."""
    out = {e: absent(e) or "available" for e in ENGINES}
    if isa():
        unit, why = bf16()
        out["cython"] = f"compiled for {isa()} on {platform.machine()}; bfloat16: {unit or why}"
    return out
