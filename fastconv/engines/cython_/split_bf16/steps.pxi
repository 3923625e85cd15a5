# Split bfloat16: copies of images and weights in bfloat16 parts, and the products of split.h over them.
#
# The copy: [image][group][part][block of 32 channels][row phase][column phase][padded row x column][32], so that for
# any stride and dilation a tap is a fixed distance from the pixel: all pixels lie on one line, and a product takes
# neighbours.
# Weights: [group][panel][2 x 16 outputs][tap][block][part][16 pairs][16 outputs][2].

from libc.stdint cimport uint16_t

cdef extern from "split_bf16/split.h" nogil:
    enum:
        SPLIT_PLAIN
        SPLIT_TILES
        SPLIT_AVX512_BF16
        SPLIT_AMX
        SPLIT_BF16_UNITS
    ctypedef uint16_t bf16
    ctypedef struct split_plane:
        intp h, w, wph, row, rs, col, cs
    ctypedef struct split_target:
        real* out
        intp mt, mh
        int add
        intp first, wide, count, next
    vec vpart(vec* a, vec* b)
    void split_fill(real* buf, intp ld, const real* x, intp plane, intp nc, intp q, intp n, const split_plane* g)
    void split_lines(const int pixels, const real* buf, intp ld, intp lines, int parts, intp apart, bf16* o)
    void split_numbers(const real* buf, int parts, intp apart, bf16* o)
    int split_rows_of(int unit)
    void split_begin(int unit)
    void split_end(int unit)
    void split_product(int unit, int nt, int nv, const bf16* x, const bf16* w, intp wv, const intp* s, intp n,
                       intp chain, const split_target* d)

cdef extern from *:
    """
    #define SPLIT_SEGMENT 64          /* lines that are made at a time, from a buffer in the first-level cache */
    """
    enum:
        SPLIT_SEGMENT

SPLIT_UNITS = {"plain": SPLIT_PLAIN, "tiles": SPLIT_TILES}
if SPLIT_BF16_UNITS:
    SPLIT_UNITS |= {"avx512_bf16": SPLIT_AVX512_BF16, "amx": SPLIT_AMX}


cdef struct SplitCopy:                   # of a band of images and rows
    intp image, group, part, block, plane   # steps in bfloat16 numbers
    intp nr, nc, length             # row and column phases; numbers of a plane
    intp channels                   # of a group
    int parts
    split_plane flat                   # of the first phase


def split_pack(cnp.ndarray x, cnp.ndarray copy, tuple band, tuple layout, tuple flat, int pixels, int threads):
    """copy OUT: images and groups of a band; the tuples: see `SplitBf16._products` in algorithms/split_bf16.py.

    pixels: pairs of neighbouring pixels of 16 channels, instead of 32 channels a pixel; 2: also those from odd pixels.
    """
    cdef SplitCopy k
    cdef intp n0, nb, c0, groups, C = x.shape[1], blocks, pieces = 1, t, total
    n0, nb, c0, groups = band
    k.image, k.group, k.part, k.block, k.plane, k.nr, k.nc, k.length, k.channels, k.parts = layout
    k.flat.h, k.flat.w, k.flat.wph, k.flat.row, k.flat.rs, k.flat.col, k.flat.cs = flat
    blocks = (k.channels + 15) // 16 if pixels else (k.channels + 31) // 32
    total = nb * groups * blocks * k.nr * k.nc
    if total % threads:
        pieces = threads
    cdef const real* xp = data(x) + (n0 * C + c0) * k.flat.h * k.flat.w
    cdef bf16* cp = <bf16*> cnp.PyArray_DATA(copy)
    if threads == 1:
        with nogil:
            for t in range(total):
                _split_piece(&k, xp, cp, t, groups, blocks, 1, C, pixels)
        return
    for t in prange(total * pieces, nogil=True, schedule="static", num_threads=threads):
        _split_piece(&k, xp, cp, t, groups, blocks, pieces, C, pixels)


