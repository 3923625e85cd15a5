"""Drop-in for the 2-D convolutions of `scipy.signal`: same arguments, same results, many times as fast.

Arrays of two axes are computed here: floats in their own precision, integers exactly (in float64, where no sum can
reach 2**53), complex numbers by one or two calls of real ones. Everything else (other ranks and dtypes, complex numbers
beside integers, odd arguments) is handed to SciPy, whose errors are therefore the ones that a caller sees; every other
name of the module is SciPy's own object. Results are plain arrays: a unit (of an astropy Quantity) is dropped, as by
SciPy, and so is the mask of a masked array, but with a warning. scipy.signal is imported on the first use that needs
it.
"""

from typing import Any

from ..images.originals import names, passed_through
from .by_method import convolve, correlate
from .convolutions import PACKAGE, convolve2d, correlate2d, fftconvolve, oaconvolve

__all__ = ["convolve", "convolve2d", "correlate", "correlate2d", "fftconvolve", "oaconvolve"]


def __getattr__(name: str) -> Any:
    """Any other public name is SciPy's."""
    return passed_through(PACKAGE, __name__, name)


def __dir__() -> list[str]:
    """SciPy's public names and those here."""
    return names(PACKAGE, __all__)
