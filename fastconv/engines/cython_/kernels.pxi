# All steps of the Cython engine, in one module an instruction set and dtype.
from cython.parallel cimport prange
from libc.stddef cimport ptrdiff_t as intp
cimport numpy as cnp

cnp.import_array()

include "vector.pxi"
include "peak.pxi"
include "naive.pxi"
include "im2col.pxi"
include "direct_pack.pxi"
include "direct.pxi"
include "direct_weight.pxi"
include "planar.pxi"
include "planar_weight.pxi"
include "depthwise_buffer.pxi"
include "depthwise.pxi"
include "depthwise_weight.pxi"
include "depthwise_channels.pxi"
include "winograd_blocks.pxi"
include "winograd_transforms.pxi"
include "winograd.pxi"
include "winograd_weight.pxi"
include "fft_tiled_transforms.pxi"
include "fft_tiled_lanes.pxi"
include "fft_tiled.pxi"
include "fft_tiled_weight.pxi"
include "fft.pxi"
include "separable.pxi"
include "pooling.pxi"
include "pooling_grad.pxi"
include "fft_tiled_points.pxi"
include "filter_numbers.pxi"
include "filter.pxi"
include "filter_rows.pxi"
include "filter_separable.pxi"
include "filter_planes.pxi"
include "filter_lines.pxi"
