# Image filters: the numbers of an image become `real`, and results numbers of an image.

cdef extern from "math.h" nogil:
    float rintf(float)

# kinds of numbers: `real`, what images hold, and float32 beside float64
cdef enum:
    FILTER_REAL, FILTER_U8, FILTER_U16, FILTER_I16, FILTER_F32


cdef int _kind(cnp.ndarray a):
    cdef int t = cnp.PyArray_TYPE(a)
    if t == cnp.NPY_UINT8: return FILTER_U8
    if t == cnp.NPY_UINT16: return FILTER_U16
    if t == cnp.NPY_INT16: return FILTER_I16
    return FILTER_F32 if sizeof(real) == 8 and t == cnp.NPY_FLOAT32 else FILTER_REAL


cdef inline intp _size_of(int kind) noexcept nogil:
    return sizeof(real) if kind == FILTER_REAL else 1 if kind == FILTER_U8 else 4 if kind == FILTER_F32 else 2


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


cdef inline const char* _number(int kind, const void* p, intp at) noexcept nogil:
    """Where number `at` of a row is."""
    return (<const char*> p) + at * _size_of(kind)


cdef inline vec _get(const int kind, const char* p, intp at) noexcept nogil:
    return vload_bytes(p + at) if kind == FILTER_U8 else vload((<const real*> p) + at)


cdef inline void _put(const int kind, char* p, intp at, vec v) noexcept nogil:
    if kind == FILTER_U8: vstore_bytes(p + at, v)
    else: vstore((<real*> p) + at, v)
