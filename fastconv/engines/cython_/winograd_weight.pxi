# grad_weight by Winograd: a tile of dy is the "filter" of a tile of x. Per frequency, S[co][ci] is the sum over tiles
# of Q[tile][co] * X[tile][ci], a matrix product whose inner index is the tile; one inverse transform at the end.


cdef inline void _wino_dy_loop(const int P, const int m, const int r, const bint flat, const WinoGrid* q,
                               const WinoBlock* k, const vec* slots, real* Q,
                               const real* coef) noexcept nogil:
    cdef vec g[32]
    cdef intp rs = q.dh * k.wo, cs = q.dw if q.along_w else rs, t
    _wino_spread(coef + P + P * P + m * P, g, 1 + P * r)
    for t in range(k.tiles):
        _wino_weight_tile(P, r, flat, slots + k.tile[2 * t + 1], rs, cs, <vec*> (Q + t * q.row_q), q.qf // LANES,
                          g)


cdef void _wino_dy_tiles(const WinoGrid* q, const WinoBlock* k, const real* slots, real* Q,
                         const real* coef) noexcept nogil:
    """The tiles of dy, one vector of channels, from slots to Q."""
    cdef const vec* s = <const vec*> slots
    if q.flat:
        if q.m == 3: _wino_dy_loop(2, 3, 4, 1, q, k, s, Q, coef)
        elif q.m == 5: _wino_dy_loop(3, 5, 4, 1, q, k, s, Q, coef)
        elif q.r == 2: _wino_dy_loop(3, 7, 2, 1, q, k, s, Q, coef)
        else: _wino_dy_loop(4, 7, 4, 1, q, k, s, Q, coef)
    elif q.m == 3 and q.r == 2: _wino_dy_loop(1, 3, 2, 0, q, k, s, Q, coef)
    elif q.m == 3: _wino_dy_loop(2, 3, 4, 0, q, k, s, Q, coef)
    elif q.r == 2: _wino_dy_loop(2, 5, 2, 0, q, k, s, Q, coef)
    else: _wino_dy_loop(3, 5, 4, 0, q, k, s, Q, coef)


cdef inline void _wino_taps_loop(const int P, const int m, const bint flat, const WinoGrid* q, const real* S,
                                 intp parts, real* w, intp channels, const real* coef) noexcept nogil:
    """One output, LANES input channels: the parts of S are added, transformed back and stored, [ci][taps]."""
    cdef vec a[32]
    cdef vec f[64]
    cdef vec t[32]
    cdef int n = 2 * P + 2 if flat else (2 * P + 2) * (2 * P + 2), taps = m if flat else m * m, i, b = 0, c
    cdef intp part
    _wino_spread(coef + P + P * P, a, m * P)
    for i in range(n):
        f[i] = vload(S + i * q.sf)
    for part in range(1, parts):
        for i in range(n):
            f[i] += vload(S + part * q.part_s + i * q.sf)
    _wino_output_tile(P, m, flat, f, 1, t, m, 1, a)
    for i in range(taps, 32):
        t[i] = vzero()
    while b < taps:
        vtranspose(t + b)
        b += LANES
    for c in range(channels):
        b = 0
        while b < taps:  # whole vectors where what they write too much is written again
            if (channels - c) * taps - b >= LANES:
                vstore(w + c * taps + b, t[b + c])
            else:
                vstore_part(w + c * taps + b, t[b + c], min(taps - b, LANES))
            b += LANES


