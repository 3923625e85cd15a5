# Channel-wise 3x3 kernels at stride 2, one column of padding on the left: rows stream by, as in rows.pxi.
# Columns of the image are taken apart, or put together, in registers.

cdef inline vec _dw_some(const real* p, intp n) noexcept nogil:
    """The first n numbers, none of them if n < 1."""
    return vload(p) if n >= LANES else vload_part(p, <int> max(n, 0))


cdef inline void _dw_halve(const real* p, intp n, vec before, vec* left, vec* even, vec* odd) noexcept nogil:
    """Columns 2j - 1, 2j and 2j + 1 of a row of which n are left; `before` ends with the odd column before them."""
    cdef vec a = _dw_some(p, n), b = _dw_some(p + LANES, n - LANES)
    fetch(p + DW_AHEAD)
    fetch(p + DW_AHEAD + LANES)
    even[0], odd[0] = veven(a, b), vodd(a, b)
    left[0] = vslide_back1(before, odd[0])


cdef inline void _dw_outer_row2(const int V, const real* p, intp n, bint less, const vec* w, vec* a,
                                vec* b) noexcept nogil:
    """A row that is the last of the output row above it and the first of the one below it."""
    cdef vec odd = vset(p[-1]) if less else vzero(), left, even
    cdef int v
    for v in range(V):
        _dw_halve(p + 2 * v * LANES, n - 2 * v * LANES, odd, &left, &even, &odd)
        a[v] += w[6] * left
        b[v] += w[0] * left
        a[v] += w[7] * even
        b[v] += w[1] * even
        a[v] += w[8] * odd
        b[v] += w[2] * odd


cdef inline void _dw_inner_row2(const int V, const real* p, intp n, bint less, const vec* w, vec* b) noexcept nogil:
    cdef vec odd = vset(p[-1]) if less else vzero(), left, even
    cdef int v
    for v in range(V):
        _dw_halve(p + 2 * v * LANES, n - 2 * v * LANES, odd, &left, &even, &odd)
        b[v] += w[3] * left
        b[v] += w[4] * even
        b[v] += w[5] * odd


cdef inline void _dw_filter_rows2(const int V, const DwGeometry* f, const real* x, const vec* w, real bias, real* y,
                                  intp first, intp end, intp col) noexcept nogil:
    cdef vec a[2]
    cdef vec b[2]
    cdef vec start = vset(bias)
    cdef intp row, n = f.sw_ - 2 * col
    cdef int v, lanes = <int> min(f.dw_ - col - (V - 1) * LANES, LANES)
    cdef bint less = 0 < 2 * col <= f.sw_
    x += 2 * col
    y += col
    for v in range(V):
        a[v] = b[v] = start
    _dw_outer_row2(V, _dw_source_row(f, x, 2 * first + f.top), n, less, w, b, a)  # what b becomes is not used
    for row in range(first, end):
        _dw_inner_row2(V, _dw_source_row(f, x, 2 * row + 1 + f.top), n, less, w, a)
        for v in range(V):
            b[v] = start
        _dw_outer_row2(V, _dw_source_row(f, x, 2 * row + 2 + f.top), n, less, w, a, b)
        _dw_finish_row(V, a, start, y + row * f.dw_, True, lanes)
        for v in range(V):
            a[v] = b[v]


cdef void _dw_filter_plane2(const DwGeometry* f, const real* x, const real* w, real bias, real* y, intp first,
                            intp end) noexcept nogil:
    """Output rows first .. end of one plane."""
    cdef vec k[9]
    cdef intp i, col = 0
    for i in range(9):
        k[i] = vset(w[i])
    while col < f.dw_:
        if col + LANES < f.dw_:
            _dw_filter_rows2(2, f, x, k, bias, y, first, end, col)
        else:
            _dw_filter_rows2(1, f, x, k, bias, y, first, end, col)
        col += 2 * LANES


cdef inline void _dw_gather_pair2(const int V, const real* p, intp n, bint less, int lanes, vec* sums,
                                  const vec* a) noexcept nogil:
    """One row of x with one of dy."""
    cdef vec odd = vset(p[-1]) if less else vzero(), left, even
    cdef int v
    for v in range(V):
        _dw_halve(p + 2 * v * LANES, n - 2 * v * LANES, odd, &left, &even, &odd)
        if v + 1 == V:
            left, even, odd = vkeep(left, lanes), vkeep(even, lanes), vkeep(odd, lanes)
        sums[0] += a[v] * left
        sums[3] += a[v] * even
        sums[6] += a[v] * odd


