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
    intp* pixels  # where each pixel of a source image lies in the map
    intp share
    bint ahead  # fetch the next job's images: they come from beyond L2


cdef void _dw_transpose_map(const real* x, intp plane, real* d, const intp* at) noexcept nogil:
    """LANES planes into one map of vectors, pixel q at at[q]."""
    planes_to_places(x, plane, LANES, plane, d, at)


cdef void _dw_transpose_in(const real* x, intp plane, real* d) noexcept nogil:
    """LANES planes into vectors one after the other."""
    planes_to_lanes(True, x, plane, LANES, 1, plane, d, LANES, 0)


cdef void _dw_transpose_out(const real* s, real* y, intp plane) noexcept nogil:
    """And back."""
    lanes_to_planes(True, False, s, LANES, y, plane, LANES, plane, vzero())


cdef inline void _dw_pixels(const int R, const int P, const int S, const int U, const DwTaps* t, const real* x,
                            intp row, const real* k, real* y, intp out_row, vec bias) noexcept nogil:
    """P pixels of R rows, all taps; what lies behind a row is overwritten by the next one.

    The pixels read every S-th vector and write every U-th: constants, so that they are offsets in the code.
    """
    cdef vec a[14]
    cdef vec u
    cdef int r, i
    cdef intp j
    cdef const real* p
    for i in range(R * P):
        a[i] = bias
    for j in range(t.cols):
        u = vload(k + t.weight[j] * LANES)
        p = fc_base(x + t.at[j] * LANES)
        for r in range(R):
            for i in range(P):
                a[r * P + i] += u * vload(p + r * row + i * S * LANES)
    for r in range(R):
        for i in range(P):
            vstore(y + r * out_row + i * U * LANES, a[r * P + i])


cdef inline void _dw_pixel_row(const int S, const int U, const DwTaps* t, const real* x, const real* k, real* y,
                               intp n, vec bias) noexcept nogil:
    cdef intp m = 0
    while m < n:
        if n - m > DW_HALF:
            _dw_pixels(1, DW_TALL, S, U, t, x + m * S * LANES, 0, k, y + m * U * LANES, 0, bias)
            m += DW_TALL
        else:
            _dw_pixels(1, DW_HALF, S, U, t, x + m * S * LANES, 0, k, y + m * U * LANES, 0, bias)
            m += DW_HALF


cdef void _dw_rows(const DwMap* f, const DwTaps* t, const real* x, const real* k, real* y, intp rows, intp n,
                   vec bias) noexcept nogil:
    """A row of n pixels of a phase, or two."""
    cdef intp row = f.step_h * f.width * LANES, out_row = f.dw_ * LANES
    if f.step_w == 1 and f.uw == 1:
        if rows == 2:
            _dw_pixels(2, DW_HALF, 1, 1, t, x, row, k, y, out_row, bias)
        else:
            _dw_pixel_row(1, 1, t, x, k, y, n, bias)
    elif f.step_w == 2 and f.uw == 1:
        _dw_pixel_row(2, 1, t, x, k, y, n, bias)
    elif f.step_w == 1 and f.uw == 2:
        _dw_pixel_row(1, 2, t, x, k, y, n, bias)
    else:
        _dw_pixel_row(<int> f.step_w, <int> f.uw, t, x, k, y, n, bias)


cdef inline intp _dw_first_channel(const DwMap* f, intp i) noexcept nogil:
    return min(i * LANES, f.c - LANES)


cdef inline real* _dw_map_source(const DwMap* f, real* buffer) noexcept nogil:
    """The map of a thread's buffer, behind its weights and outputs."""
    return buffer + (f.taps + f.dh_ * f.dw_ + DW_TALL * f.uw + 2 * LANES) * LANES


