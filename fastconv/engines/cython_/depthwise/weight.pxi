# Channel-wise grad_weight: rows of dy in registers, a sum a lane for every weight.
cdef extern from *:
    """
    /* the first n lanes, the others zero, where reading behind them is allowed */
    #if VBYTES == 64
    #define dw_first(p, n) vload_part(p, n)
    #else
    #define DW_ONE(i, k) -1
    static const lane_index dw_keep[2 * FC_N] = {FC_LIST(DW_ONE, 0)};
    static inline __attribute__((always_inline)) vec dw_first(const real *p, int n) {
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


cdef inline void _dw_gather_block(const int K, const int S, const int R, const DwTaps* t, const real* x,
                                  intp pitch, const real* dy, intp ys, int lanes, real* sums) noexcept nogil:
    """R rows of one vector of columns; every column of taps has K vectors of sums."""
    cdef vec g[14]
    cdef vec a[14]  # two sets: sums of even and of odd source rows do not wait for each other
    cdef int r, i
    cdef intp j
    cdef const real* p
    for r in range(R):
        g[r] = vload_part(dy + r * ys, lanes) if lanes < LANES else vload(dy + r * ys)
    for j in range(t.cols):
        p = x + t.at[j]
        for i in range(K):
            a[i] = vload(sums + (j * K + i) * LANES)
            a[7 + i] = vzero()
        _dw_gather5(K, S, R, 0, a, g, p, pitch, lanes)
        _dw_gather5(K, S, R, 5, a, g, p, pitch, lanes)
        _dw_gather5(K, S, R, 10, a, g, p, pitch, lanes)
        _dw_gather5(K, S, R, 15, a, g, p, pitch, lanes)
        for i in range(K):
            vstore(sums + (j * K + i) * LANES, a[i] + a[7 + i])


cdef inline void _dw_gather_rows(const int K, const int S, const DwTaps* t, const real* x, intp pitch,
                                 const real* dy, intp ys, intp rows, int lanes, real* sums) noexcept nogil:
    """Exactly `rows` rows: rows behind them may hold what these weights must not see."""
    cdef intp r = 0
    if S == 1:
        while r + DW_TALL <= rows:
            _dw_gather_block(K, 1, DW_TALL, t, x + r * pitch, pitch, dy + r * ys, ys, lanes, sums)
            r += DW_TALL
    while r + DW_HALF <= rows:
        _dw_gather_block(K, S, DW_HALF, t, x + r * S * pitch, pitch, dy + r * ys, ys, lanes, sums)
        r += DW_HALF
    while r + DW_LOW <= rows:
        _dw_gather_block(K, S, DW_LOW, t, x + r * S * pitch, pitch, dy + r * ys, ys, lanes, sums)
        r += DW_LOW
    while r < rows:
        _dw_gather_block(K, S, 1, t, x + r * S * pitch, pitch, dy + r * ys, ys, lanes, sums)
        r += 1


cdef void _dw_gather_strip(const DwGeometry* f, const DwTaps* t, const real* x, const real* dy, intp ys,
                           intp rows, int lanes, real* sums) noexcept nogil:
    """One vector of columns, all rows of a band, all taps."""
    cdef intp u = 0, k, pitch = f.split * f.width
    x += t.x0
    while u < t.run:
        k = _dw_next_run(t.run - u)
        if t.run == 1:
            _dw_gather_rows(1, 1, t, x, f.step * pitch, dy, ys, rows, lanes, sums)
        elif f.step == 2:
            if k == 7:
                _dw_gather_rows(7, 2, t, x, pitch, dy, ys, rows, lanes, sums)
            elif k == 5:
                _dw_gather_rows(5, 2, t, x, pitch, dy, ys, rows, lanes, sums)
            elif k == 3:
                _dw_gather_rows(3, 2, t, x, pitch, dy, ys, rows, lanes, sums)
            else:
                k = 1
                _dw_gather_rows(1, 1, t, x, 2 * pitch, dy, ys, rows, lanes, sums)
        elif k == 7:
            _dw_gather_rows(7, 1, t, x, pitch, dy, ys, rows, lanes, sums)
        elif k == 5:
            _dw_gather_rows(5, 1, t, x, pitch, dy, ys, rows, lanes, sums)
        elif k == 3:
            _dw_gather_rows(3, 1, t, x, pitch, dy, ys, rows, lanes, sums)
        elif k == 2:
            _dw_gather_rows(2, 1, t, x, pitch, dy, ys, rows, lanes, sums)
        else:
            _dw_gather_rows(1, 1, t, x, pitch, dy, ys, rows, lanes, sums)
        u += k
        x += k * pitch
        sums += k * t.cols * LANES


cdef void _dw_reduce_sums(const DwTaps* t, bint pairs_of_rows, const real* sums, real* dw) noexcept nogil:
    """Lanes of every sum together; `pairs_of_rows`: at stride 2 a rest of two rows was done one by one."""
    cdef intp u = 0, k, j, i
    dw += t.w0
    while u < t.run:
        k = _dw_next_run(t.run - u)
        if pairs_of_rows and k == 2:
            k = 1
        for j in range(t.cols):
            for i in range(k):
                dw[t.weight[j] + (u + i) * t.down] = vsum(vload(sums + (j * k + i) * LANES))
        sums += k * t.cols * LANES
        u += k


cdef void _dw_weight_job(const DwGeometry* f, const DwTaps* t, const real* dy, const real* x, real* dw,
                         intp n, intp parts, intp job, real* sums) noexcept nogil:
    """One group's weights, summed over one part of all bands of all images."""
    cdef intp g = job % f.g, part = job / f.g, items = n * f.bands, size = t.run * t.cols * LANES
    cdef intp i, o, q, k0, rows
    cdef intp k, j, c, high, steps, image, lines_x, lines_y
    cdef real* buffer = sums + f.cd * size
    cdef const real* next_x
    cdef const real* next_y
    _dw_clear(sums, 0, f.cd * size)
    for i in range(items * part / parts, items * (part + 1) / parts):
        k0 = i % f.bands * f.rows
        rows = min(f.rows, f.dh_ - k0)
        if f.stream:
            image = i / f.bands * f.g + g
            next_x, next_y = x + image * f.sh_ * f.sw_, dy + image * f.dh_ * f.dw_
            if f.stream == 2:
                _dw_gather_plane2(f, next_x, next_y, k0, k0 + rows, sums)
            else:
                _dw_gather_plane(f, next_x, next_y, k0, k0 + rows, sums)
            continue
        _dw_copy_in(f, x + (i / f.bands * f.g + g) * f.cs * f.sh_ * f.sw_, k0 * f.step + f.top,
                 f.height - (f.rows - rows) * f.step, buffer)
        k = (i + 1) % items % f.bands * f.rows  # what comes next: another band, image or group
        image = (i + 1) % items / f.bands * f.g + g + (1 if i + 1 == items and g + 1 < f.g else 0)
        next_x = x + (image * f.cs * f.sh_ + min(k * f.step, f.sh_)) * f.sw_
        next_y = dy + (image * f.cd * f.dh_ + k) * f.dw_
        steps = (rows + DW_TALL - 1) / DW_TALL * ((f.dw_ + LANES - 1) / LANES)
        lines_x, lines_y = rows * f.step * f.sw_ / DW_LINE / steps + 1, rows * f.dw_ / DW_LINE / steps + 1
        for o in range(f.cd):
            k = j = 0
            while k < rows:
                high = min(DW_TALL, rows - k)
                q = 0
                while q < f.dw_:
                    if f.ahead:
                        c = o
                        while c < f.cs:
                            _dw_fetch(next_x + c * f.sh_ * f.sw_ + j * lines_x * DW_LINE, lines_x)
                            c += f.cd
                        _dw_fetch(next_y + o * f.dh_ * f.dw_ + j * lines_y * DW_LINE, lines_y)
                        j += 1
                    _dw_gather_strip(f, t, buffer + k * f.step * f.split * f.width + q,
                                  dy + (((i / f.bands * f.g + g) * f.cd + o) * f.dh_ + k0 + k) * f.dw_ + q,
                                  f.dw_, high, <int> min(f.dw_ - q, LANES), sums + o * size)
                    q += LANES
                k += high
    for o in range(f.cd):
        _dw_reduce_sums(t, f.step == 2, sums + o * size, dw + part * f.g * f.wg + g * f.wg + o * f.wd)


