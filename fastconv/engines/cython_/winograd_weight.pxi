# grad_weight by Winograd: a tile of dy is the "filter" of a tile of x. Per frequency, S[co][ci] is the sum over tiles of
# Q[tile][co] * X[tile][ci], a matrix product whose inner index is the tile; one inverse transform at the end.


cdef inline void _dy_loop(const int P, const int m, const int r, const bint flat, const Grid* q, const Block* k,
                          const vec* slots, real* Q, const real* coef) noexcept nogil:
    cdef vec g[32]
    cdef intp rs = q.dh * k.wo, cs = q.dw if q.along_w else rs, t
    _spread(coef + P + P * P + m * P, g, 1 + P * r)
    for t in range(k.tiles):
        _weight_tile(P, r, flat, slots + k.tile[2 * t + 1], rs, cs, <vec*> (Q + t * q.row_q), q.qf // LANES, g)


cdef void _dy_tiles(const Grid* q, const Block* k, const real* slots, real* Q, const real* coef) noexcept nogil:
    """The tiles of dy, one vector of channels, from slots to Q."""
    cdef const vec* s = <const vec*> slots
    if q.flat:
        if q.m == 3: _dy_loop(2, 3, 4, 1, q, k, s, Q, coef)
        elif q.m == 5: _dy_loop(3, 5, 4, 1, q, k, s, Q, coef)
        elif q.r == 2: _dy_loop(3, 7, 2, 1, q, k, s, Q, coef)
        else: _dy_loop(4, 7, 4, 1, q, k, s, Q, coef)
    elif q.m == 3 and q.r == 2: _dy_loop(1, 3, 2, 0, q, k, s, Q, coef)
    elif q.m == 3: _dy_loop(2, 3, 4, 0, q, k, s, Q, coef)
    elif q.r == 2: _dy_loop(2, 5, 2, 0, q, k, s, Q, coef)
    else: _dy_loop(3, 5, 4, 0, q, k, s, Q, coef)


cdef inline void _taps_loop(const int P, const int m, const bint flat, const Grid* q, const real* S, intp parts, real* w,
                            intp channels, const real* coef) noexcept nogil:
    """One output and LANES input channels: the parts of S are added, transformed back and stored, [ci][taps]."""
    cdef vec a[32]
    cdef vec f[64]
    cdef vec t[32]
    cdef int n = 2 * P + 2 if flat else (2 * P + 2) * (2 * P + 2), taps = m if flat else m * m, i, b = 0, c
    cdef intp part
    _spread(coef + P + P * P, a, m * P)
    for i in range(n):
        f[i] = vload(S + i * q.sf)
    for part in range(1, parts):
        for i in range(n):
            f[i] += vload(S + part * q.part_s + i * q.sf)
    _output_tile(P, m, flat, f, 1, t, m, 1, a)
    while b < taps:
        vtranspose(t + b)
        for c in range(channels):
            vstore_part(w + c * taps + b, t[b + c], min(taps - b, LANES))
        b += LANES


cdef void _taps(const Grid* q, const real* S, intp parts, real* w, intp channels, const real* coef) noexcept nogil:
    if q.flat:
        if q.m == 3: _taps_loop(2, 3, 1, q, S, parts, w, channels, coef)
        elif q.m == 5: _taps_loop(3, 5, 1, q, S, parts, w, channels, coef)
        elif q.r == 2: _taps_loop(3, 7, 1, q, S, parts, w, channels, coef)
        else: _taps_loop(4, 7, 1, q, S, parts, w, channels, coef)
    elif q.m == 3 and q.r == 2: _taps_loop(1, 3, 0, q, S, parts, w, channels, coef)
    elif q.m == 3: _taps_loop(2, 3, 0, q, S, parts, w, channels, coef)
    elif q.r == 2: _taps_loop(2, 5, 0, q, S, parts, w, channels, coef)
    else: _taps_loop(3, 5, 0, q, S, parts, w, channels, coef)


cdef inline void _sum_block(const int no, const int nv, const real* Q, intp qs, const real* X, intp xs, real* S, intp ss,
                            intp tiles, bint first) noexcept nogil:
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


cdef void _sum(intp no, const real* Q, intp qs, const real* X, intp xs, real* S, intp ss, intp tiles, bint first) noexcept nogil:
    if no == 1: _sum_block(1, 2, Q, qs, X, xs, S, ss, tiles, first)
    elif no == 2: _sum_block(2, 2, Q, qs, X, xs, S, ss, tiles, first)
    elif no == 3: _sum_block(3, 2, Q, qs, X, xs, S, ss, tiles, first)
    elif no == 4: _sum_block(4, 2, Q, qs, X, xs, S, ss, tiles, first)
    elif no == 5: _sum_block(5, 2, Q, qs, X, xs, S, ss, tiles, first)
    elif no == 6: _sum_block(6, 2, Q, qs, X, xs, S, ss, tiles, first)
    elif FC_TILES == 14:
        if no == 7: _sum_block(7, 2, Q, qs, X, xs, S, ss, tiles, first)
        elif no == 8: _sum_block(8, 2, Q, qs, X, xs, S, ss, tiles, first)
        elif no == 9: _sum_block(9, 2, Q, qs, X, xs, S, ss, tiles, first)
        elif no == 10: _sum_block(10, 2, Q, qs, X, xs, S, ss, tiles, first)
        elif no == 11: _sum_block(11, 2, Q, qs, X, xs, S, ss, tiles, first)
        elif no == 12: _sum_block(12, 2, Q, qs, X, xs, S, ss, tiles, first)
        elif no == 13: _sum_block(13, 2, Q, qs, X, xs, S, ss, tiles, first)
        else: _sum_block(14, 2, Q, qs, X, xs, S, ss, tiles, first)


cdef void _sums(const Grid* q, const Block* k, const real* Q, const real* X, real* S, intp o0, intp o1, intp c0, intp c1,
                bint first) noexcept nogil:
    """S (+)= all tiles of a block, outputs o0..o1, inputs c0..c1 (whole panels of 2*LANES); S, Q, X at (o0, c0)."""
    cdef intp groups = _ceil(o1 - o0, FC_TILES), f, c, g, a, b
    for f in range((q.mh + q.rh - 1) * (q.mw + q.rw - 1)):
        for c in range(_ceil(c1 - c0, 2 * LANES)):
            for g in range(groups):
                a, b = (o1 - o0) * g // groups, (o1 - o0) * (g + 1) // groups
                _sum(b - a, Q + f * q.qf + a, q.row_q, X + f * q.vf + c * 2 * LANES, q.row_v,
                     S + f * q.sf + a * q.row_s + c * 2 * LANES, q.row_s, k.tiles, first)


cdef void _dy_part(const Grid* q, const real* dy, intp group, intp first, intp stop, const Block* k, real* Q, real* area,
                   const real* coef) noexcept nogil:
    """Pack and transform vectors first .. stop of a group's channels of dy."""
    cdef intp plane = q.oh * q.ow, v, c, i, p
    cdef real* slots = area + q.at_out
    memset(slots, 0, k.outs * LANES * sizeof(real))
    for v in range(first, stop):
        c, p = v * LANES, 0
        for i in range(k.y.runs):
            _pack(dy + ((k.y.run[i].image * q.g + group) * q.co + c) * plane + k.y.run[i].first, plane,
                  min(q.co - c, <intp> LANES), k.y.run[i].count, k.y.slot + p, slots)
            p += k.y.run[i].count
        _dy_tiles(q, k, slots, Q + c, coef)


cdef void _own_tiles(const Grid* q, const real* dy, const real* x, real* work, const real* coef, intp group, intp part,
                     intp parts) noexcept nogil:
    """A thread's share of the tiles, to sums of its own."""
    cdef intp blocks = q.row_blocks * q.col_blocks, i, i0 = blocks * part // parts
    cdef real* area = work + q.shared + part * q.per_thread
    cdef Block* k = <Block*> (area + q.at_table)
    if i0 == blocks * (part + 1) // parts:
        memset(work + part * q.part_s, 0, q.part_s * sizeof(real))
    for i in range(i0, blocks * (part + 1) // parts):
        _make_block(q, i, <real*> (k + 1), k)
        _input_part(q, x, group, 0, _ceil(q.ci, LANES), k, area + q.at_v, area, coef)
        _dy_part(q, dy, group, 0, _ceil(q.co, LANES), k, area + q.at_q, area, coef)
        _sums(q, k, area + q.at_q, area + q.at_v, work + part * q.part_s, 0, q.co, 0, q.ci, i == i0)


cdef void _shared_tiles(const Grid* q, const real* dy, const real* x, real* work, const real* coef, intp group, intp block,
                        intp part, intp parts) noexcept nogil:
    """A thread's share of the channels of a block."""
    cdef intp vx = _ceil(q.ci, LANES), vq = _ceil(q.co, LANES), i0 = (vx + vq) * part // parts
    cdef intp i1 = (vx + vq) * (part + 1) // parts
    cdef real* area = work + q.shared + part * q.per_thread
    cdef Block* k = <Block*> (area + q.at_table)
    _make_block(q, block, <real*> (k + 1), k)
    if i0 < vx:
        _input_part(q, x, group, i0, min(i1, vx), k, work + q.at_x, area, coef)
    if i1 > vx:
        _dy_part(q, dy, group, max(i0, vx) - vx, i1 - vx, k, work + q.at_q, area, coef)


cdef void _shared_sums(const Grid* q, real* dw, real* work, const real* coef, intp group, intp block, intp part,
                       intp parts) noexcept nogil:
    """A thread's share of the sums; transformed back at once if there is one block only."""
    cdef real* area = work + q.shared + part * q.per_thread
    cdef const Block* k = <Block*> (area + q.at_table)
    cdef const real* X = work + q.at_x
    cdef const real* Q = work + q.at_q
    cdef intp o0 = q.co * part // parts, o1 = q.co * (part + 1) // parts, groups, g, a, b, c
    if q.row_blocks * q.col_blocks > 1:
        _sums(q, k, Q + o0, X, work + o0 * q.row_s, o0, o1, 0, q.ci, block == 0)
        return
    groups = _ceil(o1 - o0, 2 * FC_TILES)
    for c in range(_ceil(q.ci, 2 * LANES)):
        for g in range(groups):
            a, b = o0 + (o1 - o0) * g // groups, o0 + (o1 - o0) * (g + 1) // groups
            _sums(q, k, Q + a, X + c * 2 * LANES, area + q.at_s, a, b, 0, 2 * LANES, 1)
            _taps_rows(q, area + q.at_s, 1, dw, group, a, b, c * 2 * LANES, min(q.ci, (c + 1) * 2 * LANES), coef)


cdef void _taps_rows(const Grid* q, const real* S, intp parts, real* dw, intp group, intp o0, intp o1, intp c0, intp c1,
                     const real* coef) noexcept nogil:
    """Sums at (o0, c0) to dw (Co, Ci/g, taps)."""
    cdef intp taps = q.rh * q.rw, o, c
    for o in range(o0, o1):
        for c in range(_ceil(c1 - c0, LANES)):
            _taps(q, S + (o - o0) * q.row_s + c * LANES, parts, dw + ((group * q.co + o) * q.ci + c0 + c * LANES) * taps,
                  min(c1 - c0 - c * LANES, <intp> LANES), coef)


def winograd_grad_weight(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dw_, cnp.ndarray work, cnp.ndarray grid,
                         cnp.ndarray coef, int by_panels, int threads):
    """dw_ OUT. by_panels: threads share blocks of tiles and split the sums; else they split the tiles and add at the end."""
    cdef const Grid* q = <const Grid*> cnp.PyArray_DATA(grid)
    cdef real* dp = data(dy)
    cdef real* xp = data(x)
    cdef real* wp = data(dw_)
    cdef real* kp = data(work)
    cdef real* cp = data(coef)
    cdef intp group, block, blocks = q.row_blocks * q.col_blocks
    cdef int t, parts = 1 if by_panels else threads
    for group in range(q.g):
        if threads == 1:
            with nogil:
                if by_panels:
                    for block in range(blocks):
                        _shared_tiles(q, dp, xp, kp, cp, group, block, 0, 1)
                        _shared_sums(q, wp, kp, cp, group, block, 0, 1)
                else:
                    _own_tiles(q, dp, xp, kp, cp, group, 0, 1)
                if blocks > 1 or not by_panels:
                    _taps_rows(q, kp, 1, wp, group, 0, q.co, 0, q.ci, cp)
            continue
        if by_panels:
            for block in range(blocks):
                for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                    _shared_tiles(q, dp, xp, kp, cp, group, block, t, threads)
                for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                    _shared_sums(q, wp, kp, cp, group, block, t, threads)
        else:
            for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                _own_tiles(q, dp, xp, kp, cp, group, t, threads)
        if blocks > 1 or not by_panels:
            for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                _taps_rows(q, kp + q.co * t // threads * q.row_s, parts, wp, group, q.co * t // threads,
                           q.co * (t + 1) // threads, 0, q.ci, cp)
