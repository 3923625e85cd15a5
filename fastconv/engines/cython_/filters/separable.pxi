# Image filters whose kernel is a column times a row: column sums of a few rows, which stay in cache, then sums along
# those rows.
#
# Along the rows of a narrow kernel vectors move on in registers; of a wide one lanes = rows: blocks of LANES x LANES
# are transposed, so that every load is aligned. Images of bytes are read by the first sums and written by the second.


cdef inline void _filter_lines(const real* s, intp pitch, real* lines) noexcept nogil:
    """lines OUT [LANES columns][LANES rows] of a block of rows `pitch` apart."""
    cdef vec a[16]
    cdef int o
    for o in range(LANES):
        a[o] = vload(s + o * pitch)
    vtranspose(a)
    for o in range(LANES):
        vstore(lines + o * LANES, a[o])


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
        _put(yk, y, o * ys, a[o])


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
        _put(yk, y, j * LANES, a[j])


cdef void _filter_slides(const FilterPicture* f, int yk, const real* line, const real* w, char* y, intp width,
                         real* tile) noexcept nogil:
    """A row of results from a row of column sums."""
    cdef intp at = 0, step = FILTER_FLAT * LANES
    cdef char* to
    while at < width:
        to = <char*> _number(yk, y, at) if at + step <= width else <char*> tile
        if f.c == 1:
            if sizeof(real) == 4 and yk == FILTER_U8: _filter_slide(FILTER_FLAT, 1, FILTER_U8, line + at, w, f.kw, to)
            else: _filter_slide(FILTER_FLAT, 1, FILTER_REAL, line + at, w, f.kw, to)
        elif sizeof(real) == 4 and yk == FILTER_U8: _filter_slide(FILTER_FLAT, 3, FILTER_U8, line + at, w, f.kw, to)
        else: _filter_slide(FILTER_FLAT, 3, FILTER_REAL, line + at, w, f.kw, to)
        if to == <char*> tile:
            memcpy(<char*> _number(yk, y, at), to, (width - at) * _size_of(yk))
        at += step


cdef void _filter_wide(const FilterPicture* f, const FilterPicture* down, const Sources* s, const real* column, const real* row,
                       int yk, char* y, intp ys, intp width, real* sums, real* lines, real* tile) noexcept nogil:
    """FILTER_GROUP rows of y OUT; `width` is a multiple of LANES where y is the image. Column sums run ahead."""
    cdef int R = _filter_height(f.kh), kind
    cdef intp step = FILTER_CHUNK * LANES, reach = (f.kw - 1) * f.c, done = 0, at = 0, r, j
    cdef const char** rows
    cdef char* to
    while at < width:
        rows = s.rows if s.a <= done < s.b else s.edge
        kind = s.kind if s.a <= done < s.b else FILTER_REAL
        r = 0
        while r < FILTER_GROUP:
            r = min(r, FILTER_GROUP - R)
            to = <char*> (sums + r * step)
            _filter_blocks(R, False, kind, FILTER_REAL, rows + r, done, column, down, to, step, step, tile)
            r += R
        r = 0
        while r < FILTER_GROUP:
            for j in range(FILTER_CHUNK):
                _filter_lines(sums + r * step + j * LANES, step, lines + r * f.pitch + (done + j * LANES) * LANES)
            r += LANES
        done += step
        while at < width and at + reach + LANES <= done:
            r = 0
            while r < FILTER_GROUP:
                to = <char*> _number(yk, y, r * ys + at)
                if sizeof(real) == 4 and yk == FILTER_U8:
                    _filter_along(lines + r * f.pitch + at * LANES, row, f.kw, f.c, FILTER_U8, to, ys)
                else:
                    _filter_along(lines + r * f.pitch + at * LANES, row, f.kw, f.c, FILTER_REAL, to, ys)
                r += LANES
            at += LANES


