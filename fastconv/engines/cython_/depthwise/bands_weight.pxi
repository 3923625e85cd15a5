# Channel-wise grad_weight: rows of dy in registers, a sum a lane for every weight; see buffer.pxi.
cdef extern from *:
    """
    /* the first n lanes, the others zero, where reading behind them is allowed */
    #if VBYTES == 64
    #define dw_first(p, n) vload_part(p, n)
    #else
    #define DW_ONE(i, k) -1
    static const lane_index dw_keep[2 * FC_N] = {FC_LIST(DW_ONE, 0)};
    FC_INLINE vec dw_first(const real *p, int n) {
        ivec m;
        memcpy(&m, dw_keep + LANES - n, sizeof m);
        return (vec)((ivec)vload(p) & m);
    }
    #endif
    """
    vec dw_first(const real* p, int n) nogil


cdef inline void _dw_hit(const int K, const int S, const int R, const int i, const int r, vec* a,
                         const vec* g, vec x) noexcept nogil:
    if i < K and r >= i and (r - i) % S == 0 and (r - i) / S < R:
        a[i + (r & 1) * 7] += g[(r - i) / S] * x


cdef inline void _dw_gather(const int K, const int S, const int R, const int r, vec* a, const vec* g,
                            const real* p, intp pitch, int lanes) noexcept nogil:
    """Source row r of a block: one load for all taps that meet it."""
    cdef vec x
    if r < (R - 1) * S + K:
        x = dw_hold(dw_first(p + r * pitch, lanes))
        _dw_hit(K, S, R, 0, r, a, g, x)
        _dw_hit(K, S, R, 1, r, a, g, x)
        _dw_hit(K, S, R, 2, r, a, g, x)
        _dw_hit(K, S, R, 3, r, a, g, x)
        _dw_hit(K, S, R, 4, r, a, g, x)
        _dw_hit(K, S, R, 5, r, a, g, x)
        _dw_hit(K, S, R, 6, r, a, g, x)


cdef inline void _dw_gather5(const int K, const int S, const int R, const int r, vec* a, const vec* g,
                             const real* p, intp pitch, int lanes) noexcept nogil:
    _dw_gather(K, S, R, r, a, g, p, pitch, lanes)
    _dw_gather(K, S, R, r + 1, a, g, p, pitch, lanes)
    _dw_gather(K, S, R, r + 2, a, g, p, pitch, lanes)
    _dw_gather(K, S, R, r + 3, a, g, p, pitch, lanes)
    _dw_gather(K, S, R, r + 4, a, g, p, pitch, lanes)


cdef struct DwSums:  # rows of dy, one vector of columns; every column of taps has as many vectors of sums as rows
    const DepthwisePhase* t
    const intp* at
    const real* x
    intp pitch  # numbers from a source row to the next
    const real* dy
    intp ys
    int lanes
    real* sums


cdef inline void _dw_gather_block(const int K, const int S, const int R, const DwSums* b, intp row) noexcept nogil:
    """R rows of dy from `row` on and all taps."""
    cdef vec g[14]
    cdef vec a[14]  # two sets: sums of even and of odd source rows do not wait for each other
    cdef int r, i, lanes = b.lanes
    cdef intp j, pitch = b.pitch, ys = b.ys
    cdef const real* x = b.x + row * S * pitch
    cdef const real* dy = b.dy + row * ys
    cdef const real* p
    cdef real* sums = b.sums
    for r in range(R):
        g[r] = vload_part(dy + r * ys, lanes) if lanes < LANES else vload(dy + r * ys)
    for j in range(b.t.columns):
        p = x + b.at[j]
        for i in range(K):
            a[i] = vload(sums + (j * K + i) * LANES)
            a[7 + i] = vzero()
        _dw_gather5(K, S, R, 0, a, g, p, pitch, lanes)
        _dw_gather5(K, S, R, 5, a, g, p, pitch, lanes)
        _dw_gather5(K, S, R, 10, a, g, p, pitch, lanes)
        _dw_gather5(K, S, R, 15, a, g, p, pitch, lanes)
        for i in range(K):
            vstore(sums + (j * K + i) * LANES, a[i] + a[7 + i])


cdef inline void _dw_gather_rows(const int K, const int S, const DwSums* b, intp rows) noexcept nogil:
    """Exactly `rows` rows: rows behind them may hold what these weights must not see."""
    cdef intp r = 0
    if S == 1:
        while r + DW_TALL <= rows:
            _dw_gather_block(K, 1, DW_TALL, b, r)
            r += DW_TALL
    while r + DW_HALF <= rows:
        _dw_gather_block(K, S, DW_HALF, b, r)
        r += DW_HALF
    while r + DW_LOW <= rows:
        _dw_gather_block(K, S, DW_LOW, b, r)
        r += DW_LOW
    while r < rows:
        _dw_gather_block(K, S, 1, b, r)
        r += 1


