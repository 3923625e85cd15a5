# Winograd convolution, forward and grad_input. Tiles of x become V[f][group][ci/LANES][tile][LANES], weights
# U[panel][chunk of ci][f][ci][2*LANES]; the products M[f][2][tile][LANES] of a panel of 2*LANES outputs go back
# through the output transform. A group of tiles is what the register block holds.


cdef void _wino_fetch_weights(const WinoGrid* q, const real* w, intp group, intp o, intp k, intp part,
                              intp parts) noexcept nogil:
    """Prefetch one of so many parts of the panel that _wino_weight_panel will read next."""
    cdef intp taps = q.rh * q.rw, outputs = min(2 * <intp> LANES, q.co - o), channels = min(q.kc, q.ci - k)
    cdef intp rows, count, step, i, r
    if outputs <= 0:
        return
    rows, count, step = outputs, channels * taps, q.so
    if q.sc != taps:
        rows, count, step = channels, outputs * taps, q.sc
    w += group * q.ci * q.co * taps + o * q.so + k * q.sc
    for i in range(count * part // parts // 16, count * (part + 1) // parts // 16):
        for r in range(rows):
            fetch(w + r * step + 16 * i)


cdef inline void _wino_multiply_block(const int nt, const real* V, const real* U, real* M, intp mc, intp ci,
                                      bint first) noexcept nogil:
    """M[2][.][LANES] (+)= sum over ci channels of V[ci/LANES][nt][LANES] * U[ci][2][LANES]."""
    cdef vec a[14][2]
    cdef vec b, u0, u1
    cdef intp l
    cdef int t
    for t in range(nt):
        a[t][0] = vzero()
        a[t][1] = vzero()
    while ci > 0:
        for l in range(min(ci, <intp> LANES)):
            fetch(U + 32 * LANES)
            fetch(U + 33 * LANES)
            u0 = vload(U)
            u1 = vload(U + LANES)
            for t in range(nt):
                b = vset(V[t * LANES + l])
                a[t][0] += b * u0
                a[t][1] += b * u1
            U += 2 * LANES
        V += nt * LANES
        ci -= LANES
    if first:
        for t in range(nt):
            vstore(M + t * LANES, a[t][0])
            vstore(M + mc + t * LANES, a[t][1])
    else:
        for t in range(nt):
            vstore(M + t * LANES, vload(M + t * LANES) + a[t][0])
            vstore(M + mc + t * LANES, vload(M + mc + t * LANES) + a[t][1])


cdef void _wino_multiply(intp nt, const real* V, const real* U, real* M, intp mc, intp ci, intp length,
                         bint first) noexcept nogil:
    cdef intp c
    for c in range(_wino_ceil(ci, length)):
        _wino_multiply_sum(nt, V + c * length * nt, U + c * length * 2 * LANES, M, mc, min(ci - c * length, length),
                           first and c == 0)


cdef void _wino_multiply_sum(intp nt, const real* V, const real* U, real* M, intp mc, intp ci,
                             bint first) noexcept nogil:
    if nt == 1: _wino_multiply_block(1, V, U, M, mc, ci, first)
    elif nt == 2: _wino_multiply_block(2, V, U, M, mc, ci, first)
    elif nt == 3: _wino_multiply_block(3, V, U, M, mc, ci, first)
    elif nt == 4: _wino_multiply_block(4, V, U, M, mc, ci, first)
    elif nt == 5: _wino_multiply_block(5, V, U, M, mc, ci, first)
    elif nt == 6: _wino_multiply_block(6, V, U, M, mc, ci, first)
    elif WINO_TILES == 14:
        if nt == 7: _wino_multiply_block(7, V, U, M, mc, ci, first)
        elif nt == 8: _wino_multiply_block(8, V, U, M, mc, ci, first)
        elif nt == 9: _wino_multiply_block(9, V, U, M, mc, ci, first)
        elif nt == 10: _wino_multiply_block(10, V, U, M, mc, ci, first)
        elif nt == 11: _wino_multiply_block(11, V, U, M, mc, ci, first)
        elif nt == 12: _wino_multiply_block(12, V, U, M, mc, ci, first)
        elif nt == 13: _wino_multiply_block(13, V, U, M, mc, ci, first)
        else: _wino_multiply_block(14, V, U, M, mc, ci, first)


cdef void _wino_input_part(const WinoGrid* q, const real* x, intp group, intp first, intp stop,
                           const WinoBlock* k, real* V, real* area, const real* coef) noexcept nogil:
    """Pack and transform vectors first .. stop of a group's channels; area: the thread's own memory."""
    cdef intp plane = q.ih * q.iw, v, c, i, p
    cdef real* slots = area + q.at_in
    memset(slots, 0, k.slots * LANES * sizeof(real))  # what lies outside the image stays zero
    for v in range(first, stop):
        c, p = v * LANES, 0
        for i in range(k.x.runs):
            _wino_pack(x + ((k.x.run[i].image * q.g + group) * q.ci + c) * plane + k.x.run[i].first, plane,
                  min(q.ci - c, <intp> LANES), k.x.run[i].count, k.x.slot + p, slots)
            p += k.x.run[i].count
        _wino_inputs(q, k, slots, V, c, coef)


cdef void _wino_panel_part(const WinoGrid* q, const real* w, const real* U, const real* bias, real* y,
                           intp group, intp o, const WinoBlock* k, const real* V, real* area,
                           const real* coef) noexcept nogil:
    """Outputs o .. o + 2*LANES of a block: weights unless U has them, products, inverse transform, store."""
    cdef intp chunks = _wino_ceil(q.ci, q.kc), groups = _wino_ceil(k.tiles, WINO_TILES)
    cdef intp F = (q.mh + q.rh - 1) * (q.mw + q.rw - 1), plane = q.oh * q.ow, j, f, g, a, b, n, s, i, p, channels
    cdef real* M = area + q.at_m
    cdef real* slots = area + q.at_out
    cdef const real* u = area + q.at_u
    cdef vec add
    for j in range(chunks):
        n = min(q.kc, q.ci - j * q.kc)
        if U != NULL:
            u = U + ((group * _wino_ceil(q.co, 2 * LANES) + o // (2 * LANES)) * chunks + j) * q.chunk
        else:
            _wino_weight_panel(q, w, group, o, j * q.kc, n, area + q.at_u, coef)
        for f in range(F):
            if U == NULL:
                _wino_fetch_weights(q, w, group, o + 2 * LANES * ((j + 1) // chunks), (j + 1) % chunks * q.kc, f,
                                    F)
            for g in range(groups):
                a, b = k.tiles * g // groups, k.tiles * (g + 1) // groups
                _wino_multiply(b - a, V + f * q.vf + a * q.cip + (b - a) * j * q.kc, u + f * q.uf,
                               M + f * q.mf + a * LANES, k.tiles * LANES, n, q.sum, j == 0)
    for s in range(min(2, _wino_ceil(q.co - o, LANES))):
        _wino_outputs(q, k, M + s * k.tiles * LANES, slots, coef)
        channels = min(q.co - o - s * LANES, <intp> LANES)
        p = group * q.co + o + s * LANES
        add = vzero() if bias == NULL else vload_part(bias + p, <int> channels)
        i = 0
        for j in range(k.y.runs):
            _wino_unpack(y + (k.y.run[j].image * q.g * q.co + p) * plane + k.y.run[j].first, plane, channels,
                         k.y.run[j].count, k.y.slot + i, slots, add)
            i += k.y.run[j].count


cdef void _wino_weights_work(const WinoGrid* q, const real* w, real* U, const real* coef, intp part,
                             intp parts) noexcept nogil:
    cdef intp panels = _wino_ceil(q.co, 2 * LANES), chunks = _wino_ceil(q.ci, q.kc)
    cdef intp total = q.g * panels * chunks, i, k
    for i in range(total * part // parts, total * (part + 1) // parts):
        k = i % chunks * q.kc
        _wino_weight_panel(q, w, i // chunks // panels, i // chunks % panels * 2 * LANES, k, min(q.kc, q.ci - k),
                           U + i * q.chunk, coef)


cdef void _wino_tiles_work(const WinoGrid* q, const real* x, const real* U, const real* bias, real* y,
                           real* work, const real* coef, intp part, intp parts) noexcept nogil:
    cdef intp blocks = q.row_blocks * q.col_blocks, i, group, o
    cdef real* area = work + q.shared + part * q.per_thread
    cdef WinoBlock* k = <WinoBlock*> (area + q.at_table)
    for i in range(blocks * part // parts, blocks * (part + 1) // parts):
        _wino_make_block(q, i, <real*> (k + 1), k)
        for group in range(q.g):
            _wino_input_part(q, x, group, 0, _wino_ceil(q.ci, LANES), k, area + q.at_v, area, coef)
            for o in range(_wino_ceil(q.co, 2 * LANES)):
                _wino_panel_part(q, NULL, U, bias, y, group, o * 2 * LANES, k, area + q.at_v, area, coef)


cdef void _wino_inputs_work(const WinoGrid* q, const real* x, real* work, const real* coef, intp block,
                            intp part, intp parts) noexcept nogil:
    cdef intp vectors = _wino_ceil(q.ci, LANES), i = q.g * vectors * part // parts
    cdef intp stop = q.g * vectors * (part + 1) // parts, n
    cdef real* area = work + q.shared + part * q.per_thread
    cdef WinoBlock* k = <WinoBlock*> (area + q.at_table)
    _wino_make_block(q, block, <real*> (k + 1), k)
    while i < stop:
        n = min(stop - i, vectors - i % vectors)
        _wino_input_part(q, x, i // vectors, i % vectors, i % vectors + n, k, work + i // vectors * q.group_v, area,
                         coef)
        i += n


cdef void _wino_panels_work(const WinoGrid* q, const real* w, const real* U, const real* bias, real* y,
                            real* work, const real* coef, intp part, intp parts) noexcept nogil:
    cdef intp panels = _wino_ceil(q.co, 2 * LANES), total = q.g * panels, i
    cdef real* area = work + q.shared + part * q.per_thread
    for i in range(total * part // parts, total * (part + 1) // parts):
        _wino_panel_part(q, w, U, bias, y, i // panels, i % panels * 2 * LANES, <WinoBlock*> (area + q.at_table),
                         work + i // panels * q.group_v, area, coef)


cdef inline real* _wino_data_or_null(cnp.ndarray a) noexcept:
    return data(a) if cnp.PyArray_SIZE(a) else NULL


def winograd_weights(cnp.ndarray w, cnp.ndarray u, cnp.ndarray grid, cnp.ndarray coef, int threads):
    """u OUT: all weights transformed, [group][panel][chunk][f][ci][2*LANES]."""
    cdef const WinoGrid* q = <const WinoGrid*> cnp.PyArray_DATA(grid)
    cdef real* wp = data(w)
    cdef real* up = data(u)
    cdef real* cp = data(coef)
    cdef int t
    if threads == 1:
        with nogil:
            _wino_weights_work(q, wp, up, cp, 0, 1)
        return
    for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
        _wino_weights_work(q, wp, up, cp, t, threads)


def winograd_tiles(cnp.ndarray x, cnp.ndarray u, cnp.ndarray bias, cnp.ndarray y, cnp.ndarray work,
                   cnp.ndarray grid, cnp.ndarray coef, int threads):
    """y OUT, from transformed weights u; a thread takes its blocks of tiles through all stages. bias may be empty."""
    cdef const WinoGrid* q = <const WinoGrid*> cnp.PyArray_DATA(grid)
    cdef real* xp = data(x)
    cdef real* up = data(u)
    cdef real* bp = _wino_data_or_null(bias)
    cdef real* yp = data(y)
    cdef real* kp = data(work)
    cdef real* cp = data(coef)
    cdef int t
    if threads == 1:
        with nogil:
            _wino_tiles_work(q, xp, up, bp, yp, kp, cp, 0, 1)
        return
    for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
        _wino_tiles_work(q, xp, up, bp, yp, kp, cp, t, threads)


def winograd_panels(cnp.ndarray x, cnp.ndarray w, cnp.ndarray u, cnp.ndarray bias, cnp.ndarray y,
                    cnp.ndarray work, cnp.ndarray grid, cnp.ndarray coef, int threads):
    """y OUT; all threads transform a block of x, then each takes panels of outputs, whose weights it transforms
    when it needs them (or finds in u, if that is not empty)."""
    cdef const WinoGrid* q = <const WinoGrid*> cnp.PyArray_DATA(grid)
    cdef real* xp = data(x)
    cdef real* wp = data(w)
    cdef real* up = _wino_data_or_null(u)
    cdef real* bp = _wino_data_or_null(bias)
    cdef real* yp = data(y)
    cdef real* kp = data(work)
    cdef real* cp = data(coef)
    cdef intp block, blocks = q.row_blocks * q.col_blocks
    cdef int t
    for block in range(blocks):
        if threads == 1:
            with nogil:
                _wino_inputs_work(q, xp, kp, cp, block, 0, 1)
                _wino_panels_work(q, wp, up, bp, yp, kp, cp, 0, 1)
            continue
        for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
            _wino_inputs_work(q, xp, kp, cp, block, t, threads)
        for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
            _wino_panels_work(q, wp, up, bp, yp, kp, cp, t, threads)


def winograd_lanes(cnp.ndarray a):
    """Numbers of a's dtype in a vector."""
    return LANES
