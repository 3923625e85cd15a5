# FFT tiles, grad_weight for groups of many channels: the spectra of x are X, those of dy, with the outputs of a tile
# and zeros, are Q. Products are summed over the tiles of a block, column by column; their rows are summed in R.


cdef void _ft_weight_sources(const FtGrid* q, const real* x, const real* dy, real* work, const real* twiddles,
                             intp group, intp tile, intp tiles, intp part, intp parts) noexcept nogil:
    """A thread's part of the spectra of some tiles of x and dy."""
    cdef FtScratch s
    cdef FtLanes k
    cdef intp first = tiles * q.sblocks, units = first + tiles * q.dblocks, i, j
    _ft_scratch(q, twiddles, work, part, &s)
    for i in range(units * part // parts, units * (part + 1) // parts):
        if i < first:
            _ft_channel_lanes(q, x, True, group, tile + i // q.sblocks, i % q.sblocks, &k)
            _ft_source_unit(q, &k, q.h.t, q.w.t, &s, <vec*> (work + q.at_x) + i * q.unit_x)
        else:
            j = i - first
            _ft_channel_lanes(q, dy, False, group, tile + j // q.dblocks, j % q.dblocks, &k)
            _ft_source_unit(q, &k, q.h.out, q.w.out, &s, <vec*> (work + q.at_z) + j * q.unit_x)


cdef void _ft_weight_products(const FtGrid* q, real* work, const real* twiddles, intp tiles, bint first, intp part,
                              intp parts) noexcept nogil:
    """Columns of up to two blocks of outputs: products, their sums over tiles, rows of the sums to R."""
    cdef FtScratch s
    cdef intp panels = _ft_ceil(q.dblocks, 2), units = (q.w.t // 2 + 1) * panels * q.sblocks
    cdef intp i, d, v, b, nv, u, c, o, n, t
    cdef const vec* X
    cdef const vec* Q
    cdef vec* R = <vec*> (work + q.at_r)
    _ft_scratch(q, twiddles, work, part, &s)
    for i in range(units * part // parts, units * (part + 1) // parts):
        v, d, b = i // (panels * q.sblocks), i // q.sblocks % panels * 2, i % q.sblocks
        nv, n = min(<intp> 2, q.dblocks - d), min(<intp> LANES, q.ci - b % q.cib * LANES)
        X = <vec*> (work + q.at_x) + b * q.unit_x + v * q.row_x
        Q = <vec*> (work + q.at_z) + d * q.unit_x + v * q.row_x
        for u in range(q.h.t):
            for t in range(tiles):
                fetch(X + t * q.sblocks * q.unit_x + 2 * u + 8)
                fetch(X + t * q.sblocks * q.unit_x + 2 * u + 9)
                for o in range(nv):
                    fetch(Q + (t * q.dblocks + o) * q.unit_x + 2 * u + 8)
                    fetch(Q + (t * q.dblocks + o) * q.unit_x + 2 * u + 9)
            _ft_multiply(nv, n, <const real*> (X + 2 * u), 1, q.sblocks * q.unit_x * LANES, tiles, 0, q, False,
                         Q + 2 * u, q.dblocks * q.unit_x, q.unit_x, s.p + 2 * u, 2 * q.row_p, q.row_p, True)
        for c in range(n):
            for o in range(nv):
                _ft_column_back(q, s.p + (2 * c + o) * q.row_p, v, q.h.taps, not first, &s,
                                R + ((b // q.cib * q.ci + b % q.cib * LANES + c) * q.dblocks + d + o) * q.unit_r,
                                q.row_r, 2)


cdef void _ft_weight_results(const FtGrid* q, real* dw, real* work, const real* twiddles, intp group, intp part,
                             intp parts) noexcept nogil:
    """A thread's part of the kernels, from their rows in R."""
    cdef FtScratch s
    cdef intp units = q.ci * q.dblocks, i, o, c, l, count
    cdef real* p[16]
    _ft_scratch(q, twiddles, work, part, &s)
    for i in range(units * part // parts, units * (part + 1) // parts):
        c, o = i // q.dblocks, i % q.dblocks * LANES
        count = min(<intp> LANES, q.co - o)
        for l in range(count):
            p[l] = dw + group * q.ci * q.co * q.taps + (o + l) * q.so + c * q.sc
        _ft_kernel_rows_back(q, <vec*> (work + q.at_r) + i * q.unit_r, q.ci * q.dblocks * q.unit_r, &s)
        _ft_store_taps(p, count, q.taps, <const intp*> (q + 1), _ft_scale(q), s.taps)


def fft_tiled_channels_grad_weight(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dw, cnp.ndarray work, cnp.ndarray grid,
                                   cnp.ndarray twiddles, int threads):
    """dw OUT."""
    cdef const FtGrid* q = <const FtGrid*> cnp.PyArray_DATA(grid)
    cdef real* yp = data(dy)
    cdef real* xp = data(x)
    cdef real* wp = data(dw)
    cdef real* kp = data(work)
    cdef real* tp = data(twiddles)
    cdef intp group, tile, tiles
    cdef int t
    for group in range(q.g):
        for tile in range(0, q.tiles, q.tile_block):
            tiles = min(q.tile_block, q.tiles - tile)
            if threads == 1:
                with nogil:
                    _ft_weight_sources(q, xp, yp, kp, tp, group, tile, tiles, 0, 1)
                    _ft_weight_products(q, kp, tp, tiles, tile == 0, 0, 1)
                continue
            for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                _ft_weight_sources(q, xp, yp, kp, tp, group, tile, tiles, t, threads)
            for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                _ft_weight_products(q, kp, tp, tiles, tile == 0, t, threads)
        if threads == 1:
            with nogil:
                _ft_weight_results(q, wp, kp, tp, group, 0, 1)
            continue
        for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
            _ft_weight_results(q, wp, kp, tp, group, t, threads)
