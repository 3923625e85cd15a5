# What steps of several algorithms need: memory functions, and where a strided row meets the image.
from libc.string cimport memcpy, memset


cdef inline intp _first(intp start, intp step) noexcept nogil:
    """Smallest j >= 0 with start + j * step >= 0."""
    return 0 if start >= 0 else (-start + step - 1) // step


cdef inline intp _stop(intp start, intp step, intp size) noexcept nogil:
    """Smallest j >= 0 with start + j * step >= size."""
    return 0 if start >= size else (size - start + step - 1) // step


cdef inline const real* _place(const real* a, intp at) noexcept nogil:
    """a[at:], of an array that may be absent."""
    if a == NULL:
        return NULL
    return a + at


cdef void row_to_phases(const real* x, intp W, intp pl, intp step, intp phases, intp width, real* d) noexcept nogil:
    """A row, pl zeros (or pixels left out) in front, its columns split by their remainder: phase b at d + b * width."""
    cdef intp b, a, e, k
    cdef real* o = d
    for b in range(phases):
        a = min(_first(b - pl, step), width)
        e = max(a, min(width, _stop(b - pl, step, W)))
        memset(o, 0, a * sizeof(real))
        memset(o + e, 0, (width - e) * sizeof(real))
        if step == 1:
            memcpy(o + a, x + a - pl, (e - a) * sizeof(real))
        elif step == 2:                                     # constant steps, for the compiler to shuffle
            for k in range(a, e):
                o[k] = x[k * 2 + b - pl]
        elif step == 4:
            for k in range(a, e):
                o[k] = x[k * 4 + b - pl]
        else:
            for k in range(a, e):
                o[k] = x[k * step + b - pl]
        o += width