cdef void _wino_taps(const WinoGrid* q, const real* S, intp parts, real* w, intp channels,
                     const real* coef) noexcept nogil:
    if q.flat:
        if q.m == 3: _wino_taps_loop(2, 3, 1, q, S, parts, w, channels, coef)
        elif q.m == 5: _wino_taps_loop(3, 5, 1, q, S, parts, w, channels, coef)
        elif q.r == 2: _wino_taps_loop(3, 7, 1, q, S, parts, w, channels, coef)
        else: _wino_taps_loop(4, 7, 1, q, S, parts, w, channels, coef)
    elif q.m == 3 and q.r == 2: _wino_taps_loop(1, 3, 0, q, S, parts, w, channels, coef)
    elif q.m == 3: _wino_taps_loop(2, 3, 0, q, S, parts, w, channels, coef)
    elif q.r == 2: _wino_taps_loop(2, 5, 0, q, S, parts, w, channels, coef)
    else: _wino_taps_loop(3, 5, 0, q, S, parts, w, channels, coef)


cdef inline void _wino_sum_block(const int no, const int nv, const real* Q, intp qs, const real* X, intp xs,
                                 real* S, intp ss, intp tiles, bint first) noexcept nogil:
    """S[no][nv vectors] (+)= sum over tiles of Q[tile][no] * X[tile][nv vectors]."""
    cdef vec a[14][2]
    cdef vec u[2]
    cdef vec b
    cdef intp t
    cdef int i, v
    for i in range(no):
        for v in range(nv):
            a[i][v] = vzero()
    for t in range(tiles):
        for v in range(nv):
            u[v] = vload(X + v * LANES)
        for i in range(no):
            b = vset(Q[i])
            for v in range(nv):
                a[i][v] += b * u[v]
        Q += qs
        X += xs
    for i in range(no):
        for v in range(nv):
            vstore(S + i * ss + v * LANES, a[i][v] if first else vload(S + i * ss + v * LANES) + a[i][v])


cdef void _wino_sum(intp no, const real* Q, intp qs, const real* X, intp xs, real* S, intp ss, intp tiles,
                    intp length, bint first) noexcept nogil:
    cdef intp t
    for t in range(_wino_ceil(tiles, length)):
        _wino_sum_some(no, Q + t * length * qs, qs, X + t * length * xs, xs, S, ss, min(tiles - t * length, length),
                       first and t == 0)


cdef void _wino_sum_some(intp no, const real* Q, intp qs, const real* X, intp xs, real* S, intp ss,
                         intp tiles, bint first) noexcept nogil:
    if no == 1: _wino_sum_block(1, 2, Q, qs, X, xs, S, ss, tiles, first)
    elif no == 2: _wino_sum_block(2, 2, Q, qs, X, xs, S, ss, tiles, first)
    elif no == 3: _wino_sum_block(3, 2, Q, qs, X, xs, S, ss, tiles, first)
    elif no == 4: _wino_sum_block(4, 2, Q, qs, X, xs, S, ss, tiles, first)
    elif no == 5: _wino_sum_block(5, 2, Q, qs, X, xs, S, ss, tiles, first)
    elif no == 6: _wino_sum_block(6, 2, Q, qs, X, xs, S, ss, tiles, first)
    elif WINO_TILES == 14:
        if no == 7: _wino_sum_block(7, 2, Q, qs, X, xs, S, ss, tiles, first)
        elif no == 8: _wino_sum_block(8, 2, Q, qs, X, xs, S, ss, tiles, first)
        elif no == 9: _wino_sum_block(9, 2, Q, qs, X, xs, S, ss, tiles, first)
        elif no == 10: _wino_sum_block(10, 2, Q, qs, X, xs, S, ss, tiles, first)
        elif no == 11: _wino_sum_block(11, 2, Q, qs, X, xs, S, ss, tiles, first)
        elif no == 12: _wino_sum_block(12, 2, Q, qs, X, xs, S, ss, tiles, first)
        elif no == 13: _wino_sum_block(13, 2, Q, qs, X, xs, S, ss, tiles, first)
        else: _wino_sum_block(14, 2, Q, qs, X, xs, S, ss, tiles, first)


