# One way to run shares of work on threads: `launch`.
#
# A step fills a struct with what all shares know and launches a function; that function does the ithr-th of nthr shares
# and splits the work as it likes (`split`: evenly, in order; `fc_claim`: who is free takes the next job). Shares do not
# wait for each other. One thread is a plain call. `launch_parts` splits jobs evenly, but who is done takes over of what
# a slower thread has left.
from fastconv.engines.cython_._pool cimport launch, launch_parts

cdef extern from *:
    """
    /* what a number was; it grows by one, and no two threads see the same */
    static inline ptrdiff_t fc_claim(ptrdiff_t *next) { return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED); }
    """
    intp fc_claim(intp* next) nogil

cdef inline intp split(intp jobs, intp ithr, intp nthr) noexcept nogil:
    """Share `ithr` of some jobs begins here, and ends where share ithr + 1 begins."""
    return jobs * ithr // nthr
