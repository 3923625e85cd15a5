# Convolution on plain planes; lanes = neighbouring pixels, weights are broadcast. No transposes on either side.
#
# For 1x1 kernels the image is read in place; for few outputs a thread copies its strip of rows, zero-padded, with
# columns split by stride phase (pack.pxi). A register block is nt outputs x nv vectors of pixels.


cdef inline void _planar_block(const int nt, const int nv, const bint keep, const real* x, intp plane, intp C,
                               const intp* off, intp T, const real* w, const real* bias, real* y, intp ys, real* d) noexcept nogil:
    """y[t][nv * LANES] OUT, t at distance ys; w [T][C][nt]. keep: what is read goes to d [T][C][nv * LANES] as well."""
    cdef vec a[14][4]
    cdef vec xv[4]
    cdef vec b
    cdef intp k, c
    cdef int t, j
    cdef const real* p
    for t in range(nt):
        for j in range(nv):
            a[t][j] = vset(bias[t]) if bias != NULL else vzero()
    for t in range(nt):
        for j in range(nv):
            fetch_w(y + t * ys + (nv + j) * LANES)
    for k in range(T):
        p = x + off[k]
        for c in range(C):
            for j in range(nv):
                xv[j] = vload(p + j * LANES)
                if keep:                                      # the next block comes from memory while this one is summed
                    vstore(d + j * LANES, xv[j])
                    fetch(p + (nv + j) * LANES)
            d = d + nv * LANES if keep else NULL
            fetch(w + 16 * nt)
            for t in range(nt):
                b = vset(w[t])
                for j in range(nv):
                    a[t][j] += b * xv[j]
            w += nt
            p += plane
    for t in range(nt):
        for j in range(nv):
            vstore(y + t * ys + j * LANES, a[t][j])


cdef inline void _planar(const int nt, const int nv, const real* x, intp plane, intp C, const intp* off, intp T,
                         const real* w, const real* bias, real* y, intp ys) noexcept nogil:
    _planar_block(nt, nv, False, x, plane, C, off, T, w, bias, y, ys, NULL)


cdef void _planar_of(int nt, int nv, const real* x, intp plane, intp C, const intp* off, intp T, const real* w,
                     const real* bias, real* y, intp ys) noexcept nogil:
    """nt <= DIRECT_TILE outputs x 2 vectors, at most 9 x 3, or at most 6 (with 16 registers 3) x 4: see _vectors."""
    if nv == 4:
        if nt == 1: _planar(1, 4, x, plane, C, off, T, w, bias, y, ys)
        elif nt == 2: _planar(2, 4, x, plane, C, off, T, w, bias, y, ys)
        elif nt == 3: _planar(3, 4, x, plane, C, off, T, w, bias, y, ys)
        elif DIRECT_TILE == 14 and nt == 4: _planar(4, 4, x, plane, C, off, T, w, bias, y, ys)
        elif DIRECT_TILE == 14 and nt == 5: _planar(5, 4, x, plane, C, off, T, w, bias, y, ys)
        elif DIRECT_TILE == 14: _planar(6, 4, x, plane, C, off, T, w, bias, y, ys)
    elif nv == 3:
        if nt == 1: _planar(1, 3, x, plane, C, off, T, w, bias, y, ys)
        elif nt == 2: _planar(2, 3, x, plane, C, off, T, w, bias, y, ys)
        elif nt == 3: _planar(3, 3, x, plane, C, off, T, w, bias, y, ys)
        elif DIRECT_TILE == 14 and nt == 4: _planar(4, 3, x, plane, C, off, T, w, bias, y, ys)
        elif DIRECT_TILE == 14 and nt == 5: _planar(5, 3, x, plane, C, off, T, w, bias, y, ys)
        elif DIRECT_TILE == 14 and nt == 6: _planar(6, 3, x, plane, C, off, T, w, bias, y, ys)
        elif DIRECT_TILE == 14 and nt == 7: _planar(7, 3, x, plane, C, off, T, w, bias, y, ys)
        elif DIRECT_TILE == 14 and nt == 8: _planar(8, 3, x, plane, C, off, T, w, bias, y, ys)
        elif DIRECT_TILE == 14: _planar(9, 3, x, plane, C, off, T, w, bias, y, ys)
    elif nt == 1: _planar(1, 2, x, plane, C, off, T, w, bias, y, ys)
    elif nt == 2: _planar(2, 2, x, plane, C, off, T, w, bias, y, ys)
    elif nt == 3: _planar(3, 2, x, plane, C, off, T, w, bias, y, ys)
    elif nt == 4: _planar(4, 2, x, plane, C, off, T, w, bias, y, ys)
    elif nt == 5: _planar(5, 2, x, plane, C, off, T, w, bias, y, ys)
    elif nt == 6: _planar(6, 2, x, plane, C, off, T, w, bias, y, ys)
    elif DIRECT_TILE == 14 and nt == 7: _planar(7, 2, x, plane, C, off, T, w, bias, y, ys)
    elif DIRECT_TILE == 14 and nt == 8: _planar(8, 2, x, plane, C, off, T, w, bias, y, ys)
    elif DIRECT_TILE == 14 and nt == 9: _planar(9, 2, x, plane, C, off, T, w, bias, y, ys)
    elif DIRECT_TILE == 14 and nt == 10: _planar(10, 2, x, plane, C, off, T, w, bias, y, ys)
    elif DIRECT_TILE == 14 and nt == 11: _planar(11, 2, x, plane, C, off, T, w, bias, y, ys)
    elif DIRECT_TILE == 14 and nt == 12: _planar(12, 2, x, plane, C, off, T, w, bias, y, ys)
    elif DIRECT_TILE == 14 and nt == 13: _planar(13, 2, x, plane, C, off, T, w, bias, y, ys)
    elif DIRECT_TILE == 14: _planar(14, 2, x, plane, C, off, T, w, bias, y, ys)