cdef void _dw_map_job(const DwMap* f, const DwTaps* t, const real* x, const real* w, const real* bias,
                      real* y, intp job, real* buffer) noexcept nogil:
    """LANES channels of one image."""
    cdef intp blocks = (f.c + LANES - 1) / LANES, n = job / blocks, c = _dw_first_channel(f, job % blocks)
    cdef intp k, a, b, row, rows, step = 0
    cdef real* weights = buffer
    cdef real* out = weights + (f.taps + LANES) * LANES
    cdef real* source = _dw_map_source(f, buffer)
    cdef vec start = vzero()
    cdef bint pairs = f.step_w == 1 and f.uh == 1 and f.uw == 1 and f.dw_ <= DW_HALF
    _dw_transpose_in(w + c * f.taps, f.taps, weights)
    if bias != NULL:
        start = vload(bias + c)
    _dw_transpose_map(x + (n * f.c + c) * f.sh_ * f.sw_, f.sh_ * f.sw_, source, f.pixels)
    cdef intp steps = (f.dh_ + f.uh - 1) / f.uh
    cdef intp lines_x = LANES * f.sh_ * f.sw_ / DW_LINE / steps + 1
    cdef intp lines_y = LANES * f.dh_ * f.dw_ / DW_LINE / steps + 1
    cdef const real* next_x = x + (n * f.c + c + LANES) * f.sh_ * f.sw_
    cdef const real* next_y = y + (n * f.c + c) * f.dh_ * f.dw_
    k = 0
    while k < steps:
        rows = 2 if pairs and k + 1 < steps else 1
        if f.ahead:
            _dw_fetch_l2(next_x + k * lines_x * DW_LINE, rows * lines_x)
            _dw_fetch_w(next_y + k * lines_y * DW_LINE, rows * lines_y)
        for a in range(f.uh):
            row = k * f.uh + a
            if row < f.dh_:
                for b in range(min(f.uw, f.dw_)):
                    _dw_rows(f, t + a * f.uw + b, source + k * f.step_h * f.width * LANES, weights,
                             out + (row * f.dw_ + b) * LANES, rows, (f.dw_ - b + f.uw - 1) / f.uw, start)
        k += rows
    _dw_transpose_out(out, y + (n * f.c + c) * f.dh_ * f.dw_, f.dh_ * f.dw_)


cdef void _dw_map_share(const DwMap* f, const DwTaps* t, const real* x, const real* w, const real* bias, real* y,
                        intp first, intp end, real* buffer) noexcept nogil:
    cdef intp job
    _dw_clear(_dw_map_source(f, buffer), 0, f.height * f.width * LANES)  # what lies around the maps stays zero
    for job in range(first, end):
        _dw_map_job(f, t, x, w, bias, y, job, buffer)


cdef void _dw_run_map(DwMap* f, const DwTaps* t, const real* x, const real* w, const real* bias, real* y,
                      intp n, real* buffers, int threads) noexcept:
    cdef intp jobs = n * ((f.c + LANES - 1) / LANES)
    cdef int i
    f.ahead = n * f.c * (f.sh_ * f.sw_ + f.dh_ * f.dw_) * sizeof(real) > (1 << 20)
    if threads == 1:
        with nogil:
            _dw_map_share(f, t, x, w, bias, y, 0, jobs, buffers)
        return
    for i in prange(threads, nogil=True, schedule="static", num_threads=threads):
        _dw_map_share(f, t, x, w, bias, y, jobs * i / threads, jobs * (i + 1) / threads, buffers + i * f.share)


cdef inline intp _dw_map_pixels(DwMap* f, intp* room) noexcept nogil:
    """Where the pixels of a source image go in the map."""
    cdef intp q
    f.pixels = room
    for q in range(f.sh_ * f.sw_):
        room[q] = ((q / f.sw_ - f.first) * f.width + q % f.sw_ - f.start) * LANES
    return f.sh_ * f.sw_


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
    taken += _dw_map_pixels(&f, <intp*> data(work) + taken)
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
    taken += _dw_map_pixels(&f, <intp*> data(work) + taken)
    _dw_run_map(&f, t, data(dy), data(w), NULL, data(dx), dy.shape[0],
                data(work) + _dw_table_size(taken), threads)


