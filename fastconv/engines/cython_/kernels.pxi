# All steps of the Cython engine, in one module an instruction set and dtype.
from cython.parallel cimport prange
from libc.stddef cimport ptrdiff_t as intp
cimport numpy as cnp

cnp.import_array()

include "vector.pxi"
include "peak.pxi"
include "naive.pxi"
include "im2col.pxi"
include "direct.pxi"
include "direct_weight.pxi"
include "planar.pxi"
include "depthwise_buffer.pxi"
include "depthwise.pxi"
include "depthwise_weight.pxi"
include "depthwise_channels.pxi"
include "winograd_blocks.pxi"
include "winograd_transforms.pxi"
include "winograd.pxi"
include "winograd_weight.pxi"
include "filter.pxi"
include "filter_rows.pxi"
include "filter_separable.pxi"
include "filter_lines.pxi"
