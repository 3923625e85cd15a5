# Channel-wise kernels for small maps, lanes = channels: LANES planes are transposed into one zero-padded map
# of vectors: a row shorter than a vector wastes nothing, and any stride or dilation is a fixed distance.


cdef struct DwMap:
    intp c  # channels, at least LANES: the last block of them steps back
    intp sh_, sw_, dh_, dw_  # source and destination height and width
    intp step_h, step_w  # source rows and columns between outputs (of a phase)
    intp uh, uw  # phases of the destination
    intp first, start  # source row and column of buffer row and column 0
    intp height, width
    intp taps
    intp share
    bint ahead  # fetch the next job's images: they come from beyond L2


cdef inline void _dw_transpose_in(const real* x, intp plane, real* d, intp W, intp width) noexcept nogil:
    """LANES planes into one map of vectors, rows of W pixels into rows of `width`."""
    cdef vec m[16]
    cdef int l, n
    cdef intp q = 0, f, row, col
    while q < plane:
        f = max(min(q, plane - LANES), 0)
        n = <int> min(plane, LANES)
        for l in range(LANES):
            m[l] = vload(x + l * plane + f) if n == LANES else vload_part(x + l * plane + f, n)
        vtranspose(m)
        row, col = f / W, f % W
        for l in range(LANES):
            if l < n:
                vstore(d + (row * width + col) * LANES, m[l])
                col += 1
                if col == W:
                    row, col = row + 1, 0
        q += LANES


cdef inline void _dw_transpose_out(const real* s, real* y, intp plane) noexcept nogil:
    cdef vec m[16]
    cdef int l, n
    cdef intp q = 0, f
    while q < plane:
        f = max(min(q, plane - LANES), 0)
        n = <int> min(plane, LANES)
        for l in range(LANES):
            m[l] = vload(s + (f + l) * LANES)
        vtranspose(m)
        for l in range(LANES):
            if n == LANES:
                vstore(y + l * plane + f, m[l])
            else:
                vstore_part(y + l * plane + f, m[l], n)
        q += LANES


cdef inline void _dw_pixels(const int P, const DwTaps* t, const real* x, intp xs, const real* k, real* y,
                            intp ys, vec bias) noexcept nogil:
    """P pixels of a row, all taps; what lies behind the row is overwritten by the next one."""
    cdef vec a[14]
    cdef vec u
    cdef int r
    cdef intp j
    cdef const real* p
    for r in range(P):
        a[r] = bias
    for j in range(t.cols):
        u = vload(k + t.weight[j] * LANES)
        p = x + t.at[j] * LANES
        for r in range(P):
            a[r] += u * vload(p + r * xs)
    for r in range(P):
        vstore(y + r * ys, a[r])


cdef void _dw_pixel_row(const DwTaps* t, const real* x, intp xs, const real* k, real* y, intp ys, intp n,
                        vec bias) noexcept nogil:
    cdef intp m = 0
    while m < n:
        if n - m > FC_HALF:
            _dw_pixels(FC_TALL, t, x + m * xs, xs, k, y + m * ys, ys, bias)
            m += FC_TALL
        else:
            _dw_pixels(FC_HALF, t, x + m * xs, xs, k, y + m * ys, ys, bias)
            m += FC_HALF


cdef inline intp _dw_first_channel(const DwMap* f, intp i) noexcept nogil:
    return min(i * LANES, f.c - LANES)


cdef void _dw_map_job(const DwMap* f, const DwTaps* t, const real* x, const real* w, const real* bias,
                      real* y, intp job, real* buffer) noexcept nogil:
    """LANES channels of one image."""
    cdef intp blocks = (f.c + LANES - 1) / LANES, n = job / blocks, c = _dw_first_channel(f, job % blocks)
    cdef intp i, l, k, a, b, row
    cdef real* weights = buffer
    cdef real* out = weights + f.taps * LANES
    cdef real* source = out + (f.dh_ * f.dw_ + FC_TALL * f.uw + LANES) * LANES
    cdef real* corner = source - (f.first * f.width + f.start) * LANES  # pixel 0, 0
    cdef vec start = vzero()
    for i in range(f.taps):
        for l in range(LANES):
            weights[i * LANES + l] = w[(c + l) * f.taps + i]
    if bias != NULL:
        start = vload(bias + c)
    _dw_clear(source, 0, f.height * f.width * LANES)
    _dw_transpose_in(x + (n * f.c + c) * f.sh_ * f.sw_, f.sh_ * f.sw_, corner, f.sw_, f.width)
    cdef intp steps = (f.dh_ + f.uh - 1) / f.uh
    cdef intp lines_x = LANES * f.sh_ * f.sw_ / FC_LINE / steps + 1
    cdef intp lines_y = LANES * f.dh_ * f.dw_ / FC_LINE / steps + 1
    cdef const real* next_x = x + (n * f.c + c + LANES) * f.sh_ * f.sw_
    cdef const real* next_y = y + (n * f.c + c + LANES) * f.dh_ * f.dw_
    for k in range(steps):
        if f.ahead:
            _dw_fetch(next_x + k * lines_x * FC_LINE, lines_x)
            _dw_fetch_w(next_y + k * lines_y * FC_LINE, lines_y)
        for a in range(f.uh):
            row = k * f.uh + a
            if row < f.dh_:
                for b in range(min(f.uw, f.dw_)):
                    _dw_pixel_row(t + a * f.uw + b, source + k * f.step_h * f.width * LANES, f.step_w * LANES,
                                  weights, out + (row * f.dw_ + b) * LANES, f.uw * LANES,
                                  (f.dw_ - b + f.uw - 1) / f.uw, start)
    _dw_transpose_out(out, y + (n * f.c + c) * f.dh_ * f.dw_, f.dh_ * f.dw_)


