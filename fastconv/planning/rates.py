"""What the machine can do: rates measured by ``python -m bench calibrate``, or defaults.

The calibration is ``rates.json`` in the cache directory. The defaults are those of an AMD EPYC 9005
(Zen 5, 3.8 GHz, AVX-512), measured 2026-11-22, scaled to the vector width in use.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from ..algorithms.base import Rates
from ..engines import loader

_DEFAULTS: dict[str, Any] = {
    "fma_gflops": {"float32": 240.0, "float64": 120.0},
    "blas_gflops": {"float32": 100.0, "float64": 50.0},
    "copy_gbs": 20.0,
    "copy_gbs_all": 30.0,
    "launch_us": 1.0,
}
_BLAS = 0.6  # of the peak, at any width
_WIDTH = {"x86_64_v4": 1.0, "x86_64_v3": 0.5, "x86_64_v2": 0.125, "neon": 0.25, "portable": 0.25}  # v2 has no FMA


def cache_dir() -> Path:
    """Where calibration and tuning files are kept: ``FASTCONV_CACHE_DIR`` or the user's cache directory."""
    named = os.environ.get("FASTCONV_CACHE_DIR")
    if named:
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("fastconv")


@cache
def rates(dtype: str) -> Rates:
    """Rates for a dtype, in GFLOP/s, GB/s and microseconds."""
    table, scale = dict(_DEFAULTS), _WIDTH.get(loader.isa() or "x86_64_v3", 0.25)
    measured = _calibration()
    if measured:
        table.update(measured)
        scale = 1.0 if measured.get("isa", loader.isa()) == loader.isa() else scale
    fma, blas = table["fma_gflops"][dtype] * scale, table["blas_gflops"][dtype]
    if not measured:
        blas = min(blas, _BLAS * fma)  # it was measured at the widest vectors
    return Rates(fma, blas, table["copy_gbs"], table["copy_gbs_all"], table["launch_us"])


def _positive(key: str, value: Any) -> float:
    number = float(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{key} must be positive and finite")
    return number


def _calibration() -> dict[str, Any]:
    path = cache_dir() / "rates.json"
    try:
        table = json.loads(path.read_text())
        found: dict[str, Any] = {"isa": table.get("isa", loader.isa())}
        for key, default in _DEFAULTS.items():
            if isinstance(default, dict):
                found[key] = {dtype: _positive(key, table[key][dtype]) for dtype in default}
            else:
                found[key] = _positive(key, table[key])
        return found
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        warnings.warn(f"calibration file {path} is not usable ({error}); defaults are used", stacklevel=2)
        return {}