cdef void _wino_sums(const WinoGrid* q, const WinoBlock* k, const real* Q, const real* X, real* S, intp o0,
                     intp o1, intp c0, intp c1, bint first) noexcept nogil:
    """S (+)= all tiles of a block, outputs o0..o1, inputs c0..c1 in panels of 2*LANES; S, Q, X at (o0, c0)."""
    cdef intp groups = _wino_ceil(o1 - o0, WINO_TILES), f, c, g, a, b
    for f in range((q.mh + q.rh - 1) * (q.mw + q.rw - 1)):
        for c in range(_wino_ceil(c1 - c0, 2 * LANES)):
            for g in range(groups):
                a, b = (o1 - o0) * g // groups, (o1 - o0) * (g + 1) // groups
                _wino_sum(b - a, Q + f * q.qf + a, q.row_q, X + f * q.vf + c * 2 * LANES, q.row_v,
                     S + f * q.sf + a * q.row_s + c * 2 * LANES, q.row_s, k.tiles, q.sum, first)


cdef void _wino_dy_part(const WinoGrid* q, const real* dy, intp group, intp first, intp stop,
                        const WinoBlock* k, real* Q, real* area, const real* coef) noexcept nogil:
    """Pack and transform vectors first .. stop of a group's channels of dy."""
    cdef intp plane = q.oh * q.ow, v, c, i, p
    cdef real* slots = area + q.at_out
    memset(slots, 0, k.outs * LANES * sizeof(real))
    for v in range(first, stop):
        c, p = v * LANES, 0
        for i in range(k.y.runs):
            _wino_pack(dy + ((k.y.run[i].image * q.g + group) * q.co + c) * plane + k.y.run[i].first, plane,
                  min(q.co - c, <intp> LANES), k.y.run[i].count, k.y.slot + p, slots)
            p += k.y.run[i].count
        _wino_dy_tiles(q, k, slots, Q + c, coef)


