# Channel-wise 3x3 kernels at stride 1, output as wide as the input: rows stream by. A row is loaded once, the columns
# beside it are made in registers (a load across cache lines costs two), and the three output rows that it meets stay
# there. Two vectors of columns at a time: sums, weights and a row fill the registers.
cdef extern from *:
    """
    #define DW_AHEAD 2048 /* so many numbers before they are read, or written, lines are asked for */
    #define DW_SUMS (VBYTES == 64 ? 2 : 1) /* vectors of columns in grad_weight: nine sums fill 16 registers */
    static const real dw_zeros[6 * LANES] = {0}; /* a row outside of the image, and what lies beside it */
    """
    enum:
        DW_AHEAD
        DW_SUMS
    const real* dw_zeros


cdef inline int _dw_streams(const DwGeometry* f, intp kh, intp kw, intp dh, intp dw, intp pl) noexcept nogil:
    """The stride at which rows stream by, or 0."""
    if not (kh == 3 and kw == 3 and dh == 1 and dw == 1 and pl == 1 and f.cs == 1 and f.cd == 1):
        return 0
    if f.step == 1 and f.split == 1 and f.uh == 1 and f.uw == 1:
        return 1 if f.sw_ == f.dw_ else 0
    return 2 if f.step * f.uh == 2 and f.split * f.uw == 2 and f.step == f.split else 0


cdef inline const real* _dw_source_row(const DwGeometry* f, const real* x, intp row) noexcept nogil:
    return x + row * f.sw_ if 0 <= row < f.sh_ else dw_zeros + LANES


cdef inline vec _dw_beside(const int V, const int v, const real* p, bint more, int lanes) noexcept nogil:
    """Vector v of a row of V; of the one behind them only the first number."""
    if v == V:
        return vset(p[V * LANES]) if more else vzero()
    return vload_part(p + v * LANES, lanes) if v + 1 == V else vload(p + v * LANES)


cdef inline void _dw_filter_row(const int V, const real* p, bint less, bint more, int lanes, const vec* w, vec* a,
                                vec* b, vec* c) noexcept nogil:
    """One row, to the sums of the output rows above it, beside it and below it."""
    cdef vec before = vset(p[-1]) if less else vzero(), x = _dw_beside(V, 0, p, more, lanes), after, s
    cdef int v
    for v in range(V):
        fetch(p + DW_AHEAD + v * LANES)
        after = _dw_beside(V, v + 1, p, more, lanes)
        s = vslide_back1(before, x)
        a[v] += w[6] * s
        b[v] += w[3] * s
        c[v] += w[0] * s
        a[v] += w[7] * x
        b[v] += w[4] * x
        c[v] += w[1] * x
        s = vslide1(x, after)
        a[v] += w[8] * s
        b[v] += w[5] * s
        c[v] += w[2] * s
        before, x = x, after


cdef inline void _dw_finish_row(const int V, vec* a, vec bias, real* y, bint keep, int lanes) noexcept nogil:
    cdef int v
    for v in range(V):
        fetch_w(y + DW_AHEAD + v * LANES)
        if keep and v + 1 < V:
            vstore(y + v * LANES, a[v])
        elif keep:
            vstore_part(y + v * LANES, a[v], lanes)
        a[v] = bias


cdef inline void _dw_filter_rows(const int V, const DwGeometry* f, const real* x, const vec* w, real bias, real* y,
                                 intp first, intp end, intp col) noexcept nogil:
    """Output rows first .. end of V vectors of columns."""
    cdef vec a[2]
    cdef vec b[2]
    cdef vec c[2]
    cdef vec start = vset(bias)
    cdef bint less = col > 0, more = col + V * LANES < f.sw_
    cdef int v, lanes = <int> min(f.sw_ - col - (V - 1) * LANES, LANES)
    cdef intp row = first - 2
    for v in range(V):
        a[v] = b[v] = c[v] = start
    x += col
    y += col
    while row < end:
        _dw_filter_row(V, _dw_source_row(f, x, row + 2 + f.top), less, more, lanes, w, a, b, c)
        _dw_finish_row(V, a, start, y + row * f.dw_, row >= first, lanes)
        row += 1
        if row == end:
            return
        _dw_filter_row(V, _dw_source_row(f, x, row + 2 + f.top), less, more, lanes, w, b, c, a)
        _dw_finish_row(V, b, start, y + row * f.dw_, row >= first, lanes)
        row += 1
        if row == end:
            return
        _dw_filter_row(V, _dw_source_row(f, x, row + 2 + f.top), less, more, lanes, w, c, a, b)
        _dw_finish_row(V, c, start, y + row * f.dw_, row >= first, lanes)
        row += 1


cdef void _dw_filter_plane(const DwGeometry* f, const DwTaps* t, const real* x, const real* w, real bias, real* y,
                           intp first, intp end) noexcept nogil:
    """Output rows first .. end of one plane."""
    cdef vec k[9]
    cdef intp i, col = 0
    for i in range(9):
        k[i] = vset(w[t.w0 + t.weight[i % 3] + i / 3 * t.down])
    while col < f.dw_:
        if col + LANES < f.dw_:
            _dw_filter_rows(2, f, x, k, bias, y, first, end, col)
        else:
            _dw_filter_rows(1, f, x, k, bias, y, first, end, col)
        col += 2 * LANES


