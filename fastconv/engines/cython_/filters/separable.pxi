# Image filters whose kernel is a column times a row: column sums of a few rows, which stay in cache, then sums along
# those rows.
#
# Along the rows of a narrow kernel vectors move on in registers; of a wide one lanes = rows: blocks of LANES x LANES
# are transposed, so that every load is aligned. Images of bytes are read by the first sums and written by the second.


cdef inline void _filter_along(const real* lines, const real* w, intp n, intp step, const int yk, char* y,
                               intp ys) noexcept nogil:
    """y OUT of kind yk: LANES columns of LANES rows at distance ys; n taps, `step` columns apart."""
    cdef vec a[16]
    cdef int o
    cdef intp k
    cdef vec b, zero = filter_held(vzero())
    for o in range(LANES):
        a[o] = zero
    for k in range(n):
        b = vset(w[k])
        for o in range(LANES):
            a[o] += filter_product(b, vload(lines + o * LANES))
        lines += step * LANES
    vtranspose(a)
    for o in range(LANES):
        filter_put(yk, y, o * ys, a[o])


cdef inline void _filter_slide(const int V, const int step, const int yk, const real* p, const real* w, intp n,
                               char* y) noexcept nogil:
    """V vectors of y OUT: sums of n taps that lie 1 or 3 numbers apart. A vector behind the last one is read.

    What is loaded moves on in registers: loads that straddle cache lines take longer.
    """
    cdef vec a[8]
    cdef vec x[9]
    cdef vec b, zero = filter_held(vzero())
    cdef int j
    for j in range(V):
        a[j] = zero
        x[j] = vload(p + j * LANES)
    while True:
        b = vset(w[0])
        for j in range(V):
            a[j] += filter_product(b, x[j])
        n -= 1
        if n == 0:
            break
        x[V] = vload(p + V * LANES)
        for j in range(V):
            x[j] = vslide1(x[j], x[j + 1]) if step == 1 else vslide3(x[j], x[j + 1])
        w += 1
        p += step
    for j in range(V):
        filter_put(yk, y, j * LANES, a[j])


cdef void _filter_slides(const filter_weights* f, int yk, const real* line, char* y, intp width,
                         real* tile) noexcept nogil:
    """A row of results from a row of column sums."""
    cdef intp at = 0, step = FILTER_FLAT * LANES
    cdef const real* p
    cdef char* to
    while at < width:
        p, to = line + at, <char*> filter_number(yk, y, at) if at + step <= width else <char*> tile
        if f.c == 1:
            if sizeof(real) == 4 and yk == FILTER_U8: _filter_slide(FILTER_FLAT, 1, FILTER_U8, p, f.w, f.kw, to)
            else: _filter_slide(FILTER_FLAT, 1, FILTER_REAL, p, f.w, f.kw, to)
        elif sizeof(real) == 4 and yk == FILTER_U8: _filter_slide(FILTER_FLAT, 3, FILTER_U8, p, f.w, f.kw, to)
        else: _filter_slide(FILTER_FLAT, 3, FILTER_REAL, p, f.w, f.kw, to)
        if to == <char*> tile:
            memcpy(<char*> filter_number(yk, y, at), to, (width - at) * filter_size(yk))
        at += step


