# Channel-wise forward and grad_input: rows of outputs in registers, see buffer.pxi.


cdef inline void _dw_tap(const int K, const int S, const int R, const int i, const int r, vec* a,
                         const vec* k, vec x) noexcept nogil:
    if i < K and r >= i and (r - i) % S == 0 and (r - i) / S < R:
        a[(r - i) / S] += k[i] * x


cdef inline void _dw_feed(const int K, const int S, const int R, const int r, vec* a, const vec* k,
                          const real* p, intp pitch) noexcept nogil:
    """Source row r of a block: one load for all output rows that read it."""
    cdef vec x
    if r < (R - 1) * S + K:
        x = dw_hold(vload(p + r * pitch))
        _dw_tap(K, S, R, 0, r, a, k, x)
        _dw_tap(K, S, R, 1, r, a, k, x)
        _dw_tap(K, S, R, 2, r, a, k, x)
        _dw_tap(K, S, R, 3, r, a, k, x)
        _dw_tap(K, S, R, 4, r, a, k, x)
        _dw_tap(K, S, R, 5, r, a, k, x)
        _dw_tap(K, S, R, 6, r, a, k, x)


cdef inline void _dw_feed5(const int K, const int S, const int R, const int r, vec* a, const vec* k,
                           const real* p, intp pitch) noexcept nogil:
    _dw_feed(K, S, R, r, a, k, p, pitch)
    _dw_feed(K, S, R, r + 1, a, k, p, pitch)
    _dw_feed(K, S, R, r + 2, a, k, p, pitch)
    _dw_feed(K, S, R, r + 3, a, k, p, pitch)
    _dw_feed(K, S, R, r + 4, a, k, p, pitch)


cdef inline void _dw_block(const int K, const int S, const int R, const DwTaps* t, const real* x, intp pitch,
                           const real* w, real* y, intp ys, int rows, int lanes, bint first,
                           real bias) noexcept nogil:
    """R output rows of one vector of columns: K taps of every column added to y, or to the bias.

    Written out row by row (arguments are constants): the compiler would not unroll a loop as long as this.
    """
    cdef vec a[14]
    cdef vec k[7]
    cdef int r, i
    cdef intp j
    cdef const real* p
    for r in range(R):
        a[r] = vset(bias)
    if not first:
        dw_take_rows(a, R, y, ys, rows, lanes)
    for j in range(t.cols):
        p = x + t.at[j]
        for i in range(K):
            k[i] = vset(w[t.weight[j] + i * t.down])
        _dw_feed5(K, S, R, 0, a, k, p, pitch)
        _dw_feed5(K, S, R, 5, a, k, p, pitch)
        _dw_feed5(K, S, R, 10, a, k, p, pitch)
        _dw_feed5(K, S, R, 15, a, k, p, pitch)
    dw_put_rows(a, R, y, ys, rows, lanes)


cdef inline void _dw_by_rows(const int K, const int S, const DwTaps* t, const real* x, intp pitch,
                             const real* w, real* y, intp ys, int rows, int lanes, bint first,
                             real bias) noexcept nogil:
    if S == 1 and rows > DW_HALF:
        _dw_block(K, 1, DW_TALL, t, x, pitch, w, y, ys, rows, lanes, first, bias)
    elif rows > DW_LOW:
        _dw_block(K, S, DW_HALF, t, x, pitch, w, y, ys, rows, lanes, first, bias)
    else:
        _dw_block(K, S, DW_LOW, t, x, pitch, w, y, ys, rows, lanes, first, bias)


