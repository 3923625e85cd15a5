include "kernels.pxi"
include "split_bf16/steps.pxi"
include "split_bf16/weight.pxi"