cdef inline void _keeping(const int nt, const real* x, intp plane, intp C, const real* w, const real* bias, real* y, intp ys,
                          real* d) noexcept nogil:
    cdef intp zero = 0
    _planar_block(nt, 2, True, x, plane, C, &zero, 1, w, bias, y, ys, d)


cdef void _planar_keeping(int nt, const real* x, intp plane, intp C, const real* w, const real* bias, real* y, intp ys,
                          real* d) noexcept nogil:
    """nt <= DIRECT_TILE outputs x 2 vectors of a 1x1 kernel, and a copy of the pixels."""
    if nt == 1: _keeping(1, x, plane, C, w, bias, y, ys, d)
    elif nt == 2: _keeping(2, x, plane, C, w, bias, y, ys, d)
    elif nt == 3: _keeping(3, x, plane, C, w, bias, y, ys, d)
    elif nt == 4: _keeping(4, x, plane, C, w, bias, y, ys, d)
    elif nt == 5: _keeping(5, x, plane, C, w, bias, y, ys, d)
    elif nt == 6: _keeping(6, x, plane, C, w, bias, y, ys, d)
    elif DIRECT_TILE == 14 and nt == 7: _keeping(7, x, plane, C, w, bias, y, ys, d)
    elif DIRECT_TILE == 14 and nt == 8: _keeping(8, x, plane, C, w, bias, y, ys, d)
    elif DIRECT_TILE == 14 and nt == 9: _keeping(9, x, plane, C, w, bias, y, ys, d)
    elif DIRECT_TILE == 14 and nt == 10: _keeping(10, x, plane, C, w, bias, y, ys, d)
    elif DIRECT_TILE == 14 and nt == 11: _keeping(11, x, plane, C, w, bias, y, ys, d)
    elif DIRECT_TILE == 14 and nt == 12: _keeping(12, x, plane, C, w, bias, y, ys, d)
    elif DIRECT_TILE == 14 and nt == 13: _keeping(13, x, plane, C, w, bias, y, ys, d)
    elif DIRECT_TILE == 14: _keeping(14, x, plane, C, w, bias, y, ys, d)


cdef inline int _vectors(intp left, intp nt) noexcept nogil:
    """Vectors of a register block of nt outputs, where so many are left: none too many, if there are enough."""
    if left % 2 == 1 and left > 1 and nt <= (9 if DIRECT_TILE == 14 else 3):
        return 3
    return 4 if left >= 4 and nt <= (6 if DIRECT_TILE == 14 else 3) else 2


