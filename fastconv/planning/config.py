"""What this installation is made of, for people and bug reports."""

from __future__ import annotations

import sys
import sysconfig

from ..core import openmp
from ..core.cores import cpu_count
from ..core.threads import get_num_threads
from ..engines import loader
from . import registry, tuning


def show_config() -> None:
    """Print versions, engines, threads, caches and the BLAS libraries in use."""
    print(config_text())


def config_text() -> str:
    """What `show_config` prints."""
    import platform

    from threadpoolctl import threadpool_info

    from .rates import cache_dir, rates

    python = f"Python {platform.python_version()}{_free_threaded()}, {platform.platform()}"
    lines = [tuning.machine_key(get_num_threads()), python]
    waiting = loader.waiting() or openmp.WAITING
    lines.append(f"{get_num_threads()} threads of {cpu_count()} cores; waiting threads spin {waiting}")
    lines += [f"engine {name}: {text}" for name, text in loader.describe().items()]
    lines += [f"rates for {dtype}: {rates(dtype)}" for dtype in ("float32", "float64")]
    lines += [f"cache directory: {cache_dir()}", f"backends: {', '.join(registry.list_backends())}"]
    for pool in threadpool_info():
        lines.append(f"{pool['user_api']}: {pool['internal_api']} {pool.get('version')}, {pool['num_threads']} threads")
    return "\n".join(lines)


def _free_threaded() -> str:
    """Of a build of Python without the GIL, whether a module has switched it on."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return ""
    return f", free-threaded, the GIL {'on' if vars(sys)['_is_gil_enabled']() else 'off'}"
