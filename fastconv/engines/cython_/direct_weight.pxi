# grad_weight on the channel-blocked copy of the input (direct.pxi); lanes = output channels, summed over pixels.
#
# A register block is nt x 2 vectors: nt channels of one tap, or, for inputs of few channels, whole kernel rows of any
# channels (of 3, 5, 7 or 11 neighbouring taps), else pairs of any channel and tap. dy is transposed strip by strip into
# a buffer that stays in the first-level cache.

cdef extern from *:
    """
    #define SUMS (VBYTES == 64 ? 8 : LANES < 4 ? LANES : 4) /* channels a register block */
    #define PAIRS (VBYTES == 64 ? 14 : 6) /* pairs beside two vectors of outputs, half as many as beside one */
    #define HELD (2 * PAIRS)    /* sums in registers */
    """
    enum:
        SUMS
        PAIRS
        HELD


cdef inline void _pixel_sums(const int nt, const real* x, intp row, intp step, const real* d, intp dv, intp skip, intp rows,
                       intp cols, real* a) noexcept nogil:
    """a[t][2 * LANES] += sum over pixels of x[t] * d[2][LANES]; `skip` pixels of d between rows are left out."""
    cdef vec s[14][2]
    cdef vec e[2]
    cdef intp i, j
    cdef int t, k
    cdef const real* p
    for t in range(nt):
        for k in range(2):
            s[t][k] = vzero()                               # a strip's own sum: errors grow with its length only
    for i in range(rows):
        p = x + i * row
        for j in range(cols):
            for k in range(2):
                e[k] = vload(d + k * dv)
            for t in range(nt):
                for k in range(2):
                    s[t][k] += vset(p[t]) * e[k]
            p += step
            d += LANES
        d += skip * LANES
    for t in range(nt):
        for k in range(2):
            vstore(a + (2 * t + k) * LANES, vload(a + (2 * t + k) * LANES) + s[t][k])


cdef inline void _pair_sums(const int nv, const real* x, const intp* at, intp row, intp step, const real* d, intp dv,
                            intp rows, intp cols, intp n, real* a) noexcept nogil:
    """a[t][nv of 2 * LANES] += sum over pixels of x[at[t]] * d[nv][LANES], for t < n <= PAIRS * 2 / nv."""
    cdef vec s[14][2]
    cdef vec e[2]
    cdef intp i, j
    cdef int t, k
    cdef const real* p
    for t in range(PAIRS):
        for k in range(2):
            s[t][k] = vzero()
    for i in range(rows):
        p = x + i * row
        for j in range(cols):
            e[0] = e[1] = vload(d)
            if nv == 2:
                e[1] = vload(d + dv)
            for t in range(PAIRS):
                s[t][0] += vset(p[at[t]]) * e[0]
                s[t][1] += vset(p[at[t if nv == 2 else PAIRS + t]]) * e[1]
            p += step
            d += LANES
    for t in range(PAIRS):
        for k in range(2):
            i = t if nv == 2 else k * PAIRS + t
            if i < n:
                vstore(a + (2 * i + (k if nv == 2 else 0)) * LANES, vload(a + (2 * i + (k if nv == 2 else 0)) * LANES) + s[t][k])


cdef void _sum_pairs(const real* x, const intp* at, intp a, intp b, intp row, intp step, const real* d, intp rows, intp cols,
                     intp nout, real* sums) noexcept nogil:
    """All pairs a .. b (at: where they read), for a strip."""
    cdef intp dv = rows * cols * LANES, q = a
    while q < b:
        if nout > LANES:
            _pair_sums(2, x, at + q, row, step, d, dv, rows, cols, b - q, sums + q * 2 * LANES)
            q += PAIRS
        else:
            _pair_sums(1, x, at + q, row, step, d, dv, rows, cols, b - q, sums + q * 2 * LANES)
            q += 2 * PAIRS