def planar_weights(cnp.ndarray w, cnp.ndarray u, intp w0, intp nout, intp C, intp T, cnp.ndarray pos, intp tile, bint adjoint,
                   int threads):
    """u OUT [output block][T][C][nt]: outputs split evenly into blocks of at most `tile`."""
    cdef intp blocks = (nout + tile - 1) // tile, i, ws = w.shape[1] * T
    cdef const real* wp = data(w) + w0
    cdef const intp* ip = <const intp*> cnp.PyArray_DATA(pos)
    cdef real* up = data(u)
    if threads == 1:
        with nogil:
            for i in range(blocks):
                _planar_panel(wp, up, i, blocks, nout, C, T, ws, ip, adjoint)
        return
    for i in prange(blocks, nogil=True, schedule="static", num_threads=threads):
        _planar_panel(wp, up, i, blocks, nout, C, T, ws, ip, adjoint)


cdef void _planar_panel(const real* w, real* u, intp i, intp blocks, intp nout, intp C, intp T, intp ws, const intp* pos,
                        bint adjoint) noexcept nogil:
    cdef intp a = nout * i // blocks, n = nout * (i + 1) // blocks - a, k, c, t
    cdef real* d
    u += a * T * C
    for c in range(C):
        for k in range(T):
            d = u + (pos[k] * C + c) * n
            for t in range(n):
                d[t] = w[c * ws + (a + t) * T + k] if adjoint else w[(a + t) * ws + c * T + k]


cdef enum:
    FEW_RUN = 16                    # vectors of pixels


