"""Filters on images: `filter2d`, and what the doors to SciPy share.

filter2d.py       the public call: arguments
bands.py          large images that have to be converted are so a band at a time
correlation.py    an image, a kernel, a border: direct, separable, or a transform
spectral.py       large kernels by tiles of transforms, through plans of convolutions
filtering.py      windows, borders and dtypes become calls of the engines' filter steps

ndimage_filters.py  the filters of scipy.ndimage, where they can be computed here
ndimage_calls.py    its arguments

Each imports only those below it; `fastconv.ndimage` and `fastconv.signal` stand above them.
"""