cdef void _split_piece(SplitCopy* k, const real* x, bf16* copy, intp t, intp groups, intp blocks, intp pieces, intp C,
                       int pixels) noexcept nogil:
    """One share of a phase of a block of channels."""
    cdef intp piece = t % pieces, gamma = t // pieces % k.nc, rho = t // pieces // k.nc % k.nr, odd, lines = k.length
    cdef intp count
    cdef intp block, group, n, per = 16 if pixels else 32, nc, i, i_, first, last, size = k.flat.h * k.flat.w
    cdef split_plane f = k.flat
    cdef real buf[32 * (SPLIT_SEGMENT + LANES) + 32]
    cdef intp ld = 2 * (SPLIT_SEGMENT + 1) + LANES if pixels else SPLIT_SEGMENT + LANES
    t = t // pieces // k.nc // k.nr
    block = t % blocks
    group = t // blocks % groups
    n = t // blocks // groups
    copy += n * k.image + group * k.group + block * k.block + (rho * k.nc + gamma) * k.plane
    nc = min(per, k.channels - block * per)
    x += (n * C + group * k.channels + block * per) * size
    f.row += rho
    f.col += gamma
    if pixels:
        lines = lines // 2
    if nc < per:
        memset(buf + nc * ld, 0, (per - nc) * ld * sizeof(real))
    first = lines * piece // pieces
    last = lines * (piece + 1) // pieces
    for i_ in range((last - first + SPLIT_SEGMENT - 1) // SPLIT_SEGMENT):
        i = first + i_ * SPLIT_SEGMENT
        count = min(<intp> SPLIT_SEGMENT, last - i)
        if pixels:
            split_fill(buf, ld, x, size, nc, 2 * i, 2 * count + 1, &f)
            for odd in range(pixels):
                split_lines(1, buf + odd, ld, count, k.parts, k.part, copy + (odd * lines + i) * 32)
        else:
            split_fill(buf, ld, x, size, nc, i, count, &f)
            split_lines(0, buf, ld, count, k.parts, k.part, copy + i * 32)


cdef void _split_panel(const real* w, intp ls, intp cs, intp nout, intp C, intp T, const intp* pos, int parts, bf16* u,
                       real* tmp) noexcept nogil:
    """32 outputs, `ls` numbers apart, of channels `cs` apart: parts in pairs of channels, what is missing zero."""
    cdef intp B = (C + 31) // 32, b, nc, t
    cdef int j
    cdef const real* s
    for j in range(2 if nout > 16 else 1):
        for b in range(B):
            nc = min(<intp> 32, C - b * 32)
            s = w + j * 16 * ls + b * 32 * cs
            if cs == T:
                _split_by_output(s, ls, min(<intp> 16, nout - 16 * j), nc, T, tmp)
            else:
                _split_by_channel(s, cs, min(<intp> 16, nout - 16 * j), nc, T, tmp)
            for t in range(T):
                if cs == T:
                    _split_pairs(tmp + t * 16, T, parts, u + ((j * T + pos[t]) * B + b) * parts * 512)
                else:
                    split_lines(1, tmp + t * 32, T * 32, 16, parts, 512, u + ((j * T + pos[t]) * B + b) * parts * 512)


cdef void _split_by_output(const real* w, intp ls, intp nout, intp nc, intp T, real* tmp) noexcept nogil:
    """tmp [32 channels][tap][16 outputs]: rows of w are outputs."""
    cdef vec m[LANES]
    cdef intp h, h_, k, k_, q, l
    memset(tmp + nc * T * 16, 0, (32 - nc) * T * 16 * sizeof(real))
    for h_ in range(16 // LANES):
        h = h_ * LANES
        for k_ in range((nc * T + LANES - 1) // LANES):
            k = k_ * LANES
            q = min(<intp> LANES, nc * T - k)
            _load_planes(w + h * ls + k, ls, min(<intp> LANES, max(<intp> 0, nout - h)), q, 1, 4 * LANES, m)
            vtranspose(m)
            for l in range(q):
                vstore(tmp + (k + l) * 16 + h, m[l])


cdef void _split_by_channel(const real* w, intp cs, intp nout, intp nc, intp T, real* tmp) noexcept nogil:
    """tmp [16 outputs][tap][32 channels]: rows of w are channels."""
    cdef vec m[LANES]
    cdef intp h, h_, k, k_, q, l
    memset(tmp + nout * T * 32, 0, (16 - nout) * T * 32 * sizeof(real))
    for h_ in range(32 // LANES):
        h = h_ * LANES
        for k_ in range((nout * T + LANES - 1) // LANES):
            k = k_ * LANES
            q = min(<intp> LANES, nout * T - k)
            _load_planes(w + h * cs + k, cs, min(<intp> LANES, max(<intp> 0, nc - h)), q, 1, 4 * LANES, m)
            vtranspose(m)
            for l in range(q):
                vstore(tmp + (k + l) * 32 + h, m[l])


cdef void _split_pairs(const real* tmp, intp T, int parts, bf16* u) noexcept nogil:
    """One tap: pairs of neighbouring channels of 16 outputs."""
    cdef vec a[2]
    cdef intp p, h, h_
    cdef int i
    for p in range(16):
        for h_ in range(16 // LANES):
            h = h_ * LANES
            a[0] = vload(tmp + 2 * p * T * 16 + h)
            a[1] = vload(tmp + (2 * p + 1) * T * 16 + h)
            for i in range(parts):
                vstore(<real*> (u + i * 512 + p * 32) + h, vpart(a, a + 1))


def split_weights(cnp.ndarray w, cnp.ndarray u, intp w0, intp nout, intp C, intp groups, cnp.ndarray pos, int parts,
                  bint adjoint, cnp.ndarray tmp, int threads):
    """u OUT: weights of `groups` groups from number w0 on; tmp WORK, 512 numbers a tap and thread."""
    cdef intp T = pos.shape[0], panels = (nout + 31) // 32, i, size = T * ((C + 31) // 32) * parts * 1024
    cdef intp ls = T if adjoint else C * T, cs = w.shape[1] * T if adjoint else T
    cdef const real* wp = data(w) + w0
    cdef const intp* ip = <const intp*> cnp.PyArray_DATA(pos)
    cdef bf16* up = <bf16*> cnp.PyArray_DATA(u)
    cdef real* tp = data(tmp)
    if threads == 1:
        with nogil:
            for i in range(groups * panels):
                _split_panel(wp + i // panels * nout * C * T + i % panels * 32 * ls, ls, cs, nout - i % panels * 32, C,
                             T, ip, parts, up + i * size, tp)
        return
    for i in prange(groups * panels, nogil=True, schedule="static", num_threads=threads):
        _split_panel(wp + i // panels * nout * C * T + i % panels * 32 * ls, ls, cs, nout - i % panels * 32, C, T, ip,
                     parts, up + i * size, tp + threadid() * T * 512)


cdef struct SplitBand:                   # outputs of a band, and how they meet the copy
    const bf16* copy
    intp image, group               # steps of the copy
    intp wph, columns               # columns of a row of the copy; base columns
    intp r0, rd, rt, c0, cd, ct     # base row r, phase a: output row (r0 + r) * rd + a - rt; likewise columns
    intp i0, i1, ow, plane          # output rows of the band
    intp rows                       # base rows
    const intp* phases              # first step and number of steps of each phase
    const intp* steps
    intp taps                       # numbers of 16 outputs of a panel
    intp chain                      # steps that are summed by themselves
    int unit
    bint flat


cdef void _split_strip(SplitBand* b, const bf16* x, const bf16* u, intp r0, intp r1, intp nout, real* m, real* y,
                       const real* bias) noexcept nogil:
    """Base rows [r0, r1) of one image and panel: products into m [vector][pixel][LANES], then out to the planes."""
    cdef intp start = max(b.i0, (b.r0 + r0) * b.rd - b.rt), stop = min(b.i1, (b.r0 + r1) * b.rd - b.rt), f, a, c, lo
    cdef intp hi, r, i
    cdef intp q, q0, n, nb, k, j0, pixels = (stop - start) * b.ow
    cdef int nv = 2 if nout > 16 else 1, most = split_rows_of(b.unit)
    cdef const intp* s
    cdef split_target d
    cdef real* o
    if stop <= start:
        return
    d.mt = b.cd * LANES
    d.mh = pixels * LANES
    d.add = 0
    d.next = b.rd * b.ow * LANES
    for f in range(b.rd * b.cd):
        a = f // b.cd
        c = f % b.cd
        s = b.steps + 3 * b.phases[2 * f]
        lo = max(<intp> 0, (b.ct - c - b.c0 * b.cd + b.cd - 1) // b.cd)
        hi = min(b.columns, (b.ow + b.ct - c - b.c0 * b.cd + b.cd - 1) // b.cd)
        j0 = (b.c0 + lo) * b.cd + c - b.ct
        r = r0
        while r < r1 and (b.r0 + r) * b.rd + a - b.rt < start: r += 1
        n = r
        while n < r1 and (b.r0 + n) * b.rd + a - b.rt < stop: n += 1
        if hi <= lo or n <= r:
            continue
        o = m + (((b.r0 + r) * b.rd + a - b.rt - start) * b.ow + j0) * LANES
        q0 = r * b.wph + lo
        if b.flat:                                              # all rows in one run, columns between them dropped
            d.wide = b.wph
            d.count = hi - lo
            q = 0
            n = (n - r - 1) * b.wph + hi - lo
            while q < n:
                d.out = o + q // b.wph * d.next
                d.first = q % b.wph
                split_product(b.unit, <int> min(<intp> most, n - q), nv, x + (q0 + q) * 32, u, b.taps, s,
                              b.phases[2 * f + 1], b.chain, &d)
                q += most
        else:
            d.first = 0
            d.wide = d.count = most + 1
            nb = (hi - lo + most - 1) // most
            for i in range(n - r):
                for k in range(nb):
                    q = (hi - lo) * k // nb
                    d.out = o + i * d.next + q * d.mt
                    split_product(b.unit, <int> ((hi - lo) * (k + 1) // nb - q), nv, x + (q0 + i * b.wph + q) * 32, u,
                               b.taps, s, b.phases[2 * f + 1], b.chain, &d)
    for k in range((min(<intp> 32, nout) + LANES - 1) // LANES):
        _store(m + k * d.mh, y + k * LANES * b.plane + start * b.ow, b.plane, min(<intp> LANES, nout - k * LANES),
               pixels, bias + k * LANES if bias != NULL else NULL)


def split_rows(cnp.ndarray copy, cnp.ndarray u, cnp.ndarray w, cnp.ndarray y, cnp.ndarray bias, cnp.ndarray phases,
               cnp.ndarray steps, cnp.ndarray pos, cnp.ndarray work, tuple source, tuple rows, tuple outputs,
               tuple blocks, int threads):
    """A band of y OUT from the copy; what the tuples hold: see `SplitBf16._products` in algorithms/split_bf16.py."""
    cdef SplitBand b
    cdef intp n0, nb, o0, nout, groups, per, strips, panels, i, t, total, usize, msize, C, w0, ls, cs, tmp, off
    cdef intp T = pos.shape[0]
    cdef int parts
    cdef bint adjoint, jit
    b.image, b.group, b.wph, b.columns = source
    b.r0, b.rows, b.rd, b.rt, b.c0, b.cd, b.ct = rows
    n0, nb, o0, nout, groups, b.i0, b.i1 = outputs
    b.unit, b.flat, per, jit, adjoint, C, parts, w0, msize, b.chain = blocks
    cdef const intp* ip = <const intp*> cnp.PyArray_DATA(pos)
    cdef const real* bp = NULL if bias is None else data(bias) + o0
    cdef bf16* up = NULL if u is None else <bf16*> cnp.PyArray_DATA(u)
    cdef const real* wp = data(w) + w0
    cdef real* mp = data(work)
    b.copy = <const bf16*> cnp.PyArray_DATA(copy)
    b.phases = <const intp*> cnp.PyArray_DATA(phases)
    b.steps = <const intp*> cnp.PyArray_DATA(steps)
    b.ow = y.shape[3]
    b.plane = y.shape[2] * b.ow
    b.taps = T * ((C + 31) // 32) * parts * 512
    cdef intp image = y.shape[1] * b.plane
    cdef real* yp = data(y) + n0 * image + o0 * b.plane
    ls = T if adjoint else C * T
    cs = w.shape[1] * T if adjoint else T
    strips = (b.rows + per - 1) // per
    panels = (nout + 31) // 32
    while not jit and nb * strips * groups * panels % threads and strips < b.rows:  # as many tasks for every thread
        strips += 1
    total = nb * strips * groups * panels
    tmp = msize + b.taps                                        # b.taps numbers hold two times as many bfloat16 ones
    if jit and threads == 1:  # a panel is packed (if it is not), then run over everything
        with nogil:
            for i in range(panels):
                if up == NULL:
                    _split_panel(wp + i * 32 * ls, ls, cs, nout - i * 32, C, T, ip, parts, <bf16*> (mp + msize),
                                 mp + tmp)
                _split_panel_rows(&b, nb * strips, strips, i,
                                  <bf16*> (mp + msize) if up == NULL else up + i * b.taps * 2, mp, yp, image, nout, bp)
    elif jit:
        for i in prange(panels, nogil=True, schedule="static", num_threads=threads):
            off = threadid() * (tmp + T * 512)
            if up == NULL:
                _split_panel(wp + i * 32 * ls, ls, cs, nout - i * 32, C, T, ip, parts, <bf16*> (mp + off + msize),
                             mp + off + tmp)
            _split_panel_rows(&b, nb * strips, strips, i,
                              <bf16*> (mp + off + msize) if up == NULL else up + i * b.taps * 2,
                              mp + off, yp, image, nout, bp)
    elif threads == 1:
        with nogil:
            split_begin(b.unit)
            for t in range(total):
                _split_task(&b, t // panels // groups, strips, t // panels % groups, t % panels,
                            up + t % (groups * panels) * b.taps * 2, mp, yp, image, nout, bp)
            split_end(b.unit)
    else:
        for t in prange(total, nogil=True, schedule="static", num_threads=threads):
            split_begin(b.unit)
            _split_task(&b, t // panels // groups, strips, t // panels % groups, t % panels,
                        up + t % (groups * panels) * b.taps * 2, mp + threadid() * msize, yp, image, nout, bp)
            split_end(b.unit)


cdef void _split_panel_rows(SplitBand* b, intp total, intp strips, intp panel, const bf16* u, real* m, real* y,
                            intp image, intp nout, const real* bias) noexcept nogil:
    cdef intp t
    split_begin(b.unit)
    for t in range(total):
        _split_task(b, t, strips, 0, panel, u, m, y, image, nout, bias)
    split_end(b.unit)


cdef void _split_task(SplitBand* b, intp strip, intp strips, intp group, intp panel, const bf16* u, real* m, real* y,
                      intp image, intp nout, const real* bias) noexcept nogil:
    """One strip of one image, one panel of a group's outputs."""
    cdef intp n = strip // strips, k = strip % strips, o = group * nout + panel * 32
    _split_strip(b, b.copy + n * b.image + group * b.group, u, b.rows * k // strips, b.rows * (k + 1) // strips,
                 nout - panel * 32, m, y + n * image + o * b.plane, bias + o if bias != NULL else NULL)
