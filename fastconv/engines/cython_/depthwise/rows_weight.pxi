# grad_weight where rows stream by, see rows.pxi: column by column of the kernel, three vectors of sums each. A pixel
# must not meet a zero that stands for a number of dy which is not there: it may be infinite.
cdef extern from *:
    """
    #define DW_SUMS (VBYTES == 64 ? 2 : 1) /* vectors of columns at stride 1: nine sums fill 16 registers */
    """
    enum:
        DW_SUMS


cdef inline void _dw_gather_row(const int S, const int V, const real* p, const DwColumns* s, int lanes, vec* sums,
                                const vec* a, const vec* b, const vec* c) noexcept nogil:
    """One row of x, with the rows of dy above it, beside it and below it, or NULL."""
    cdef vec ring[2]
    cdef vec taps[3]
    cdef int v, i
    _dw_start(S, V, p, s, ring)
    for v in range(V):
        _dw_next(S, V, v, p, s, ring, taps)
        if v + 1 == V:
            taps[0] = vkeep(taps[0], lanes)
            if S == 2:  # else there is no other behind the image
                taps[1], taps[2] = vkeep(taps[1], lanes), vkeep(taps[2], lanes)
        for i in range(3):
            if c != NULL:
                sums[3 * i] += c[v] * taps[i]
            if b != NULL:
                sums[3 * i + 1] += b[v] * taps[i]
            if a != NULL:
                sums[3 * i + 2] += a[v] * taps[i]


cdef inline void _dw_take_row(const int V, vec* a, const real* p, intp n) noexcept nogil:
    cdef int v
    for v in range(V):
        fetch(p + DW_AHEAD + v * LANES)
        a[v] = _dw_beside(V, v, p, n)


cdef inline void _dw_gather_rows1(const int V, const DepthwiseRows* q, const DwColumns* s, const real* dy, intp n,
                                  intp first, intp end, int lanes, vec* sums) noexcept nogil:
    """Rows first .. end of dy, V vectors of columns, of which n are there."""
    cdef vec a[2]
    cdef vec b[2]
    cdef vec c[2]
    cdef intp row = first
    _dw_take_row(V, a, dy + row * q.out_width, n)
    _dw_gather_row(1, V, _dw_source_row(q, s, row + q.top), s, lanes, sums, NULL, NULL, a)
    row += 1
    if row < end:
        _dw_take_row(V, b, dy + row * q.out_width, n)
        _dw_gather_row(1, V, _dw_source_row(q, s, row + q.top), s, lanes, sums, NULL, a, b)
        row += 1
    else:
        _dw_gather_row(1, V, _dw_source_row(q, s, row + q.top), s, lanes, sums, NULL, a, NULL)
    while row < end:
        _dw_take_row(V, c, dy + row * q.out_width, n)
        _dw_gather_row(1, V, _dw_source_row(q, s, row + q.top), s, lanes, sums, a, b, c)
        row += 1
        if row == end:
            break
        _dw_take_row(V, a, dy + row * q.out_width, n)
        _dw_gather_row(1, V, _dw_source_row(q, s, row + q.top), s, lanes, sums, b, c, a)
        row += 1
        if row == end:
            break
        _dw_take_row(V, b, dy + row * q.out_width, n)
        _dw_gather_row(1, V, _dw_source_row(q, s, row + q.top), s, lanes, sums, c, a, b)
        row += 1
    _dw_take_row(V, b, dy + (end - 1) * q.out_width, n)
    if end - first > 1:
        _dw_take_row(V, a, dy + (end - 2) * q.out_width, n)
        _dw_gather_row(1, V, _dw_source_row(q, s, end + q.top), s, lanes, sums, a, b, NULL)
    _dw_gather_row(1, V, _dw_source_row(q, s, end + 1 + q.top), s, lanes, sums, b, NULL, NULL)


