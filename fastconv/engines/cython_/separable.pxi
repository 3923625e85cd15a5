# A kernel that is a sum of columns times rows: columns first, a band of output rows at a time, into a buffer that stays
# in cache; then rows. No row of the band is filtered twice, since the column filter reads the image itself.
#
# The column filter keeps SEP_ROWS output rows in registers, `apart` rows from one to the next, so that a row of the
# image that is loaded once serves them all: with g = gcd(sh, dh) those rows read the same taps' rows
# (u = u' sh / g + b).
cdef enum:
    SEP_ROWS = 4
    SEP_WIDE = 8                    # vectors of a block of the row filter

cdef struct Sep:
    intp G, N, c, o, R, H, W, OH, OW, KH, KW, sh, sw, pt, dh, step_w
    intp apart, split, step         # dh / g, sh / g, sh dh / g
    intp left, skip, width, wph     # zeros on the left, columns of x left out and used, numbers of a column phase
    intp bands, rows, per_thread
    const real* x
    const real* a
    const real* b
    const real* bias                # or NULL
    real* y
    real* work

cdef struct SepRow:                 # one block of the row filter
    const Sep* s
    const real* p
    const real* b
    real* y
    intp plane
    real first
    int n                           # valid numbers of its last vector


cdef inline void _sep_columns(const int nv, const bint part, const Sep* s, const real* x, const real* a, intp first,
                              intp nr, real* out, intp os, int n) noexcept nogil:
    """nr <= SEP_ROWS rows of nv vectors, os apart: sums over channels, taps; row `first` of x meets the first tap."""
    cdef vec t[SEP_ROWS][4]
    cdef vec v[4]
    cdef vec f
    cdef int j, i
    cdef intp c, k, q, row, b
    cdef const real* p
    for i in range(SEP_ROWS):
        for j in range(nv):
            t[i][j] = vzero()
    for c in range(s.c):
        for b in range(s.split):
            k = (s.KH - b + s.split - 1) // s.split
            row = first + b * s.dh
            for q in range(k + nr - 1):
                if 0 <= row < s.H:
                    p = x + (c * s.H + row) * s.W
                    for j in range(nv):
                        v[j] = vload_part(p + j * LANES, n) if part else vload(p + j * LANES)
                    for i in range(SEP_ROWS):
                        if q - k < i <= q and i < nr:
                            f = vset(a[c * s.KH + b + (q - i) * s.split])
                            for j in range(nv):
                                t[i][j] += f * v[j]
                row += s.step
    for i in range(SEP_ROWS):
        if i < nr:
            for j in range(nv):
                vstore(out + i * os + j * LANES, t[i][j])


cdef void _sep_wide(const Sep* s, const real* x, const real* a, intp first, intp nr, real* out, intp os) noexcept nogil:
    cdef intp j = 0
    while j + 4 * LANES <= s.width:
        _sep_columns(4, False, s, x + j, a, first, nr, out + j, os, LANES)
        j += 4 * LANES
    while j + 2 * LANES <= s.width:
        _sep_columns(2, False, s, x + j, a, first, nr, out + j, os, LANES)
        j += 2 * LANES
    while j + LANES <= s.width:
        _sep_columns(1, False, s, x + j, a, first, nr, out + j, os, LANES)
        j += LANES
    if j < s.width:
        _sep_columns(1, True, s, x + j, a, first, nr, out + j, os, <int> (s.width - j))


cdef inline void _sep_row(const int nv, const Sep* s, const real* p, intp plane, const real* b, real first, real* y,
                          int n) noexcept nogil:
    """nv vectors of one row of results, n numbers of the last one: sums over the rank and the taps of a row."""
    cdef vec t[SEP_WIDE]
    cdef vec f
    cdef int j
    cdef intp r, v, c
    cdef const real* q
    for j in range(nv):
        t[j] = vset(first)
    for r in range(s.R):
        for v in range(s.KW):
            c = v * s.step_w
            q = p + r * plane + c % s.sw * s.wph + c // s.sw
            f = vset(b[r * s.KW + v])
            for j in range(nv):
                t[j] += f * vload(q + j * LANES)
    for j in range(nv):
        if j < nv - 1 or n == LANES:
            vstore(y + j * LANES, t[j])
        else:
            vstore_part(y + j * LANES, t[j], n)


cdef inline void _sep_row_of(int nv, const void* args) noexcept nogil:
    cdef const SepRow* f = <const SepRow*> args
    _sep_row(nv, f.s, f.p, f.plane, f.b, f.first, f.y, f.n)


