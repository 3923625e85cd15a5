"""One transform of a whole plane, by `scipy.fft`: the steps of the Cython engine under the same names.

A spectrum is the half of `scipy.fft.rfft2`, which scales by itself; factors, twiddles and threads are SciPy's own.
"""

import numpy as np

from ..records import FftPlane, places

at = places(FftPlane)


def fft_plane_spectrum(x, spectrum, work, q, radices, twiddles, threads):
    """spectrum OUT: of the plane and zeros around it."""
    _half(spectrum, q)[...] = _transformed(x, q)


def fft_plane_correlate(x, spectrum, y, work, q, radices, twiddles, threads):
    """y OUT: the plane, with zeros around it, correlated with what has the spectrum."""
    from scipy import fft

    products = _transformed(x, q)
    products *= _half(spectrum, q).conj()
    y[...] = fft.irfft2(products, (q[at.th], q[at.tw]), overwrite_x=True)[: q[at.oh], : q[at.ow]]


def _transformed(x, q):
    from scipy import fft

    top, left = q[at.top], q[at.left]
    plane = np.zeros((q[at.th], q[at.tw]), x.dtype)
    plane[top : top + q[at.rows], left : left + q[at.cols]] = x
    return fft.rfft2(plane)


def _half(spectrum, q):
    """The complex numbers in an array of reals."""
    columns = q[at.tw] // 2 + 1
    return spectrum[: 2 * q[at.th] * columns].view(f"c{2 * spectrum.itemsize}").reshape(q[at.th], columns)
