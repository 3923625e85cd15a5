# Direct convolution on a channel-blocked copy of the input; lanes = output channels.
#
# The copy: [image][channel block][padded row][column phase][column][BLOCK channels], so that the pixels of a register
# block are neighbours for any stride. BLOCK is LANES, or 1 for inputs of few channels (stems).
# A phase is a set of taps that serves the same output rows and columns: one for forward, stride x stride for grad_input.

from libc.stdlib cimport free, malloc

cdef extern from *:
    """
    #if VBYTES == 64            /* 32 registers: DIRECT_TILE pixels x 2 vectors, or half as many x 4 */
    #define DIRECT_TILE 14
    #define DIRECT_TILE1 14
    #else                       /* 16 registers */
    #define DIRECT_TILE 6
    #define DIRECT_TILE1 12
    #endif
    """
    enum:
        DIRECT_TILE
        DIRECT_TILE1                   # pixels where one vector holds all outputs

cdef struct Source:             # the copy that the loops read
    const real* x               # at the first image and row of the band
    intp image, plane, row      # steps in numbers: image, channel block, padded row
    intp first, pt, pl, h, w    # first padded row of the copy; padding and size of the image in it
    intp c, block               # channels, channels a block
    intp pixel                  # from a pixel to the next: a block, or 2 where a strided image is its own copy

cdef struct Taps:               # one phase
    const intp* off             # offset of each tap in the copy, [nkh][nkw]
    intp* each                  # likewise of each tap and channel, [nkh][nkw][c], where a block is one channel
    const intp* ro              # padded row of each kernel row, relative to the base row
    const intp* co              # padded column of each kernel column, relative to the base column
    intp nkh, nkw, base         # rows and columns of taps; taps of the phases before


cdef inline void _step(const int nt, const int nv, const int ps, const real* p, const real* w, vec[4]* a) noexcept nogil:
    """One channel of one tap: nt x nv multiply-adds."""
    cdef vec wv[4]
    cdef int t, j
    for j in range(nv):
        wv[j] = vload(w + j * LANES)
        fetch(w + (16 * nv + j) * LANES)
    for t in range(nt):
        for j in range(nv):
            a[t][j] += vset(p[t * ps]) * wv[j]


