"""Filters on images: `filter2d`, and what the doors to SciPy share.

filter2d.py       the public call
arguments.py      its arguments, checked
bands.py          large images that have to be converted are so a band at a time
normalized.py     the mean of what is there: images with holes, and weighed pixels
correlation.py    an image, a kernel, a border: direct, separable, or a transform
spectral.py       large kernels by tiles of transforms, through plans of convolutions, or by one transform
transform.py      one transform of the whole image
filtering.py      windows and dtypes become calls of the engines' filter steps
recent.py         what was made for the last kernels
window.py         which row and column is seen where: borders

ndimage_kernels.py  scipy.ndimage's kernels of two dimensions
ndimage_filters.py  what its filters ask for, axis by axis
ndimage_plans.py    passes for an image or a stack, kept between calls
ndimage_passes.py   a pass along an axis as a step of the engines
ndimage_calls.py    its arguments
originals.py        SciPy's own functions, for what is handed on

Each imports only those below it; `fastconv.ndimage` and `fastconv.signal` stand above them.
"""
