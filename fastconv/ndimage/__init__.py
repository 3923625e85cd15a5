"""Drop-in for the linear filters of `scipy.ndimage`: same arguments, same results, many times as fast.

Real arrays are computed here in float64, by the sums of SciPy in SciPy's order, so that results are the same numbers,
also where integers are truncated: filters along axes for any rank, kernels on the planes of two neighbouring axes
(``axes=(1, 2)`` for a stack). Everything else (complex numbers, other dtypes, odd arguments) is handed to SciPy, whose
errors are therefore the ones that a caller sees, and every other name of the module is SciPy's own object:
``import fastconv.ndimage as ndi`` is safe. `scipy.ndimage` is imported on the first use that needs it.

Results are plain arrays: a unit (of an astropy Quantity) is dropped, as by SciPy, and so is the mask of a masked array,
but with a warning (`fastconv.filter2d` with ``nan="ignore"`` leaves masked pixels out).

`precision` is the one name that SciPy does not have.

Where a border is longer than the image ("reflect" on an axis of 2 with 21 taps) SciPy 1.17.1 reads beside the image;
results here are those of `numpy.pad` then.
"""

from typing import Any

from ..images.originals import names, passed_through
from .arguments import PACKAGE
from .correlations import convolve, convolve1d, correlate, correlate1d, uniform_filter, uniform_filter1d
from .derivatives import generic_gradient_magnitude, generic_laplace, laplace, prewitt, sobel
from .gaussians import gaussian_filter, gaussian_filter1d, gaussian_gradient_magnitude, gaussian_laplace
from .sums import precision

__all__ = [
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "generic_gradient_magnitude",
    "generic_laplace",
    "laplace",
    "precision",
    "prewitt",
    "sobel",
    "uniform_filter",
    "uniform_filter1d",
]


def __getattr__(name: str) -> Any:
    """Any other public name is SciPy's."""
    return passed_through(PACKAGE, __name__, name)


def __dir__() -> list[str]:
    """SciPy's public names and those here."""
    return names(PACKAGE, __all__)
