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

import fastconv.ndimage
import fastconv.signal

calls: Counter[str] = Counter()


def _counted(name: str, function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return function(*args, **kwargs)

    return call


class _Original:
    """What the drop-ins hand over to must stay SciPy's."""

    def __init__(self, package: Any, names: list[str]) -> None:
        self._package, self._kept = package, {name: getattr(package, name) for name in names}

    def __getattr__(self, name: str) -> Any:
        return self._kept.get(name) or getattr(self._package, name)


def pytest_configure(config: pytest.Config) -> None:
    for ours, theirs in ((fastconv.ndimage, scipy.ndimage), (fastconv.signal, scipy.signal)):
        original = _Original(theirs, ours.__all__)
        ours._scipy = lambda name, *args, _from=original, **kwargs: getattr(_from, name)(*args, **kwargs)  # type: ignore[attr-defined]
        for name in ours.__all__:
            call = _counted(name, getattr(ours, name))
            _known_as(call, getattr(theirs, name))
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
