# Convolution by tiles of FFTs, groups of many channels: lanes = channels. Spectra of the tiles are X[tile][block of
# channels][column][row frequency]; those of the weights are made column by column, from their row transforms
# R[channel][block of outputs][column][pair of rows], multiplied at once, and the sums go back to rows in Z.

cdef extern from *:
    """
    #define FT_TILES (FC_REGISTERS == 32 ? 6 : 2) /* rows of the register block: two complex vectors each */
    #define FT_APART (FC_REGISTERS == 32 ? 4 : 2) /* complex vectors that leave registers for twice as many sums */
    """
    enum:
        FT_TILES
        FT_APART


cdef void _ft_channel_lanes(const FftTiles* q, const real* planes, bint source, intp group, intp tile, intp block,
                            FtLanes* k) noexcept nogil:
    """A block of channels of one tile, in the source (or destination) planes."""
    cdef intp channels = q.ci if source else q.co, blocks = q.cib if source else q.cob
    cdef intp c = block % blocks * LANES, count = min(<intp> LANES, channels - c), l
    for l in range(count):
        _ft_lane(q, planes, source, group * channels + c + l, tile, block // blocks, l, k)
    _ft_bounds(k, count, &q.h.src if source else &q.h.dst, &q.w.src if source else &q.w.dst)


cdef struct FtProduct:
    const FftTiles* q
    bint channels  # k runs over the channels of blocks, or over tiles
    intp start, blocks
    const real* a
    intp am, ak
    const vec* b
    intp bk, bv
    vec* c
    intp cm, cv
    bint first


cdef inline void _ft_multiply_block(int nm, int nv, const void* args) noexcept nogil:
    """c[m][v] (+)= sum over k of a[m][k] * conj(b[k][v]), complex."""
    cdef const FtProduct* f = <const FtProduct*> args
    cdef const FftTiles* q = f.q
    cdef const real* a = f.a
    cdef const vec* b = f.b
    cdef vec* c = f.c
    cdef intp am = f.am, ak = f.ak, bk = f.bk, bv = f.bv, cm = f.cm, cv = f.cv
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
    for i in range(f.start, f.start + f.blocks):
        if f.channels:
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
            if not f.first:
                re[0][m][v] += c[m * cm + v * cv]
                im[0][m][v] += c[m * cm + v * cv + 1]
            c[m * cm + v * cv] = re[0][m][v]
            c[m * cm + v * cv + 1] = im[0][m][v]


cdef void _ft_multiply(intp nv, intp nm, FtProduct* f) noexcept nogil:
    """All rows of c, in even register blocks."""
    cdef const real* a = f.a
    cdef vec* c = f.c
    cdef intp parts = _ft_ceil(nm, FT_TILES), i, m
    for i in range(parts):
        m = nm * i // parts
        f.a, f.c = a + m * f.am, c + m * f.cm
        fc_cases2(_ft_multiply_block, <int> (nm * (i + 1) // parts - m), <int> nv, FT_TILES, FT_TILES, 0, 0, f)


cdef void _ft_source_unit(const FftTiles* q, const FtLanes* k, intp rows, intp columns, FtScratch* s,
                          vec* x) noexcept nogil:
    """The spectrum of one tile and block of channels: x[column][row frequency]."""
    cdef intp first, pairs, v
    _ft_rows(q, k, rows, columns, s, s.a, &first, &pairs)
    for v in range(q.w.t // 2 + 1):
        _ft_column(q, s.a, v, first, pairs, rows, s, x + v * q.row_x)


cdef void _ft_weight_unit(const FftTiles* q, const real* w, intp group, intp c, intp block, FtScratch* s,
                          vec* R) noexcept nogil:
    """Row transforms of the kernels of input c, a block of outputs, in all phases."""
    cdef const real* p[16]
    cdef intp o = block * LANES, count = min(<intp> LANES, q.co - o), l
    for l in range(count):
        p[l] = w + group * q.ci * q.co * q.taps + (o + l) * q.so + c * q.sc
    _ft_kernel_rows(q, p, count, s, R + (c * q.dblocks + block) * q.unit_r,
                    (q.ci * q.dblocks if q.h.sp * q.w.sp > 1 else q.cob) * q.unit_r)


cdef void _ft_product_unit(const FftTiles* q, const vec* X, const vec* R, vec* Z, intp v, intp d0, intp nv, intp r0,
                           intp tiles, FtScratch* s) noexcept nogil:
    """Column v of up to two blocks of outputs, from d0 on (r0 in R): weights, products, rows of the sums to Z."""
    cdef intp k0 = 0, k1, b, c, o, u, t, k, i
    cdef const vec* r
    cdef FtProduct m
    while k0 < q.sblocks:
        k1 = min(k0 + q.src_chunk, q.sblocks)
        k = 0
        for b in range(k0, k1):
            for c in range(min(<intp> LANES, q.ci - b % q.cib * LANES)):
                for o in range(nv):
                    r = R + ((b // q.cib * q.ci + b % q.cib * LANES + c) * q.dblocks + r0 + o) * q.unit_r
                    _ft_weight_column(q, r, v, s, s.w_ + 2 * (k * nv + o), q.row_w, 2 * q.unit_r)
                k += 1
        m = FtProduct(q, True, k0, k1 - k0, NULL, q.sblocks * q.unit_x * LANES, q.unit_x * LANES, NULL, 2 * nv, 2, NULL,
                      2 * q.row_p, q.row_p, k0 == 0)
        for u in range(q.h.t):
            for i in range(tiles * q.sblocks):  # too many streams for the hardware to see
                fetch(X + i * q.unit_x + v * q.row_x + 2 * u + 8)
                fetch(X + i * q.unit_x + v * q.row_x + 2 * u + 9)
            m.a, m.b = <const real*> (X + k0 * q.unit_x + v * q.row_x + 2 * u), s.w_ + u * q.row_w
            m.c = s.p + 2 * u
            _ft_multiply(nv, tiles, &m)
        k0 = k1
    for t in range(tiles):
        for o in range(nv):
            _ft_column_back(q, s.p + (2 * t + o) * q.row_p, v, q.h.out, False, s,
                            Z + (t * q.dst_block + d0 + o) * q.unit_z, q.row_z, 2)


cdef void _ft_sources(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Spectra of tiles; row transforms of weights."""
    cdef const FtCall* f = <const FtCall*> args
    cdef const FftTiles* q = f.q
    cdef FtScratch s
    cdef FtLanes k
    cdef intp units = f.tiles * q.sblocks, i
    _ft_scratch(f, ithr, &s)
    for i in range(split(units, ithr, nthr), split(units, ithr + 1, nthr)):
        _ft_channel_lanes(q, f.x, True, f.group, f.tile + i // q.sblocks, i % q.sblocks, &k)
        _ft_source_unit(q, &k, q.h.t, q.w.t, &s, <vec*> (f.work + q.spectra) + i * q.unit_x)
    units = f.made * q.ci
    if units:
        memset(s.taps, 0, q.kernel * LANES * sizeof(real))  # rows and columns that a phase does not have
    for i in range(split(units, ithr, nthr), split(units, ithr + 1, nthr)):
        _ft_weight_unit(q, f.w, f.group, i % q.ci, i // q.ci, &s, f.kernels)


cdef void _ft_products(const void* args, intp first, intp end, intp ithr, bint again) noexcept nogil:
    cdef const FtCall* f = <const FtCall*> args
    cdef const FftTiles* q = f.q
    cdef FtScratch s
    cdef intp panels = _ft_ceil(f.blocks, 2), i, d
    _ft_scratch(f, ithr, &s)
    for i in range(first, end):
        d = i % panels * 2
        _ft_product_unit(q, <vec*> (f.work + q.spectra), f.kernels, <vec*> (f.work + q.sums), i // panels, d,
                         min(<intp> 2, f.blocks - d), f.block + d, f.tiles, &s)


cdef struct FtAfter:  # what follows the sums of all lanes
    vec bias
    const FtLanes* residual  # where its pixels are, or NULL
    int code  # of the activation
    bint some  # of these there is


cdef struct FtRows:
    vec* row
    const vec* residual  # or NULL
    vec bias
    intp count


cdef inline FtAfter _ft_after(const FtCall* f, const FtLanes* residual) noexcept nogil:
    """Without a bias: -0 changes nothing, not even a sign."""
    cdef FtAfter e = FtAfter(vset(<real> -0.0), NULL, f.code, f.bias != NULL or f.residual != NULL or f.code != 0)
    if f.residual != NULL:
        e.residual = residual
    return e


cdef inline void _ft_finish(int which, const void* args) noexcept nogil:
    """Rows become activation(rows + bias + residual); which - 1: the activation."""
    cdef const FtRows* a = <const FtRows*> args
    cdef vec v
    cdef intp i
    for i in range(a.count):
        v = a.row[i] + a.bias
        if a.residual != NULL:
            v += a.residual[i]
        a.row[i] = fc_activate(v, which - 1)


cdef void _ft_rows_back(const FftTiles* q, const vec* z, intp row_z, const FtLanes* k, const FtAfter* e,
                        FtScratch* s) noexcept nogil:
    """The tile's outputs, and all that follows a convolution, to the planes."""
    cdef FtRows a = FtRows(s.row, NULL, e.bias, 2 * q.w.out)
    cdef intp j, i
    for j in range(k.first // 2, _ft_ceil(min(k.last, q.h.out), 2)):
        for i in range(q.w.t):
            fetch(z + i * row_z + 2 * j + 2)
        _ft_transform(&s.w, z + 2 * j + 1, z + 2 * j, row_z, q.w.t, s.row + 1, s.row, 2, q.w.out, s.y, 0)
        if e.residual != NULL:
            a.residual = s.residual
            for i in range(2):
                _ft_load_row(e.residual, 2 * j + i if 2 * j + i < q.h.out else k.last, q.w.out,
                             s.residual + i)
        if e.some:
            fc_cases(_ft_finish, e.code + 1, 9, &a)
        _ft_store_row(k, 2 * j, q.w.out, s.row)
        if 2 * j + 1 < q.h.out:
            _ft_store_row(k, 2 * j + 1, q.w.out, s.row + 1)


cdef void _ft_destinations(const void* args, intp first, intp end, intp ithr, bint again) noexcept nogil:
    """Pixels from the rows of the sums."""
    cdef const FtCall* f = <const FtCall*> args
    cdef const FftTiles* q = f.q
    cdef FtScratch s
    cdef FtLanes k, more
    cdef FtAfter e = _ft_after(f, &more)
    cdef intp i, c, d
    _ft_scratch(f, ithr, &s)
    for i in range(first, end):
        d = i % f.blocks
        _ft_channel_lanes(q, f.y, False, f.group, f.tile + i // f.blocks, f.block + d, &k)
        if f.residual != NULL:
            _ft_channel_lanes(q, f.residual, False, f.group, f.tile + i // f.blocks, f.block + d, &more)
        if f.bias != NULL:
            c = (f.block + d) % q.cob * LANES
            e.bias = vload_part(f.bias + f.group * q.co + c, <int> min(<intp> LANES, q.co - c))
        _ft_rows_back(q, <vec*> (f.work + q.sums) + (i // f.blocks * q.dst_block + d) * q.unit_z, q.row_z, &k, &e, &s)


cdef inline intp _ft_kernels_of_group(const FftTiles* q) noexcept nogil:
    """Vectors of the row transforms of a group's weights."""
    return q.ci * q.h.sp * q.w.sp * q.dblocks * q.unit_r


cdef inline void _ft_take_tiles(FtCall* f, intp group, intp i) noexcept nogil:
    """Block i of the tiles."""
    f.group, f.tile = group, i * f.q.tile_block
    f.tiles = min(f.q.tile_block, f.q.tiles - f.tile)


cdef void _ft_call_forward(FtCall* f, cnp.ndarray x, cnp.ndarray w, cnp.ndarray bias, cnp.ndarray residual,
                           cnp.ndarray y, int activation) noexcept:
    f.x, f.w, f.y, f.code = data(x), data(w), data(y), activation
    f.bias = data(bias) if cnp.PyArray_SIZE(bias) else NULL
    f.residual = data(residual) if cnp.PyArray_SIZE(residual) else NULL


def fft_tiled_weights(cnp.ndarray w, cnp.ndarray r, cnp.ndarray work, cnp.ndarray q, cnp.ndarray place,
                      cnp.ndarray twiddles, int threads):
    """r OUT: row transforms of all weights, a group after the other."""
    cdef FtCall f = _ft_call(work, q, place, twiddles)
    cdef intp group
    f.w, f.made, f.kernels = data(w), f.q.cob, <vec*> data(r)
    with nogil:
        for group in range(f.q.g):
            f.group = group
            launch(_ft_sources, &f, threads)
            f.kernels += _ft_kernels_of_group(f.q)


def fft_tiled_channels(cnp.ndarray x, cnp.ndarray w, cnp.ndarray r, cnp.ndarray bias, cnp.ndarray residual,
                       cnp.ndarray y, cnp.ndarray work, cnp.ndarray q, cnp.ndarray place, cnp.ndarray twiddles,
                       int activation, int threads):
    """y OUT. r: row transforms of the weights, or empty; bias and residual may be empty."""
    cdef FtCall f = _ft_call(work, q, place, twiddles)
    cdef bint kept = cnp.PyArray_SIZE(r) > 0
    cdef intp group, i, j
    _ft_call_forward(&f, x, w, bias, residual, y, activation)
    if kept:
        f.kernels = <vec*> data(r)
    with nogil:
        for group in range(f.q.g):
            for i in range(_ft_ceil(f.q.tiles, f.q.tile_block)):
                _ft_take_tiles(&f, group, i)
                f.made = f.q.cob if i == 0 and not kept else 0
                launch(_ft_sources, &f, threads)
                for j in range(_ft_ceil(f.q.dblocks, f.q.dst_block)):
                    f.block = j * f.q.dst_block
                    f.blocks = min(f.q.dst_block, f.q.dblocks - f.block)
                    launch_parts(_ft_products, &f, (f.q.w.t // 2 + 1) * _ft_ceil(f.blocks, 2), threads)
                    launch_parts(_ft_destinations, &f, f.tiles * f.blocks, threads)
            if kept:
                f.kernels += _ft_kernels_of_group(f.q)