cdef inline void _row_sums(const int nr, const int kw, const int nv, const real* x, const intp* at, intp row, intp step,
                           const real* d, intp dv, intp rows, intp cols, real* a) noexcept nogil:
    """a[nr][kw][nv of 2 * LANES] += sum over pixels of x[at[t * kw] + v] * d[nv][LANES]."""
    cdef vec s[28]
    cdef vec e[2]
    cdef vec b
    cdef const real* q[5]
    cdef intp i, j
    cdef int t, v, k
    for t in range(nr):
        for v in range(kw):
            for k in range(nv):
                s[(t * kw + v) * nv + k] = vzero()
    for i in range(rows):
        for t in range(nr):
            q[t] = x + i * row + at[t * kw]
        for j in range(cols):
            for k in range(nv):
                e[k] = vload(d + k * dv)
            for t in range(nr):
                q[t] = fc_base(q[t])
                for v in range(kw):
                    b = vset(q[t][v])
                    for k in range(nv):
                        s[(t * kw + v) * nv + k] += b * e[k]
                q[t] += step
            d += LANES
    for t in range(nr):
        for v in range(kw):
            for k in range(nv):
                vstore(a + (2 * (t * kw + v) + k) * LANES, vload(a + (2 * (t * kw + v) + k) * LANES) + s[(t * kw + v) * nv + k])


cdef inline void _row_block(const int kw, const int nv, int nr, const real* x, const intp* at, intp row, intp step,
                            const real* d, intp dv, intp rows, intp cols, real* a) noexcept nogil:
    if nr == 1: _row_sums(1, kw, nv, x, at, row, step, d, dv, rows, cols, a)
    elif 2 * kw * nv <= HELD and nr == 2: _row_sums(2, kw, nv, x, at, row, step, d, dv, rows, cols, a)
    elif 3 * kw * nv <= HELD and nr == 3: _row_sums(3, kw, nv, x, at, row, step, d, dv, rows, cols, a)
    elif 4 * kw * nv <= HELD and nr == 4: _row_sums(4, kw, nv, x, at, row, step, d, dv, rows, cols, a)
    elif 5 * kw * nv <= HELD and nr == 5: _row_sums(5, kw, nv, x, at, row, step, d, dv, rows, cols, a)


cdef void _row_blocks(int kw, int nv, int nr, const real* x, const intp* at, intp row, intp step, const real* d, intp dv,
                      intp rows, intp cols, real* a) noexcept nogil:
    if nv == 1:
        if kw == 3: _row_block(3, 1, nr, x, at, row, step, d, dv, rows, cols, a)
        elif kw == 5: _row_block(5, 1, nr, x, at, row, step, d, dv, rows, cols, a)
        elif kw == 7: _row_block(7, 1, nr, x, at, row, step, d, dv, rows, cols, a)
        else: _row_block(11, 1, nr, x, at, row, step, d, dv, rows, cols, a)
    elif kw == 3: _row_block(3, 2, nr, x, at, row, step, d, dv, rows, cols, a)
    elif kw == 5: _row_block(5, 2, nr, x, at, row, step, d, dv, rows, cols, a)
    elif HELD == 28:
        if kw == 7: _row_block(7, 2, nr, x, at, row, step, d, dv, rows, cols, a)
        else: _row_block(11, 2, nr, x, at, row, step, d, dv, rows, cols, a)