cdef void _dw_strip(const DwGeometry* f, const DwTaps* t, const real* x, const real* w, real* y, intp ys,
                    int rows, int lanes, real bias) noexcept nogil:
    """Up to DW_TALL rows (DW_HALF at stride 2) of one vector of columns, all taps."""
    cdef intp u = 0, k, pitch = f.split * f.width
    x += t.x0
    w += t.w0
    while u < t.run:
        k = _dw_next_run(t.run - u)
        if t.run == 1:  # rows at any distance
            _dw_by_rows(1, 1, t, x, f.step * pitch, w, y, ys, rows, lanes, u == 0, bias)
        elif f.step == 2:
            if k == 7:
                _dw_by_rows(7, 2, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
            elif k == 5:
                _dw_by_rows(5, 2, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
            elif k == 3:
                _dw_by_rows(3, 2, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
            else:
                k = 1
                _dw_by_rows(1, 1, t, x, 2 * pitch, w, y, ys, rows, lanes, u == 0, bias)
        elif k == 7:
            _dw_by_rows(7, 1, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
        elif k == 5:
            _dw_by_rows(5, 1, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
        elif k == 3:
            _dw_by_rows(3, 1, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
        elif k == 2:
            _dw_by_rows(2, 1, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
        else:
            _dw_by_rows(1, 1, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
        u += k
        x += k * pitch
        w += k * t.down


cdef inline void _dw_interleave(const DwGeometry* f, const real* z, real* y, intp ys, int rows,
                                intp cols) noexcept nogil:
    """Phases of the columns, DW_TALL vectors each, into `cols` columns of the destination."""
    cdef intp r, i, L = LANES
    cdef vec a, b
    for r in range(rows):
        if f.uw == 2:
            a = vziplo(vload(z + r * L), vload(z + (DW_TALL + r) * L))
            b = vziphi(vload(z + r * L), vload(z + (DW_TALL + r) * L))
            if cols >= 2 * L:
                vstore(y + r * ys, a)
                vstore(y + r * ys + L, b)
            else:
                vstore_part(y + r * ys, a, <int> (cols if cols < L else L))
                if cols > L:
                    vstore_part(y + r * ys + L, b, <int> (cols - L))
        else:
            for i in range(cols):
                y[r * ys + i] = z[(i % f.uw * DW_TALL + r) * L + i / f.uw]


cdef void _dw_filter_job(const DwGeometry* f, const DwTaps* taps, const real* x, const real* w,
                         const real* bias, real* y, intp job, real* buffer) noexcept nogil:
    """One band of one image and group."""
    cdef intp band = job % f.bands, n = job / f.bands / f.g, g = job / f.bands % f.g, k0 = band * f.rows
    cdef intp k, o, q, a, b, end, high, cols, most = DW_TALL if f.step != 2 else DW_HALF
    cdef intp pitch = f.split * f.width, count = min(f.rows, (f.dh_ + f.uh - 1) / f.uh - k0)
    cdef real* z = buffer
    cdef const real* corner
    cdef real* target
    cdef intp steps = (count + most - 1) / most * f.uh * ((f.dw_ + f.uw * LANES - 1) / (f.uw * LANES))
    cdef intp lines_x = count * f.step * f.sw_ / DW_LINE / steps + 1
    cdef intp lines_y = count * f.uh * f.dw_ / DW_LINE / steps + 1
    cdef intp step = 0, c
    cdef bint last = band + 1 == f.bands
    cdef const real* next_x
    cdef const real* next_y
    cdef real start
    w += g * f.wg
    buffer += 0 if f.uw == 1 else f.uw * DW_TALL * LANES
    x += (n * f.g + g) * f.cs * f.sh_ * f.sw_
    y += (n * f.g + g) * f.cd * f.dh_ * f.dw_
    if f.stream:
        start = bias[g] if bias != NULL else 0
        if f.uh == 2:
            _dw_spread_plane(f, x, w, y, 2 * k0, min(2 * (k0 + count), f.dh_))
        elif f.stream == 2:
            _dw_filter_plane2(f, x, w, start, y, k0, k0 + count)
        else:
            _dw_filter_plane(f, taps, x, w, start, y, k0, k0 + count)
        return
    _dw_copy_in(f, x, k0 * f.step + f.top, f.height - (f.rows - count) * f.step, buffer)
    next_x = x + (f.cs * f.sh_ * f.sw_ if last else (k0 + count) * f.step * f.sw_)
    next_y = y + (f.cd * f.dh_ * f.dw_ if last else (k0 + count) * f.uh * f.dw_)
    for a in range(f.uh):
        end = min(k0 + f.rows, (f.dh_ - a + f.uh - 1) / f.uh)
        k = k0
        while k < end:
            high = min(most, end - k)
            q = 0
            while q * f.uw < f.dw_:
                corner = buffer + (k - k0) * f.step * pitch + q
                cols = f.dw_ - q * f.uw
                if f.ahead:
                    for c in range(f.cs):
                        _dw_fetch(next_x + c * f.sh_ * f.sw_ + step * lines_x * DW_LINE, lines_x)
                    for c in range(f.cd):
                        _dw_fetch_w(next_y + c * f.dh_ * f.dw_ + step * lines_y * DW_LINE, lines_y)
                    step += 1
                for o in range(f.cd):
                    target = y + (o * f.dh_ + k * f.uh + a) * f.dw_ + q * f.uw
                    if f.uw == 1:
                        start = bias[g * f.cd + o] if bias != NULL else 0
                        _dw_strip(f, taps + a, corner, w + o * f.wd, target, f.uh * f.dw_, <int> high,
                                  <int> min(cols, LANES), start)
                        continue
                    for b in range(f.uw):
                        _dw_strip(f, taps + a * f.uw + b, corner, w + o * f.wd, z + b * DW_TALL * LANES,
                                  LANES, <int> high, LANES, 0)
                    _dw_interleave(f, z, target, f.uh * f.dw_, <int> high, min(cols, f.uw * LANES))
                q += LANES
            k += high


cdef void _dw_filter_share(const DwGeometry* f, const DwTaps* taps, const real* x, const real* w,
                           const real* bias, real* y, intp first, intp end, real* buffer) noexcept nogil:
    cdef intp job
    if not f.stream:
        _dw_clear(buffer, 0, f.share)  # what lies around the images stays zero
    for job in range(first, end):
        _dw_filter_job(f, taps, x, w, bias, y, job, buffer)


cdef void _dw_run_filter(DwGeometry* f, const DwTaps* taps, const real* x, const real* w, const real* bias,
                         real* y, intp n, real* buffers, int threads) noexcept:
    """All jobs; each thread has `share` numbers of `buffers` to itself."""
    cdef intp jobs = n * f.g * f.bands
    cdef int i
    f.ahead = _dw_beyond_cache(f, n)
    if threads == 1:
        with nogil:
            _dw_filter_share(f, taps, x, w, bias, y, 0, jobs, buffers)
        return
    for i in prange(threads, nogil=True, schedule="static", num_threads=threads):
        _dw_filter_share(f, taps, x, w, bias, y, jobs * i / threads, jobs * (i + 1) / threads,
                         buffers + i * f.share)


def depthwise_forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray bias, cnp.ndarray y, intp sh, intp sw,
                      intp pt, intp pl, intp dh, intp dw, intp g, intp rows, intp height, intp left,
                      intp width, intp share, cnp.ndarray work, int threads):
    """x, w, bias (Co, or empty) IN; y OUT; work WORK. Block sizes as algorithms/depthwise.py sets them."""
    cdef intp Cg = w.shape[1], Og = w.shape[0] / g, KH = w.shape[2], KW = w.shape[3]
    cdef DwGeometry f
    f.cs, f.cd, f.g, f.sh_, f.sw_, f.dh_, f.dw_ = Cg, Og, g, x.shape[2], x.shape[3], y.shape[2], y.shape[3]
    f.step, f.split, f.uh, f.uw, f.top = sh, sw, 1, 1, -pt
    f.rows, f.bands, f.height = rows, (f.dh_ + rows - 1) / rows, height
    f.left, f.width, f.share = left, width, share
    f.wd, f.ws, f.wg = Cg * KH * KW, KH * KW, Og * Cg * KH * KW
    f.stream = _dw_streams(&f, KH, KW, dh, dw, pl)
    cdef DwTaps t
    cdef intp taken = _dw_tabulate(&f, &t, _dw_correlation_axis(KH, dh, pt),
                                   _dw_correlation_axis(KW, dw, pl), KW, <intp*> data(work))
    _dw_run_filter(&f, &t, data(x), data(w), data(bias) if bias.shape[0] else NULL, data(y), x.shape[0],
               data(work) + _dw_table_size(taken), threads)


def depthwise_grad_input(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, intp sh, intp sw, intp pt, intp pl,
                         intp dh, intp dw, intp g, intp rows, intp height, intp left, intp width, intp share,
                         intp top, cnp.ndarray work, int threads):
    """dy, w IN; dx OUT; work WORK. Each remainder of dx's rows and columns modulo the stride is a phase."""
    cdef intp Cg = w.shape[1], Og = w.shape[0] / g, KH = w.shape[2], KW = w.shape[3], a, b, taken
    cdef DwGeometry f
    f.cs, f.cd, f.g = Og, Cg, g
    f.sh_, f.sw_, f.dh_, f.dw_ = dy.shape[2], dy.shape[3], dx.shape[2], dx.shape[3]
    f.step, f.split, f.uh, f.uw, f.top = 1, 1, sh, sw, top
    f.rows, f.height, f.left, f.width, f.share = rows, height, left, width, share
    f.bands = ((f.dh_ + sh - 1) / sh + rows - 1) / rows
    f.wd, f.ws, f.wg = KH * KW, Cg * KH * KW, Og * Cg * KH * KW
    f.stream = _dw_streams(&f, KH, KW, dh, dw, pl)
    f.pt = pt
    cdef DwTaps* t = <DwTaps*> data(work)
    taken = sh * sw * sizeof(DwTaps) / sizeof(intp)
    for a in range(sh):
        for b in range(sw):
            taken += _dw_tabulate(&f, t + a * sw + b, _dw_adjoint_axis(KH, sh, dh, pt, a),
                               _dw_adjoint_axis(KW, sw, dw, pl, b), KW, <intp*> data(work) + taken)
    _dw_run_filter(&f, t, data(dy), data(w), NULL, data(dx), dy.shape[0],
                   data(work) + _dw_table_size(taken), threads)
