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


cdef struct SplitPack:
    const SplitCopy* q
    const real* x
    intp C, size                # channels of x in all, numbers of each
    bf16* copy
    intp blocks                 # of channels
    intp pieces                 # of a plane


cdef inline split_plane _split_plane(const SplitCopy* q) noexcept nogil:
    return split_plane(q.h, q.w, q.wph, q.row, q.rs, q.col, q.cs)


cdef void _split_pack_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const SplitPack* k = <const SplitPack*> args
    cdef intp t, total = k.q.nb * k.q.groups * k.blocks * k.q.nr * k.q.nc * k.pieces
    for t in range(split(total, ithr, nthr), split(total, ithr + 1, nthr)):
        _split_piece(k, t)


def split_pack(cnp.ndarray x, cnp.ndarray copy, cnp.ndarray q, int threads):
    """copy OUT: images and groups of a band."""
    cdef SplitPack k
    k.q, k.C, k.size = read_SplitCopy(q), x.shape[1], x.shape[2] * x.shape[3]
    k.x, k.copy = data(x) + (k.q.n0 * k.C + k.q.c0) * k.size, <bf16*> cnp.PyArray_DATA(copy)
    k.blocks = (k.q.channels + 15) // 16 if k.q.pixels else (k.q.channels + 31) // 32
    k.pieces = threads if k.q.nb * k.q.groups * k.blocks * k.q.nr * k.q.nc % threads else 1
    with nogil:
        launch(_split_pack_share, &k, threads)


cdef void _split_piece(const SplitPack* k, intp t) noexcept nogil:
    """A piece of a phase of a block of channels."""
    cdef const SplitCopy* q = k.q
    cdef intp piece = t % k.pieces, gamma = t // k.pieces % q.nc, rho = t // k.pieces // q.nc % q.nr, odd
    cdef intp count, block, group, n, per = 16 if q.pixels else 32, nc, i, first, last
    cdef intp lines = q.length // 2 if q.pixels else q.length
    cdef split_plane f = _split_plane(q)
    cdef real buf[32 * (SPLIT_SEGMENT + LANES) + 32]
    cdef intp ld = 2 * (SPLIT_SEGMENT + 1) + LANES if q.pixels else SPLIT_SEGMENT + LANES
    t = t // k.pieces // q.nc // q.nr
    block, group, n = t % k.blocks, t // k.blocks % q.groups, t // k.blocks // q.groups
    cdef bf16* copy = k.copy + n * q.image + group * q.group + block * q.block + (rho * q.nc + gamma) * q.plane
    cdef const real* x = k.x + (n * k.C + group * q.channels + block * per) * k.size
    nc = min(per, q.channels - block * per)
    f.row += rho
    f.col += gamma
    if nc < per:
        memset(buf + nc * ld, 0, (per - nc) * ld * sizeof(real))
    first, last = lines * piece // k.pieces, lines * (piece + 1) // k.pieces
    i = first
    while i < last:
        count = min(<intp> SPLIT_SEGMENT, last - i)
        if q.pixels:
            split_fill(buf, ld, x, k.size, nc, 2 * i, 2 * count + 1, &f)
            for odd in range(q.pixels):
                split_lines(1, buf + odd, ld, count, <int> q.parts, q.part, copy + (odd * lines + i) * 32)
        else:
            split_fill(buf, ld, x, k.size, nc, i, count, &f)
            split_lines(0, buf, ld, count, <int> q.parts, q.part, copy + i * 32)
        i += SPLIT_SEGMENT


cdef struct SplitPanels:
    const SplitWeights* q
    const real* w
    const intp* pos             # place of each tap in a packed panel
    intp T                      # taps
    intp ls, cs                 # from one output, one channel of w to the next
    intp size                   # bfloat16 numbers of a panel
    intp panels                 # of a group
    bf16* u
    real* tmp


cdef SplitPanels _split_panels(cnp.ndarray w, cnp.ndarray pos, cnp.ndarray q) except *:
    cdef SplitPanels k
    k.q, k.pos, k.T = read_SplitWeights(q), <const intp*> cnp.PyArray_DATA(pos), pos.shape[0]
    k.w = data(w) + k.q.w0
    k.ls, k.cs = k.q.channels * k.T, k.T
    if k.q.adjoint:
        k.ls, k.cs = k.T, w.shape[1] * k.T
    k.panels, k.size = (k.q.outputs + 31) // 32, k.T * ((k.q.channels + 31) // 32) * k.q.parts * 1024
    return k


