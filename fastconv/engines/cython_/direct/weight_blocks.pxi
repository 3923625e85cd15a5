# grad_weight of direct: the register blocks, lanes = output channels. Sums are [..][2 * LANES], the strip's are added.
# A block is nt x 2 vectors: nt channels of one tap, nt whole planes for 1x1 kernels, or, for inputs of few channels, whole
# kernel rows of any channels (3, 5, 7 or 11 neighbouring taps), else pairs of any channel and tap.

cdef extern from *:
    """
    #define DIRECT_SUMS (VBYTES == 64 ? 8 : LANES < 4 ? LANES : 4) /* channels a register block */
    #define DIRECT_PAIRS (VBYTES == 64 ? 14 : 6) /* pairs beside two vectors of outputs, half as many as beside one */
    #define DIRECT_HELD (2 * DIRECT_PAIRS)    /* sums in registers */
    #define DIRECT_PLANES (VBYTES == 64 ? 8 : 6) /* planes beside two vectors */
    """
    enum:
        DIRECT_SUMS
        DIRECT_PAIRS
        DIRECT_HELD
        DIRECT_PLANES


cdef inline void _pixel_sums(const int nt, const real* x, intp row, intp step, const real* d, intp dv, intp skip, intp rows,
                       intp cols, real* a) noexcept nogil:
    """a[t][2 * LANES] += sum over pixels of x[t] * d[2][LANES]; `skip` pixels of d between rows are left out."""
    cdef vec s[14][2]
    cdef vec e[2]
    cdef intp i, j
    cdef int t, k
    cdef const real* p
    for t in range(nt):
        for k in range(2):
            s[t][k] = vzero()                               # a strip's own sum: errors grow with its length only
    for i in range(rows):
        p = x + i * row
        for j in range(cols):
            for k in range(2):
                e[k] = vload(d + k * dv)
            for t in range(nt):
                for k in range(2):
                    s[t][k] += vset(p[t]) * e[k]
            p += step
            d += LANES
        d += skip * LANES
    for t in range(nt):
        for k in range(2):
            vstore(a + (2 * t + k) * LANES, vload(a + (2 * t + k) * LANES) + s[t][k])


cdef inline void _pair_sums(const int nv, const real* x, const intp* at, intp row, intp step, const real* d, intp dv,
                            intp rows, intp cols, intp n, real* a) noexcept nogil:
    """a[t][nv of 2 * LANES] += sum over pixels of x[at[t]] * d[nv][LANES], for t < n <= DIRECT_PAIRS * 2 / nv."""
    cdef vec s[14][2]
    cdef vec e[2]
    cdef intp i, j
    cdef int t, k
    cdef const real* p
    for t in range(DIRECT_PAIRS):
        for k in range(2):
            s[t][k] = vzero()
    for i in range(rows):
        p = x + i * row
        for j in range(cols):
            e[0] = e[1] = vload(d)
            if nv == 2:
                e[1] = vload(d + dv)
            for t in range(DIRECT_PAIRS):
                s[t][0] += vset(p[at[t]]) * e[0]
                s[t][1] += vset(p[at[t if nv == 2 else DIRECT_PAIRS + t]]) * e[1]
            p += step
            d += LANES
    for t in range(DIRECT_PAIRS):
        for k in range(2):
            i = t if nv == 2 else k * DIRECT_PAIRS + t
            if i < n:
                vstore(a + (2 * i + (k if nv == 2 else 0)) * LANES, vload(a + (2 * i + (k if nv == 2 else 0)) * LANES) + s[t][k])


cdef inline void _row_sums(const int nr, const int kw, const int nv, const real* x, const intp* at, intp row, intp step,
                           const real* d, intp dv, intp rows, intp cols, real* a) noexcept nogil:
    """a[nr][kw][nv of 2 * LANES] += sum over pixels of x[at[t * kw] + v] * d[nv][LANES]."""
    cdef vec s[28]
    cdef vec e[2]
    cdef vec b
    cdef const real* q[5]
    cdef intp i, j
    cdef int t, v, k
    for t in range(nr):
        for v in range(kw):
            for k in range(nv):
                s[(t * kw + v) * nv + k] = vzero()
    for i in range(rows):
        for t in range(nr):
            q[t] = x + i * row + at[t * kw]
        for j in range(cols):
            for k in range(nv):
                e[k] = vload(d + k * dv)
            for t in range(nr):
                q[t] = fc_base(q[t])
                for v in range(kw):
                    b = vset(q[t][v])
                    for k in range(nv):
                        s[(t * kw + v) * nv + k] += b * e[k]
                q[t] += step
            d += LANES
    for t in range(nr):
        for v in range(kw):
            for k in range(nv):
                vstore(a + (2 * (t * kw + v) + k) * LANES, vload(a + (2 * (t * kw + v) + k) * LANES) + s[(t * kw + v) * nv + k])


