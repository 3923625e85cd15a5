from libc.stddef cimport ptrdiff_t as intp

ctypedef void (*share_function)(const void* args, intp ithr, intp nthr) noexcept nogil

cdef void launch(share_function share, const void* args, intp nthr) noexcept nogil