cdef void _dw_gather_strip(const DepthwiseBands* q, DwSums* b, intp rows) noexcept nogil:
    """One vector of columns, some rows of a band, all taps.

    x and sums move on in place: a copy would be read by vectors before the numbers just written are there.
    """
    cdef intp u = 0, k, pitch = q.split * q.line
    b.x += b.t.source
    b.pitch = pitch
    while u < b.t.run:
        k = _dw_next_run(q, b.t.run - u)
        if k == 1:  # rows at any distance
            b.pitch = q.step * pitch
            _dw_gather_rows(1, 1, b, rows)
        elif q.step == 2:
            if k == 7:
                _dw_gather_rows(7, 2, b, rows)
            elif k == 5:
                _dw_gather_rows(5, 2, b, rows)
            else:
                _dw_gather_rows(3, 2, b, rows)
        elif k == 7:
            _dw_gather_rows(7, 1, b, rows)
        elif k == 5:
            _dw_gather_rows(5, 1, b, rows)
        elif k == 3:
            _dw_gather_rows(3, 1, b, rows)
        else:
            _dw_gather_rows(2, 1, b, rows)
        u += k
        b.x += k * pitch
        b.sums += k * b.t.columns * LANES


cdef void _dw_reduce_sums(const DwBands* a, const real* sums, real* dw) noexcept nogil:
    """Lanes of every sum together."""
    cdef const DepthwisePhase* t = a.phases
    cdef const intp* weight = a.places + t.start + t.columns
    cdef intp u = 0, k, j, i
    dw += t.weight
    while u < t.run:
        k = _dw_next_run(a.q, t.run - u)
        for j in range(t.columns):
            for i in range(k):
                dw[weight[j] + (u + i) * t.down] = vsum(vload(sums + (j * k + i) * LANES))
        sums += k * t.columns * LANES
        u += k


cdef void _dw_sums_job(const DwBands* a, intp job, real* sums, real* buffer) noexcept nogil:
    """One group's weights, summed over one part of all bands of all images."""
    cdef const DepthwiseBands* q = a.q
    cdef intp g = job % q.groups, part = job // q.groups, items = q.images * q.bands
    cdef intp plane = q.height * q.width, out_plane = q.out_height * q.out_width
    cdef intp size = a.phases.run * a.phases.columns * LANES, i, o, v, k0, rows, k, j, c, high, steps, image
    cdef intp lines_x, lines_y
    cdef const real* dy
    cdef const real* next_x
    cdef const real* next_y
    cdef DwSums b
    b.t, b.at, b.ys = a.phases, a.places + a.phases.start, q.out_width
    _dw_clear(sums, 0, q.outputs * size)
    for i in range(split(items, part, q.parts), split(items, part + 1, q.parts)):
        k0 = i % q.bands * q.rows
        rows = min(q.rows, q.out_height - k0)
        image = i // q.bands * q.groups + g
        dy = a.dy + image * q.outputs * out_plane
        _dw_copy_in(q, a.x + image * q.channels * plane, k0 * q.step + q.top, q.lines - (q.rows - rows) * q.step,
                    buffer)
        k = (i + 1) % items % q.bands * q.rows  # what comes next: another band, image or group
        image = (i + 1) % items // q.bands * q.groups + g + (1 if i + 1 == items and g + 1 < q.groups else 0)
        next_x = a.x + image * q.channels * plane + min(k * q.step, q.height) * q.width
        next_y = a.dy + image * q.outputs * out_plane + k * q.out_width
        steps = (rows + DW_TALL - 1) // DW_TALL * ((q.out_width + LANES - 1) // LANES)
        lines_x, lines_y = rows * q.step * q.width // DW_LINE // steps + 1, rows * q.out_width // DW_LINE // steps + 1
        for o in range(q.outputs):
            k = j = 0
            while k < rows:
                high = min(DW_TALL, rows - k)
                v = 0
                while v < q.out_width:
                    if q.ahead:
                        c = o
                        while c < q.channels:
                            _dw_fetch(next_x + c * plane + j * lines_x * DW_LINE, lines_x)
                            c += q.outputs
                        _dw_fetch(next_y + o * out_plane + j * lines_y * DW_LINE, lines_y)
                        j += 1
                    b.x = buffer + k * q.step * q.split * q.line + v
                    b.dy = dy + o * out_plane + (k0 + k) * q.out_width + v
                    b.lanes, b.sums = <int> min(q.out_width - v, LANES), sums + o * size
                    _dw_gather_strip(q, &b, high)
                    v += LANES
                k += high
    for o in range(q.outputs):
        _dw_reduce_sums(a, sums + o * size, a.y + (part * q.groups + g) * q.group + o * q.output)


cdef void _dw_sums_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    cdef const DwBands* a = <const DwBands*> arguments
    cdef const DepthwiseBands* q = a.q
    cdef real* sums = a.work + ithr * q.share
    cdef real* buffer = sums + q.outputs * a.phases.run * a.phases.columns * LANES
    cdef intp job, jobs = q.groups * q.parts
    _dw_clear(sums, 0, q.share)  # what lies around the images stays zero
    for job in range(split(jobs, ithr, nthr), split(jobs, ithr + 1, nthr)):
        _dw_sums_job(a, job, sums, buffer)


def depthwise_bands_sums(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray sums, cnp.ndarray q, cnp.ndarray phases,
                         cnp.ndarray places, cnp.ndarray work, int threads):
    """sums OUT [parts][as dw] of dy IN, x IN. work WORK [threads][share]."""
    cdef DwBands a = _dw_bands(q, phases, places, work)
    a.dy, a.x, a.y = data(dy), data(x), data(sums)
    with nogil:
        launch(_dw_sums_share, &a, threads)