# grad_weight. A pixel must not meet a zero that stands for a number of dy which is not there: it may be infinite.


cdef inline void _dw_columns(const int V, const int v, const real* p, bint more, int lanes, vec* before, vec* x,
                             vec* left, vec* right) noexcept nogil:
    """Vector v of a row, x, with the columns on both sides; `before` and `x` move on to the next one."""
    cdef vec after = _dw_beside(V, v + 1, p, more, lanes)
    left[0] = vslide_back1(before[0], x[0])
    if v + 1 == V:
        left[0] = vkeep(left[0], lanes)
    right[0] = vslide1(x[0], after)
    before[0], x[0] = x[0], after


cdef inline void _dw_gather_row(const int V, const bint A, const bint B, const bint C, const real* p, bint less,
                                bint more,
                                int lanes, vec* sums, const vec* a, const vec* b, const vec* c) noexcept nogil:
    """One row of x, with the rows of dy above it (if A), beside it (B) and below it (C)."""
    cdef vec before = vset(p[-1]) if less else vzero(), next = _dw_beside(V, 0, p, more, lanes), left, right, x
    cdef int v
    for v in range(V):
        fetch(p + DW_AHEAD + v * LANES)
        x = next
        _dw_columns(V, v, p, more, lanes, &before, &next, &left, &right)
        if C:
            sums[0] += c[v] * left
            sums[3] += c[v] * x
            sums[6] += c[v] * right
        if B:
            sums[1] += b[v] * left
            sums[4] += b[v] * x
            sums[7] += b[v] * right
        if A:
            sums[2] += a[v] * left
            sums[5] += a[v] * x
            sums[8] += a[v] * right


cdef inline void _dw_take_row(const int V, vec* a, const real* p, int lanes) noexcept nogil:
    cdef int v
    for v in range(V):
        fetch(p + DW_AHEAD + v * LANES)
        a[v] = _dw_beside(V, v, p, False, lanes)


cdef inline void _dw_gather_rows3(const int V, const DwGeometry* f, const real* x, const real* dy, intp first, intp end,
                                  intp col, real* total) noexcept nogil:
    cdef vec a[2]
    cdef vec b[2]
    cdef vec c[2]
    cdef vec sums[9]
    cdef bint less = col > 0, more = col + V * LANES < f.sw_
    cdef int v, lanes = <int> min(f.sw_ - col - (V - 1) * LANES, LANES)
    cdef intp row = first
    x += col
    dy += col
    for v in range(9):
        sums[v] = vload(total + v * LANES)
    _dw_take_row(V, a, dy + row * f.dw_, lanes)
    _dw_gather_row(V, False, False, True, _dw_source_row(f, x, row + f.top), less, more, lanes, sums, a, a, a)
    row += 1
    if row < end:
        _dw_take_row(V, b, dy + row * f.dw_, lanes)
        _dw_gather_row(V, False, True, True, _dw_source_row(f, x, row + f.top), less, more, lanes, sums, a, a, b)
        row += 1
    else:
        _dw_gather_row(V, False, True, False, _dw_source_row(f, x, row + f.top), less, more, lanes, sums, a, a, a)
    while row < end:
        _dw_take_row(V, c, dy + row * f.dw_, lanes)
        _dw_gather_row(V, True, True, True, _dw_source_row(f, x, row + f.top), less, more, lanes, sums, a, b, c)
        row += 1
        if row == end:
            break
        _dw_take_row(V, a, dy + row * f.dw_, lanes)
        _dw_gather_row(V, True, True, True, _dw_source_row(f, x, row + f.top), less, more, lanes, sums, b, c, a)
        row += 1
        if row == end:
            break
        _dw_take_row(V, b, dy + row * f.dw_, lanes)
        _dw_gather_row(V, True, True, True, _dw_source_row(f, x, row + f.top), less, more, lanes, sums, c, a, b)
        row += 1
    _dw_take_row(V, b, dy + (end - 1) * f.dw_, lanes)
    if end - first > 1:
        _dw_take_row(V, a, dy + (end - 2) * f.dw_, lanes)
        _dw_gather_row(V, True, True, False, _dw_source_row(f, x, end + f.top), less, more, lanes, sums, a, b, b)
    _dw_gather_row(V, True, False, False, _dw_source_row(f, x, end + 1 + f.top), less, more, lanes, sums, b, b, b)
    for v in range(9):
        vstore(total + v * LANES, sums[v])


cdef void _dw_gather_plane(const DwGeometry* f, const real* x, const real* dy, intp first, intp end,
                           real* sums) noexcept nogil:
    """Rows first .. end of dy of one plane; column by column of the kernel, three vectors of sums each."""
    cdef intp col = 0
    while col < f.dw_:
        if DW_SUMS == 2 and col + LANES < f.dw_:
            _dw_gather_rows3(2, f, x, dy, first, end, col, sums)
        else:
            _dw_gather_rows3(1, f, x, dy, first, end, col, sums)
        col += DW_SUMS * LANES