cdef inline void _dw_gather_outer2(const int V, const real* p, intp n, bint less, int lanes, vec* sums, const vec* a,
                                   const vec* b) noexcept nogil:
    """One row of x with the rows of dy above it and below it."""
    cdef vec odd = vset(p[-1]) if less else vzero(), left, even
    cdef int v
    for v in range(V):
        _dw_halve(p + 2 * v * LANES, n - 2 * v * LANES, odd, &left, &even, &odd)
        if v + 1 == V:
            left, even, odd = vkeep(left, lanes), vkeep(even, lanes), vkeep(odd, lanes)
        sums[0] += b[v] * left
        sums[2] += a[v] * left
        sums[3] += b[v] * even
        sums[5] += a[v] * even
        sums[6] += b[v] * odd
        sums[8] += a[v] * odd


cdef inline void _dw_gather_rows2(const int V, const DwGeometry* f, const real* x, const real* dy, intp first, intp end,
                                  intp col, real* total) noexcept nogil:
    cdef vec a[2]
    cdef vec b[2]
    cdef vec sums[9]
    cdef intp row, n = f.sw_ - 2 * col
    cdef int v, lanes = <int> min(f.dw_ - col - (V - 1) * LANES, LANES)
    cdef bint less = 0 < 2 * col <= f.sw_
    x += 2 * col
    dy += col
    for v in range(9):
        sums[v] = vload(total + v * LANES)
    _dw_take_row(V, a, dy + first * f.dw_, lanes)
    _dw_gather_pair2(V, _dw_source_row(f, x, 2 * first + f.top), n, less, lanes, sums, a)
    for row in range(first, end):
        _dw_gather_pair2(V, _dw_source_row(f, x, 2 * row + 1 + f.top), n, less, lanes, sums + 1, a)
        if row + 1 == end:
            break
        _dw_take_row(V, b, dy + (row + 1) * f.dw_, lanes)
        _dw_gather_outer2(V, _dw_source_row(f, x, 2 * row + 2 + f.top), n, less, lanes, sums, a, b)
        for v in range(V):
            a[v] = b[v]
    _dw_gather_pair2(V, _dw_source_row(f, x, 2 * end + f.top), n, less, lanes, sums + 2, a)
    for v in range(9):
        vstore(total + v * LANES, sums[v])


cdef void _dw_gather_plane2(const DwGeometry* f, const real* x, const real* dy, intp first, intp end,
                            real* sums) noexcept nogil:
    """Rows first .. end of dy of one plane; column by column of the kernel, three vectors of sums each."""
    cdef intp col = 0
    while col < f.dw_:
        if col + LANES < f.dw_:
            _dw_gather_rows2(2, f, x, dy, first, end, col, sums)
        else:
            _dw_gather_rows2(1, f, x, dy, first, end, col, sums)
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


cdef void _dw_spread_plane(const DwGeometry* f, const real* x, const real* w, real* y, intp first,
                           intp end) noexcept nogil:
    """grad_input: rows first .. end of dx (y) of one plane, from dy (x).

    Row i and column j of dy go to rows 2i - pt + (0, 1, 2) and columns 2j - 1 + (0, 1, 2).
    """
    cdef vec k[9]
    cdef vec dy, right, even = vzero(), odd = vzero()
    cdef const real* p
    cdef intp i, row, col = 0, n, last = (end - 1 + f.pt) / 2
    for i in range(9):
        k[i] = vset(w[i])
    while 2 * col < f.dw_:
        n = f.dw_ - 2 * col
        for i in range((first + f.pt) / 2 - 1, last + 1):
            p = _dw_source_row(f, x + col, i)
            fetch(p + DW_AHEAD)
            dy = _dw_some(p, f.sw_ - col)
            right = vslide1(dy, vset(p[LANES]) if col + LANES < f.sw_ else vzero())
            even += k[1] * dy
            odd += k[2] * dy
            odd += k[0] * right
            row = 2 * i - f.pt
            if first <= row < end:
                _dw_spread_store(y + row * f.dw_ + 2 * col, even, odd, n)
            row += 1
            if first <= row < end:
                odd = k[5] * dy
                odd += k[3] * right
                _dw_spread_store(y + row * f.dw_ + 2 * col, k[4] * dy, odd, n)
            even = k[7] * dy
            odd = k[8] * dy
            odd += k[6] * right
        even = odd = vzero()
        col += LANES
