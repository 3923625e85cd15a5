# The threads of all compiled kernels, whatever their instruction set and dtype.
import os

cdef extern from "ground/pool.h" nogil:
    enum: FC_SPIN_US
    void fc_launch(share_function share, const void* args, intp nthr) noexcept
    void fc_pool_begin(bint spins, intp cores)

LAUNCH = <intp> <void*> &fc_launch                          # its address, for code that others compile
SPIN = 0 if os.environ.get("OMP_WAIT_POLICY", "").strip().lower() == "passive" else FC_SPIN_US  # microseconds
fc_pool_begin(SPIN > 0, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


cdef void launch(share_function share, const void* args, intp nthr) noexcept nogil:
    """Every share of a step, on up to nthr threads; returns when all are done."""
    fc_launch(share, args, nthr)
