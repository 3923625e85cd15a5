# Convolution by tiles of FFTs, groups of many channels: lanes = channels. Spectra of the tiles are X[tile][block of
# channels][column][row frequency]; those of the weights are made column by column, from their row transforms
# R[channel][block of outputs][column][pair of rows], multiplied at once, and the sums go back to rows in Z.

cdef extern from *:
    """
    #define FT_TILES (VBYTES == 64 ? 6 : 2) /* rows of the register block: two complex vectors each */
    #define FT_APART (VBYTES == 64 ? 4 : 2) /* complex vectors that leave registers for twice as many sums */
    """
    enum:
        FT_TILES
        FT_APART


cdef void _ft_channel_lanes(const FtGrid* q, const real* planes, bint source, intp group, intp tile, intp block,
                            FtLanes* k) noexcept nogil:
    """A block of channels of one tile, in the source (or destination) planes."""
    cdef intp channels = q.ci if source else q.co, blocks = q.cib if source else q.cob
    cdef intp c = block % blocks * LANES, count = min(<intp> LANES, channels - c), l
    for l in range(count):
        _ft_lane(q, planes, source, group * channels + c + l, tile, block // blocks, l, k)
    _ft_bounds(k, count, &q.h, &q.w, source)


cdef inline void _ft_multiply_block(const int nm, const int nv, const real* a, intp am, intp ak, intp blocks,
                                    intp start, const FtGrid* q, bint channels, const vec* b, intp bk, intp bv,
                                    vec* c, intp cm, intp cv, bint first) noexcept nogil:
    """c[m][v] (+)= sum over k of a[m][k] * conj(b[k][v]), complex; k runs over blocks of channels, or over tiles."""
    cdef vec re[2][6][2]
    cdef vec im[2][6][2]
    cdef vec br[2]
    cdef vec bi[2]
    cdef vec ar, ai
    cdef intp i, l, count = 1
    cdef int m, v, other = nm * nv <= FT_APART  # sums in two chains: one would wait for itself
    for m in range(nm):
        for v in range(nv):
            re[0][m][v] = re[other][m][v] = vzero()
            im[0][m][v] = im[other][m][v] = vzero()
    for i in range(start, start + blocks):
        if channels:
            count = min(<intp> LANES, q.ci - i % q.cib * LANES)
        for l in range(count):
            for v in range(nv):
                br[v] = b[v * bv]
                bi[v] = b[v * bv + 1]
            for m in range(nm):
                ar = vset(a[m * am + l])
                ai = vset(a[m * am + l + LANES])
                for v in range(nv):
                    re[0][m][v] += ar * br[v]
                    im[0][m][v] += ai * br[v]
                for v in range(nv):
                    re[other][m][v] += ai * bi[v]
                    im[other][m][v] -= ar * bi[v]
            b += bk
        a += ak
    for m in range(nm):
        for v in range(nv):
            if other:
                re[0][m][v] += re[1][m][v]
                im[0][m][v] += im[1][m][v]
            if not first:
                re[0][m][v] += c[m * cm + v * cv]
                im[0][m][v] += c[m * cm + v * cv + 1]
            c[m * cm + v * cv] = re[0][m][v]
            c[m * cm + v * cv + 1] = im[0][m][v]


cdef inline void _ft_multiply_rows(const int nv, intp nm, const real* a, intp am, intp ak, intp blocks, intp start,
                                   const FtGrid* q, bint channels, const vec* b, intp bk, intp bv, vec* c, intp cm,
                                   intp cv, bint first) noexcept nogil:
    if nm == 1: _ft_multiply_block(1, nv, a, am, ak, blocks, start, q, channels, b, bk, bv, c, cm, cv, first)
    elif nm == 2: _ft_multiply_block(2, nv, a, am, ak, blocks, start, q, channels, b, bk, bv, c, cm, cv, first)
    elif FT_TILES == 6:
        if nm == 3: _ft_multiply_block(3, nv, a, am, ak, blocks, start, q, channels, b, bk, bv, c, cm, cv, first)
        elif nm == 4: _ft_multiply_block(4, nv, a, am, ak, blocks, start, q, channels, b, bk, bv, c, cm, cv, first)
        elif nm == 5: _ft_multiply_block(5, nv, a, am, ak, blocks, start, q, channels, b, bk, bv, c, cm, cv, first)
        else: _ft_multiply_block(6, nv, a, am, ak, blocks, start, q, channels, b, bk, bv, c, cm, cv, first)


cdef void _ft_multiply(intp nv, intp nm, const real* a, intp am, intp ak, intp blocks, intp start, const FtGrid* q,
                       bint channels, const vec* b, intp bk, intp bv, vec* c, intp cm, intp cv,
                       bint first) noexcept nogil:
    """All rows of c, in even register blocks."""
    cdef intp parts = _ft_ceil(nm, FT_TILES), i, m
    for i in range(parts):
        m = nm * i // parts
        if nv == 2:
            _ft_multiply_rows(2, nm * (i + 1) // parts - m, a + m * am, am, ak, blocks, start, q, channels, b, bk, bv,
                              c + m * cm, cm, cv, first)
        else:
            _ft_multiply_rows(1, nm * (i + 1) // parts - m, a + m * am, am, ak, blocks, start, q, channels, b, bk, bv,
                              c + m * cm, cm, cv, first)


cdef void _ft_source_unit(const FtGrid* q, const FtLanes* k, intp rows, intp columns, FtScratch* s,
                          vec* x) noexcept nogil:
    """The spectrum of one tile and block of channels: x[column][row frequency]."""
    cdef intp first, pairs, v
    _ft_rows(q, k, rows, columns, s, s.a, &first, &pairs)
    for v in range(q.w.t // 2 + 1):
        _ft_column(q, s.a, v, first, pairs, rows, s, x + v * q.row_x)


cdef void _ft_weight_unit(const FtGrid* q, const real* w, intp group, intp c, intp block, FtScratch* s,
                          vec* R) noexcept nogil:
    """Row transforms of the kernels of input c, a block of outputs, in all phases."""
    cdef const real* p[16]
    cdef intp o = block * LANES, count = min(<intp> LANES, q.co - o), l
    for l in range(count):
        p[l] = w + group * q.ci * q.co * q.taps + (o + l) * q.so + c * q.sc
    _ft_kernel_rows(q, p, count, s, R + (c * q.dblocks + block) * q.unit_r,
                    (q.ci * q.dblocks if q.h.sp * q.w.sp > 1 else q.cob) * q.unit_r)


cdef void _ft_product_unit(const FtGrid* q, const vec* X, const vec* R, vec* Z, intp v, intp d0, intp nv, intp r0,
                           intp tiles, FtScratch* s) noexcept nogil:
    """Column v of up to two blocks of outputs, from d0 on (r0 in R): weights, products, rows of the sums to Z."""
    cdef intp k0 = 0, k1, b, c, o, u, t, k, i
    cdef const vec* r
    while k0 < q.sblocks:
        k1 = min(k0 + q.src_chunk, q.sblocks)
        k = 0
        for b in range(k0, k1):
            for c in range(min(<intp> LANES, q.ci - b % q.cib * LANES)):
                for o in range(nv):
                    r = R + ((b // q.cib * q.ci + b % q.cib * LANES + c) * q.dblocks + r0 + o) * q.unit_r
                    _ft_weight_column(q, r, v, s, s.w_ + 2 * (k * nv + o), q.row_w, 2 * q.unit_r)
                k += 1
        for u in range(q.h.t):
            for i in range(tiles * q.sblocks):  # too many streams for the hardware to see
                fetch(X + i * q.unit_x + v * q.row_x + 2 * u + 8)
                fetch(X + i * q.unit_x + v * q.row_x + 2 * u + 9)
            _ft_multiply(nv, tiles, <const real*> (X + k0 * q.unit_x + v * q.row_x + 2 * u),
                         q.sblocks * q.unit_x * LANES, q.unit_x * LANES, k1 - k0, k0, q, True,
                         s.w_ + u * q.row_w, 2 * nv, 2, s.p + 2 * u, 2 * q.row_p, q.row_p, k0 == 0)
        k0 = k1
    for t in range(tiles):
        for o in range(nv):
            _ft_column_back(q, s.p + (2 * t + o) * q.row_p, v, q.h.out, False, s,
                            Z + (t * q.dst_block + d0 + o) * q.unit_z, q.row_z, 2)


cdef void _ft_sources(const FtGrid* q, const real* x, const real* w, real* work, vec* R, const real* twiddles,
                      intp group, intp tile, intp tiles, intp block, intp blocks, intp part,
                      intp parts) noexcept nogil:
    """A thread's part of: spectra of `tiles` tiles; row transforms of weights for `blocks` vectors of outputs."""
    cdef FtScratch s
    cdef FtLanes k
    cdef intp units = tiles * q.sblocks, kernels = blocks * q.ci, i
    _ft_scratch(q, twiddles, work, part, &s)
    for i in range(units * part // parts, units * (part + 1) // parts):
        _ft_channel_lanes(q, x, True, group, tile + i // q.sblocks, i % q.sblocks, &k)
        _ft_source_unit(q, &k, q.h.t, q.w.t, &s, <vec*> (work + q.at_x) + i * q.unit_x)
    if kernels:
        memset(s.taps, 0, q.kernel * LANES * sizeof(real))  # rows and columns that a phase does not have
    for i in range(kernels * part // parts, kernels * (part + 1) // parts):
        _ft_weight_unit(q, w, group, i % q.ci, block + i // q.ci, &s, R)


cdef void _ft_products(const FtGrid* q, real* work, const vec* R, const real* twiddles, intp tiles, intp block,
                       intp blocks, intp part, intp parts) noexcept nogil:
    cdef FtScratch s
    cdef intp panels = _ft_ceil(blocks, 2), units = (q.w.t // 2 + 1) * panels, i, d
    _ft_scratch(q, twiddles, work, part, &s)
    for i in range(units * part // parts, units * (part + 1) // parts):
        d = i % panels * 2
        _ft_product_unit(q, <vec*> (work + q.at_x), R, <vec*> (work + q.at_z), i // panels, d,
                         min(<intp> 2, blocks - d), block + d, tiles, &s)


cdef void _ft_destinations(const FtGrid* q, real* work, const real* bias, real* y, const real* twiddles, intp group,
                           intp tile, intp tiles, intp block, intp blocks, intp part, intp parts) noexcept nogil:
    cdef FtScratch s
    cdef FtLanes k
    cdef intp units = tiles * blocks, i, c
    cdef vec add = vzero()
    _ft_scratch(q, twiddles, work, part, &s)
    for i in range(units * part // parts, units * (part + 1) // parts):
        _ft_channel_lanes(q, y, False, group, tile + i // blocks, block + i % blocks, &k)
        if bias != NULL:
            c = (block + i % blocks) % q.cob * LANES
            add = vload_part(bias + group * q.co + c, <int> min(<intp> LANES, q.co - c))
        _ft_rows_back(q, <vec*> (work + q.at_z) + (i // blocks * q.dst_block + i % blocks) * q.unit_z, q.row_z, &k,
                      add, &s)


def fft_tiled_weights(cnp.ndarray w, cnp.ndarray r, cnp.ndarray work, cnp.ndarray grid, cnp.ndarray twiddles,
                      int threads):
    """r OUT: row transforms of all weights, a group after the other."""
    cdef const FtGrid* q = <const FtGrid*> cnp.PyArray_DATA(grid)
    cdef real* wp = data(w)
    cdef vec* rp = <vec*> data(r)
    cdef real* kp = data(work)
    cdef real* tp = data(twiddles)
    cdef intp group, step = q.ci * q.h.sp * q.w.sp * q.dblocks * q.unit_r
    cdef int t
    for group in range(q.g):
        if threads == 1:
            with nogil:
                _ft_sources(q, NULL, wp, kp, rp + group * step, tp, group, 0, 0, 0, q.cob, 0, 1)
            continue
        for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
            _ft_sources(q, NULL, wp, kp, rp + group * step, tp, group, 0, 0, 0, q.cob, t, threads)


def fft_tiled_channels(cnp.ndarray x, cnp.ndarray w, cnp.ndarray r, cnp.ndarray bias, cnp.ndarray y, cnp.ndarray work,
                       cnp.ndarray grid, cnp.ndarray twiddles, int threads):
    """y OUT. r: row transforms of the weights, or empty; bias may be empty."""
    cdef const FtGrid* q = <const FtGrid*> cnp.PyArray_DATA(grid)
    cdef real* xp = data(x)
    cdef real* wp = data(w)
    cdef real* bp = data(bias) if cnp.PyArray_SIZE(bias) else NULL
    cdef real* yp = data(y)
    cdef real* kp = data(work)
    cdef real* tp = data(twiddles)
    cdef vec* R = <vec*> (data(r) if cnp.PyArray_SIZE(r) else kp + q.at_r)
    cdef intp kept = q.ci * q.h.sp * q.w.sp * q.dblocks * q.unit_r if cnp.PyArray_SIZE(r) else 0
    cdef intp group, tile, tiles, block, blocks, kernels
    cdef int t
    for group in range(q.g):
        for tile in range(0, q.tiles, q.tile_block):
            tiles = min(q.tile_block, q.tiles - tile)
            for block in range(0, q.dblocks, q.dst_block):
                blocks = min(q.dst_block, q.dblocks - block)
                kernels = q.cob if not kept and block == 0 and tile == 0 else 0
                if threads == 1:
                    with nogil:
                        if block == 0:
                            _ft_sources(q, xp, wp, kp, R + group * kept, tp, group, tile, tiles, 0, kernels, 0, 1)
                        _ft_products(q, kp, R + group * kept, tp, tiles, block, blocks, 0, 1)
                        _ft_destinations(q, kp, bp, yp, tp, group, tile, tiles, block, blocks, 0, 1)
                    continue
                if block == 0:
                    for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                        _ft_sources(q, xp, wp, kp, R + group * kept, tp, group, tile, tiles, 0, kernels, t, threads)
                for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                    _ft_products(q, kp, R + group * kept, tp, tiles, block, blocks, t, threads)
                for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                    _ft_destinations(q, kp, bp, yp, tp, group, tile, tiles, block, blocks, t, threads)


def fft_tiled_lanes(cnp.ndarray a):
    """Numbers of a's dtype in a vector."""
    return LANES
