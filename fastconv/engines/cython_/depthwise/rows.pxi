# Channel-wise 3x3 kernels at strides 1 and 2, one column of padding on the left: rows stream by. A row is loaded once,
# the columns beside it are made in registers (a load across cache lines costs two), and the output rows that it meets
# stay there. Two vectors of columns at a time: sums, weights and a row fill the registers.
cdef extern from *:
    """
    #define DW_AHEAD 2048 /* so many numbers before they are read, or written, lines are asked for */
    static const real dw_zeros[6 * LANES] = {0}; /* a row outside of the image, and what lies beside it */
    """
    enum:
        DW_AHEAD
    const real* dw_zeros

cdef struct DwRows:
    const DepthwiseRows* q
    const real* x  # of grad_input dy
    const real* dy
    const real* w
    const real* bias
    real* y  # or sums


cdef struct DwColumns:  # of the source, from the column on that is looked at
    const real* x
    intp n
    bint less  # there is one in front of them


cdef inline DwColumns _dw_columns(const DepthwiseRows* q, const real* x, intp col) noexcept nogil:
    return DwColumns(x + col, q.width - col, 0 < col <= q.width)


cdef inline const real* _dw_source_row(const DepthwiseRows* q, const DwColumns* s, intp row) noexcept nogil:
    return s.x + row * q.width if 0 <= row < q.height else dw_zeros + LANES


cdef inline vec _dw_some(const real* p, intp n) noexcept nogil:
    """The first n numbers, none of them if n < 1."""
    return vload(p) if n >= LANES else vload_part(p, <int> max(n, 0))


cdef inline vec _dw_beside(const int V, const int v, const real* p, intp n) noexcept nogil:
    """Vector v of V, of which n numbers are there, more than V - 1 have; of the one behind only the first number."""
    if v == V:
        return vset(p[V * LANES]) if n > V * LANES else vzero()
    return vload_part(p + v * LANES, <int> min(n - v * LANES, LANES)) if v + 1 == V else vload(p + v * LANES)


cdef inline void _dw_start(const int S, const int V, const real* p, const DwColumns* s, vec* ring) noexcept nogil:
    ring[0] = vset((p - 1)[0]) if s.less else vzero()
    if S == 1:
        ring[1] = _dw_beside(V, 0, p, s.n)


cdef inline void _dw_next(const int S, const int V, const int v, const real* p, const DwColumns* s, vec* ring,
                          vec* taps) noexcept nogil:
    """The columns of the three taps for vector v of V of outputs, at stride S; `ring` moves on to the next vector."""
    cdef vec a, b
    fetch(p + DW_AHEAD + S * v * LANES)
    if S == 1:
        a = _dw_beside(V, v + 1, p, s.n)
        taps[0], taps[1], taps[2] = vslide_back1(ring[0], ring[1]), ring[1], vslide1(ring[1], a)
        ring[0], ring[1] = ring[1], a
    else:
        fetch(p + DW_AHEAD + (2 * v + 1) * LANES)
        a = _dw_some(p + 2 * v * LANES, s.n - 2 * v * LANES)
        b = _dw_some(p + (2 * v + 1) * LANES, s.n - (2 * v + 1) * LANES)
        taps[1], taps[2] = veven(a, b), vodd(a, b)
        taps[0] = vslide_back1(ring[0], taps[2])
        ring[0] = taps[2]


cdef inline void _dw_filter_row(const int S, const int V, const real* p, const DwColumns* s, const vec* w, vec* a,
                                vec* b, vec* c) noexcept nogil:
    """One row, to the sums of the output rows above it, beside it and below it, or NULL."""
    cdef vec ring[2]
    cdef vec taps[3]
    cdef int v, i
    _dw_start(S, V, p, s, ring)
    for v in range(V):
        _dw_next(S, V, v, p, s, ring, taps)
        for i in range(3):
            if a != NULL:
                a[v] += w[6 + i] * taps[i]
            if b != NULL:
                b[v] += w[3 + i] * taps[i]
            if c != NULL:
                c[v] += w[i] * taps[i]


cdef inline void _dw_finish_row(const int V, vec* a, vec bias, real* y, bint keep, int lanes) noexcept nogil:
    cdef int v
    for v in range(V):
        fetch_w(y + DW_AHEAD + v * LANES)
        if keep and v + 1 < V:
            vstore(y + v * LANES, a[v])
        elif keep:
            vstore_part(y + v * LANES, a[v], lanes)
        a[v] = bias


cdef inline void _dw_filter_rows1(const int V, const DepthwiseRows* q, const DwColumns* s, const vec* w, vec bias,
                                  real* y, intp first, intp end, int lanes) noexcept nogil:
    """Output rows first .. end of V vectors of columns."""
    cdef vec a[2]
    cdef vec b[2]
    cdef vec c[2]
    cdef int v
    cdef intp row = first - 2
    for v in range(V):
        a[v] = b[v] = c[v] = bias
    while row < end:
        _dw_filter_row(1, V, _dw_source_row(q, s, row + 2 + q.top), s, w, a, b, c)
        _dw_finish_row(V, a, bias, y + row * q.out_width, row >= first, lanes)
        row += 1
        if row == end:
            return
        _dw_filter_row(1, V, _dw_source_row(q, s, row + 2 + q.top), s, w, b, c, a)
        _dw_finish_row(V, b, bias, y + row * q.out_width, row >= first, lanes)
        row += 1
        if row == end:
            return
        _dw_filter_row(1, V, _dw_source_row(q, s, row + 2 + q.top), s, w, c, a, b)
        _dw_finish_row(V, c, bias, y + row * q.out_width, row >= first, lanes)
        row += 1