cdef void _dw_run_map(DwMap* f, const DwTaps* t, const real* x, const real* w, const real* bias, real* y,
                      intp n, real* buffers, int threads) noexcept:
    cdef intp job, jobs = n * ((f.c + LANES - 1) / LANES)
    f.ahead = n * f.c * (f.sh_ * f.sw_ + f.dh_ * f.dw_) * sizeof(real) > (1 << 20)
    if threads == 1:
        with nogil:
            for job in range(jobs):
                _dw_map_job(f, t, x, w, bias, y, job, buffers)
        return
    for job in prange(jobs, nogil=True, schedule="static", num_threads=threads):
        _dw_map_job(f, t, x, w, bias, y, job, buffers + threadid() * f.share)


cdef inline intp _dw_map_taps(const DwMap* f, DwTaps* t, DwAxis r, DwAxis c, intp kw,
                              intp* room) noexcept nogil:
    """All taps of a phase, one by one."""
    cdef intp u, v, j = 0
    t.cols = r.n * c.n
    t.at, t.weight = room, room + t.cols
    for u in range(r.n):
        for v in range(c.n):
            t.at[j] = (r.first + u * r.step - f.first) * f.width + c.first + v * c.step - f.start
            t.weight[j] = (r.tap + u * r.turn) * kw + c.tap + v * c.turn
            j += 1
    return 2 * t.cols


def depthwise_map_forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray bias, cnp.ndarray y, intp sh, intp sw,
                          intp pt, intp pl, intp dh, intp dw, intp height, intp width, intp share,
                          cnp.ndarray work, int threads):
    """x, w (C, 1, KH, KW), bias (C, or empty) IN; y OUT; work WORK. At least LANES channels."""
    cdef intp KH = w.shape[2], KW = w.shape[3]
    cdef DwMap f
    f.c, f.sh_, f.sw_, f.dh_, f.dw_ = x.shape[1], x.shape[2], x.shape[3], y.shape[2], y.shape[3]
    f.step_h, f.step_w, f.uh, f.uw, f.first, f.start = sh, sw, 1, 1, -pt, -pl
    f.height, f.width, f.taps, f.share = height, width, KH * KW, share
    cdef DwTaps t
    cdef intp taken = _dw_map_taps(&f, &t, _dw_correlation_axis(KH, dh, pt),
                                   _dw_correlation_axis(KW, dw, pl), KW, <intp*> data(work))
    _dw_run_map(&f, &t, data(x), data(w), data(bias) if bias.shape[0] else NULL, data(y), x.shape[0],
             data(work) + _dw_table_size(taken), threads)


def depthwise_map_grad_input(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, intp sh, intp sw, intp pt,
                             intp pl, intp dh, intp dw, intp first, intp start, intp height, intp width,
                             intp share, cnp.ndarray work, int threads):
    """dy, w IN; dx OUT; work WORK. The buffer begins at row `first` and column `start` of dy."""
    cdef intp KH = w.shape[2], KW = w.shape[3], a, b, taken = sh * sw * sizeof(DwTaps) / sizeof(intp)
    cdef DwMap f
    f.c, f.sh_, f.sw_, f.dh_, f.dw_ = dy.shape[1], dy.shape[2], dy.shape[3], dx.shape[2], dx.shape[3]
    f.step_h, f.step_w, f.uh, f.uw, f.first, f.start = 1, 1, sh, sw, first, start
    f.height, f.width, f.taps, f.share = height, width, KH * KW, share
    cdef DwTaps* t = <DwTaps*> data(work)
    for a in range(sh):
        for b in range(sw):
            taken += _dw_map_taps(&f, t + a * sw + b, _dw_adjoint_axis(KH, sh, dh, pt, a),
                               _dw_adjoint_axis(KW, sw, dw, pl, b), KW, <intp*> data(work) + taken)
    _dw_run_map(&f, t, data(dy), data(w), NULL, data(dx), dy.shape[0],
                data(work) + _dw_table_size(taken), threads)


