"""pytest plug-in: SciPy's own tests run on fastconv's drop-ins.

    python -m pytest -p tests.scipy_swap --pyargs scipy.ndimage.tests.test_filters -k "correlate or convolve or ..."

Both packages are patched before the test files are imported, so that ``from scipy.signal import convolve2d`` finds
ours. A summary tells how many calls came through, so that nothing passes by not being called.
"""

import functools
from collections import Counter
from typing import Any

import pytest
import scipy.ndimage
import scipy.signal

import fastconv
from fastconv.images.originals import original

calls: Counter[str] = Counter()


def _counted(name: str, function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return function(*args, **kwargs)

    return call


def pytest_configure(config: pytest.Config) -> None:
    fastconv.patch_scipy()
    doors: list[tuple[Any, Any]] = [(fastconv.ndimage, scipy.ndimage), (fastconv.signal, scipy.signal)]
    for ours, theirs in doors:
        for name in ours.__all__:
            if hasattr(theirs, name):
                call = _counted(name, getattr(ours, name))
                _known_as(call, original(theirs.__name__, name))
                setattr(theirs, name, call)


def _known_as(call: Any, replaced: Any) -> None:
    """SciPy's tests look up in a table, by function, which kinds of arrays it takes."""
    try:
        from scipy._lib._array_api import xp_capabilities_table
    except ImportError:  # older than the table
        return
    if replaced in xp_capabilities_table:
        xp_capabilities_table[call] = xp_capabilities_table[replaced]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"calls of fastconv: {dict(sorted(calls.items()))}")
