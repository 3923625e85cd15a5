# How many threads OpenMP would give a region that names none.
cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #else
    static int omp_get_max_threads(void) { return 0; }
    #endif
    """
    int omp_get_max_threads() nogil


def max_threads():
    """Threads of a region that this thread starts now, as it last told `omp_set_num_threads`; 0 without OpenMP."""
    return omp_get_max_threads()
