# grad_weight by Winograd: a tile of dy is the "filter" of a tile of x. Per frequency, S[co][ci] is the sum over tiles
# of Q[tile][co] * X[tile][ci], a matrix product whose inner index is the tile; one inverse transform at the end.
# Layout: X[f][ci/LANES][tile][LANES] and Q[f][co/LANES][tile][LANES], so that products read both in one run; S in
# blocks [rows outputs][cols vectors of inputs][f][LANES] that stay in a core's cache until they are transformed back.

cdef inline void _wino_dy_loop(int form, const void* args) noexcept nogil:
    cdef const WinoTiles* a = <const WinoTiles*> args
    cdef const WinogradPass* q = a.q
    cdef const vec* slots = <const vec*> a.source
    cdef vec g[32]
    cdef int r = wino_outputs[form], n = wino_taps[form] + r - 1, P = (n - 1) // 2
    cdef intp rs = q.dh * a.k.wo, cs = q.dw if q.along_w else rs, t
    _wino_spread(a.coef + P + P * P + (n - r + 1) * P, g, 1 + P * r)
    for t in range(a.k.tiles):
        _wino_weight_tile(n, r, form <= WINO_FLAT, slots + a.k.tile[2 * t + 1], rs, cs, <vec*> (a.to + t * LANES),
                          q.qf // LANES, g)


cdef void _wino_dy_tiles(const WinogradPass* q, const WinoBlock* k, const real* slots, real* Q,
                         const real* coef) noexcept nogil:
    """The tiles of dy, one vector of channels, from slots to Q."""
    cdef WinoTiles a = WinoTiles(q, k, slots, Q, coef, 0)
    fc_cases(_wino_dy_loop, _wino_form(q), WINO_FORMS, &a)


cdef inline void _wino_put(const int taps, const vec* t, real* w, const int channels) noexcept nogil:
    """t[piece of taps][channel] to w[channel][taps]; whole vectors where what they write too much is written again."""
    cdef int c, b, at
    for c in range(channels):
        for b in range((taps + LANES - 1) // LANES):
            at = c * taps + b * LANES
            if channels * taps - at >= LANES:
                vstore(w + at, t[b * LANES + c])
            else:
                vstore_part(w + at, t[b * LANES + c], min(taps - b * LANES, <int> LANES))


cdef struct WinoTaps:
    const WinogradPass* q
    const real* S
    real* w
    const real* coef
    intp parts, channels


cdef inline void _wino_taps_loop(int form, const void* args) noexcept nogil:
    """One output, LANES input channels: the parts of S are added, transformed back and stored, [ci][taps]."""
    cdef const WinoTaps* p = <const WinoTaps*> args
    cdef const real* S = p.S
    cdef vec a[32]
    cdef vec f[64]
    cdef vec t[32]
    cdef int m = wino_taps[form], n = wino_outputs[form] + m - 1, P = (n - 1) // 2, i
    cdef bint flat = form <= WINO_FLAT
    cdef int count = n if flat else n * n, taps = m if flat else m * m
    cdef intp part
    _wino_spread(p.coef + P + P * P, a, m * P)
    if p.parts == 1:
        _wino_output_tile(n, m, flat, <const vec*> S, 1, t, m, 1, a)
    else:
        for i in range(count):
            f[i] = vload(S + i * LANES)
        for part in range(1, p.parts):
            for i in range(count):
                f[i] += vload(S + part * p.q.part_s + i * LANES)
        _wino_output_tile(n, m, flat, f, 1, t, m, 1, a)
    for i in range((taps + LANES - 1) // LANES * LANES - taps):
        t[taps + i] = vzero()
    for i in range((taps + LANES - 1) // LANES):
        vtranspose(t + i * LANES)
    if p.channels == LANES:
        _wino_put(taps, t, p.w, LANES)
    else:
        _wino_put(taps, t, p.w, <int> p.channels)


cdef void _wino_sums(const WinogradPass* q, const real* Q, const real* X, real* S, intp tiles, intp o0, intp o1,
                     intp c0,
                     intp c1, bint first) noexcept nogil:
    """S (+)= so many tiles, outputs o0..o1, vectors c0..c1 of inputs; o0 is a multiple of WINO_ROWS."""
    cdef intp stride = q.held * LANES, row = q.cols * q.square, sums = _wino_ceil(tiles, q.sum)
    cdef intp pieces = _wino_ceil(c1 - c0, WINO_COLS), p, n
    cdef intp vq = _wino_ceil(o1 - o0, LANES), f, c, o, i, j, k, t
    cdef const real* a
    cdef const real* b
    cdef const real* next
    cdef real* s
    for f in range((q.mh + q.rh - 1) * (q.mw + q.rw - 1)):
        k = 0
        for p in range(pieces):
            c = c0 + split(c1 - c0, p, pieces)
            n = c0 + split(c1 - c0, p + 1, pieces) - c
            b = X + f * q.vf + c * stride
            for i in range(_wino_ceil(o1 - o0, WINO_ROWS)):
                o = o0 + i * WINO_ROWS
                a = Q + f * q.qf + o // LANES * stride + o % LANES
                if k < vq:  # what the next frequency will read goes into L2, in turn
                    next = Q + (f + 1) * q.qf + (o0 // LANES + k) * stride
                elif k < vq + c1 - c0:
                    next = X + (f + 1) * q.vf + (c0 + k - vq) * stride
                else:
                    next = b
                k += 1
                s = S + i * WINO_ROWS * row + (c - c0) * q.square + f * LANES
                for j in range(sums):  # short sums have smaller errors
                    t = j * q.sum
                    wino_sums(<int> n, a + t * LANES, b + t * LANES, stride, s, q.square, row,
                              min(tiles - t, q.sum), j > 0 or not first, next + t * LANES)


cdef void _wino_taps_rows(const WinogradPass* q, const real* S, intp parts, real* dw, intp group, intp o0, intp o1,
                          intp c0, intp c1, const real* coef) noexcept nogil:
    """Sums of outputs o0..o1, vectors c0..c1 of inputs, to dw (Co, Ci/g, taps)."""
    cdef intp taps = q.rh * q.rw, o, c, i
    cdef int form = _wino_form(q)
    cdef real* w
    cdef WinoTaps a
    for o in range(o0, o1):
        for c in range(c0, c1):
            w = dw + ((group * q.co + o) * q.ci + c * LANES) * taps
            for i in range(taps):  # the next output's
                fetch_w(w + q.ci * taps + i * LANES)
            a = WinoTaps(q, S + ((o - o0) * q.cols + c - c0) * q.square, w, coef, parts,
                         min(q.ci - c * LANES, <intp> LANES))
            fc_cases(_wino_taps_loop, form, WINO_FORMS, &a)


cdef void _wino_dy_part(const WinogradPass* q, const real* dy, intp group, intp first, intp stop,
                        const WinoBlock* k, real* Q, real* area, const real* coef) noexcept nogil:
    """Pack and transform vectors first .. stop of a group's channels of dy."""
    cdef intp v
    cdef real* slots = area + q.at_out
    memset(slots, 0, k.outs * LANES * sizeof(real))
    for v in range(first, stop):
        _wino_pack(&k.y, dy, q.g, group, q.co, v * LANES, q.oh * q.ow, q.y_last, slots)
        _wino_dy_tiles(q, k, slots, Q + v * LANES * q.held, coef)


cdef struct WinoSums:
    const WinogradPass* q
    const real* dy
    const real* x
    real* dw
    real* work
    const real* coef
    intp group, first  # first block of a batch


cdef void _wino_own_tiles(const void* args, intp ithr, intp nthr) noexcept nogil:
    """A thread's share of the blocks of tiles: their sums, in segments that are added up by themselves."""
    cdef const WinoSums* a = <const WinoSums*> args
    cdef const WinogradPass* q = a.q
    cdef intp blocks = q.row_blocks * q.col_blocks, i0 = split(blocks, ithr, nthr), i1 = split(blocks, ithr + 1, nthr)
    cdef intp i, j
    cdef real* area = a.work + q.shared + ithr * q.per_thread
    cdef real* total = a.work + ithr * q.part_s
    cdef real* S
    cdef WinoBlock* k = <WinoBlock*> (area + q.at_table)
    for i in range(i0, i1):
        S = total if i - i0 < q.segment else area + q.at_s
        _wino_make_block(q, i, <real*> (k + 1), k)
        _wino_input_part(q, a.x, a.group, 0, _wino_ceil(q.ci, LANES), k, area + q.at_x, area, a.coef)
        _wino_dy_part(q, a.dy, a.group, 0, _wino_ceil(q.co, LANES), k, area + q.at_q, area, a.coef)
        _wino_sums(q, area + q.at_q, area + q.at_x, S, k.tiles, 0, q.co, 0, q.cols, (i - i0) % q.segment == 0)
        if S != total and ((i - i0 + 1) % q.segment == 0 or i + 1 == i1):
            for j in range(q.part_s // LANES):
                vstore(total + j * LANES, vload(total + j * LANES) + vload(S + j * LANES))


cdef void _wino_own_taps(const void* args, intp ithr, intp nthr) noexcept nogil:
    """A share of the outputs: the sums of all threads, transformed back."""
    cdef const WinoSums* a = <const WinoSums*> args
    cdef const WinogradPass* q = a.q
    cdef intp o = split(q.co, ithr, nthr)
    _wino_taps_rows(q, a.work + o * q.cols * q.square, q.parts, a.dw, a.group, o, split(q.co, ithr + 1, nthr), 0,
                    q.cols, a.coef)


cdef void _wino_shared_tiles(const void* args, intp ithr, intp nthr) noexcept nogil:
    """A thread's share of the channels of a batch of blocks; its tiles are counted in its table."""
    cdef const WinoSums* a = <const WinoSums*> args
    cdef const WinogradPass* q = a.q
    cdef intp vx = _wino_ceil(q.ci, LANES), total = vx + _wino_ceil(q.co, LANES), tiles = 0, i
    cdef intp i0 = split(total, ithr, nthr), i1 = split(total, ithr + 1, nthr)
    cdef real* area = a.work + q.shared + ithr * q.per_thread
    cdef WinoBlock* k = <WinoBlock*> (area + q.at_table)
    for i in range(a.first, min(a.first + q.batch, q.row_blocks * q.col_blocks)):
        _wino_make_block(q, i, <real*> (k + 1), k)
        if i0 < vx:
            _wino_input_part(q, a.x, a.group, i0, min(i1, vx), k, a.work + q.at_x + tiles * LANES, area, a.coef)
        if i1 > vx:
            _wino_dy_part(q, a.dy, a.group, max(i0, vx) - vx, i1 - vx, k, a.work + q.at_q + tiles * LANES, area,
                          a.coef)
        tiles += k.tiles
    k.tiles = tiles


cdef void _wino_shared_sums(const void* args, intp ithr, intp nthr) noexcept nogil:
    """A thread's share of the blocks of sums; transformed back after the last batch of tiles."""
    cdef const WinoSums* a = <const WinoSums*> args
    cdef const WinogradPass* q = a.q
    cdef intp high = _wino_ceil(q.co, q.rows), total = high * _wino_ceil(_wino_ceil(q.ci, LANES), q.cols), i, o, c
    cdef intp o1, c1
    cdef bint last = a.first + q.batch >= q.row_blocks * q.col_blocks
    cdef real* area = a.work + q.shared + ithr * q.per_thread
    cdef const WinoBlock* k = <WinoBlock*> (area + q.at_table)
    cdef real* S
    for i in range(split(total, ithr, nthr), split(total, ithr + 1, nthr)):
        o, c = i % high * q.rows, i // high * q.cols
        o1, c1 = min(q.co, o + q.rows), min(_wino_ceil(q.ci, LANES), c + q.cols)
        S = area + q.at_s if a.first == 0 and last else a.work + q.at_s + i * q.part_s
        _wino_sums(q, a.work + q.at_q, a.work + q.at_x, S, k.tiles, o, o1, c, c1, a.first == 0)
        if last:
            _wino_taps_rows(q, S, 1, a.dw, a.group, o, o1, c, c1, a.coef)


def winograd_grad_weight(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dw, cnp.ndarray work, cnp.ndarray q,
                         cnp.ndarray coef, bint by_panels, int threads):
    """dw OUT. by_panels: threads share the tiles and split the sums; else they split the tiles and add at last."""
    cdef WinoSums a
    cdef intp i
    a.q, a.dy, a.x, a.dw, a.work, a.coef = read_WinogradPass(q), data(dy), data(x), data(dw), data(work), data(coef)
    with nogil:
        for a.group in range(a.q.g):
            if not by_panels:
                launch(_wino_own_tiles, &a, a.q.parts)
                launch(_wino_own_taps, &a, threads)
                continue
            for i in range(_wino_ceil(a.q.row_blocks * a.q.col_blocks, a.q.batch)):
                a.first = i * a.q.batch
                launch(_wino_shared_tiles, &a, threads)
                launch(_wino_shared_sums, &a, threads)