cdef void _split_panel(const SplitPanels* k, intp i, bf16* u, real* tmp) noexcept nogil:
    """32 outputs: parts in pairs of channels, what is missing zero."""
    cdef intp C = k.q.channels, T = k.T, B = (C + 31) // 32, b, nc, t, o = i % k.panels * 32, some
    cdef intp nout = k.q.outputs - o
    cdef int j, parts = <int> k.q.parts
    cdef const real* w = k.w + i // k.panels * k.q.outputs * C * T + o * k.ls
    cdef const real* s
    cdef bf16* d
    for j in range(2 if nout > 16 else 1):
        some = min(<intp> 16, nout - 16 * j)
        for b in range(B):
            nc = min(<intp> 32, C - b * 32)
            s = w + j * 16 * k.ls + b * 32 * k.cs
            if k.cs == T:       # rows of w are outputs: tmp [32 channels][tap][16 outputs]
                _split_turn(s, k.ls, some, nc * T, tmp, 16, 32 * T)
            else:               # or channels: tmp [16 outputs][tap][32 channels]
                _split_turn(s, k.cs, nc, some * T, tmp, 32, 16 * T)
            for t in range(T):
                d = u + ((j * T + k.pos[t]) * B + b) * parts * 512
                if k.cs == T:
                    _split_pairs(tmp + t * 16, T, parts, d)
                else:
                    split_lines(1, tmp + t * 32, T * 32, 16, parts, 512, d)


cdef void _split_turn(const real* w, intp plane, intp planes, intp n, real* tmp, intp width, intp most) noexcept nogil:
    """tmp [most][width]: n numbers of each row of w side by side, what is missing zero."""
    cdef intp h = 0
    memset(tmp + n * width, 0, (most - n) * width * sizeof(real))
    while h < width:
        planes_to_lanes(True, w + h * plane, plane, min(<intp> LANES, max(<intp> 0, planes - h)), 1, n, tmp + h, width,
                        4 * LANES)
        h += LANES


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


cdef void _split_weights_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const SplitPanels* k = <const SplitPanels*> args
    cdef intp i, total = k.q.groups * k.panels
    for i in range(split(total, ithr, nthr), split(total, ithr + 1, nthr)):
        _split_panel(k, i, k.u + i * k.size, k.tmp + ithr * k.T * 512)


def split_weights(cnp.ndarray w, cnp.ndarray u, cnp.ndarray pos, cnp.ndarray tmp, cnp.ndarray q, int threads):
    """u OUT; tmp WORK, 512 numbers a tap and thread."""
    cdef SplitPanels k = _split_panels(w, pos, q)
    k.u, k.tmp = <bf16*> cnp.PyArray_DATA(u), data(tmp)
    with nogil:
        launch(_split_weights_share, &k, threads)


cdef struct SplitBand:
    const SplitProducts* q
    SplitPanels weights
    const bf16* u               # packed weights, NULL: not yet
    const bf16* copy
    real* y                     # first image and output
    intp image, plane, ow       # from one image, one channel of y to the next; its columns
    const real* bias
    const intp* phases          # first step and number of steps of each phase
    const intp* steps
    real* work
    intp strips


