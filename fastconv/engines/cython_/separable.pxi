# A kernel that is a sum of columns times rows: columns first, a band of output rows at a time, into a buffer that stays
# in cache; then rows. No row of the band is filtered twice, since the column filter reads the image itself.
#
# The column filter keeps SEP_ROWS output rows in registers, `apart` rows from one to the next, so that a row of the
# image that is loaded once serves them all: with g = gcd(sh, dh) those rows read the same taps' rows (u = u' sh / g + b).
cdef enum:
    SEP_ROWS = 4
    SEP_WIDE = 8                    # vectors of a block of the row filter

cdef struct Sep:
    intp c, o, R, H, W, OH, OW, KH, KW, sh, sw, pt, dh, step_w
    intp apart, split, step         # dh / g, sh / g, sh dh / g
    intp left, skip, width, wph     # zeros on the left, columns of x left out and used, numbers of a column phase
    const real* a
    const real* b


cdef inline void _sep_columns(const int nv, const bint part, const Sep* s, const real* x, const real* a, intp first, intp nr,
                              real* out, intp os, int n) noexcept nogil:
    """nr <= SEP_ROWS rows of nv vectors, os apart: sums over channels and taps; row `first` of x meets the first tap."""
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


cdef void _sep_rest(const Sep* s, const real* p, intp plane, const real* b, real first, real* y, intp n) noexcept nogil:
    """The last n < SEP_WIDE * LANES numbers of a row."""
    cdef intp left
    while n > 0:
        left = (n - 1) // LANES                                # vectors before the last one
        if left == 0: _sep_row(1, s, p, plane, b, first, y, <int> n)
        elif left == 1: _sep_row(2, s, p, plane, b, first, y, <int> (n - LANES))
        elif left == 2: _sep_row(3, s, p, plane, b, first, y, <int> (n - 2 * LANES))
        else: _sep_row(4, s, p, plane, b, first, y, <int> min(<intp> LANES, n - 3 * LANES))
        n -= 4 * LANES
        p += 4 * LANES
        y += 4 * LANES


cdef void _sep_band(const Sep* s, const real* x, const real* bias, real* y, intp i0, intp i1, intp rows, real* work) noexcept nogil:
    """Output rows [i0, i1) of one image and group."""
    cdef intp r, i, k, o, j, nr, a, row = s.sw * s.wph, plane = rows * row
    cdef real* line = work + s.R * plane                  # for column phases: rows as they come out of the column filter
    cdef intp length = (s.width + 4 * LANES) // LANES * LANES
    cdef real* d
    cdef real* out
    cdef real first
    for r in range(s.R):
        for a in range(min(s.apart, i1 - i0)):
            i = i0 + a
            while i < i1:
                nr = min(<intp> SEP_ROWS, (i1 - i + s.apart - 1) // s.apart)
                d = work + r * plane + (i - i0) * row
                if s.sw == 1:
                    for k in range(nr):
                        memset(d + k * s.apart * row, 0, s.left * sizeof(real))
                    _sep_wide(s, x, s.a + r * s.c * s.KH, i * s.sh - s.pt, nr, d + s.left, s.apart * row)
                    for k in range(nr):
                        memset(d + k * s.apart * row + s.left + s.width, 0, (row - s.left - s.width) * sizeof(real))
                else:
                    _sep_wide(s, x, s.a + r * s.c * s.KH, i * s.sh - s.pt, nr, line, length)
                    for k in range(nr):
                        _pack_row(line + k * length, 0, 1, 1, s.width, s.left, s.sw, s.sw, s.wph, 0, d + k * s.apart * row)
                i += nr * s.apart
    for o in range(s.o):
        first = bias[o] if bias != NULL else 0
        for i in range(i0, i1):
            out = y + (o * s.OH + i) * s.OW
            d = work + (i - i0) * row
            j = 0
            while j + SEP_WIDE * LANES <= s.OW:
                _sep_row(SEP_WIDE, s, d + j, plane, s.b + o * s.R * s.KW, first, out + j, LANES)
                j += SEP_WIDE * LANES
            if j < s.OW:
                _sep_rest(s, d + j, plane, s.b + o * s.R * s.KW, first, out + j, s.OW - j)


def separable_rows(cnp.ndarray x, cnp.ndarray a, cnp.ndarray b, cnp.ndarray bias, cnp.ndarray y, cnp.ndarray work, intp sh,
                   intp sw, intp pt, intp pl, intp dh, intp dw, intp bands, intp rows, intp wph, intp share,
                   int threads):
    """y (N, G*o, OH, OW) OUT: x (N, G*c, H, W) filtered by columns a (G, R, c, KH), then by rows b (G, o, R, KW).

    Stride, padding (pt, pl may be negative) and dilation as in `conv2d`. An image and group is cut into `bands` of at
    most `rows` output rows; a thread has `share` numbers of `work`: R buffers of `rows` rows of sw * wph numbers, and a
    few rows. bias may be empty. Parallel over images, groups and bands.
    """
    cdef Sep s
    cdef intp G = a.shape[0], N = x.shape[0], t, g, k, jobs = N * G * bands, xs, ys
    s.R, s.c, s.KH, s.o, s.KW = a.shape[1], a.shape[2], a.shape[3], b.shape[1], b.shape[3]
    s.H, s.W, s.OH, s.OW = x.shape[2], x.shape[3], y.shape[2], y.shape[3]
    s.sh, s.sw, s.pt, s.dh, s.step_w, s.wph = sh, sw, pt, dh, dw, wph
    g, k = sh, dh
    while k:                                              # g becomes gcd(sh, dh)
        g, k = k, g % k
    s.apart, s.split, s.step = dh // g, sh // g, sh * dh // g
    s.left, s.skip = max(<intp> 0, pl), max(<intp> 0, -pl)
    s.width = max(<intp> 0, min(s.W - s.skip, (s.OW - 1) * sw + (s.KW - 1) * dw + 1 - s.left))
    xs, ys = s.c * s.H * s.W, s.o * s.OH * s.OW
    cdef const real* xp = data(x) + s.skip
    cdef const real* ap = data(a)
    cdef const real* bp = data(b)
    cdef const real* up = data(bias) if cnp.PyArray_SIZE(bias) else NULL
    cdef real* yp = data(y)
    cdef real* wp = data(work)
    cdef intp an = s.R * s.c * s.KH, bn = s.o * s.R * s.KW
    if threads == 1:
        with nogil:
            for t in range(jobs):
                _sep_job(s, xp, ap, bp, up, yp, t, G, bands, xs, ys, an, bn, rows, wp)
        return
    for t in prange(jobs, nogil=True, schedule="static", num_threads=threads):
        _sep_job(s, xp, ap, bp, up, yp, t, G, bands, xs, ys, an, bn, rows, wp + threadid() * share)


cdef void _sep_job(Sep s, const real* x, const real* a, const real* b, const real* bias, real* y, intp t, intp G, intp bands,
                   intp xs, intp ys, intp an, intp bn, intp rows, real* work) noexcept nogil:
    cdef intp k = t % bands, ng = t // bands, g = t // bands % G
    s.a = a + g * an
    s.b = b + g * bn
    _sep_band(&s, x + ng * xs, bias + g * s.o if bias != NULL else NULL, y + ng * ys, s.OH * k // bands,
              s.OH * (k + 1) // bands, rows, work)