cdef inline void _block(const int nt, const int nv, const int ps, Source* s, const real* x, Taps* k, intp u0, intp u1,
                        intp v0, intp v1, const real* w, real* m, intp mt, intp mv) noexcept nogil:
    """nt pixels, ps apart, x nv vectors of outputs in registers: taps [u0, u1) x [v0, v1), all channels; 0: LANES apart."""
    cdef vec a[14][4]
    cdef intp u, v, c, c_, l, n
    cdef int t, j
    cdef const real* p
    cdef const real* q
    cdef const real* f
    cdef const real* ahead
    cdef const intp* e
    for t in range(nt):
        for j in range(nv):
            a[t][j] = vzero()
    if ps:                                                  # blocks of one channel: one loop over taps and channels
        n = (v1 - v0) * s.c
        l = u1
        if v0 == 0 and v1 == k.nkw:                         # and over kernel rows
            n *= u1 - u0
            l = min(u1, u0 + 1)
        for u in range(u0, l):
            e = k.each + (u * k.nkw + v0) * s.c
            f = w + ((k.base + u * k.nkw + v0) * s.c) * nv * LANES
            for c in range(n):
                _step(nt, nv, ps, x + e[c], f, a)
                f += nv * LANES
        u1 = u0
    for u in range(u0, u1):
        for v in range(v0, v1):
            p = x + k.off[u * k.nkw + v]
            f = w + (k.base + u * k.nkw + v) * s.c * nv * LANES
            for c_ in range((s.c + LANES - 1) // LANES):
                c = c_ * LANES
                q = p
                n = min(<intp> LANES, s.c - c)
                ahead = p + s.plane if c + LANES < s.c else x + k.off[u * k.nkw + v + 1 if v + 1 < v1 else (u + 1 if u + 1 < u1 else u) * k.nkw + v0]
                for l in range(n):
                    fetch(ahead)                            # the next pixels, a line a step
                    ahead += LANES
                    _step(nt, nv, LANES, q, f, a)
                    q += 1
                    f += nv * LANES
                p += s.plane
    for t in range(nt):
        for j in range(nv):
            vstore(m + t * mt + j * mv, a[t][j])


cdef inline void _blocks1(const int ps, int nt, Source* s, const real* x, Taps* k, intp u0, intp u1, intp v0, intp v1,
                          const real* w, real* m, intp mt, intp mv) noexcept nogil:
    if nt == 1: _block(1, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 2: _block(2, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 3: _block(3, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 4: _block(4, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 5: _block(5, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 6: _block(6, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 7: _block(7, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 8: _block(8, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 9: _block(9, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 10: _block(10, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 11: _block(11, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 12: _block(12, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif DIRECT_TILE1 == 14 and nt == 13: _block(13, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif DIRECT_TILE1 == 14 and nt == 14: _block(14, 1, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)


cdef inline void _blocks2(const int ps, int nt, Source* s, const real* x, Taps* k, intp u0, intp u1, intp v0, intp v1,
                          const real* w, real* m, intp mt, intp mv) noexcept nogil:
    if nt == 1: _block(1, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 2: _block(2, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 3: _block(3, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 4: _block(4, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 5: _block(5, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nt == 6: _block(6, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif DIRECT_TILE == 14 and nt == 7: _block(7, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif DIRECT_TILE == 14 and nt == 8: _block(8, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif DIRECT_TILE == 14 and nt == 9: _block(9, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif DIRECT_TILE == 14 and nt == 10: _block(10, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif DIRECT_TILE == 14 and nt == 11: _block(11, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif DIRECT_TILE == 14 and nt == 12: _block(12, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif DIRECT_TILE == 14 and nt == 13: _block(13, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif DIRECT_TILE == 14: _block(14, 2, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)


cdef inline void _blocks4(const int ps, int nt, Source* s, const real* x, Taps* k, intp u0, intp u1, intp v0, intp v1,
                          const real* w, real* m, intp mt, intp mv) noexcept nogil:
    if DIRECT_TILE == 14:
        if nt == 1: _block(1, 4, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
        elif nt == 2: _block(2, 4, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
        elif nt == 3: _block(3, 4, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
        elif nt == 4: _block(4, 4, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
        elif nt == 5: _block(5, 4, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
        elif nt == 6: _block(6, 4, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
        else: _block(7, 4, ps, s, x, k, u0, u1, v0, v1, w, m, mt, mv)


cdef inline void _blocks(const int ps, int nt, int nv, Source* s, const real* x, Taps* k, intp u0, intp u1, intp v0, intp v1,
                         const real* w, real* m, intp mt, intp mv) noexcept nogil:
    if nv == 1: _blocks1(ps, nt, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif nv == 2: _blocks2(ps, nt, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    else: _blocks4(ps, nt, s, x, k, u0, u1, v0, v1, w, m, mt, mv)


cdef void _product(int nt, int nv, Source* s, const real* x, Taps* k, intp u0, intp u1, intp v0, intp v1,
                   const real* w, real* m, intp mt, intp mv) noexcept nogil:
    if s.block != 1: _blocks(0, nt, nv, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    elif s.pixel == 1: _blocks(1, nt, nv, s, x, k, u0, u1, v0, v1, w, m, mt, mv)
    else: _blocks(2, nt, nv, s, x, k, u0, u1, v0, v1, w, m, mt, mv)


cdef struct Rows:                   # how output rows and columns meet the copy
    intp r0, rd, rm, rs             # row i: base padded row (i + r0) // rd * rm + rs, row phase (i + r0) % rd
    intp c0, cd, cm, cs             # likewise columns; base column in units of one copy pixel step
    intp oh, ow


cdef void _strip(Source* s, Rows* r, Taps* phases, const real* x, const real* u, int nv, intp i0, intp i1, real* m,
                 real* y, intp plane, intp nout, const real* bias) noexcept nogil:
    """Output rows [i0, i1) of one image and panel: products into m [nv][pixel][LANES], then out to the planes."""
    cdef intp i, b, base, u0, u1, v0, v1, nb, k, m0, m1, first, count, lo, mv = (i1 - i0) * r.ow * LANES
    cdef intp most = DIRECT_TILE1 if nv == 1 else DIRECT_TILE * 2 // nv
    cdef int j
    cdef Taps* t
    for i in range(i0, i1):
        base = (i + r.r0) // r.rd * r.rm + r.rs
        for b in range(r.cd):
            t = phases + (i + r.r0) % r.rd * r.cd + b
            first = (b - r.c0 % r.cd + r.cd) % r.cd         # first output column of this phase
            if first >= r.ow:
                continue
            count = (r.ow - first + r.cd - 1) // r.cd
            u0 = 0
            u1 = t.nkh
            while u0 < u1 and (base + t.ro[u0] < s.pt or base + t.ro[u0] >= s.pt + s.h): u0 += 1
            while u1 > u0 and (base + t.ro[u1 - 1] < s.pt or base + t.ro[u1 - 1] >= s.pt + s.h): u1 -= 1
            lo = (first + r.c0) // r.cd                     # base column of the first pixel
            nb = (count + most - 1) // most
            for k in range(nb):
                m0 = count * k // nb
                m1 = count * (k + 1) // nb
                v0 = 0
                v1 = t.nkw
                while v0 < v1 and not _reaches(s, r, t.co[v0], lo + m0, lo + m1): v0 += 1
                while v1 > v0 and not _reaches(s, r, t.co[v1 - 1], lo + m0, lo + m1): v1 -= 1
                _product(m1 - m0, nv, s, x + (base - s.first) * s.row + (lo + m0 + r.cs) * s.pixel, t, u0, u1, v0, v1, u,
                         m + ((i - i0) * r.ow + first + m0 * r.cd) * LANES, r.cd * LANES, mv)
    for j in range(nv):
        if nout > j * LANES:
            _store(m + j * mv, y + j * LANES * plane + i0 * r.ow, plane, min(<intp> LANES, nout - j * LANES),
                   (i1 - i0) * r.ow, bias + j * LANES if bias != NULL else NULL)


cdef inline bint _reaches(Source* s, Rows* r, intp co, intp m0, intp m1) noexcept nogil:
    """Whether a kernel column meets the image for any pixel of a block."""
    return (m1 - 1 + r.cs) * r.cm + co >= s.pl and (m0 + r.cs) * r.cm + co < s.pl + s.w


cdef Taps* _read_taps(cnp.ndarray taps, intp phases, Source* s) except NULL:
    """The phases of a table of integers: [nkh, nkw, ro.., co.., off..] each."""
    cdef const intp* p = <const intp*> cnp.PyArray_DATA(taps)
    cdef intp each = taps.shape[0] * s.c if s.block == 1 else 0
    cdef Taps* k = <Taps*> malloc(phases * sizeof(Taps) + each * sizeof(intp))
    cdef intp* e = <intp*> (k + phases)
    cdef intp i, t, base = 0
    if k == NULL:
        raise MemoryError
    for i in range(phases):
        k[i].nkh = p[0]
        k[i].nkw = p[1]
        k[i].base = base
        k[i].ro = p + 2
        k[i].co = k[i].ro + p[0]
        k[i].off = k[i].co + p[1]
        k[i].each = e
        if each:
            for t in range(p[0] * p[1] * s.c):
                e[t] = k[i].off[t // s.c] + t % s.c * s.plane
            e += p[0] * p[1] * s.c
        base += p[0] * p[1]
        p = k[i].off + p[0] * p[1]
    return k


cdef inline int _narrow(int nv, intp nout) noexcept nogil:
    """Vectors of a panel with nout outputs left: half as many as usual, or a quarter, where that is enough."""
    while nv > 1 and nout <= nv // 2 * LANES:
        nv = nv // 2
    return nv


def direct_rows(cnp.ndarray copy, cnp.ndarray u, cnp.ndarray w, cnp.ndarray y, cnp.ndarray bias, cnp.ndarray taps,
                cnp.ndarray pos, cnp.ndarray work, tuple source, tuple rows, tuple outputs, tuple blocks, int threads):
    """A band of y OUT from the copy; what the tuples hold: see `Direct._products` in algorithms/direct.py."""
    cdef Source s
    cdef Rows r
    cdef intp n0, nb, o0, nout, groups, i0, i1, per, strips, panels, i, t, total, usize, msize, w0, tmp, off, T = pos.shape[0]
    cdef int nv
    cdef bint adjoint, jit
    s.image, s.plane, s.row, s.first, s.pt, s.pl, s.h, s.w, s.c, s.block = source
    r.r0, r.rd, r.rm, r.rs, r.c0, r.cd, r.cm, r.cs, r.oh, r.ow = rows
    n0, nb, o0, nout, groups, i0, i1 = outputs
    nv, per, jit, adjoint, w0, tmp, s.pixel = blocks
    cdef const intp* ip = <const intp*> cnp.PyArray_DATA(pos)
    cdef const real* bp = NULL if bias is None else data(bias) + o0
    cdef const real* up = NULL if u is None else data(u)
    cdef const real* wp = data(w)
    cdef real* mp = data(work)
    cdef intp plane = r.oh * r.ow, image = y.shape[1] * plane, ws = w.shape[1] * T
    cdef real* yp = data(y) + n0 * image + o0 * plane
    cdef Taps* phases = _read_taps(taps, r.rd * r.cd, &s)
    s.x = data(copy)
    strips = (i1 - i0 + per - 1) // per
    panels = (nout + nv * LANES - 1) // (nv * LANES)
    while not jit and nb * strips * groups * panels % threads and strips < i1 - i0:  # as many tasks for every thread
        strips += 1
    usize = T * s.c * nv * LANES
    msize = nv * per * r.ow * LANES
    total = nb * strips * groups * panels
    if jit and threads == 1:                                  # a panel is packed, if it was not, then run over everything
        with nogil:
            for i in range(panels):
                if up == NULL:
                    _panel(wp, ws, w0, nout, i, s.c, T, ip, nv, adjoint, mp + msize, mp + msize + usize)
                for t in range(nb * strips):
                    _task(&s, &r, phases, t, strips, 0, i, up + i * usize if up != NULL else mp + msize, nv, i0, i1, per, mp, yp,
                          image, nout, bp)
    elif jit:
        for i in prange(panels, nogil=True, schedule="static", num_threads=threads):
            off = threadid() * (msize + usize + tmp)
            if up == NULL:
                _panel(wp, ws, w0, nout, i, s.c, T, ip, nv, adjoint, mp + off + msize, mp + off + msize + usize)
            for t in range(nb * strips):
                _task(&s, &r, phases, t, strips, 0, i, up + i * usize if up != NULL else mp + off + msize, nv, i0, i1, per,
                      mp + off, yp, image, nout, bp)
    elif threads == 1:
        with nogil:
            for t in range(total):
                _task(&s, &r, phases, t // panels // groups, strips, t // panels % groups, t % panels,
                      up + t % (groups * panels) * usize, nv, i0, i1, per, mp, yp, image, nout, bp)
    else:
        for t in prange(total, nogil=True, schedule="static", num_threads=threads):
            _task(&s, &r, phases, t // panels // groups, strips, t // panels % groups, t % panels,
                  up + t % (groups * panels) * usize, nv, i0, i1, per, mp + threadid() * msize, yp, image, nout, bp)
    free(phases)


cdef void _task(Source* s, Rows* r, Taps* phases, intp strip, intp strips, intp group, intp panel, const real* u, int nv,
                intp i0, intp i1, intp per, real* m, real* y, intp image, intp nout, const real* bias) noexcept nogil:
    """One strip of one image, one panel of a group's outputs."""
    cdef intp n = strip // strips, k = strip % strips, o = panel * nv * LANES, plane = r.oh * r.ow
    cdef const real* x = s.x + n * s.image
    if group:                                               # the image may be its own copy where there is but one
        x += group * ((s.c + s.block - 1) // s.block) * s.plane
        y += group * nout * plane
        bias = bias + group * nout if bias != NULL else NULL
    _strip(s, r, phases, x, u, _narrow(nv, nout - o), i0 + (i1 - i0) * k // strips, i0 + (i1 - i0) * (k + 1) // strips, m,
           y + n * image + o * plane, plane, nout - o, bias + o if bias != NULL else NULL)