cdef void _split_strip(const SplitBand* band, const bf16* x, const bf16* u, intp r0, intp r1, intp nout, real* m,
                       real* y, const real* bias) noexcept nogil:
    """Base rows [r0, r1) of one image and panel: products into m [vector][pixel][LANES], then out to the planes."""
    cdef const SplitProducts* b = band.q
    cdef intp start = max(b.i0, (b.r0 + r0) * b.rd - b.rt), stop = min(b.i1, (b.r0 + r1) * b.rd - b.rt), f, a, c, lo
    cdef intp hi, r, i
    cdef intp q, q0, n, nb, k, j0, pixels = (stop - start) * band.ow
    cdef int some, nv = 2 if nout > 16 else 1, most = split_rows_of(<int> b.unit)
    cdef const intp* s
    cdef split_target d
    cdef real* o
    cdef real* to
    if stop <= start:
        return
    d.mt = b.cd * LANES
    d.mh = pixels * LANES
    d.add = 0
    d.next = b.rd * band.ow * LANES
    for f in range(b.rd * b.cd):
        a = f // b.cd
        c = f % b.cd
        s = band.steps + 3 * band.phases[2 * f]
        lo = max(<intp> 0, (b.ct - c - b.c0 * b.cd + b.cd - 1) // b.cd)
        hi = min(b.columns, (band.ow + b.ct - c - b.c0 * b.cd + b.cd - 1) // b.cd)
        j0 = (b.c0 + lo) * b.cd + c - b.ct
        r = r0
        while r < r1 and (b.r0 + r) * b.rd + a - b.rt < start: r += 1
        n = r
        while n < r1 and (b.r0 + n) * b.rd + a - b.rt < stop: n += 1
        if hi <= lo or n <= r:
            continue
        o = m + (((b.r0 + r) * b.rd + a - b.rt - start) * band.ow + j0) * LANES
        q0 = r * b.wph + lo
        if b.flat:                                              # all rows in one run, columns between them dropped
            d.wide = b.wph
            d.count = hi - lo
            q = 0
            n = (n - r - 1) * b.wph + hi - lo
            while q < n:
                d.out = o + q // b.wph * d.next
                d.first = q % b.wph
                split_product(<int> b.unit, <int> min(<intp> most, n - q), nv, x + (q0 + q) * 32, u,
                              band.weights.size // 2, s, band.phases[2 * f + 1], b.chain, &d)
                q += most
        else:
            d.first = 0
            d.wide = d.count = most + 1
            nb = (hi - lo + most - 1) // most
            for i in range(n - r):
                for k in range(nb):
                    q = (hi - lo) * k // nb
                    d.out = o + i * d.next + q * d.mt
                    split_product(<int> b.unit, <int> ((hi - lo) * (k + 1) // nb - q), nv,
                                  x + (q0 + i * b.wph + q) * 32, u, band.weights.size // 2, s, band.phases[2 * f + 1],
                                  b.chain, &d)
    k = 0
    while k < min(<intp> 32, nout):
        o, to, some = m + k // LANES * d.mh, y + k * band.plane + start * band.ow, <int> min(<intp> LANES, nout - k)
        if bias == NULL: lanes_to_planes(True, False, o, LANES, to, band.plane, some, pixels, vzero())
        else: lanes_to_planes(True, True, o, LANES, to, band.plane, some, pixels, vload_part(bias + k, some))
        k += LANES


cdef void _split_task(const SplitBand* b, intp t, intp group, intp panel, const bf16* u, real* m) noexcept nogil:
    """One strip of one image, one panel of a group's outputs."""
    cdef intp n = t // b.strips, k = t % b.strips, nout = b.weights.q.outputs, o = group * nout + panel * 32
    _split_strip(b, b.copy + n * b.q.image + group * b.q.group, u, b.q.rows * k // b.strips,
                 b.q.rows * (k + 1) // b.strips, nout - panel * 32, m, b.y + n * b.image + o * b.plane,
                 b.bias + o if b.bias != NULL else NULL)


cdef void _split_panels_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Panel by panel: packed (if it is not), then run over everything."""
    cdef const SplitBand* b = <const SplitBand*> args
    cdef real* m = b.work + ithr * b.q.per_thread
    cdef bf16* packed = <bf16*> (m + b.q.panel)
    cdef const bf16* u = packed
    cdef intp i, t
    split_begin(<int> b.q.unit)
    for i in range(split(b.weights.panels, ithr, nthr), split(b.weights.panels, ithr + 1, nthr)):
        if b.u == NULL: _split_panel(&b.weights, i, packed, m + b.q.tmp)
        else: u = b.u + i * b.weights.size
        for t in range(b.q.nb * b.strips):
            _split_task(b, t, 0, i, u, m)
    split_end(<int> b.q.unit)


cdef void _split_strips_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Strip by strip, all panels of all groups."""
    cdef const SplitBand* b = <const SplitBand*> args
    cdef intp panels = b.weights.panels, each = panels * b.weights.q.groups, t, total = b.q.nb * b.strips * each
    split_begin(<int> b.q.unit)
    for t in range(split(total, ithr, nthr), split(total, ithr + 1, nthr)):
        _split_task(b, t // each, t // panels % b.weights.q.groups, t % panels, b.u + t % each * b.weights.size,
                    b.work + ithr * b.q.per_thread)
    split_end(<int> b.q.unit)


def split_rows(cnp.ndarray copy, cnp.ndarray u, cnp.ndarray w, cnp.ndarray y, cnp.ndarray bias, cnp.ndarray phases,
               cnp.ndarray steps, cnp.ndarray pos, cnp.ndarray work, cnp.ndarray weights, cnp.ndarray q, int threads):
    """A band of y OUT from the copy."""
    cdef SplitBand b
    cdef intp tasks
    b.q, b.weights = read_SplitProducts(q), _split_panels(w, pos, weights)
    b.u = NULL
    if u is not None:
        b.u = <const bf16*> cnp.PyArray_DATA(u)
    b.copy, b.work = <const bf16*> cnp.PyArray_DATA(copy), data(work)
    b.phases, b.steps = <const intp*> cnp.PyArray_DATA(phases), <const intp*> cnp.PyArray_DATA(steps)
    b.ow, b.plane, b.image = y.shape[3], y.shape[2] * y.shape[3], y.shape[1] * y.shape[2] * y.shape[3]
    b.y = data(y) + b.q.n0 * b.image + b.q.o0 * b.plane
    b.bias = NULL if bias is None else data(bias) + b.q.o0
    b.strips = (b.q.rows + b.q.strip - 1) // b.q.strip
    tasks = b.q.nb * b.weights.q.groups * b.weights.panels
    with nogil:
        if b.q.jit:
            launch(_split_panels_share, &b, threads)
        else:
            while b.strips * tasks % threads and b.strips < b.q.rows:       # as many tasks for every thread
                b.strips += 1
            launch(_split_strips_share, &b, threads)
