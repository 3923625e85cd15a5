# grad_weight on the channel-blocked copy of the input (pack.pxi); lanes = output channels, summed over pixels.
#
# For 1x1 kernels the roles may be swapped: lanes = input channels, and "the input" below is dy (Direct._sides says when).
# dy is transposed strip by strip into a small buffer. Threads have strips and sums of their own (cores read faster what no
# other core has read), or, where sums are large, panels of outputs.

cdef struct Sums:                   # what all shares know
    Source s
    Taps* k
    const intp* at                  # where each pair of a channel and a tap reads, for blocks of one channel
    const real* dy
    intp plane, image, line, dot    # of dy: from a plane, image, row and pixel to the next
    intp OW, nout, images, i0, i1, strips, groups, panels, splits, step, sh, sw
    bint zero

cdef struct Strip:                  # output rows of an image
    intp n, r0, r1


def direct_sums(cnp.ndarray copy, cnp.ndarray dy, cnp.ndarray sums, cnp.ndarray taps, cnp.ndarray work, tuple source,
                tuple outputs, tuple blocks, tuple lanes, int threads):
    """sums INOUT, a band added; what the tuples hold: see `Direct.grad_weight` in algorithms/direct.py."""
    cdef Sums q
    cdef intp n0, o0, per, own, units, t, size, down, strips
    q.s.image, q.s.plane, q.s.row, q.s.first, q.s.pt, q.s.pl, q.s.h, q.s.w, q.s.c, q.s.block = source
    n0, q.images, o0, q.nout, q.groups, q.i0, q.i1 = outputs
    per, q.splits, own, q.step, q.sh, q.sw, q.zero = blocks
    q.OW, down, q.dot = lanes
    q.line, q.plane, q.image = down * dy.shape[3], dy.shape[2] * dy.shape[3], dy.shape[1] * dy.shape[2] * dy.shape[3]
    q.strips, q.panels = (q.i1 - q.i0 + per - 1) // per, (q.nout + 2 * LANES - 1) // (2 * LANES)
    q.s.x, q.dy = data(copy), data(dy) + n0 * q.image + o0 * q.plane
    cdef real* wp = data(work)
    cdef real* sp = data(sums)
    cdef intp* at = NULL
    q.k = _read_taps(taps, 1, &q.s)
    if q.s.block == 1:
        at = _pairs_of(&q.s, q.k)
        if at == NULL:
            free(q.k)
            raise MemoryError
    q.at = at
    while own and q.images * q.strips % threads and q.strips < q.i1 - q.i0:  # as many for every thread
        q.strips += 1
    units, size, strips = q.groups * q.panels * q.splits, 2 * per * q.OW * LANES, q.images * q.strips
    if threads == 1:
        with nogil:
            _sum_share(&q, sp, wp, 0, strips, 0, units)
    elif own:
        for t in prange(threads, nogil=True, schedule="static", chunksize=1, num_threads=threads):
            _sum_share(&q, sp + t * own, wp + t * size, strips * t // threads, strips * (t + 1) // threads, 0, units)
    else:
        for t in prange(threads, nogil=True, schedule="static", chunksize=1, num_threads=threads):
            _sum_share(&q, sp, wp + t * size, 0, strips, units * t // threads, units * (t + 1) // threads)
    free(at)
    free(q.k)


cdef intp* _pairs_of(const Source* s, const Taps* k) noexcept nogil:
    """Where pairs read, channel by channel; room for a whole block more."""
    cdef intp taps = k.nkh * k.nkw, pairs = s.c * taps, i
    cdef intp* at = <intp*> malloc((pairs + DIRECT_HELD) * sizeof(intp))
    if at != NULL:
        for i in range(pairs + DIRECT_HELD):
            at[i] = k.off[i % taps] + i // taps * s.plane if i < pairs else at[0]
    return at


cdef inline Strip _strip_at(const Sums* q, intp t) noexcept nogil:
    cdef intp k = t % q.strips, rows = q.i1 - q.i0
    return Strip(t // q.strips, q.i0 + rows * k // q.strips, q.i0 + rows * (k + 1) // q.strips)


cdef void _dy_to_lanes(const Sums* q, const Strip* r, intp group, intp panel, intp nout, real* d) noexcept nogil:
    """d OUT: up to 2 vectors of a panel's channels, each [pixel of the strip][LANES]."""
    cdef bint whole = q.line == q.OW and q.dot == 1           # rows follow each other
    cdef intp rows = 1 if whole else r.r1 - r.r0, n = (r.r1 - r.r0) * q.OW // rows, i, j
    cdef const real* y = q.dy + r.n * q.image + (group * q.nout + panel * 2 * LANES) * q.plane + r.r0 * q.line
    for j in range(1 if q.s.block == 1 and nout <= LANES else 2):
        for i in range(rows):
            _pack_run(False, y + j * LANES * q.plane + i * q.line, q.plane, min(<intp> LANES, max(<intp> 0, nout - j * LANES)), n,
                      q.dot, 4 * LANES, d + (j * rows + i) * n * LANES, 0, 1, 0)


cdef void _sum_share(const Sums* q, real* all_sums, real* d, intp t0, intp t1, intp u0, intp u1) noexcept nogil:
    """Strips t0 .. t1, units u0 .. u1: a group's panel of outputs, or a share of its (channel block, kernel row) items."""
    cdef intp G = (q.s.c + q.s.block - 1) // q.s.block, items = G * q.k.nkh, t, u, group, panel, nout, a, b, i
    cdef intp item = q.k.nkw * q.s.block * 2 * LANES        # numbers of sums
    cdef const real* x
    cdef real* sums
    cdef Strip r
    if q.zero:
        memset(all_sums + u0 * items // q.splits * item, 0, (u1 * items // q.splits - u0 * items // q.splits) * item * sizeof(real))
    for t in range(t0, t1):
        r = _strip_at(q, t)
        for u in range(u0, u1):
            group, panel = u // q.splits // q.panels, u // q.splits % q.panels
            a, b = items * (u % q.splits) // q.splits, items * (u % q.splits + 1) // q.splits
            nout = min(q.nout - panel * 2 * LANES, 2 * <intp> LANES)
            x = q.s.x + group * G * q.s.plane + r.n * q.s.image - q.s.first * q.s.row
            sums = all_sums + (u // q.splits * items + a) * item
            _dy_to_lanes(q, &r, group, panel, nout, d)
            if q.s.block == 1:
                _sum_pairs(q, x + r.r0 * q.sh * q.s.row, a, b, r.r1 - r.r0, d, nout, sums)
                continue
            for i in range(a, b):
                _sum_item(&q.s, q.k, x, d, sums + (i - a) * item, i // q.k.nkh, i % q.k.nkh, r.r0, r.r1, q.OW, q.step, q.sh,
                          q.sw)


cdef void _sum_pairs(const Sums* q, const real* x, intp a, intp b, intp rows, const real* d, intp nout, real* sums) noexcept nogil:
    """Items [a, b) over a strip, for blocks of one channel: pairs of a channel and a tap; sums [pair][2 * LANES]."""
    cdef intp dv = rows * q.OW * LANES, kw = q.k.nkw, row = q.sh * q.s.row, nv = 2 if nout > LANES else 1, most, n, i, j, at, to
    cdef const intp* off = q.at + a * kw
    if q.k.nkh == 1 and kw == 1 and q.s.c >= DIRECT_PLANES:
        for i in range((b - a + DIRECT_PLANES - 1) // DIRECT_PLANES):
            at = min(a + i * DIRECT_PLANES, q.s.c - DIRECT_PLANES)        # the last ones are met again, not summed again
            j = a + i * DIRECT_PLANES - at
            to = min(b - at, <intp> DIRECT_PLANES)
            if nv == 2:
                _plane_sums(2, x + at * q.s.plane, q.s.plane, row, q.step, d, dv, rows, q.OW, j, to, sums + (at - a) * 2 * LANES)
            else:
                _plane_sums(1, x + at * q.s.plane, q.s.plane, row, q.step, d, dv, rows, q.OW, j, to, sums + (at - a) * 2 * LANES)
        return
    if (kw == 3 or kw == 5 or kw == 7 or kw == 11) and q.k.co[1] == q.k.co[0] + 1:      # whole kernel rows
        nv = nv if 2 * kw <= DIRECT_HELD else 1
        most = min(<intp> 5, DIRECT_HELD // (kw * nv))
        n = (b - a + most - 1) // most
        for i in range(n):
            at, to = (b - a) * i // n, (b - a) * (i + 1) // n
            for j in range(1 if nv == 2 or nout <= LANES else 2):
                _row_blocks(kw, nv, to - at, x, off + at * kw, row, q.step, d + j * dv, dv, rows, q.OW, sums + (at * kw * 2 + j) * LANES)
        return
    at = 0
    while at < (b - a) * kw:
        if nv == 2:
            _pair_sums(2, x, off + at, row, q.step, d, dv, rows, q.OW, (b - a) * kw - at, sums + at * 2 * LANES)
        else:
            _pair_sums(1, x, off + at, row, q.step, d, dv, rows, q.OW, (b - a) * kw - at, sums + at * 2 * LANES)
        at += DIRECT_HELD // nv


cdef void _sum_item(const Source* s, const Taps* k, const real* x, const real* d, real* sums, intp g, intp u, intp r0, intp r1, intp OW,
                    intp step, intp sh, intp sw) noexcept nogil:
    """All taps of one kernel row and channel block over the strip [r0, r1); sums [nkw][block][2 * LANES]."""
    cdef intp a = r0, b = r1, v, c, c_, n, j0, j1, dv = (r1 - r0) * OW * LANES
    cdef const real* p
    while a < b and not (s.pt <= a * sh + k.ro[u] < s.pt + s.h): a += 1
    while b > a and not (s.pt <= (b - 1) * sh + k.ro[u] < s.pt + s.h): b -= 1
    if a == b:
        return
    p = x + g * s.plane + a * sh * s.row
    d += (a - r0) * OW * LANES
    n = s.block
    for v in range(k.nkw):
        j0 = min(OW, _first(k.co[v] - s.pl, sw))
        j1 = min(OW, _stop(k.co[v] - s.pl, sw, s.w))
        for c_ in range((min(n, s.c - g * n) + DIRECT_SUMS - 1) // DIRECT_SUMS if j0 < j1 else 0):
            c = c_ * DIRECT_SUMS
            _pixel_sums(DIRECT_SUMS, p + k.off[u * k.nkw + v] + j0 * step + c, sh * s.row, step, d + j0 * LANES,
                           dv, OW - (j1 - j0), b - a, j1 - j0, sums + (v * n + c) * 2 * LANES)


def direct_unpack_sums(cnp.ndarray sums, cnp.ndarray dw, intp o0, intp nout, intp C, intp KH, intp KW, intp block, intp groups,
                       bint swapped, intp own, int shares, int threads):
    """dw OUT (outputs from o0 on) from sums [group][panel][channel block][KH][KW][block][2 * LANES]; swapped: 1x1 kernels,
    [group][panel of channels][outputs][2 * LANES]; so many shares, `own` numbers apart, are added up."""
    cdef intp i, K = C * KH * KW, vectors = ((C if swapped else nout) + LANES - 1) // LANES, one = nout * K, size
    cdef real* wp = data(dw) + o0 * K
    cdef const real* sp = data(sums)
    size = (vectors + 1) // 2 * 2 * LANES * (nout if swapped else KH * KW * ((C + block - 1) // block * block))
    if threads == 1:
        with nogil:
            for i in range(groups * vectors):
                _unpack_vector(sp + i // vectors * size, wp + i // vectors * one, i % vectors, nout, C, KH * KW, block, swapped, own, shares)
        return
    for i in prange(groups * vectors, nogil=True, schedule="static", num_threads=threads):
        _unpack_vector(sp + i // vectors * size, wp + i // vectors * one, i % vectors, nout, C, KH * KW, block, swapped, own, shares)


cdef inline vec _all_shares(const real* sums, intp own, int shares) noexcept nogil:
    cdef vec s = vload(sums)
    cdef int k
    for k in range(1, shares):
        s += vload(sums + k * own)
    return s


cdef void _unpack_vector(const real* sums, real* w, intp i, intp nout, intp C, intp T, intp block, bint swapped,
                         intp own, int shares) noexcept nogil:
    cdef intp o, n = min(<intp> LANES, C - i * LANES)
    if not swapped:
        _unpack_sums(sums, w, i, nout, C, T, block, own, shares)
        return
    sums += (i // 2 * nout * 2 + i % 2) * LANES
    for o in range(nout):
        vstore_part(w + o * C + i * LANES, _all_shares(sums + o * 2 * LANES, own, shares), <int> n)


cdef void _unpack_sums(const real* sums, real* w, intp i, intp nout, intp C, intp T, intp block, intp own,
                       int shares) noexcept nogil:
    cdef vec m[LANES]
    cdef intp K = C * T, k, k_, q, j, at = 0, c = 0, t = 0, n = min(<intp> LANES, nout - i * LANES), cp = (C + block - 1) // block * block
    sums += (i // 2) * 2 * LANES * T * cp + i % 2 * LANES
    w += i * LANES * K
    for k_ in range((K + LANES - 1) // LANES):
        k = k_ * LANES
        q = min(<intp> LANES, K - k)
        for j in range(LANES):
            m[j] = _all_shares(sums + (at if block != 1 else k + j) * 2 * LANES, own, shares) if j < q else vzero()
            at += LANES                                     # [block][tap][channel]: taps come first here
            t += 1
            if t == T:
                t = 0
                c += 1
                at += 1 - T * LANES if c % LANES else 1 - LANES
        vtranspose(m)
        for j in range(n):
            vstore_part(w + j * K + k, m[j], q)
