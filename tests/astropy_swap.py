"""pytest plug-in: astropy's own tests run on fastconv's drop-ins.

    python -m pytest -p tests.astropy_swap --pyargs astropy.convolution.tests.test_convolve ...

The package is patched before the test files are imported. A summary tells how many calls came through, and how many
of them went on to astropy's functions, so that nothing passes by not being called.
"""

import functools
from collections import Counter
from importlib import import_module
from typing import Any

import astropy.convolution
import pytest

import fastconv.astropy
from fastconv.astropy import by_size, sliding

calls: Counter[str] = Counter()


def _counted(name: str, function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return function(*args, **kwargs)

    return call


def pytest_configure(config: pytest.Config) -> None:
    for ours, name in ((sliding, "convolve"), (by_size, "convolve_fft")):
        ours._astropy = _counted(f"{name} on to astropy", ours._astropy)  # type: ignore[attr-defined]
        for place in (astropy.convolution, import_module("astropy.convolution.convolve")):
            setattr(place, name, _counted(name, getattr(fastconv.astropy, name)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"calls of fastconv: {dict(sorted(calls.items()))}")