cdef inline void _dw_filter_rows2(const int V, const DepthwiseRows* q, const DwColumns* s, const vec* w, vec bias,
                                  real* y, intp first, intp end, int lanes) noexcept nogil:
    cdef vec a[2]
    cdef vec b[2]
    cdef int v
    cdef intp row
    for v in range(V):
        a[v] = b[v] = bias
    _dw_filter_row(2, V, _dw_source_row(q, s, 2 * first + q.top), s, w, NULL, NULL, a)
    for row in range(first, end):
        _dw_filter_row(2, V, _dw_source_row(q, s, 2 * row + 1 + q.top), s, w, NULL, a, NULL)
        _dw_filter_row(2, V, _dw_source_row(q, s, 2 * row + 2 + q.top), s, w, a, NULL, b)
        _dw_finish_row(V, a, bias, y + row * q.out_width, True, lanes)
        for v in range(V):
            a[v], b[v] = b[v], bias


cdef inline void _dw_filter_columns(const int V, const DepthwiseRows* q, const real* x, const vec* w, vec bias, real* y,
                                    intp first, intp end, intp col) noexcept nogil:
    cdef int lanes = <int> min(q.out_width - col - (V - 1) * LANES, LANES)
    cdef DwColumns s = _dw_columns(q, x, q.stride * col)
    if q.stride == 1:
        _dw_filter_rows1(V, q, &s, w, bias, y + col, first, end, lanes)
    else:
        _dw_filter_rows2(V, q, &s, w, bias, y + col, first, end, lanes)


cdef void _dw_filter_plane(const DepthwiseRows* q, const real* x, const real* w, real bias, real* y, intp first,
                           intp end) noexcept nogil:
    """Output rows first .. end of one plane."""
    cdef vec k[9]
    cdef intp i, col = 0
    for i in range(9):
        k[i] = vset(w[8 - i if q.turned else i])
    while col < q.out_width:
        if col + LANES < q.out_width:
            _dw_filter_columns(2, q, x, k, vset(bias), y, first, end, col)
        else:
            _dw_filter_columns(1, q, x, k, vset(bias), y, first, end, col)
        col += 2 * LANES


cdef inline void _dw_spread_store(real* y, vec even, vec odd, intp n) noexcept nogil:
    """Columns 2j and 2j + 1, of which n are there."""
    cdef vec a = vziplo(even, odd), b = vziphi(even, odd)
    fetch_w(y + DW_AHEAD)
    fetch_w(y + DW_AHEAD + LANES)
    if n >= 2 * LANES:
        vstore(y, a)
        vstore(y + LANES, b)
    else:
        vstore_part(y, a, <int> min(n, LANES))
        if n > LANES:
            vstore_part(y + LANES, b, <int> (n - LANES))


cdef void _dw_spread_plane(const DepthwiseRows* q, const real* x, const real* w, real* y, intp first,
                           intp end) noexcept nogil:
    """grad_input at stride 2: rows first .. end of dx (y) of one plane, from dy (x).

    Row i and column j of dy go to rows 2i + top + (0, 1, 2) and columns 2j - 1 + (0, 1, 2).
    """
    cdef vec k[9]
    cdef vec dy, right, even = vzero(), odd = vzero()
    cdef const real* p
    cdef DwColumns s
    cdef intp i, row, col = 0, n, last = (end - 1 - q.top) // 2
    for i in range(9):
        k[i] = vset(w[i])
    while 2 * col < q.out_width:
        n, s = q.out_width - 2 * col, _dw_columns(q, x, col)
        for i in range((first - q.top) // 2 - 1, last + 1):
            p = _dw_source_row(q, &s, i)
            fetch(p + DW_AHEAD)
            dy = _dw_some(p, s.n)
            right = vslide1(dy, vset(p[LANES]) if s.n > LANES else vzero())
            even += k[1] * dy
            odd += k[2] * dy
            odd += k[0] * right
            row = 2 * i + q.top
            if first <= row < end:
                _dw_spread_store(y + row * q.out_width + 2 * col, even, odd, n)
            row += 1
            if first <= row < end:
                odd = k[5] * dy
                odd += k[3] * right
                _dw_spread_store(y + row * q.out_width + 2 * col, k[4] * dy, odd, n)
            even = k[7] * dy
            odd = k[8] * dy
            odd += k[6] * right
        even = odd = vzero()
        col += LANES


cdef void _dw_rows_part(const void* arguments, intp job, intp end, intp ithr, bint again) noexcept nogil:
    """A job is a band of rows of one plane."""
    cdef const DwRows* a = <const DwRows*> arguments
    cdef const DepthwiseRows* q = a.q
    cdef intp rows = q.rows * (2 if q.spread else 1), plane, c, top, bottom
    cdef const real* x
    cdef real* y
    for job in range(job, end):
        plane, top = job // q.bands, job % q.bands * rows
        bottom, c = min(top + rows, q.out_height), plane % q.channels
        x, y = a.x + plane * q.height * q.width, a.y + plane * q.out_height * q.out_width
        if q.spread:
            _dw_spread_plane(q, x, a.w + 9 * c, y, top, bottom)
        else:
            _dw_filter_plane(q, x, a.w + 9 * c, a.bias[c] if a.bias != NULL else 0, y, top, bottom)


def depthwise_rows(cnp.ndarray x, cnp.ndarray w, cnp.ndarray bias, cnp.ndarray y, cnp.ndarray q, int threads):
    """y OUT = conv(x IN, w IN) + bias IN (co, or empty), or dx of dy."""
    cdef DwRows a
    a.q, a.x, a.w, a.y = read_DepthwiseRows(q), data(x), data(w), data(y)
    a.bias = data(bias) if cnp.PyArray_SIZE(bias) else NULL
    with nogil:
        launch_parts(_dw_rows_part, &a, a.q.images * a.q.channels * a.q.bands, threads)
