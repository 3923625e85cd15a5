include "kernels.pxi"
include "split_bf16.pxi"
include "split_bf16_weight.pxi"