cdef inline void _dw_gather_rows2(const int V, const DepthwiseRows* q, const DwColumns* s, const real* dy, intp n,
                                  intp first, intp end, int lanes, vec* sums) noexcept nogil:
    cdef vec a[2]
    cdef vec b[2]
    cdef intp row
    cdef int v
    _dw_take_row(V, a, dy + first * q.out_width, n)
    _dw_gather_row(2, V, _dw_source_row(q, s, 2 * first + q.top), s, lanes, sums, NULL, NULL, a)
    for row in range(first, end):
        _dw_gather_row(2, V, _dw_source_row(q, s, 2 * row + 1 + q.top), s, lanes, sums, NULL, a, NULL)
        if row + 1 == end:
            break
        _dw_take_row(V, b, dy + (row + 1) * q.out_width, n)
        _dw_gather_row(2, V, _dw_source_row(q, s, 2 * row + 2 + q.top), s, lanes, sums, a, NULL, b)
        for v in range(V):
            a[v] = b[v]
    _dw_gather_row(2, V, _dw_source_row(q, s, 2 * end + q.top), s, lanes, sums, a, NULL, NULL)


cdef inline void _dw_gather_columns(const int S, const int V, const DepthwiseRows* q, const real* x, const real* dy,
                                    intp first, intp end, intp col, vec* total) noexcept nogil:
    cdef intp n = q.out_width - col
    cdef int lanes = <int> min(n - (V - 1) * LANES, LANES), i
    cdef DwColumns s = _dw_columns(q, x, S * col)
    cdef vec sums[9]
    for i in range(9):
        sums[i] = total[i]
    if S == 1:
        _dw_gather_rows1(V, q, &s, dy + col, n, first, end, lanes, sums)
    else:
        _dw_gather_rows2(V, q, &s, dy + col, n, first, end, lanes, sums)
    for i in range(9):
        total[i] = sums[i]


cdef void _dw_gather_plane(const DepthwiseRows* q, const real* x, const real* dy, intp first, intp end,
                           vec* sums) noexcept nogil:
    """Rows first .. end of dy of one plane."""
    cdef intp col = 0
    while col < q.out_width:
        if q.stride == 1 and DW_SUMS == 2 and col + LANES < q.out_width:
            _dw_gather_columns(1, 2, q, x, dy, first, end, col, sums)
        elif q.stride == 1:
            _dw_gather_columns(1, 1, q, x, dy, first, end, col, sums)
        elif col + LANES < q.out_width:
            _dw_gather_columns(2, 2, q, x, dy, first, end, col, sums)
        else:
            _dw_gather_columns(2, 1, q, x, dy, first, end, col, sums)
        col += (DW_SUMS if q.stride == 1 else 2) * LANES


cdef void _dw_rows_sums_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    """A job is one channel's weights, summed over one part of all bands of all images."""
    cdef const DwRows* a = <const DwRows*> arguments
    cdef const DepthwiseRows* q = a.q
    cdef intp jobs = q.channels * q.parts, items = q.images * q.bands, job, c, part, i, k, plane, first
    cdef vec sums[9]
    for job in range(split(jobs, ithr, nthr), split(jobs, ithr + 1, nthr)):
        c, part = job % q.channels, job // q.channels
        for k in range(9):
            sums[k] = vzero()
        for i in range(split(items, part, q.parts), split(items, part + 1, q.parts)):
            plane, first = i // q.bands * q.channels + c, i % q.bands * q.rows
            _dw_gather_plane(q, a.x + plane * q.height * q.width, a.dy + plane * q.out_height * q.out_width, first,
                             min(first + q.rows, q.out_height), sums)
        for k in range(9):
            a.y[9 * job + k] = vsum(sums[k % 3 * 3 + k // 3])


def depthwise_rows_sums(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray sums, cnp.ndarray q, int threads):
    """sums OUT [parts][as dw] of dy IN, x IN."""
    cdef DwRows a
    a.q, a.dy, a.x, a.y = read_DepthwiseRows(q), data(dy), data(x), data(sums)
    with nogil:
        launch(_dw_rows_sums_share, &a, threads)
