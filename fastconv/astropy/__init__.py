"""Drop-in for `astropy.convolution.convolve` and `convolve_fft`: same arguments, results and warnings, on images.

::

    convolve        sliding.py     sums over windows in float64, holes filled with the mean of their neighbours
    convolve_fft    by_size.py     the same by whatever is fastest, with the weights of astropy's transforms
                    arguments.py   what both share: images and kernels as plain arrays, NaN where they are masked

Real images and kernels of two axes are computed here. All others are astropy's, which is called with the arguments as
they are: one and three axes, kernels as images, complex numbers, transforms that a caller brings or wants back, and
whatever deserves an error. Units are kept; masked pixels, of masked arrays or by ``mask``, are holes.
"""

from .by_size import convolve_fft
from .sliding import convolve

__all__ = ["convolve", "convolve_fft"]