cdef void _filter_wide(const FilterPicture* f, const FilterSources* s, int yk, char* y, intp ys, intp width,
                       real* work) noexcept nogil:
    """FILTER_GROUP rows of y OUT; `width` is a multiple of LANES where y is the image. Column sums run ahead."""
    cdef int R = _filter_height(f.q.kh), kind
    cdef intp step = FILTER_CHUNK * LANES, reach = (f.q.kw - 1) * f.c, done = 0, at = 0, r
    cdef real* sums = work + f.q.sums
    cdef real* lines = work + f.q.lines
    cdef const real* p
    cdef const char** rows
    cdef char* to
    while at < width:
        rows = s.rows if s.a <= done < s.b else s.edge
        kind = s.kind if s.a <= done < s.b else FILTER_REAL
        r = 0
        while r < FILTER_GROUP:
            r = min(r, FILTER_GROUP - R)
            to = <char*> (sums + r * step)
            _filter_blocks(R, False, kind, FILTER_REAL, rows + r, done, &f.down, to, step, step, work + f.q.block)
            r += R
        r = 0
        while r < FILTER_GROUP:
            planes_to_lanes(True, sums + r * step, step, LANES, 1, step, lines + r * f.q.pitch + done * LANES, LANES, 0)
            r += LANES
        done += step
        while at < width and at + reach + LANES <= done:
            r = 0
            while r < FILTER_GROUP:
                p, to = lines + r * f.q.pitch + at * LANES, <char*> filter_number(yk, y, r * ys + at)
                if sizeof(real) == 4 and yk == FILTER_U8: _filter_along(p, f.along.w, f.q.kw, f.c, FILTER_U8, to, ys)
                else: _filter_along(p, f.along.w, f.q.kw, f.c, FILTER_REAL, to, ys)
                r += LANES
            at += LANES


cdef void _filter_both(const FilterPicture* f, intp task, real* work) noexcept nogil:
    cdef FilterStrip t = _filter_strip(f, task)
    cdef bint wide = f.q.lines != 0, straight
    cdef int R = _filter_height(f.q.kh), yk
    cdef intp G = FILTER_GROUP if wide else R, reach = (f.q.kw - 1) * f.c, i = t.i, r, ys
    cdef intp step = FILTER_CHUNK * LANES if wide else _filter_step(R)
    cdef real* sums = work + f.q.sums
    cdef real* results = work + f.q.results
    cdef real* block = work + f.q.block
    cdef char* y
    cdef char* to
    cdef const char* line
    cdef FilterSources s = _filter_sources(f, &t, True, work, f.q.kh - 1 + G, t.width + reach, 0, step)
    while i < t.end:
        _filter_fill(&s, f, &t, i, 0)
        straight = f.yk == FILTER_REAL or f.yk == FILTER_U8 and sizeof(real) == 4       # into the image
        if wide and (i + G > t.end or t.width % LANES != 0):
            straight = False
        yk = f.yk if straight else FILTER_REAL
        y = <char*> filter_number(yk, f.y, (i * f.ow + t.q0) * f.c) if straight else <char*> results
        ys = f.ow * f.c if straight else f.q.pitch
        if wide:
            _filter_wide(f, &s, yk, y, ys, t.width, work)
        else:
            _filter_pieces(R, False, &s, &f.down, sums, f.q.pitch, t.width + reach, block)
            for r in range(min(G, t.end - i)):
                line, to = <const char*> (sums + r * f.q.pitch), <char*> filter_number(yk, y, r * ys)
                if VBYTES == 64 and (f.c == 1 or f.c == 3):
                    _filter_slides(&f.along, yk, <const real*> line, to, t.width, block)
                else:
                    _filter_blocks(1, False, FILTER_REAL, yk, &line, 0, &f.along, to, ys, t.width, block)
        if not straight:
            for r in range(min(G, t.end - i)):
                _filter_write(f.yk, results + r * f.q.pitch, f.y, ((i + r) * f.ow + t.q0) * f.c, t.width)
        i += G


def filter_separable(cnp.ndarray x, cnp.ndarray column, cnp.ndarray row, cnp.ndarray y, cnp.ndarray rows,
                     cnp.ndarray cols, double cval, cnp.ndarray work, cnp.ndarray q, int threads):
    """y[i, j, c] = sum over b of row[b] sum over a of column[kh - 1 - a] x[rows[i + a], cols[j + b], c]."""
    cdef FilterPicture f = _filter_picture(x, y, rows, cols, cval, work, q)
    f.down.w, f.along.w, f.down.kw = data(column), data(row), 1
    with nogil:
        _filter_launch(&f, _filter_both, _filter_tasks(&f), threads)
