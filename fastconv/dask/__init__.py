"""Filters, convolutions and pooling of dask arrays: images larger than memory, or on more than one machine.

Work is cut as the array is cut: a block gets the rows and columns that its outputs need from its neighbours
(`dask.array.map_overlap`), and the function of the same name computes it in memory. What is summed directly is equal
to the array in memory to the last bit; FFTs, Winograd's algorithm (in ``backend="auto"``), the running sums of
`uniform_filter`, and 1x1 kernels in blocks of four pixels and fewer round otherwise for blocks of another size, within
the bounds of each.

Borders are those of the whole array, channels are never split, and chunks smaller than their halo are merged, with a
warning. A task uses one thread, since schedulers run as many tasks as there are cores; under the synchronous one it
uses all. ``dask.config.set({"fastconv.num-threads": n})`` around a call says otherwise.

blocks.py    how an array is cut: windows, halos, Dask's `map_overlap`, threads
images.py    filters of images
networks.py  convolution and pooling

Each imports only those above it.
"""

from .images import (
    convolve,
    convolve1d,
    correlate,
    correlate1d,
    filter2d,
    gaussian_filter,
    laplace,
    prewitt,
    sobel,
    uniform_filter,
)
from .networks import avg_pool2d, conv2d, max_pool2d

__all__ = [
    "avg_pool2d",
    "conv2d",
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "filter2d",
    "gaussian_filter",
    "laplace",
    "max_pool2d",
    "prewitt",
    "sobel",
    "uniform_filter",
]