cdef void _dw_weight_share(const DwGeometry* f, const DwTaps* t, const real* dy, const real* x, real* dw,
                           intp n, intp parts, intp first, intp end, real* sums) noexcept nogil:
    cdef intp job
    _dw_clear(sums, 0, f.share)  # what lies around the images stays zero
    for job in range(first, end):
        _dw_weight_job(f, t, dy, x, dw, n, parts, job, sums)


def depthwise_grad_weight(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dw_, intp sh, intp sw, intp pt, intp pl,
                          intp dh, intp dw, intp g, intp rows, intp height, intp left, intp width,
                          intp share, intp parts, cnp.ndarray work, int threads):
    """dy, x IN; dw_ OUT; work WORK. Groups have `parts` partial sums each, which are added in order."""
    cdef intp Cg = dw_.shape[1], Og = dw_.shape[0] / g, KH = dw_.shape[2], KW = dw_.shape[3], N = x.shape[0]
    cdef intp jobs = g * parts, i, p
    cdef int th
    cdef DwGeometry f
    f.cs, f.cd, f.g, f.sh_, f.sw_, f.dh_, f.dw_ = Cg, Og, g, x.shape[2], x.shape[3], dy.shape[2], dy.shape[3]
    f.step, f.split, f.uh, f.uw, f.top = sh, sw, 1, 1, -pt
    f.rows, f.bands, f.height = rows, (f.dh_ + rows - 1) / rows, height
    f.left, f.width, f.share = left, width, share
    f.wd, f.ws, f.wg = Cg * KH * KW, KH * KW, Og * Cg * KH * KW
    f.stream = _dw_streams(&f, KH, KW, dh, dw, pl)
    cdef DwTaps t
    cdef intp taken = _dw_tabulate(&f, &t, _dw_correlation_axis(KH, dh, pt),
                                   _dw_correlation_axis(KW, dw, pl), KW, <intp*> data(work))
    cdef real* out = data(dw_)
    cdef real* buffers = data(work) + _dw_table_size(taken)
    f.ahead = _dw_beyond_cache(&f, N)
    cdef real* partial = buffers + threads * share if parts > 1 else out
    cdef const real* dp = data(dy)
    cdef const real* xp = data(x)
    if threads == 1:
        with nogil:
            _dw_weight_share(&f, &t, dp, xp, partial, N, parts, 0, jobs, buffers)
    else:
        for th in prange(threads, nogil=True, schedule="static", num_threads=threads):
            _dw_weight_share(&f, &t, dp, xp, partial, N, parts, jobs * th / threads, jobs * (th + 1) / threads,
                             buffers + th * share)
    if parts > 1:
        for i in range(g * f.wg):
            out[i] = partial[i]
            for p in range(1, parts):
                out[i] += partial[p * g * f.wg + i]
