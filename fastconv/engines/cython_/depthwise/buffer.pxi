# Channel-wise kernels, lanes = output pixels of a row: the buffer and the tables that all passes share.
#
# A job is a band of output rows of one image and group. The source rows that it needs are copied once into a
# zero-padded buffer, columns split by their remainder modulo the stride; from there on every tap is a fixed
# distance, whatever stride, dilation and padding are, and a block of output rows stays in registers.

cdef extern from *:
    """
    #define DW_LINE (64 / (int)sizeof(real)) /* numbers of a cache line */
    #define DW_TALL (FC_REGISTERS == 32 ? 14 : 8) /* output rows whose sums stay in registers */
    #define DW_HALF (DW_TALL / 2)
    #define DW_LOW (DW_TALL / 4)

    /* a value the compiler must keep in a register: it would load it again for each of its uses */
    FC_INLINE vec dw_hold(vec v) {
    #ifdef FC_REGISTER
        __asm__("" : FC_REGISTER(v));
    #endif
        return v;
    }

    /* sums of a block of rows; unrolled, since an array that is indexed by a variable lives in memory */
    FC_INLINE void dw_take_rows(vec *a, const int R, const real *y, Py_ssize_t ys,
                                                                   int rows, int lanes) {
        FC_UNROLL for (int r = 0; r < R; r++)
            if (r < rows) a[r] = lanes == LANES ? vload(y + r * ys) : vload_part(y + r * ys, lanes);
    }
    FC_INLINE void dw_put_rows(const vec *a, const int R, real *y, Py_ssize_t ys,
                                                                  int rows, int lanes) {
        if (lanes == LANES) {
            FC_UNROLL for (int r = 0; r < R; r++) if (r < rows) vstore(y + r * ys, a[r]);
        } else {
            FC_UNROLL for (int r = 0; r < R; r++) if (r < rows) vstore_part(y + r * ys, a[r], lanes);
        }
    }
    """
    void dw_take_rows(vec* a, int R, const real* y, intp ys, int rows, int lanes) nogil
    void dw_put_rows(const vec* a, int R, real* y, intp ys, int rows, int lanes) nogil
    vec dw_hold(vec v) nogil
    enum:
        DW_LINE
        DW_TALL
        DW_HALF
        DW_LOW

cdef struct DwBands:
    const DepthwiseBands* q
    const DepthwisePhase* phases
    const intp* places
    const real* x  # of grad_input dy
    const real* dy
    const real* w
    const real* bias
    real* y  # or sums
    real* work


cdef DwBands _dw_bands(cnp.ndarray q, cnp.ndarray phases, cnp.ndarray places, cnp.ndarray work) except *:
    """What all passes know; arrays are filled in by them."""
    cdef DwBands a
    a.q = read_DepthwiseBands(q)
    if cnp.PyArray_SIZE(phases) * sizeof(intp) != a.q.phases_v * a.q.phases_h * sizeof(DepthwisePhase):
        raise ValueError("phases has a DepthwisePhase for each phase")
    a.phases, a.places = <const DepthwisePhase*> cnp.PyArray_DATA(phases), <const intp*> cnp.PyArray_DATA(places)
    a.x = a.dy = a.w = a.bias = NULL
    a.y, a.work = NULL, data(work)
    return a


cdef inline void _dw_clear(real* d, intp i, intp end) noexcept nogil:
    """Whole vectors of zeros."""
    while i < end:
        vstore(d + i, vzero())
        i += LANES


cdef inline void _dw_copy_row(const DepthwiseBands* q, const real* s, real* d) noexcept nogil:
    """One source row; the columns around it are zero already."""
    cdef intp i = 0, k, n, w = q.width
    cdef vec a, b
    d += q.left
    if q.split == 1:
        while i + LANES <= w:
            vstore(d + i, vload(s + i))
            i += LANES
        if i < w:
            vstore(d + i, vload_part(s + i, <int> (w - i)))
    elif q.split == 2:
        while 2 * (i + LANES) <= w:
            a, b = vload(s + 2 * i), vload(s + 2 * i + LANES)
            vstore(d + i, veven(a, b))
            vstore(d + q.line + i, vodd(a, b))
            i += LANES
        n = w - 2 * i
        if n > 0:
            a, b = vload_part(s + 2 * i, <int> min(n, LANES)), vzero()
            if n > LANES:
                b = vload_part(s + 2 * i + LANES, <int> (n - LANES))
            vstore(d + i, veven(a, b))
            vstore(d + q.line + i, vodd(a, b))
    else:
        for k in range(q.split):
            for i in range((w - k + q.split - 1) // q.split):
                d[k * q.line + i] = s[i * q.split + k]


cdef void _dw_copy_in(const DepthwiseBands* q, const real* x, intp first, intp count, real* b) noexcept nogil:
    """Source rows first .. first + count - 1 of a group's channels into the buffer, zeros for those outside."""
    cdef intp c, r, pitch = q.split * q.line
    cdef real* d
    for c in range(q.channels):
        for r in range(count):
            d = b + (c * q.lines + r) * pitch
            if 0 <= first + r < q.height:
                _dw_copy_row(q, x + (c * q.height + first + r) * q.width, d)
            else:
                _dw_clear(d, 0, pitch)


cdef inline intp _dw_next_run(const DepthwiseBands* q, intp left) noexcept nogil:
    """How many of the kernel rows left to do go into one block: sizes that are compiled."""
    return 7 if left >= 7 else 5 if left >= 5 else 3 if left >= 3 else 1 if q.step == 2 else left


cdef inline void _dw_fetch(const real* p, intp lines) noexcept nogil:
    cdef intp i
    for i in range(lines):
        fetch(p + i * DW_LINE)


cdef inline void _dw_fetch_w(const real* p, intp lines) noexcept nogil:
    cdef intp i
    for i in range(lines):
        fetch_w(p + i * DW_LINE)
