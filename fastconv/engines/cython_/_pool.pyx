# The threads of all compiled kernels, whatever their instruction set and dtype.
import os

cdef extern from "ground/parts.h" nogil:
    enum: FC_SPIN_US
    void fc_launch(share_function share, const void* args, intp nthr) noexcept
    void fc_launch_parts(part_function part, const void* args, intp jobs, intp nthr, intp ways) noexcept
    void fc_pool_begin(bint spins, intp cores)
    void fc_set_host(intp parallel, intp place) noexcept
    int fc_be_guest(int on) noexcept

LAUNCH = <intp> <void*> &fc_launch                          # its address, for code that others compile
LAUNCH_PARTS = <intp> <void*> &fc_launch_parts
SPIN = 0 if os.environ.get("OMP_WAIT_POLICY", "").strip().lower() == "passive" else FC_SPIN_US  # microseconds
fc_pool_begin(SPIN > 0, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


cdef void launch(share_function share, const void* args, intp nthr) noexcept nogil:
    """Every share of a step, on up to nthr threads; returns when all are done."""
    fc_launch(share, args, nthr)


cdef void launch_parts(part_function part, const void* args, intp jobs, intp nthr, intp ways=1) noexcept nogil:
    """part(args, first, end, ithr, again) until all jobs are done; threads of a crew, `ways` beside each other, do the
    same ones. They begin evenly, and a slower thread's go to others."""
    fc_launch_parts(part, args, jobs, nthr, ways)


def host(intp parallel, intp place):
    """Launches of guests run on the threads of the OpenMP library whose `GOMP_parallel` and `omp_get_thread_num` these
    are; never in a forked child."""
    fc_set_host(parallel, place)


def guest(bint on):
    """Whether launches of this thread are a guest's -> whether they were."""
    return bool(fc_be_guest(on))
