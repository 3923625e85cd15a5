# FFT tiles for groups of few channels: nothing to share between outputs, so lanes are output channels, or tiles of
# one channel. A tile goes through all stages at once; the sums go back to rows in the place of the tile's own rows.


cdef intp _ft_point_lanes(const FftTiles* q, const real* planes, bint source, intp block, intp channel, intp tile,
                          intp phase, FtLanes* k) noexcept nogil:
    """A block of tiles of a channel (of all groups); or of outputs, and the input `channel` of each one's group."""
    cdef intp total = q.tiles if q.lanes_are_tiles else q.g * q.co, l, o
    cdef intp count = min(<intp> LANES, total - block * LANES)
    for l in range(count):
        o = block * LANES + l
        if q.lanes_are_tiles:
            _ft_lane(q, planes, source, channel, o, phase, l, k)
        else:
            _ft_lane(q, planes, source, o // q.co * q.ci + channel if source else o, tile, phase, l, k)
    _ft_bounds(k, count, &q.h.src if source else &q.h.dst, &q.w.src if source else &q.w.dst)
    return count


cdef void _ft_point_kernels(const FftTiles* q, const real* w, intp first, intp step, intp limit, intp c,
                            FtScratch* s, vec* r, intp phase) noexcept nogil:
    """Row transforms of input c of the outputs first, first + step, ... below limit (or, with step 0, of pairs)."""
    cdef const real* p[16]
    cdef intp count = min(<intp> LANES, limit - first), l, o
    for l in range(count):
        o = first + l
        if step == 0:
            o, c = (first + l) // q.ci, (first + l) % q.ci
        p[l] = w + o // q.co * q.ci * q.co * q.taps + o % q.co * q.so + c * q.sc
    _ft_kernel_rows(q, p, count, s, r, phase)


cdef inline void _ft_point_product(const bint scalar, const bint first, intp t, const vec* x, const vec* w,
                                   const real* spectrum, vec* p) noexcept nogil:
    """p (+)= x conj(w)"""
    cdef vec wr, wi, re, im
    cdef intp u
    for u in range(t):
        if scalar:
            wr, wi = vset(spectrum[2 * u]), vset(spectrum[2 * u + 1])
        else:
            wr, wi = w[2 * u], w[2 * u + 1]
        re = x[2 * u] * wr + x[2 * u + 1] * wi
        im = x[2 * u + 1] * wr - x[2 * u] * wi
        if not first:
            re += p[2 * u]
            im += p[2 * u + 1]
        p[2 * u] = re
        p[2 * u + 1] = im


cdef void _ft_point_tile(const FftTiles* q, const vec* spectra, const real* scalars, const intp* range_, FtScratch* s,
                         vec* z) noexcept nogil:
    """All columns of a tile (or LANES of them): the inputs' rows are in s.a, the result's go to z."""
    cdef intp inputs = q.ci * q.h.sp * q.w.sp, columns = q.w.t // 2 + 1, v, k
    cdef vec* x = s.p
    cdef vec* sum = s.p + 2 * q.h.t
    cdef const real* f
    for v in range(columns):
        for k in range(inputs):
            _ft_column(q, s.a + k * q.unit_a, v, range_[2 * k], range_[2 * k + 1], q.h.t, s, x)
            if q.lanes_are_tiles:
                f = scalars + (k * columns + v) * q.h.t * 2
                if k == 0: _ft_point_product(True, True, q.h.t, x, x, f, sum)
                else: _ft_point_product(True, False, q.h.t, x, x, f, sum)
            else:
                _ft_weight_column(q, spectra + k * q.unit_r, v, s, s.w_, 2, 0)
                if k == 0: _ft_point_product(False, True, q.h.t, x, s.w_, scalars, sum)
                else: _ft_point_product(False, False, q.h.t, x, s.w_, scalars, sum)
        _ft_column_back(q, sum, v, q.h.out, False, s, z, q.row_a, 2)


cdef void _ft_point_spectra(const void* args, intp ithr, intp nthr) noexcept nogil:
    """The weights' spectra, a number each: [output][phase of it][input][column][frequency]."""
    cdef const FtCall* f = <const FtCall*> args
    cdef const FftTiles* q = f.q
    cdef FtScratch s
    cdef intp pairs = q.g * q.co * q.ci, blocks = _ft_ceil(pairs, LANES), columns = q.w.t // 2 + 1, i, b, v, u, l, e
    cdef intp sp = q.h.sp * q.w.sp, dp = q.h.dp * q.w.dp
    cdef real* to
    _ft_scratch(f, ithr, &s)
    memset(s.taps, 0, q.kernel * LANES * sizeof(real))
    for i in range(split(blocks, ithr, nthr), split(blocks, ithr + 1, nthr)):
        _ft_point_kernels(q, f.w, i * LANES, 0, pairs, 0, &s, s.r, q.unit_r)
        for b in range(sp * dp):
            for v in range(columns):
                _ft_weight_column(q, s.r + b * q.unit_r, v, &s, s.w_, 2, 0)
                for l in range(min(<intp> LANES, pairs - i * LANES)):
                    e = i * LANES + l
                    e = (e // q.ci * sp * dp + b) * q.ci + e % q.ci
                    to = f.work + q.kernels + (e * columns + v) * q.h.t * 2
                    for u in range(2 * q.h.t):
                        to[u] = (<real*> (s.w_ + u))[l]


cdef void _ft_points(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Tiles, through all stages."""
    cdef const FtCall* f = <const FtCall*> args
    cdef const FftTiles* q = f.q
    cdef FtScratch s
    cdef FtLanes k, more
    cdef FtAfter e = _ft_after(f, &more)
    cdef intp inputs = q.ci * q.h.sp * q.w.sp, phases = q.h.dp * q.w.dp, columns = q.w.t // 2 + 1
    cdef intp blocks = _ft_ceil(q.tiles if q.lanes_are_tiles else q.g * q.co, LANES)
    cdef intp items = q.g * blocks if q.lanes_are_tiles else blocks * phases * q.tiles
    cdef intp i, j, o, block, group, tile, count, done = -1, outputs = q.co * phases if q.lanes_are_tiles else 1
    cdef intp range_[2 * 64]
    cdef vec* z
    _ft_scratch(f, ithr, &s)
    z = s.a + (inputs * q.unit_a if outputs > 1 else 0)
    if not q.lanes_are_tiles:
        memset(s.taps, 0, q.kernel * LANES * sizeof(real))
    for i in range(split(items, ithr, nthr), split(items, ithr + 1, nthr)):
        if q.lanes_are_tiles:
            group, block, tile, o = i // blocks, i % blocks, 0, 0
        else:
            group, tile, o, block = 0, i % q.tiles, i // q.tiles % phases, i // (q.tiles * phases)
            if block != done:
                for j in range(q.ci):
                    _ft_point_kernels(q, f.w, block * LANES, 1, q.g * q.co, j, &s, s.r + j * q.unit_r, q.ci * q.unit_r)
                done = block
        for j in range(inputs):
            _ft_point_lanes(q, f.x, True, block, group * q.ci * q.lanes_are_tiles + j % q.ci, tile, j // q.ci, &k)
            _ft_rows(q, &k, q.h.t, q.w.t, &s, s.a + j * q.unit_a, range_ + 2 * j, range_ + 2 * j + 1)
        for o in range(o, o + outputs):  # a phase of all lanes, or an output and its phase
            _ft_point_tile(q, s.r + o * q.ci * q.unit_r,
                           f.work + q.kernels + (group * outputs + o) * inputs * columns * 2 * q.h.t, range_, &s, z)
            count = _ft_point_lanes(q, f.y, False, block, group * q.co + o // phases, tile, o % phases, &k)
            if f.residual != NULL:
                _ft_point_lanes(q, f.residual, False, block, group * q.co + o // phases, tile, o % phases, &more)
            if f.bias != NULL:
                if q.lanes_are_tiles: e.bias = vset(f.bias[group * q.co + o // phases])
                else: e.bias = vload_part(f.bias + block * LANES, <int> count)
            _ft_rows_back(q, z, q.row_a, &k, &e, &s)


def fft_tiled_points(cnp.ndarray x, cnp.ndarray w, cnp.ndarray bias, cnp.ndarray residual, cnp.ndarray y,
                     cnp.ndarray work, cnp.ndarray q, cnp.ndarray place, cnp.ndarray twiddles, int activation,
                     int threads):
    """y OUT; bias and residual may be empty."""
    cdef FtCall f = _ft_call(work, q, place, twiddles)
    _ft_call_forward(&f, x, w, bias, residual, y, activation)
    with nogil:
        if f.q.lanes_are_tiles:
            launch(_ft_point_spectra, &f, threads)
        launch(_ft_points, &f, threads)


cdef void _ft_point_sums(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Products of dy and x, summed over runs of tiles; rows of the sums, [run][unit][phase]."""
    cdef const FtCall* f = <const FtCall*> args
    cdef const FftTiles* q = f.q
    cdef FtScratch s
    cdef FtLanes k
    cdef intp phases = q.h.sp * q.w.sp, columns = q.w.t // 2 + 1, lanes = 1 if q.lanes_are_tiles else LANES
    cdef intp units = _ft_ceil(q.g * q.co, lanes) * q.ci
    cdef intp blocks = _ft_ceil(q.tiles, LANES) if q.lanes_are_tiles else q.tiles
    cdef intp i, j, b, v, unit, o, c, first, stop
    cdef intp range_[2 * 65]
    cdef vec* dy_rows
    cdef vec* sum
    _ft_scratch(f, ithr, &s)
    dy_rows = s.a + phases * q.unit_a
    for i in range(split(units * q.parts, ithr, nthr), split(units * q.parts, ithr + 1, nthr)):
        unit = i % units
        o, c = unit // q.ci, unit % q.ci  # an output, or a block of them
        first, stop = blocks * (i // units) // q.parts, blocks * (i // units + 1) // q.parts
        for j in range(first, stop):
            for b in range(phases):
                if q.lanes_are_tiles: _ft_point_lanes(q, f.x, True, j, o // q.co * q.ci + c, 0, b, &k)
                else: _ft_point_lanes(q, f.x, True, o, c, j, b, &k)
                _ft_rows(q, &k, q.h.t, q.w.t, &s, s.a + b * q.unit_a, range_ + 2 * b, range_ + 2 * b + 1)
            if q.lanes_are_tiles: _ft_point_lanes(q, f.dy, False, j, o, 0, 0, &k)
            else: _ft_point_lanes(q, f.dy, False, o, 0, j, 0, &k)
            _ft_rows(q, &k, q.h.out, q.w.out, &s, dy_rows, range_ + 2 * phases, range_ + 2 * phases + 1)
            for v in range(columns):
                _ft_column(q, dy_rows, v, range_[2 * phases], range_[2 * phases + 1], q.h.out, &s, s.w_)
                for b in range(phases):
                    sum = s.sums + (b * columns + v) * 2 * q.h.t if stop - first > 1 else s.p + 2 * q.h.t
                    _ft_column(q, s.a + b * q.unit_a, v, range_[2 * b], range_[2 * b + 1], q.h.t, &s, s.p)
                    if j == first: _ft_point_product(False, True, q.h.t, s.p, s.w_, f.twiddles, sum)
                    else: _ft_point_product(False, False, q.h.t, s.p, s.w_, f.twiddles, sum)
                    if j == stop - 1:
                        _ft_column_back(q, sum, v, q.h.taps, False, &s,
                                        f.kernels + (i * phases + b) * q.unit_r, q.row_r, 2)


cdef void _ft_point_results(const void* args, intp ithr, intp nthr) noexcept nogil:
    """The kernels: the runs' sums, in their order, transformed back."""
    cdef const FtCall* f = <const FtCall*> args
    cdef const FftTiles* q = f.q
    cdef FtScratch s
    cdef intp phases = q.h.sp * q.w.sp, lanes = 1 if q.lanes_are_tiles else LANES, size = phases * q.unit_r
    cdef intp units = _ft_ceil(q.g * q.co, lanes) * q.ci, i, j, e, o, l, count, t
    cdef real* p[16]
    cdef vec* r
    _ft_scratch(f, ithr, &s)
    for i in range(split(units, ithr, nthr), split(units, ithr + 1, nthr)):
        r = f.kernels + i * size
        for j in range(1, q.parts):
            for e in range(size):
                r[e] += r[j * units * size + e]
        o = i // q.ci * lanes
        count = min(lanes, q.g * q.co - o)
        for l in range(count):
            p[l] = f.y + (o + l) // q.co * q.ci * q.co * q.taps + (o + l) % q.co * q.so + i % q.ci * q.sc
        _ft_kernel_rows_back(q, r, q.unit_r, &s)
        if q.lanes_are_tiles:
            for t in range(q.taps):
                p[0][t] = vsum(s.taps[s.place[t]]) * _ft_scale(q)
        else:
            _ft_store_taps(p, count, q.taps, s.place, _ft_scale(q), s.taps)


def fft_tiled_points_grad_weight(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dw, cnp.ndarray work, cnp.ndarray q,
                                 cnp.ndarray place, cnp.ndarray twiddles, int threads):
    """dw OUT."""
    cdef FtCall f = _ft_call(work, q, place, twiddles)
    f.dy, f.x, f.y = data(dy), data(x), data(dw)
    with nogil:
        launch(_ft_point_sums, &f, threads)
        launch(_ft_point_results, &f, threads)