cdef void _filter_both(const FilterPicture* f, const real* column, const real* row, intp task, real* work) noexcept nogil:
    """One band of one strip. work: row pointers, ring, column sums, results, a block, transposed lines."""
    cdef intp strips = (f.ow + f.strip - 1) / f.strip, q0 = task % strips * f.strip, q1 = min(q0 + f.strip, f.ow)
    cdef intp i = task / strips * f.band, end = min(i + f.band, f.oh), filled = i, last = end + f.kh - 2
    cdef bint wide = f.kw > FILTER_NARROW, straight
    cdef int R = _filter_height(f.kh), yk
    cdef intp G = FILTER_GROUP if wide else R, n = f.kh - 1 + G, width = (q1 - q0) * f.c, reach = (f.kw - 1) * f.c, r, ys
    cdef Sources s
    cdef real* ring = work + _filter_head(n)
    cdef real* sums = ring + n * f.pitch
    cdef real* out = sums + G * f.pitch
    cdef real* tile = out + G * f.pitch
    cdef real* lines = tile + 32 * LANES
    cdef char* y
    cdef char* to
    cdef const char* line
    cdef FilterPicture down = f[0], along = f[0]
    down.kw, along.kh = 1, 1
    _filter_sources(&s, f, True, work, n, i, last, q0, width + reach, 0, FILTER_CHUNK * LANES if wide else _filter_step(R))
    while i < end:
        _filter_fill(&s, f, ring, n, i, last, q0, q1 + f.kw - 1, 0, &filled)
        straight = f.yk == FILTER_REAL or f.yk == FILTER_U8 and sizeof(real) == 4       # into the image
        if wide and (i + G > end or width % LANES != 0):
            straight = False
        yk = f.yk if straight else FILTER_REAL
        y = <char*> _number(yk, f.y, (i * f.ow + q0) * f.c) if straight else <char*> out
        ys = f.ow * f.c if straight else f.pitch
        if wide:
            _filter_wide(f, &down, &s, column, row, yk, y, ys, width, sums, lines, tile)
        else:
            _filter_pieces(R, False, &s, column, &down, sums, f.pitch, width + reach, tile)
            for r in range(min(G, end - i)):
                line = <const char*> (sums + r * f.pitch)
                to = <char*> _number(yk, y, r * ys)
                if VBYTES == 64 and (f.c == 1 or f.c == 3):
                    _filter_slides(f, yk, <const real*> line, row, to, width, tile)
                else:
                    _filter_blocks(1, False, FILTER_REAL, yk, &line, 0, row, &along, to, ys, width, tile)
        if not straight:
            for r in range(min(G, end - i)):
                _filter_write(f.yk, out + r * f.pitch, f.y, ((i + r) * f.ow + q0) * f.c, width)
        i += G


def filter_separable(cnp.ndarray x, cnp.ndarray column, cnp.ndarray row, cnp.ndarray y, cnp.ndarray rows,
                     cnp.ndarray cols, intp in0, intp in1, double cval, intp strip, intp band, intp pitch,
                     cnp.ndarray work, intp share, int threads):
    """y[i, j, c] = sum over b of row[b] sum over a of column[kh - 1 - a] x[rows[i + a], cols[j + b], c]."""
    cdef FilterPicture f
    cdef intp i, tasks
    cdef real* cp = data(column)
    cdef real* rp = data(row)
    cdef real* scratch = data(work)
    _filter_picture(&f, x, y, rows, cols, in0, in1, cval, column.shape[0], row.shape[0], strip, band, pitch)
    tasks = ((f.oh + band - 1) / band) * ((f.ow + strip - 1) / strip)
    if threads == 1:
        with nogil:
            for i in range(tasks):
                _filter_both(&f, cp, rp, i, scratch)
        return
    for i in prange(tasks, nogil=True, schedule="dynamic", num_threads=threads):
        _filter_both(&f, cp, rp, i, scratch + threadid() * share)
