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


cdef struct DwBlock:  # rows of outputs of one vector of columns
    const DepthwisePhase* t
    const intp* at  # of the phase
    const real* x
    intp pitch  # numbers from a source row to the next
    const real* w
    real* y
    intp ys
    int rows, lanes
    bint first  # start from the bias, not from y
    real bias


cdef inline void _dw_block(const int K, const int S, const int R, const DwBlock* b) noexcept nogil:
    """R output rows: K taps of every column added to y, or to the bias.

    Written out row by row (arguments are constants): the compiler would not unroll a loop as long as this.
    """
    cdef vec a[14]
    cdef vec k[7]
    cdef int r, i
    cdef intp j, pitch = b.pitch, down = b.t.down, cols = b.t.columns
    cdef const real* p
    for r in range(R):
        a[r] = vset(b.bias)
    if not b.first:
        dw_take_rows(a, R, b.y, b.ys, b.rows, b.lanes)
    for j in range(cols):
        p = b.x + b.at[j]
        for i in range(K):
            k[i] = vset(b.w[b.at[cols + j] + i * down])
        _dw_feed5(K, S, R, 0, a, k, p, pitch)
        _dw_feed5(K, S, R, 5, a, k, p, pitch)
        _dw_feed5(K, S, R, 10, a, k, p, pitch)
        _dw_feed5(K, S, R, 15, a, k, p, pitch)
    dw_put_rows(a, R, b.y, b.ys, b.rows, b.lanes)


cdef inline void _dw_by_rows(const int K, const int S, const DwBlock* b) noexcept nogil:
    if S == 1 and b.rows > DW_HALF:
        _dw_block(K, 1, DW_TALL, b)
    elif b.rows > DW_LOW:
        _dw_block(K, S, DW_HALF, b)
    else:
        _dw_block(K, S, DW_LOW, b)


cdef void _dw_strip(const DepthwiseBands* q, DwBlock* b) noexcept nogil:
    """Up to DW_TALL rows (DW_HALF at stride 2) of one vector of columns, all taps; x, w: of the first channels.

    They move on in place: a copy would be read by vectors before the numbers just written are there.
    """
    cdef intp u = 0, k, pitch = q.split * q.line
    b.x += b.t.source
    b.w += b.t.weight
    b.pitch = pitch
    while u < b.t.run:
        b.first = u == 0
        k = _dw_next_run(q, b.t.run - u)
        if k == 1:  # rows at any distance
            b.pitch = q.step * pitch
            _dw_by_rows(1, 1, b)
        elif q.step == 2:
            if k == 7:
                _dw_by_rows(7, 2, b)
            elif k == 5:
                _dw_by_rows(5, 2, b)
            else:
                _dw_by_rows(3, 2, b)
        elif k == 7:
            _dw_by_rows(7, 1, b)
        elif k == 5:
            _dw_by_rows(5, 1, b)
        elif k == 3:
            _dw_by_rows(3, 1, b)
        else:
            _dw_by_rows(2, 1, b)
        u += k
        b.x += k * pitch
        b.w += k * b.t.down


