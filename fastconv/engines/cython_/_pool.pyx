# The threads of all compiled kernels, whatever their instruction set and dtype.
cdef extern from "ground/pool.h" nogil:
    void fc_launch(share_function share, const void* args, intp nthr) noexcept
    void fc_pool_begin()
LAUNCH = <intp> <void*> &fc_launch                          # its address, for code that others compile

fc_pool_begin()
LAUNCH = <intp> <void*> &fc_launch                          # its address, for code that others compile


cdef void launch(share_function share, const void* args, intp nthr) noexcept nogil:
    """Every share of a step, on up to nthr threads; returns when all are done."""
    fc_launch(share, args, nthr)
