# One way to run shares of work on threads.
#
# A step fills a struct with what all shares know and launches a function; that function does the ithr-th of nthr shares
# and splits the work as it likes (`split`: evenly, in order; `fc_claim`: who is free takes the next job). One thread is
# a plain call: no region, no barrier.
cdef extern from *:
    """
    /* what a number was; it grows by one, and no two threads see the same */
    static inline ptrdiff_t fc_claim(ptrdiff_t *next) { return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED); }
    """
    intp fc_claim(intp* next) nogil

ctypedef void (*share_function)(const void* args, intp ithr, intp nthr) noexcept nogil


cdef void launch(share_function share, const void* args, intp threads) noexcept nogil:
    """Every share of a step, each on a thread of its own."""
    cdef intp t
    if threads <= 1:
        share(args, 0, 1)
    else:
        for t in prange(threads, schedule="static", chunksize=1, num_threads=<int> threads):
            share(args, t, threads)


cdef inline intp split(intp jobs, intp ithr, intp nthr) noexcept nogil:
    """Share `ithr` of some jobs begins here, and ends where share ithr + 1 begins."""
    return jobs * ithr // nthr
