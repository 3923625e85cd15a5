# FFT tiles: sizes, and the way between planes of pixels and tiles of LANES planes side by side. A lane is a plane and
# the place of the tile in it; what lies outside the plane is zero. Two rows make one complex signal.

cdef struct FtLanes:
    real* plane[16]
    intp y[16]
    intp x[16]
    intp top[16]  # rows and columns of the tile that lie inside the plane: from, to
    intp bottom[16]
    intp left[16]
    intp right[16]
    intp count, step_h, step_w, width
    intp beside  # numbers of a pixel if lanes lie side by side: channels last, the same tile in all lanes; else 0
    intp first, last  # rows inside for any lane
    intp top_all, bottom_all, left_all, right_all, right_any


cdef inline intp _ft_ceil(intp a, intp b) noexcept nogil:
    return -((-a) // b) if a < 0 else (a + b - 1) // b  # C division rounds to zero


cdef inline intp _ft_first_pixel(const FftAxis* k, const FftSide* side, intp tile, intp image,
                                  intp phase) noexcept nogil:
    return side.step * tile * k.out + side.image * image + side.phase * phase + side.start


cdef void _ft_bounds(FtLanes* k, intp count, const FftSide* h, const FftSide* w) noexcept nogil:
    """Which rows and columns of a tile lie inside the planes."""
    cdef intp l
    k.count, k.width, k.step_h, k.step_w = count, w.size, h.step, w.step
    k.first = k.right_all = k.bottom_all = <intp> 1 << 62
    k.last = k.top_all = k.left_all = k.right_any = 0
    for l in range(count):
        k.top[l] = max(0, _ft_ceil(-k.y[l], k.step_h))
        k.bottom[l] = max(0, _ft_ceil(h.size - k.y[l], k.step_h))
        k.left[l] = max(0, _ft_ceil(-k.x[l], k.step_w))
        k.right[l] = max(0, _ft_ceil(k.width - k.x[l], k.step_w))
        k.first = min(k.first, k.top[l])
        k.last = max(k.last, k.bottom[l])
        k.top_all = max(k.top_all, k.top[l])
        k.bottom_all = min(k.bottom_all, k.bottom[l])
        k.left_all = max(k.left_all, k.left[l])
        k.right_all = min(k.right_all, k.right[l])
        k.right_any = max(k.right_any, k.right[l])


cdef void _ft_load_edge(const FtLanes* k, intp r, intp j, vec* m) noexcept nogil:
    """Pixels j .. j + LANES of row r where some lie outside, or not side by side."""
    cdef real some[16]
    cdef const real* p
    cdef intp l, a, b, i
    for l in range(LANES):
        m[l] = vzero()
        if l < k.count and k.top[l] <= r < k.bottom[l]:
            a, b = max(0, k.left[l] - j), min(<intp> LANES, k.right[l] - j)
            if a < b:
                p = k.plane[l] + (k.y[l] + r * k.step_h) * k.width + k.x[l] + j * k.step_w
                if k.step_w == 1:
                    m[l] = vload_range(p, <int> a, <int> b)
                else:
                    for i in range(LANES):
                        some[i] = p[i * k.step_w] if a <= i < b else 0
                    m[l] = vload(some)


cdef inline real* _ft_beside(const FtLanes* k, intp r, intp j) noexcept nogil:
    """The lanes' pixel j of row r."""
    return k.plane[0] + ((k.y[0] + r * k.step_h) * k.width + k.x[0] + j * k.step_w) * k.beside


cdef void _ft_load_row(const FtLanes* k, intp r, intp columns, vec* row) noexcept nogil:
    """row[2 * j] = pixel j of row r in all planes; whole vectors of pixels are written, but for neighbours."""
    cdef vec m[LANES]
    cdef intp j, l, i
    if r < k.first or r >= k.last:
        for j in range(_ft_ceil(columns, LANES) * LANES):
            row[2 * j] = vzero()
        return
    if k.beside:
        for j in range(columns):
            if not k.left_all <= j < k.right_all: row[2 * j] = vzero()
            elif k.count == LANES: row[2 * j] = vload(_ft_beside(k, r, j))
            else: row[2 * j] = vload_part(_ft_beside(k, r, j), <int> k.count)
        return
    for i in range(_ft_ceil(columns, LANES)):
        j = i * LANES
        if k.step_w == 1 and k.top_all <= r < k.bottom_all and k.left_all <= j and j + LANES <= k.right_all:
            if k.count == LANES:
                for l in range(LANES):
                    m[l] = vload(k.plane[l] + (k.y[l] + r * k.step_h) * k.width + k.x[l] + j)
            else:
                for l in range(LANES):
                    m[l] = vzero()
                    if l < k.count:
                        m[l] = vload(k.plane[l] + (k.y[l] + r * k.step_h) * k.width + k.x[l] + j)
        else:
            _ft_load_edge(k, r, j, m)
        vtranspose(m)
        for l in range(LANES):
            row[2 * (j + l)] = m[l]


cdef void _ft_store_row(const FtLanes* k, intp r, intp columns, const vec* row) noexcept nogil:
    """Pixels of row r to all planes that have them; whole vectors of pixels are read."""
    cdef vec m[LANES]
    cdef real some[16]
    cdef real* p
    cdef intp j, l, i, a, b, e
    if r < k.first or r >= k.last:
        return
    if k.beside:
        for j in range(k.left_all, min(k.right_all, columns)):
            if k.count == LANES: vstore(_ft_beside(k, r, j), row[2 * j])
            else: vstore_part(_ft_beside(k, r, j), row[2 * j], <int> k.count)
        return
    for i in range(_ft_ceil(columns, LANES)):
        j = i * LANES
        for l in range(LANES):
            m[l] = row[2 * (j + l)]
        vtranspose(m)
        for l in range(k.count):
            if not k.top[l] <= r < k.bottom[l]:
                continue
            a, b = max(0, k.left[l] - j), min(<intp> LANES, min(k.right[l], columns) - j)
            if a >= b:
                continue
            p = k.plane[l] + (k.y[l] + r * k.step_h) * k.width + k.x[l] + j * k.step_w
            if k.step_w != 1:
                vstore(some, m[l])
                for e in range(a, b):
                    p[e * k.step_w] = some[e]
            elif b - a == LANES:
                vstore(p, m[l])
            else:
                vstore_range(p, m[l], <int> a, <int> b)


cdef inline void _ft_clear(vec* a, intp count) noexcept nogil:
    cdef intp i
    for i in range(count):
        a[i] = vzero()


cdef inline void _ft_separate(const vec* p, const vec* n, intp first, intp pairs, intp ahead,
                              vec* column) noexcept nogil:
    """Rows of column v from those of columns v and -v of the complex signals (all times two).

    What lies `ahead` is wanted next.
    """
    cdef intp j
    for j in range(first):
        column[4 * j] = column[4 * j + 1] = column[4 * j + 2] = column[4 * j + 3] = vzero()
    for j in range(first, pairs):
        if ahead:
            fetch(p + 2 * j + ahead)
            fetch(p + 2 * j + 1 + ahead)
            fetch(n + 2 * j + ahead)
            fetch(n + 2 * j + 1 + ahead)
        column[4 * j] = p[2 * j] + n[2 * j]
        column[4 * j + 1] = p[2 * j + 1] - n[2 * j + 1]
        column[4 * j + 2] = p[2 * j + 1] + n[2 * j + 1]
        column[4 * j + 3] = n[2 * j] - p[2 * j]


cdef inline void _ft_put(vec* z, vec re, vec im, bint add) noexcept nogil:
    if add:
        re += z[0]
        im += z[1]
    z[0] = re
    z[1] = im


cdef inline void _ft_join(const vec* column, intp rows, bint alone, bint add, vec* p, vec* n,
                          intp step) noexcept nogil:
    """The reverse; a column that is its own counterpart is real."""
    cdef vec br, bi
    cdef intp j
    for j in range(_ft_ceil(rows, 2)):
        br, bi = vzero(), vzero()
        if 2 * j + 1 < rows:
            br, bi = column[4 * j + 2], column[4 * j + 3]
        if alone:
            _ft_put(p + j * step, column[4 * j], br, add)
        else:
            _ft_put(p + j * step, column[4 * j] - bi, column[4 * j + 1] + br, add)
            _ft_put(n + j * step, column[4 * j] + bi, br - column[4 * j + 1], add)


cdef struct FtCall:  # what all shares of a step know
    const FftTiles* q
    const intp* place  # of taps in the array of phases
    const real* twiddles
    const real* x
    const real* dy
    const real* w
    const real* bias  # or NULL, as the residual
    const real* residual
    int code  # of the activation
    real* y  # or dw
    real* work
    vec* kernels  # row transforms of the weights
    intp group, tile, tiles  # group; its tiles in work
    intp block, blocks, made  # vectors of outputs in work; of outputs whose weights are transformed with the tiles


cdef FtCall _ft_call(cnp.ndarray work, cnp.ndarray q, cnp.ndarray place, cnp.ndarray twiddles) except *:
    """The rest is filled in by the step."""
    cdef FtCall f
    memset(&f, 0, sizeof(f))
    f.q = read_FftTiles(q)
    if f.q.lanes != LANES:
        raise ValueError(f"q must be for vectors of {LANES} numbers, got {f.q.lanes}")
    f.place, f.twiddles, f.work = <const intp*> cnp.PyArray_DATA(place), data(twiddles), data(work)
    f.kernels = <vec*> (f.work + f.q.kernels)
    return f


cdef struct FtScratch:  # what a share has of its own
    FtTransform h, w, mh, mw
    const intp* place
    vec* row
    vec* column
    vec* kernel  # a column of one; zero from its rows on
    vec* y
    vec* a
    vec* taps
    vec* w_
    vec* p
    vec* r
    vec* sums
    vec* residual


cdef void _ft_scratch(const FtCall* f, intp ithr, FtScratch* s) noexcept nogil:
    cdef const FftTiles* q = f.q
    cdef real* own = f.work + q.own + ithr * q.per_thread
    s.h = FtTransform(q.h.n1, q.h.n2, f.twiddles + q.twiddle_h)
    s.w = FtTransform(q.w.n1, q.w.n2, f.twiddles + q.twiddle_w)
    s.mh = FtTransform(q.h.m1, q.h.m2, f.twiddles + q.twiddle_mh)
    s.mw = FtTransform(q.w.m1, q.w.m2, f.twiddles + q.twiddle_mw)
    s.place = f.place
    s.row = <vec*> (own + q.own_row)
    s.column = <vec*> (own + q.own_column)
    s.kernel = s.column + 2 * q.h.t + 4
    _ft_clear(s.kernel, 2 * q.h.t)
    s.y = <vec*> (own + q.own_pass)
    s.a = <vec*> (own + q.own_rows)
    s.taps = <vec*> (own + q.own_taps)
    s.w_ = <vec*> (own + q.own_weights)
    s.p = <vec*> (own + q.own_products)
    s.r = <vec*> (own + q.own_kernels)
    s.sums = <vec*> (own + q.own_sums)
    s.residual = <vec*> (own + q.own_residual)


cdef void _ft_rows(const FftTiles* q, const FtLanes* k, intp rows, intp columns, FtScratch* s, vec* a, intp* first,
                   intp* pairs) noexcept nogil:
    """Row transforms of the tile: a[frequency][pair of rows], pairs `first` to `pairs`; others are zero."""
    cdef intp j, count = min(columns, k.right_any)
    first[0] = min(k.first, rows) // 2
    pairs[0] = _ft_ceil(min(k.last, rows), 2)
    if count <= 0 or pairs[0] <= first[0]:
        first[0] = pairs[0] = 0
        return
    for j in range(first[0], pairs[0]):
        _ft_load_row(k, 2 * j, count, s.row)
        _ft_load_row(k, 2 * j + 1 if 2 * j + 1 < rows else k.last, count, s.row + 1)
        _ft_clear(s.row + 2 * count, 2 * (_ft_reach(&s.w, count) - count))  # whole vectors were loaded
        _ft_transform(&s.w, s.row, s.row + 1, 2, count, a + 2 * j, a + 2 * j + 1, q.row_a, q.w.t, s.y, 2)


cdef inline void _ft_column(const FftTiles* q, const vec* a, intp v, intp first, intp pairs, intp rows,
                            FtScratch* s, vec* x) noexcept nogil:
    """Transform of column v: x[frequency] complex."""
    cdef intp count = min(rows, 2 * pairs)
    _ft_separate(a + v * q.row_a, a + (q.w.t - v if v else 0) * q.row_a, first, pairs, 0, s.column)
    _ft_clear(s.column + 2 * count, 2 * (_ft_reach(&s.h, count) - count))
    _ft_transform(&s.h, s.column, s.column + 1, 2, count, x, x + 1, 2, q.h.t, s.y, q.row_x)


cdef inline void _ft_column_back(const FftTiles* q, const vec* x, intp v, intp rows, bint add, FtScratch* s, vec* z,
                                 intp column, intp row) noexcept nogil:
    """Rows of column v, and of its counterpart, from its frequencies; `column` and `row` vectors to the next."""
    _ft_transform(&s.h, x + 1, x, 2, q.h.t, s.column + 1, s.column, 2, rows, s.y, 0)
    _ft_join(s.column, rows, v == 0 or 2 * v == q.w.t, add, z + v * column, z + (q.w.t - v) * column, row)


cdef void _ft_load_taps(const real** w, intp rows, intp count, const intp* place, real scale,
                        vec* taps) noexcept nogil:
    """Kernels of up to LANES lanes: taps[place[t]] = tap t."""
    cdef vec m[LANES]
    cdef vec f = vset(scale)
    cdef intp i, t, l, n
    for i in range(_ft_ceil(count, LANES)):
        t = i * LANES
        n = min(<intp> LANES, count - t)
        if n == LANES and rows == LANES:
            for l in range(LANES):
                m[l] = vload(w[l] + t) * f
                fetch_l2(w[l] + t + 8 * LANES)
            vtranspose(m)
            for l in range(LANES):
                taps[place[t + l]] = m[l]
            continue
        for l in range(LANES):
            m[l] = vload_part(w[l] + t, <int> n) * f if l < rows else vzero()
        vtranspose(m)
        for l in range(n):
            taps[place[t + l]] = m[l]


cdef void _ft_store_taps(real** w, intp rows, intp count, const intp* place, real scale,
                         const vec* taps) noexcept nogil:
    cdef vec m[LANES]
    cdef vec f = vset(scale)
    cdef intp i, t, l, n
    for i in range(_ft_ceil(count, LANES)):
        t = i * LANES
        n = min(<intp> LANES, count - t)
        for l in range(LANES):
            m[l] = taps[place[t + l]] * f if l < n else vzero()
        vtranspose(m)
        for l in range(rows):
            vstore_part(w[l] + t, m[l], <int> n)


cdef inline real _ft_scale(const FftTiles* q) noexcept nogil:
    """Of transforms there and back, and of factors that were doubled."""
    return <real> 0.25 / <real> (q.h.t * q.w.t)


cdef void _ft_kernel_rows(const FftTiles* q, const real** w, intp count, FtScratch* s, vec* r,
                          intp step) noexcept nogil:
    """Row transforms of the kernels of up to LANES lanes: r[column][pair of rows]; `step` between phases."""
    cdef intp phases = q.h.sp * q.w.sp * q.h.dp * q.w.dp, pairs = _ft_ceil(q.h.taps, 2), b, j
    cdef const vec* t = s.taps
    cdef vec* o
    _ft_load_taps(w, count, q.taps, s.place, _ft_scale(q), s.taps)
    for b in range(phases):
        for j in range(pairs):
            o = r + b * step + 2 * j
            _ft_transform(&s.mw, t, t + q.row_k, 1, q.w.taps, o, o + 1, q.row_r, q.w.t, s.y, 2)
            t += 2 * q.row_k


cdef void _ft_kernel_rows_back(const FftTiles* q, const vec* r, intp step, FtScratch* s) noexcept nogil:
    """The reverse, to s.taps; not scaled."""
    cdef intp phases = q.h.sp * q.w.sp, pairs = _ft_ceil(q.h.taps, 2), b, j
    cdef const vec* p
    cdef vec* t = s.taps
    for b in range(phases):
        for j in range(pairs):
            p = r + b * step + 2 * j
            _ft_transform(&s.w, p + 1, p, q.row_r, q.w.t, t + q.row_k, t, 1, q.w.taps, s.y, 0)
            t += 2 * q.row_k


cdef inline void _ft_weight_column(const FftTiles* q, const vec* r, intp v, FtScratch* s, vec* w,
                                   intp out, intp ahead) noexcept nogil:
    """Transform of column v of kernels, from those of their rows."""
    cdef intp pairs = _ft_ceil(q.h.taps, 2)
    _ft_separate(r + v * q.row_r, r + (q.w.t - v if v else 0) * q.row_r, 0, pairs, ahead, s.kernel)
    _ft_clear(s.kernel + 2 * q.h.taps, 4 * pairs - 2 * q.h.taps)
    _ft_transform(&s.mh, s.kernel, s.kernel + 1, 2, q.h.taps, w, w + 1, out, q.h.t, s.y, 0)


cdef void _ft_lane(const FftTiles* q, const real* planes, bint source, intp channel, intp tile, intp phase, intp l,
                   FtLanes* k) noexcept nogil:
    """Lane l is a tile of a channel (of all groups), in the source or destination planes."""
    cdef const FftSide* h = &q.h.src if source else &q.h.dst
    cdef const FftSide* w = &q.w.src if source else &q.w.dst
    cdef intp channels = q.g * (q.ci if source else q.co), wide = q.w.sp if source else q.w.dp
    cdef intp a = tile // (q.w.tiles * q.h.tiles), image = a // (q.h.images * q.w.images)
    k.beside = channels if (q.src_last if source else q.dst_last) else 0
    k.plane[l] = <real*> planes + image * channels * h.size * w.size + channel * (1 if k.beside else h.size * w.size)
    k.y[l] = _ft_first_pixel(&q.h, h, tile // q.w.tiles % q.h.tiles, a // q.w.images % q.h.images, phase // wide)
    k.x[l] = _ft_first_pixel(&q.w, w, tile % q.w.tiles, a % q.w.images, phase % wide)