cdef void _sum_rows(const real* x, const intp* at, intp a, intp b, intp kw, intp row, intp step, const real* d, intp rows,
                    intp cols, intp nout, real* sums) noexcept nogil:
    """Kernel rows a .. b, counted through all channels, for a strip."""
    cdef intp dv = rows * cols * LANES, nv = 2 if nout > LANES and 2 * kw <= HELD else 1, most = min(<intp> 5, HELD // (kw * nv))
    cdef intp n = (b - a + most - 1) // most, k, r0, r1, j
    for k in range(n):
        r0 = a + (b - a) * k // n
        r1 = a + (b - a) * (k + 1) // n
        for j in range(1 if nv == 2 or nout <= LANES else 2):
            _row_blocks(kw, nv, r1 - r0, x, at + r0 * kw, row, step, d + j * dv, dv, rows, cols, sums + (r0 * kw * 2 + j) * LANES)


def direct_sums(cnp.ndarray copy, cnp.ndarray dy, cnp.ndarray sums, cnp.ndarray taps, cnp.ndarray work, tuple source,
                tuple outputs, tuple blocks, int threads):
    """sums INOUT, a band added; what the tuples hold: see `Direct.grad_weight` in algorithms/direct.py."""
    cdef Source s
    cdef intp n0, nb, o0, nout, groups, i0, i1, per, splits, step, sh, sw, panels, i, wsize, OW = dy.shape[3]
    cdef bint zero
    s.image, s.plane, s.row, s.first, s.pt, s.pl, s.h, s.w, s.c, s.block = source
    n0, nb, o0, nout, groups, i0, i1 = outputs
    per, splits, step, sh, sw, zero = blocks
    cdef intp plane = dy.shape[2] * OW, image = dy.shape[1] * plane
    cdef const real* dp = data(dy) + n0 * image + o0 * plane
    cdef real* ap = data(sums)
    cdef real* wp = data(work)
    cdef Taps* k = _read_taps(taps, 1, &s)
    cdef intp* at = k.each
    cdef intp pairs = s.c * k.nkh * k.nkw
    s.x = data(copy)
    if s.block == 1:                                          # channel by channel, and room for a whole block more
        at = <intp*> malloc((pairs + 2 * PAIRS) * sizeof(intp))
        if at == NULL:
            free(k)
            raise MemoryError
        for i in range(pairs + 2 * PAIRS):
            at[i] = k.off[i % (k.nkh * k.nkw)] + i // (k.nkh * k.nkw) * s.plane if i < pairs else at[0]
    panels = (nout + 2 * LANES - 1) // (2 * LANES)
    wsize = 2 * per * OW * LANES
    if threads == 1:
        with nogil:
            for i in range(groups * panels * splits):
                _sum_panel(&s, k, at, dp, ap, wp, i // splits // panels, i // splits % panels, i % splits, splits, plane, image, OW, nout, nb, i0, i1, per, step,
                           sh, sw, zero)
    else:
        for i in prange(groups * panels * splits, nogil=True, schedule="static", num_threads=threads):
            _sum_panel(&s, k, at, dp, ap, wp + threadid() * wsize, i // splits // panels, i // splits % panels, i % splits, splits,
                       plane, image, OW, nout, nb, i0, i1, per, step, sh, sw, zero)
    if s.block == 1:
        free(at)
    free(k)


cdef void _sum_panel(Source* s, Taps* k, const intp* at, const real* dy, real* sums, real* d, intp group, intp panel, intp split, intp splits,
                     intp plane, intp image, intp OW, intp nout, intp nb, intp i0, intp i1, intp per, intp step, intp sh,
                     intp sw, bint zero) noexcept nogil:
    """One panel of a group's outputs, one share of the (channel block, kernel row) pairs."""
    cdef intp G = (s.c + s.block - 1) // s.block, items = G * k.nkh, a = items * split // splits
    cdef intp b = items * (split + 1) // splits, strips = (i1 - i0 + per - 1) // per, t, n, j, q, r0, r1, item, cp = G * s.block
    cdef intp panels = (nout + 2 * LANES - 1) // (2 * LANES)
    cdef real* sp = sums + (group * panels + panel) * 2 * LANES * k.nkh * k.nkw * cp
    cdef const real* x = s.x + group * G * s.plane
    cdef const real* p
    dy += group * nout * plane
    if zero:
        memset(sp + a * k.nkw * s.block * 2 * LANES, 0, (b - a) * k.nkw * s.block * 2 * LANES * sizeof(real))
    for t in range(nb * strips):
        n = t // strips
        r0 = i0 + (i1 - i0) * (t % strips) // strips
        r1 = i0 + (i1 - i0) * (t % strips + 1) // strips
        for j in range(1 if s.block == 1 and nout <= (2 * panel + 1) * LANES else 2):
            q = min(<intp> LANES, max(<intp> 0, nout - (2 * panel + j) * LANES))
            _pack_run(False, dy + n * image + (2 * panel + j) * LANES * plane + r0 * OW, plane, q, (r1 - r0) * OW, 1,
                      4 * LANES, d + j * (r1 - r0) * OW * LANES, 0, 1, 0)
        if s.block == 1:
            p = x + n * s.image + (r0 * sh - s.first) * s.row
            if (k.nkw == 3 or k.nkw == 5 or k.nkw == 7 or k.nkw == 11) and k.co[1] == k.co[0] + 1:
                _sum_rows(p, at, a, b, k.nkw, sh * s.row, step, d, r1 - r0, OW, nout - 2 * panel * LANES, sp)
            else:
                _sum_pairs(p, at, a * k.nkw, b * k.nkw, sh * s.row, step, d, r1 - r0, OW, nout - 2 * panel * LANES, sp)
            continue
        for item in range(a, b):
            _sum_item(s, k, x + n * s.image, d, sp + item * k.nkw * s.block * 2 * LANES, item // k.nkh, item % k.nkh, r0, r1,
                      OW, step, sh, sw)


cdef void _sum_item(Source* s, Taps* k, const real* x, const real* d, real* sums, intp g, intp u, intp r0, intp r1, intp OW,
                    intp step, intp sh, intp sw) noexcept nogil:
    """All taps of one kernel row and channel block over the strip [r0, r1); sums [nkw][block][2 * LANES]."""
    cdef intp a = r0, b = r1, v, c, c_, n, j0, j1, dv = (r1 - r0) * OW * LANES
    cdef const real* p
    while a < b and not (s.pt <= a * sh + k.ro[u] < s.pt + s.h): a += 1
    while b > a and not (s.pt <= (b - 1) * sh + k.ro[u] < s.pt + s.h): b -= 1
    if a == b:
        return
    p = x + g * s.plane + (a * sh - s.first) * s.row
    d += (a - r0) * OW * LANES
    n = s.block
    for v in range(k.nkw):
        j0 = min(OW, _first(k.co[v] - s.pl, sw))
        j1 = min(OW, _stop(k.co[v] - s.pl, sw, s.w))
        for c_ in range((min(n, s.c - g * n) + SUMS - 1) // SUMS if j0 < j1 else 0):
            c = c_ * SUMS
            _pixel_sums(SUMS, p + k.off[u * k.nkw + v] + j0 * step + c, sh * s.row, step, d + j0 * LANES,
                           dv, OW - (j1 - j0), b - a, j1 - j0, sums + (v * n + c) * 2 * LANES)


def direct_unpack_sums(cnp.ndarray sums, cnp.ndarray dw, intp o0, intp nout, intp C, intp KH, intp KW, intp block, intp groups,
                       int threads):
    """dw OUT (outputs from o0 on) from sums [group][panel][channel block][KH][KW][block][2 * LANES]."""
    cdef intp i, K = C * KH * KW, vectors = (nout + LANES - 1) // LANES, one = nout * K
    cdef intp size = (vectors + 1) // 2 * 2 * LANES * KH * KW * ((C + block - 1) // block * block)
    cdef real* wp = data(dw) + o0 * K
    cdef const real* sp = data(sums)
    if threads == 1:
        with nogil:
            for i in range(groups * vectors):
                _unpack_sums(sp + i // vectors * size, wp + i // vectors * one, i % vectors, nout, C, KH * KW, block)
        return
    for i in prange(groups * vectors, nogil=True, schedule="static", num_threads=threads):
        _unpack_sums(sp + i // vectors * size, wp + i // vectors * one, i % vectors, nout, C, KH * KW, block)


cdef void _unpack_sums(const real* sums, real* w, intp i, intp nout, intp C, intp T, intp block) noexcept nogil:
    cdef vec m[LANES]
    cdef intp K = C * T, k, k_, q, j, at = 0, c = 0, t = 0, n = min(<intp> LANES, nout - i * LANES), cp = (C + block - 1) // block * block
    sums += (i // 2) * 2 * LANES * T * cp + i % 2 * LANES
    w += i * LANES * K
    for k_ in range((K + LANES - 1) // LANES):
        k = k_ * LANES
        q = min(<intp> LANES, K - k)
        for j in range(LANES):
            m[j] = vload(sums + (at if block != 1 else k + j) * 2 * LANES) if j < q else vzero()
            at += LANES                                     # [block][tap][channel]: taps come first here
            t += 1
            if t == T:
                t = 0
                c += 1
                at += 1 - T * LANES if c % LANES else 1 - LANES
        vtranspose(m)
        for j in range(n):
            vstore_part(w + j * K + k, m[j], q)
