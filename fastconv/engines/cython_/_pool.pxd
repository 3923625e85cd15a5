from libc.stddef cimport ptrdiff_t as intp

ctypedef void (*share_function)(const void* args, intp ithr, intp nthr) noexcept nogil

ctypedef void (*part_function)(const void* args, intp first, intp end, intp ithr, bint again) noexcept nogil

cdef void launch(share_function share, const void* args, intp nthr) noexcept nogil

cdef void launch_parts(part_function part, const void* args, intp jobs, intp nthr, intp ways=*) noexcept nogil