cdef void _sep_rest(SepRow* f, intp n) noexcept nogil:
    """The last n < SEP_WIDE * LANES numbers of a row."""
    cdef intp nv
    while n > 0:
        nv = min(<intp> 4, (n + LANES - 1) // LANES)
        f.n = <int> min(<intp> LANES, n - (nv - 1) * LANES)
        fc_cases(_sep_row_of, <int> nv, 4, f)
        n -= 4 * LANES
        f.p += 4 * LANES
        f.y += 4 * LANES


cdef void _sep_band(const Sep* s, const real* x, const real* a, const real* b, const real* bias, real* y, intp i0,
                    intp i1, real* work) noexcept nogil:
    """Output rows [i0, i1) of one image and group."""
    cdef intp r, i, k, o, j, nr, phase, row = s.sw * s.wph, plane = s.rows * row
    cdef real* line = work + s.R * plane                  # for column phases: rows as the column filter leaves them
    cdef intp length = (s.width + 4 * LANES) // LANES * LANES
    cdef real* d
    cdef SepRow f
    for r in range(s.R):
        for phase in range(min(s.apart, i1 - i0)):
            i = i0 + phase
            while i < i1:
                nr = min(<intp> SEP_ROWS, (i1 - i + s.apart - 1) // s.apart)
                d = work + r * plane + (i - i0) * row
                if s.sw == 1:
                    for k in range(nr):
                        memset(d + k * s.apart * row, 0, s.left * sizeof(real))
                    _sep_wide(s, x, a + r * s.c * s.KH, i * s.sh - s.pt, nr, d + s.left, s.apart * row)
                    for k in range(nr):
                        memset(d + k * s.apart * row + s.left + s.width, 0, (row - s.left - s.width) * sizeof(real))
                else:
                    _sep_wide(s, x, a + r * s.c * s.KH, i * s.sh - s.pt, nr, line, length)
                    for k in range(nr):
                        row_to_phases(line + k * length, s.width, s.left, s.sw, s.sw, s.wph, d + k * s.apart * row)
                i += nr * s.apart
    f.s, f.plane = s, plane
    for o in range(s.o):
        f.first = bias[o] if bias != NULL else 0
        f.b = b + o * s.R * s.KW
        for i in range(i0, i1):
            f.p, f.y, f.n = work + (i - i0) * row, y + (o * s.OH + i) * s.OW, LANES
            j = 0
            while j + SEP_WIDE * LANES <= s.OW:
                _sep_row_of(SEP_WIDE, &f)
                f.p += SEP_WIDE * LANES
                f.y += SEP_WIDE * LANES
                j += SEP_WIDE * LANES
            _sep_rest(&f, s.OW - j)


cdef void _sep_part(const void* args, intp first, intp end, intp ithr, bint again) noexcept nogil:
    cdef const Sep* s = <const Sep*> args
    cdef intp t, k, ng, g
    for t in range(first, end):
        k, ng = t % s.bands, t // s.bands
        g = ng % s.G
        _sep_band(s, s.x + ng * s.c * s.H * s.W, s.a + g * s.R * s.c * s.KH, s.b + g * s.o * s.R * s.KW,
                  s.bias + g * s.o if s.bias != NULL else NULL, s.y + ng * s.o * s.OH * s.OW, s.OH * k // s.bands,
                  s.OH * (k + 1) // s.bands, s.work + ithr * s.per_thread)


def separable_rows(cnp.ndarray x, cnp.ndarray a, cnp.ndarray b, cnp.ndarray bias, cnp.ndarray y, cnp.ndarray work,
                   cnp.ndarray q, int threads):
    """y (N, G*o, OH, OW) OUT: x (N, G*c, H, W) filtered by columns a (G, R, c, KH), then by rows b (G, o, R, KW).

    bias may be empty. Parallel over images, groups and bands.
    """
    cdef const SeparableBands* p = read_SeparableBands(q)
    cdef Sep s
    cdef intp g = p.sh, k = p.dh
    s.N, s.G, s.R, s.c, s.KH = x.shape[0], a.shape[0], a.shape[1], a.shape[2], a.shape[3]
    s.o, s.KW = b.shape[1], b.shape[3]
    s.H, s.W, s.OH, s.OW = x.shape[2], x.shape[3], y.shape[2], y.shape[3]
    s.sh, s.sw, s.pt, s.dh, s.step_w, s.wph = p.sh, p.sw, p.pt, p.dh, p.dw, p.wph
    s.bands, s.rows, s.per_thread = p.bands, p.rows, p.per_thread
    while k:                                              # g becomes gcd(sh, dh)
        g, k = k, g % k
    s.apart, s.split, s.step = p.dh // g, p.sh // g, p.sh * p.dh // g
    s.left, s.skip = max(<intp> 0, p.pl), max(<intp> 0, -p.pl)
    s.width = max(<intp> 0, min(s.W - s.skip, (s.OW - 1) * p.sw + (s.KW - 1) * p.dw + 1 - s.left))
    s.x, s.a, s.b, s.y, s.work = data(x) + s.skip, data(a), data(b), data(y), data(work)
    s.bias = data(bias) if cnp.PyArray_SIZE(bias) else NULL
    with nogil:
        launch_parts(_sep_part, &s, s.N * s.G * s.bands, threads)