cdef inline void _dw_interleave(const intp phases, const real* z, real* y, intp ys, int rows, intp cols) noexcept nogil:
    """Phases of the columns, DW_TALL vectors each, into `cols` columns of the destination."""
    cdef intp r, i, L = LANES
    cdef vec a, b
    for r in range(rows):
        if phases == 2:
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
                y[r * ys + i] = z[(i % phases * DW_TALL + r) * L + i // phases]


cdef void _dw_bands_job(const DwBands* a, intp job, real* z, real* buffer) noexcept nogil:
    """One band of one image and group; z: room for a block of results, if they come in phases."""
    cdef const DepthwiseBands* q = a.q
    cdef intp band = job % q.bands, image = job // q.bands, g = image % q.groups, k0 = band * q.rows
    cdef intp uh = q.phases_v, uw = q.phases_h, plane = q.height * q.width, out_plane = q.out_height * q.out_width
    cdef intp i, j, k, o, c, v, end, high, cols, most = DW_TALL if q.step != 2 else DW_HALF
    cdef intp pitch = q.split * q.line, count = min(q.rows, (q.out_height + uh - 1) // uh - k0)
    cdef intp steps = (count + most - 1) // most * uh * ((q.out_width + uw * LANES - 1) // (uw * LANES))
    cdef intp lines_x = count * q.step * q.width // DW_LINE // steps + 1
    cdef intp lines_y = count * uh * q.out_width // DW_LINE // steps + 1
    cdef intp channels = q.channels, outputs = q.outputs, width = q.out_width  # stores might change them in memory
    cdef bint last = band + 1 == q.bands, ahead = q.ahead
    cdef const real* x = a.x + image * q.channels * plane
    cdef const real* next_x = x + (q.channels * plane if last else (k0 + count) * q.step * q.width)
    cdef real* y = a.y + image * q.outputs * out_plane
    cdef real* next_y = y + (q.outputs * out_plane if last else (k0 + count) * uh * q.out_width)
    cdef const real* w = a.w + g * q.group
    cdef real* target
    cdef DwBlock b
    _dw_copy_in(q, x, k0 * q.step + q.top, q.lines - (q.rows - count) * q.step, buffer)
    for v in range(uh):
        end = min(k0 + q.rows, (q.out_height - v + uh - 1) // uh)
        k = k0
        while k < end:
            high = min(most, end - k)
            b.rows = <int> high
            i = 0
            while i * uw < width:
                cols = width - i * uw
                if ahead:
                    for c in range(channels):
                        _dw_fetch(next_x + c * plane, lines_x)
                    for c in range(outputs):
                        _dw_fetch_w(next_y + c * out_plane, lines_y)
                    next_x += lines_x * DW_LINE
                    next_y += lines_y * DW_LINE
                for o in range(outputs):
                    target = y + o * out_plane + (k * uh + v) * width + i * uw
                    b.bias = a.bias[g * outputs + o] if a.bias != NULL else 0
                    for j in range(uw):
                        b.t = a.phases + v * uw + j
                        b.at = a.places + b.t.start
                        b.x, b.w = buffer + (k - k0) * q.step * pitch + i, w + o * q.output
                        if uw == 1:
                            b.y, b.ys, b.lanes = target, uh * width, <int> min(cols, LANES)
                        else:
                            b.y, b.ys, b.lanes = z + j * DW_TALL * LANES, LANES, LANES
                        _dw_strip(q, &b)
                    if uw > 1:
                        _dw_interleave(uw, z, target, uh * width, <int> high, min(cols, uw * LANES))
                i += LANES
            k += high


cdef void _dw_bands_part(const void* arguments, intp first, intp end, intp ithr, bint again) noexcept nogil:
    cdef const DwBands* a = <const DwBands*> arguments
    cdef const DepthwiseBands* q = a.q
    cdef real* z = a.work + ithr * q.share
    cdef real* buffer = z if q.phases_h == 1 else z + q.phases_h * DW_TALL * LANES
    cdef intp job
    if not again:
        _dw_clear(z, 0, q.share)  # what lies around the images stays zero
    for job in range(first, end):
        _dw_bands_job(a, job, z, buffer)


def depthwise_bands(cnp.ndarray x, cnp.ndarray w, cnp.ndarray bias, cnp.ndarray y, cnp.ndarray q, cnp.ndarray phases,
                    cnp.ndarray places, cnp.ndarray work, int threads):
    """y OUT = conv(x IN, w IN) + bias IN (co, or empty), or dx of dy. work WORK [threads][share]."""
    cdef DwBands a = _dw_bands(q, phases, places, work)
    a.x, a.w, a.y = data(x), data(w), data(y)
    a.bias = data(bias) if cnp.PyArray_SIZE(bias) else NULL
    with nogil:
        launch_parts(_dw_bands_part, &a, a.q.images * a.q.groups * a.q.bands, threads)
