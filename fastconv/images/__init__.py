"""Filters on images: `filter2d`, and what the doors to SciPy share.

filter2d.py       the public call: direct, separable, or a transform
filtering.py      windows, borders and dtypes become calls of the engines' filter steps
spectral.py       large kernels by tiles of transforms
ndimage_calls.py  scipy.ndimage's arguments
"""