def pointwise(cnp.ndarray x, cnp.ndarray u, cnp.ndarray y, cnp.ndarray bias, intp c0, intp C, intp o0, intp nout,
              cnp.ndarray work, intp per, int threads):
    """1x1, stride 1, no padding: y[n, o] OUT = sum over c of u[o, c] x[n, c]; `per` register blocks of pixels a task."""
    cdef intp N = x.shape[0], HW = x.shape[2] * x.shape[3], i, tiles = (HW + 2 * LANES - 1) // (2 * LANES)
    cdef intp tasks = (tiles + per - 1) // per, xs = x.shape[1] * HW, ys = y.shape[1] * HW, size = (C * per + nout) * 2 * LANES
    cdef const real* xp = data(x) + c0 * HW
    cdef const real* up = data(u)
    cdef const real* bp = NULL if bias is None else data(bias) + o0
    cdef real* yp = data(y) + o0 * HW
    cdef real* wp = data(work)
    while N * tasks % threads and tasks < tiles:                # as many for every thread
        tasks += 1
    if threads == 1:
        with nogil:
            for i in range(N * tasks):
                _pointwise(xp + i // tasks * xs, up, yp + i // tasks * ys, bp, C, nout, HW, tiles * (i % tasks) // tasks,
                           tiles * (i % tasks + 1) // tasks, wp)
        return
    for i in prange(N * tasks, nogil=True, schedule="static", num_threads=threads):
        _pointwise(xp + i // tasks * xs, up, yp + i // tasks * ys, bp, C, nout, HW, tiles * (i % tasks) // tasks,
                   tiles * (i % tasks + 1) // tasks, wp + threadid() * size)


cdef inline void _few_outputs(const int n, const real* x, const real* u, real* y, const real* bias, intp C, intp HW,
                              real* sums) noexcept nogil:
    """n outputs of FEW_RUN vectors of pixels: sums stay in first-level cache while runs of four channels stream by."""
    cdef intp c, r
    cdef int o, k, four
    cdef vec a
    cdef vec v[4]
    for c in range(0, C, 4):
        four = <int> min(<intp> 4, C - c)
        for r in range(FEW_RUN):
            for k in range(4):
                fetch_l2(x + (c + 4 + k) * HW + r * LANES)
                v[k] = vload(x + (c + k) * HW + r * LANES) if k < four else vzero()
            for o in range(n):
                a = vload(sums + (o * FEW_RUN + r) * LANES) if c else vset(bias[o] if bias != NULL else 0)
                for k in range(4):
                    a += vset(u[(c + k) * n + o] if k < four else 0) * v[k]
                if c + 4 < C: vstore(sums + (o * FEW_RUN + r) * LANES, a)
                else: vstore(y + o * HW + r * LANES, a)


cdef void _pointwise(const real* x, const real* u, real* y, const real* bias, intp C, intp nout, intp HW, intp t0, intp t1,
                     real* buf) noexcept nogil:
    """Tiles [t0, t1) of 2 * LANES pixels: copies of all channels stay in cache while the outputs pass by."""
    cdef intp t, c, b, o, k, q, nb = (nout + DIRECT_TILE - 1) // DIRECT_TILE, zero = 0, full = min(t1, HW // (2 * LANES))
    cdef real* d
    cdef real* out
    if nout <= 4:                                             # nothing to gain from a copy
        while t0 + FEW_RUN // 2 <= full:
            q = t0 * 2 * LANES
            if nout == 1: _few_outputs(1, x + q, u, y + q, bias, C, HW, buf)
            elif nout == 2: _few_outputs(2, x + q, u, y + q, bias, C, HW, buf)
            elif nout == 3: _few_outputs(3, x + q, u, y + q, bias, C, HW, buf)
            else: _few_outputs(4, x + q, u, y + q, bias, C, HW, buf)
            t0 += FEW_RUN // 2
    out = buf + (t1 - t0) * C * 2 * LANES
    if full < t1:
        d = buf + (full - t0) * C * 2 * LANES
        q = full * 2 * LANES
        for c in range(C):
            memset(d, 0, 2 * LANES * sizeof(real))
            memcpy(d, x + c * HW + q, (HW - q) * sizeof(real))
            d += 2 * LANES
    for b in range(nb):
        o = nout * b // nb
        k = nout * (b + 1) // nb - o
        for t in range(t0, full if b == 0 else t0):
            _planar_keeping(k, x + t * 2 * LANES, HW, C, u, bias, y + t * 2 * LANES, HW, buf + (t - t0) * C * 2 * LANES)
        for t in range(t0 if b else full, full):
            _planar_of(k, 2, buf + (t - t0) * C * 2 * LANES, 2 * LANES, C, &zero, 1, u + o * C, bias + o if bias != NULL else NULL,
                       y + o * HW + t * 2 * LANES, HW)
        if full < t1:
            _planar_of(k, 2, buf + (full - t0) * C * 2 * LANES, 2 * LANES, C, &zero, 1, u + o * C,
                       bias + o if bias != NULL else NULL, out + o * 2 * LANES, 2 * LANES)
    if full < t1:
        for o in range(nout):
            memcpy(y + o * HW + full * 2 * LANES, out + o * 2 * LANES, (HW - full * 2 * LANES) * sizeof(real))


cdef struct Copy:                   # a thread's copy of its rows
    intp split, nph, wph, rstep, reach0, reach1


def planar_rows(cnp.ndarray x, cnp.ndarray u, cnp.ndarray y, cnp.ndarray bias, cnp.ndarray taps, cnp.ndarray work,
                tuple copy, tuple rows, tuple channels, tuple blocks, int threads):
    """y OUT, strip by strip; what the tuples hold: see `Planar._rows` in algorithms/planar.py."""
    cdef Source s
    cdef Rows r
    cdef Copy q
    cdef intp c0, o0, nout, tile, strips, i, size, T, N = x.shape[0]
    s.plane, s.row, s.pt, s.pl, q.split, q.nph, q.wph, q.rstep, q.reach0, q.reach1 = copy
    r.r0, r.rd, r.rm, r.rs, r.c0, r.cd, r.cm, r.cs, r.oh, r.ow = rows
    c0, s.c, o0, nout = channels
    strips, tile, size, T = blocks
    s.h = x.shape[2]
    s.w = x.shape[3]
    s.block = 0
    cdef Taps* k = _read_taps(taps, r.rd * r.cd, &s)
    cdef intp xs = x.shape[1] * s.h * s.w, ys = y.shape[1] * r.oh * r.ow
    cdef const real* xp = data(x) + c0 * s.h * s.w
    cdef const real* up = data(u)
    cdef const real* bp = NULL if bias is None else data(bias) + o0
    cdef real* yp = data(y) + o0 * r.oh * r.ow
    cdef real* wp = data(work)
    if threads == 1:
        with nogil:
            for i in range(N * strips):
                _planar_strip(&s, &r, &q, k, xp + i // strips * xs, up, yp + i // strips * ys, bp, nout, tile,
                              r.oh * (i % strips) // strips, r.oh * (i % strips + 1) // strips, T, wp)
    else:
        for i in prange(N * strips, nogil=True, schedule="static", num_threads=threads):
            _planar_strip(&s, &r, &q, k, xp + i // strips * xs, up, yp + i // strips * ys, bp, nout, tile,
                          r.oh * (i % strips) // strips, r.oh * (i % strips + 1) // strips, T, wp + threadid() * size)
    free(k)


cdef void _planar_strip(Source* s, Rows* r, Copy* q, Taps* phases, const real* x, const real* u, real* y, const real* bias,
                        intp nout, intp tile, intp i0, intp i1, intp T, real* work) noexcept nogil:
    cdef intp first = (i0 + r.r0) // r.rd * r.rm + r.rs + q.reach0, last = (i1 - 1 + r.r0) // r.rd * r.rm + r.rs + q.reach1
    cdef intp i, c, row, b, o, n, k, base, count, start, m, nb = (nout + tile - 1) // tile
    cdef intp stride = (r.ow // r.cd + 4 * LANES) // (4 * LANES) * 4 * LANES
    cdef real* line = work                                    # [phase][output][stride]: one row of results
    cdef real* buf = work + r.cd * nout * stride
    cdef real* out
    cdef const real* p
    cdef Taps* t
    cdef int nv
    cdef bint whole
    for c in range(s.c):
        for row in range(first, last + 1):
            if row % q.rstep == 0:
                if 0 <= row - s.pt < s.h:
                    _pack_row(x + (c * s.h + row - s.pt) * s.w, 0, 1, 1, s.w, s.pl, q.split, q.nph, q.wph, 0,
                              buf + c * s.plane + (row - first) * s.row)
                else:
                    memset(buf + c * s.plane + (row - first) * s.row, 0, s.row * sizeof(real))
    for o in range(nb):                                       # a block's weights stay in cache
        n = nout * o // nb
        k = nout * (o + 1) // nb - n
        for i in range(i0, i1):
            base = (i + r.r0) // r.rd * r.rm + r.rs
            for b in range(r.cd):
                t = phases + (i + r.r0) % r.rd * r.cd + b
                start = (b - r.c0 % r.cd + r.cd) % r.cd
                count = (r.ow - start + r.cd - 1) // r.cd if start < r.ow else 0
                p = buf + (base - first) * s.row + (start + r.c0) // r.cd + r.cs
                m = 0
                while m < count:
                    nv = _vectors((count - m + LANES - 1) // LANES, k)
                    whole = r.cd == 1 and m + nv * LANES <= count
                    out = y + (n * r.oh + i) * r.ow + m if whole else line + (b * nout + n) * stride + m
                    _planar_of(<int> k, nv, p + m, s.plane, s.c, t.off, t.nkh * t.nkw, u + (n * T + k * t.base) * s.c,
                               bias + n if bias != NULL else NULL, out, r.oh * r.ow if whole else stride)
                    if r.cd == 1 and not whole:
                        for c in range(n, n + k):
                            memcpy(y + (c * r.oh + i) * r.ow + m, line + c * stride + m, (count - m) * sizeof(real))
                    m += nv * LANES
            for c in range(n, n + k if r.cd > 1 else n):
                _interleave(line + c * stride, nout * stride, y + (c * r.oh + i) * r.ow, r.ow, r.c0, r.cd)


cdef void _interleave(const real* line, intp phase, real* y, intp ow, intp c0, intp cd) noexcept nogil:
    """One row of results: output column j comes from phase (j + c0) % cd."""
    cdef intp j, b, k, full
    cdef vec p
    cdef vec q
    if cd == 2:
        full = ow // 2
        b = c0 % 2
        for j in range(full // LANES):
            p = vload(line + b * phase + j * LANES)
            q = vload(line + (1 - b) * phase + j * LANES)
            vstore(y + 2 * j * LANES, vziplo(p, q))
            vstore(y + (2 * j + 1) * LANES, vziphi(p, q))
        for j in range(full // LANES * 2 * LANES, ow):
            y[j] = line[(j + c0) % 2 * phase + j // 2]
    else:
        for b in range(cd):
            k = (b - c0 % cd + cd) % cd
            for j in range((ow - k + cd - 1) // cd if k < ow else 0):
                y[k + j * cd] = line[b * phase + j]
