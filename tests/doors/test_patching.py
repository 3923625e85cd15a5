"""patch_scipy and ``python -m fastconv patch``: unchanged programs find fastconv in SciPy's place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

import fastconv
from fastconv import ndimage, signal
from tests import child

PROGRAM = """
import sys
from scipy.ndimage import gaussian_filter
import scipy.signal
import beside
print(__name__, sys.argv[1:], gaussian_filter.__module__, scipy.signal.convolve2d.__module__, beside.WORD)
print(gaussian_filter([[1.0, 2j]], 1).dtype)
"""


def names(door: Any, package: Any) -> list[str]:
    return [name for name in door.__all__ if hasattr(package, name)]


def test_in_place_and_back() -> None:
    before = {(p, n): getattr(p, n) for p, d in ((scipy.ndimage, ndimage), (scipy.signal, signal)) for n in names(d, p)}
    assert len(before) > 20
    with fastconv.patch_scipy() as patch:
        for (package, name), function in before.items():
            ours = getattr(ndimage if package is scipy.ndimage else signal, name)
            assert getattr(package, name) is ours is not function
        with fastconv.patch_scipy():  # changes nothing
            pass
        assert scipy.ndimage.sobel is ndimage.sobel
        patch.undo()
        assert all(getattr(package, name) is function for (package, name), function in before.items())
    assert all(getattr(package, name) is function for (package, name), function in before.items())


def test_a_plain_call() -> None:
    patch = fastconv.patch_scipy()
    try:
        assert scipy.signal.fftconvolve is signal.fftconvolve
    finally:
        patch.undo()
    assert scipy.signal.fftconvolve is not signal.fftconvolve


def test_errors_end_it() -> None:
    with pytest.raises(ZeroDivisionError), fastconv.patch_scipy():
        raise ZeroDivisionError
    assert scipy.ndimage.sobel is not ndimage.sobel


def handed_on() -> None:
    """Calls that SciPy must answer."""
    image = np.random.default_rng(0).random((5, 6)) + 1j
    assert scipy.ndimage.gaussian_filter(image, 1.0).dtype == complex
    assert scipy.ndimage.generic_laplace(image.real, scipy.ndimage.sobel).shape == (5, 6)
    assert scipy.signal.convolve2d(image, image).dtype == scipy.signal.fftconvolve(image, image).dtype == complex
    with pytest.raises(ValueError, match="Radius"):
        scipy.ndimage.gaussian_filter(image.real, 1.0, radius=-1)


def test_what_is_handed_on_goes_to_scipys_functions() -> None:
    with fastconv.patch_scipy():
        handed_on()


def test_functions_put_in_place_by_hand() -> None:
    """Before SciPy's own were asked for, in a fresh process: they are found below."""
    code = """
import fastconv.ndimage, fastconv.signal, scipy.ndimage, scipy.signal
for ours, theirs in ((fastconv.ndimage, scipy.ndimage), (fastconv.signal, scipy.signal)):
    for name in ours.__all__:
        setattr(theirs, name, getattr(ours, name))
from tests.doors.test_patching import handed_on
handed_on()
for name in ("gaussian_filter", "sobel"):
    setattr(scipy.ndimage, name, lambda *args, _f=getattr(fastconv.ndimage, name), **kw: _f(*args, **kw))
handed_on()
"""
    child.run("-c", code)


def test_a_program(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    (tmp_path / "beside.py").write_text("WORD = 'found'")
    done = child.run("-m", "fastconv", "patch", str(script), "--size", "3")
    first, second = done.stdout.splitlines()
    assert first == "__main__ ['--size', '3'] fastconv.ndimage.gaussians fastconv.signal.convolutions found"
    assert second == "complex128"


def test_a_program_that_is_not_there() -> None:
    done = child.run("-m", "fastconv", "patch", "nowhere/at_all", check=False)
    assert done.returncode and "script must be a file" in done.stderr