cdef inline void _row_block(const int kw, const int nv, int nr, const real* x, const intp* at, intp row, intp step,
                            const real* d, intp dv, intp rows, intp cols, real* a) noexcept nogil:
    if nr == 1: _row_sums(1, kw, nv, x, at, row, step, d, dv, rows, cols, a)
    elif 2 * kw * nv <= DIRECT_HELD and nr == 2: _row_sums(2, kw, nv, x, at, row, step, d, dv, rows, cols, a)
    elif 3 * kw * nv <= DIRECT_HELD and nr == 3: _row_sums(3, kw, nv, x, at, row, step, d, dv, rows, cols, a)
    elif 4 * kw * nv <= DIRECT_HELD and nr == 4: _row_sums(4, kw, nv, x, at, row, step, d, dv, rows, cols, a)
    elif 5 * kw * nv <= DIRECT_HELD and nr == 5: _row_sums(5, kw, nv, x, at, row, step, d, dv, rows, cols, a)


cdef void _row_blocks(int kw, int nv, int nr, const real* x, const intp* at, intp row, intp step, const real* d, intp dv,
                      intp rows, intp cols, real* a) noexcept nogil:
    if nv == 1:
        if kw == 3: _row_block(3, 1, nr, x, at, row, step, d, dv, rows, cols, a)
        elif kw == 5: _row_block(5, 1, nr, x, at, row, step, d, dv, rows, cols, a)
        elif kw == 7: _row_block(7, 1, nr, x, at, row, step, d, dv, rows, cols, a)
        else: _row_block(11, 1, nr, x, at, row, step, d, dv, rows, cols, a)
    elif kw == 3: _row_block(3, 2, nr, x, at, row, step, d, dv, rows, cols, a)
    elif kw == 5: _row_block(5, 2, nr, x, at, row, step, d, dv, rows, cols, a)
    elif DIRECT_HELD == 28:
        if kw == 7: _row_block(7, 2, nr, x, at, row, step, d, dv, rows, cols, a)
        else: _row_block(11, 2, nr, x, at, row, step, d, dv, rows, cols, a)


cdef inline void _plane_sums(const int nv, const real* x, intp plane, intp row, intp step, const real* d, intp dv, intp rows,
                             intp cols, intp first, intp last, real* a) noexcept nogil:
    """a[t][nv of 2 * LANES] += sum over pixels of x[t * plane] * d[nv][LANES], for first <= t < last <= DIRECT_PLANES."""
    cdef vec s[DIRECT_PLANES][2]
    cdef vec e[2]
    cdef vec b
    cdef intp o[DIRECT_PLANES]
    cdef const real* p
    cdef const real* q
    cdef intp i, j
    cdef int t, k
    for t in range(DIRECT_PLANES):
        for k in range(nv):
            s[t][k] = vzero()
    for t in range(DIRECT_PLANES // 2):
        o[t] = t * plane                                    # the same in both halves: they stay in registers
    for i in range(rows):
        p = x + i * row
        q = p + DIRECT_PLANES // 2 * plane
        for j in range(cols):
            for k in range(nv):
                e[k] = vload(d + k * dv)
            p = fc_base(p)
            q = fc_base(q)
            for t in range(DIRECT_PLANES):
                b = vset(p[o[t]] if t < DIRECT_PLANES // 2 else q[o[t - DIRECT_PLANES // 2]])
                for k in range(nv):
                    s[t][k] += b * e[k]
            p += step
            q += step
            d += LANES
    for t in range(DIRECT_PLANES):
        if first <= t < last:
            for k in range(nv):
                vstore(a + (2 * t + k) * LANES, vload(a + (2 * t + k) * LANES) + s[t][k])
