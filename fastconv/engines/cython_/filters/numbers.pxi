# Image filters: the numbers of an image become `real`, and results numbers of an image.

cdef extern from "math.h" nogil:
    float rintf(float)


cdef int _filter_kind(cnp.ndarray a):
    cdef int t = cnp.PyArray_TYPE(a)
    if t == cnp.NPY_UINT8: return FILTER_U8
    if t == cnp.NPY_UINT16: return FILTER_U16
    if t == cnp.NPY_INT16: return FILTER_I16
    return FILTER_F32 if sizeof(real) == 8 and t == cnp.NPY_FLOAT32 else FILTER_REAL


cdef void _filter_read(int kind, const char* x, intp at, real* d, intp n) noexcept nogil:
    """n numbers of an image, from number `at` on."""
    cdef intp i
    if kind == FILTER_REAL:
        memcpy(d, (<const real*> x) + at, n * sizeof(real))
    elif kind == FILTER_U8:
        for i in range(n):
            d[i] = (<const unsigned char*> x)[at + i]
    elif kind == FILTER_U16:
        for i in range(n):
            d[i] = (<const unsigned short*> x)[at + i]
    elif kind == FILTER_I16:
        for i in range(n):
            d[i] = (<const short*> x)[at + i]
    else:
        for i in range(n):
            d[i] = <real> (<const float*> x)[at + i]


cdef inline int _whole(real v, float low, float high) noexcept nogil:
    """To a whole number: float32 to the nearest (ties to even) and saturated, float64 truncated, as C does."""
    cdef float r
    if sizeof(real) == 8:
        return <int> v
    r = <float> v
    r = r if r > low else low
    return <int> rintf(r if r < high else high)


cdef void _filter_write(int kind, const real* s, char* y, intp at, intp n) noexcept nogil:
    """n results into an image, from number `at` on."""
    cdef intp i
    if kind == FILTER_REAL:
        memcpy((<real*> y) + at, s, n * sizeof(real))
    elif kind == FILTER_U8:
        for i in range(n):
            (<unsigned char*> y)[at + i] = <unsigned char> _whole(s[i], 0, 255)
    elif kind == FILTER_U16:
        for i in range(n):
            (<unsigned short*> y)[at + i] = <unsigned short> _whole(s[i], 0, 65535)
    elif kind == FILTER_I16:
        for i in range(n):
            (<short*> y)[at + i] = <short> _whole(s[i], -32768, 32767)
    else:
        for i in range(n):
            (<float*> y)[at + i] = <float> s[i]