cdef inline void _dw_pixel_sums(const int P, const int S, const DwTaps* t, const real* x, const real* dy,
                                real* sums) noexcept nogil:
    """Products of P pixels of a row, S vectors apart, added to every tap's sums."""
    cdef vec g[14]
    cdef vec a, b
    cdef int r
    cdef intp j
    cdef const real* p
    for r in range(P):
        g[r] = vload(dy + r * LANES)
    for j in range(t.cols):
        p = fc_base(x + t.at[j] * LANES)
        a, b = vload(sums + j * LANES), vzero()
        for r in range(P):
            if r % 2:
                b += g[r] * vload(p + r * S * LANES)
            else:
                a += g[r] * vload(p + r * S * LANES)
        vstore(sums + j * LANES, a + b)


cdef inline void _dw_row_sums(const int S, const DwTaps* t, const real* x, const real* dy, intp n,
                              real* sums) noexcept nogil:
    cdef intp m = 0
    while m < n:
        if n - m >= DW_TALL:
            _dw_pixel_sums(DW_TALL, S, t, x + m * S * LANES, dy + m * LANES, sums)
            m += DW_TALL
        elif n - m >= DW_HALF:
            _dw_pixel_sums(DW_HALF, S, t, x + m * S * LANES, dy + m * LANES, sums)
            m += DW_HALF
        else:
            _dw_pixel_sums(1, S, t, x + m * S * LANES, dy + m * LANES, sums)
            m += 1


cdef void _dw_map_sums(const DwMap* f, const DwTaps* t, const real* dy, const real* x, real* dw, intp i,
                       intp n_images, real* buffer) noexcept nogil:
    """LANES channels' weights, summed over all images."""
    cdef intp c = _dw_first_channel(f, i), n, k, size_x = f.sh_ * f.sw_, size_y = f.dh_ * f.dw_
    cdef real* sums = buffer
    cdef real* g = sums + (f.taps + LANES) * LANES
    cdef real* source = _dw_map_source(f, buffer)
    cdef real* row
    cdef intp lines_x = LANES * size_x / DW_LINE / f.dh_ + 1, lines_y = LANES * f.dw_ / DW_LINE + 1
    cdef intp next_c
    _dw_clear(sums, 0, f.taps * LANES)
    for n in range(n_images):
        _dw_transpose_map(x + (n * f.c + c) * size_x, size_x, source, f.pixels)
        _dw_transpose_in(dy + (n * f.c + c) * size_y, size_y, g)
        next_c = _dw_first_channel(f, i + 1) if n + 1 == n_images else c + f.c * (n + 1)
        for k in range(f.dh_):
            if f.ahead:
                _dw_fetch(x + next_c * size_x + k * lines_x * DW_LINE, lines_x)
                _dw_fetch(dy + next_c * size_y + k * lines_y * DW_LINE, lines_y)
            row = source + k * f.step_h * f.width * LANES
            if f.step_w == 1:
                _dw_row_sums(1, t, row, g + k * f.dw_ * LANES, f.dw_, sums)
            else:
                _dw_row_sums(<int> f.step_w, t, row, g + k * f.dw_ * LANES, f.dw_, sums)
    _dw_transpose_out(sums, dw + c * f.taps, f.taps)


cdef void _dw_sums_share(const DwMap* f, const DwTaps* t, const real* dy, const real* x, real* dw, intp first,
                         intp end, intp n_images, real* buffer) noexcept nogil:
    cdef intp i
    _dw_clear(_dw_map_source(f, buffer), 0, f.height * f.width * LANES)  # what lies around the maps stays zero
    for i in range(first, end):
        _dw_map_sums(f, t, dy, x, dw, i, n_images, buffer)


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
    taken += _dw_map_pixels(&f, <intp*> data(work) + taken)
    f.ahead = N * f.c * (f.sh_ * f.sw_ + f.dh_ * f.dw_) * sizeof(real) > (1 << 20)
    cdef real* buffers = data(work) + _dw_table_size(taken)
    cdef const real* dp = data(dy)
    cdef const real* xp = data(x)
    cdef real* wp = data(dw_)
    if threads == 1:
        with nogil:
            _dw_sums_share(&f, &t, dp, xp, wp, 0, blocks, N, buffers)
        return
    for i in prange(threads, nogil=True, schedule="static", num_threads=threads):
        _dw_sums_share(&f, &t, dp, xp, wp, blocks * i / threads, blocks * (i + 1) / threads, N, buffers + i * share)