cdef void _wino_own_tiles(const WinoGrid* q, const real* dy, const real* x, real* work, const real* coef, intp group,
                          intp part, intp parts) noexcept nogil:
    """A thread's share of the segments: runs of blocks of tiles that have sums of their own."""
    cdef intp blocks = q.row_blocks * q.col_blocks, segment, i, i0
    cdef real* area = work + q.shared + part * q.per_thread
    cdef WinoBlock* k = <WinoBlock*> (area + q.at_table)
    for segment in range(q.segments * part // parts, q.segments * (part + 1) // parts):
        i0 = blocks * segment // q.segments
        for i in range(i0, blocks * (segment + 1) // q.segments):
            _wino_make_block(q, i, <real*> (k + 1), k)
            _wino_input_part(q, x, group, 0, _wino_ceil(q.ci, LANES), k, area + q.at_v, area, coef)
            _wino_dy_part(q, dy, group, 0, _wino_ceil(q.co, LANES), k, area + q.at_q, area, coef)
            _wino_sums(q, k, area + q.at_q, area + q.at_v, work + segment * q.part_s, 0, q.co, 0, q.ci, i == i0)


cdef void _wino_shared_tiles(const WinoGrid* q, const real* dy, const real* x, real* work, const real* coef,
                             intp group, intp block, intp part, intp parts) noexcept nogil:
    """A thread's share of the channels of a block."""
    cdef intp vx = _wino_ceil(q.ci, LANES), vq = _wino_ceil(q.co, LANES), i0 = (vx + vq) * part // parts
    cdef intp i1 = (vx + vq) * (part + 1) // parts
    cdef real* area = work + q.shared + part * q.per_thread
    cdef WinoBlock* k = <WinoBlock*> (area + q.at_table)
    _wino_make_block(q, block, <real*> (k + 1), k)
    if i0 < vx:
        _wino_input_part(q, x, group, i0, min(i1, vx), k, work + q.at_x, area, coef)
    if i1 > vx:
        _wino_dy_part(q, dy, group, max(i0, vx) - vx, i1 - vx, k, work + q.at_q, area, coef)


cdef void _wino_shared_sums(const WinoGrid* q, real* dw, real* work, const real* coef, intp group, intp block,
                            intp part, intp parts) noexcept nogil:
    """A thread's share of the sums; transformed back at once if there is one block only."""
    cdef real* area = work + q.shared + part * q.per_thread
    cdef const WinoBlock* k = <WinoBlock*> (area + q.at_table)
    cdef const real* X = work + q.at_x
    cdef const real* Q = work + q.at_q
    cdef intp o0 = q.co * part // parts, o1 = q.co * (part + 1) // parts, groups, g, a, b, c
    if q.row_blocks * q.col_blocks > 1:
        _wino_sums(q, k, Q + o0, X, work + o0 * q.row_s, o0, o1, 0, q.ci, block == 0)
        return
    groups = _wino_ceil(o1 - o0, 2 * WINO_TILES)
    for c in range(_wino_ceil(q.ci, 2 * LANES)):
        for g in range(groups):
            a, b = o0 + (o1 - o0) * g // groups, o0 + (o1 - o0) * (g + 1) // groups
            _wino_sums(q, k, Q + a, X + c * 2 * LANES, area + q.at_s, a, b, 0, 2 * LANES, 1)
            _wino_taps_rows(q, area + q.at_s, 1, dw, group, a, b, c * 2 * LANES, min(q.ci, (c + 1) * 2 * LANES),
                            coef)


cdef void _wino_taps_rows(const WinoGrid* q, const real* S, intp parts, real* dw, intp group, intp o0,
                          intp o1, intp c0, intp c1, const real* coef) noexcept nogil:
    """Sums at (o0, c0) to dw (Co, Ci/g, taps)."""
    cdef intp taps = q.rh * q.rw, o, c
    for o in range(o0, o1):
        for c in range(_wino_ceil(c1 - c0, LANES)):
            _wino_taps(q, S + (o - o0) * q.row_s + c * LANES, parts,
                       dw + ((group * q.co + o) * q.ci + c0 + c * LANES) * taps,
                       min(c1 - c0 - c * LANES, <intp> LANES), coef)


def winograd_grad_weight(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dw_, cnp.ndarray work, cnp.ndarray grid,
                         cnp.ndarray coef, int by_panels, int threads):
    """dw_ OUT. by_panels: threads share the tiles and split the sums; else they split the tiles and add at last."""
    cdef const WinoGrid* q = <const WinoGrid*> cnp.PyArray_DATA(grid)
    cdef real* dp = data(dy)
    cdef real* xp = data(x)
    cdef real* wp = data(dw_)
    cdef real* kp = data(work)
    cdef real* cp = data(coef)
    cdef intp group, block, blocks = q.row_blocks * q.col_blocks
    cdef int t, parts = 1 if by_panels else <int> q.segments
    for group in range(q.g):
        if threads == 1:
            with nogil:
                if by_panels:
                    for block in range(blocks):
                        _wino_shared_tiles(q, dp, xp, kp, cp, group, block, 0, 1)
                        _wino_shared_sums(q, wp, kp, cp, group, block, 0, 1)
                else:
                    _wino_own_tiles(q, dp, xp, kp, cp, group, 0, 1)
                if blocks > 1 or not by_panels:
                    _wino_taps_rows(q, kp, parts, wp, group, 0, q.co, 0, q.ci, cp)
            continue
        if by_panels:
            for block in range(blocks):
                for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                    _wino_shared_tiles(q, dp, xp, kp, cp, group, block, t, threads)
                for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                    _wino_shared_sums(q, wp, kp, cp, group, block, t, threads)
        else:
            for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                _wino_own_tiles(q, dp, xp, kp, cp, group, t, threads)
        if blocks > 1 or not by_panels:
            for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                _wino_taps_rows(q, kp + q.co * t // threads * q.row_s, parts, wp, group, q.co * t // threads,
                           q.co * (t + 1) // threads, 0, q.ci, cp)
