# FFT tiles, grad_weight for groups of many channels: the spectra of x are X, those of dy, with the outputs of a tile
# and zeros, are Q. Products are summed over the tiles of a block, column by column; their rows are summed in R.


cdef void _ft_weight_sources(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Spectra of some tiles of x and dy."""
    cdef const FtCall* f = <const FtCall*> args
    cdef const FftTiles* q = f.q
    cdef FtScratch s
    cdef FtLanes k
    cdef intp first = f.tiles * q.sblocks, units = first + f.tiles * q.dblocks, i, j
    _ft_scratch(f, ithr, &s)
    for i in range(split(units, ithr, nthr), split(units, ithr + 1, nthr)):
        if i < first:
            _ft_channel_lanes(q, f.x, True, f.group, f.tile + i // q.sblocks, i % q.sblocks, &k)
            _ft_source_unit(q, &k, q.h.t, q.w.t, &s, <vec*> (f.work + q.spectra) + i * q.unit_x)
        else:
            j = i - first
            _ft_channel_lanes(q, f.dy, False, f.group, f.tile + j // q.dblocks, j % q.dblocks, &k)
            _ft_source_unit(q, &k, q.h.out, q.w.out, &s, <vec*> (f.work + q.sums) + j * q.unit_x)


cdef void _ft_weight_products(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Columns of up to two blocks of outputs: products, their sums over tiles, rows of the sums to R."""
    cdef const FtCall* f = <const FtCall*> args
    cdef const FftTiles* q = f.q
    cdef FtScratch s
    cdef FtProduct m
    cdef intp panels = _ft_ceil(q.dblocks, 2), units = (q.w.t // 2 + 1) * panels * q.sblocks, tiles = f.tiles
    cdef intp i, d, v, b, nv, u, c, o, n, t
    cdef const vec* X
    cdef const vec* Q
    cdef vec* R = f.kernels
    _ft_scratch(f, ithr, &s)
    for i in range(split(units, ithr, nthr), split(units, ithr + 1, nthr)):
        v, d, b = i // (panels * q.sblocks), i // q.sblocks % panels * 2, i % q.sblocks
        nv, n = min(<intp> 2, q.dblocks - d), min(<intp> LANES, q.ci - b % q.cib * LANES)
        X = <vec*> (f.work + q.spectra) + b * q.unit_x + v * q.row_x
        Q = <vec*> (f.work + q.sums) + d * q.unit_x + v * q.row_x
        m = FtProduct(q, False, 0, tiles, NULL, 1, q.sblocks * q.unit_x * LANES, NULL, q.dblocks * q.unit_x, q.unit_x,
                      NULL, 2 * q.row_p, q.row_p, True)
        for u in range(q.h.t):
            for t in range(tiles):
                fetch(X + t * q.sblocks * q.unit_x + 2 * u + 8)
                fetch(X + t * q.sblocks * q.unit_x + 2 * u + 9)
                for o in range(nv):
                    fetch(Q + (t * q.dblocks + o) * q.unit_x + 2 * u + 8)
                    fetch(Q + (t * q.dblocks + o) * q.unit_x + 2 * u + 9)
            m.a, m.b, m.c = <const real*> (X + 2 * u), Q + 2 * u, s.p + 2 * u
            _ft_multiply(nv, n, &m)
        for c in range(n):
            for o in range(nv):
                _ft_column_back(q, s.p + (2 * c + o) * q.row_p, v, q.h.taps, f.tile > 0, &s,
                                R + ((b // q.cib * q.ci + b % q.cib * LANES + c) * q.dblocks + d + o) * q.unit_r,
                                q.row_r, 2)


cdef void _ft_weight_results(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Kernels, from their rows in R."""
    cdef const FtCall* f = <const FtCall*> args
    cdef const FftTiles* q = f.q
    cdef FtScratch s
    cdef intp units = q.ci * q.dblocks, i, o, c, l, count
    cdef real* p[16]
    _ft_scratch(f, ithr, &s)
    for i in range(split(units, ithr, nthr), split(units, ithr + 1, nthr)):
        c, o = i // q.dblocks, i % q.dblocks * LANES
        count = min(<intp> LANES, q.co - o)
        for l in range(count):
            p[l] = f.y + f.group * q.ci * q.co * q.taps + (o + l) * q.so + c * q.sc
        _ft_kernel_rows_back(q, f.kernels + i * q.unit_r, q.ci * q.dblocks * q.unit_r, &s)
        _ft_store_taps(p, count, q.taps, s.place, _ft_scale(q), s.taps)


def fft_tiled_channels_grad_weight(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dw, cnp.ndarray work, cnp.ndarray q,
                                   cnp.ndarray place, cnp.ndarray twiddles, int threads):
    """dw OUT."""
    cdef FtCall f = _ft_call(work, q, place, twiddles)
    cdef intp group, i
    f.dy, f.x, f.y = data(dy), data(x), data(dw)
    with nogil:
        for group in range(f.q.g):
            for i in range(_ft_ceil(f.q.tiles, f.q.tile_block)):
                _ft_take_tiles(&f, group, i)
                launch(_ft_weight_sources, &f, threads)
                launch(_ft_weight_products, &f, threads)
            launch(_ft_weight_results, &f, threads)