cdef inline void _dw_pixel_sums(const int P, const DwTaps* t, const real* x, intp xs, const real* dy,
                                real* sums) noexcept nogil:
    """Products of P pixels of a row, added to every tap's sums."""
    cdef vec g[14]
    cdef vec a, b
    cdef int r
    cdef intp j
    cdef const real* p
    for r in range(P):
        g[r] = vload(dy + r * LANES)
    for j in range(t.cols):
        p = x + t.at[j] * LANES
        a, b = vload(sums + j * LANES), vzero()
        for r in range(P):
            if r % 2:
                b += g[r] * vload(p + r * xs)
            else:
                a += g[r] * vload(p + r * xs)
        vstore(sums + j * LANES, a + b)


cdef void _dw_map_sums(const DwMap* f, const DwTaps* t, const real* dy, const real* x, real* dw, intp i,
                       intp n_images, real* buffer) noexcept nogil:
    """LANES channels' weights, summed over all images."""
    cdef intp c = _dw_first_channel(f, i), n, k, m, j, l
    cdef real* sums = buffer
    cdef real* g = sums + f.taps * LANES
    cdef real* source = g + (f.dh_ * f.dw_ + LANES) * LANES
    cdef real* corner = source - (f.first * f.width + f.start) * LANES  # pixel 0, 0
    cdef real* p
    cdef intp lines_x = LANES * f.sh_ * f.sw_ / FC_LINE / f.dh_ + 1, lines_y = LANES * f.dw_ / FC_LINE + 1
    cdef intp next_c
    cdef const real* next_x
    cdef const real* next_y
    _dw_clear(sums, 0, f.taps * LANES)
    _dw_clear(source, 0, f.height * f.width * LANES)
    for n in range(n_images):
        _dw_transpose_in(x + (n * f.c + c) * f.sh_ * f.sw_, f.sh_ * f.sw_, corner, f.sw_, f.width)
        _dw_transpose_in(dy + (n * f.c + c) * f.dh_ * f.dw_, f.dh_ * f.dw_, g, f.dw_, f.dw_)
        next_c = _dw_first_channel(f, i + 1) if n + 1 == n_images else c + f.c * (n + 1)
        next_x, next_y = x + next_c * f.sh_ * f.sw_, dy + next_c * f.dh_ * f.dw_
        for k in range(f.dh_):
            if f.ahead:
                _dw_fetch(next_x + k * lines_x * FC_LINE, lines_x)
                _dw_fetch(next_y + k * lines_y * FC_LINE, lines_y)
            m = 0
            while m < f.dw_:
                p = source + (k * f.step_h * f.width + m * f.step_w) * LANES
                if f.dw_ - m >= FC_TALL:
                    _dw_pixel_sums(FC_TALL, t, p, f.step_w * LANES, g + (k * f.dw_ + m) * LANES, sums)
                    m += FC_TALL
                elif f.dw_ - m >= FC_HALF:
                    _dw_pixel_sums(FC_HALF, t, p, f.step_w * LANES, g + (k * f.dw_ + m) * LANES, sums)
                    m += FC_HALF
                else:
                    _dw_pixel_sums(1, t, p, f.step_w * LANES, g + (k * f.dw_ + m) * LANES, sums)
                    m += 1
    for j in range(f.taps):
        for l in range(LANES):
            dw[(c + l) * f.taps + j] = sums[j * LANES + l]


def depthwise_map_grad_weight(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dw_, intp sh, intp sw, intp pt,
                              intp pl, intp dh, intp dw, intp height, intp width, intp share,
                              cnp.ndarray work, int threads):
    """dy, x IN; dw_ OUT; work WORK. A thread owns blocks of channels."""
    cdef intp KH = dw_.shape[2], KW = dw_.shape[3], N = x.shape[0]
    cdef intp i, blocks = (x.shape[1] + LANES - 1) / LANES
    cdef DwMap f
    f.c, f.sh_, f.sw_, f.dh_, f.dw_ = x.shape[1], x.shape[2], x.shape[3], dy.shape[2], dy.shape[3]
    f.step_h, f.step_w, f.uh, f.uw, f.first, f.start = sh, sw, 1, 1, -pt, -pl
    f.height, f.width, f.taps, f.share = height, width, KH * KW, share
    cdef DwTaps t
    cdef intp taken = _dw_map_taps(&f, &t, _dw_correlation_axis(KH, dh, pt),
                                   _dw_correlation_axis(KW, dw, pl), KW, <intp*> data(work))
    f.ahead = N * f.c * (f.sh_ * f.sw_ + f.dh_ * f.dw_) * sizeof(real) > (1 << 20)
    cdef real* buffers = data(work) + _dw_table_size(taken)
    cdef const real* dp = data(dy)
    cdef const real* xp = data(x)
    cdef real* wp = data(dw_)
    if threads == 1:
        with nogil:
            for i in range(blocks):
                _dw_map_sums(&f, &t, dp, xp, wp, i, N, buffers)
        return
    for i in prange(blocks, nogil=True, schedule="static", num_threads=threads):
        _dw_map_sums(&f, &t, dp, xp, wp, i, N, buffers + threadid() * share)
